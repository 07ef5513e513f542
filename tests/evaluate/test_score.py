"""One function scores every learner, on the patients of whom both answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, mean_squared_error, r2_score, roc_auc_score

from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.score import HEADLINE, HIGHER_IS_BETTER, at_days, headline, score
from omics_twin.intake.declaration import OutcomeKind

GENERATOR = np.random.default_rng(0)
TRUTH = (GENERATOR.random(80) < 0.4).astype(float)
GIVEN = np.clip(0.4 + 0.3 * (TRUTH - 0.4) + 0.2 * GENERATOR.standard_normal(80), 0.01, 0.99)
DAYS = np.linspace(0, 700, 15)[1:]


def survival(hazard_per_day: np.ndarray) -> np.ndarray:
    return np.exp(-hazard_per_day[:, None] * DAYS)


def test_a_binary_score_is_that_of_an_independent_library() -> None:
    found = score(Outcome(OutcomeKind.BINARY, TRUTH), GIVEN)
    assert found["auc"] == pytest.approx(roc_auc_score(TRUTH, GIVEN))
    assert found["brier"] == pytest.approx(brier_score_loss(TRUTH, GIVEN))


def test_a_continuous_score_is_that_of_an_independent_library() -> None:
    values = 3.0 * GIVEN + GENERATOR.standard_normal(80)
    found = score(Outcome(OutcomeKind.CONTINUOUS, values), GIVEN)
    assert found["r2"] == pytest.approx(r2_score(values, GIVEN))
    assert found["rmse"] == pytest.approx(mean_squared_error(values, GIVEN) ** 0.5)


def test_a_survival_score_prefers_the_true_hazards() -> None:
    hazard = GENERATOR.uniform(0.0005, 0.006, size=300)
    time = GENERATOR.exponential(1 / hazard)
    censored = GENERATOR.uniform(100, 1200, size=300)
    outcome = Outcome(OutcomeKind.TIME_TO_EVENT, np.minimum(time, censored), time <= censored, DAYS)
    right = score(outcome, survival(hazard))
    wrong = score(outcome, survival(hazard[::-1]))
    assert right["c_index"] > 0.6 > wrong["c_index"]
    assert right["integrated_brier"] < wrong["integrated_brier"]


def test_what_needs_longer_follow_up_is_not_known_and_the_order_is() -> None:
    hazard = GENERATOR.uniform(0.0005, 0.006, size=100)
    time = GENERATOR.exponential(1 / hazard)
    censored = GENERATOR.uniform(100, DAYS[-1] - 50, size=100)
    outcome = Outcome(OutcomeKind.TIME_TO_EVENT, np.minimum(time, censored), time <= censored, DAYS)
    found = score(outcome, survival(hazard))
    assert found["c_index"] > 0.5
    assert np.isnan(found["integrated_brier"])


def test_a_survival_score_judges_order_the_horizon_and_calibration() -> None:
    hazard = GENERATOR.uniform(0.0005, 0.006, size=1500)
    time = GENERATOR.exponential(1 / hazard)
    censored = GENERATOR.uniform(100, 1200, size=1500)
    event = time <= censored
    outcome = Outcome(OutcomeKind.TIME_TO_EVENT, np.minimum(time, censored), event, DAYS)
    right, sure = score(outcome, survival(hazard)), score(outcome, survival(3.0 * hazard))
    uncensored = roc_auc_score(time <= DAYS[-1], hazard)
    assert right["auc_at_horizon"] == pytest.approx(uncensored, abs=0.03)
    assert right["uno_c"] == pytest.approx(right["c_index"], abs=0.02)
    # Three times the hazard keeps the order and is wrong about every probability.
    assert sure["uno_c"] == pytest.approx(right["uno_c"], abs=0.01)
    assert right["ici_at_horizon"] < 0.04 < 0.1 < sure["ici_at_horizon"]
    assert sure["d_calibration_p"] < 1e-6 < 0.01 < right["d_calibration_p"]


def test_what_the_patients_do_not_allow_is_not_known() -> None:
    time, event = np.array([100.0, 200.0, 300.0, DAYS[-1]]), np.ones(4, dtype=bool)
    found = score(
        Outcome(OutcomeKind.TIME_TO_EVENT, time, event, DAYS),
        survival(np.array([0.01, 0.008, 0.006, 0.004])),
    )
    assert found["c_index"] == 1.0
    # Nobody is followed beyond the horizon.
    assert np.isnan(found["auc_at_horizon"])


def test_survival_at_a_patients_own_day_lies_between_the_days_of_the_grid() -> None:
    curves, asked = survival(np.array([0.001, 0.002, 0.003])), np.array([0.0, 225.0, DAYS[-1]])
    found = at_days(curves, DAYS, asked)
    np.testing.assert_allclose(found, np.exp(-np.array([0.001, 0.002, 0.003]) * asked), atol=1e-3)


@pytest.mark.parametrize("hole", ["outcome", "prediction"])
def test_a_patient_with_half_an_answer_is_not_scored(hole: str) -> None:
    values, given = TRUTH.copy(), GIVEN.copy()
    (values if hole == "outcome" else given)[:10] = np.nan
    found = score(Outcome(OutcomeKind.BINARY, values), given)
    assert found == score(Outcome(OutcomeKind.BINARY, TRUTH[10:]), GIVEN[10:])


def test_every_metric_has_a_direction_and_every_kind_a_headline() -> None:
    survived = Outcome(OutcomeKind.TIME_TO_EVENT, 1500 * GIVEN + 200, TRUTH > 0, DAYS)
    found = {
        OutcomeKind.BINARY: score(Outcome(OutcomeKind.BINARY, TRUTH), GIVEN),
        OutcomeKind.CONTINUOUS: score(Outcome(OutcomeKind.CONTINUOUS, TRUTH), GIVEN),
        OutcomeKind.TIME_TO_EVENT: score(survived, survival(0.01 * GIVEN)),
    }
    for kind, metrics in found.items():
        assert HEADLINE[kind] in metrics
        assert metrics.keys() <= HIGHER_IS_BETTER.keys()


def test_the_headline_alone_is_that_of_the_whole_score() -> None:
    for kind, values in (
        (OutcomeKind.BINARY, TRUTH),
        (OutcomeKind.CONTINUOUS, 3.0 * GIVEN + TRUTH),
    ):
        outcome = Outcome(kind, np.where(np.arange(80) < 5, np.nan, values))
        assert headline(outcome, GIVEN) == score(outcome, GIVEN)[HEADLINE[kind]]
    hazard = GENERATOR.uniform(0.0005, 0.006, size=80)
    outcome = Outcome(OutcomeKind.TIME_TO_EVENT, GENERATOR.exponential(400, 80), TRUTH == 1, DAYS)
    found = score(outcome, survival(hazard))
    assert headline(outcome, survival(hazard)) == found["c_index"]


def test_a_headline_that_the_patients_do_not_allow_is_not_known() -> None:
    alike = Outcome(OutcomeKind.BINARY, np.ones(80))
    assert np.isnan(headline(alike, GIVEN))
    nobody = Outcome(OutcomeKind.BINARY, np.full(80, np.nan))
    assert np.isnan(headline(nobody, GIVEN))
    no_event = Outcome(OutcomeKind.TIME_TO_EVENT, np.full(80, 50.0), np.zeros(80, bool), DAYS)
    assert np.isnan(headline(no_event, survival(np.full(80, 0.001))))
