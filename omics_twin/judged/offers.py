"""What each patient could have been given, how likely it was, and what came of what was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from omics_twin.answers.beliefs import strata_keys
from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate.design import COMPONENTS, Design, fit_recipe
from omics_twin.evaluate.doubly_robust import restricted_mean_outcome
from omics_twin.evaluate.propensity import covariate_propensity, stratum_propensity
from omics_twin.intake.declaration import Assignment
from omics_twin.intake.synthetic import Assignment as SyntheticAssignment
from omics_twin.intake.synthetic import assignment_of, holds_truth
from omics_twin.settings import Reading
from omics_twin.training.tasks import Task, support_of

FLOOR = 0.05
"""Least propensity of an open arm where therapies were chosen, not drawn."""

PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Tried for the propensity of a chosen therapy."""


@dataclass(frozen=True)
class Offers:
    """The trial as rules are judged on it.

    Attributes
    ----------
    merit
        What happened, higher is better: the outcome, its negative where lower is better, or a
        stand-in for the restricted mean time [day].
    sign
        -1 where lower outcomes are better, else 1: merit times sign is the outcome.
    horizon_days
        Of times to event, else None [day].
    arms
        The arm received.
    opened
        Whether an arm is offered to a patient. What an exception received may not be.
    propensity
        Of the arms offered and received; 1 for what an exception received, who speaks for
        nobody else.
    folds
        Fold in which a patient is held out; whoever never is, is in one fold more.
    judged
        Who is held out in every repeat: rules are judged on these patients.
    groups
        Index of each patient's group, by policy group.
    """

    merit: Float[ndarray, " patient"]
    sign: float
    horizon_days: float | None
    arms: Int[ndarray, " patient"]
    opened: Bool[ndarray, "patient arm"]
    propensity: Float[ndarray, "#repeat patient arm"]
    folds: Int[ndarray, "repeat patient"]
    judged: Bool[ndarray, " patient"]
    groups: Mapping[str, Int[ndarray, " patient"]]
    assignment: Assignment

    @property
    def floor(self) -> float:
        """Least propensity of an open arm: none where assignment was at random."""
        return 0.0 if self.assignment is Assignment.RANDOMISED else FLOOR


def offers_of(task: Task, design: Design, config: Config) -> Offers:
    """Return what was open to each patient of a task, how likely, and what happened.

    Parameters
    ----------
    design
        What was measured before treatment: propensities are fitted to it where therapies were
        not given by lot.

    Raises
    ------
    CohortError
        If follow-up ends before the horizon.
    """
    held = task.held_out
    # A last fold that is never held out is still one to learn from.
    folds = np.where(held >= 0, held, held.max(axis=1, keepdims=True) + 1)
    strata = strata_keys(tuple(task.cohort.strata.columns), task.cohort)
    opened = _opened(task, strata)
    assignment = assigned(config)
    merit, sign, horizon = _merit(task, config)
    return Offers(
        merit=merit,
        sign=sign,
        horizon_days=horizon,
        arms=task.arms,
        opened=opened,
        propensity=_propensity(task, design, _codes(strata), opened, folds, assignment),
        folds=folds,
        judged=np.asarray((held >= 0).all(axis=0)),
        groups={
            name: _codes(task.cohort.groups[name].fillna("not known").tolist())
            for name in config.cohort.policy_groups
            if name in task.cohort.groups
        },
        assignment=assignment,
    )


def assigned(config: Config) -> Assignment:
    """Return how patients came to their therapy: a synthetic trial's folder knows it best."""
    if not holds_truth(config.cohort.root):
        return config.cohort.assignment
    by_lot = assignment_of(Path(config.cohort.root)) is SyntheticAssignment.RANDOMISED
    return Assignment.RANDOMISED if by_lot else Assignment.OBSERVATIONAL


def _codes(names: list[str]) -> Int[ndarray, " patient"]:
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1].ravel()


def _opened(task: Task, strata: list[str]) -> Bool[ndarray, "patient arm"]:
    eligible, _, _ = support_of(task.cohort).judge(task.catalogue, strata)
    opened = np.array(eligible.numpy())
    # Who is offered nothing keeps what was given.
    nothing = np.flatnonzero(~opened.any(axis=1))
    opened[nothing, task.arms[nothing]] = True
    return opened


