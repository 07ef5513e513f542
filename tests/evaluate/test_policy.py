"""Values of rules lie within their intervals, and abstaining is judged on the same scores."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.doubly_robust import Scores, doubly_robust, restricted_mean_outcome
from omics_twin.evaluate.policy import (
    Followed,
    as_treated,
    bootstrap_interval,
    coverage_value,
    following,
    policy_values,
)
from omics_twin.evaluate.propensity import covariate_propensity, open_arms, stratum_propensity
from omics_twin.evaluate.rules import best_by_group
from tests.evaluate import trials

REPEATS, PATIENTS, DRAWS = 200, 700, 300
MANY = 400_000


@lru_cache
def _truth(kind: str) -> np.ndarray:
    """Return the values of control for all, of the marker rule, and their difference."""
    rng = np.random.default_rng(99)
    trial = trials.response(rng, MANY, False)
    if kind == "survival":
        trial = trials.survival(rng, MANY, False).trial
    rule = trials.by_marker(trial.features, trial.strata)
    values = trial.mean[:, 0].mean(), trial.mean[np.arange(MANY), rule].mean()
    return np.array([*values, values[1] - values[0]])


def _folds(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(PATIENTS) % 2


def _flat() -> np.ndarray:
    return np.full((PATIENTS, 4), 0.3)


def _randomised_wrong_prediction(rng):
    trial = trials.response(rng, PATIENTS, False)
    is_open = open_arms(trial.arms, trial.strata, 4)
    propensity = stratum_propensity(trial.arms, trial.strata, is_open)
    return trial, doubly_robust(trial.outcome, trial.arms, propensity, _flat())


def _randomised_cross_fitted(rng):
    trial, folds = trials.response(rng, PATIENTS, False), _folds(rng)
    is_open = trials.OPEN[trial.strata]
    propensity = stratum_propensity(trial.arms, trial.strata, is_open, folds[None], 1.0)
    predicted = trials.linear_predictions(trial, folds)
    return trial, doubly_robust(trial.outcome, trial.arms, propensity, predicted)


def _confounded_both_learned(rng):
    trial, folds = trials.response(rng, PATIENTS, True), _folds(rng)
    design = trials.design(trial.features, trial.strata)
    is_open = trials.OPEN[trial.strata]
    propensity = covariate_propensity(trial.arms, design, is_open, folds[None])
    predicted = trials.linear_predictions(trial, folds)
    return trial, doubly_robust(trial.outcome, trial.arms, propensity, predicted)


def _confounded_wrong_prediction(rng):
    trial = trials.response(rng, PATIENTS, True)
    return trial, doubly_robust(trial.outcome, trial.arms, trial.propensity, _flat())


def _wrong_propensity(trial: trials.Trial) -> np.ndarray:
    is_open = open_arms(trial.arms, trial.strata, 4)
    return stratum_propensity(trial.arms, trial.strata, is_open)


def _confounded_wrong_propensity(rng):
    trial = trials.response(rng, PATIENTS, True)
    return trial, doubly_robust(trial.outcome, trial.arms, _wrong_propensity(trial), trial.mean)


def _confounded_both_wrong(rng):
    trial = trials.response(rng, PATIENTS, True)
    return trial, doubly_robust(trial.outcome, trial.arms, _wrong_propensity(trial), _flat())


def _survival(rng):
    trial, time, event = trials.survival(rng, PATIENTS, False)
    folds = _folds(rng)
    outcome = restricted_mean_outcome(time, event, trial.arms, trials.HORIZON)
    trial = trial._replace(outcome=outcome)
    predicted = trials.linear_predictions(trial, folds)
    return trial, doubly_robust(outcome, trial.arms, _wrong_propensity(trial), predicted)


def _covered(make: Callable, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how often values and difference lie within bootstrap and normal intervals."""
    inside = np.empty((2, REPEATS, 3), dtype=bool)
    for repeat in range(REPEATS):
        trial, scores = make(np.random.default_rng(30_000 + repeat))
        rules = {
            "control": following(scores, np.zeros(PATIENTS, dtype=int)),
            "marker": following(scores, trials.by_marker(trial.features, trial.strata)),
        }
        table = policy_values(rules, "control", draws=DRAWS, seed=repeat)
        value = np.append(table.value, table.difference[1])
        error = np.append(table.standard_error, table.difference_error[1])
        lower = np.append(table.lower, table.difference_lower[1])
        upper = np.append(table.upper, table.difference_upper[1])
        inside[0, repeat] = (lower <= truth) & (truth <= upper)
        inside[1, repeat] = np.abs(value - truth) <= 1.959964 * error
    return inside[0].mean(axis=0), inside[1].mean(axis=0)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_randomised_wrong_prediction, "response"),
        (_randomised_cross_fitted, "response"),
        (_confounded_both_learned, "response"),
        (_confounded_wrong_prediction, "response"),
        (_confounded_wrong_propensity, "response"),
        (_survival, "survival"),
    ],
)
def test_values_and_differences_lie_within_their_intervals(make: Callable, kind: str) -> None:
    by_bootstrap, by_error = _covered(make, _truth(kind))
    # Over 1,500 repeats they hold 0.943 to 0.963; over 200, 0.95 is seen as 0.95 +- 0.03.
    for share in (by_bootstrap, by_error):
        assert share.mean() >= 0.93
        assert share.min() >= 0.91


