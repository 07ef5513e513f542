"""A Bundle about one patient becomes a record; what cannot be used is listed, without a value."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_twin.errors import IntakeError
from omics_twin.intake.fhir import read_bundle, read_bundle_file, wrapped
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.trust.consent import Decision, Entry
from tests.intake import fhir_resources as fhir
from tests.intake.fhir_resources import (
    PATIENT,
    SUBJECT,
    Resource,
    bundled,
    concept,
    observation,
    quantity,
    read,
    receptor,
)

pytest.importorskip("fhir.resources")

HB = observation("718-7", **quantity(12.5, "g/dL"))
CANARY = "4711.0815"


@pytest.fixture
def mapping(tmp_path: Path) -> FhirMapping:
    return fhir.declared(tmp_path)


def values(mapping: FhirMapping, *resources: Resource) -> dict[str, Any]:
    """Return the values of day 0, without what the Patient alone says."""
    told = read(mapping, *resources).record.visits[0].values
    clinical = {k: v for k, v in told["clinical"].items() if k not in ("age_years", "sex")}
    return {**told, "clinical": clinical}


def test_a_bundle_becomes_visits_strata_and_arms(mapping: FhirMapping) -> None:
    told = read(
        mapping,
        HB,
        receptor("48676-1", "10828004"),
        fhir.administered("L01CD01", "2024-03-01"),
        fhir.administered("L01CD01", "2024-03-15T09:30:00+01:00"),
        observation("33728-7", "2024-03-22", **quantity(31, "mm")),
    )
    assert told.unmapped == ()
    assert told.record.patient_id == "p-1"
    assert told.record.stratum == {"her2": "1"}
    first, second = told.record.visits
    assert (first.day, first.under) == (0.0, None)
    assert first.values == {
        "lab": {"haemoglobin": 12.5},
        "clinical": {"her2_positive": 1, "age_years": 53, "sex": "F"},
    }
    assert (second.day, second.under) == (21.0, "P")
    assert second.values == {"lesion": {"diameter": pytest.approx(3.1)}}


@pytest.mark.parametrize(
    ("code", "found", "expected"),
    [
        ("718-7", quantity(125, "g/L"), {"lab": {"haemoglobin": 12.5}}),
        ("89247-1", quantity(1, None), {"clinical": {"ecog": 1}}),
        ("89247-1", quantity(1, "{score}"), {"clinical": {"ecog": 1}}),
        ("89247-1", {"valueInteger": 2}, {"clinical": {"ecog": 2}}),
        ("64124-1", {"valueBoolean": True}, {"clinical": {"smoker": 1}}),
        ("64124-1", {"valueInteger": 0}, {"clinical": {"smoker": 0}}),
        (
            "48676-1",
            {"valueCodeableConcept": concept(fhir.SCT, "260385009")},
            {"clinical": {"her2_positive": 0}},
        ),
        ("718-7", {"dataAbsentReason": {"text": "clotted"}}, {"lab": {"haemoglobin": None}}),
    ],
)
def test_every_kind_of_value_is_read(
    code: str, found: Resource, expected: dict[str, Any], mapping: FhirMapping
) -> None:
    told = values(mapping, observation(code, **found))
    assert {"clinical": {}} | expected == told


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (observation("718-7", **quantity(1, "mmol/L")), "'mmol/L' is not converted to 'g/dL'"),
        (observation("718-7", **quantity(1, None)), "has no unit"),
        (observation("718-7", valueQuantity={"value": 1, "unit": "g/dl"}), "no code of UCUM"),
        (observation("718-7", valueQuantity={"value": 1, "comparator": "<"}), "a comparator"),
        (observation("718-7", valueInteger=12), "has no unit"),
        (observation("718-7", valueString="12"), "'valueString' is not read"),
        (observation("718-7", valueBoolean=True), "'valueBoolean' is not read"),
        (observation("718-7"), "has no value"),
        (observation("718-7", **quantity(10**400, "g/dL")), "no finite number"),
        (observation("64124-1", valueInteger=3), "neither 0 nor 1"),
        (observation("64124-1", **quantity(1, "g")), "has a unit"),
        (receptor("48676-1", "42425007"), "none that the mapping knows"),
        (observation("999-9", valueInteger=1), "no rule reads its code"),
        ({**HB, "status": "preliminary"}, "is 'preliminary', expected final"),
        ({**HB, "effectiveDateTime": "2024-03"}, "has no day as its date"),
        (
            {k: v for k, v in HB.items() if k != "effectiveDateTime"}
            | {"effectivePeriod": {"start": "2024-03-01", "end": "2024-03-31"}},
            "has no day as its date",
        ),
        ({**HB, "subject": {"reference": "Patient/p-2"}}, "not about the patient"),
        ({k: v for k, v in HB.items() if k != "subject"}, "not about the patient"),
        ({**HB, "focus": [{"reference": "RelatedPerson/child"}]}, "another person"),
        (
            {**HB, "modifierExtension": [{"url": "http://a.org/not", "valueBoolean": True}]},
            "has a modifierExtension",
        ),
        ({"resourceType": "Basic", "code": {"text": "x"}, "subject": SUBJECT}, "not read"),
        (fhir.given("L01CD01", "2024-03-01", status="not-taken"), "is 'not-taken'"),
        (fhir.given("L01CD01", "2024-03", status="active"), "has no days as its dates"),
        (fhir.given("L01CD01", "2024-03-01", "2024-04"), "has no days as its dates"),
        (fhir.given("N02BE01", "2024-03-01"), "no agent, or several,"),
        (fhir.given("L01CD01", "2023-01-01", "2023-02-01"), "before the index date"),
        (fhir.given("L01CD01", "2024-03-01", status="active"), "after the last visit"),
        (fhir.given("L01CD01", "2024-03-01"), "is 'completed', and has no end"),
        (observation("718-7", **quantity(1, "{g/dL}")), "'{g/dL}' is not converted"),
    ],
)
def test_what_cannot_be_used_is_listed(
    resource: Resource, reason: str, mapping: FhirMapping
) -> None:
    index = {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept(fhir.SCT, "1"),
        "subject": SUBJECT,
        "performedDateTime": "2024-03-01",
    }
    told = read(mapping, index, resource)
    [sentence] = told.unmapped
    assert sentence.startswith("entry 2 (")
    assert reason in sentence
    assert list(told.record.visits[0].values) == ["clinical"]


def test_components_are_read_one_by_one(mapping: FhirMapping) -> None:
    size = observation(
        "21889-1",
        component=[
            {"code": concept(fhir.LOINC, "33728-7"), **quantity(2.5, "cm")},
            {"code": concept(fhir.LOINC, "33729-5"), **quantity(1.5, "cm")},
        ],
    )
    told = read(mapping, size)
    assert told.record.visits[0].values["lesion"] == {"diameter": 2.5}
    [sentence] = told.unmapped
    assert sentence == (
        "entry 1 (Observation) 'loinc|21889-1', component 1 'loinc|33729-5': no rule reads its code"
    )


@pytest.mark.parametrize(
    ("er", "pr", "expected"),
    [
        ("10828004", "260385009", 1),
        ("260385009", "10828004", 1),
        ("260385009", "260385009", 0),
        ("10828004", None, 1),
        ("260385009", None, None),
    ],
)
def test_hormone_receptors_are_negative_only_where_both_are(
    er: str, pr: str | None, expected: int | None, mapping: FhirMapping
) -> None:
    resources = [receptor("16112-5", er)]
    resources += [receptor("16113-3", pr)] if pr else []
    told = read(mapping, *resources)
    assert told.record.visits[0].values["clinical"].get("hr_positive") == expected
    assert any("without 'loinc|16113-3'" in each for each in told.unmapped) is (expected is None)


def variant(gene: str, presence: str = "LA9633-4", **components: str) -> Resource:
    parts = {"48018-6": (fhir.HGNC, gene), "48002-0": (fhir.LOINC, "LA6684-0")}
    return observation(
        "69548-6",
        valueCodeableConcept=concept(fhir.LOINC, presence),
        component=[
            *(
                {"code": concept(fhir.LOINC, code), "valueCodeableConcept": concept(*value)}
                for code, value in parts.items()
            ),
            *(
                {"code": concept(fhir.LOINC, code), "valueCodeableConcept": {"text": value}}
                for code, value in components.items()
            ),
        ],
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([variant("HGNC:11998")], {"TP53": 1}),
        ([variant("TP53")], {"TP53": 1}),
        ([variant("HGNC:11998", "LA9634-2")], {"TP53": 0}),
        ([variant("HGNC:11998", "LA9634-2"), variant("HGNC:11998")], {"TP53": 1}),
    ],
)
def test_a_variant_alters_its_gene(
    found: list[Resource], expected: dict[str, int], mapping: FhirMapping
) -> None:
    told = read(mapping, *found)
    assert told.record.visits[0].values["genomics"] == expected
    assert told.unmapped == ()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (variant("HGNC:1100"), "its gene is none of the mapping's"),
        (variant("HGNC:11998", "LA11884-6"), "neither present nor absent"),
        (
            variant("HGNC:11998", "LA9634-2", **{"48004-6": "NM_000546.6:c.215C>G"}),
            "one variant is absent, which leaves its gene open",
        ),
        (
            json.loads(json.dumps(variant("HGNC:11998")).replace("LA6684-0", "LA6683-2")),
            "genomic source class",
        ),
    ],
)
def test_a_variant_that_says_nothing_of_a_gene_is_listed(
    found: Resource, reason: str, mapping: FhirMapping
) -> None:
    told = read(mapping, HB, found)
    assert [reason in each for each in told.unmapped] == [True]
    assert "genomics" not in told.record.visits[0].values


def test_of_two_on_a_day_the_latest_issued_counts(mapping: FhirMapping) -> None:
    early = {**HB, "issued": "2024-03-01T10:00:00Z"}
    late = {**HB, **quantity(11, "g/dL"), "issued": "2024-03-01T10:30:00+00:00"}
    for order in ((early, late), (late, early)):
        told = read(mapping, *order)
        assert told.record.visits[0].values["lab"] == {"haemoglobin": 11}
        assert ["gives way to" in each for each in told.unmapped] == [True]


def test_without_issues_the_later_time_of_day_counts(mapping: FhirMapping) -> None:
    early = {**HB, "effectiveDateTime": "2024-03-01T09:00:00+02:00"}
    late = {**HB, **quantity(11, "g/dL"), "effectiveDateTime": "2024-03-01T08:00:00Z"}
    told = read(mapping, late, early)
    assert told.record.visits[0].values["lab"] == {"haemoglobin": 11}


def test_a_contradiction_leaves_the_column_open(mapping: FhirMapping) -> None:
    told = read(mapping, HB, {**HB, **quantity(11, "g/dL")})
    assert "lab" not in told.record.visits[0].values
    assert ["is contradicted" in each for each in told.unmapped] == [True, True]


def test_the_same_twice_counts_once(mapping: FhirMapping) -> None:
    told = read(mapping, HB, HB)
    assert told.record.visits[0].values["lab"] == {"haemoglobin": 12.5}
    assert told.unmapped == ()


def test_an_arm_is_what_was_given_since_the_visit_before(mapping: FhirMapping) -> None:
    days = ("2024-03-01", "2024-03-22", "2024-04-12", "2024-05-03", "2024-05-24")
    told = read(
        mapping,
        *(observation("718-7", day, **quantity(12, "g/dL")) for day in days),
        fhir.given("L01CD01", "2024-03-01", "2024-04-12"),
        fhir.given("L01XA02", "2024-03-22", "2024-04-12"),
        fhir.administered("L01DB01", "2024-04-20"),
        fhir.administered("L01XA02", "2024-05-10"),
    )
    assert [each.under for each in told.record.visits] == [None, "P", "PC", "PC", None]
    assert told.unmapped == ("visit 4: before it 'carboplatin' were given, which is no arm",)


def test_a_medication_is_found_by_its_reference(mapping: FhirMapping) -> None:
    bare = {
        key: value
        for key, value in fhir.given("", "2024-03-01", status="active").items()
        if key != "medicationCodeableConcept"
    }
    drug = {"resourceType": "Medication", "id": "m", "code": concept(fhir.RXNORM, "56946")}
    later = observation("718-7", "2024-03-22", **quantity(12, "g/dL"))
    outside = {**bare, "medicationReference": {"reference": "Medication/m"}}
    inside = {**bare, "medicationReference": {"reference": "#m"}, "contained": [drug]}
    for resources in ((drug, outside), (inside,)):
        told = read(mapping, *resources, later)
        assert [each.under for each in told.record.visits] == [None, "P"]


def event(kind: str, **more: Any) -> Resource:
    return {"resourceType": kind, "subject": SUBJECT, **more}


PROCEDURE = event(
    "Procedure",
    status="completed",
    code=concept(fhir.SCT, "1"),
    performedPeriod={"start": "2024-02-20", "end": "2024-02-21"},
)
IMAGES = event(
    "ImagingStudy",
    status="available",
    modality=[{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"}],
    started="2024-02-25T08:00:00Z",
)
CANCER = event(
    "Condition",
    meta={"profile": [f"{fhir.PRIMARY}|4.0.0"]},
    clinicalStatus={"coding": [{"system": "http://a.org/c", "code": "active"}]},
    code=concept(fhir.SCT, "254837009"),
    extension=[
        {
            "url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate",
            "valueDateTime": "2024-02-28",
        }
    ],
)


@pytest.mark.parametrize(
    ("resources", "day"),
    [
        ((PROCEDURE, IMAGES, CANCER), 10),
        ((IMAGES, CANCER), 5),
        ((CANCER,), 2),
        ((fhir.administered("L01CD01", "2024-02-27"),), 3),
        ((), 0),
        (({**PROCEDURE, "status": "not-done"}, CANCER), 2),
    ],
)
def test_the_first_event_of_the_mapping_makes_the_index_date(
    resources: tuple[Resource, ...], day: float, mapping: FhirMapping
) -> None:
    told = read(mapping, HB, *resources)
    assert next(v.day for v in told.record.visits if "lab" in v.values) == day


def test_without_an_index_date_the_bundle_is_refused(tmp_path: Path) -> None:
    only = fhir.declared(tmp_path, index=[{"event": "FIRST_TREATMENT"}])
    with pytest.raises(IntakeError, match="no index date, expected the day of one of 'FIRST_TREA"):
        read(only, HB)


def test_what_was_measured_shortly_before_is_shown_on_day_0(tmp_path: Path) -> None:
    mapping = fhir.declared(tmp_path, baseline_days=30)
    told = read(
        mapping,
        fhir.administered("L01CD01", "2024-03-01"),
        observation("718-7", "2023-06-01", **quantity(9, "g/dL")),
        observation("718-7", "2024-02-10", **quantity(10, "g/dL")),
        observation("718-7", "2024-02-20", **quantity(11, "g/dL")),
        receptor("48676-1", "260385009", "2024-02-12"),
        observation("718-7", "2024-03-05", **quantity(12, "g/dL")),
    )
    first, later = told.record.visits
    assert (first.day, first.values["lab"]) == (0.0, {"haemoglobin": 11})
    assert (later.day, later.values["lab"]) == (4.0, {"haemoglobin": 12})
    assert told.record.stratum == {"her2": "0"}
    assert [each.split(": ")[1][:12] for each in told.unmapped] == ["was measured", "gives way to"]


def test_a_condition_is_a_column_or_a_stratum(mapping: FhirMapping) -> None:
    diabetes = event("Condition", code=concept(fhir.SCT, "44054006"), onsetDateTime="2001-01-01")
    told = read(mapping, HB, diabetes, CANCER)
    assert told.record.visits[0].values["clinical"]["diabetes"] == 1
    assert told.record.stratum == {"cancer": "1"}
    doubted = concept("http://a.org/v", "refuted")
    for change in ({"verificationStatus": doubted}, {"abatementDateTime": "2010-01-01"}):
        told = read(mapping, HB, {**diabetes, **change})
        assert ["is not active and confirmed" in each for each in told.unmapped] == [True]
        assert "diabetes" not in told.record.visits[0].values["clinical"]


def test_consents_become_entries(mapping: FhirMapping) -> None:
    day = date(2024, 2, 1)
    told = read(
        mapping,
        HB,
        fhir.consent("permit"),
        fhir.consent("deny", "research"),
        fhir.consent("deny", provision={"type": "deny", "period": {"start": "2024"}}),
    )
    assert told.consents == (
        Entry("p-1", Decision.GRANT, "scoring", day),
        Entry("p-1", Decision.WITHDRAW, "research", day),
        Entry("p-1", Decision.WITHDRAW, "training", day),
        Entry("p-1", Decision.WITHDRAW, "scoring", day),
    )
    assert told.unmapped == ()


def test_a_permit_for_a_period_is_a_grant_that_ends(mapping: FhirMapping) -> None:
    period = {"start": "2024-03-01", "end": "2030-12-31"}
    told = read(mapping, HB, fhir.consent("", provision={"type": "permit", "period": period}))
    assert {(each.valid_from, each.valid_until) for each in told.consents} == {
        (date(2024, 3, 1), date(2030, 12, 31))
    }


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        (fhir.consent("permit", status="inactive"), "is 'inactive', expected 'active'"),
        (fhir.consent("permit", dateTime="2024-02"), "has no day as its dateTime"),
        (fhir.consent("permit", "adr"), "none of the mapping's"),
        (fhir.consent("", provision={"period": {"end": "2030"}}), "neither 'permit' nor 'deny'"),
        (
            fhir.consent("", provision={"type": "permit", "period": {"end": "2030"}}),
            "its permit is limited by 'period'",
        ),
        (
            fhir.consent("", provision={"type": "permit", "period": {"end": "2020-01-01"}}),
            "its permit ends before it is given",
        ),
        (
            fhir.consent("", provision={"type": "permit", "provision": [{"type": "deny"}]}),
            "its permit is limited by 'provision'",
        ),
        (fhir.consent("permit", patient={"reference": "Patient/p-2"}), "not about the patient"),
    ],
)
def test_a_consent_that_is_not_plain_grants_nothing(
    resource: Resource, reason: str, mapping: FhirMapping
) -> None:
    told = read(mapping, HB, resource)
    assert told.consents == ()
    assert [reason in each for each in told.unmapped] == [True]


@pytest.mark.parametrize(
    "reference",
    [
        {"reference": "Patient/p-1/_history/3"},
        {"reference": "http://a.org/Patient/p-1"},
        {"identifier": {"system": "urn:oid:1.2.3", "value": "4711"}},
    ],
)
def test_the_patient_is_known_by_id_url_and_identifier(
    reference: Resource, mapping: FhirMapping
) -> None:
    bundle = bundled({**HB, "subject": reference}, kind="transaction")
    bundle["entry"][0]["fullUrl"] = "http://a.org/Patient/p-1"
    told = read_bundle(bundle, mapping, patient_id="pseudonym")
    assert (told.record.patient_id, told.unmapped) == ("pseudonym", ())


@pytest.mark.parametrize(
    ("bundle", "told"),
    [
        (bundled(PATIENT), "holds 2 Patients, expected one"),
        ({"resourceType": "Bundle", "type": "collection"}, "holds 0 Patients"),
        (bundled(kind="history"), "of type 'history', expected one of 'collection'"),
        (PATIENT, "found a Patient, expected a Bundle"),
        (bundled(patient={"resourceType": "Patient"}), "the Patient has no id"),
        (bundled({**HB, "status": CANARY}), "(1 findings, the first in entry 1)"),
        (bundled({"resourceType": CANARY}), "(1 findings)"),
        ({"resourceType": "Bundle", "type": "collection", "entry": 3}, "(1 findings)"),
        ({CANARY: 1}, "(1 findings)"),
    ],
)
def test_a_bundle_that_is_none_is_refused_without_a_value(
    bundle: Resource, told: str, mapping: FhirMapping
) -> None:
    with pytest.raises(IntakeError) as caught:
        read_bundle(bundle, mapping)
    assert told in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_page_of_a_search_says_that_more_follow(mapping: FhirMapping) -> None:
    bundle = bundled(HB, kind="searchset")
    bundle["link"] = [{"relation": "next", "url": "http://a.org/?page=2"}]
    assert read_bundle(bundle, mapping).unmapped == (
        "the Bundle is one page of several: the others are not read",
    )


def test_a_prefetch_is_wrapped(mapping: FhirMapping) -> None:
    labs = bundled({**HB, "id": "1"}, {**HB, "id": "1"}, kind="searchset")
    labs["entry"][0]["search"] = {"mode": "include"}
    labs["link"] = [{"relation": "next", "url": "http://a.org/?page=2"}]
    prefetch = {"patient": PATIENT, "labs": labs, "scans": None}
    bundle = wrapped(prefetch.values())
    assert len(bundle["entry"]) == 2
    told = read_bundle(bundle, mapping)
    assert told.record.visits[0].values["lab"] == {"haemoglobin": 12.5}
    assert len(told.unmapped) == 1
    with pytest.raises(IntakeError, match="not as FHIR R4 has it"):
        read_bundle(wrapped([PATIENT, {**bundled(), "entry": [3]}]), mapping)


def test_the_same_id_on_another_server_is_another_patient(mapping: FhirMapping) -> None:
    bundle = bundled({**HB, "id": "1"})
    bundle["entry"][0]["fullUrl"] = "http://a.org/Patient/p-1"
    bundle["entry"][1]["fullUrl"] = "http://b.org/Observation/1"
    with pytest.raises(IntakeError, match=r"no index date.*entry 1 .* is not about the patient"):
        read_bundle(bundle, mapping)
    bundle["entry"][1]["fullUrl"] = "http://a.org/Observation/1"
    assert read_bundle(bundle, mapping).unmapped == ()


def test_a_file_is_refused_in_the_sentences_of_the_check(
    mapping: FhirMapping, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundled(HB)))
    assert read_bundle_file(path, mapping) == read(mapping, HB)
    path.write_text(json.dumps(bundled({**HB, "status": "banana"})))
    with pytest.raises(IntakeError, match=r"entry\[1\].resource.status is 'banana', expected one"):
        read_bundle_file(path, mapping)
    path.write_text("{" * 100_000)
    with pytest.raises(IntakeError, match="'bundle.json' cannot be used"):
        read_bundle_file(path, mapping)
    with pytest.raises(IntakeError, match="does not exist"):
        read_bundle_file(tmp_path / "none.json", mapping)


def test_nesting_without_end_is_refused(mapping: FhirMapping) -> None:
    deep: Resource = {"url": "http://a.org/x", "valueBoolean": True}
    for _ in range(3000):
        deep = {"url": "http://a.org/x", "extension": [deep]}
    with pytest.raises(IntakeError, match="not as FHIR R4 has it"):
        read(mapping, {**HB, "extension": [deep]})


def test_an_unmapped_sentence_repeats_no_value(mapping: FhirMapping) -> None:
    canary = "canary-answer"
    told = read(
        mapping,
        observation("718-7", valueString=canary),
        observation("718-7", valueQuantity={"value": 4711.0815, "unit": canary}),
        receptor("48676-1", canary),
        {**HB, "subject": {"reference": f"Patient/{canary}"}},
        {**HB, "note": [{"text": canary}], "status": "preliminary"},
        fhir.consent("permit", dateTime="2024", organization=[{"display": canary}]),
        fhir.given("L01CD01", "2024", note=[{"text": canary}]),
        HB,
    )
    assert len(told.unmapped) == 7
    assert not any(canary in each or CANARY in each for each in told.unmapped)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "2024-03", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    which=st.sampled_from([HB, PROCEDURE, IMAGES, CANCER, fhir.given("L01CD01", "2024-03-01")]),
    key=st.sampled_from(["code", "status", "subject", "effectiveDateTime", "valueQuantity", "id"]),
    value=ANY,
)
def test_whatever_stands_in_a_resource_is_read_listed_or_refused(
    which: Resource, key: str, value: object, mapping: FhirMapping
) -> None:
    try:
        told = read(mapping, observation("89247-1", valueInteger=1), {**which, key: value})
    except IntakeError:
        return
    assert told.record.visits[-1].values or told.unmapped
