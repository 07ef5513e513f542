"""A consent ledger as a CSV file: read to the last line, or nobody is permitted."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from pathlib import Path

from omics_twin.errors import ConsentError, quoted
from omics_twin.trust.consent import ALL, Decision, Entry, Ledger, Purpose

COLUMNS = ("patient_id", "decision", "purpose", "recorded_on")
OPTIONAL = ("modality", "valid_from", "valid_until")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_ledger(path: Path) -> Ledger:
    """Return the decisions of a CSV file.

    Its columns are ``patient_id, decision, purpose, recorded_on`` and, where they are wanted,
    ``modality, valid_from, valid_until``; see :class:`~omics_twin.trust.consent.Entry`.

    Raises
    ------
    ConsentError
        If the file cannot be read to the last line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConsentError(
            f"consent ledger '{path}' cannot be read ({error.strerror}): nobody is permitted "
            "until it can be"
        ) from error
    except UnicodeDecodeError as error:
        raise ConsentError(
            f"consent ledger '{path.name}' is not UTF-8 text (byte {error.start}): save it as "
            "UTF-8 text"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise ConsentError(
            f"consent ledger '{path.name}', line {reader.line_num}: {error}: correct the line"
        ) from error
    header = rows[0][1] if rows else []
    _check_header(path, header)
    return Ledger(
        f"ledger '{path.name}'",
        tuple(
            _entry(f"consent ledger '{path.name}', line {n}", header, row) for n, row in rows[1:]
        ),
    )


def line_of(entry: Entry) -> str:
    """Return a decision as a line of a ledger that has every column.

    Examples
    --------
    >>> line_of(Entry("ada", Decision.WITHDRAW, "training", date(2026, 1, 31), modality="rna"))
    'ada,withdraw,training,2026-01-31,rna,,'
    """
    written = io.StringIO()
    cells = [entry.patient_id, entry.decision.value, entry.purpose, entry.recorded_on]
    cells += [entry.modality, entry.valid_from or "", entry.valid_until or ""]
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()


def _check_header(path: Path, header: list[str]) -> None:
    absent = [name for name in COLUMNS if name not in header]
    strange = [name for name in header if name not in (*COLUMNS, *OPTIONAL)]
    if absent or strange or len(set(header)) < len(header):
        found = quoted(header) if header else "no header"
        raise ConsentError(
            f"consent ledger '{path.name}' has {found}, expected the columns {quoted(COLUMNS)}, "
            f"each once, and at most {quoted(OPTIONAL)} besides"
        )


def _entry(where: str, header: list[str], row: list[str]) -> Entry:
    if len(row) != len(header):
        raise ConsentError(
            f"{where}: found {len(row)} cells, expected {len(header)}: correct the line"
        )
    cells = dict(zip(header, row, strict=True))
    patient = cells["patient_id"]
    if not patient:
        raise ConsentError(f"{where}: found no patient_id, expected one: name the patient")
    if not patient.isprintable():
        # A withdrawal under a name that only looks like the patient's would never be found.
        raise ConsentError(
            f"{where}: found patient_id {patient!r}, expected one without characters that cannot "
            "be seen: write it again"
        )
    decisions = [each.value for each in Decision]
    if cells["decision"] not in decisions:
        raise ConsentError(
            f"{where}: found decision '{cells['decision']}', expected one of {quoted(decisions)}"
        )
    purposes = [*(each.value for each in Purpose), ALL]
    if cells["purpose"] not in purposes:
        raise ConsentError(
            f"{where}: found purpose '{cells['purpose']}', expected one of {quoted(purposes)}"
        )
    recorded_on = _day(where, cells, "recorded_on")
    if recorded_on is None:
        raise ConsentError(f"{where}: found no recorded_on, expected a date such as 2024-01-31")
    ends = _day(where, cells, "valid_from"), _day(where, cells, "valid_until")
    modality = cells.get("modality") or ALL
    decision = Decision(cells["decision"])
    try:
        return Entry(patient, decision, cells["purpose"], recorded_on, modality, *ends)
    except ConsentError as error:
        raise ConsentError(f"{where}: {error}") from error


def _day(where: str, cells: dict[str, str], name: str) -> date | None:
    found = cells.get(name, "")
    if not found:
        return None
    try:
        if not _DAY.fullmatch(found):
            raise ValueError("no day written out")
        return date.fromisoformat(found)
    except ValueError as error:
        raise ConsentError(
            f"{where}: found {name} '{found}', expected a date such as 2024-01-31"
        ) from error
