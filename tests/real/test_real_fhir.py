"""HL7's own validator cases of R4 and R4B are judged as expected, up to the share named here."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from omics_twin.errors import IntakeError
from omics_twin.intake.fhir import read_bundle, read_bundle_file, wrapped
from omics_twin.intake.fhir_check import check_fhir
from omics_twin.intake.fhir_json import read_json
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.settings import config_folder


def corpus() -> Path:
    root = os.environ.get("OMICS_TWIN_DATA")
    folder = Path(root).parent / "corpora" / "fhir" if root else None
    if folder is None or not (folder / "expected.csv").exists():
        pytest.skip("OMICS_TWIN_DATA has no corpora/fhir beside it: HL7's cases not read")
    return folder


def test_most_invalid_cases_are_refused_and_no_valid_one_without_reason() -> None:
    folder = corpus()
    with (folder / "expected.csv").open(newline="") as file:
        cases = [case for case in csv.DictReader(file) if case["needs"] == "base"]
    invalid = {case["file"] for case in cases if case["expected"] == "invalid"}
    refused = {
        name: bool(check_fhir(folder / name).errors) for name in {case["file"] for case in cases}
    }
    count = Counter((case["expected"], refused[case["file"]]) for case in cases)
    assert count["invalid", True] >= 0.7 * (count["invalid", True] + count["invalid", False])
    # Some files are expected valid under one setting and invalid under another.
    wrongly = {case["file"] for case in cases if case["expected"] == "valid"} - invalid
    assert [name for name in sorted(wrongly) if refused[name]] == []


def test_every_file_is_read_as_a_bundle_or_refused_in_a_sentence() -> None:
    mapping = mapping_of(config_folder() / "fhir" / "ispy2.yaml")
    refused = []
    for path in sorted(corpus().rglob("*.json")):
        try:
            read_bundle_file(path, mapping)
        except IntakeError as mistake:
            refused.append(str(mistake))
    assert refused
    assert not any("\n" in each for each in refused)


def test_a_valid_resource_beside_a_patient_is_listed_with_its_reason() -> None:
    mapping = mapping_of(config_folder() / "fhir" / "ispy2.yaml")
    receptor = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "48676-1"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-03-01",
        "valueCodeableConcept": {
            "coding": [{"system": "http://snomed.info/sct", "code": "10828004"}]
        },
    }
    listed = Counter[str]()
    for path in sorted(corpus().rglob("*.json")):
        resource, findings = read_json(path)
        if resource is None or findings or resource.get("resourceType") in ("Patient", "Bundle"):
            continue
        patient = {"resourceType": "Patient", "id": "p"}
        about = [key for key in ("subject", "patient") if key in resource]
        mine = {**resource, **dict.fromkeys(about, {"reference": "Patient/p"})}
        try:
            told = read_bundle(wrapped([patient, receptor, mine]), mapping)
        except IntakeError:
            continue
        assert told.record.stratum == {"her2_positive": "1"}
        assert told.unmapped or resource["resourceType"] == "Medication", path.name
        listed[str(resource["resourceType"])] += 1
    assert listed["Observation"] > 5
