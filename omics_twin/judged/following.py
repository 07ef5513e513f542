"""What it would have been worth to follow a ranking, beside the rules that it has to beat."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import ndtr

from omics_twin.errors import CohortError
from omics_twin.evaluate.benefit import (
    ArmCalibration,
    BenefitCalibration,
    calibration_by_arm,
    calibration_of_benefit,
)
from omics_twin.evaluate.doubly_robust import Scores, doubly_robust
from omics_twin.evaluate.policy import (
    CoverageValue,
    PolicyTable,
    as_treated,
    coverage_value,
    following,
    policy_values,
)
from omics_twin.evaluate.propensity import Overlap, overlap
from omics_twin.evaluate.rules import best_by_group, best_single_arm, received_scores
from omics_twin.evaluate.uplift import (
    Targeting,
    UpliftCurve,
    contrast,
    rank_weighted_effects,
    uplift_curve,
)
from omics_twin.intake.declaration import Assignment
from omics_twin.judged.offers import Offers, expected_merit, ranking_merit
from omics_twin.training.tasks import Task

_Part = TypeVar("_Part")

TWIN = "omics_twin"
FEWEST = 10
RECEIVED, SINGLE = "therapy_received", "best_single_arm"


@dataclass(frozen=True)
class Ranked:
    """What a learner expects for patients it never saw.

    Attributes
    ----------
    under
        Under every arm, in the units of the outcome's metrics.
    spread
        Standard deviation of the difference between two arms in the twin's belief, on the
        endpoint's scale; None for a baseline.
    """

    under: Float[ndarray, "repeat patient arm *time"]
    spread: Float[ndarray, "repeat patient arm arm"] | None = None


@dataclass(frozen=True)
class Contrasted:
    """Two arms where both were open, and whether the twin knows who gains from one of them."""

    arm: int
    control: int
    patients: int
    targeting: Targeting
    curve: UpliftCurve
    benefit: BenefitCalibration | None


@dataclass(frozen=True)
class Judgement:
    """The value of following the ranking, on the scale of the merit.

    Attributes
    ----------
    chosen
        Arm that a rule chooses, by rule.
    judged
        Whose numbers these are.
    table
        Values of all rules; differences are those of a rule to the twin's.
    belief
        Of the twin, that its first choice is better than the best single arm; 1/2 where they are
        the same.
    coverage
        The ranking is followed where that belief is strongest, else the best single arm.
    benefit
        Of the therapy ranked first over the best single arm, where they differ.
    pair
        The arm that is best for most, apart from the control, compared with the control.
    missing
        What could not be judged, and why.
    followed
        What came of each judged patient if a rule were followed, by rule; only its means say
        something.
    """

    chosen: Mapping[str, Int[ndarray, "repeat patient"]]
    judged: Bool[ndarray, " all"]
    table: PolicyTable
    overlap: Overlap
    calibration: ArmCalibration
    belief: Float[ndarray, "repeat all"]
    coverage: CoverageValue | None
    benefit: BenefitCalibration | None
    pair: Contrasted | None
    missing: Mapping[str, str] = field(default_factory=dict)
    followed: Mapping[str, Float[ndarray, " patient"]] = field(default_factory=dict)


def judge(
    task: Task, offers: Offers, learners: Mapping[str, Ranked], control: str | None
) -> Judgement:
    """Return the value of every learner's ranking and of the simple rules, on the same scores.

    The predictions inside the doubly robust scores are the mean of all learners', so that none
    of them marks its own work. Rules are learned without the patients' own fold.

    Parameters
    ----------
    learners
        The twin, named :data:`TWIN`, and its baselines.
    control
        Name of the control arm; None: the arm that most patients received.

    Raises
    ------
    CohortError
        If too few patients are held out in every repeat to judge anything.
    """
    expected = {name: expected_merit(task, offers, each.under) for name, each in learners.items()}
    judged = offers.judged & np.all(
        [np.isfinite(each).all(axis=(0, 2)) for each in expected.values()], axis=0
    )
    if judged.sum() < FEWEST:
        raise CohortError(
            f"{int(judged.sum())} patients are held out in every repeat, expected {FEWEST} or more"
        )
    scores = _scores(offers, np.mean(list(expected.values()), axis=0), judged)
    chosen = _choices(task, offers, learners, scores, judged)
    picks = {name: each[:, judged] for name, each in chosen.items()}
    rules = {name: following(scores, each) for name, each in picks.items()}
    rules[RECEIVED] = as_treated(scores)
    against = _arm_of(task, offers, control)
    missing: dict[str, str] = {}
    twin = expected[TWIN][:, judged]
    sure = _confidence(task, offers, learners[TWIN], chosen)
    return Judgement(
        chosen=chosen,
        judged=judged,
        table=policy_values(rules, TWIN),
        overlap=overlap(offers.propensity[:, judged], offers.arms[judged]),
        calibration=calibration_by_arm(scores, twin),
        belief=sure,
        coverage=_tried(
            missing,
            "coverage_value",
            lambda: coverage_value(rules[TWIN], rules[SINGLE], sure[:, judged]),
        ),
        benefit=_tried(missing, "benefit", lambda: _benefit(scores, twin, picks)),
        pair=_tried(missing, "targeting", lambda: _pair(scores, twin, picks[SINGLE], against)),
        missing=missing,
        followed={name: each.mean for name, each in rules.items()},
    )


def _tried(missing: dict[str, str], name: str, work: Callable[[], _Part]) -> _Part | None:
    """Return a part of the judgement; where too few patients allow none, say so instead."""
    try:
        return work()
    except CohortError as error:
        missing[name] = str(error)
        return None


def _scores(offers: Offers, guess: ndarray, judged: ndarray) -> Scores:
    made = doubly_robust(
        offers.merit[judged],
        offers.arms[judged],
        offers.propensity[:, judged],
        guess[:, judged],
        offers.floor,
    )
    # What an exception received is offered to nobody, and so scored for nobody.
    return replace(made, values=np.where(offers.opened[judged], made.values, np.nan))


def _choices(
    task: Task,
    offers: Offers,
    learners: Mapping[str, Ranked],
    scores: Scores,
    judged: ndarray,
) -> dict[str, Int[ndarray, "repeat patient"]]:
    """Return the arm that each rule chooses for each patient."""
    patients, arms = offers.opened.shape
    found = {}
    for name, each in learners.items():
        merit = ranking_merit(task, offers, each.under)
        found[name] = np.where(offers.opened & np.isfinite(merit), merit, -np.inf).argmax(axis=2)
    known = received_scores(offers.merit, offers.arms, arms)
    if offers.assignment is not Assignment.RANDOMISED:
        # Plain means would credit an arm with the patients it was chosen for.
        known = np.full((len(scores.values), patients, arms), np.nan)
        known[:, judged] = scores.values
    found[SINGLE] = best_single_arm(known, offers.opened, offers.folds)
    for name, groups in offers.groups.items():
        found[f"best_per_{name}"] = best_by_group(known, offers.opened, groups, offers.folds)
    if arms == 2:
        for arm in range(arms):
            if offers.opened[:, arm].all():
                everyone = np.full((1, patients), arm)
                found[f"everyone_{plain_name(task.catalogue.arms[arm])}"] = everyone
    return found


def plain_name(arm: str) -> str:
    """Return an arm's name with nothing but letters, digits and underscores.

    Examples
    --------
    >>> plain_name("taxane + anti-HER2")
    'taxane_anti_HER2'
    """
    return re.sub(r"[^A-Za-z0-9]+", "_", arm).strip("_")


def _arm_of(task: Task, offers: Offers, control: str | None) -> int:
    if control is not None:
        return task.catalogue.arms.index(control)
    return int(np.bincount(offers.arms, minlength=len(task.catalogue.arms)).argmax())


def _confidence(
    task: Task,
    offers: Offers,
    twin: Ranked,
    chosen: Mapping[str, Int[ndarray, "repeat patient"]],
) -> Float[ndarray, "repeat patient"]:
    """Return the belief that the first choice beats the best single arm, as if it were normal."""
    merit = ranking_merit(task, offers, twin.under)
    first, fallback = chosen[TWIN], np.broadcast_to(chosen[SINGLE], chosen[TWIN].shape)
    gain = _at(merit, first) - _at(merit, fallback)
    if twin.spread is None:
        return np.asarray(np.where(gain > 0, 1.0, 0.5))
    rows = np.arange(gain.shape[1])
    repeats = np.arange(len(gain))[:, None]
    spread = twin.spread[repeats, rows, first, fallback]
    surplus = gain / np.maximum(spread, 1e-9)
    return np.asarray(ndtr(np.where(first == fallback, 0.0, surplus)))


def _at(values: ndarray, arms: ndarray) -> Float[ndarray, "repeat patient"]:
    return np.asarray(np.take_along_axis(values, arms[..., None], axis=2)[..., 0])


def _benefit(scores: Scores, twin: ndarray, picks: Mapping[str, ndarray]) -> BenefitCalibration:
    """Compare the predicted with the estimated gain of the first choice, where it is another."""
    shape = twin.shape
    first, single = picks[TWIN], np.broadcast_to(picks[SINGLE], shape[:2])
    values = np.broadcast_to(scores.values, shape)
    gain = (_at(values, first) - _at(values, single)).mean(axis=0)
    predicted = (_at(twin, first) - _at(twin, single)).mean(axis=0)
    differs = (first != single).any(axis=0)
    return calibration_of_benefit(gain[differs], predicted[differs])


def _pair(scores: Scores, twin: ndarray, single: ndarray, control: int) -> Contrasted:
    """Compare the control with the arm that the single rule names most, where both were open."""
    arms = twin.shape[2]
    named = np.bincount(single.ravel(), minlength=arms).astype(np.float64)
    # Where the rule names none, the arm that most received.
    named += np.bincount(scores.arms, minlength=arms) / (len(scores.arms) + 1.0)
    both = (scores.eligible & scores.eligible[:, [control]]).sum(axis=0)
    counts = np.where((both >= FEWEST) & (np.arange(arms) != control), named, -1.0)
    arm = int(counts.argmax())
    patients, gain = contrast(scores, arm, control)
    predicted = (twin[:, patients, arm] - twin[:, patients, control]).mean(axis=0)
    try:
        benefit = calibration_of_benefit(gain, predicted)
    except CohortError:
        benefit = None
    return Contrasted(
        arm,
        control,
        int(patients.sum()),
        rank_weighted_effects(gain, predicted),
        uplift_curve(gain, predicted),
        benefit,
    )
