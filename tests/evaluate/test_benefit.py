"""Calibration of outcomes per arm and of benefit finds what is wrong with predictions."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.benefit import calibration_by_arm, calibration_of_benefit
from omics_twin.evaluate.doubly_robust import Scores, doubly_robust
from omics_twin.evaluate.uplift import contrast
from tests.evaluate import trials

TRIAL = trials.response(np.random.default_rng(4), 6000, True)
SCORES = doubly_robust(TRIAL.outcome, TRIAL.arms, TRIAL.propensity, TRIAL.mean)


def test_right_predictions_lie_within_the_intervals_of_each_arm_and_group() -> None:
    found = calibration_by_arm(SCORES, TRIAL.mean, TRIAL.strata, level=0.999)
    assert len(found.arm) == trials.OPEN.sum()
    assert ((found.lower <= found.predicted) & (found.predicted <= found.upper)).all()
    assert found.received.sum() == 6000


def test_an_arm_predicted_too_well_is_found() -> None:
    predicted = TRIAL.mean + np.array([0.0, 0.15, 0.0, 0.0])
    found = calibration_by_arm(SCORES, predicted)
    assert (found.predicted > found.upper).tolist() == [False, True, False, False]


@pytest.mark.parametrize(("stretch", "slope"), [(1.0, 1.0), (2.0, 0.5)])
def test_the_slope_says_how_extreme_predicted_benefits_are(stretch: float, slope: float) -> None:
    pair = contrast(SCORES, 1, 0)
    predicted = stretch * (TRIAL.mean[:, 1] - TRIAL.mean[:, 0])[pair.patients]
    found = calibration_of_benefit(pair.gain, predicted)
    assert abs(found.slope - slope) < 2.5 * found.slope_error
    assert found.slope_error < 0.15
    assert found.patients.sum() == 6000


def test_a_gap_in_the_mean_is_found() -> None:
    pair = contrast(SCORES, 1, 0)
    true = TRIAL.mean[:, 1] - TRIAL.mean[:, 0]
    found = calibration_of_benefit(pair.gain, true - 0.1)
    assert found.mean_gap == pytest.approx(0.1, abs=2.5 * found.mean_gap_error)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(CohortError, match="expected the same patients and arms"):
        calibration_by_arm(SCORES, TRIAL.mean[:, :3])
    with pytest.raises(CohortError, match="predict every open arm"):
        calibration_by_arm(SCORES, np.full((6000, 4), np.nan))
    with pytest.raises(CohortError, match="different predictions"):
        calibration_of_benefit(np.arange(20.0), np.zeros(20))
    with pytest.raises(CohortError, match="two or more patients per bin"):
        calibration_of_benefit(np.arange(6.0), np.arange(6.0))


def test_groups_must_cover_the_patients(unchecked: None) -> None:
    scores: Scores = SCORES
    with pytest.raises(CohortError, match="the scores"):
        calibration_by_arm(scores, TRIAL.mean, TRIAL.strata[:5])