def _merit(task: Task, config: Config) -> tuple[ndarray, float, float | None]:
    sign = 1.0 if task.endpoint.higher_is_better else -1.0
    outcome = task.outcome
    if outcome.event is None:
        return sign * outcome.values, sign, None
    horizon = config.policy.horizon_days or task.endpoint.horizon_days
    try:
        days = restricted_mean_outcome(outcome.values, outcome.event, task.arms, horizon)
    except CohortError:
        # An arm of few patients is followed too briefly to have a censoring curve of its own.
        together = np.zeros(len(task.arms), dtype=np.int64)
        days = restricted_mean_outcome(outcome.values, outcome.event, together, horizon)
    return sign * days, sign, horizon


def _propensity(
    task: Task,
    design: Design,
    strata: Int[ndarray, " patient"],
    opened: Bool[ndarray, "patient arm"],
    folds: Int[ndarray, "repeat patient"],
    assignment: Assignment,
) -> Float[ndarray, "#repeat patient arm"]:
    row = np.arange(len(task.arms))
    exceptions = np.flatnonzero(~opened[row, task.arms])
    possible = opened.copy()
    possible[exceptions, task.arms[exceptions]] = True
    if assignment is Assignment.RANDOMISED:
        found = stratum_propensity(task.arms, strata, possible)
    else:
        found = _fitted(task, _covariates(design, strata), possible, folds)
    found[:, exceptions, task.arms[exceptions]] = 1.0
    return found


def _fitted(
    task: Task, covariates: ndarray, possible: ndarray, folds: ndarray
) -> Float[ndarray, "repeat patient arm"]:
    """Return propensities of the penalty that foretells therapies best; no outcome has a say."""

    def likelihood(found: ndarray) -> float:
        received = found[:, np.arange(len(task.arms)), task.arms]
        return float(np.log(np.maximum(received, 1e-12)).mean())

    tried = (
        covariate_propensity(task.arms, covariates, possible, folds, each) for each in PENALTIES
    )
    return max(tried, key=likelihood)


def _covariates(design: Design, strata: ndarray) -> Float[ndarray, "patient column"]:
    """Return imputed measurements, what is missing and the strata; outcomes have no part in it."""
    recipe = fit_recipe(design, np.arange(len(strata)), components=COMPONENTS)
    markers = recipe.markers(recipe.standardised(design.values))
    indicators = np.eye(strata.max() + 1)[strata]
    return np.hstack([markers, recipe.missing(design.values), indicators])


def expected_merit(
    task: Task, offers: Offers, under: Float[ndarray, "repeat patient arm *time"]
) -> Float[ndarray, "repeat patient arm"]:
    """Return predictions under each arm on the scale of the merit."""
    if offers.horizon_days is None:
        return offers.sign * under
    days = task.outcome.followed[1]
    return offers.sign * restricted_mean_days(under, days, offers.horizon_days)


def ranking_merit(
    task: Task, offers: Offers, under: Float[ndarray, "repeat patient arm *time"]
) -> Float[ndarray, "repeat patient arm"]:
    """Return predictions under each arm as a ranking reads them: by the endpoint."""
    if task.outcome.grid_days is None:
        return offers.sign * under
    if task.endpoint.reading is Reading.VALUE_AT_HORIZON:
        return offers.sign * under[..., -1]
    horizon = task.endpoint.horizon_days
    return offers.sign * restricted_mean_days(under, task.outcome.grid_days, horizon) / horizon


def restricted_mean_days(
    survival: Float[ndarray, "*patient time"], grid_days: Float[ndarray, " time"], horizon: float
) -> Float[ndarray, "*patient"]:
    """Return the area under survival curves up to a horizon on their grid [day].

    Examples
    --------
    >>> float(restricted_mean_days(np.array([0.5, 0.5]), np.array([1.0, 2.0]), 1.5))
    1.0
    """
    days = np.append(0.0, grid_days)
    curve = np.concatenate([np.ones((*survival.shape[:-1], 1)), survival], axis=-1)
    place = int(np.searchsorted(days, min(horizon, days[-1])))
    share = (horizon - days[place - 1]) / (days[place] - days[place - 1])
    end = curve[..., place - 1] + share * (curve[..., place] - curve[..., place - 1])
    reached = np.concatenate([curve[..., :place], end[..., None]], axis=-1)
    return np.asarray(np.trapezoid(reached, np.append(days[:place], horizon), axis=-1))
