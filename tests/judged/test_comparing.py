"""Baselines beside the twin see what it sees, and learn from nobody else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omics_twin.evaluate.score import score
from omics_twin.judged.comparing import by_part, linear_predictions, numbers_of, paired
from omics_twin.judged.predictions import baseline_design
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from omics_twin.training.tasks import Task
from tests.evaluate import trials
from tests.judged_tasks import judged_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """Return 160 patients with a visit planned on day 21; the second half came on day 30."""
    folder = tmp_path_factory.mktemp("comparing")
    made, _ = judged_task(folder, trials.response(np.random.default_rng(2), 160, False))
    size = Feature("size", "size", None, "mm", binary=False, log=False)
    visit = ChannelDesign("mri@21", "mri", 21.0, 14.0, 0.0, absent_is_zero=False, features=(size,))
    days = torch.where(torch.arange(160) < 80, 21.0, 30.0).double()
    measured = torch.arange(160.0)[:, None].to(made.matrices.values["clinical"])
    matrices = replace(
        made.matrices,
        values=made.matrices.values | {"mri@21": measured},
        days=made.matrices.days | {"mri@21": days},
    )
    return replace(made, design=Design((*made.design.channels, visit)), matrices=matrices)


def test_a_baseline_sees_the_visits_that_the_twin_has_seen(task: Task) -> None:
    assert "size" not in baseline_design(task).names
    seen = baseline_design(task, as_of_days=21.5).values[:, -1]
    assert np.isfinite(seen[:80]).all()
    assert np.isnan(seen[80:]).all()
    assert np.isfinite(baseline_design(task, as_of_days=30.0).values[:, -1]).all()


def test_only_patients_who_were_followed_teach_the_baseline_of_a_visit(task: Task) -> None:
    followed = np.arange(160) % 3 > 0
    design = baseline_design(task, as_of_days=21.5)
    name, first = linear_predictions(task, design, followed, seed=1)
    assert name == "logistic"
    assert np.isfinite(first[:, followed]).all()
    assert np.isnan(first[:, ~followed]).all()
    values = np.where(followed, task.outcome.values, 1.0 - task.outcome.values)
    turned = replace(task, outcome=replace(task.outcome, values=values))
    _, again = linear_predictions(turned, design, followed, seed=1)
    np.testing.assert_array_equal(first, again)


def test_the_twin_less_a_baseline_is_the_difference_of_their_metrics(task: Task) -> None:
    rng = np.random.default_rng(3)
    truth = task.outcome.values
    twin, other = (
        np.clip(0.4 * truth + rng.uniform(0.0, spread, (2, 160)), 0.0, 1.0) for spread in (0.6, 1.0)
    )
    found = paired(task, twin, {"logistic": other})["logistic"]
    scores = [[score(task.outcome, each) for each in learner] for learner in (twin, other)]
    for metric, better in (("auc", 1.0), ("brier", -1.0)):
        mine, theirs = (np.mean([each[metric] for each in learner]) for learner in scores)
        each = found[metric]
        assert each["mean"] == pytest.approx(mine - theirs)
        assert each["lower"] < each["mean"] < each["upper"]
        assert min(better * each["lower"], better * each["upper"]) > 0.0
    assert numbers_of({"logistic": found})["paired.logistic.brier.mean"] == found["brier"]["mean"]


def test_a_part_is_judged_on_its_own_patients_and_counts_once_in_the_mean(task: Task) -> None:
    assert by_part(task, np.zeros((2, 160)), {}) == {}
    truth = task.outcome.values
    part = np.where(np.arange(160) < 120, "large", "small")
    # Whoever knows the part alone knows nothing within one.
    pooled = np.tile(np.where(part == "large", 0.9, 0.1), (2, 1))
    pooled[0, ::2] += 0.001
    right = np.where(part == "large", truth, 1.0 - truth)[None].repeat(2, axis=0)
    groups = task.cohort.groups.assign(part=part)
    found = by_part(replace(task, cohort=replace(task.cohort, groups=groups)), right, {"p": pooled})
    assert found["metric"] == "auc"
    assert {name: each["n"] for name, each in found["parts"].items()} == {"large": 120, "small": 40}
    assert found["parts"]["large"]["model"] == {"mean": 1.0, "sd": 0.0}
    assert found["parts"]["small"]["model"]["mean"] == 0.0
    assert found["mean"]["model"] == {"mean": 0.5, "sd": 0.0}
    assert found["mean"]["baselines"]["p"]["mean"] == pytest.approx(0.5, abs=0.1)
    assert found["parts"]["large"]["baselines"]["p"]["sd"] > 0.0


def test_a_part_in_which_the_metric_is_not_known_is_not_in_the_mean(task: Task) -> None:
    part = np.where(task.outcome.values == 1, "all_alike", "mixed")
    part[:40] = "mixed"
    groups = task.cohort.groups.assign(part=part)
    right = np.tile(task.outcome.values, (1, 1))
    found = by_part(replace(task, cohort=replace(task.cohort, groups=groups)), right, {})
    assert found["parts"]["all_alike"]["model"] == {"mean": None, "sd": None}
    assert found["mean"]["model"] == {"mean": 1.0, "sd": None}
