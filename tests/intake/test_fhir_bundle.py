"""A record that is told as a Bundle is read as the same record, or is not told."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_twin.bedside.record import ranked
from omics_twin.errors import IntakeError
from omics_twin.intake.fhir import read_bundle, read_bundle_file
from omics_twin.intake.fhir_bundle import bundle_of
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord, record_of
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun
from tests.intake import fhir_resources as fhir

pytest.importorskip("fhir.resources")

SYNTHETIC = fhir.shipped("synthetic")
INDEX = date(2024, 3, 1)
NUMBER = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6)
GENE = st.sampled_from(["ESR1", "TP53", "MKI67", "HLA-A", "AC004.1"])
VALUES = {
    "clinical": st.fixed_dictionaries(
        {},
        optional={
            "age_years": NUMBER | st.none(),
            "hr_positive": st.sampled_from([0, 1, None]),
            "stage": st.sampled_from(["I", "II", "III", None]),
        },
    ),
    "genomics": st.dictionaries(
        st.sampled_from(["TP53_mutation", "BRCA1_mutation", "NEW_mutation"]),
        st.sampled_from([0, 1, None]),
    ),
    "transcriptomics": st.dictionaries(GENE, NUMBER | st.none()),
    "radiomics": st.dictionaries(
        st.sampled_from(["tumour_volume_cm3", "sphericity", "background_enhancement_percent"]),
        NUMBER,
    ),
}


@st.composite
def records(draw: st.DrawFn) -> PatientRecord:
    days = sorted(draw(st.sets(st.integers(-400, 4000), max_size=4)))
    visits = []
    for day in days:
        measured = {name: draw(each) for name, each in VALUES.items()}
        kept = {name: columns for name, columns in measured.items() if columns}
        arm = st.sampled_from([*SYNTHETIC.arms.values(), None]) if day > 0 else st.none()
        values = kept or {"radiomics": {"sphericity": 0.5}}
        visits.append({"day": float(day), "values": values, "under": draw(arm)})
    stratum = st.dictionaries(
        st.sampled_from(["hr_positive", "her2_positive"]), st.sampled_from(["0", "1"])
    )
    return record_of({"patient_id": "p1", "stratum": draw(stratum), "visits": visits})


@settings(max_examples=100, deadline=None)
@given(record=records())
def test_a_record_told_and_read_is_the_same_record(record: PatientRecord) -> None:
    again = read_bundle(bundle_of(record, SYNTHETIC, INDEX), SYNTHETIC)
    assert (again.record, again.unmapped) == (record, ())


def visit(**more: Any) -> dict[str, Any]:
    return {"day": 0.0, "values": {"radiomics": {"sphericity": 0.5}}, **more}


def test_a_bundle_is_the_same_through_a_file(tmp_path: Path) -> None:
    record = record_of(
        {"patient_id": "p1", "visits": [visit(), visit(day=21.0, under="paclitaxel")]}
    )
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle_of(record, SYNTHETIC, INDEX)))
    assert read_bundle_file(path, SYNTHETIC).record == record


def test_the_other_mapping_tells_its_records_too() -> None:
    clinical = {"her2_positive": 0, "hr_positive": 1, "mammaprint_ultra_high": 1, "age_years": 51}
    record = record_of(
        {
            "patient_id": "p1",
            "stratum": {"her2_positive": "0", "hr_positive": "1", "mammaprint_ultra_high": "1"},
            "visits": [
                {"values": {"clinical": clinical, "expression": {"ESR1": 0.25}}},
                {"day": 21.0, "values": {"mri": {"sphericity": 0.5}}, "under": "TDM1/P"},
            ],
        }
    )
    mapping = fhir.shipped("ispy2")
    assert read_bundle(bundle_of(record, mapping, INDEX), mapping).record == record


def test_a_patient_comes_as_a_bundle_and_is_ranked(small_run: SmallRun) -> None:
    model = TrainedModel.load(small_run.model)
    clinical = {"age_years": 51, "hr_positive": 1, "her2_positive": 0, "stage": "II"}
    follow_up = {"radiomics": {"tumour_volume_cm3": 4.5}}
    record = record_of(
        {
            "patient_id": "p1",
            "stratum": {"hr_positive": "1", "her2_positive": "0"},
            "visits": [
                {"values": {"clinical": clinical}},
                {"day": 21.0, "values": follow_up, "under": "paclitaxel"},
            ],
        }
    )
    told = read_bundle(bundle_of(record, SYNTHETIC, INDEX), SYNTHETIC).record
    again, expected = (ranked(model, each, TwinSettings())[1] for each in (told, record))
    assert torch.equal(again.expected, expected.expected)


@pytest.mark.parametrize(
    "visits",
    [
        [visit(day=0.5)],
        [visit(values={})],
        [visit(), visit()],
        [visit(day=21.0), visit()],
        [visit(day=1e9)],
        [visit(under="paclitaxel")],
        [visit(day=21.0, under="water")],
        [visit(values={"imaging": {"x": 1}})],
        [visit(values={"genomics": {"TP53_mutation": 0.5}})],
        [visit(values={"radiomics": {"sphericity": "round"}})],
    ],
)
def test_a_record_that_would_not_be_the_same_is_not_told(visits: list[dict[str, Any]]) -> None:
    record = record_of({"patient_id": "p1", "visits": visits})
    with pytest.raises(IntakeError, match="cannot be told in FHIR by this mapping"):
        bundle_of(record, SYNTHETIC, INDEX)
