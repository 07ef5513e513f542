"""Whether predicted survival comes true: at a horizon, and over the whole of the curves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.stats import chi2

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import paired, survival_times, two_valued
from omics_twin.evaluate.competing import aalen_johansen
from omics_twin.evaluate.linear_baselines import breslow_hazard
from omics_twin.evaluate.losses import cox_loss
from omics_twin.evaluate.metrics import equal_groups
from omics_twin.evaluate.penalised import fit_members, rotate
from omics_twin.evaluate.survival import kaplan_meier

BINS = 10
# Of three knots of a restricted cubic spline (Harrell 2015, doi:10.1007/978-3-319-19425-7).
KNOTS = (0.1, 0.5, 0.9)
_CLOSEST = 1e-10
# Keeps a fit finite where predictions separate those with an event from those without.
_PENALTY = 1e-3


class HorizonCalibration(NamedTuple):
    """Predicted and observed survival at a horizon in groups of rising predicted survival.

    Every array is (group,); ``lower`` and ``upper`` bound the observed survival (95 %).
    """

    predicted: Float[ndarray, " group"]
    observed: Float[ndarray, " group"]
    lower: Float[ndarray, " group"]
    upper: Float[ndarray, " group"]
    patients: Int[ndarray, " group"]


def calibration_at_horizon(
    survival: ArrayLike, time: ArrayLike, event: ArrayLike, horizon_days: float, groups: int = 5
) -> HorizonCalibration:
    """Compare predicted survival with Kaplan-Meier at a horizon, in groups of equal size.

    With competing events ``event`` may be the cause (0, 1, 2, …): what is observed is then one less
    Aalen and Johansen's incidence of cause 1.

    Parameters
    ----------
    survival
        Shape (patient,), predicted probability of no event by the horizon.
    horizon_days
        The horizon [day].

    Raises
    ------
    CohortError
        If a group's follow-up ends before the horizon, there are fewer patients than groups, or a
        survival is outside [0, 1].

    Examples
    --------
    >>> calibration_at_horizon([0.2, 0.8], [1.0, 3.0], [1, 0], 2.0, groups=1).observed.tolist()
    [0.5]

    References
    ----------
    Interval on the log(-log) scale: Kalbfleisch and Prentice 2002, doi:10.1002/9781118032985.
    """
    cause = np.asarray(event)
    survival, time, event = _predicted(survival, time, cause > 0)
    rows = []
    for number, group in enumerate(equal_groups(survival, groups), start=1):
        curve = kaplan_meier(time[group], event[group])
        if curve.days[-1] < horizon_days and curve.survival[-1] > 0:
            raise CohortError(
                f"risk group {number} is followed until day {curve.days[-1]:g}, the horizon is "
                f"day {horizon_days:g}; choose an earlier horizon or fewer groups"
            )
        observed, error = float(curve.at(horizon_days)), float(curve.error_at(horizon_days))
        if (cause > 1).any():
            incidence = aalen_johansen(time[group], cause[group])
            observed = 1.0 - float(incidence.at(horizon_days))
            error = float(incidence.error_at(horizon_days))
        rows.append((survival[group].mean(), observed, *_log_log(observed, error), len(group)))
    return HorizonCalibration(*(np.array(column) for column in zip(*rows, strict=True)))


def _log_log(survival: float, error: float) -> tuple[float, float]:
    if not 0.0 < survival < 1.0:
        return survival, survival
    width = 1.959964 * error / (survival * abs(np.log(survival)))
    return float(survival ** np.exp(width)), float(survival ** np.exp(-width))


class SmoothCalibration(NamedTuple):
    """Each patient's predicted survival at a horizon, and what is observed of patients alike.

    Attributes
    ----------
    predicted, observed
        Shape (patient,), in the order given; ``observed`` is a smooth function of ``predicted``.
    """

    predicted: Float[ndarray, " patient"]
    observed: Float[ndarray, " patient"]

    @property
    def ici(self) -> float:
        """The integrated calibration index: the mean distance between the two, in [0, 1]."""
        return float(np.abs(self.observed - self.predicted).mean())

    def quantile(self, share: float) -> float:
        """Return the distance that a share of the patients stay below: E50 at 0.5, E90 at 0.9."""
        return float(np.quantile(np.abs(self.observed - self.predicted), share))


def smooth_calibration(
    survival: ArrayLike, time: ArrayLike, event: ArrayLike, horizon_days: float
) -> SmoothCalibration:
    """Compare predicted survival at a horizon with a smooth curve of what is observed.

    The curve is that of a Cox model whose only covariate is the log cumulative hazard that was
    predicted, through a restricted cubic spline of three knots. With few patients the index of a
    perfectly calibrated model is above zero.

    Parameters
    ----------
    survival
        Shape (patient,), predicted probability of no event by the horizon.
    horizon_days
        The horizon [day].

    Raises
    ------
    CohortError
        If nobody is followed to the horizon, or nobody has an event by then.

    Examples
    --------
    >>> found = smooth_calibration([0.5] * 4, [1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0], 3.0)
    >>> round(found.ici, 3)
    0.058

    References
    ----------
    Austin et al. 2020, Statistics in Medicine, doi:10.1002/sim.8570.
    """
    survival, time, event = _predicted(survival, time, event)
    if time.max() < horizon_days or not (event[time <= horizon_days] == 1.0).any():
        raise CohortError(
            f"{int(event[time <= horizon_days].sum())} events by day {horizon_days:g} in "
            f"{len(time)} patients who are followed until day {time.max():g}; expected at least "
            "one and somebody followed to the horizon, so choose another horizon"
        )
    inner = np.clip(survival, _CLOSEST, 1.0 - _CLOSEST)
    columns = _spline(np.log(-np.log(inner)))
    predictor = np.zeros(len(time))
    if columns.size:
        loss, order = cox_loss(time, event == 1.0)
        rotation = rotate(columns[order])
        everyone, penalty = np.ones((len(time), 1)), np.array([_PENALTY])
        fit = fit_members(rotation, loss, everyone, penalty, intercept=False)
        predictor = ((columns - rotation.centre) @ rotation.coefficients(fit.rotated))[:, 0]
    hazard = breslow_hazard(predictor, time, event, np.array([horizon_days]))
    return SmoothCalibration(survival, np.exp(-hazard * np.exp(predictor)))


def _spline(values: Float[ndarray, " patient"]) -> Float[ndarray, "patient column"]:
    """Return the columns of a restricted cubic spline, each of unit variance; none if constant."""
    if np.ptp(values) < 1e-9:
        return np.zeros((len(values), 0))
    columns = [values]
    first, middle, last = np.quantile(values, KNOTS)
    if first < middle < last:
        cubes = [np.maximum(values - knot, 0.0) ** 3 for knot in (first, middle, last)]
        width = last - middle
        curved = cubes[0] - cubes[1] * (last - first) / width + cubes[2] * (middle - first) / width
        columns.append(curved / (last - first) ** 2)
    made = np.column_stack(columns)
    spread = made.std(axis=0)
    return (made / spread)[:, spread > 1e-9]


class DCalibration(NamedTuple):
    """How evenly patients lie over the probabilities predicted for the time of their event.

    Attributes
    ----------
    patients
        Shape (bin,), patients whose survival at their own time lies in each bin; a censored
        patient counts in parts.
    statistic, p_value
        Pearson's statistic against equal bins, and how often chance alone exceeds it. A small
        ``p_value`` says that the curves are not calibrated; a large one does not say that they
        are: with few patients it is large for most curves.
    """

    patients: Float[ndarray, " bin"]
    statistic: float
    p_value: float


def d_calibration(survival_at_time: ArrayLike, event: ArrayLike, bins: int = BINS) -> DCalibration:
    """Return whether the probabilities predicted for the times of the events are spread evenly.

    Parameters
    ----------
    survival_at_time
        Shape (patient,), the survival predicted for each patient at the patient's own time. Where
        curves end at a horizon, at the earlier of the two, with the later events censored there.
    event
        Shape (patient,), 1 for an event and 0 for censored.

    Raises
    ------
    CohortError
        If a survival is outside [0, 1], or there are fewer than two bins.

    Examples
    --------
    >>> d_calibration([0.1, 0.4, 0.6, 0.8], [1, 1, 1, 0], bins=2).patients.tolist()
    [2.625, 1.375]

    References
    ----------
    Haider et al. 2020, Journal of Machine Learning Research, doi:10.48550/arXiv.1811.11347.
    """
    survival, event = paired(survival_at_time=survival_at_time, event=event)
    two_valued(event, "event")
    _in_unit_interval(survival)
    if bins < 2:
        raise CohortError(f"{bins} bins were asked for, expected at least 2")
    own = np.minimum((survival * bins).astype(np.int64), bins - 1)
    # A censored patient's own probability may yet be anywhere below: it is spread over that.
    spread = (event == 0.0) & (own > 0)
    below = np.zeros(len(own))
    below[spread] = 1.0 / (bins * survival[spread])
    patients = np.bincount(own, weights=1.0 - own * below, minlength=bins)
    each_below = np.bincount(own, weights=below, minlength=bins)
    patients += np.append(np.cumsum(each_below[::-1])[::-1][1:], 0.0)
    expected = len(own) / bins
    statistic = float(((patients - expected) ** 2).sum() / expected)
    return DCalibration(patients, statistic, float(chi2.sf(statistic, bins - 1)))


def _predicted(
    survival: ArrayLike, time: ArrayLike, event: ArrayLike
) -> tuple[ndarray, ndarray, ndarray]:
    survival, time, event = survival_times(survival=survival, time=time, event=event)
    _in_unit_interval(survival)
    return survival, time, event


def _in_unit_interval(survival: ndarray) -> None:
    outside = survival[(survival < 0) | (survival > 1)]
    if outside.size:
        raise CohortError(f"a predicted survival is {outside[0]:g}, expected a number in [0, 1]")
