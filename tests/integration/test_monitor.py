"""Later patients like those trained on raise no alarm; patients who are not, do; all in counts."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from omics_twin.admitting import granted
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.records import records_in
from omics_twin.errors import CohortError, ModelError
from omics_twin.lifecycle import monitoring
from omics_twin.lifecycle.monitoring import compared, later_of
from omics_twin.lifecycle.questions import Later
from omics_twin.settings import MonitorSettings, TwinSettings
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun

ASKED = MonitorSettings()


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture(scope="module")
def cohort(small_run: SmallRun) -> Cohort:
    from omics_twin.asked import read_cohort
    from omics_twin.config import load
    from omics_twin.report.console import Console
    from omics_twin.trust.consent import Purpose

    config = load("monitor", [f"synthetic_root={small_run.trial}", "tracking=off"])
    return read_cohort(config, Console(quiet=True), Purpose.SCORING)


@pytest.fixture(scope="module")
def later(model: TrainedModel, cohort: Cohort) -> Later:
    return later_of(model, cohort, TwinSettings(draws=8))


def with_values(later: Later, name: str, values: torch.Tensor) -> Later:
    return replace(later, values={**later.values, name: values})


def alarms(model: TrainedModel, later: Later) -> tuple[str, ...]:
    return compared(model, later, ASKED).alarms


def test_parts_of_the_training_cohort_raise_no_alarm(model: TrainedModel, later: Later) -> None:
    raised = 0
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(len(later.every_arm))
        raised += bool(alarms(model, later.at(order < 60)))
    # Two of forty is the level; four is beyond what chance makes of it (p < 0.05 for five).
    assert raised <= 4


def test_another_batch_of_an_assay_raises_an_alarm(model: TrainedModel, later: Later) -> None:
    expression = later.values["transcriptomics"]
    moved = with_values(later, "transcriptomics", expression + expression.nan_to_num().std(dim=0))
    found = compared(model, moved, ASKED)
    assert {"features", "unlike"} <= set(found.alarms)
    assert found.features[0]["channel"] == "transcriptomics"
    assert found.features[0]["adjusted_p"] < 0.001
    assert any("Gather outcomes" in each for each in monitoring.proposal(found))


def test_a_modality_that_no_longer_comes_raises_an_alarm(model: TrainedModel, later: Later) -> None:
    values = later.values["transcriptomics"].clone()
    values[: len(values) // 2] = torch.nan
    found = compared(model, with_values(later, "transcriptomics", values), ASKED)
    assert found.alarms == ("missing",)
    line = next(each for each in found.missing if each["channel"] == "transcriptomics")
    assert -0.52 < line["change"] < -0.4
    assert "Look at how data come in first" in monitoring.proposal(found)[0]


def test_outcomes_that_are_no_longer_as_expected_raise_an_alarm(
    model: TrainedModel, later: Later
) -> None:
    assert later.outcome is not None
    none = replace(later, outcome=replace(later.outcome, values=np.zeros(len(later.received))))
    found = compared(model, none, ASKED)
    assert found.alarms == ("calibration",)
    assert "Retrain" in monitoring.proposal(found)[0]


def test_patients_who_are_told_apart_the_wrong_way_raise_an_alarm(
    model: TrainedModel, later: Later
) -> None:
    assert later.outcome is not None
    worst = np.argsort(np.argsort(later.received)) < later.outcome.values.sum()
    turned = replace(later.outcome, values=worst.astype(float))
    assert "discrimination" in alarms(model, replace(later, outcome=turned))


def test_without_outcomes_two_questions_are_not_asked(model: TrainedModel, later: Later) -> None:
    found = compared(model, replace(later, outcome=None), ASKED)
    assert [each.name for each in found.questions] == ["features", "missing", "unlike", "expected"]
    assert found.outcomes == 0


def test_few_patients_and_models_that_kept_nothing_are_refused(
    model: TrainedModel, later: Later
) -> None:
    with pytest.raises(CohortError, match="19 patients are to be monitored"):
        compared(model, later.at(np.arange(len(later.every_arm)) < 19), ASKED)
    with pytest.raises(ModelError, match="train it again"):
        compared(replace(model, reference=None), later, ASKED)


def test_a_round_is_written_logged_and_told_by_its_status(
    small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        f"model_uri={small_run.model}",
        "cohort=synthetic",
        f"synthetic_root={small_run.trial}",
        f"output_root={tmp_path / 'runs'}",
        "tracking=off",
    ]
    page, record = tmp_path / "m.html", tmp_path / "m.json"
    assert main(["monitor", *arguments, f"output={page}"]) == 0
    assert "<script" not in page.read_text()
    # With a level of a half and no least size, chance may raise an alarm.
    least = [f"monitor.{each}=0" for each in ("least_stability", "least_bias", "least_missing")]
    capsys.readouterr()
    status = main(["monitor", *arguments, f"output={record}", "monitor.level=0.5", *least])
    found = json.loads(record.read_text())
    assert status == (2 if found["alarms"] else 0)
    assert found["patients"] == 150
    assert not any("patient_id" in key for key in found)
    assert "p000" not in record.read_text().lower()


def test_patients_of_a_chart_are_those_of_the_files_they_came_from(
    small_run: SmallRun,
    model: TrainedModel,
    cohort: Cohort,
    later: Later,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place, page = f"sqlite:///{tmp_path / 'chart.db'}", tmp_path / "chart.json"
    own = [f"chart={place}", f"synthetic_root={small_run.trial}", "tracking=off"]
    with closing(Chart.open(place)) as chart:
        for record in records_in(cohort.select(cohort.patient_ids[:30])):
            name = record.patient_id
            chart.add_patient(name, stratum=record.stratum, by="test")
            chart.add_visit(name, record.visits[0], key="first", by="test")
            # One of them never permitted it.
            if name != cohort.patient_ids[0]:
                chart.add_consent(granted(name, date(2020, 1, 1)), by="test")
    given = [f"model_uri={small_run.model}", f"output_root={tmp_path / 'runs'}", "twin.draws=8"]
    asked = ["monitor", *own, *given]
    assert main([*asked, f"output={page}"]) == 0
    told = capsys.readouterr()
    assert "29 of 30 patients" in told.out
    assert "1 are not compared: 1 do not permit scoring" in told.err
    found = json.loads(page.read_text())
    others = (np.arange(150) > 0) & (np.arange(150) < 30)
    same = compared(model, replace(later.at(others), outcome=None), ASKED)
    assert found["missing"] == list(same.missing)
    assert found["features"] == [json.loads(json.dumps(e)) for e in same.features[:20]]
    assert [each["name"] for each in found["questions"]][-1] == "expected"
    # Nobody was admitted in years to come.
    for since, sentence in (
        ("2100-01-01", "nobody of the chart can be compared"),
        ("soon", "expected a date such as 2027-01-31"),
    ):
        assert main([*asked, f"monitor.since={since}"]) == 1
        assert sentence in capsys.readouterr().err
