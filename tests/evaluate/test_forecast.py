"""Scores of forecasts: against closed forms, brute force, and on forecasts known to be right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from omics_twin.errors import CohortError
from omics_twin.evaluate.forecast import (
    coverage,
    crps,
    kolmogorov_smirnov,
    probability_integral,
    skill,
)
from omics_twin.evaluate.forecast_baselines import BASELINES, Scans, exponential, last_size
from omics_twin.evaluate.simulation_based import ranks_of, uniformity

numbers = st.floats(-50, 50)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(numbers, st.floats(0.01, 1)), min_size=1, max_size=8), numbers)
def test_the_score_is_the_one_of_its_definition(
    draws: list[tuple[float, float]], found: float
) -> None:
    values = np.array([each for each, _ in draws])
    weights = np.array([each for _, each in draws])
    weights = weights / weights.sum()
    expected = (weights * np.abs(values - found)).sum() - 0.5 * (
        weights[:, None] * weights[None] * np.abs(values[:, None] - values[None])
    ).sum()
    score = crps([values], [found], [weights])[0]
    assert score == pytest.approx(expected, abs=1e-9)
    assert score >= -1e-9


def test_the_score_of_many_draws_is_the_normal_distributions() -> None:
    draws = norm.ppf((np.arange(4000) + 0.5) / 4000)
    for found in (0.0, 1.3):
        exact = found * (2 * norm.cdf(found) - 1) + 2 * norm.pdf(found) - 1 / np.sqrt(np.pi)
        assert crps([draws], [found])[0] == pytest.approx(exact, abs=1e-3)


def test_a_forecast_that_is_right_is_calibrated_and_one_that_is_too_sure_is_not() -> None:
    rng = np.random.default_rng(0)
    centre = rng.standard_normal(800)
    found = centre + rng.standard_normal(800)
    for width, right in ((1.0, True), (0.6, False)):
        draws = centre[:, None] + width * rng.standard_normal((800, 300))
        _, p_value = kolmogorov_smirnov(probability_integral(draws, found))
        held = coverage(draws, found)
        assert (p_value > 0.01) is right
        assert (held.lower <= held.share <= held.upper) is right


def test_what_is_only_known_to_be_small_falls_anywhere_below() -> None:
    draws = np.tile(np.arange(10.0), (500, 1))
    shares = probability_integral(draws, np.full(500, 4.0), below=np.ones(500, dtype=bool))
    assert shares.max() <= 0.5
    assert abs(shares.mean() - 0.25) < 0.03


def test_an_interval_is_read_on_the_scale_that_was_used() -> None:
    draws = np.linspace(9.6, 10.4, 50)[None]
    assert coverage(draws, [10.0], resolution=1.0).share == 1.0
    assert coverage(draws, [11.0], resolution=1.0).share == 0.0


def test_skill_is_the_share_by_which_a_score_is_lower() -> None:
    assert skill([1.0, 2.0], [2.0, 4.0]) == 0.5


@pytest.mark.parametrize(
    ("draws", "found", "sentence"),
    [
        ([[1.0, np.nan]], [1.0], "not finite"),
        ([[1.0, 2.0]], [1.0, 2.0], "forecasts of shape"),
        (np.zeros((0, 3)), [], "forecasts of shape"),
    ],
)
def test_a_forecast_that_is_none_is_refused(draws: object, found: object, sentence: str) -> None:
    with pytest.raises(CohortError, match=sentence):
        crps(draws, found)  # type: ignore[arg-type]


def test_ranks_are_uniform_where_the_belief_is_right_and_not_where_it_is_too_sure() -> None:
    rng = np.random.default_rng(1)
    truth = rng.standard_normal(1000)
    seen = truth + rng.standard_normal(1000)
    for width, right in ((1.0, True), (0.6, False)):
        noise = rng.standard_normal((1000, 400))
        draws = 0.5 * seen[:, None] + width * np.sqrt(0.5) * noise
        found = uniformity(ranks_of(truth, draws, np.ones_like(draws)))
        assert (found.p_value > 0.01) is right


@pytest.mark.parametrize(
    ("ranks", "kept", "sentence"),
    [(np.arange(100), 98, "cannot be shared out"), (np.arange(10), 99, "10 ranks for 20 bins")],
)
def test_ranks_that_cannot_be_judged_are_refused(
    ranks: np.ndarray, kept: int, sentence: str
) -> None:
    with pytest.raises(CohortError, match=sentence):
        uniformity(ranks, kept)


def scans() -> Scans:
    rng = np.random.default_rng(2)
    days = np.tile(np.arange(6) * 50.0, (200, 1))
    sizes = 3.0 + 0.002 * rng.standard_normal((200, 1)) * days
    sizes = sizes + 0.05 * rng.standard_normal(days.shape)
    sizes[::5, 4:] = np.nan
    sizes[::7, 1] = np.nan
    return Scans(days, sizes)


def test_baselines_forecast_what_is_asked_and_hold_as_they_say() -> None:
    known, some = scans().at(np.arange(100)), scans().at(np.arange(100, 200))
    for baseline in BASELINES.values():
        draws = baseline(known, some)
        assert np.isfinite(draws[some.asked]).all()
        assert np.isnan(draws[~some.asked]).all()
        held = coverage(draws[some.asked], some.sizes[some.asked])
        assert 0.82 < held.share < 0.96


def test_the_last_size_looks_over_what_was_not_measured_and_a_line_goes_on() -> None:
    one = Scans(np.array([[0.0, 10, 20, 30]]), np.array([[1.0, np.nan, 2.0, 9.0]]))
    np.testing.assert_array_equal(last_size(one)[0, 1:], [1.0, 1.0, 2.0])
    assert exponential(one)[0, 3] == pytest.approx(2.5)
