"""Net benefit is events rightly acted on, less the others at the odds of the threshold."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.net_benefit import decision_curve, survival_decision_curve

RNG = np.random.default_rng(0)
PROBABILITY = RNG.random(400).round(2)
OUTCOME = (RNG.random(400) < PROBABILITY).astype(float)


def test_it_is_the_formula_counted_patient_by_patient():
    found = decision_curve(PROBABILITY, OUTCOME, [0.1, 0.25, 0.7])
    for place, limit in enumerate(found.thresholds):
        above = limit <= PROBABILITY
        true, false = (above & (OUTCOME == 1)).mean(), (above & (OUTCOME == 0)).mean()
        odds = limit / (1 - limit)
        assert found.model[place] == pytest.approx(true - odds * false)
        assert found.everybody[place] == pytest.approx(OUTCOME.mean() - odds * (1 - OUTCOME.mean()))
        assert found.acted[place] == above.mean()


def test_the_true_probabilities_are_never_worth_much_less_than_a_simple_rule():
    found = decision_curve(PROBABILITY, OUTCOME, np.arange(5, 80) / 100)
    assert (found.model >= np.maximum(found.everybody, 0.0) - 0.02).all()
    assert (found.model > np.maximum(found.everybody, 0.0) + 0.02).any()


def test_without_censoring_survival_has_the_net_benefit_of_the_outcome_at_the_horizon():
    time = np.where(OUTCOME == 1, 10.0, 100.0) + RNG.random(400)
    found = survival_decision_curve(1.0 - PROBABILITY, time, np.ones(400), 50.0, [0.21, 0.505])
    expected = decision_curve(PROBABILITY, OUTCOME, [0.21, 0.505])
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_censoring_does_not_move_the_net_benefit_of_survival():
    rng = np.random.default_rng(1)
    rate = np.exp(rng.normal(size=8000)) / 100
    onset, leaving = rng.exponential(1 / rate), rng.uniform(0, 200, 8000)
    predicted = np.exp(-rate * 50)
    found = survival_decision_curve(
        predicted, np.minimum(onset, leaving), onset <= leaving, 50.0, [0.2, 0.5, 0.8]
    )
    expected = decision_curve(1.0 - predicted, onset <= 50.0, [0.2, 0.5, 0.8])
    np.testing.assert_allclose(found.model, expected.model, atol=0.02)


def test_a_threshold_whose_patients_are_not_followed_is_not_known():
    time, event = [1.0, 2.0, 9.0, 9.0], [1, 0, 0, 0]
    found = survival_decision_curve([0.1, 0.1, 0.9, 0.9], time, event, 5.0, [0.05, 0.5, 0.95])
    assert np.isnan(found.model).tolist() == [False, True, False]
    assert found.model[2] == 0.0


def test_thresholds_and_horizons_that_make_no_sense_are_refused():
    with pytest.raises(CohortError, match="a threshold is 1, expected a number between"):
        decision_curve(PROBABILITY, OUTCOME, [0.5, 1.0])
    with pytest.raises(CohortError, match="the horizon is day 5"):
        survival_decision_curve([0.5, 0.5], [1.0, 2.0], [1, 0], 5.0)
    with pytest.raises(CohortError, match="expected a number in"):
        survival_decision_curve([0.5, 1.5], [1.0, 2.0], [1, 1], 1.0)
