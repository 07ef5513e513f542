"""Tell an audit log as FHIR R4: one AuditEvent per event, in one Bundle.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/auditevent.html; codes of DICOM PS3.16, CID 400 and 401.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omics_twin.files import write_json
from omics_twin.trust.audit import Recorded
from omics_twin.trust.event import Action, Event, Outcome

# Events written to a name with this ending are FHIR.
ENDING = ".fhir.json"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_KINDS = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLES = "http://terminology.hl7.org/CodeSystem/object-role"
_PERSON = {"system": _KINDS, "code": "1", "display": "Person"}
_SYSTEM_OBJECT = {"system": _KINDS, "code": "2", "display": "System Object"}
_PATIENT = {"system": _ROLES, "code": "1", "display": "Patient"}
_SIGNING = ("110114", "User Authentication")
_RECORD = ("110110", "Patient Record")
# Code and meaning of the kind of event, and whether it creates, reads or executes.
_TOLD: dict[Action, tuple[str, str, str]] = {
    Action.SIGN_IN: (*_SIGNING, "E"),
    Action.SIGN_IN_REFUSED: (*_SIGNING, "E"),
    Action.SIGN_OUT: (*_SIGNING, "E"),
    Action.OPEN_WORKLIST: ("110112", "Query", "E"),
    Action.OPEN_PATIENT: (*_RECORD, "R"),
    Action.RANK: (*_RECORD, "E"),
    Action.SIMULATE: (*_RECORD, "E"),
    Action.ADD_VISIT: (*_RECORD, "C"),
    Action.ADD_DOSE: (*_RECORD, "C"),
    Action.AMEND: (*_RECORD, "U"),
    Action.DECIDE: (*_RECORD, "C"),
    Action.ADD_CONSENT: (*_RECORD, "C"),
    Action.EXPORT: ("110106", "Export", "R"),
    Action.SCORE: (*_RECORD, "E"),
    Action.TRAIN: (*_RECORD, "E"),
    Action.EVALUATE: (*_RECORD, "E"),
    Action.ADMIT: (*_RECORD, "C"),
    Action.REFUSED: ("110113", "Security Alert", "E"),
    Action.READ_AUDIT: ("110101", "Audit Log Used", "R"),
    Action.SET_ASIDE: ("110100", "Application Activity", "E"),
}
_OUTCOMES = {Outcome.ANSWERED: "0", Outcome.REFUSED: "4", Outcome.FAILED: "8"}


def write_events(events: Sequence[Recorded], output: Path) -> None:
    """Write events as a Bundle, whole or not at all."""
    write_json(output, audit_events(events, datetime.now(UTC)))


def audit_events(events: Sequence[Recorded], told_at: datetime) -> dict[str, Any]:
    """Return a Bundle of events; a patient is a pseudonym, what was shown and answered a digest.

    Parameters
    ----------
    told_at
        When the Bundle was made, with its time zone.
    """
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": told_at.isoformat(timespec="seconds"),
    }
    if events:
        bundle["entry"] = [_entry(each) for each in events]
    return bundle


def _entry(recorded: Recorded) -> dict[str, Any]:
    name = uuid.uuid5(uuid.NAMESPACE_OID, recorded.seal)
    return {"fullUrl": f"urn:uuid:{name}", "resource": _audit_event(recorded)}


def _audit_event(recorded: Recorded) -> dict[str, Any]:
    event = recorded.event
    code, meaning, does = _TOLD[event.action]
    told: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": {"system": _DICOM, "code": code, "display": meaning},
        "subtype": [{"display": event.action.value}],
        "action": does,
        "recorded": recorded.at.isoformat(),
        "outcome": _OUTCOMES[event.outcome],
        "agent": [
            {
                "who": {"identifier": {"value": event.who}},
                "role": [{"text": event.role}],
                "requestor": True,
            }
        ],
        "source": {"observer": {"display": "omics_twin"}},
        "entity": _entities(recorded.number, event),
    }
    if event.purpose is not None:
        told["purposeOfEvent"] = [{"text": event.purpose.value}]
    return told


def _entities(number: int, event: Event) -> list[dict[str, Any]]:
    entities = []
    if event.patient is not None:
        pseudonym = {"type": "Patient", "identifier": {"value": event.patient}}
        entities.append({"what": pseudonym, "type": _PERSON, "role": _PATIENT})
    named = {
        "model, by its digest": event.model,
        "seed of the draws": event.seed,
        "what was shown, by its digest": event.data,
        "answer, by its digest": event.answer,
        "line of the audit log": number,
    }
    for name, value in named.items():
        if value is not None:
            what = {"identifier": {"value": str(value)}}
            entities.append({"what": what, "type": _SYSTEM_OBJECT, "name": name})
    return entities
