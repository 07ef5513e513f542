"""Say which patients may be used, for which purpose, and on what basis."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

from omics_twin.errors import ConsentError, nearest, quoted

COLUMNS = ("patient_id", "decision", "purpose", "recorded_on")
ALL_PURPOSES = "all"
GRANTED_BY_PROTOCOL = "granted by protocol"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Purpose(Enum):
    """What a patient's data are used for."""

    TRAINING = "training"
    SCORING = "scoring"
    RESEARCH = "research"


class Decision(Enum):
    """What a patient decided."""

    GRANT = "grant"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Permission:
    """Who may be used and why the rest may not.

    Attributes
    ----------
    granted
        Patients who may be used, in the order asked.
    refused
        Reason by patient.
    basis
        ``"granted by protocol"``, or the ledger by file name.
    purpose
        What the permission is for; nothing else.
    """

    granted: tuple[str, ...]
    refused: Mapping[str, str]
    basis: str
    purpose: str


@dataclass(frozen=True)
class Entry:
    """What one patient decided on one purpose, or on ``all``, and on which day."""

    patient_id: str
    decision: Decision
    purpose: str
    recorded_on: date

    def __post_init__(self) -> None:
        """Refuse a purpose that is none: a withdrawal under it would never be found."""
        if self.purpose != ALL_PURPOSES:
            _purpose(self.purpose)


def permit(
    patient_ids: Sequence[str], *, ledger: Path | None, purpose: Purpose | str
) -> Permission:
    """Return who may be used for a purpose.

    Parameters
    ----------
    patient_ids
        Patients asked about.
    ledger
        A CSV file with the columns ``patient_id, decision, purpose, recorded_on``: the latest
        decision of a patient on the purpose, or on ``all`` purposes, holds, a withdrawal before a
        grant of the same day. A patient without an entry is refused. ``None``: everyone is
        recorded as granted by the study's protocol.
    purpose
        What the data are used for.

    Returns
    -------
    Permission
        The patients granted, and the reason for each of the others.

    Raises
    ------
    ConsentError
        If the ledger cannot be read to the last line, or permits nobody.
    """
    wanted = _purpose(purpose)
    if ledger is None:
        return Permission(tuple(patient_ids), {}, GRANTED_BY_PROTOCOL, wanted.value)
    refused = refusals(patient_ids, _read_ledger(Path(ledger)), wanted)
    granted = tuple(patient for patient in patient_ids if patient not in refused)
    if not granted:
        raise ConsentError(
            f"consent ledger '{Path(ledger).name}' permits none of the {len(patient_ids)} "
            f"patients for {wanted.value}: check the ledger and the purpose"
        )
    return Permission(granted, refused, f"ledger '{Path(ledger).name}'", wanted.value)


def refusals(
    patient_ids: Sequence[str], entries: Iterable[Entry], purpose: Purpose
) -> dict[str, str]:
    """Return why patients may not be used for a purpose; who is not named here may be.

    Examples
    --------
    >>> granted = Entry("ada", Decision.GRANT, "scoring", date(2026, 1, 31))
    >>> refusals(["ada", "bob"], [granted], Purpose.SCORING)
    {'bob': 'no consent for scoring is recorded'}
    """
    holds: dict[str, Entry] = {}
    for entry in entries:
        if entry.purpose in (purpose.value, ALL_PURPOSES):
            earlier = holds.get(entry.patient_id)
            if earlier is None or _weight(entry) >= _weight(earlier):
                holds[entry.patient_id] = entry
    refused = {}
    for patient in patient_ids:
        held = holds.get(patient)
        if held is None:
            refused[patient] = f"no consent for {purpose.value} is recorded"
        elif held.decision is Decision.WITHDRAW:
            refused[patient] = f"consent for {held.purpose} withdrawn on {held.recorded_on}"
    return refused


def _weight(entry: Entry) -> tuple[date, bool]:
    return entry.recorded_on, entry.decision is Decision.WITHDRAW


def _purpose(purpose: Purpose | str) -> Purpose:
    try:
        return Purpose(purpose)
    except ValueError as error:
        known = [each.value for each in Purpose]
        raise ConsentError(f"unknown purpose '{purpose}'{nearest(str(purpose), known)}") from error


def _read_ledger(path: Path) -> list[Entry]:
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
    if not rows or sorted(rows[0][1]) != sorted(COLUMNS):
        found = quoted(rows[0][1]) if rows else "no header"
        raise ConsentError(
            f"consent ledger '{path.name}' has {found}, expected the columns {quoted(COLUMNS)}"
        )
    header = rows[0][1]
    return [
        _entry(f"consent ledger '{path.name}', line {line}", header, row) for line, row in rows[1:]
    ]


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
    purposes = [*(each.value for each in Purpose), ALL_PURPOSES]
    if cells["purpose"] not in purposes:
        raise ConsentError(
            f"{where}: found purpose '{cells['purpose']}', expected one of {quoted(purposes)}"
        )
    try:
        if not _DAY.fullmatch(cells["recorded_on"]):
            raise ValueError("no day written out")
        recorded_on = date.fromisoformat(cells["recorded_on"])
    except ValueError as error:
        raise ConsentError(
            f"{where}: found recorded_on '{cells['recorded_on']}', expected a date such as "
            "2024-01-31"
        ) from error
    return Entry(patient, Decision(cells["decision"]), cells["purpose"], recorded_on)
