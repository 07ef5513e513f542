"""What each patient's outcome would have been under every arm, right on average."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import survival_times
from omics_twin.evaluate.propensity import check_arms
from omics_twin.evaluate.survival import censoring_survival, kaplan_meier


@dataclass(frozen=True)
class Scores:
    """Doubly robust scores. One patient's score is mostly noise; only means say something.

    Attributes
    ----------
    values
        Score of each arm; NaN where the arm was not open to the patient.
    outcome
        What happened under the therapy received: the plain outcome, or
        :func:`restricted_mean_outcome`.
    arms
        The arm received.
    weights
        1 / propensity of the arm received.
    """

    values: Float[ndarray, "repeat patient arm"]
    outcome: Float[ndarray, " patient"]
    arms: Int[ndarray, " patient"]
    weights: Float[ndarray, "repeat patient"]

    @property
    def eligible(self) -> Bool[ndarray, "patient arm"]:
        """Whether an arm was open to a patient."""
        return np.isfinite(self.values).all(axis=0)


def doubly_robust(
    outcome: Float[ndarray, " patient"],
    arms: Int[ndarray, " patient"],
    propensity: Float[ndarray, "... patient arm"],
    predicted: Float[ndarray, "... patient arm"],
    floor: float = 0.0,
) -> Scores:
    """Return augmented inverse-probability scores of every arm for every patient.

    ``predicted + received / propensity * (outcome - predicted)``. Their means are right if
    either propensity or prediction is, given that the covariates tell all that led to a
    therapy; both are to come from models that were not fitted on the patient.

    Parameters
    ----------
    outcome
        Shape (patient,); for times to event :func:`restricted_mean_outcome`.
    propensity
        Probability of each arm; 0 where it was not open to the patient.
    predicted
        Expected outcome under each arm, on the scale of ``outcome``; may be NaN where closed.
        Without a leading axis ``repeat``, there is one repeat.
    floor
        Propensities of open arms below it are raised to it: less noise, some bias. 0: none.

    Raises
    ------
    CohortError
        If shapes do not fit, a number is missing, or somebody received a closed arm.

    Examples
    --------
    >>> scores = doubly_robust(np.array([1.0, 0.0]), np.array([0, 1]), np.full((2, 2), 0.5),
    ...                        np.full((2, 2), 0.25))
    >>> scores.values[0].tolist()
    [[1.75, 0.25], [0.25, -0.25]]

    References
    ----------
    Robins, Rotnitzky and Zhao 1994, doi:10.1080/01621459.1994.10476818; cross-fitting:
    Chernozhukov et al. 2018, doi:10.1111/ectj.12097.
    """
    propensity, predicted = _with_repeats(propensity), _with_repeats(predicted)
    _check_scores(outcome, arms, propensity, predicted)
    row = np.arange(len(arms))
    is_open = propensity > 0
    held = np.where(is_open, np.maximum(propensity, floor), np.nan)
    values = np.where(is_open, predicted, np.nan)
    values, held = (np.array(each) for each in np.broadcast_arrays(values, held))
    values[:, row, arms] += (outcome - values[:, row, arms]) / held[:, row, arms]
    return Scores(values, outcome, arms, 1.0 / held[:, row, arms])


def _with_repeats(values: ndarray) -> ndarray:
    return values if values.ndim == 3 else values[None]


def _check_scores(outcome: ndarray, arms: ndarray, propensity: ndarray, predicted: ndarray) -> None:
    check_arms(arms, len(outcome), propensity.shape[-1])
    fits = propensity.shape[1:] == predicted.shape[1:] and len(outcome) == propensity.shape[1]
    if not fits or len({1, len(propensity), len(predicted)}) > 2:
        raise CohortError(
            f"propensity has shape {propensity.shape}, prediction {predicted.shape} for "
            f"{len(outcome)} outcomes; expected (repeat, patient, arm) in both"
        )
    if not np.isfinite(outcome).all():
        missing = int((~np.isfinite(outcome)).sum())
        raise CohortError(
            f"{missing} of {len(outcome)} outcomes are not known; leave those patients out by "
            "name before judging"
        )
    if not ((propensity >= 0) & (propensity <= 1 + 1e-9)).all():
        raise CohortError("a propensity is not a number from 0 to 1")
    if ((propensity > 0) != (propensity[:1] > 0)).any():
        raise CohortError("an arm is open to a patient in one repeat and closed in another")
    if not np.isfinite(predicted[np.broadcast_to(propensity > 0, predicted.shape)]).all():
        raise CohortError("a prediction for an open arm is not finite; predict every open arm")
    closed = (propensity[:, np.arange(len(arms)), arms] <= 0).any(axis=0)
    if closed.any():
        raise CohortError(
            f"{int(closed.sum())} patients received an arm of propensity 0; correct the "
            "eligibility or leave them out by name"
        )


def restricted_mean_outcome(
    time: ArrayLike,
    event: ArrayLike,
    groups: Int[ndarray, " patient"],
    horizon_days: float,
) -> Float[ndarray, " patient"]:
    r"""Return an uncensored stand-in for each patient's time up to a horizon [day].

    Patients whose time is known are weighted by 1 / P(not censored yet) (Kaplan-Meier of the
    censoring within each group), and what is known of the censored is added:
    ``min(T, h) / G  + integral of E[min(T, h) | T > u] / G(u) dM(u)``, with M the martingale
    of censoring. The mean over a group is its Kaplan-Meier restricted mean, and the spread
    gives its standard error. A single value can lie above the horizon or below 0.

    The censoring curve is not cross-fitted: it is one curve per group and never sees whom a
    rule would choose; fitted on the same patients, it removes chance differences in follow-up.
    Censoring is taken to be unrelated to covariates *within* a group.

    Parameters
    ----------
    time, event
        Shape (patient,): time to event or censoring [day]; 1 for an event.
    groups
        The arm received, or arm x stratum where follow-up differs between strata.
    horizon_days
        The horizon [day].

    Raises
    ------
    CohortError
        If a group's follow-up ends before the horizon while patients are still at risk.

    Examples
    --------
    >>> restricted_mean_outcome([1.0, 2.0, 4.0], [1, 1, 0], np.zeros(3, dtype=int), 3.0).tolist()
    [1.0, 2.0, 3.0]

    References
    ----------
    Rubin and van der Laan 2007, doi:10.2202/1557-4679.1052; restricted means: Royston and
    Parmar 2013, doi:10.1186/1471-2288-13-152.
    """
    time, event = survival_times(time=time, event=event)
    if not horizon_days > 0 or len(groups) != len(time):
        raise CohortError(
            f"the horizon is day {horizon_days:g} and there are {len(groups)} groups for "
            f"{len(time)} patients; expected a day above 0 and one group per patient"
        )
    made = np.empty(len(time))
    for group in np.unique(groups):
        inside = groups == group
        made[inside] = _uncensored_mean(time[inside], event[inside], horizon_days, int(group))
    return made


def _uncensored_mean(time: ndarray, event: ndarray, horizon: float, group: int) -> ndarray:
    last = time.max()
    if last < horizon and not event[time == last].all():
        raise CohortError(
            f"group {group} is followed until day {last:g} with patients still at risk, the "
            f"horizon is day {horizon:g}; choose an earlier horizon or merge groups"
        )
    survival, staying = kaplan_meier(time, event), censoring_survival(time, event)
    # Kaplan-Meier's area from every day on, as one sum over the steps up to the horizon.
    steps = np.unique(np.append(survival.days[survival.days < horizon], [0.0, horizon]))
    areas = np.append((survival.at(steps[:-1]) * np.diff(steps))[::-1].cumsum()[::-1], 0.0)
    before = np.append(1.0, staying.survival[:-1])
    inside = (staying.days < horizon) & (staying.survival < before)
    days = staying.days[inside]
    hazard = 1.0 - staying.survival[inside] / before[inside]
    rest = days + areas[np.searchsorted(steps, days)] / survival.at(days)
    known = (event == 1.0) | (time >= horizon)
    stop = np.minimum(time, horizon)
    place = np.searchsorted(staying.days, stop, side="left")
    share = np.append(1.0, staying.survival)[place]
    total = np.append(0.0, np.cumsum(rest / staying.survival[inside] * hazard))
    # An event on a day precedes the censoring of that day, so it never was at risk of it.
    at_risk_until = np.where(
        known, np.searchsorted(days, stop), np.searchsorted(days, stop, "right")
    )
    values = np.where(known, stop / share, 0.0) - total[at_risk_until]
    own = np.searchsorted(days, stop[~known])
    values[~known] += rest[own] / staying.survival[inside][own]
    return np.asarray(values)
