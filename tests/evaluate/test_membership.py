"""Attacks on membership: they find what is planted, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np

from omics_twin.evaluate.membership import Answered, attacked


def answered(shift: float, *, repeats: int = 4, patients: int = 400, seed: int = 0) -> Answered:
    rng = np.random.default_rng(seed)
    signal, inside, group = [], [], []
    own = rng.normal(scale=2.0, size=patients)
    for repeat in range(repeats):
        fold = rng.permutation(np.arange(patients) % 5)
        for each in range(5):
            inside.append(fold != each)
            signal.append(own + shift * inside[-1] + rng.normal(scale=0.3, size=patients))
            group.append(repeat)
    return Answered(np.array(signal), np.array(inside), np.array(group))


def test_where_members_do_not_differ_the_advantage_is_noise() -> None:
    found = attacked(answered(0.0), seed=0)
    for each in found["attacks"].values():
        assert abs(each["advantage"]) < 0.05
        assert abs(each["auc"] - 0.5) < 0.03
    assert found["advantage"] < found["floor"]["upper"] + 0.02


def test_a_shift_that_each_patients_own_level_hides_is_found_by_comparing_with_other_twins() -> (
    None
):
    found = attacked(answered(0.6), seed=0)
    # Normals that lie 2 standard deviations apart, before the noise of the patient's level.
    assert 0.55 < found["advantage"] < 0.75
    assert found["advantage_lower"] < found["advantage"] < found["advantage_upper"]
    assert found["attacks"]["loss"]["advantage"] < 0.15
    assert found["strongest"] != "loss"
    assert found["floor"]["upper"] < 0.1
    assert found["true_positive_rate"] > 0.2


def test_twins_of_one_group_are_attacked_by_their_answer_alone() -> None:
    found = attacked(answered(0.6, repeats=1), seed=0)
    assert list(found["attacks"]) == ["loss"]
