"""With competing risks incidence adds up, and predictions of one cause are judged fairly."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.baselines import fit_predict_folds
from omics_twin.evaluate.competing import (
    aalen_johansen,
    auc_competing,
    brier_competing,
    censoring_of,
    concordance_competing,
    concordance_competing_weighted,
    followed_on,
    horizon_weights,
)
from omics_twin.evaluate.concordance import concordance, concordance_uno
from omics_twin.evaluate.design import Design, Outcome
from omics_twin.evaluate.score import headline, score
from omics_twin.evaluate.survival import brier_at, censoring_survival, kaplan_meier
from omics_twin.intake.declaration import OutcomeKind


def cohort(patients: int, seed: int = 0, digits: int = 8):
    """Risk of cause 1, the uncensored time and cause, and what was seen of them."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=patients)
    rates = np.column_stack([np.exp(risk), np.full(patients, 0.7)]) / 100
    onset = rng.exponential(1 / rates.sum(axis=1)).round(digits)
    kind = 1 + (rng.random(patients) > rates[:, 0] / rates.sum(axis=1))
    leaving = rng.uniform(10, 200, patients).round(digits)
    return risk, onset, kind, np.minimum(onset, leaving), np.where(onset <= leaving, kind, 0)


def test_incidences_and_survival_add_up_to_one():
    _, _, _, time, cause = cohort(300, digits=0)
    days = np.unique(time)
    total = sum(aalen_johansen(time, cause, of).at(days) for of in (1, 2))
    alive = kaplan_meier(time, cause > 0).at(days)
    np.testing.assert_allclose(total + alive, 1.0, atol=1e-12)


def test_with_one_cause_it_is_kaplan_meier_with_greenwoods_error():
    _, _, _, time, cause = cohort(200, digits=0)
    event = (cause > 0).astype(int)
    found, expected = aalen_johansen(time, event), kaplan_meier(time, event)
    np.testing.assert_allclose(found.incidence, 1.0 - expected.survival, atol=1e-12)
    some = expected.survival > 0
    np.testing.assert_allclose(
        found.standard_error[some], expected.standard_error[some], rtol=0.05, atol=1e-3
    )


def test_late_entries_do_not_bias_the_incidence():
    _, onset, kind, time, cause = cohort(8000, seed=1)
    entry = np.random.default_rng(2).uniform(0, 30, 8000)
    kept = time > entry
    found = aalen_johansen(time[kept], cause[kept], 1, entry[kept])
    truth = np.mean((onset <= 60) & (kind == 1))
    assert found.at(60.0) == pytest.approx(truth, abs=0.02)


def pairs_of(risk, time, cause, weights, until):
    """Wolbers' weighted c by looking at each pair."""
    won = all_pairs = 0.0
    for i in np.flatnonzero((cause == 1) & (time < until)):
        for j in range(len(risk)):
            other = cause[j] > 1 and time[j] <= time[i]
            later = time[j] > time[i] or (time[j] == time[i] and cause[j] == 0)
            weight = weights[i] * (weights[j] if other else weights[i]) * (other or later)
            won += weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
            all_pairs += weight
    return won / all_pairs


@pytest.mark.parametrize("digits", [8, -1])
def test_both_concordances_equal_looking_at_each_pair(digits):
    risk, _, _, time, cause = cohort(120, digits=digits)
    risk, time = risk.round(1), time + 1.0
    found = concordance_competing(risk, time, cause)
    assert found == pytest.approx(pairs_of(risk, time, cause, np.ones(120), np.inf), abs=1e-12)
    censoring = censoring_of(time, cause)
    weights = 1.0 / np.maximum(censoring.at(time), 1e-9)
    found = concordance_competing_weighted(risk, time, cause, censoring, 80.0)
    assert found == pytest.approx(pairs_of(risk, time, cause, weights, 80.0), abs=1e-12)


def test_with_one_cause_every_measure_is_the_ordinary_one():
    risk, _, _, time, cause = cohort(150)
    event = (cause > 0).astype(int)
    censoring = censoring_survival(time, event)
    assert concordance_competing(risk, time, event) == concordance(risk, time, event)
    assert concordance_competing_weighted(
        risk, time, event, censoring_of(time, event), 90.0
    ) == pytest.approx(concordance_uno(risk, time, event, censoring, 90.0), abs=1e-12)
    incidence = 1.0 / (1.0 + np.exp(-risk))
    assert brier_competing(incidence, time, event, 50.0, censoring) == pytest.approx(
        brier_at(1.0 - incidence, time, event, 50.0, censoring), abs=1e-12
    )


