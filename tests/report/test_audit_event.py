"""An audit log told as FHIR is what FHIR says it should be, and names no patient."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from omics_twin.cli import main
from omics_twin.intake.fhir_check import check_fhir
from omics_twin.report.audit_event import audit_events
from omics_twin.trust.audit import AuditLog, read_events
from omics_twin.trust.audit_key import VARIABLE
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Event, Outcome, digest_of

pytest.importorskip("fhir.resources")

CANARY = "KANARIE4711"
KEY = bytes(range(32))
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    return AuditLog.open(tmp_path / "audit.jsonl", KEY)


def told(log: AuditLog, folder: Path) -> list[dict[str, Any]]:
    bundle = audit_events(read_events(log.path, KEY), NOW)
    path = folder / "events.json"
    path.write_text(json.dumps(bundle))
    assert [each.sentence for each in check_fhir(path).errors] == []
    return [each["resource"] for each in bundle.get("entry", [])]


def test_every_action_and_outcome_is_told(log: AuditLog, tmp_path: Path) -> None:
    for action in Action:
        for outcome in Outcome:
            log.append(Event("dr nora", "clinician", action, outcome))
    events = told(log, tmp_path)
    assert [each["subtype"][0]["display"] for each in events[::3]] == [
        each.value for each in Action
    ]
    assert [each["outcome"] for each in events[:3]] == ["0", "4", "8"]


def test_an_event_says_who_what_when_and_of_whom(log: AuditLog, tmp_path: Path) -> None:
    event = Event(
        "dr nora",
        "clinician",
        Action.RANK,
        patient=log.pseudonym(CANARY),
        purpose=Purpose.SCORING,
        model=digest_of("model"),
        seed=0,
        data=digest_of("visits"),
        answer=digest_of("lines"),
    )
    log.append(event)
    (found,) = told(log, tmp_path)
    (agent,) = found["agent"]
    assert agent["who"]["identifier"]["value"] == "dr nora"
    assert agent["role"] == [{"text": "clinician"}]
    assert agent["requestor"]
    assert found["recorded"] == read_events(log.path, KEY)[0].at.isoformat()
    assert found["purposeOfEvent"] == [{"text": "scoring"}]
    values = [each["what"]["identifier"]["value"] for each in found["entity"]]
    assert values == [event.patient, event.model, "0", event.data, event.answer, "1"]
    assert CANARY not in json.dumps(found)


def test_a_log_without_events_is_a_bundle_without_entries(log: AuditLog, tmp_path: Path) -> None:
    assert told(log, tmp_path) == []


def test_audit_writes_fhir_by_its_ending(
    log: AuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        log.append(replace(Event("batch", "service", Action.SCORE), seed=seed))
    monkeypatch.setenv(VARIABLE, KEY.hex())
    output = tmp_path / "events.fhir.json"
    assert main(["audit", f"log={log.path}", f"output={output}"]) == 0
    assert check_fhir(output).errors == ()
    kinds = [each["resource"]["resourceType"] for each in json.loads(output.read_text())["entry"]]
    assert kinds == ["AuditEvent"] * 3
