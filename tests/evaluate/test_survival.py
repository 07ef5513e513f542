"""Concordance, Kaplan-Meier and Brier scores behave as their definitions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from omics_twin.errors import CohortError
from omics_twin.evaluate.concordance import concordance, concordance_uno, count_pairs
from omics_twin.evaluate.survival import (
    brier_at,
    censoring_survival,
    integrated_brier,
    kaplan_meier,
)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Count once, so that no property is timed while the compiler loads."""
    count_pairs(np.zeros(1), np.zeros(1), np.zeros(1))
    count_pairs(np.zeros(1), np.zeros(1), np.zeros(1), others=np.ones(1))


@st.composite
def survival(draw, tied=True):
    """Risk, time and event of up to 40 patients, with or without ties."""
    patients = draw(st.integers(2, 40))
    small = st.integers(0, 8) if tied else st.integers(0, 10_000)
    columns = [
        draw(st.lists(small, min_size=patients, max_size=patients, unique=not tied))
        for _ in range(2)
    ]
    event = draw(st.lists(st.integers(0, 1), min_size=patients, max_size=patients))
    return np.array(columns[0], float), np.array(columns[1], float), np.array(event, float)


def _pairs(risk, time, event):
    """Count pairs by looking at each."""
    concordant = discordant = tied = 0
    for i in np.flatnonzero(event == 1):
        for j in range(len(risk)):
            if time[j] > time[i] or (time[j] == time[i] and event[j] == 0):
                concordant += risk[i] > risk[j]
                discordant += risk[i] < risk[j]
                tied += risk[i] == risk[j]
    return concordant, discordant, tied


@given(survival())
def test_fast_counting_equals_looking_at_each_pair(case):
    assert tuple(count_pairs(*case)) == _pairs(*case)


@given(survival(), st.integers(0, 2**32 - 1))
def test_weights_and_late_entries_count_as_looking_at_each_pair_says(case, seed):
    risk, time, event = case
    rng = np.random.default_rng(seed)
    time = time + 1.0
    entry = np.floor(rng.random(len(time)) * time) - rng.integers(0, 2)
    weights, others = rng.random((2, len(time)))
    found = np.zeros(3)
    for i in np.flatnonzero(event == 1):
        for j in np.flatnonzero(entry < time[i]):
            if time[j] > time[i] or (time[j] == time[i] and event[j] == 0):
                place = 1 + int(np.sign(risk[j] - risk[i]))
                found[place] += weights[i] * others[j]
    pairs = count_pairs(*case[:1], time, event, weights, others=others, entry=entry)
    np.testing.assert_allclose([pairs.concordant, pairs.tied, pairs.discordant], found, atol=1e-9)
    whole = count_pairs(*case[:1], time, event, entry=np.minimum(entry, -1.0))
    assert whole == count_pairs(*case[:1], time, event)


def test_who_enters_late_is_not_compared_with_who_had_left():
    risk, time, event = [3.0, 1.0, 2.0], [1.0, 5.0, 6.0], [1, 1, 1]
    assert concordance(risk, time, event) == pytest.approx(2 / 3)
    assert concordance(risk, time, event, entry=[0.0, 2.0, 1.0]) == 0.0
    with pytest.raises(CohortError, match="1 patients enter on or after the day they leave"):
        concordance(risk, time, event, entry=[0.0, 5.0, 1.0])


@given(survival())
def test_concordance_does_not_change_under_a_monotone_map(case):
    risk, time, event = case
    assume(sum(_pairs(*case)) > 0)
    assert concordance(np.exp(risk), time, event) == pytest.approx(concordance(*case))


@given(survival(tied=False))
def test_concordance_turns_when_risk_is_reversed(case):
    risk, time, event = case
    assume(sum(_pairs(*case)) > 0)
    assert concordance(-risk, time, event) == pytest.approx(1.0 - concordance(*case))


@given(survival())
def test_a_constant_risk_has_concordance_one_half(case):
    risk, time, event = case
    assume(sum(_pairs(*case)) > 0)
    assert concordance(0.0 * risk, time, event) == pytest.approx(0.5)


def test_concordance_of_uno_equals_that_of_harrell_without_censoring():
    rng = np.random.default_rng(0)
    risk, time, event = rng.normal(size=50), rng.exponential(size=50), np.ones(50)
    found = concordance_uno(risk, time, event, censoring_survival(time, event))
    assert found == pytest.approx(concordance(risk, time, event))


