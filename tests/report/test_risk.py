"""A ranking told as FHIR is what FHIR says it should be, and says no more than the ranking."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from omics_twin.cli import main
from omics_twin.intake.fhir_check import check_fhir
from omics_twin.report.risk import risk_assessments
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun

pytest.importorskip("fhir.resources")

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def line(**changed: Any) -> dict[str, Any]:
    return {
        "patient_id": "p1",
        "rank": 1,
        "intervention": "control",
        "expected": 0.412,
        "lower": 0.25,
        "upper": 0.578,
        "probability_best": 0.7,
        "support": 31,
        "eligible": True,
        "reason": "",
        "recommended": True,
        "abstention": "",
        **changed,
    }


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


def assessed(model: TrainedModel, told: dict[str, Any], folder: Path) -> dict[str, Any]:
    bundle = risk_assessments(model, [told], TwinSettings(), NOW)
    path = folder / "a.json"
    path.write_text(json.dumps(bundle))
    assert [each.sentence for each in check_fhir(path).errors] == []
    return bundle["entry"][0]["resource"]


def test_a_probability_is_told_with_its_interval(model: TrainedModel, tmp_path: Path) -> None:
    told = assessed(model, line(), tmp_path)
    (prediction,) = told["prediction"]
    ends = prediction["probabilityRange"]
    assert (ends["low"]["value"], ends["high"]["value"]) == (25.0, 57.8)
    assert {ends[each]["code"] for each in ends} == {"%"}
    assert "41" in prediction["rationale"]
    assert told["status"] == "preliminary"
    assert told["subject"] == {"reference": "Patient/p1"}
    assert "no treatment order" in told["note"][-1]["text"]


def test_a_therapy_that_is_not_open_says_why(model: TrainedModel, tmp_path: Path) -> None:
    nothing = dict.fromkeys(("rank", "expected", "lower", "upper", "probability_best"))
    told = assessed(model, line(**nothing, eligible=False, reason="nobody received it"), tmp_path)
    assert "prediction" not in told
    assert "nobody received it" in told["note"][0]["text"]


def test_a_time_is_told_in_words_alone(model: TrainedModel, tmp_path: Path) -> None:
    endpoint = replace(model.endpoint, reading=Reading.MEAN_UP_TO_HORIZON)
    timed = replace(model, endpoint=endpoint, outcome_kind="time_to_event")
    (prediction,) = assessed(timed, line(), tmp_path)["prediction"]
    assert "probabilityRange" not in prediction
    assert "belief" in prediction["rationale"]


def test_a_name_that_is_no_id_is_an_identifier(model: TrainedModel, tmp_path: Path) -> None:
    told = assessed(model, line(patient_id="<b>ä 1</b>"), tmp_path)
    assert told["subject"]["identifier"] == {"value": "<b>ä 1</b>"}


def test_rank_writes_fhir_by_its_ending(small_run: SmallRun, tmp_path: Path) -> None:
    output = tmp_path / "ranking.fhir.json"
    asked = [f"model_uri={small_run.run}", "cohort=synthetic", *small_run.settings]
    assert main(["rank", *asked, "excluded=true", f"output={output}"]) == 0
    assert check_fhir(output).errors == ()
    bundle = json.loads(output.read_text())
    kinds = {each["resource"]["resourceType"] for each in bundle["entry"]}
    assert kinds == {"RiskAssessment"}
