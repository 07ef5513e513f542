"""Survival as observed, and how far predicted survival curves are from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import entered_before, survival_times


class StepFunction(NamedTuple):
    """A right-continuous survival function, 1 before the first time.

    Attributes
    ----------
    days
        Shape (time,), the distinct times at which somebody left [day].
    survival, standard_error
        Shape (time,); Greenwood's standard error.
    at_risk
        Shape (time,), patients still followed just before each time.
    """

    days: Float[ndarray, " time"]
    survival: Float[ndarray, " time"]
    standard_error: Float[ndarray, " time"]
    at_risk: Int[ndarray, " time"]

    def at(self, days: ArrayLike) -> Float[ndarray, "*shape"]:
        """Return the survival at any days; after the last time it stays where it was."""
        place = np.searchsorted(self.days, np.asarray(days, dtype=np.float64), side="right")
        return np.asarray(np.append(1.0, self.survival)[place])

    def error_at(self, days: ArrayLike) -> Float[ndarray, "*shape"]:
        """Return the standard error at any days."""
        place = np.searchsorted(self.days, np.asarray(days, dtype=np.float64), side="right")
        return np.asarray(np.append(0.0, self.standard_error)[place])


def kaplan_meier(time: ArrayLike, event: ArrayLike, entry: ArrayLike | None = None) -> StepFunction:
    """Return the Kaplan-Meier estimate of survival.

    With late entries it is the survival given that nobody had the event before the first entry;
    where all those at risk have it before others enter, it stays at zero.

    Parameters
    ----------
    time, event
        Shape (patient,): time to event or censoring [day]; 1 for an event.
    entry
        Shape (patient,), when follow-up began; a patient is at risk after it, up to ``time``.
        None: from the start.

    Raises
    ------
    CohortError
        If somebody enters on or after the day they leave.

    Examples
    --------
    >>> kaplan_meier([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0]).survival.tolist()
    [0.75, 0.75, 0.375, 0.375]

    References
    ----------
    Kaplan and Meier 1958, doi:10.1080/01621459.1958.10501452. Left truncation: Tsai et al. 1987,
    Biometrika, doi:10.1093/biomet/74.4.883.
    """
    time, event = survival_times(time=time, event=event)
    days, place = np.unique(time, return_inverse=True)
    at_risk = followed_at(days, time, entry)
    return _product(days, np.bincount(place, weights=event), at_risk)


def followed_at(
    days: Float[ndarray, " day"], time: Float[ndarray, " patient"], entry: ArrayLike | None = None
) -> Int[ndarray, " day"]:
    """Return how many have entered before each day and not left before it.

    Examples
    --------
    >>> followed_at(np.array([1.0, 2.0]), np.array([1.0, 2.0, 2.0]), [0.0, 0.0, 1.0]).tolist()
    [2, 2]
    """
    gone = np.searchsorted(np.sort(time), days, side="left")
    if entry is None:
        return len(time) - gone
    entered = np.sort(entered_before(entry, time))
    return np.searchsorted(entered, days, side="left") - gone


def censoring_survival(time: ArrayLike, event: ArrayLike) -> StepFunction:
    """Return the Kaplan-Meier estimate of not being censored yet.

    Patients with an event on a day have left before the others are censored on it.

    Examples
    --------
    >>> censoring_survival([1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0]).survival.round(3).tolist()
    [1.0, 0.667, 0.667, 0.0]

    References
    ----------
    Graf et al. 1999, Statistics in Medicine,
    doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    time, event = survival_times(time=time, event=event)
    days, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, weights=event)
    left = np.bincount(place)
    at_risk = len(time) - np.append(0, np.cumsum(left)[:-1]) - events
    return _product(days, left - events, at_risk)


def _product(days: ndarray, lost: ndarray, at_risk: ndarray) -> StepFunction:
    risk = np.maximum(at_risk, 1)
    survival = np.cumprod(1.0 - lost / risk)
    rest = risk - lost
    terms = np.where(rest > 0, lost / (risk * np.where(rest > 0, rest, 1)), 0.0)
    error = survival * np.sqrt(np.cumsum(terms))
    return StepFunction(days, survival, error, at_risk.astype(np.int64))


