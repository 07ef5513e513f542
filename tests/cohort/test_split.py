"""Who is held out follows from the seed alone, and nobody is on both sides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.cohort.split import (
    arms_held_out,
    declared_folds,
    joint_labels,
    last_held_out,
    repeated_folds,
)
from omics_twin.errors import CohortError

PATIENTS = [f"P{number:03d}" for number in range(60)]
LABELS = [number % 3 == 0 for number in range(60)]
SITES = [f"S{number % 7}" for number in range(60)]


@settings(max_examples=20, deadline=None)
@given(some.permutations(range(60)), some.integers(0, 2**31), some.booleans(), some.booleans())
def test_the_order_of_patients_does_not_change_who_is_held_out(
    order: list[int], seed: int, labelled: bool, grouped: bool
) -> None:
    def folds(rows: list[int]) -> dict[str, list[int]]:
        held_out = repeated_folds(
            [PATIENTS[row] for row in rows],
            [LABELS[row] for row in rows] if labelled else None,
            [SITES[row] for row in rows] if grouped else None,
            folds=5,
            repeats=2,
            seed=seed,
        )
        return {PATIENTS[row]: held_out[:, at].tolist() for at, row in enumerate(rows)}

    first = folds(list(range(60)))
    assert folds(list(order)) == first
    assert all(0 <= fold < 5 for row in first.values() for fold in row)


def test_folds_are_balanced_on_the_label() -> None:
    held_out = repeated_folds(PATIENTS, LABELS, None, folds=5, repeats=3, seed=1)
    assert held_out.shape == (3, 60)
    for repeat in held_out:
        positives = Counter(repeat[np.array(LABELS)].tolist())
        assert set(positives.values()) == {4}
    assert (held_out[0] != held_out[1]).any()


@pytest.mark.parametrize("labels", [None, LABELS])
def test_whole_sites_are_held_out(labels: list[bool] | None) -> None:
    held_out = repeated_folds(PATIENTS, labels, SITES, folds=3, repeats=2, seed=1)
    for repeat in held_out:
        sites = {site: set(repeat[np.array(SITES) == site]) for site in set(SITES)}
        assert all(len(folds) == 1 for folds in sites.values())
        assert set(repeat) == {0, 1, 2}


def test_another_seed_gives_other_folds() -> None:
    first = repeated_folds(PATIENTS, LABELS, None, folds=5, repeats=1, seed=1)
    assert (first != repeated_folds(PATIENTS, LABELS, None, folds=5, repeats=1, seed=2)).any()


def test_rare_combinations_are_pooled_within_their_label() -> None:
    labels = [0] * 6 + [1] * 6
    arms = ["a", "a", "a", "b", "b", "c"] + ["a"] * 6
    joined = joint_labels(labels, arms, folds=3)
    assert Counter(joined) == {"0 | a": 3, "0 | pooled": 3, "1 | a": 6}


def test_the_last_patients_are_held_out_and_ties_stay_together() -> None:
    held_out = last_held_out(list("abcde"), [1, 2, 3, 3, 2], share=0.2)
    assert held_out.tolist() == [[-1, -1, 0, 0, -1]]


@pytest.mark.parametrize(
    ("patients", "labels", "groups", "folds", "fragment"),
    [
        (["a", "a"], None, None, 2, "patients 'a' are listed twice"),
        (["a", "b"], None, None, 1, "at least 2 folds"),
        (["a", "b"], None, None, 3, "2 patients cannot fill 3 folds"),
        (["a", "b", "c"], [0, 0, 1], None, 2, "class '1' has 1 patients, fewer than the 2 folds"),
        (["a", "b", "c"], None, ["s", "s", "s"], 2, r"1 groups \('s'\) cannot fill 2 folds"),
        (["a", "b"], [0.0, float("nan")], None, 2, "patient 'b' has no label to split by"),
        (["a", "b"], None, ["s", None], 2, "patient 'b' has no group to split by"),
        (["a", "b"], [0], None, 2, "found 1 labels for 2 patients"),
    ],
)
def test_an_impossible_division_is_refused(
    patients: list[str],
    labels: list[float] | None,
    groups: list[str | None] | None,
    folds: int,
    fragment: str,
) -> None:
    with pytest.raises(CohortError, match=fragment):
        repeated_folds(patients, labels, groups, folds=folds, repeats=1, seed=0)


def test_an_impossible_division_in_time_is_refused() -> None:
    with pytest.raises(CohortError, match="leaves nobody to train on"):
        last_held_out(list("ab"), [1, 1], share=0.5)
    with pytest.raises(CohortError, match="the share held out is 1"):
        last_held_out(list("ab"), [1, 2], share=1)
    with pytest.raises(CohortError, match="patient 'b' has no enrolment time"):
        last_held_out(list("ab"), [1, np.nan], share=0.5)
    with pytest.raises(CohortError, match="found 1 enrolment times for 2 patients"):
        last_held_out(list("ab"), [1], share=0.5)


@pytest.mark.parametrize(
    ("folds", "told"),
    [
        (["0", "a"], "patient 'P001' has fold 'a', expected a whole number from 0"),
        (["0", "1.5"], "has fold '1.5'"),
        (["0", "2"], "folds in use are '0', '2', expected all from 0 to the last"),
        (["0", None], "at least two"),
    ],
)
def test_declared_folds_that_cannot_be_are_refused(folds: list[str | None], told: str) -> None:
    with pytest.raises(CohortError, match=told):
        declared_folds(PATIENTS[:2], folds)


def test_whole_arms_are_held_out_in_turn_or_only_those_asked_for() -> None:
    arms = ["low", "high", None, "control", "low"]
    patients = list("abcde")
    assert arms_held_out(patients, arms).tolist() == [[2, 1, -1, 0, 2]]
    assert arms_held_out(patients, arms, ["high"]).tolist() == [[-1, 0, -1, -1, -1]]
    with pytest.raises(CohortError, match="nobody to hold out received 'hihg': did you mean"):
        arms_held_out(patients, arms, ["hihg"])
    with pytest.raises(CohortError, match="expected two or more"):
        arms_held_out(["a"], ["low"])