def test_with_both_models_wrong_a_confounded_value_is_wrong() -> None:
    by_bootstrap, _ = _covered(_confounded_both_wrong, _truth("response"))
    assert by_bootstrap[1:].max() < 0.6


def test_the_value_of_a_rule_learned_out_of_fold_lies_within_its_interval() -> None:
    inside, gap = [], []
    for repeat in range(REPEATS):
        rng = np.random.default_rng(20_000 + repeat)
        trial, folds = trials.response(rng, PATIENTS, False), _folds(rng)
        is_open = trials.OPEN[trial.strata]
        propensity = stratum_propensity(trial.arms, trial.strata, is_open)
        predicted = trials.linear_predictions(trial, folds)
        scores = doubly_robust(trial.outcome, trial.arms, propensity, predicted)
        groups = trial.strata * 2 + (trial.features[:, 0] > 0)
        chosen = best_by_group(scores.values, is_open, groups, folds)
        truth = trial.mean[np.arange(PATIENTS), chosen[0]].mean()
        rules = {"groups": following(scores, chosen), "received": as_treated(scores)}
        table = policy_values(rules, "received", draws=DRAWS, seed=repeat)
        inside.append(table.lower[0] <= truth <= table.upper[0])
        gap.append(table.value[0] - truth)
    # 0.930 over 1,500 repeats (0.941 if learned from received_scores): the models behind the
    # training scores saw the held-out fold, and the interval does not know it.
    assert np.mean(inside) >= 0.90
    # No winner's curse: a rule is not judged by the patients it was learned from.
    assert abs(np.mean(gap)) < 3 * np.std(gap) / np.sqrt(REPEATS)


@pytest.fixture
def scores() -> Scores:
    """Scores of a small randomised trial in three repeats of cross-validation."""
    rng = np.random.default_rng(0)
    trial = trials.response(rng, 300, False)
    predicted = np.clip(trial.mean + rng.normal(0.0, 0.1, (3, 300, 4)), 0.0, 1.0)
    return doubly_robust(trial.outcome, trial.arms, trial.propensity, predicted)


def test_repeats_of_cross_validation_are_no_new_patients(scores: Scores) -> None:
    control = following(scores, np.zeros((3, 300), dtype=int))
    once = Followed(control.mean[None], control.effective_patients, control.by_arm)
    table = policy_values({"three": control, "mean": once}, "mean", draws=50)
    assert table.standard_error[0] == pytest.approx(table.standard_error[1])
    np.testing.assert_array_equal(table.difference, 0.0)
    np.testing.assert_array_equal(table.difference_upper, 0.0)


def test_the_therapies_received_are_worth_what_happened(scores: Scores) -> None:
    table = policy_values({"received": as_treated(scores)}, "received", draws=50)
    assert table.value[0] == pytest.approx(scores.outcome.mean())
    assert table.effective_patients[0] == 300.0


