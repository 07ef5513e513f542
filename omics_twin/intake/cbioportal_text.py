"""What do the lines of a text file hold? Every mistake is noted, none stops the reading."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omics_twin.errors import quoted
from omics_twin.intake.findings import Finding, Severity

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# No identifier, position or count of reads is longer; longer ones cannot even be read as numbers.
_MOST_DIGITS = 18


@dataclass
class Mistakes:
    """Findings in the order of the files; the same sentence about several lines is told once."""

    places: dict[tuple[Severity, str, str], list[int | None]] = field(default_factory=dict)

    def error(self, file: str, line: int | None, sentence: str) -> None:
        """Note what refuses the file."""
        self.places.setdefault((Severity.ERROR, file, sentence), []).append(line)

    def warning(self, file: str, line: int | None, sentence: str) -> None:
        """Note what deserves a look."""
        self.places.setdefault((Severity.WARNING, file, sentence), []).append(line)

    def findings(self) -> tuple[Finding, ...]:
        """Return the findings, each with its first line and the number of the others."""
        found = []
        for (severity, file, sentence), lines in self.places.items():
            more = f" (and on {len(lines) - 1:,} more lines)" if len(lines) > 1 else ""
            found.append(Finding(severity, file, lines[0], sentence + more))
        order = {file: rank for rank, file in enumerate(dict.fromkeys(f.file for f in found))}
        return tuple(sorted(found, key=lambda each: (order[each.file], each.line or 0)))


@dataclass(frozen=True)
class Sheet:
    """A tab-separated file: leading lines that start with ``#``, a header, and rows.

    Attributes
    ----------
    file
        Its name below the study's folder.
    comments
        Leading lines without their line break.
    header
        Column names.
    lines
        Rows as text, split when they are asked for.
    first_line
        Line number of the first row, counted from 1.
    """

    file: str
    comments: tuple[str, ...]
    header: tuple[str, ...]
    lines: list[str]
    first_line: int

    @property
    def header_line(self) -> int:
        """Line number of the header."""
        return self.first_line - 1

    def position(self, name: str) -> int | None:
        """Return where a column is, ``None`` where it is not."""
        return self.header.index(name) if name in self.header else None

    def rows(self, mistakes: Mistakes | None = None) -> Iterator[tuple[int, list[str]]]:
        """Give line number and cells of every row that is as long as the header."""
        noted = mistakes or Mistakes()
        width = len(self.header)
        for line, text in enumerate(self.lines, start=self.first_line):
            cells = text.split("\t")
            if not text.strip():
                noted.error(self.file, line, "the line is blank: remove it")
            elif text.startswith("#"):
                noted.error(
                    self.file, line, "a row starts with '#', expected data: remove the line"
                )
            elif len(cells) != width:
                noted.error(
                    self.file,
                    line,
                    f"found {len(cells)} cells, expected {width} as in the header: correct the "
                    "line",
                )
            else:
                if '"' in text and any(_is_quoted(cell) for cell in cells):
                    noted.warning(
                        self.file,
                        line,
                        "a cell is in quotation marks, which are read as part of it: remove them",
                    )
                yield line, cells


def _is_quoted(cell: str) -> bool:
    return cell.startswith('"') or cell.endswith('"')


def read_text(root: Path, file: str, mistakes: Mistakes) -> str | None:
    """Return a file's text with line feeds, or ``None`` where it cannot be read."""
    try:
        content = (root / file).read_bytes()
    except OSError as reason:
        mistakes.error(file, None, f"cannot be read ({reason.strerror}): add or unlock the file")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        line = content.count(b"\n", 0, reason.start) + 1
        mistakes.error(file, line, f"byte {reason.start} is not UTF-8 text: save the file in UTF-8")
        return None
    if not text.isprintable() and (control := _CONTROL.search(text)):
        line = text.count("\n", 0, control.start()) + 1
        mistakes.error(
            file, line, f"holds the control character {control[0]!r}: save it as text, remove it"
        )
        return None
    if "\r" in text:
        # Line ends of Windows are read by every reader; a carriage return alone is not.
        alone = "\r" in text.replace("\r\n", "")
        note = mistakes.error if alone else mistakes.warning
        style = "old Macintosh" if alone else "Windows"
        note(file, None, f"lines end as on {style} (carriage return): save with line feeds alone")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def read_sheet(root: Path, file: str, mistakes: Mistakes) -> Sheet | None:
    """Return a tab-separated file with its header checked, or ``None`` where there is none."""
    text = read_text(root, file, mistakes)
    if text is None:
        return None
    lines = text.removesuffix("\n").split("\n")
    leading = 0
    while leading < len(lines) and lines[leading].startswith("#"):
        leading += 1
    if leading == len(lines) or not lines[leading].strip():
        mistakes.error(file, leading + 1, "no header line was found: name the columns in one")
        return None
    header = lines[leading].split("\t")
    _check_header(file, leading + 1, header, mistakes)
    return Sheet(
        file=file,
        comments=tuple(lines[:leading]),
        header=tuple(name.strip() for name in header),
        lines=lines[leading + 1 :],
        first_line=leading + 2,
    )


def _check_header(file: str, line: int, header: list[str], mistakes: Mistakes) -> None:
    names = [name.strip() for name in header]
    if "" in names:
        mistakes.warning(
            file, line, f"column {names.index('') + 1} has no name, so it is not read: name it"
        )
    twice = sorted({name for name in names if name and names.count(name) > 1}, key=names.index)
    if len(set(names)) < len(names) and twice:
        mistakes.error(file, line, f"columns {quoted(twice)} are there twice: rename one of each")
    spaced = [name for name in header if name != name.strip() and name.strip()]
    if spaced:
        mistakes.error(
            file, line, f"column names {quoted(spaced)} have spaces at an end: remove the spaces"
        )
    if any(_is_quoted(name) for name in names):
        mistakes.warning(
            file, line, "a column name is in quotation marks, which are read as part of it"
        )


def require_columns(sheet: Sheet, names: Iterable[str], mistakes: Mistakes) -> bool:
    """Return whether all columns are there; those that are not are noted."""
    missing = [name for name in names if name not in sheet.header]
    for name in missing:
        alike = [each for each in sheet.header if each.lower() == name.lower()]
        hint = f"'{alike[0]}' is spelt '{name}' here" if alike else "add the column"
        mistakes.error(sheet.file, sheet.header_line, f"there is no column '{name}': {hint}")
    return not missing


def is_number(text: str) -> bool:
    """Return whether a cell is a finite number, or NaN written out.

    Examples
    --------
    >>> is_number("1e-3"), is_number("1,5"), is_number("inf")
    (True, False, False)
    """
    if "_" in text:
        return False
    try:
        value = float(text)
    except ValueError:
        return False
    return value not in (float("inf"), float("-inf"))


def is_whole(text: str) -> bool:
    """Return whether a cell is a whole number without a decimal point."""
    digits = text.strip().removeprefix("-")
    readable = digits.isdecimal() and text.isascii() and len(digits) <= _MOST_DIGITS
    return readable and text.strip() != "-0"
