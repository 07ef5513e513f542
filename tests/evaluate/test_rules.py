"""Simple rules choose what is best, among what is open, without the patient's own fold."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.rules import best_by_group, best_single_arm, received_scores

RNG = np.random.default_rng(0)
FOLD = np.arange(400) % 4
GROUPS = np.repeat([0, 1], 200)
EVERY = np.ones((400, 3), dtype=bool)


def _scores(means: np.ndarray, spread: float = 0.5) -> np.ndarray:
    return means[None] + RNG.normal(0.0, spread, (2, *means.shape))


def test_the_best_arm_on_average_is_chosen_for_all() -> None:
    chosen = best_single_arm(_scores(np.tile([0.1, 0.5, 0.2], (400, 1))), EVERY, FOLD)
    assert chosen.shape == (2, 400)
    np.testing.assert_array_equal(chosen, 1)


def test_patients_to_whom_the_best_is_closed_get_the_next() -> None:
    is_open = EVERY.copy()
    is_open[:100, 1] = False
    chosen = best_single_arm(_scores(np.tile([0.1, 0.9, 0.5], (400, 1))), is_open, FOLD)
    np.testing.assert_array_equal(chosen[:, :100], 2)
    np.testing.assert_array_equal(chosen[:, 100:], 1)


def test_an_arm_open_only_to_those_who_do_well_anyway_gains_nothing_from_it() -> None:
    is_open = EVERY.copy()
    is_open[:200, 2] = False
    means = np.where(GROUPS == 1, 0.8, 0.2)[:, None] + np.array([0.0, 0.2, 0.1])
    np.testing.assert_array_equal(best_single_arm(_scores(means, 0.2), is_open, FOLD), 1)


def test_each_group_gets_its_own_best_arm() -> None:
    means = np.array([[0.8, 0.1, 0.2], [0.1, 0.2, 0.9]])[GROUPS]
    chosen = best_by_group(_scores(means, 0.2), EVERY, GROUPS, FOLD)
    np.testing.assert_array_equal(chosen, np.where(GROUPS == 1, 2, 0)[None].repeat(2, axis=0))


def test_a_small_group_keeps_the_order_of_the_level_above() -> None:
    groups = GROUPS.copy()
    groups[:12] = 2
    means = np.tile([0.1, 0.6, 0.2], (400, 1))
    means[:12] = [5.0, 0.0, 0.0]
    chosen = best_by_group(_scores(means, 0.1), EVERY, groups, FOLD)
    np.testing.assert_array_equal(chosen[:, :12], 1)


def test_finer_groups_fall_back_to_coarser_ones() -> None:
    fine = GROUPS * 10
    fine[:8] = 5
    means = np.array([[0.8, 0.1, 0.2], [0.1, 0.2, 0.9]])[GROUPS]
    chosen = best_by_group(_scores(means, 0.2), EVERY, [GROUPS, fine], FOLD)
    np.testing.assert_array_equal(chosen[:, :8], 0)


def test_shrinkage_beats_the_plain_best_of_noise_when_groups_are_many() -> None:
    groups = np.arange(400) // 25
    true = np.tile([0.30, 0.45, 0.35], (400, 1))
    plain = shrunk = 0.0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        scores = true[None] + rng.normal(0.0, 1.0, (1, 400, 3))
        chosen = best_by_group(scores, EVERY, groups, FOLD, fewest=2)[0]
        shrunk += true[np.arange(400), chosen].mean()
        for fold in range(4):
            test = fold == FOLD
            means = np.stack([scores[0, (groups == g) & ~test].mean(axis=0) for g in range(16)])
            plain += true[test, means.argmax(axis=1)[groups[test]]].sum() / 400
    assert shrunk > plain + 0.1


def test_a_patients_own_fold_does_not_move_the_choice() -> None:
    scores = _scores(np.tile([0.1, 0.5, 0.2], (400, 1)))
    changed = scores.copy()
    changed[:, FOLD == 2, 0] += 100.0
    for rule in (
        lambda given: best_single_arm(given, EVERY, FOLD),
        lambda given: best_by_group(given, EVERY, GROUPS, FOLD),
    ):
        before, after = rule(scores), rule(changed)
        np.testing.assert_array_equal(before[:, FOLD == 2], after[:, FOLD == 2])
        assert (before[:, FOLD != 2] != after[:, FOLD != 2]).all()


def test_plain_outcomes_serve_where_therapies_were_randomised() -> None:
    arms = RNG.integers(0, 3, 400)
    best = np.where(GROUPS == 1, 2, 0)
    outcome = np.where(arms == best, 0.9, 0.1) + RNG.normal(0, 0.05, 400)
    chosen = best_by_group(received_scores(outcome, arms, 3), EVERY, GROUPS, FOLD)
    np.testing.assert_array_equal(chosen[0], best)


def test_what_does_not_fit_is_refused(unchecked: None) -> None:
    scores = np.zeros((1, 400, 3))
    with pytest.raises(CohortError, match="no arm is open to 400 of 400"):
        best_single_arm(scores, ~EVERY, FOLD)
    with pytest.raises(CohortError, match="expected the same repeats, patients and arms"):
        best_single_arm(scores[:, :, :2], EVERY, FOLD)
    with pytest.raises(CohortError, match="expected one per patient of 400"):
        best_by_group(scores, EVERY, GROUPS[:3], FOLD)
