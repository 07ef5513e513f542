"""Simple rules that a ranking has to beat, each learned without the patients it chooses for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate.propensity import check_arms, check_folds

FEWEST = 20


def received_scores(
    outcome: Float[ndarray, " patient"], arms: Int[ndarray, " patient"], arm_count: int
) -> Float[ndarray, "1 patient arm"]:
    """Return the outcome at the arm received and NaN elsewhere, so that means are plain means.

    A rule learned from these needs no model and no propensity. It is right within groups in
    which therapies were randomised evenly.

    Examples
    --------
    >>> received_scores(np.array([1.0, 0.0]), np.array([1, 0]), 2).tolist()
    [[[nan, 1.0], [0.0, nan]]]
    """
    check_arms(arms, len(outcome), arm_count)
    made = np.full((1, len(outcome), arm_count), np.nan)
    made[0, np.arange(len(outcome)), arms] = outcome
    return made


def best_single_arm(
    scores: Float[ndarray, "#repeat patient arm"],
    eligible: Bool[ndarray, "patient arm"],
    held_out: Int[ndarray, "... patient"],
) -> Int[ndarray, "repeat patient"]:
    """Return the first arm open to each patient in one order of arms for all.

    The order is that of the arms' effects in an additive model (who is eligible for what + arm)
    of the training patients' scores: an arm open only to patients who do well anyway gains
    nothing from it.

    Parameters
    ----------
    scores
        Doubly robust scores, or :func:`received_scores`. NaN: nothing is known. Where the models
        behind the scores saw the held-out fold, intervals of the rule's value come out a
        little too narrow; :func:`received_scores` has no such models.
    eligible
        Whether an arm is open to a patient.
    held_out
        Fold in which a patient is held out.

    Raises
    ------
    CohortError
        If a patient has no open arm, or shapes do not fit.

    Examples
    --------
    >>> scores = np.tile([[0.2, 0.8], [0.2, 0.7]], (1, 10, 1))
    >>> eligible, fold = np.ones((20, 2), dtype=bool), np.repeat([0, 1], 10)
    >>> np.unique(best_single_arm(scores, eligible, fold)).tolist()
    [1]
    """

    def learn(known: ndarray, train: ndarray) -> ndarray:
        return np.broadcast_to(_arm_effects(known[train], eligible[train]), eligible.shape)

    return _out_of_fold(scores, eligible, held_out, learn)


def best_by_group(
    scores: Float[ndarray, "#repeat patient arm"],
    eligible: Bool[ndarray, "patient arm"],
    groups: Int[ndarray, " patient"] | Sequence[Int[ndarray, " patient"]],
    held_out: Int[ndarray, "... patient"],
    fewest: int = FEWEST,
) -> Int[ndarray, "repeat patient"]:
    """Return the open arm that is best in each patient's group.

    Against the winner's curse of small groups, an arm's value in a group is shrunk towards
    what the level above says (group mean + the level's arm effects):
    ``w = t^2 / (t^2 + s^2 / n)`` of the deviation is kept, s^2 being the arm's variance within
    groups and t^2 the variance of true deviations between groups and arms (method of moments).

    Parameters
    ----------
    scores, eligible, held_out
        As in :func:`best_single_arm`.
    groups
        Group of each patient, or several groupings from coarse to fine (receptor subtype, then
        response-predictive subtype); above the first stands :func:`best_single_arm`.
    fewest
        A group with fewer training patients than this keeps the order of the level above.

    Raises
    ------
    CohortError
        If a patient has no open arm, or shapes do not fit.

    Examples
    --------
    >>> groups = np.tile([0, 1], 40)
    >>> noise = np.linspace(-0.1, 0.1, 80)[:, None]
    >>> scores = (np.array([[0.9, 0.1], [0.2, 0.7]])[groups] + noise)[None]
    >>> fold = np.repeat([0, 1], 40)
    >>> best_by_group(scores, np.ones((80, 2), dtype=bool), groups, fold)[0, :4].tolist()
    [0, 1, 0, 1]

    References
    ----------
    Efron and Morris 1975, doi:10.1080/01621459.1975.10479864; moments: DerSimonian and Laird
    1986, doi:10.1016/0197-2456(86)90046-2.
    """
    chain = [groups] if isinstance(groups, np.ndarray) else list(groups)
    for each in chain:
        if each.shape != eligible.shape[:1]:
            raise CohortError(
                f"groups have shape {each.shape}, expected one per patient of {len(eligible)}"
            )

    def learn(known: ndarray, train: ndarray) -> ndarray:
        value = np.tile(_arm_effects(known[train], eligible[train]), (len(eligible), 1))
        for each in chain:
            value = value + _deviations(known - value, each, train, fewest)
        return value

    return _out_of_fold(scores, eligible, held_out, learn)


def _out_of_fold(
    scores: ndarray,
    eligible: ndarray,
    held_out: ndarray,
    learn: Callable[[ndarray, ndarray], ndarray],
) -> Int[ndarray, "repeat patient"]:
    folds = check_folds(held_out, len(eligible))
    if scores.shape[1:] != eligible.shape or len({1, len(scores), len(folds)}) > 2:
        raise CohortError(
            f"scores have shape {scores.shape}, eligibility {eligible.shape} and folds "
            f"{folds.shape}; expected the same repeats, patients and arms"
        )
    without = int((~eligible.any(axis=1)).sum())
    if without:
        raise CohortError(f"no arm is open to {without} of {len(eligible)} patients")
    shape = (max(len(scores), len(folds)), len(eligible))
    folds, scores = (
        np.broadcast_to(folds, shape),
        np.broadcast_to(scores, (*shape, scores.shape[2])),
    )
    chosen = np.empty(shape, dtype=np.int64)
    for repeat, fold in enumerate(folds):
        known = np.where(eligible, scores[repeat], np.nan)
        for number in np.unique(fold):
            test = fold == number
            value = np.where(eligible, learn(known, np.flatnonzero(~test)), -np.inf)
            chosen[repeat, test] = value[test].argmax(axis=1)
    return chosen


def _cells(values: ndarray, groups: ndarray, count: int) -> tuple[ndarray, ndarray, ndarray]:
    """Return patients, sums and sums of squares of each group and arm; NaN is nobody."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    made = np.zeros((3, count, values.shape[1]))
    for place, part in enumerate((known.astype(float), filled, filled**2)):
        np.add.at(made[place], groups, part)
    return made[0], made[1], made[2]


def _arm_effects(values: ndarray, eligible: ndarray) -> Float[ndarray, " arm"]:
    patterns, pattern = np.unique(eligible, axis=0, return_inverse=True)
    number, total, _ = _cells(values, pattern.ravel(), len(patterns))
    rows, columns = np.nonzero(number)
    weight = np.sqrt(number[rows, columns])
    design = np.hstack([np.eye(len(patterns))[rows], np.eye(values.shape[1])[columns]])
    mean = total[rows, columns] / number[rows, columns]
    fitted = np.linalg.lstsq(design * weight[:, None], mean * weight, rcond=None)[0]
    effects = fitted[len(patterns) :]
    # Nobody in training had it or could have had it: last in the order, not somewhere in it.
    return np.where(number.sum(axis=0) > 0, effects, effects.min() - 1e6)


def _deviations(
    rest: ndarray, groups: ndarray, train: ndarray, fewest: int
) -> Float[ndarray, "patient arm"]:
    place = np.unique(groups, return_inverse=True)[1].ravel()
    number, total, squares = _cells(rest[train], place[train], int(place.max()) + 1)
    some = np.maximum(number, 1)
    mean = total / some
    # One variance per arm over all groups: a cell of three equal outcomes is not certain.
    within = (squares - number * mean**2).sum(axis=0)
    freedom = np.maximum((number - (number > 0)).sum(axis=0), 1)
    spread = np.broadcast_to(within / freedom, number.shape)
    large = (np.bincount(place[train], minlength=len(number)) >= fewest)[:, None]
    usable = (number > 1) & (spread > 0) & large
    precision = np.where(usable, some / np.where(spread > 0, spread, 1.0), 0.0)
    level = precision.sum(axis=1, keepdims=True)
    centre = (precision * mean).sum(axis=1, keepdims=True) / np.where(level > 0, level, 1.0)
    deviation = np.where(usable, mean - centre, 0.0)
    # Q = sum of precision * deviation^2 has mean (cells - groups) + t^2 * c under the model.
    squared = np.where(
        level > 0, (precision**2).sum(axis=1, keepdims=True) / np.maximum(level, 1e-300), 0.0
    )
    scale = precision.sum() - squared.sum()
    excess = (precision * deviation**2).sum() - (usable.sum() - (level > 0).sum())
    between = max(excess, 0.0) / scale if scale > 0 else 0.0
    kept = between * precision / (1.0 + between * precision)
    return np.asarray((kept * deviation)[place])
