"""What do the files of a study hold, for a cohort? The first mistake stops the reading."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from omics_twin.errors import IntakeError, quoted
from omics_twin.intake.cbioportal_format import CLINICAL_MISSING
from omics_twin.intake.cbioportal_meta import Meta, Study, read_metas
from omics_twin.intake.cbioportal_text import Mistakes, Sheet, read_sheet
from omics_twin.intake.files import Folder


def open_study(folder: Folder) -> Study:
    """Return the study that a cohort's folder holds.

    Raises
    ------
    IntakeError
        If there is no folder, or no clinical sample file in it.
    """
    if not folder.root.is_dir():
        raise IntakeError(
            f"folder '{folder.root}' of cohort '{folder.cohort}' does not exist: set the cohort's "
            "root to the folder of a study"
        )
    study = read_metas(folder.root, Mistakes())
    if not study.of_kind("samples"):
        raise IntakeError(
            f"folder '{folder.root}' of cohort '{folder.cohort}' has no meta file of a clinical "
            f"sample file, expected a study: {_all_mistakes(folder)}"
        )
    return study


def open_sheet(folder: Folder, file: str) -> Sheet:
    """Return a file of the study, its checksum remembered.

    Raises
    ------
    IntakeError
        If it cannot be read or names a column twice.
    """
    mistakes = Mistakes()
    sheet = read_sheet(folder.root, file, mistakes)
    if sheet is None:
        raise IntakeError(f"table '{file}' {mistakes.findings()[-1].sentence}")
    folder.checksums[file] = hashlib.sha256((folder.root / file).read_bytes()).hexdigest()
    if len(set(sheet.header)) < len(sheet.header):
        twice = [name for name in sheet.header if sheet.header.count(name) > 1]
        raise IntakeError(f"table '{file}' has columns {quoted(set(twice))} twice: rename one")
    return sheet


def rows_of(folder: Folder, sheet: Sheet) -> Iterator[tuple[int, list[str]]]:
    """Give line and cells of every row; afterwards the rows that have another length refuse.

    Raises
    ------
    IntakeError
        If a row is not as long as the header.
    """
    mistakes = Mistakes()
    yield from sheet.rows(mistakes)
    for finding in mistakes.findings():
        if finding.severity.value == "error":
            raise IntakeError(
                f"table '{sheet.file}', line {finding.line}: {finding.sentence}; "
                f"{_all_mistakes(folder)}"
            )


def columns_of(folder: Folder, sheet: Sheet, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Return some columns of a file as trimmed text, one entry per row.

    Raises
    ------
    IntakeError
        If a column is not there.
    """
    missing = [name for name in names if name not in sheet.header]
    if missing:
        raise IntakeError(
            f"table '{sheet.file}' has no column {quoted(missing)}: {_all_mistakes(folder)}"
        )
    positions = [sheet.header.index(name) for name in names]
    found: list[list[str]] = [[] for _ in names]
    for _, cells in rows_of(folder, sheet):
        for column, position in zip(found, positions, strict=True):
            column.append(cells[position].strip())
    return dict(zip(names, found, strict=True))


def known(text: str) -> str:
    """Return a clinical cell, empty where the portal takes it as missing.

    Examples
    --------
    >>> known("[Not Available]"), known("II")
    ('', 'II')
    """
    return "" if text.lower() in CLINICAL_MISSING else text


def present(folder: Folder, metas: tuple[Meta, ...]) -> tuple[Meta, ...]:
    """Return the meta files whose data file is there."""
    return tuple(each for each in metas if each.data_file and folder.holds(each.data_file))


def _all_mistakes(folder: Folder) -> str:
    return f"see all mistakes with 'omics-twin check intake=cbioportal intake.root={folder.root}'"
