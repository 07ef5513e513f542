"""Five bundles written from mCODE's public profiles: each resource is used, or listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omics_twin.intake.fhir_parts import Held
from tests.intake import fhir_resources as fhir

pytest.importorskip("fhir.resources")

DAY, LATER = "2024-03-01", "2024-03-22"
ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"


def profiled(name: str, resource: fhir.Resource) -> fhir.Resource:
    url = f"http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-{name}"
    return {**resource, "meta": {"profile": [url]}}


def condition(name: str, code: str, day: str = DAY) -> fhir.Resource:
    status = "http://terminology.hl7.org/CodeSystem/condition-"
    return profiled(
        name,
        {
            "resourceType": "Condition",
            "clinicalStatus": fhir.concept(f"{status}clinical", "active"),
            "verificationStatus": fhir.concept(f"{status}ver-status", "confirmed"),
            "code": fhir.concept(fhir.SCT, code),
            "subject": fhir.SUBJECT,
            "extension": [{"url": ASSERTED, "valueDateTime": day}],
        },
    )


def marker(code: str, answer: str) -> fhir.Resource:
    return profiled("tumor-marker-test", fhir.receptor(code, answer))


def coded(name: str, code: str, answer: str) -> fhir.Resource:
    return profiled(name, fhir.receptor(code, answer))


def variant(gene: str, symbol: str) -> fhir.Resource:
    present = fhir.concept(fhir.LOINC, "LA9633-4")
    parts = [
        {"code": fhir.concept(fhir.LOINC, "48018-6"),
         "valueCodeableConcept": fhir.concept(fhir.HGNC, gene, display=symbol)},
        {"code": fhir.concept(fhir.LOINC, "48002-0"),
         "valueCodeableConcept": fhir.concept(fhir.LOINC, "LA6684-0")},
    ]  # fmt: skip
    found = fhir.observation("69548-6", DAY, valueCodeableConcept=present, component=parts)
    return profiled("genomic-variant", found)


def size(day: str, centimetres: float) -> fhir.Resource:
    longest = {"code": fhir.concept(fhir.LOINC, "33728-7"), **fhir.quantity(centimetres, "cm")}
    return profiled("tumor-size", fhir.observation("21889-1", day, component=[longest]))


def given(code: str, day: str, **more: Any) -> fhir.Resource:
    told = fhir.administered(code, day, **more)
    return profiled("cancer-related-medication-administration", told)


def procedure(name: str, code: str, day: str) -> fhir.Resource:
    told = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": fhir.concept(fhir.SCT, code),
        "subject": fhir.SUBJECT,
        "performedDateTime": day,
    }
    return profiled(name, told)


BY_SURFACE = {"value": 80, "system": "http://unitsofmeasure.org", "code": "mg/m2"}
BUNDLES = {
    "breast, no receptor": [
        condition("primary-cancer-condition", "254837009"),
        marker("16112-5", "260385009"),
        marker("16113-3", "260385009"),
        marker("48676-1", "260385009"),
        coded("tnm-stage-group", "21908-9", "258219007"),
        given("L01CD01", DAY),
        size(DAY, 3.1),
        size(LATER, 2.4),
    ],
    "breast, triple negative": [
        condition("primary-cancer-condition", "706970001"),
        marker("16112-5", "260385009"),
        marker("48676-1", "260385009"),
        variant("HGNC:11998", "TP53"),
        profiled("ecog-performance-status", fhir.observation("89247-1", DAY, valueInteger=1)),
        given("L01CD01", DAY),
        given("L01XA02", DAY),
        size(LATER, 1.8),
        fhir.consent("permit"),
    ],
    "breast, HER2, operated": [
        condition("primary-cancer-condition", "254837009"),
        marker("48676-1", "10828004"),
        fhir.observation("3140-1", DAY, **fhir.quantity(1.7, "m2")),
        given("L01CD01", DAY, dosage={"dose": BY_SURFACE}),
        procedure("cancer-related-surgical-procedure", "392021009", "2024-09-01"),
        size(LATER, 2.0),
    ],
    "lung": [
        condition("primary-cancer-condition", "254637007"),
        variant("HGNC:3236", "EGFR"),
        coded("cancer-disease-status", "97509-4", "268910001"),
        marker("85147-7", "10828004"),
        given("L01EB04", DAY),
        size(DAY, 4.0),
    ],
    "colorectal, with metastases": [
        condition("primary-cancer-condition", "363406005"),
        condition("secondary-cancer-condition", "94381002"),
        condition("comorbid-condition", "44054006"),
        procedure("radiotherapy-course-summary", "1217123003", LATER),
        given("L01XA02", LATER),
        fhir.observation("718-7", DAY, **fhir.quantity(11.2, "g/dL")),
        fhir.consent("deny", "research"),
    ],
}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_resource_of_an_mcode_bundle_is_used_or_listed(name: str, tmp_path: Path) -> None:
    mapping, resources = fhir.declared(tmp_path), BUNDLES[name]
    told = fhir.read(mapping, *resources)
    assert told.record.visits
    for place, each in enumerate(resources):
        others = fhir.read(mapping, *resources[:place], *resources[place + 1 :])
        used = (others.record, others.doses, others.consents) != (
            told.record,
            told.doses,
            told.consents,
        )
        # The patient is the first of the bundle.
        listed = any(str(Held(place + 1, each)) in sentence for sentence in told.unmapped)
        assert used or listed, (place, told.unmapped)
