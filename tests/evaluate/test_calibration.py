"""Reliability curves and Wilson intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability, wilson_interval
from omics_twin.evaluate.metrics import expected_calibration_error


@pytest.mark.parametrize(("events", "patients"), [(0, 7), (3, 10), (40, 41), (5, 5)])
def test_wilson_bounds_equal_those_of_scipy(events, patients):
    lower, upper = wilson_interval(events, patients)
    expected = binomtest(events, patients).proportion_ci(method="wilson")
    assert lower == pytest.approx(expected.low, abs=1e-12)
    assert upper == pytest.approx(expected.high, abs=1e-12)


def test_wilson_refuses_more_events_than_patients():
    with pytest.raises(CohortError, match="expected 0 to all"):
        wilson_interval([3.0], [2.0])


def test_the_gaps_of_the_curve_are_the_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(333)
    outcome = rng.random(333) < probability**2
    curve = reliability(probability, outcome)
    gap = np.average(np.abs(curve.predicted - curve.observed), weights=curve.patients)
    assert gap == pytest.approx(expected_calibration_error(probability, outcome))
    assert curve.patients.sum() == 333
    assert (np.diff(curve.predicted) > 0).all()


def test_the_curve_of_a_true_model_lies_in_its_intervals():
    rng = np.random.default_rng(4)
    probability = rng.random(20_000)
    curve = reliability(probability, rng.random(20_000) < probability, bins=20)
    inside = (curve.lower <= curve.predicted) & (curve.predicted <= curve.upper)
    assert inside.mean() >= 0.85
