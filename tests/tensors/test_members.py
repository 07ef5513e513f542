"""Nobody whom a member is judged on has taught it anything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.errors import TrainingError
from omics_twin.tensors.members import MemberPlan, plan_members


def plan(
    patients: int = 60, folds: int = 3, repeats: int = 2, *, bootstrap: bool = False, seed: int = 0
) -> tuple[np.ndarray, MemberPlan]:
    generator = np.random.default_rng(seed)
    held_out = np.array(
        [generator.permutation(np.arange(patients) % folds) for _ in range(repeats)]
    )
    found = plan_members(
        held_out, replicas=3, stopping_share=0.2, bayesian_bootstrap=bootstrap, seed=seed
    )
    return held_out, found


@given(some.integers(2, 5), some.integers(1, 3), some.booleans(), some.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_a_held_out_patient_neither_trains_nor_stops_a_member(
    folds: int, repeats: int, bootstrap: bool, seed: int
) -> None:
    held_out, found = plan(60, folds, repeats, bootstrap=bootstrap, seed=seed)
    assert len(found.training) == folds * repeats * 3
    for member in range(len(found.training)):
        out = held_out[int(found.repeat[member])] == int(found.fold[member])
        assert not found.seen[member].numpy()[out].any()
        assert found.seen[member].numpy()[~out].all()


def test_a_patient_never_both_trains_and_stops_one_member() -> None:
    _, found = plan(bootstrap=True)
    assert not bool(((found.training > 0) & (found.stopping > 0)).any())
    assert found.stopping.sum(dim=1).tolist() == [8.0] * len(found.stopping)


def test_replicas_stop_on_different_patients() -> None:
    _, found = plan()
    first, second = found.stopping[0], found.stopping[1]
    assert int(found.fold[0]) == int(found.fold[1])
    assert not bool((first * second).any())


def test_a_patient_who_is_never_held_out_teaches_everyone() -> None:
    held_out = np.where(np.arange(50) < 40, -1, 0)[None, :]
    found = plan_members(held_out, replicas=2, stopping_share=0.2, bayesian_bootstrap=False, seed=0)
    assert len(found.training) == 2
    assert bool(found.seen[:, :40].all())
    assert not bool(found.seen[:, 40:].any())


def test_the_same_seed_gives_the_same_plan() -> None:
    first, second, other = plan(seed=1)[1], plan(seed=1)[1], plan(seed=2)[1]
    assert first.stopping.equal(second.stopping)
    assert not first.stopping.equal(other.stopping)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(TrainingError, match="leaves 6 patients to train on"):
        plan(patients=12, folds=2)