def test_concordance_refuses_what_cannot_be_compared():
    with pytest.raises(CohortError, match="no two patients can be compared"):
        concordance([1.0, 2.0], [1.0, 2.0], [0, 0])
    with pytest.raises(CohortError, match="'event' holds 2"):
        concordance([1.0, 2.0], [1.0, 2.0], [0, 2])
    with pytest.raises(CohortError, match="a time is -1"):
        concordance([1.0, 2.0], [-1.0, 2.0], [0, 1])
    with pytest.raises(CohortError, match="not finite"):
        concordance([1.0, np.nan], [1.0, 2.0], [0, 1])


def test_kaplan_meier_without_censoring_is_the_share_alive():
    curve = kaplan_meier([1.0, 2.0, 2.0, 5.0], [1, 1, 1, 1])
    np.testing.assert_allclose(curve.at([0.5, 1.0, 1.9, 2.0, 5.0]), [1, 0.75, 0.75, 0.25, 0])
    share = 0.25
    assert curve.error_at(2.0) == pytest.approx(np.sqrt(share * (1 - share) / 4))


@given(survival())
def test_survival_never_rises_and_stays_in_the_unit_interval(case):
    _, time, event = case
    for curve in (kaplan_meier(time, event), censoring_survival(time, event)):
        steps = np.append(1.0, curve.survival)
        assert (np.diff(steps) <= 1e-12).all()
        assert steps.min() >= -1e-12


@given(survival())
def test_without_ties_both_curves_multiply_to_the_share_still_followed(case):
    _, time, event = case
    days = np.unique(time)
    followed = (time[:, None] > days).mean(axis=0)
    product = kaplan_meier(time, event).at(days) * censoring_survival(time, event).at(days)
    np.testing.assert_allclose(product, followed, atol=1e-9)


def test_the_truth_has_a_better_brier_score_than_the_mean_or_noise():
    rng = np.random.default_rng(1)
    rate = np.exp(rng.normal(size=4000)) / 100
    onset, leaving = rng.exponential(1 / rate), rng.uniform(20, 300, 4000)
    time, event = np.minimum(onset, leaving), onset <= leaving
    grid = np.linspace(5, 150, 10)
    truth = np.exp(-rate[:, None] * grid)
    censoring = censoring_survival(time, event)
    scores = [
        integrated_brier(curves, grid, time, event, censoring)
        for curves in (truth, np.tile(truth.mean(axis=0), (4000, 1)), truth[::-1])
    ]
    assert scores[0] < scores[1] < scores[2]
    uncensored = np.mean((truth - (onset[:, None] > grid)) ** 2, axis=0)
    assert scores[0] == pytest.approx(np.trapezoid(uncensored, grid) / 145, abs=0.005)


def test_brier_refuses_a_day_beyond_follow_up_and_curves_that_do_not_fit():
    time, event = np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1])
    censoring = censoring_survival(time, event)
    short = censoring_survival([1.0, 2.0], [0, 1])
    with pytest.raises(CohortError, match="known until day 2"):
        brier_at([0.5] * 3, [1.0, 2.0, 9.0], event, 4.0, short)
    with pytest.raises(CohortError, match="predicted survival is 1.5"):
        brier_at([1.5, 0.5, 0.5], time, event, 1.0, censoring)
    with pytest.raises(CohortError, match=r"survival has shape \(3, 1\) and the grid \(2,\)"):
        integrated_brier(np.ones((3, 1)), [1.0, 2.0], time, event, censoring)
    with pytest.raises(CohortError, match="expected two or more that rise"):
        integrated_brier(np.ones((3, 2)), [2.0, 1.0], time, event, censoring)


def test_late_entries_do_not_bias_kaplan_meier():
    rng = np.random.default_rng(3)
    onset, leaving = rng.exponential(100.0, 20_000), rng.uniform(50, 300, 20_000)
    entry = rng.uniform(0, 60, 20_000)
    time, event = np.minimum(onset, leaving), onset <= leaving
    kept = time > entry
    found = kaplan_meier(time[kept], event[kept], entry[kept]).at([30.0, 90.0])
    np.testing.assert_allclose(found, np.exp([-0.3, -0.9]), atol=0.015)
    naive = kaplan_meier(time[kept], event[kept]).at(30.0)
    assert naive > found[0] + 0.05


def test_a_patient_is_at_risk_after_entry_and_not_on_that_day():
    found = kaplan_meier([1.0, 2.0, 3.0], [1, 1, 1], [0.0, 1.0, 0.0])
    assert found.at_risk.tolist() == [2, 2, 1]
    with pytest.raises(CohortError, match="first day 2 against 2"):
        kaplan_meier([1.0, 2.0], [1, 1], [0.0, 2.0])
