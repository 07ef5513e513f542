"""What acting on a prediction is worth, at each threshold at which one would act."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import predicted_binary, survival_times
from omics_twin.evaluate.survival import kaplan_meier

THRESHOLDS = np.arange(1, 100) / 100.0


class DecisionCurve(NamedTuple):
    """Net benefit per patient, in events that were rightly acted on; acting on nobody is worth 0.

    It says what a decision is worth to those who would act at that probability; it is not what
    the action does to a patient.

    Attributes
    ----------
    thresholds
        Shape (threshold,), probabilities of the event from which one would act.
    model
        Shape (threshold,), of acting where the prediction reaches the threshold; NaN where nobody
        above it is followed to the horizon.
    everybody
        Shape (threshold,), of acting on all.
    acted
        Shape (threshold,), share of patients acted on by the model.
    """

    thresholds: Float[ndarray, " threshold"]
    model: Float[ndarray, " threshold"]
    everybody: Float[ndarray, " threshold"]
    acted: Float[ndarray, " threshold"]


def decision_curve(
    probability: ArrayLike, outcome: ArrayLike, thresholds: ArrayLike = THRESHOLDS
) -> DecisionCurve:
    """Return the net benefit of predicted probabilities of a yes-or-no outcome.

    Parameters
    ----------
    probability, outcome
        Shape (patient,); probabilities in [0, 1] and outcomes 0 or 1.
    thresholds
        Shape (threshold,), between 0 and 1.

    Raises
    ------
    CohortError
        If a threshold is not between 0 and 1, or lengths, NaN or ranges are wrong.

    Examples
    --------
    >>> decision_curve([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1], [0.5]).model.tolist()
    [0.5]

    References
    ----------
    Vickers and Elkin 2006, Medical Decision Making, doi:10.1177/0272989X06295361.
    """
    probability, outcome = predicted_binary(probability, outcome)
    limits = _limits(thresholds)
    order = np.argsort(probability)
    below = np.searchsorted(probability[order], limits, side="left")
    events = np.append(np.cumsum(outcome[order][::-1])[::-1], 0.0)[below] / len(outcome)
    acted = (len(outcome) - below) / len(outcome)
    share = np.full(len(limits), outcome.mean())
    return _curve(limits, events, share, acted)


def survival_decision_curve(
    survival: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon_days: float,
    thresholds: ArrayLike = THRESHOLDS,
) -> DecisionCurve:
    """Return the net benefit of predicted survival at a horizon.

    How many of those above a threshold have the event is Kaplan-Meier's estimate among them.

    Parameters
    ----------
    survival
        Shape (patient,), predicted probability of no event by the horizon; one acts where its
        complement reaches the threshold.
    horizon_days
        The horizon [day].

    Raises
    ------
    CohortError
        If nobody is followed to the horizon, or a threshold is not between 0 and 1.

    Examples
    --------
    >>> survival_decision_curve([0.9, 0.8, 0.3, 0.2], [9.0, 8.0, 1.0, 2.0], [0, 0, 1, 1], 5.0,
    ...                         [0.5]).model.tolist()
    [0.5]

    References
    ----------
    Vickers et al. 2008, BMC Medical Informatics and Decision Making, doi:10.1186/1472-6947-8-53.
    """
    survival, time, event = survival_times(survival=survival, time=time, event=event)
    risk, _ = predicted_binary(1.0 - survival, np.zeros(len(time)))
    limits = _limits(thresholds)
    order = np.argsort(time)
    risk, time, event = risk[order], time[order], event[order]
    everybody = _events_by(horizon_days, time, event)
    if np.isnan(everybody):
        raise CohortError(
            f"patients are followed until day {time[-1]:g}, the horizon is day {horizon_days:g}; "
            "choose an earlier horizon"
        )
    above = [risk >= limit for limit in limits]
    acted = np.array([each.mean() for each in above])
    happened = [_events_by(horizon_days, time[each], event[each]) for each in above]
    events = np.array(happened) * acted
    return _curve(limits, events, np.full(len(limits), everybody), acted)


def _events_by(day: float, time: ndarray, event: ndarray) -> float:
    """Return the share with the event by a day; 0 of nobody, NaN where it is not known."""
    if not len(time):
        return 0.0
    curve = kaplan_meier(time, event)
    known = curve.days[-1] >= day or curve.survival[-1] <= 0.0
    return float(1.0 - curve.at(day)) if known else float("nan")


def _limits(thresholds: ArrayLike) -> Float[ndarray, " threshold"]:
    limits = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    outside = limits[~((limits > 0.0) & (limits < 1.0))]
    if outside.size:
        raise CohortError(f"a threshold is {outside[0]:g}, expected a number between 0 and 1")
    return limits


def _curve(limits: ndarray, events: ndarray, share: ndarray, acted: ndarray) -> DecisionCurve:
    odds = limits / (1.0 - limits)
    everybody = share - (1.0 - share) * odds
    return DecisionCurve(limits, events - (acted - events) * odds, everybody, acted)
