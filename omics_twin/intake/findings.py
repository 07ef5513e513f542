"""What is wrong with files that somebody was given: every finding, in one report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """Whether a file cannot be used as it is, or only deserves a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes
    ----------
    severity
        An error refuses the file, a warning does not.
    file
        Its name below what was checked.
    line
        Counted from 1; ``None``: the file as a whole.
    sentence
        What was found, what was expected, what to do.

    Examples
    --------
    >>> str(Finding(Severity.ERROR, "a.vcf", 7, "POS is '0x1', expected a whole number"))
    "error: a.vcf:7: POS is '0x1', expected a whole number"
    """

    severity: Severity
    file: str
    line: int | None
    sentence: str

    def __str__(self) -> str:
        """Return the finding on one line."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{self.severity.value}: {where}: {self.sentence}"


@dataclass(frozen=True)
class CheckReport:
    """What was read, and everything that was found.

    Attributes
    ----------
    subject
        The file or folder.
    counted
        What was read -> how much of it, such as ``records``.
    findings
        In the order of the files.
    """

    subject: str
    counted: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that refuse the files."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that do not."""
        return self._of(Severity.WARNING)

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity is severity)

    def as_record(self) -> dict[str, object]:
        """Return the report as plain values, for a file."""
        return {
            "subject": self.subject,
            "counted": dict(self.counted),
            "findings": [
                {
                    "severity": each.severity.value,
                    "file": each.file,
                    "line": each.line,
                    "sentence": each.sentence,
                }
                for each in self.findings
            ],
        }


def error(file: str, line: int | None, sentence: str) -> Finding:
    """Return a finding that refuses the file."""
    return Finding(Severity.ERROR, file, line, sentence)


def warning(file: str, line: int | None, sentence: str) -> Finding:
    """Return a finding that deserves a look."""
    return Finding(Severity.WARNING, file, line, sentence)


def refusals(report: CheckReport) -> str:
    """Return how many reasons there are to refuse what was checked.

    Examples
    --------
    >>> refusals(CheckReport("a.vcf", findings=(error("a.vcf", 1, "is empty"),)))
    '1 reason'
    """
    number = len(report.errors)
    return f"{number:,} reason" + ("" if number == 1 else "s")


def counted(amounts: Mapping[str, int]) -> str:
    """Return what was read, for a person.

    Examples
    --------
    >>> counted({"records": 1200, "samples": 1})
    '1,200 records, 1 samples'
    """
    return ", ".join(f"{amount:,} {what}" for what, amount in amounts.items()) or "nothing"


def listed(findings: Iterable[Finding], most: int) -> list[str]:
    """Return findings on a line each, the first ``most`` of them."""
    found = list(findings)
    rest = len(found) - most
    lines = [str(each) for each in found[:most]]
    return lines + ([f"and {rest:,} more: add output=FILE.json for all"] if rest > 0 else [])
