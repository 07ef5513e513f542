"""What was found in a VCF file so far: every finding with its line, up to a bound."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.intake.findings import Finding, Severity, error

MOST_FINDINGS = 10_000
MOST_NAMES = 10_000


@dataclass
class Found:
    """Findings of one file, in the order of its lines.

    Attributes
    ----------
    file
        Its name.
    line
        Where the reader is, counted from 1.
    findings
        The first ``MOST_FINDINGS``; the rest is counted in ``unlisted``.
    unended
        Whether the last line has no line end.
    """

    file: str
    line: int | None = None
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0
    unended: bool = False
    _told: set[tuple[str, str]] = field(default_factory=set)

    def error(self, sentence: str) -> None:
        """Refuse the file for what stands in this line."""
        self._add(Severity.ERROR, sentence)

    def warning(self, sentence: str) -> None:
        """Mention what stands in this line."""
        self._add(Severity.WARNING, sentence)

    def judge(self, refused: bool, sentence: str) -> None:
        """Refuse the file where its version demands it, mention it otherwise."""
        self._add(Severity.ERROR if refused else Severity.WARNING, sentence)

    def first(self, rule: str, name: str) -> bool:
        """Return whether a rule has not been mentioned of a name, and take it as mentioned."""
        if (rule, name) in self._told or len(self._told) >= MOST_NAMES:
            return False
        self._told.add((rule, name))
        return True

    def all(self) -> tuple[Finding, ...]:
        """Return every finding, and how many are not listed."""
        rest = self.unlisted
        more = f"{rest:,} more findings are not listed: correct the first {MOST_FINDINGS:,}"
        return (*self.findings, *([error(self.file, None, more)] if rest else []))

    def _add(self, severity: Severity, sentence: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(severity, self.file, self.line, sentence))
        else:
            self.unlisted += 1
