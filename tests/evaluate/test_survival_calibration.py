"""Calibrated survival is told from survival that is not, at a horizon and over whole curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_twin.errors import CohortError
from omics_twin.evaluate.survival_calibration import (
    calibration_at_horizon,
    d_calibration,
    smooth_calibration,
)


def cohort(patients: int, seed: int):
    """Rates, times and events of exponential patients."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(size=patients)) / 100
    onset, leaving = rng.exponential(1 / rate), rng.uniform(60, 300, patients)
    return rate, np.minimum(onset, leaving), onset <= leaving


def test_calibration_at_a_horizon_covers_the_truth():
    rate, time, event = cohort(3000, 2)
    found = calibration_at_horizon(np.exp(-rate * 50), time, event, 50.0)
    np.testing.assert_allclose(found.observed, found.predicted, atol=0.06)
    assert (found.lower <= found.observed).all()
    assert (found.observed <= found.upper).all()
    assert found.patients.sum() == 3000


def test_calibration_refuses_a_horizon_beyond_follow_up():
    with pytest.raises(CohortError, match="risk group 1 is followed until day 3"):
        calibration_at_horizon([0.5, 0.6], [1.0, 3.0], [1, 0], 5.0, groups=1)


def test_the_index_is_small_for_the_truth_and_the_known_distance_for_what_is_not():
    rate, time, event = cohort(4000, 3)
    truth = np.exp(-rate * 50)
    right = smooth_calibration(truth, time, event, 50.0)
    assert right.ici < 0.015
    assert right.quantile(0.5) <= right.quantile(0.9)
    # Twice the hazard is wrong by a distance that is known.
    wrong = smooth_calibration(truth**2, time, event, 50.0)
    assert wrong.ici == pytest.approx(np.abs(truth**2 - truth).mean(), abs=0.015)


def test_one_prediction_for_all_is_compared_with_the_hazard_of_all():
    _, time, event = cohort(500, 4)
    found = smooth_calibration(np.full(500, 0.5), time, event, 50.0)
    assert np.ptp(found.observed) == 0.0
    assert found.observed[0] == pytest.approx(
        calibration_at_horizon([0.5] * 500, time, event, 50.0, groups=1).observed[0], abs=0.002
    )


def test_predictions_that_separate_still_have_an_index():
    time, event = np.arange(1.0, 41.0), np.repeat([1.0, 0.0], 20)
    found = smooth_calibration(np.repeat([0.1, 0.9], 20), time, event, 20.0)
    assert np.isfinite(found.observed).all()
    assert found.ici == pytest.approx(0.1, abs=0.02)


def test_a_smooth_curve_refuses_a_horizon_at_which_nothing_is_known():
    with pytest.raises(CohortError, match="0 events by day 2 in 2 patients"):
        smooth_calibration([0.5, 0.6], [1.0, 3.0], [0, 1], 2.0)
    with pytest.raises(CohortError, match="followed until day 3"):
        smooth_calibration([0.5, 0.6], [1.0, 3.0], [1, 1], 4.0)
    with pytest.raises(CohortError, match="predicted survival is 1.5"):
        smooth_calibration([1.5, 0.6], [1.0, 3.0], [1, 1], 2.0)


def test_d_calibration_holds_its_level_for_the_truth_and_finds_wrong_curves():
    found = []
    for seed in range(200):
        rate, time, event = cohort(300, 100 + seed)
        found.append(d_calibration(np.exp(-rate * time), event).p_value)
    # Parts of censored patients vary less than whole ones: the test errs on the safe side.
    assert np.mean(np.array(found) < 0.05) < 0.08
    rate, time, event = cohort(300, 5)
    assert d_calibration(np.exp(-2.0 * rate * time), event).p_value < 1e-6


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_every_patient_is_counted_once_in_the_bins(patients):
    survival, event = (np.array(each, dtype=float) for each in zip(*patients, strict=True))
    found = d_calibration(survival, event, bins=7)
    assert found.patients.sum() == pytest.approx(len(patients))
    assert (found.patients >= -1e-9).all()


def test_d_calibration_refuses_what_is_no_probability():
    with pytest.raises(CohortError, match="predicted survival is -0.1"):
        d_calibration([-0.1, 0.5], [1, 0])
    with pytest.raises(CohortError, match="1 bins were asked for"):
        d_calibration([0.1, 0.5], [1, 0], bins=1)
