"""What was open to whom, how likely it was, and what predictions mean on the scale of merit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.intake.declaration import Assignment
from omics_twin.intake.synthetic import Assignment as SyntheticAssignment
from omics_twin.intake.synthetic import SyntheticTrial, generate
from omics_twin.judged.offers import (
    FLOOR,
    assigned,
    expected_merit,
    offers_of,
    ranking_merit,
    restricted_mean_days,
)
from omics_twin.judged.predictions import baseline_design
from omics_twin.settings import PolicySettings
from omics_twin.therapy.catalogue import Catalogue
from tests.evaluate import trials
from tests.judged_tasks import HARM, SURVIVAL, judged_task


def _response(root: Path, count: int = 600, confounded: bool = False, **more):
    trial = trials.response(np.random.default_rng(3), count, confounded)
    task, config = judged_task(root, trial, **more)
    return trial, task, config, offers_of(task, baseline_design(task), config)


def test_what_was_open_is_found_and_shares_are_those_of_the_strata(tmp_path: Path) -> None:
    trial, _, _, offers = _response(tmp_path)
    assert (offers.opened == trials.OPEN[trial.strata]).all()
    assert np.allclose(offers.propensity.sum(axis=2), 1.0)
    share = (trial.arms[trial.strata == 0] == 1).mean()
    assert offers.propensity[0, np.flatnonzero(trial.strata == 0)[0], 1] == pytest.approx(share)
    assert offers.floor == 0.0
    assert offers.judged.all()
    assert set(offers.groups) == {"stratum_group", "marker_group"}
    assert (offers.groups["stratum_group"] == trial.strata).all()
    high = trial.features[:, 0] >= 0
    assert len(set(offers.groups["marker_group"][high])) == 1


def test_an_exception_is_offered_to_nobody_and_speaks_for_nobody_else(tmp_path: Path) -> None:
    trial = trials.response(np.random.default_rng(3), 600, False)
    patient = int(np.flatnonzero(trial.strata == 2)[0])
    trial.arms[patient] = 2
    task, config = judged_task(tmp_path, trial)
    rule = {"where": {"stratum": ["0", "1"]}, "reason": "closed to the third stratum"}
    arm = replace(config.therapy.arms["a2"], eligible=[_rule(**rule)])
    declared = replace(config.therapy, arms={**config.therapy.arms, "a2": arm})
    task = replace(task, catalogue=Catalogue.declared(declared))
    offers = offers_of(task, baseline_design(task), config)
    assert not offers.opened[patient, 2]
    assert offers.propensity[0, patient, 2] == 1.0
    other = int(np.flatnonzero(trial.strata == 2)[1])
    assert offers.propensity[0, other, 2] == 0.0


def _rule(where: dict[str, list[str]], reason: str):
    from omics_twin.settings import EligibilityDeclaration

    return EligibilityDeclaration(where=where, reason=reason)


def test_where_therapies_were_chosen_propensities_follow_what_was_measured(tmp_path: Path) -> None:
    trial, _, _, offers = _response(tmp_path, 1500, True, assignment="OBSERVATIONAL")
    assert offers.floor == FLOOR
    assert len(offers.propensity) == 2
    open_twice = trials.OPEN[trial.strata]
    error = np.abs(offers.propensity.mean(axis=0) - trial.propensity)[open_twice]
    assert error.mean() < 0.05
    found = offers.propensity.mean(axis=0)[open_twice]
    assert np.corrcoef(found, trial.propensity[open_twice])[0, 1] > 0.9


def test_who_is_never_held_out_is_learned_from_and_not_judged(tmp_path: Path) -> None:
    trial = trials.response(np.random.default_rng(3), 300, False)
    task, config = judged_task(tmp_path, trial)
    held = np.where(np.arange(300) < 60, 0, -1)[None]
    offers = offers_of(replace(task, held_out=held), baseline_design(task), config)
    assert offers.judged.sum() == 60
    assert set(offers.folds[0, 60:]) == {1}


def test_lower_is_better_turns_the_merit_round(tmp_path: Path) -> None:
    trial, task, _, offers = _response(tmp_path, endpoint=HARM)
    assert (offers.merit == -trial.outcome).all()
    under = np.repeat(trial.mean[None], 2, axis=0)
    assert (expected_merit(task, offers, under) == -under).all()
    assert (ranking_merit(task, offers, under) == -under).all()


def test_survival_is_judged_by_its_mean_up_to_the_horizon_of_the_policy(tmp_path: Path) -> None:
    follow_up = trials.survival(np.random.default_rng(1), 600, False)
    task, config = judged_task(tmp_path, follow_up.trial, follow_up=follow_up, endpoint=SURVIVAL)
    config = replace(config, policy=PolicySettings(horizon_days=trials.HORIZON))
    offers = offers_of(task, baseline_design(task), config)
    assert offers.horizon_days == trials.HORIZON
    truth = follow_up.trial.mean[np.arange(600), follow_up.trial.arms].mean()
    assert offers.merit.mean() == pytest.approx(truth, abs=0.7)
    _, grid = task.outcome.followed
    rate = np.array([0.02, 0.1, 0.3, 0.5])
    curve = np.exp(-rate[:, None] * grid)[None, None]
    exact = (1.0 - np.exp(-rate * trials.HORIZON)) / rate
    assert expected_merit(task, offers, curve)[0, 0] == pytest.approx(exact, rel=0.03)
    share = (1.0 - np.exp(-rate * 24)) / rate / 24
    assert ranking_merit(task, offers, curve)[0, 0] == pytest.approx(share, rel=0.03)


def test_an_arm_followed_too_briefly_borrows_the_censoring_of_all(tmp_path: Path) -> None:
    follow_up = trials.survival(np.random.default_rng(1), 400, False)
    last = follow_up.trial.arms == 3
    time, event = follow_up.time.copy(), follow_up.event.copy()
    time[last], event[last] = np.minimum(time[last], 3.0), 0.0
    brief = follow_up._replace(time=time, event=event)
    task, config = judged_task(tmp_path, brief.trial, follow_up=brief, endpoint=SURVIVAL)
    config = replace(config, policy=PolicySettings(horizon_days=trials.HORIZON))
    offers = offers_of(task, baseline_design(task), config)
    assert np.isfinite(offers.merit).all()


def test_a_horizon_between_two_days_of_the_grid_is_interpolated() -> None:
    curve = np.array([[0.8, 0.4, 0.0]])
    found = restricted_mean_days(curve, np.array([1.0, 2.0, 3.0]), 2.5)
    assert found[0] == pytest.approx(0.9 + 0.6 + 0.15)
    assert restricted_mean_days(curve, np.array([1.0, 2.0, 3.0]), 3.0)[0] == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (SyntheticAssignment.RANDOMISED, Assignment.RANDOMISED),
        (SyntheticAssignment.CONFOUNDED, Assignment.OBSERVATIONAL),
    ],
)
def test_a_synthetic_folder_says_how_patients_were_assigned(
    tmp_path: Path, written: SyntheticAssignment, expected: Assignment
) -> None:
    from omics_twin.config import load

    root = tmp_path / "trial"
    generate(SyntheticTrial(patients=50, genes=200, assignment=written), root)
    assert assigned(load("train", [f"synthetic_root={root}"])) is expected
