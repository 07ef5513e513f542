"""Doses of a Bundle: given, ordered or said to be taken; what is no dose is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from omics_twin.intake.fhir import FromFhir
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.told import RecordedDose
from tests.intake import fhir_resources as fhir

pytest.importorskip("fhir.resources")

UCUM = "http://unitsofmeasure.org"
DAY = "2024-03-01"


@pytest.fixture
def mapping(tmp_path: Path) -> FhirMapping:
    return fhir.declared(tmp_path)


def amount(value: float, code: str = "mg") -> dict[str, Any]:
    return {"value": value, "system": UCUM, "code": code}


def ordered(*dosages: Any, code: str = "L01CD01", **more: Any) -> fhir.Resource:
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": fhir.concept(fhir.ATC, code),
        "subject": fhir.SUBJECT,
        **({"dosageInstruction": list(dosages)} if dosages else {}),
        **more,
    }


def dosage(repeat: Any = None, dose: Any = None, **more: Any) -> dict[str, Any]:
    timing = {} if repeat is None else {"timing": {"repeat": repeat}}
    rated = {"doseQuantity": amount(80.0) if dose is None else dose}
    return {"doseAndRate": [rated], **timing, **more}


def weekly(**more: Any) -> dict[str, Any]:
    return {"frequency": 1, "period": 1, "periodUnit": "wk", **more}


def read(mapping: FhirMapping, *resources: fhir.Resource) -> FromFhir:
    lab = fhir.observation("718-7", DAY, **fhir.quantity(13.0, "g/dL"))
    first = fhir.administered("L01CD01", DAY)
    return fhir.read(mapping, lab, first, *resources)


def test_what_was_administered_is_a_dose_and_what_is_ordered_a_plan(mapping: FhirMapping) -> None:
    drip = fhir.administered("L01XA02", "", dosage={"dose": amount(0.3, "g")})
    del drip["effectiveDateTime"]
    drip["effectivePeriod"] = {"start": "2024-03-08", "end": "2024-03-10"}
    told = read(
        mapping,
        drip,
        ordered(dosage(weekly(boundsPeriod={"start": "2024-03-15", "end": "2024-04-05"}))),
        fhir.given(
            "L01DB01", "2024-03-01", status="active",
            dosage=[dosage({"frequency": 2, "period": 1, "periodUnit": "d", "count": 6})],
        ),
        ordered({**dosage(), "timing": {"event": ["2024-05-01", "2024-05-03"]}}),
    )  # fmt: skip
    paclitaxel = RecordedDose(drug="paclitaxel", amount=80.0, planned=True)
    assert list(told.doses) == [
        RecordedDose(drug="carboplatin", amount=300.0, start_days=7.0, duration_days=2.0),
        paclitaxel.model_copy(update={"start_days": 14.0, "interval_days": 7.0, "repeat": 4}),
        RecordedDose(drug="doxorubicin", amount=80.0, interval_days=0.5, repeat=6, planned=True),
        paclitaxel.model_copy(update={"start_days": 61.0}),
        paclitaxel.model_copy(update={"start_days": 63.0}),
    ]
    assert not [each for each in told.unmapped if "dose" in each or "schedule" in each]


BOUNDS = {"boundsPeriod": {"start": DAY}}


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        (ordered(dosage(weekly(**BOUNDS))), "its schedule has no end"),
        (ordered(dosage(weekly(count=3))), "no day on which it begins"),
        (ordered(dosage(weekly(**BOUNDS, dayOfWeek=["mon"]))), "'dayOfWeek' is not read"),
        (ordered(dosage({**BOUNDS, "frequency": 1, "period": 1, "periodUnit": "mo"})),
         "in no days, weeks or hours"),
        (ordered(dosage(weekly(**BOUNDS, count=3), amount(80.0, "mg/m2"))), "none was measured by"),
        (ordered(dosage(weekly(**BOUNDS, count=3), amount(80.0, "mg/kg"))), "'mg/kg' is not"),
        (ordered(dosage(weekly(**BOUNDS, count=3), asNeededBoolean=True)), "'asNeededBoolean'"),
        (ordered(dosage(weekly(**BOUNDS, count=3, duration=30, durationUnit="min"))),
         "lasts each time for no days"),
        (fhir.given("L01CD01", DAY, "2024-05-01", dosage=[dosage()]), "no schedule for the days"),
        (fhir.given("L01CD01", DAY, "2024-05-01", status="stopped", dosage=[dosage()]),
         "was stopped"),
        (ordered({"text": "as told"}), "its dosage names no amount"),
        (ordered(), "says nothing of a dose"),
        (ordered(dosage(weekly(**BOUNDS, count=3)), doNotPerform=True), "not to give it"),
        (ordered(dosage(weekly(**BOUNDS, count=3)), status="cancelled"), "is 'cancelled'"),
        (ordered(dosage(weekly(**BOUNDS, count=3)), code="N02BE01"), "no agent, or several"),
        (ordered(dosage(weekly(**BOUNDS, count=99_999))), "given too often"),
        (ordered(dosage(weekly(**BOUNDS, count=3), amount(-1.0))), "its dose is below 0"),
        (fhir.administered("L01CD01", DAY, dosage={"rateQuantity": amount(1.0, "mL/h")}),
         "'rateQuantity' is not read"),
        (fhir.administered("L01CD01", DAY, dosage={"text": "one bag"}), "names no amount"),
    ],
)  # fmt: skip
def test_what_is_no_dose_is_listed(
    mapping: FhirMapping, resource: fhir.Resource, sentence: str
) -> None:
    told = read(mapping, resource)
    assert not told.doses
    assert any(sentence in each for each in told.unmapped), told.unmapped


def test_a_dose_by_body_surface_is_by_the_last_one_measured_before_it(mapping: FhirMapping) -> None:
    def surface(day: str, value: float, code: str = "3140-1") -> fhir.Resource:
        return fhir.observation(code, day, **fhir.quantity(value, "m2"))

    dose = ordered(dosage(weekly(**BOUNDS, count=3), amount(80.0, "mg/m2")))
    measured = [
        surface("2024-02-01", 1.9),
        surface(DAY, 1.75, "8277-6"),
        surface("2024-04-01", 2.0),
    ]
    told = read(mapping, *measured, dose)
    assert [each.amount for each in told.doses] == [pytest.approx(140.0)]
    assert not [each for each in told.unmapped if "3140-1" in each or "8277-6" in each]
    # Where no dose is by it, it is told as what is not used.
    assert sum("3140-1" in each for each in read(mapping, *measured).unmapped) == 2