def test_censoring_moves_neither_brier_score_nor_auc_nor_concordance():
    risk, onset, kind, time, cause = cohort(8000, seed=3)
    censoring, nobody = censoring_of(time, cause), censoring_of(onset, kind)
    incidence = 1.0 / (1.0 + np.exp(-risk))
    for function in (brier_competing, auc_competing):
        seen = function(incidence, time, cause, 60.0, censoring)
        assert seen == pytest.approx(function(incidence, onset, kind, 60.0, nobody), abs=0.02)
    seen = concordance_competing_weighted(risk, time, cause, censoring, 120.0)
    assert seen == pytest.approx(
        concordance_competing_weighted(risk, onset, kind, nobody, 120.0), abs=0.02
    )
    assert horizon_weights(time, cause, 60.0, censoring).mean() == pytest.approx(1.0, abs=0.01)


def test_causes_that_make_no_sense_are_refused():
    with pytest.raises(CohortError, match=r"a cause is 0\.5, expected 0 \(censored\)"):
        aalen_johansen([1.0, 2.0], [0.5, 1])
    with pytest.raises(CohortError, match="no event of cause 3 in 2 patients"):
        aalen_johansen([1.0, 2.0], [0, 1], of=3)
    with pytest.raises(CohortError, match="1 patients have the event by day 3 and 0"):
        auc_competing([1.0, 2.0], [1.0, 2.0], [1, 0], 3.0, censoring_of([4.0, 9.0], [1, 0]))
    with pytest.raises(CohortError, match="predicted incidence is 2"):
        brier_competing([2.0, 0.1], [1.0, 2.0], [0, 1], 1.0, censoring_of([4.0], [1]))
    with pytest.raises(CohortError, match="no two patients can be compared"):
        concordance_competing([1.0, 2.0], [1.0, 2.0], [0, 1])


def test_a_learner_of_times_followed_on_predicts_incidence() -> None:
    """One that takes another event for censoring predicts too much of the event asked about."""
    generator = np.random.default_rng(3)
    markers = generator.normal(size=(400, 2))
    own = generator.exponential(np.exp(-markers[:, 0]))
    other = generator.exponential(0.5 * np.exp(-markers[:, 1]))
    lost = generator.uniform(0.5, 4.0, size=400)
    time = np.minimum.reduce([own, other, lost])
    cause = np.select([time == lost, time == own], [0, 1], 2)
    design = Design(
        values=markers,
        names=("a", "b"),
        modality=("m", "m"),
        binary=np.zeros(2, dtype=bool),
        arms=np.zeros(400, dtype=int),
        arm_names=("x",),
        agents=np.zeros((1, 0)),
        agent_names=(),
    )
    followed = followed_on(time, cause, [str(each) for each in range(400)])
    folds = np.arange(400)[None] % 3
    gaps, c = [], []
    for days in (followed, time):
        outcome = Outcome(
            OutcomeKind.TIME_TO_EVENT, days, cause == 1, np.linspace(0.1, 1.5, 15), time, cause
        )
        found = fit_predict_folds("ridge_cox", design, outcome, folds, seed=0).received[0]
        scores = score(outcome, found)
        gaps.append(scores["incidence_gap_at_horizon"])
        c.append(scores["c_index"])
    assert abs(gaps[0]) < 0.01
    assert gaps[1] > 0.1
    assert c[0] > c[1]
    assert headline(outcome, found) == c[1]


def test_nobody_is_followed_on_without_another_event() -> None:
    time = [1.0, np.nan, 3.0]
    np.testing.assert_array_equal(followed_on(time, [0, 0, 1], ["a", "b", "c"]), time)


def test_whom_else_there_is_in_the_file_does_not_change_the_order_of_a_draw() -> None:
    time, cause = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2, 0, 0, 2, 0])
    ids = ["a", "b", "c", "d", "e"]
    turned = followed_on(time[::-1], cause[::-1], ids[::-1])
    np.testing.assert_array_equal(followed_on(time, cause, ids), turned[::-1])
