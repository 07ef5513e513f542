"""What following a rule is worth lies between one arm for all and everyone's own best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.errors import CohortError
from omics_twin.evaluate.truth import policy_value

TRUTH = np.array([[0.9, 0.1], [0.2, 0.6], [0.5, 0.4], [0.1, 0.7]])


def test_choosing_everyones_own_best_arm_captures_everything() -> None:
    value = policy_value(TRUTH.argmax(axis=1), TRUTH)
    assert value.captured == pytest.approx(1.0)
    assert value.followed == pytest.approx((0.9 + 0.6 + 0.5 + 0.7) / 4)


def test_one_arm_for_all_captures_nothing() -> None:
    best = int(TRUTH.mean(axis=0).argmax())
    value = policy_value(np.full(4, best), TRUTH)
    assert value.captured == pytest.approx(0.0)
    assert value.followed == value.best_single_arm == pytest.approx(0.45)


@given(some.lists(some.integers(0, 1), min_size=4, max_size=4))
@settings(max_examples=16, deadline=None)
def test_no_rule_beats_everyones_own_best_arm(chosen: list[int]) -> None:
    assert policy_value(np.array(chosen), TRUTH).captured <= 1.0 + 1e-12


def test_the_worst_rule_is_worse_than_one_arm_for_all() -> None:
    assert policy_value(TRUTH.argmin(axis=1), TRUTH).captured < 0.0


def test_without_a_benefit_to_capture_there_is_no_value() -> None:
    with pytest.raises(CohortError, match="one arm is the best for everyone"):
        policy_value(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))


@pytest.mark.parametrize(
    ("chosen", "truth"), [([0, 1, 0], TRUTH), ([0, 0, 0, 0], np.full((4, 2), np.nan))]
)
def test_choices_and_truth_must_fit(chosen: list[int], truth: np.ndarray, unchecked: None) -> None:
    with pytest.raises(CohortError, match="expected one per patient"):
        policy_value(np.array(chosen), truth)
