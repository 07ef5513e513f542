"""Intervals and probabilities that hold whatever the model."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability_slope
from omics_twin.evaluate.conformal import (
    conformal_quantile,
    group_rates,
    mondrian_quantiles,
    nonconformity,
    venn_abers,
    venn_abers_by_group,
)


def test_a_new_score_stays_below_the_quantile_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(400):
        scores = rng.gamma(2.0, size=60)
        inside.append((rng.gamma(2.0, size=50) <= conformal_quantile(scores, 0.9)).mean())
    # Between 0.9 and 0.9 + 1 / 61, and a standard error of 0.002.
    assert 0.895 <= np.mean(inside) <= 0.925


def test_several_scores_of_a_patient_are_one_patient() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=20)
    assert conformal_quantile(np.stack([own] * 5, axis=1), 0.8) == conformal_quantile(own, 0.8)
    unknown = np.append(own, np.nan)
    assert conformal_quantile(unknown, 0.8) == conformal_quantile(own, 0.8)


def test_an_interval_stretched_by_the_quantile_holds_its_share() -> None:
    rng = np.random.default_rng(2)
    truth, mean = rng.normal(size=(2, 500))
    scores = nonconformity(truth, mean, mean - 0.5, mean + 1.0)
    factor = conformal_quantile(scores, 0.9)
    inside = (truth >= mean - 0.5 * factor) & (truth <= mean + factor)
    assert 0.9 <= inside.mean() <= 0.91


def test_each_group_gets_what_it_needs() -> None:
    rng = np.random.default_rng(3)
    groups = ["calm"] * 200 + ["wild"] * 200 + ["few"] * 10
    scores = np.abs(rng.normal(size=410) * np.repeat([1.0, 3.0, 1.0], [200, 200, 10]))
    found = mondrian_quantiles(scores, groups, 0.9)
    assert set(found) == {"calm", "wild"}
    for name in found:
        own = scores[np.array(groups) == name]
        assert 0.9 <= (own <= found[name]).mean() <= 0.915
    assert found["wild"] > 2.0 * found["calm"]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_an_impossible_level_is_refused(level: float) -> None:
    with pytest.raises(CohortError, match="expected between 0 and 1"):
        conformal_quantile(np.ones(3), level)


def test_nobody_to_calibrate_on_is_refused() -> None:
    with pytest.raises(CohortError, match="0 patients to calibrate on"):
        conformal_quantile(np.full(3, np.nan), 0.9)


def test_venn_abers_repairs_probabilities_that_are_too_extreme() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(0.1, 0.9, size=3000)
    outcome = (rng.random(3000) < truth).astype(float)
    extreme = 1.0 / (1.0 + ((1.0 - truth) / truth) ** 3)
    found = venn_abers(extreme[:1500], outcome[:1500], extreme[1500:])
    assert bool((found.lower <= found.upper).all())
    before, after = (
        reliability_slope(each, outcome[1500:]) for each in (extreme[1500:], found.probability)
    )
    assert before < 0.75
    assert after == pytest.approx(1.0, abs=0.12)


def test_one_of_the_two_probabilities_is_calibrated_in_every_group() -> None:
    rng = np.random.default_rng(5)
    groups = np.array(["a", "b"])[rng.integers(2, size=2000)]
    truth = np.where(groups == "a", 0.3, 0.6)
    outcome = (rng.random(2000) < truth).astype(float)
    # The score knows nothing of the group.
    score = rng.uniform(0.2, 0.8, size=2000)
    folds = rng.integers(5, size=2000)
    found = venn_abers_by_group(score, outcome, folds, groups.tolist())
    told = group_rates(found, outcome, groups.tolist())
    for each in told.values():
        assert each["lower"] - 0.02 <= each["observed"] <= each["upper"] + 0.02
        assert each["width"] < 0.15


def test_a_slope_needs_probabilities_that_differ() -> None:
    with pytest.raises(CohortError, match="all bins predict the same"):
        reliability_slope([0.5] * 20, [0, 1] * 10)


def test_overconfidence_has_a_slope_below_one() -> None:
    rng = np.random.default_rng(6)
    truth = rng.uniform(0.3, 0.7, size=20_000)
    happened = (rng.random(20_000) < truth).astype(float)
    assert reliability_slope(truth, happened) == pytest.approx(1.0, abs=0.07)
    assert reliability_slope(0.5 + 2.0 * (truth - 0.5), happened) == pytest.approx(0.5, abs=0.05)
