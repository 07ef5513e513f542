"""Intervals calibrated on a simulated copy of a cohort, held against the truth."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omics_twin.asked import read_cohort
from omics_twin.cli import main
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import load
from omics_twin.evaluate.causes import summed
from omics_twin.evaluate.design import Outcome
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.judged.simulated import OneDraw, simulated_copy
from omics_twin.report.console import Console
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task, task_of
from omics_twin.trust.consent import Purpose
from tests.conftest import SmallRun

NOMINAL = 0.9


@dataclass(frozen=True)
class Calibrated:
    """A run whose belief was calibrated."""

    arguments: tuple[str, ...]
    run: Path
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Calibrated:
    folder = tmp_path_factory.mktemp("calibrated")
    arguments = (
        "intake.patients=400",
        "intake.genes=200",
        "model=small",
        "split.folds=2",
        "split.repeats=1",
        "split.replicas=3",
        "trainer.max_epochs=12",
        "trainer.device=CPU",
        "twin.draws=240",
        "twin.calibration=SIMULATED_COPY",
        "tracking=off",
        f"synthetic_root={folder / 'trial'}",
    )
    told = ["train", "experiment=synthetic_response", *arguments, f"output_root={folder / 'runs'}"]
    assert main(told) == 0
    latest = json.loads((folder / "runs" / "synthetic_response" / "latest.json").read_text())
    run = Path(latest["run_folder"])
    return Calibrated(arguments, run, json.loads((run / "metrics.json").read_text()))


def test_on_the_copy_intervals_hold_the_share_they_promise(calibrated: Calibrated) -> None:
    after = calibrated.metrics["calibration"]["copy"]["after"]
    shares = [after[name]["coverage"] for name in ("expected", "benefit")]
    # One factor serves both: it is as large as the one that needs more asks for.
    assert min(shares) == pytest.approx(NOMINAL, abs=0.03)
    for name in ("expected", "benefit"):
        assert min(after[name]["by_stratum"].values()) >= NOMINAL - 0.05
    # Under one arm each stratum keeps its own part of an interval: none is wider than it must be.
    assert max(after["expected"]["by_stratum"].values()) <= NOMINAL + 0.03


def test_the_coverage_of_everyone_is_that_of_all_groups_together(calibrated: Calibrated) -> None:
    rows = calibrated.metrics["subgroups"]
    after = calibrated.metrics["calibration"]["copy"]["after"]
    for name in ("expected", "benefit"):
        measure = f"coverage_{name}"
        everyone = rows[0]["measures"][measure]
        assert everyone["value"] == pytest.approx(after[name]["coverage"])
        parts = [r["measures"][measure] for r in rows if r["attribute"] == "hr_positive"]
        assert sum(each["patients"] for each in parts) == everyone["patients"]
        values = [each["value"] for each in parts]
        assert min(values) <= everyone["value"] <= max(values)
    assert {"site", "age_years", "receptor_subtype"} < {row["attribute"] for row in rows}
    model = TrainedModel.load(calibrated.run / "model")
    assert model.provenance["performance"]["subgroups"] == rows
    assert (calibrated.run / "subgroups.png").is_file()


def test_against_the_truth_coverage_is_closer_to_what_is_promised(calibrated: Calibrated) -> None:
    found = calibrated.metrics["calibration"]["truth"]
    before, after = (found[when]["benefit"]["coverage"] for when in ("before", "after"))
    # Seed 0, 400 patients and few epochs: what is left is what the model itself gets wrong.
    assert abs(after - NOMINAL) < abs(before - NOMINAL) - 0.05


def test_the_calibration_is_part_of_the_model(calibrated: Calibrated, tmp_path: Path) -> None:
    model = TrainedModel.load(calibrated.run / "model")
    told = calibrated.metrics["calibration"]
    assert model.calibration.to_json() == {name: told[name] for name in model.calibration.to_json()}
    assert model.calibration.fitted
    widths = []
    for draws in ("240", "600"):
        output = tmp_path / f"{draws}.csv"
        asked = [f"model_uri={calibrated.run}", "cohort=synthetic", f"output={output}"]
        kept = [each for each in calibrated.arguments if "synthetic_root" in each]
        assert main(["rank", *asked, *kept, f"twin.draws={draws}"]) == 0
        lines = list(csv.DictReader(output.read_text().splitlines()))
        widths.append(np.mean([float(x["upper"]) - float(x["lower"]) for x in lines]))
    expected = told["truth"]["after"]["expected"]["width"]
    assert widths == pytest.approx([expected, expected], rel=0.05)


def test_one_line_at_most_of_a_patient_is_recommended(
    calibrated: Calibrated, tmp_path: Path
) -> None:
    output = tmp_path / "ranking.csv"
    asked = [f"model_uri={calibrated.run}", "cohort=synthetic", f"output={output}"]
    asked += [each for each in calibrated.arguments if "synthetic_root" in each]
    assert main(["rank", *asked, "twin.confidence=0.9"]) == 0
    lines = list(csv.DictReader(output.read_text().splitlines()))
    first = [line for line in lines if line["rank"] == "1"]
    assert all(line["recommended"] == "false" for line in lines if line["rank"] != "1")
    for line in first:
        assert (line["recommended"] == "true") == (line["abstention"] == "")
    assert {line["recommended"] for line in first} == {"true", "false"}


@pytest.fixture(scope="module")
def task(small_run: SmallRun) -> Task:
    config = load("train", ["experiment=synthetic_response", *small_run.settings])
    console = Console(quiet=True)
    cohort: Cohort = read_cohort(config, console, Purpose.SCORING)
    return task_of(cohort, config, console)


def test_a_copy_has_responses_as_often_as_its_truth_says(task: Task) -> None:
    truth = np.full((len(task.arms), len(task.catalogue.arms)), 0.2)
    truth[np.arange(len(task.arms)), task.arms] = 0.8
    copy = simulated_copy(task, OneDraw(truth, truth), seed=0)
    assert copy.task.outcome.values.mean() == pytest.approx(0.8, abs=0.1)
    assert copy.task.arms is task.arms
    assert len(copy.task.held_out) == 1
    np.testing.assert_array_equal(copy.truth, truth)


def test_a_copy_of_a_continuous_outcome_has_its_residuals(task: Task) -> None:
    generator = np.random.default_rng(0)
    mean = generator.normal(size=(len(task.arms), len(task.catalogue.arms)))
    values = mean[np.arange(len(mean)), task.arms] + 2.0 * generator.normal(size=len(mean))
    told = _with(task, Outcome(OutcomeKind.CONTINUOUS, values, None, None))
    copy = simulated_copy(told, OneDraw(mean, mean), seed=0)
    rest = copy.task.outcome.values - mean[np.arange(len(mean)), task.arms]
    assert rest.std() == pytest.approx(2.0, rel=0.15)


def test_simulated_events_come_of_what_the_draw_says(task: Task) -> None:
    patients, grid = len(task.arms), np.linspace(0.0, 100.0, 25)[1:]
    even = np.arange(patients) % 2 == 0
    first = np.where(even, 4.0, 0.25)
    rates = np.stack([first, 1.0 / first]) / 80.0
    alive, incidence = summed(np.exp(-rates[:, :, None] * grid))
    generator = np.random.default_rng(1)
    cause = generator.integers(0, 3, patients)
    told = Outcome(
        OutcomeKind.TIME_TO_EVENT,
        generator.uniform(20.0, 120.0, size=patients),
        cause > 0,
        grid,
        by_cause=cause,
        causes=("one", "other"),
    )
    arms = len(task.catalogue.arms)
    every = np.repeat(alive[:, None], arms, axis=1)
    drawn = OneDraw(every, every, np.repeat(incidence[:, :, None], arms, axis=2))
    copied = simulated_copy(_with(task, told), drawn, seed=0).task.outcome
    assert copied.causes == ("one", "other")
    assert copied.by_cause is not None
    happened = copied.followed[0]
    np.testing.assert_array_equal(copied.by_cause > 0, happened)
    # Of constant hazards of 4 and 1/4 the first is the cause in 16 of 17.
    of_first = copied.by_cause == 1
    assert of_first[even & happened].mean() == pytest.approx(16 / 17, abs=0.08)
    assert of_first[~even & happened].mean() == pytest.approx(1 / 17, abs=0.08)


def test_a_copy_of_survival_has_events_and_censoring_as_expected(task: Task) -> None:
    generator = np.random.default_rng(1)
    patients, grid = len(task.arms), np.linspace(0.0, 100.0, 25)[1:]
    values = generator.uniform(20.0, 120.0, size=patients)
    event = generator.random(patients) < 0.5
    curve = np.exp(-grid / 80.0)
    truth = np.broadcast_to(curve, (patients, len(task.catalogue.arms), len(grid)))
    told = _with(task, Outcome(OutcomeKind.TIME_TO_EVENT, values, event, grid))
    copy = simulated_copy(told, OneDraw(truth, truth), seed=0)
    time, happened = copy.task.outcome.followed[1], copy.task.outcome.event
    assert happened is not None
    assert bool((copy.task.outcome.values <= 100.0).all())
    assert bool((copy.task.outcome.values > 0.0).all())
    early = (copy.task.outcome.values <= 20.0) & happened
    # Nobody was censored before day 20.
    assert early.mean() == pytest.approx(1.0 - np.exp(-20.0 / 80.0), abs=0.09)
    assert len(time) == len(grid)


def _with(task: Task, outcome: Outcome) -> Task:

    return replace(task, outcome=outcome)
