"""Trials adjusted by a prognostic score: the same errors, a smaller variance."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.procova import adjusted_effect, patients_needed, power


def trials(correlation: float, effect: float) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    score, noise = rng.standard_normal((2, 3000, 120))
    arm = np.zeros((3000, 120))
    arm[:, ::2] = 1.0
    control = correlation * score + np.sqrt(1 - correlation**2) * noise
    return control + effect * arm, arm, score


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_the_type_one_error_is_kept_and_the_variance_shrinks(correlation: float) -> None:
    outcome, arm, score = trials(correlation, 0.0)
    plain, adjusted = adjusted_effect(outcome, arm), adjusted_effect(outcome, arm, score)
    assert abs(np.mean(adjusted.p_value < 0.05) - 0.05) < 0.012
    ratio = adjusted.effect.var() / plain.effect.var()
    assert ratio == pytest.approx(1 - correlation**2, abs=0.05)


def test_power_is_as_in_closed_form() -> None:
    outcome, arm, score = trials(0.6, 0.4)
    found = np.mean(adjusted_effect(outcome, arm, score).p_value < 0.05)
    assert found == pytest.approx(power(0.4, 1.0, 120, 0.6), abs=0.03)


def test_fewer_patients_are_needed() -> None:
    assert patients_needed(200, 0.6) == 128
    assert power(0.4, 1.0, 128, 0.6) == pytest.approx(power(0.4, 1.0, 200), abs=1e-3)


@pytest.mark.parametrize(
    ("outcome", "arm", "sentence"),
    [
        (np.zeros(8), np.r_[np.ones(6), np.zeros(2)], "fewer than three patients"),
        (np.zeros(8), np.zeros(7), "expected the same shapes"),
        (np.full(8, np.nan), np.r_[np.ones(4), np.zeros(4)], "not finite"),
    ],
)
def test_a_trial_that_cannot_be_analysed_is_refused(
    outcome: np.ndarray, arm: np.ndarray, sentence: str
) -> None:
    with pytest.raises(CohortError, match=sentence):
        adjusted_effect(outcome, arm)
