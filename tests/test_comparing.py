"""Baselines beside the twin see what it sees, and learn from nobody else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omics_twin.comparing import linear_predictions, numbers_of, paired
from omics_twin.evaluate.score import score
from omics_twin.judging import baseline_design
from omics_twin.tasks import Task
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from tests.evaluate import trials
from tests.judged import judged_task


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