def test_a_rule_that_few_followed_rests_on_few_patients(scores: Scores) -> None:
    control = following(scores, np.zeros(300, dtype=int))
    assert control.effective_patients < (scores.arms == 0).sum()
    assert control.by_arm[0] == pytest.approx(control.effective_patients)
    np.testing.assert_array_equal(control.by_arm[1:], 0.0)


def test_the_same_seed_gives_the_same_table(scores: Scores) -> None:
    rules = {"received": as_treated(scores), "control": following(scores, np.zeros(300, dtype=int))}
    first, second = (policy_values(rules, "received", draws=50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.lower, second.lower)


def test_the_interval_of_a_mean_is_that_of_student_where_nothing_is_skewed() -> None:
    values = np.random.default_rng(0).normal(size=(400, 1))
    low, high = bootstrap_interval(values, draws=4000)
    width = 1.966 * values.std(ddof=1) / np.sqrt(400)
    assert low[0] == pytest.approx(values.mean() - width, abs=0.06 * width)
    assert high[0] == pytest.approx(values.mean() + width, abs=0.06 * width)


def test_choices_that_are_not_open_or_do_not_fit_are_refused(scores: Scores) -> None:
    with pytest.raises(CohortError, match="not open to"):
        following(scores, np.full(300, 3))
    with pytest.raises(CohortError, match="expected one arm per patient"):
        following(scores, np.zeros(299, dtype=int))
    with pytest.raises(CohortError, match="expected 0 to 3"):
        following(scores, np.full(300, 4))


def test_a_reference_that_is_no_rule_is_named(scores: Scores) -> None:
    with pytest.raises(CohortError, match="did you mean 'received'"):
        policy_values({"received": as_treated(scores)}, "recieved")
    fewer = Followed(np.ones((1, 4)), 4.0, np.ones(4))
    with pytest.raises(CohortError, match="expected the same two or more"):
        policy_values({"received": as_treated(scores), "fewer": fewer}, "received")


def test_coverage_goes_from_the_fallback_to_the_rule(scores: Scores) -> None:
    rng = np.random.default_rng(1)
    rule = following(scores, np.where(scores.eligible[:, 2], 2, 1))
    control = following(scores, np.zeros(300, dtype=int))
    curve = coverage_value(rule, control, rng.random((3, 300)), draws=200)
    assert curve.value[0] == pytest.approx(control.values.mean())
    assert curve.value[-1] == pytest.approx(rule.values.mean())
    np.testing.assert_allclose(curve.gain, curve.value - control.values.mean(), atol=1e-12)
    assert curve.gain_lower[0] == curve.gain_upper[0] == 0.0
    assert (curve.lower <= curve.value).all()
    assert (curve.value <= curve.upper).all()


def test_patients_of_equal_confidence_are_followed_in_equal_part() -> None:
    rule = Followed(np.array([[1.0, 0.0, 0.5]]), 3.0, np.ones(1))
    none = Followed(np.zeros((1, 3)), 3.0, np.ones(1))
    shares = np.array([0.0, 1 / 3, 2 / 3, 1.0])
    curve = coverage_value(rule, none, np.zeros(3), shares, draws=9)
    np.testing.assert_allclose(curve.value, shares * 0.5)


def test_following_the_surest_first_is_worth_more_where_confidence_is_right() -> None:
    gain = np.linspace(-0.5, 1.0, 200)
    rule, none = Followed(gain[None], 1.0, np.ones(1)), Followed(0 * gain[None], 1.0, np.ones(1))
    right, wrong = (coverage_value(rule, none, sign * gain, draws=9) for sign in (1.0, -1.0))
    assert (right.value[1:-1] > wrong.value[1:-1]).all()


def test_confidence_must_fit_and_be_known(scores: Scores) -> None:
    control = following(scores, np.zeros(300, dtype=int))
    for confidence in (np.zeros(299), np.full(300, np.nan)):
        with pytest.raises(CohortError, match="expected finite numbers"):
            coverage_value(control, control, confidence)
