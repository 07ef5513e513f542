"""A copy of the cohort whose truth is known: outcomes drawn from what the twin believes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.config import Config
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.survival import censoring_survival
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.judged.offers import restricted_mean_days
from omics_twin.report.console import Console
from omics_twin.settings import Reading
from omics_twin.tensors.members import check_converged
from omics_twin.training.learning import Fitted, fit_members, plan_of
from omics_twin.training.tasks import Task


@dataclass(frozen=True)
class SimulatedCopy:
    """A simulated copy of a task, and what is true in it.

    Attributes
    ----------
    task
        The same patients, therapies and folds of the first repeat, with simulated outcomes.
    truth
        Endpoint under each arm; NaN for who was never held out.
    """

    task: Task
    truth: Float[ndarray, "patient arm"]


def first_repeat(task: Task) -> Task:
    """Return the task with the folds of the first repeat alone."""
    return replace(task, held_out=task.held_out[:1])


class OneDraw(NamedTuple):
    """What the twin believes of who is held out, NaN for who never is.

    Attributes
    ----------
    drawn, expected
        One draw and the mean of the held-out belief, (patient, arm) or (patient, arm, time).
    incidence
        Of each cause of an event, in that draw, (cause, patient, arm, time); None or empty where
        none are told apart.
    """

    drawn: Float[ndarray, "patient arm *time"]
    expected: Float[ndarray, "patient arm *time"]
    incidence: Float[ndarray, "cause patient arm time"] | None = None


def simulated_copy(task: Task, believed: OneDraw, seed: int) -> SimulatedCopy:
    """Return a copy of a task whose truth is one draw of what the twin believes.

    A draw, not the mean: means are smoother than any truth, so a copy of them would be learned
    too easily. Responses are drawn from the probability under the therapy received, times to
    event from the curve, with censoring by Kaplan and Meier, and of what the event came from the
    incidences on that day; continuous outcomes are the value and the residual of another patient.

    References
    ----------
    Prepivoting by the parametric bootstrap: Beran 1987, doi:10.1093/biomet/74.3.457.
    """
    row = np.arange(len(believed.drawn))
    received, mean = (each[row, task.arms] for each in (believed.drawn, believed.expected))
    generator = np.random.default_rng([seed, 29, task.total.place])
    outcome = _drawn(task.outcome, received, mean, generator)
    if believed.incidence is not None and task.outcome.causes:
        came = _causes(outcome, task.outcome, believed.incidence[:, row, task.arms], generator)
        outcome = replace(outcome, by_cause=came, causes=task.outcome.causes)
    copied = replace(first_repeat(task), outcome=outcome)
    return SimulatedCopy(copied, _endpoint(task, believed.drawn))


def _endpoint(task: Task, mean: Float[ndarray, "patient arm *time"]) -> ndarray:
    grid = task.outcome.grid_days
    if grid is None:
        return mean
    if task.endpoint.reading is Reading.VALUE_AT_HORIZON:
        return np.asarray(mean[..., -1])
    return restricted_mean_days(mean, grid, task.endpoint.horizon_days) / task.endpoint.horizon_days


def _drawn(
    outcome: Outcome, expected: ndarray, mean: ndarray, generator: np.random.Generator
) -> Outcome:
    known = np.isfinite(expected).reshape(len(expected), -1).all(axis=1)
    if outcome.kind is OutcomeKind.BINARY:
        values = (generator.random(len(expected)) < expected).astype(np.float64)
        # Who was never held out has no expectation and keeps what happened.
        return replace(outcome, values=np.where(known, values, outcome.values))
    if outcome.kind is OutcomeKind.CONTINUOUS:
        rest = (outcome.values - mean)[known]
        # What the mean leaves unexplained is in the draw already.
        explained = np.mean((expected - mean)[known] ** 2) / max(float(rest.var()), 1e-12)
        values = outcome.values.copy()
        kept = np.sqrt(max(1.0 - explained, 0.05))
        values[known] = expected[known] + kept * generator.permutation(rest)
        return replace(outcome, values=values)
    event, grid = outcome.followed
    censoring = censoring_survival(outcome.values, event)
    values, happened = outcome.values.copy(), event.copy()
    for patient in np.flatnonzero(known):
        died = _time(generator.random(), grid, expected[patient], np.inf)
        left = _left(generator.random(), censoring.days, censoring.survival)
        # Beyond the grid nothing is expected of anybody, so nobody is followed there.
        end = min(left, float(grid[-1]))
        values[patient], happened[patient] = min(died, end), died <= end
    # The curve already is of the event among others that can come first.
    return Outcome(outcome.kind, values, happened, grid)


def _causes(
    copied: Outcome,
    outcome: Outcome,
    incidence: Float[ndarray, "cause patient time"],
    generator: np.random.Generator,
) -> Int[ndarray, " patient"]:
    """Return of which cause each simulated event came, by what comes of each about that day."""
    happened, grid = copied.followed
    found = np.where(happened, np.asarray(outcome.by_cause), 0)
    steps = np.diff(incidence, axis=2, prepend=0.0)
    for patient in np.flatnonzero(happened & np.isfinite(incidence[0, :, 0])):
        place = min(int(np.searchsorted(grid, copied.values[patient])), len(grid) - 1)
        chance = np.maximum(steps[:, patient, place], 1e-12)
        found[patient] = 1 + generator.choice(len(chance), p=chance / chance.sum())
    return found


def _time(share: float, days: ndarray, survival: ndarray, beyond: float) -> float:
    """Return the day at which a curve falls to a share."""
    if survival[-1] > share:
        return beyond
    curve = np.minimum.accumulate(np.append(1.0, survival))
    return float(np.interp(-share, -curve, np.append(0.0, days)))


def _left(share: float, days: ndarray, survival: ndarray) -> float:
    """Return the day on which a patient leaves: one of those on which somebody did."""
    index = int(np.argmax(survival <= share)) if survival[-1] <= share else len(days) - 1
    return float(days[index])


def fit_copy(copy: SimulatedCopy, config: Config, folder: Path, console: Console) -> Fitted:
    """Train on a copy as on the cohort: the same folds of the first repeat, the same settings."""
    plan = plan_of(copy.task, config)
    fitted = fit_members(copy.task, config, plan, folder, console)
    check_converged(fitted.diverged)
    return fitted