def uncensored(censoring: StepFunction, days: ArrayLike) -> Float[ndarray, "*shape"]:
    """Return the probability of not being censored yet, refusing days at which it is not known.

    Raises
    ------
    CohortError
        If a day lies beyond the follow-up of the patients the function was fitted on, or
        everybody has been censored by then.

    Examples
    --------
    >>> uncensored(censoring_survival([1.0, 2.0], [1, 0]), [1.0]).tolist()
    [1.0]
    """
    days = np.asarray(days, dtype=np.float64)
    share = censoring.at(days)
    beyond = days > censoring.days[-1]
    if days.size and ((share <= 0) | (beyond & (censoring.survival[-1] > 0))).any():
        raise CohortError(
            f"the censoring of the training patients is known until day {censoring.days[-1]:g} "
            f"and leaves nobody or nothing known at day {days.max():g}; judge an earlier day"
        )
    return share


def brier_at(
    survival: ArrayLike, time: ArrayLike, event: ArrayLike, at: float, censoring: StepFunction
) -> float:
    """Return the Brier score of predicted survival at one day: the mean of :func:`brier_errors`.

    Examples
    --------
    >>> time, event = [1.0, 2.0, 3.0], [1, 1, 1]
    >>> brier_at([0.0, 1.0, 1.0], time, event, 1.5, censoring_survival(time, event))
    0.0
    """
    return float(brier_errors(survival, time, event, at, censoring).mean())


def brier_errors(
    survival: ArrayLike, time: ArrayLike, event: ArrayLike, at: float, censoring: StepFunction
) -> Float[ndarray, " patient"]:
    """Return each patient's squared error of survival at one day, weighted for censoring.

    Parameters
    ----------
    survival
        Shape (patient,), predicted probability of no event by day ``at``.
    at
        The day judged [day].
    censoring
        :func:`censoring_survival` of the training patients.

    Raises
    ------
    CohortError
        If a survival is outside [0, 1] or the censoring is not known at ``at``.

    Examples
    --------
    >>> time, event = [1.0, 2.0, 3.0], [1, 1, 1]
    >>> brier_errors([0.5, 1.0, 1.0], time, event, 1.5, censoring_survival(time, event)).tolist()
    [0.25, 0.0, 0.0]

    References
    ----------
    Graf et al. 1999, Statistics in Medicine,
    doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    survival, time, event = survival_times(survival=survival, time=time, event=event)
    outside = survival[(survival < 0) | (survival > 1)]
    if outside.size:
        raise CohortError(f"a predicted survival is {outside[0]:g}, expected a number in [0, 1]")
    died = (event == 1.0) & (time <= at)
    alive = time > at
    error = np.zeros(len(time))
    error[died] = survival[died] ** 2 / uncensored(censoring, time[died])
    error[alive] = (1.0 - survival[alive]) ** 2 / uncensored(censoring, at)
    return error


def integrated_brier(
    survival: Float[ndarray, "patient time"],
    grid_days: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    censoring: StepFunction,
) -> float:
    """Return the Brier score averaged over the days of the grid (trapezoidal rule).

    Parameters
    ----------
    survival
        Shape (patient, time), predicted survival at ``grid_days``.
    grid_days
        Shape (time,), rising, at least two days [day].

    Raises
    ------
    CohortError
        If the grid does not rise or does not fit the curves.

    Examples
    --------
    >>> time, event = [1.0, 2.0, 3.0], [1, 1, 1]
    >>> integrated_brier(np.full((3, 2), 0.5), [1.0, 2.0], time, event,
    ...                  censoring_survival(time, event))
    0.25

    References
    ----------
    Graf et al. 1999, Statistics in Medicine,
    doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5.
    """
    survival, grid = np.asarray(survival, dtype=np.float64), np.asarray(grid_days, dtype=np.float64)
    if survival.ndim != 2 or grid.ndim != 1 or survival.shape[1] != len(grid):
        raise CohortError(
            f"survival has shape {survival.shape} and the grid {grid.shape}; "
            "expected (patient, time) and (time,)"
        )
    if len(grid) < 2 or not (np.diff(grid) > 0).all():
        raise CohortError(f"the grid has {len(grid)} days, expected two or more that rise")
    scores = [
        brier_at(survival[:, column], time, event, float(day), censoring)
        for column, day in enumerate(grid)
    ]
    return float(np.trapezoid(scores, grid) / (grid[-1] - grid[0]))
