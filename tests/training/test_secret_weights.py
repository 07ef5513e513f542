"""Secret weights: who holds the patients' data finds them again, and nobody else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omics_twin import config
from omics_twin.asked import read_cohort
from omics_twin.attacks import ensemble
from omics_twin.config import Config
from omics_twin.errors import ConfigError, TrainingError
from omics_twin.report.console import Console
from omics_twin.settings import PrivacySettings
from omics_twin.training import learning, private, tasks
from omics_twin.training.secret_weights import weighed
from omics_twin.training.tasks import Task
from omics_twin.trust.consent import Purpose
from omics_twin.trust.keys import SITE
from tests.conftest import SmallRun


@pytest.fixture(scope="module")
def asked(small_run: SmallRun) -> tuple[Task, Config]:
    settings = ["experiment=synthetic_response", "trainer=discreet", *small_run.settings]
    found = config.load("train", settings)
    console = Console(quiet=True)
    return tasks.task_of(read_cohort(found, console, Purpose.SCORING), found, console), found


def test_weights_have_mean_one_the_variance_asked_for_and_are_shared_by_all_members(
    asked: tuple[Task, Config],
) -> None:
    plan = learning.plan_of(*asked)
    weights = plan.training.amax(dim=0)
    assert torch.equal(plan.training, weights * (plan.training > 0))
    assert abs(float(weights.mean()) - 1.0) < 0.2
    assert 0.25 < float(weights.var()) < 0.9


def test_weights_are_the_same_again_and_others_with_one_patient_less_or_with_a_key(
    asked: tuple[Task, Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, settings = asked
    plan = learning.plan_of(task, settings)
    assert torch.equal(plan.training, learning.plan_of(task, settings).training)
    private = PrivacySettings(secret_weights=0.0)
    equal = replace(settings, trainer=replace(settings.trainer, privacy=private))
    bare = learning.plan_of(task, equal)
    without = replace(bare, training=bare.training.clone(), stopping=bare.stopping.clone())
    without.training[:, 0] = without.stopping[:, 0] = 0.0
    fewer = weighed(without, task, settings).training[:, 1:]
    assert float((fewer == plan.training[:, 1:])[bare.training[:, 1:] > 0].float().mean()) < 0.01
    monkeypatch.setenv(SITE, "0f" * 32)
    assert not torch.equal(plan.training, learning.plan_of(task, settings).training)


def test_no_trees_tell_of_whom_weights_hide(asked: tuple[Task, Config]) -> None:
    (told,) = learning.companion_notes(asked[1])
    assert "whom secret weights are to hide" in told


def test_members_that_share_weights_are_not_set_on_each_other(
    asked: tuple[Task, Config],
) -> None:
    task, settings = asked
    assert "omics-twin attack" in ensemble.untold(task, settings)


@pytest.mark.parametrize("setting", ["epsilon=4", "secret_weights=0.5"])
def test_a_twin_of_visits_that_would_hide_nobody_is_refused(setting: str) -> None:
    asked = config.load("train", ["experiment=pbc2", f"trainer.privacy.{setting}"])
    with pytest.raises(TrainingError, match="which a twin of visits does not keep to"):
        private.check_not_asked(asked, "a twin of visits")


def test_secret_weights_and_a_budget_are_not_had_together() -> None:
    with pytest.raises(ConfigError, match="given with a budget"):
        config.load("train", ["trainer=discreet", "trainer.privacy.epsilon=4"])
