"""Whom was a model trained on, and what was said of them while they were held out? In counts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from omics_twin.config import Config
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.own_values import FEWEST, OwnValues, error_quantiles
from omics_twin.evaluate.score import at_days
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.report.console import Console
from omics_twin.training.tasks import Task
from omics_twin.twin.reference import Reference, fit_reference


def reference_of(
    task: Task,
    received: Float[ndarray, "repeat patient *time"],
    every_arm: Float[ndarray, "repeat patient arm *time"] | None,
) -> Reference:
    """Return what later patients are compared with.

    Parameters
    ----------
    received, every_arm
        Held-out predictions under the therapy received, and under each.
    """
    values = {
        channel.name: task.matrices.values[channel.name]
        for channel in task.design.channels
        if not channel.follow_up
    }
    own = _over_repeats(received)
    told = own[:, None] if every_arm is None else _over_repeats(every_arm)
    expected, residual = expected_of(told), residual_of(task.outcome, own)
    return fit_reference(values, torch.tensor(expected), torch.tensor(residual))


def own_values_of(
    task: Task,
    received: Float[ndarray, "repeat patient *time"],
    config: Config,
    console: Console,
) -> OwnValues:
    """Return where own values of a graded outcome lie; nothing is known of any other.

    Where errors may not be kept or are too few, the console is told why.
    """
    if task.outcome.kind is not OutcomeKind.CONTINUOUS:
        return OwnValues()
    known = int(np.isfinite(task.outcome.values).sum())
    reason = ""
    if known < FEWEST:
        reason = f"{known} patients have it, expected {FEWEST} or more"
    if config.trainer.privacy.secret_weights:
        reason = "a quantile of errors tells of a few patients, whom secret weights are to hide"
    if config.trainer.federation.sites:
        reason = "each site that learns together would keep errors of its own patients"
    if reason:
        console.note(f"outcome '{task.outcome_name}' is told by its mean alone: {reason}")
        return OwnValues()
    values = np.tile(task.outcome.values, len(received))
    errors = tuple(float(f"{each:.4g}") for each in error_quantiles(values, received.ravel()))
    declared = config.cohort.outcomes[task.outcome_name]
    return OwnValues(errors, declared.minimum, declared.maximum)


def outcome_counts(task: Task) -> dict[str, Any]:
    """Return how many patients had the outcome, and how long they were followed [day]."""
    outcome = task.outcome
    known = outcome.values[np.isfinite(outcome.values)]
    found: dict[str, Any] = {"known": len(known)}
    if outcome.kind is OutcomeKind.BINARY:
        found["events"] = int(known.sum())
    elif outcome.event is not None:
        found["events"] = int(np.nansum(outcome.event))
        found["median_time_days"] = float(np.median(known))
    else:
        found |= {"mean": float(known.mean()), "sd": float(known.std())}
    return found


def expected_of(every_arm: Float[ndarray, "patient arm *time"]) -> Float[ndarray, " patient"]:
    """Return one number per patient that no therapy decides: the mean over therapies and times.

    Examples
    --------
    >>> expected_of(np.array([[0.25, 0.75]])).tolist()
    [0.5]
    """
    return np.asarray(every_arm.reshape(len(every_arm), -1).mean(axis=1))


def residual_of(
    outcome: Outcome, received: Float[ndarray, " patient *time"]
) -> Float[ndarray, " patient"]:
    """Return what happened less what was expected; its mean is 0 where predictions are calibrated.

    For times to event it is the martingale residual up to the horizon: the event less the
    cumulative hazard that was predicted until the patient was last seen.

    Parameters
    ----------
    received
        Prediction under the therapy received.

    References
    ----------
    Therneau, Grambsch & Fleming 1990, Martingale-based residuals for survival models
    (doi:10.1093/biomet/77.1.147).

    Examples
    --------
    >>> outcome = Outcome(OutcomeKind.BINARY, np.array([1.0, 0.0, np.nan]))
    >>> residual_of(outcome, np.array([0.75, 0.25, 0.5])).tolist()
    [0.25, -0.25, nan]
    """
    if outcome.kind is not OutcomeKind.TIME_TO_EVENT:
        return np.asarray(outcome.values - received)
    event, days = outcome.followed
    until = np.minimum(np.nan_to_num(outcome.values, nan=0.0), days[-1])
    survival = at_days(received, days, until)
    seen = np.asarray(event, dtype=float) * (outcome.values <= days[-1])
    residual = seen + np.log(np.clip(survival, 1e-6, 1.0))
    return np.where(np.isfinite(outcome.values), residual, np.nan)


def _over_repeats(predicted: ndarray) -> ndarray:
    """Return the mean over the repeats in which a patient was held out."""
    with warnings.catch_warnings():
        # A patient who was never held out has no mean.
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanmean(predicted, axis=0))
