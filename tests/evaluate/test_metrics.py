"""Metrics equal their definitions and refuse what they cannot judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from omics_twin.errors import CohortError
from omics_twin.evaluate.metrics import (
    BINARY_METRICS,
    CONTINUOUS_METRICS,
    METRICS,
    brier,
    calibration_slope_intercept,
    equal_groups,
    expected_calibration_error,
    log_loss,
    r2,
    rmse,
    roc_auc,
    spearman,
    summarise,
)
from omics_twin.evaluate.score import HIGHER_IS_BETTER


@st.composite
def judged(draw, least=4, most=60):
    """Probabilities with ties and outcomes of both classes."""
    outcome = draw(st.lists(st.integers(0, 1), min_size=least, max_size=most))
    outcome[0], outcome[1] = 0, 1
    hundredths = st.integers(0, 100)
    probability = draw(st.lists(hundredths, min_size=len(outcome), max_size=len(outcome)))
    return np.array(probability) / 100, np.array(outcome)


@given(judged())
def test_auc_counts_pairs_with_ties_as_half(case):
    probability, outcome = case
    above = probability[outcome == 1][:, None] - probability[outcome == 0][None, :]
    expected = np.mean((above > 0) + 0.5 * (above == 0))
    assert roc_auc(probability, outcome) == pytest.approx(expected)


@given(judged())
def test_auc_does_not_change_under_a_monotone_map_and_turns_when_reversed(case):
    probability, outcome = case
    area = roc_auc(probability, outcome)
    assert roc_auc(probability**2, outcome) == pytest.approx(area)
    assert roc_auc(1.0 - probability, outcome) == pytest.approx(1.0 - area)


@given(judged())
def test_metrics_do_not_depend_on_the_order_of_patients(case):
    probability, outcome = case
    order = np.random.default_rng(0).permutation(len(outcome))
    for metric in (roc_auc, brier, log_loss):
        found = metric(probability[order], outcome[order])
        assert found == pytest.approx(metric(probability, outcome), abs=1e-12)


def test_brier_and_log_loss_equal_their_formulas():
    probability, outcome = np.array([0.2, 0.9, 0.4]), np.array([0, 1, 1])
    assert brier(probability, outcome) == pytest.approx((0.04 + 0.01 + 0.36) / 3)
    expected = -np.log([0.8, 0.9, 0.4]).mean()
    assert log_loss(probability, outcome) == pytest.approx(expected)
    assert np.isfinite(log_loss([0.0, 1.0], [1, 0]))


def test_calibration_error_is_zero_for_true_shares_and_the_gap_otherwise():
    outcome = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert expected_calibration_error([0.25] * 4 + [0.75] * 4, outcome, bins=2) == pytest.approx(0)
    found = expected_calibration_error([0.05] * 4 + [0.95] * 4, outcome, bins=2)
    assert found == pytest.approx(0.2)


def test_calibration_error_of_a_true_model_falls_with_patients():
    rng = np.random.default_rng(3)
    errors = []
    for patients in (200, 200_000):
        probability = rng.random(patients)
        errors.append(expected_calibration_error(probability, rng.random(patients) < probability))
    assert errors[1] < 0.01 < errors[0]


def test_groups_are_equal_in_size():
    sizes = [len(group) for group in equal_groups(np.zeros(23), 10)]
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == 23


def test_calibration_slope_equals_unpenalised_regression_and_finds_distortion():
    rng = np.random.default_rng(0)
    score = rng.normal(size=4000)
    outcome = (rng.random(4000) < 1 / (1 + np.exp(-score))).astype(int)
    distorted = 1 / (1 + np.exp(-(2.0 * score + 0.5)))
    slope, intercept = calibration_slope_intercept(distorted, outcome)
    peer = LogisticRegression(C=1e12, tol=1e-10).fit((2.0 * score + 0.5)[:, None], outcome)
    assert slope == pytest.approx(peer.coef_[0, 0], abs=1e-4)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert intercept < -0.2


@pytest.mark.parametrize("probability", [[0.3, 0.3, 0.3, 0.3], [0.1, 0.2, 0.8, 0.9]])
def test_calibration_slope_refuses_what_has_no_finite_slope(probability):
    with pytest.raises(CohortError, match="no finite calibration slope"):
        calibration_slope_intercept(probability, [0, 0, 1, 1])


def test_continuous_metrics_equal_their_formulas():
    predicted, outcome = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.5])
    assert rmse(predicted, outcome) == pytest.approx(np.sqrt(1.25 / 3))
    assert r2(predicted, outcome) == pytest.approx(1 - 1.25 / ((outcome - 2.5) ** 2).sum())
    assert spearman(predicted, outcome) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", [each.function for each in BINARY_METRICS.values()])
def test_binary_metrics_refuse_what_they_cannot_judge(metric):
    with pytest.raises(CohortError, match=r"shape \(2,\).*shape \(3,\)"):
        metric([0.1, 0.2], [0, 1, 1])
    with pytest.raises(CohortError, match="1 of 2 values that are not finite"):
        metric([0.1, np.nan], [0, 1])
    with pytest.raises(CohortError, match=r"a probability is 1.2, expected a number in \[0, 1\]"):
        metric([0.1, 1.2], [0, 1])
    with pytest.raises(CohortError, match="'outcome' holds 2, expected 0 or 1"):
        metric([0.1, 0.2], [0, 2])
    with pytest.raises(CohortError, match="empty"):
        metric([], [])


@pytest.mark.parametrize("metric", [roc_auc, calibration_slope_intercept])
def test_metrics_that_compare_classes_refuse_one_class(metric):
    with pytest.raises(CohortError, match="all 2 outcomes are 1"):
        metric([0.1, 0.2], [1, 1])


@pytest.mark.parametrize("metric", [r2, spearman])
def test_continuous_metrics_refuse_a_constant(metric):
    with pytest.raises(CohortError, match="all 2 values of 'outcome' are 1"):
        metric([0.1, 0.2], [1.0, 1.0])


def test_calibration_error_refuses_fewer_patients_than_bins():
    with pytest.raises(CohortError, match="3 patients cannot be cut into 10 groups"):
        expected_calibration_error([0.1, 0.2, 0.3], [0, 1, 0])


def test_the_direction_of_merit_is_right():
    rng = np.random.default_rng(1)
    truth = rng.random(400)
    outcome = (rng.random(400) < truth).astype(float)
    for name, metric in METRICS.items():
        if name in CONTINUOUS_METRICS:
            outcome = truth + 0.1 * rng.normal(size=400)
        good, bad = metric.function(truth, outcome), metric.function(truth[::-1], outcome)
        assert (good > bad) == metric.higher_is_better == HIGHER_IS_BETTER[name]


def test_summary_holds_mean_and_spread_over_repeats():
    found = summarise([{"auc": 0.7, "brier": 0.2}, {"auc": 0.8, "brier": 0.2}])
    assert found["auc"]["mean"] == pytest.approx(0.75)
    assert found["auc"]["sd"] == pytest.approx(np.std([0.7, 0.8], ddof=1))
    assert found["brier"]["sd"] == pytest.approx(0.0)
    assert np.isnan(summarise([{"auc": 0.7}])["auc"]["sd"])


def test_summary_refuses_nothing_and_repeats_that_differ():
    with pytest.raises(CohortError, match="no repeat"):
        summarise([])
    with pytest.raises(CohortError, match="repeat 1 holds 'brier', the first holds 'auc'"):
        summarise([{"auc": 0.7}, {"brier": 0.2}])
