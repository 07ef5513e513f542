"""Rankings that find those who gain are worth more than chance, by as much as is true."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.doubly_robust import doubly_robust
from omics_twin.evaluate.propensity import stratum_propensity
from omics_twin.evaluate.uplift import contrast, rank_weighted_effects, uplift_curve
from tests.evaluate import trials

RNG = np.random.default_rng(0)
GAIN = RNG.normal(size=300)
PRIORITY = GAIN + RNG.normal(size=300)


def test_rates_lie_within_their_intervals() -> None:
    rng = np.random.default_rng(99)
    many = trials.response(rng, 200_000, False)
    true_gain = many.mean[:, 1] - many.mean[:, 0]
    truth = rank_weighted_effects(true_gain, many.features[:, 0], draws=2)
    inside = []
    for repeat in range(200):
        rng = np.random.default_rng(repeat)
        trial = trials.response(rng, 500, False)
        folds = rng.permutation(500) % 2
        propensity = stratum_propensity(trial.arms, trial.strata, trials.OPEN[trial.strata])
        predicted = trials.linear_predictions(trial, folds)
        scores = doubly_robust(trial.outcome, trial.arms, propensity, predicted)
        gain = contrast(scores, 1, 0).gain
        found = rank_weighted_effects(gain, trial.features[:, 0], draws=200, seed=repeat)
        inside.append(
            [
                made.lower <= true.estimate <= made.upper
                for made, true in zip(found, truth, strict=True)
            ]
        )
    assert np.mean(inside, axis=0).min() >= 0.93


def test_a_ranking_by_chance_is_worth_nothing() -> None:
    found = rank_weighted_effects(GAIN, RNG.normal(size=300))
    assert found.autoc.lower < 0.0 < found.autoc.upper
    assert found.qini.lower < 0.0 < found.qini.upper


def test_the_reversed_ranking_has_the_opposite_qini() -> None:
    forward, back = (rank_weighted_effects(GAIN, sign * PRIORITY, draws=4) for sign in (1, -1))
    # The sum includes one end of the curve and not the other; both are zero.
    assert back.qini.estimate == pytest.approx(-forward.qini.estimate, abs=1e-12)


def test_equal_priorities_are_worth_nothing() -> None:
    found = rank_weighted_effects(GAIN, np.zeros(300), draws=20)
    assert found.autoc.estimate == pytest.approx(0.0, abs=1e-12)
    assert found.autoc.standard_error == pytest.approx(0.0, abs=1e-12)


def test_ties_do_not_depend_on_the_order_of_patients() -> None:
    priority = PRIORITY.round(0)
    order = RNG.permutation(300)
    first = rank_weighted_effects(GAIN, priority, draws=2)
    second = rank_weighted_effects(GAIN[order], priority[order], draws=2)
    assert first.autoc.estimate == pytest.approx(second.autoc.estimate)
    curves = [
        uplift_curve(g, p, draws=2) for g, p in ((GAIN, priority), (GAIN[order], priority[order]))
    ]
    np.testing.assert_allclose(curves[0].uplift, curves[1].uplift)


def test_curve_and_coefficient_agree() -> None:
    shares = np.arange(1, 301) / 300
    curve = uplift_curve(GAIN, PRIORITY, shares, draws=20)
    found = rank_weighted_effects(GAIN, PRIORITY, draws=2)
    assert curve.toc.mean() == pytest.approx(found.autoc.estimate)
    assert (curve.uplift - curve.chance).mean() == pytest.approx(found.qini.estimate)
    assert curve.uplift[-1] == pytest.approx(GAIN.mean())
    assert curve.toc[-1] == pytest.approx(0.0, abs=1e-12)
    assert curve.toc_upper[-1] == pytest.approx(0.0, abs=1e-12)


def test_bounds_of_the_curve_are_about_two_standard_errors_wide() -> None:
    curve = uplift_curve(GAIN, PRIORITY, np.array([1.0]), draws=2000)
    width = 2 * 1.96 * GAIN.std() / np.sqrt(300)
    assert (curve.uplift_upper - curve.uplift_lower)[0] == pytest.approx(width, rel=0.1)


def test_only_patients_to_whom_both_were_open_are_compared() -> None:
    trial = trials.response(np.random.default_rng(0), 300, False)
    scores = doubly_robust(trial.outcome, trial.arms, trial.propensity, np.full((300, 4), 0.3))
    found = contrast(scores, 3, 0)
    np.testing.assert_array_equal(found.patients, trial.strata == 1)
    assert len(found.gain) == (trial.strata == 1).sum()


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(CohortError, match="expected 4 or more"):
        rank_weighted_effects(GAIN[:3], PRIORITY[:3])
    with pytest.raises(CohortError, match="not above 0"):
        uplift_curve(GAIN, PRIORITY, np.array([0.0, 0.5]))
    scores = doubly_robust(np.array([1.0, 0.0]), np.array([0, 1]), np.eye(2), np.zeros((2, 2)))
    with pytest.raises(CohortError, match="both open to 0 patients"):
        contrast(scores, 0, 1)
