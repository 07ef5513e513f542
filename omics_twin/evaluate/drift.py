"""Do later patients differ from those trained on? Tests on counts, with the size of what differs.

References
----------
Massey 1951, the Kolmogorov-Smirnov test (doi:10.1080/01621459.1951.10500769); Benjamini & Hochberg
1995, the false discovery rate (doi:10.1111/j.2517-6161.1995.tb02031.x); Yurdakul & Naranjo 2020,
statistical properties of the population stability index (doi:10.21314/JRMV.2020.227).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy import stats

_TENTHS = 10


@dataclass(frozen=True)
class Shift:
    """How the distribution of each of some features moved; every array is (feature,).

    Attributes
    ----------
    distance
        Largest difference of the cumulative shares, between 0 and 1.
    stability
        Population stability index: 0, the same; 0.1 and more, a shift worth a look.
    p
        Of a difference as large by chance; 1 where nothing can be compared.
    """

    distance: Float[ndarray, " feature"]
    stability: Float[ndarray, " feature"]
    p: Float[ndarray, " feature"]


def shift(reference: ArrayLike, later: ArrayLike) -> Shift:
    """Return how counts in bins moved: Kolmogorov-Smirnov, for two bins a test of two shares.

    The bins are coarser than the values, so the first is conservative.

    Parameters
    ----------
    reference, later
        Patients by bin, (feature, bin); a bin that neither uses is empty in both.

    Examples
    --------
    >>> found = shift([[50, 50], [50, 50]], [[25, 25], [5, 45]])
    >>> found.distance.round(2).tolist(), (found.p < 0.01).tolist()
    ([0.0, 0.4], [False, True])
    """
    first, second = np.asarray(reference, dtype=float), np.asarray(later, dtype=float)
    n, m = first.sum(axis=1), second.sum(axis=1)
    known = (n > 0) & (m > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares, others = first / n[:, None], second / m[:, None]
        distance = np.abs(shares.cumsum(axis=1) - others.cumsum(axis=1)).max(axis=1)
        effective = n * m / (n + m)
        p = stats.kstwobign.sf(np.sqrt(effective) * distance)
        two = ((first + second) > 0).sum(axis=1) == 2
        pooled = (first + second).max(axis=1) / (n + m)
        z = distance * np.sqrt(effective) / np.sqrt(pooled * (1.0 - pooled))
        p = np.where(two, 2.0 * stats.norm.sf(z), p)
    return Shift(
        np.where(known, distance, 0.0),
        np.where(known, _stability(first, second), 0.0),
        np.where(known & np.isfinite(p), p, 1.0),
    )


def _stability(first: ndarray, second: ndarray) -> ndarray:
    """Return the population stability index, features of many bins in about ten."""
    used = (first > 0).sum(axis=1)
    found = np.zeros(len(first))
    for wide in np.unique(-(-used // _TENTHS)):
        rows = -(-used // _TENTHS) == wide
        found[rows] = _index(*(_merged(each[rows], max(1, int(wide))) for each in (first, second)))
    return found


def _merged(counts: ndarray, wide: int) -> ndarray:
    """Return counts with that many neighbouring bins as one."""
    size = -(-counts.shape[1] // wide) * wide
    padded = np.pad(counts, ((0, 0), (0, size - counts.shape[1])))
    return np.asarray(padded.reshape(len(counts), -1, wide).sum(axis=2))


def _index(one: ndarray, two: ndarray) -> ndarray:
    """Return the index; half a patient is added to each bin, so that an empty one has a share."""
    there = (one + two) > 0
    # Of a feature that nobody has there are no bins, and nothing to divide by.
    bins = there.sum(axis=1, keepdims=True).clip(min=1)
    one = np.where(there, (one + 0.5) / (one.sum(axis=1, keepdims=True) + 0.5 * bins), 1.0)
    two = np.where(there, (two + 0.5) / (two.sum(axis=1, keepdims=True) + 0.5 * bins), 1.0)
    return np.asarray(((two - one) * np.log(two / one)).sum(axis=1))


def adjusted(p: ArrayLike) -> Float[ndarray, " test"]:
    """Return p-values corrected for their number, by Benjamini and Hochberg.

    Where nothing differs, the least of them is below a level no more often than the level says.

    Examples
    --------
    >>> adjusted([0.01, 0.04, 0.5]).round(3).tolist()
    [0.03, 0.06, 0.5]
    """
    given = np.asarray(p, dtype=float)
    if not len(given):
        return given
    return np.asarray(stats.false_discovery_control(given, method="bh"))


def shares_differ(
    first: ArrayLike, of_first: ArrayLike, second: ArrayLike, of_second: ArrayLike
) -> Float[ndarray, " test"]:
    """Return Fisher's exact p-value of two shares, test by test.

    Examples
    --------
    >>> shares_differ([10], [10], [0], [10]).round(5).tolist()
    [1e-05]
    """
    rows = np.broadcast_arrays(first, of_first, second, of_second)
    return np.array(
        [
            float(stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue)
            for a, n, b, m in zip(*(each.ravel() for each in rows), strict=True)
        ]
    )


def means_differ(mean: float, sd: float, n: float, later: ArrayLike) -> float:
    """Return Welch's p-value of two means, one of them told by its mean and spread.

    Examples
    --------
    >>> round(means_differ(0.0, 1.0, 100, np.ones(100) * 0.5 + np.tile([-1, 1], 50)), 4)
    0.0005
    """
    values = np.asarray(later, dtype=float)
    found = stats.ttest_ind_from_stats(
        mean, sd, n, values.mean(), values.std(ddof=1), len(values), equal_var=False
    )
    return float(found.pvalue)


def more_unusual(reference: ArrayLike, later: ArrayLike) -> float:
    """Return the p-value of later scores being larger (Mann and Whitney).

    Examples
    --------
    >>> more_unusual(np.arange(20.0), np.arange(20.0) + 10) < 0.001
    True
    """
    return float(stats.mannwhitneyu(later, reference, alternative="greater").pvalue)


def one_sided(difference: float, error: float) -> float:
    """Return the p-value of a difference that is below 0, its standard error being known.

    Examples
    --------
    >>> round(one_sided(-1.96, 1.0), 3), one_sided(0.0, 1.0)
    (0.025, 0.5)
    """
    return float(stats.norm.cdf(difference / error)) if error > 0 else float(difference >= 0)
