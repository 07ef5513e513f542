"""One function scores every learner, on the patients of whom both answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, mean_squared_error, r2_score, roc_auc_score

from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.score import HEADLINE, HIGHER_IS_BETTER, score
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
