"""Evidence that forecasts fail: few false alarms for ever, and few visits to a true one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from omics_twin.alerts.adaptive import AdaptiveLevel
from omics_twin.alerts.evidence import (
    Evidence,
    combined,
    cusum,
    detector,
    ever,
    first_alarm,
    normal_score,
    ratios,
)

SERIES, ALPHA = 4000, 0.05


def test_bets_are_fair_where_forecasts_hold() -> None:
    scores = np.random.default_rng(0).standard_normal(200_000)
    np.testing.assert_allclose(ratios(scores).mean(axis=0), 1.0, atol=0.1)


def test_false_alarms_are_ever_as_rare_as_promised() -> None:
    scores = np.random.default_rng(1).standard_normal((SERIES, 100))
    alarms = (ever(scores)[:, -1] >= 1 / ALPHA).mean()
    assert alarms <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / SERIES)


def test_one_series_and_many_hold_the_same_evidence() -> None:
    scores = np.random.default_rng(2).standard_normal((3, 12)) + 0.8
    for row in range(3):
        evidence, largest = Evidence(), 1.0
        for score in scores[row]:
            evidence = evidence.after(float(score))
            largest = max(largest, evidence.value)
        assert largest == pytest.approx(ever(scores)[row, -1])


def test_a_change_is_noticed_whenever_it_comes() -> None:
    for before in (0, 10):
        scores = np.random.default_rng(3).standard_normal((500, 60))
        scores[:, before:] += 2.0
        times = first_alarm(ever(scores), 1 / ALPHA)
        assert np.isfinite(times).mean() > 0.98
        assert np.median(times) - before <= 6


def test_a_mixture_is_nearly_as_fast_as_knowing_the_shift() -> None:
    rng = np.random.default_rng(4)
    # Thresholds of an average run of 500, from scripts/studies/alerts.py.
    for shift, limits in ((1.0, (219.0, 4.4)), (2.0, (219.0, 4.63))):
        changed = rng.standard_normal((2000, 200)) + shift
        mixture = first_alarm(detector(changed), limits[0]).mean()
        known = first_alarm(cusum(changed, shift), limits[1]).mean()
        assert mixture < 1.2 * known


def test_channels_are_combined_by_their_mean() -> None:
    assert combined([4.0, 0.0]) == 2.0


def test_a_forecast_tells_no_more_than_its_draws() -> None:
    assert normal_score(0.0, 100) == pytest.approx(norm.ppf(0.005))
    assert normal_score(1.0, 100) == pytest.approx(norm.ppf(0.995))


def test_adaptive_intervals_hold_where_the_twin_is_wrong() -> None:
    level, held = AdaptiveLevel(), []
    for share in norm.cdf(2.0 * np.random.default_rng(5).standard_normal(3000)):
        low, high = level.tails
        missed = not low <= share <= high and level.level > 0
        held.append(not missed)
        level = level.after(missed=missed)
    assert 0.88 < np.mean(held) < 0.92
