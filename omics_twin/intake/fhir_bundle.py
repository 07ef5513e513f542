"""Tell a patient's record as a FHIR R4 Bundle, which is read as the same record again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from omics_twin.errors import IntakeError, OmicsTwinError
from omics_twin.intake.fhir import read_bundle
from omics_twin.intake.fhir_mapping import (
    Combine,
    FhirMapping,
    IndexEvent,
    ObservationRule,
    Target,
)
from omics_twin.intake.fhir_parts import Code, Value
from omics_twin.intake.fhir_values import UCUM, UNITS
from omics_twin.told import PatientRecord

# A reserved name: nobody is asked for a resource there.
_BASE = "http://omics-twin.invalid"
_ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
_CODE_OF = {unit: code for code, unit in reversed(list(UNITS.items()))}


def bundle_of(record: PatientRecord, mapping: FhirMapping, index_date: date) -> dict[str, Any]:
    """Return a Bundle that tells a record, in the codes of a mapping.

    Parameters
    ----------
    index_date
        Day 0.

    Raises
    ------
    IntakeError
        If the mapping has no code for a column, an arm or the index date, or the record would not
        be read the same again: visits of whole days, each with a value, can be told.
    """
    try:
        resources = list(_resources(record, mapping, index_date))
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [
                {"fullUrl": f"{_BASE}/{each['resourceType']}/{each['id']}", "resource": each}
                for each in resources
            ],
        }
        same = read_bundle(bundle, mapping).record == record
    except (OmicsTwinError, OverflowError) as mistake:
        raise _not_told() from mistake
    if not same:
        raise _not_told()
    return bundle


def _not_told() -> IntakeError:
    return IntakeError(
        "the record cannot be told in FHIR by this mapping: expected columns, levels and arms that "
        "it has codes for, and visits in order on whole days, each with a value"
    )


def _resources(
    record: PatientRecord, mapping: FhirMapping, index_date: date
) -> Iterator[dict[str, Any]]:
    subject = {"reference": f"Patient/{record.patient_id}"}
    yield {"resourceType": "Patient", "id": record.patient_id}
    if mapping.index and mapping.index[0].event is IndexEvent.PROCEDURE:
        yield {
            "resourceType": "Procedure",
            "id": "index",
            "status": "completed",
            "code": _concept(min(mapping.index[0].codes)),
            "subject": subject,
            "performedDateTime": index_date.isoformat(),
        }
    for place, (day, target, value) in enumerate(_told(record, mapping)):
        code, rule = _rule_of(target, mapping)
        yield {
            "resourceType": "Observation",
            "id": f"observation-{place}",
            "status": "final",
            "code": _concept(code),
            "subject": subject,
            "effectiveDateTime": _on(index_date, day),
            **_said(value, rule, code),
        }
    before = 0.0
    for place, visit in enumerate(record.visits):
        for number, code in enumerate(_agents(visit.under, mapping)):
            yield {
                "resourceType": "MedicationStatement",
                "id": f"given-{place}-{number}",
                "status": "completed",
                "medicationCodeableConcept": _concept(code),
                "subject": subject,
                "effectivePeriod": {
                    "start": _on(index_date, before),
                    "end": _on(index_date, visit.day),
                },
            }
        before = max(before, visit.day)


def _told(record: PatientRecord, mapping: FhirMapping) -> Iterator[tuple[float, Target, Value]]:
    """Yield day, column and value; what makes the stratum by its column is told there."""
    for column, value in record.stratum.items():
        if column not in mapping.strata:
            yield 0.0, Target("", column), value
    for visit in record.visits:
        for modality, columns in visit.values.items():
            for column, held in columns.items():
                yield visit.day, Target(modality, column), held


def _on(index_date: date, day: float) -> str:
    return (index_date + timedelta(days=int(day))).isoformat()


def _concept(code: Code) -> dict[str, Any]:
    return {"coding": [{"system": code[0], "code": code[1]}]}


def _rule_of(target: Target, mapping: FhirMapping) -> tuple[Code, ObservationRule]:
    """Return a code of a column; one of its own goes before those of a system."""
    of_system = None
    for rule in mapping.observations:
        for code in rule.codes if rule.combine is Combine.LATEST else ():
            if rule.target(code) == target:
                return code, rule
        if rule.system and rule.modality == target.modality:
            of_system = (rule.system, target.column), rule
    if of_system is None:
        raise IntakeError(f"the mapping has no code for {target}: add a rule")
    return of_system


def _said(value: Value, rule: ObservationRule, code: Code) -> dict[str, Any]:
    if value is None:
        return {"dataAbsentReason": _concept((_ABSENT, "unknown"))}
    if rule.unit and not isinstance(value, str):
        unit = _CODE_OF.get(rule.unit, f"{{{rule.unit}}}")
        return {"valueQuantity": {"value": value, "system": UCUM, "code": unit}}
    answers = [each for each, held in rule.answers.items() if held == value]
    if answers:
        return {"valueCodeableConcept": _concept(answers[0])}
    if isinstance(value, str):
        return {"valueCodeableConcept": _concept((code[0], value))}
    return {"valueInteger": int(value)}


def _agents(arm: str | None, mapping: FhirMapping) -> list[Code]:
    """Return a code for each agent of an arm."""
    if arm is None:
        return []
    agents = next((given for given, name in mapping.arms.items() if name == arm), None)
    if agents is None:
        raise IntakeError("the mapping does not know an arm: add its agents")
    codes = {agent: code for code, agent in mapping.agents.items()}
    return [codes.get(each, (mapping.agent_system, each)) for each in sorted(agents)]
