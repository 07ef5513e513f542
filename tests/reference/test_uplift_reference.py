"""Scores, AUTOC, Qini and the calibration of benefit equal econml's DRTester's stored numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omics_twin.evaluate.benefit import calibration_of_benefit
from omics_twin.evaluate.doubly_robust import doubly_robust
from omics_twin.evaluate.uplift import contrast, rank_weighted_effects, uplift_curve

CASES = json.loads(Path(__file__).with_name("uplift.json").read_text())["cases"]


@pytest.fixture(params=[(case, arm) for case in range(len(CASES)) for arm in (1, 2)])
def judged(request):
    """One stored trial: gains of an arm over the control, predicted benefit, what is expected."""
    case, arm = request.param
    stored = CASES[case]
    names = ("outcome", "arms", "propensity", "predicted")
    scores = doubly_robust(*(np.array(stored[name]) for name in names), floor=0.01)
    expected = {name: np.array(value) for name, value in stored["expected"].items()}
    expected["gain"] = expected["gain"].T
    column = arm - 1
    return (
        contrast(scores, arm, 0).gain,
        np.array(stored["benefit"])[:, column],
        {name: value[column] for name, value in expected.items()},
    )


def test_doubly_robust_gains_equal_econml(judged):
    gain, _, expected = judged
    np.testing.assert_allclose(gain, expected["gain"], atol=1e-12)


def test_targeting_equals_econml(judged):
    gain, benefit, expected = judged
    found = rank_weighted_effects(gain, benefit, draws=4000)
    assert found.autoc.estimate == pytest.approx(expected["autoc"], abs=1e-12)
    assert found.qini.estimate == pytest.approx(expected["qini"], abs=1e-12)
    # Two ways to a standard error: half-samples here, influence at fixed cut-offs there.
    assert found.autoc.standard_error == pytest.approx(expected["autoc_error"], rel=0.15)
    assert found.qini.standard_error == pytest.approx(expected["qini_error"], rel=0.15)


def test_the_curve_equals_econml(judged):
    gain, benefit, expected = judged
    shares = np.arange(len(gain), 0, -1) / len(gain)
    found = uplift_curve(gain, benefit, shares, draws=2)
    np.testing.assert_allclose(found.toc, expected["toc"][:-1], atol=1e-12)


def test_the_slope_of_benefit_equals_econml(judged):
    gain, benefit, expected = judged
    found = calibration_of_benefit(gain, benefit, bins=4)
    assert found.slope == pytest.approx(expected["slope"], abs=1e-10)
    assert found.slope_error == pytest.approx(expected["slope_error"], abs=1e-10)


def test_bins_of_benefit_equal_econml(judged):
    gain, benefit, expected = judged
    found = calibration_of_benefit(gain, benefit, bins=4)
    np.testing.assert_allclose(found.estimated, expected["bin_gain"], atol=1e-10)
    np.testing.assert_allclose(found.predicted, expected["bin_benefit"], atol=1e-10)
