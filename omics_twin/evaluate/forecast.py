"""Is what was forecast what came? Proper scores of forecasts given as weighted draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import kstwo

from omics_twin.errors import CohortError

Array = np.ndarray


def crps(draws: ArrayLike, found: ArrayLike, weights: ArrayLike | None = None) -> Array:
    """Return the continuous ranked probability score of each forecast, lower is better.

    Parameters
    ----------
    draws
        (forecast, draw), in the unit of what was measured.
    found
        What was measured, (forecast,).
    weights
        Of the draws, (forecast, draw); left out: all alike.

    References
    ----------
    Gneiting & Raftery 2007, doi:10.1198/016214506000001437.

    Examples
    --------
    >>> crps([[0.0, 1.0]], [0.0]).tolist()
    [0.25]
    """
    values, seen, share = _checked(draws, found, weights)
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    weight = np.take_along_axis(share, order, axis=1)
    below = np.cumsum(weight, axis=1)
    # E|X - X'| / 2 = sum of w_i x_i (2 W_i - w_i - 1), W the weight up to and with i.
    half = (weight * ordered * (2.0 * below - weight - 1.0)).sum(axis=1)
    return (share * np.abs(values - seen[:, None])).sum(axis=1) - half


def probability_integral(
    draws: ArrayLike,
    found: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int = 0,
    below: ArrayLike | None = None,
) -> Array:
    """Return the share of each forecast below what came, uniform if forecasts are calibrated.

    Draws equal to what came are shared out at random.

    Parameters
    ----------
    below
        (forecast,): true where all that is known is that it was no more than ``found``; its share
        is then drawn from what lies up to there.

    References
    ----------
    Czado, Gneiting & Held 2009, doi:10.1111/j.1541-0420.2009.01191.x.

    Examples
    --------
    >>> probability_integral([[1.0, 2.0, 3.0, 4.0]], [2.5]).tolist()
    [0.5]
    """
    values, seen, share = _checked(draws, found, weights)
    under = (share * (values < seen[:, None])).sum(axis=1)
    upto = (share * (values <= seen[:, None])).sum(axis=1)
    if below is not None:
        under = np.where(np.asarray(below, dtype=bool), 0.0, under)
    uniform = np.random.default_rng(seed).uniform(size=len(seen))
    return under + uniform * (upto - under)


@dataclass(frozen=True)
class Coverage:
    """How often central intervals held what came.

    Attributes
    ----------
    share, lower, upper
        Observed share, and the bounds between which 95 % of such shares lie if the nominal one is
        true.
    nominal, forecasts
        What was promised, and how many forecasts there were.
    """

    share: float
    lower: float
    upper: float
    nominal: float
    forecasts: int


def coverage(
    draws: ArrayLike,
    found: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    nominal: float = 0.9,
    resolution: float = 0.0,
) -> Coverage:
    """Return how often the central interval held what came.

    Parameters
    ----------
    resolution
        Width of one step of the scale that was read, such as 1 mm: an interval is widened to whole
        steps, as whoever read the scale would.

    Examples
    --------
    >>> coverage([[0.0, 1.0, 2.0, 3.0]], [1.5], nominal=0.5).share
    1.0
    """
    inside = held(draws, found, weights, nominal=nominal, resolution=resolution)
    margin = 1.96 * math.sqrt(nominal * (1.0 - nominal) / len(inside))
    return Coverage(float(inside.mean()), nominal - margin, nominal + margin, nominal, len(inside))


def held(
    draws: ArrayLike,
    found: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    nominal: float = 0.9,
    resolution: float = 0.0,
) -> Array:
    """Return whether each central interval held what came, (forecast,); see :func:`coverage`."""
    values, seen, share = _checked(draws, found, weights)
    tail = (1.0 - nominal) / 2.0
    low, high = quantiles(values, share, (tail, 1.0 - tail)).T
    if resolution > 0:
        low = np.round(low / resolution) * resolution
        high = np.round(high / resolution) * resolution
    return (seen >= low) & (seen <= high)


def quantiles(values: Array, weights: Array, shares: tuple[float, ...]) -> Array:
    """Return quantiles of weighted draws, (forecast, share)."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    upto = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    found = [
        np.minimum((upto < share * upto[:, -1:] * (1 - 1e-9)).sum(axis=1), values.shape[1] - 1)
        for share in shares
    ]
    return np.stack([ordered[np.arange(len(values)), each] for each in found], axis=1)


def kolmogorov_smirnov(uniform: ArrayLike) -> tuple[float, float]:
    """Return the largest distance of numbers from the uniform distribution, and its p-value.

    Examples
    --------
    >>> distance, _ = kolmogorov_smirnov([0.25, 0.75])
    >>> distance
    0.25
    """
    ordered = np.sort(np.asarray(uniform, dtype=float))
    count = len(ordered)
    if not count:
        raise CohortError("no forecast to judge: expected at least one")
    steps = np.arange(1, count + 1) / count
    distance = float(max(np.max(steps - ordered), np.max(ordered - steps + 1.0 / count)))
    return distance, float(kstwo.sf(distance, count))


def skill(score: ArrayLike, reference: ArrayLike) -> float:
    """Return the share by which a mean score is lower than that of a reference.

    Examples
    --------
    >>> skill([1.0, 1.0], [2.0, 2.0])
    0.5
    """
    return 1.0 - float(np.mean(np.asarray(score)) / np.mean(np.asarray(reference)))


def _checked(
    draws: ArrayLike, found: ArrayLike, weights: ArrayLike | None
) -> tuple[Array, Array, Array]:
    values, seen = np.asarray(draws, dtype=float), np.asarray(found, dtype=float)
    if values.ndim != 2 or seen.shape != values.shape[:1] or not values.size:
        raise CohortError(
            f"forecasts of shape {values.shape} and {seen.shape} measurements, expected "
            "(forecast, draw) and (forecast,)"
        )
    if not np.isfinite(values).all() or not np.isfinite(seen).all():
        raise CohortError("a forecast or a measurement is not finite: leave it out")
    if weights is None:
        return values, seen, np.full(values.shape, 1.0 / values.shape[1])
    share = np.asarray(weights, dtype=float)
    if share.shape != values.shape or (share < 0).any():
        raise CohortError(f"weights of shape {share.shape}, expected {values.shape}, none below 0")
    return values, seen, share / share.sum(axis=1, keepdims=True)


def mean_by_patient(values: Array, patient: Array, patients: int) -> Array:
    """Return the mean over each patient's forecasts, (patient,); NaN for who has none.

    Parameters
    ----------
    values, patient
        Of each forecast, and whose it is, (forecast,).
    patients
        How many there are.

    Examples
    --------
    >>> mean_by_patient(np.array([1.0, 2.0, 6.0]), np.array([0, 2, 2]), 3).tolist()
    [1.0, nan, 4.0]
    """
    of = patient.astype(int)
    count = np.bincount(of, minlength=patients)
    sums = np.bincount(of, values, patients)
    return np.where(count > 0, sums / np.maximum(count, 1), np.nan)
