"""Every group of a run is measured on the same held-out predictions as everybody."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omics_twin.config import Config
from omics_twin.errors import ConfigError
from omics_twin.evaluate.metrics import roc_auc
from omics_twin.evaluate.score import score
from omics_twin.judged.following import RECEIVED, TWIN, Ranked, judge
from omics_twin.judged.interval_coverage import Inside
from omics_twin.judged.offers import offers_of
from omics_twin.judged.predictions import baseline_design
from omics_twin.judged.subgroups import draw, groups_in, judged, numbers_of
from omics_twin.settings import FairnessSettings
from omics_twin.training.tasks import Task
from tests.evaluate import trials
from tests.judged_tasks import HARM, SURVIVAL, judged_task

PATIENTS = 300


@pytest.fixture(scope="module")
def judged_trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[trials.Trial, Task, Config]:
    trial = trials.response(np.random.default_rng(3), PATIENTS, False)
    # The outcome is a harm: its share is shown, and a gain is still that of merit.
    return trial, *judged_task(tmp_path_factory.mktemp("trial"), trial, endpoint=HARM)


def _predictions(truth: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.clip(0.3 * truth + rng.uniform(0.1, 0.6, (2, len(truth))), 0.0, 1.0)


def test_a_group_has_the_metrics_of_its_own_patients(
    judged_trial: tuple[trials.Trial, Task, Config],
) -> None:
    trial, task, config = judged_trial
    received = _predictions(task.outcome.values)
    rows = judged(task, received, config, None, None)["subgroups"]
    own = next(r for r in rows if (r["attribute"], r["group"]) == ("stratum", "0"))
    inside = trial.strata == 0
    truth = task.outcome.values[inside]
    known = [roc_auc(each[inside], truth) for each in received]
    assert own["patients"] == inside.sum()
    assert own["measures"]["auc"]["value"] == pytest.approx(np.mean(known))
    gap = own["measures"]["observed_less_predicted"]["value"]
    assert gap == pytest.approx(truth.mean() - received[:, inside].mean())
    assert {row["attribute"] for row in rows} == {
        "everyone",
        "stratum",
        "stratum_group",
        "marker_group",
    }
    json.dumps(rows, allow_nan=False)


def test_the_value_of_everybody_is_that_of_the_rule(
    judged_trial: tuple[trials.Trial, Task, Config],
) -> None:
    trial, task, config = judged_trial
    offers = offers_of(task, baseline_design(task), config)
    ranked = {TWIN: Ranked(trial.mean + np.zeros((2, 1, 1)))}
    found = judge(task, offers, ranked, None)
    everyone = judged(task, _predictions(task.outcome.values), config, found, None)["subgroups"][0]
    table = found.table
    place, known = table.names.index(TWIN), table.names.index(RECEIVED)
    measures = everyone["measures"]
    assert measures["policy_value"]["value"] == pytest.approx(-table.value[place])
    assert measures["policy_gain"]["value"] == pytest.approx(-table.difference[known])


def test_survival_is_judged_at_the_horizon(tmp_path: Path) -> None:
    seen = trials.survival(np.random.default_rng(5), PATIENTS, False)
    task, config = judged_task(tmp_path, seen.trial, follow_up=seen, endpoint=SURVIVAL)
    days = task.outcome.followed[1]
    speed = np.random.default_rng(6).uniform(0.01, 0.06, (2, PATIENTS, 1))
    received = np.exp(-speed * days)
    everyone = judged(task, received, config, None, None)["subgroups"][0]["measures"]
    known = np.mean([score(task.outcome, each)["uno_c"] for each in received])
    assert everyone["uno_c"]["value"] == pytest.approx(known)
    assert set(everyone) == {"uno_c", "observed_less_predicted"}


def test_coverage_counts_the_intervals_of_the_simulated_copy(
    judged_trial: tuple[trials.Trial, Task, Config], tmp_path: Path
) -> None:
    trial, task, config = judged_trial
    rng = np.random.default_rng(7)
    held = (rng.random((PATIENTS, 4)) < 0.9).astype(float)
    held[trial.strata == 1] = (rng.random((int((trial.strata == 1).sum()), 4)) < 0.6).astype(float)
    inside = Inside(held, np.full((PATIENTS, 6), np.nan))
    found = judged(task, _predictions(task.outcome.values), config, None, inside)
    told = found["fairness"]["coverage"]
    assert set(told) == {"coverage_expected"}
    assert told["coverage_expected"]["furthest_group"] in ("stratum: 1", "stratum_group: 1")
    assert found["subgroups"][0]["measures"]["coverage_expected"]["value"] == held.mean()
    numbers = numbers_of(found)
    assert numbers["fairness.tests"] > 0
    assert numbers["subgroups.stratum.1.coverage_expected"] == held[trial.strata == 1].mean()
    # What MLflow takes as the name of a metric.
    assert all(re.fullmatch(r"[\w\-. /]+", name) for name in numbers)
    draw(found, tmp_path)
    assert (tmp_path / "subgroups.png").stat().st_size > 0


def test_settings_say_which_groups_are_shown_and_tested(
    judged_trial: tuple[trials.Trial, Task, Config],
) -> None:
    trial, task, config = judged_trial
    asked = replace(config.fairness, least_shown=120, least_tested=120)
    config = replace(config, fairness=asked)
    rows = judged(task, _predictions(task.outcome.values), config, None, None)["subgroups"]
    assert any(row["suppressed"] for row in rows)
    assert not any(row["gaps"] for row in rows if row["suppressed"])


def test_folds_and_the_order_of_enrolment_are_no_groups(
    judged_trial: tuple[trials.Trial, Task, Config],
) -> None:
    trial, task, config = judged_trial
    groups = task.cohort.groups.assign(enrolled="1", fold="2", site="A")
    more = replace(task, cohort=replace(task.cohort, groups=groups))
    found, edges = groups_in(more, config)
    assert {"enrolled", "fold"}.isdisjoint(found)
    assert "site" in found
    assert edges == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"least_shown": 1}, "'fairness.least_shown' is 1, expected at least 2"),
        ({"least_shown": 20, "least_tested": 10}, "'fairness.least_tested' is 10"),
        ({"age_edges": [50.0, 40.0]}, "expected rising ages"),
    ],
)
def test_groups_of_nobody_are_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FairnessSettings(**asked)
