"""The consent ledger, the audit log and its anchor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

from omics_twin.trust.audit import AuditLog, Recorded, read_events, verify
from omics_twin.trust.consent import Permission, Purpose, permit
from omics_twin.trust.event import Action, Event
from omics_twin.trust.ledger import read_ledger
from tests.faults.examining import Reader
from tests.faults.mutations import (
    BYTES,
    TEXT,
    delimited,
    line_gone,
    line_twice,
    lines_swapped,
    structured,
)
from tests.faults.strict import Invalid, day_of, json_of, name_of, records_of

KEY = bytes(range(32))
ASKED = ("ada", "bob", "cyd", "dee")
_LEDGER = """patient_id,decision,purpose,recorded_on
ada,grant,all,2024-01-31
bob,grant,scoring,2024-02-01
ada,withdraw,training,2024-03-05
cyd,grant,training,2024-01-01
cyd,withdraw,all,2024-01-01
dee,grant,scoring,2024-01-01
dee,grant,training,2024-01-01
ada,grant,research,2025-01-01
"""
_QUOTED = _LEDGER.replace("bob", '"bob"').replace("\n", "\r\n")
_WORDS = (*ASKED, "withdraw", "Withdraw", "grant", "training", "scoring", "research", "all")


def ledger(folder: Path) -> Reader:
    """Return the reader of consent: whoever withdrew must be found."""
    path = folder / "ledger.csv"

    def read(content: bytes) -> list[Permission]:
        path.write_bytes(content)
        return [permit(ASKED, ledger=read_ledger(path), purpose=each) for each in Purpose]

    def wrong(content: bytes, found: list[Permission]) -> str | None:
        for each, purpose in zip(found, Purpose, strict=True):
            try:
                told = _granted(content, purpose.value)
            except Invalid as error:
                return f"no ledger: {error}"
            if set(each.granted) != told:
                return f"for {purpose.value} {each.granted} were permitted, {sorted(told)} are"
        return None

    # Somebody is permitted for every purpose, so that not every reading ends in a refusal.
    seeds = (_LEDGER.encode(), _QUOTED.encode())
    return Reader("consent ledger", seeds, delimited(",", _WORDS), read, wrong)


def _granted(content: bytes, purpose: str) -> set[str]:
    """Return whom the ledger permits; the latest decision holds, a withdrawal before a grant."""
    rows = records_of(content)
    held: dict[str, tuple[object, bool]] = {}
    for row in rows:
        if set(row) != {"patient_id", "decision", "purpose", "recorded_on"}:
            raise Invalid("other columns")
        if row["decision"] not in ("grant", "withdraw"):
            raise Invalid("no decision")
        if row["purpose"] not in ("training", "scoring", "research", "all"):
            raise Invalid("no purpose")
        day = day_of(row["recorded_on"])
        said = (day, row["decision"] == "withdraw" or day > date.today())
        if row["purpose"] in (purpose, "all"):
            name = name_of(row["patient_id"])
            held[name] = max(held.get(name, said), said)
        else:
            name_of(row["patient_id"])
    return {name for name, (_, withdrawn) in held.items() if name in ASKED and not withdrawn}


@contextmanager
def _log(folder: Path) -> Iterator[tuple[Path, Path]]:
    (folder / "log").mkdir(exist_ok=True)
    path, anchor = folder / "log" / "audit.jsonl", folder / "anchor.json"
    if not path.exists():
        log = AuditLog.open(path, KEY, anchor)
        event = Event("dr nora", "clinician", Action.RANK)
        for each in range(12):
            log.append(replace(event, seed=each, patient=log.pseudonym(f"p{each % 3}")))
    yield path, anchor


def audit_log(folder: Path) -> Reader:
    """Return the reader of an audit log: only what was written passes."""
    with _log(folder) as (path, anchor):
        whole = path.read_bytes()

    def read(content: bytes) -> list[Recorded]:
        path.write_bytes(content)
        try:
            verify(path, KEY, anchor)
            return read_events(path, KEY, anchor)
        finally:
            path.write_bytes(whole)

    def wrong(content: bytes, found: list[Recorded]) -> str | None:
        # What a crash leaves of a further event has no line end.
        as_written = content.startswith(whole) and b"\n" not in content[len(whole) :]
        told = [json.loads(line)["number"] for line in whole.splitlines()]
        if as_written and [each.number for each in found] == told:
            return None
        return "a log that was changed passed for whole"

    lines = (line_twice, line_gone, lines_swapped)
    return Reader("audit log", (whole,), (*BYTES, *lines, *structured()), read, wrong)


def anchor(folder: Path) -> Reader:
    """Return the reader of an anchor: a log passes by one of its own places alone."""
    with _log(folder) as (path, place):
        whole, log = place.read_bytes(), path.read_bytes()
    seals = ["0" * 64, *(json.loads(line)["seal"] for line in log.splitlines())]

    def read(content: bytes) -> object:
        place.write_bytes(content)
        try:
            return verify(path, KEY, place)
        finally:
            place.write_bytes(whole)

    def wrong(content: bytes, _: object) -> str | None:
        try:
            told = json_of(content)
            count, head = told["count"], told["head"]
            known = type(count) is int and 0 <= count < len(seals) and seals[count] == head
        except (Invalid, KeyError, TypeError) as error:
            return f"no anchor: {error!r}"
        return None if known else f"an anchor of another log passed: {told}"

    words = (0, 1, 12, 13, seals[0], seals[3], whole.decode())
    return Reader("audit anchor", (whole,), (*structured(words), *TEXT), read, wrong)
