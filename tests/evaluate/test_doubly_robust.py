"""Scores are right on average; times stand in for what censoring hid."""

from __future__ import annotations

import numpy as np
import pytest
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from omics_twin.errors import CohortError
from omics_twin.evaluate.doubly_robust import doubly_robust, restricted_mean_outcome
from tests.evaluate import trials


def test_closed_arms_have_no_score() -> None:
    trial = trials.response(np.random.default_rng(0), 200, False)
    predicted = np.where(trials.OPEN[trial.strata], 0.3, np.nan)
    scores = doubly_robust(trial.outcome, trial.arms, trial.propensity, predicted)
    np.testing.assert_array_equal(scores.eligible, trials.OPEN[trial.strata])


def test_a_floor_bounds_the_weights() -> None:
    outcome, arms = np.array([1.0, 0.0]), np.array([0, 1])
    propensity = np.array([[0.01, 0.99], [0.01, 0.99]])
    made = doubly_robust(outcome, arms, propensity, np.zeros((2, 2)), floor=0.1)
    np.testing.assert_allclose(made.weights, [[10.0, 1 / 0.99]])
    np.testing.assert_allclose(made.values[0, :, 0], [10.0, 0.0])


def test_predictions_and_propensities_may_differ_in_repeats() -> None:
    outcome, arms = np.array([1.0, 0.0]), np.array([0, 1])
    made = doubly_robust(outcome, arms, np.full((2, 2), 0.5), np.zeros((3, 2, 2)))
    assert made.values.shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"outcome": np.array([np.nan, 1.0])}, "1 of 2 outcomes are not known"),
        ({"propensity": np.array([[0.5, 0.5], [1.0, 0.0]])}, "received an arm of propensity 0"),
        ({"propensity": np.full((2, 2), 1.5)}, "not a number from 0 to 1"),
        ({"predicted": np.full((2, 2), np.nan)}, "predict every open arm"),
        ({"predicted": np.zeros((3, 2))}, r"expected \(repeat, patient, arm\)"),
        ({"propensity": np.array([[[0.5, 0.5]] * 2, [[1.0, 0.0], [0.5, 0.5]]])}, "in one repeat"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, sentence: str, unchecked: None) -> None:
    given = {
        "outcome": np.array([1.0, 0.0]),
        "arms": np.array([0, 1]),
        "propensity": np.full((2, 2), 0.5),
        "predicted": np.zeros((2, 2)),
    }
    with pytest.raises(CohortError, match=sentence):
        doubly_robust(**(given | change))


@pytest.mark.parametrize("digits", [6, 0])
def test_the_mean_of_an_arm_and_its_error_are_kaplan_meiers(digits: int) -> None:
    followed = trials.survival(np.random.default_rng(3), 600, False)
    time = followed.time.round(digits) + 1.0
    made = restricted_mean_outcome(time, followed.event, followed.trial.arms, trials.HORIZON)
    for arm in range(3):
        own = followed.trial.arms == arm
        curve = KaplanMeierFitter().fit(time[own], followed.event[own])
        area = restricted_mean_survival_time(curve, t=trials.HORIZON)
        assert made[own].mean() == pytest.approx(area, rel=1e-9)


def test_the_spread_gives_the_standard_error_of_a_restricted_mean() -> None:
    means, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        onset, leaving = rng.exponential(15.0, 200), rng.uniform(3.0, 40.0, 200)
        time, event = np.minimum(onset, leaving), (onset <= leaving).astype(float)
        made = restricted_mean_outcome(time, event, np.zeros(200, dtype=int), 18.0)
        means.append(made.mean())
        errors.append(made.std(ddof=1) / np.sqrt(200))
    truth = 15.0 * (1.0 - np.exp(-18.0 / 15.0))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.12)
    assert np.mean(means) == pytest.approx(truth, abs=3 * np.std(means) / np.sqrt(300))


def test_without_censoring_times_are_themselves() -> None:
    time = np.array([2.0, 5.0, 9.0])
    made = restricted_mean_outcome(time, np.ones(3), np.zeros(3, dtype=int), 6.0)
    np.testing.assert_allclose(made, [2.0, 5.0, 6.0])


def test_a_horizon_beyond_the_follow_up_is_refused() -> None:
    groups = np.zeros(2, dtype=int)
    with pytest.raises(CohortError, match="followed until day 3 with patients still at risk"):
        restricted_mean_outcome([1.0, 3.0], [1, 0], groups, 4.0)
    with pytest.raises(CohortError, match="expected a day above 0"):
        restricted_mean_outcome([1.0, 3.0], [1, 0], groups, 0.0)


def test_after_the_last_event_nobody_is_left_to_censor() -> None:
    made = restricted_mean_outcome([1.0, 3.0], [1, 1], np.zeros(2, dtype=int), 9.0)
    np.testing.assert_allclose(made, [1.0, 3.0])
