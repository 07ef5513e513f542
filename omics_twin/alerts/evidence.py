"""Evidence that forecasts no longer hold, which may be looked at after every visit.

A forecast that holds makes the share of it below what came uniform, and the normal score of that
share standard normal. An e-process bets against this: under it, the stake is ever multiplied by
1/alpha with a probability of at most alpha, however often one looks (Ville's inequality).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

Array = np.ndarray
# What is bet on: shifts of the mean in either direction, or a spread of twice what is expected.
_SHIFTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
_SPREAD = 2.0
_SHARES = np.array([0.15, 0.15, 0.1, 0.1, 0.15, 0.15, 0.2])
_FAR = 6.0


def normal_score(share: float, draws: int) -> float:
    """Return the normal score of the share of a forecast below what came.

    A forecast of so many draws cannot tell shares below half a draw apart.

    Examples
    --------
    >>> normal_score(0.5, 100)
    0.0
    """
    least = 0.5 / draws
    return float(norm.ppf(min(max(share, least), 1.0 - least)))


def ratios(score: Array | float) -> Array:
    """Return how much likelier a score is under each alternative, (..., alternative)."""
    z = np.clip(np.asarray(score, dtype=float), -_FAR, _FAR)[..., None]
    shifts = np.array(_SHIFTS)
    moved = np.exp(shifts * z - 0.5 * shifts**2)
    wide = np.exp(0.5 * z**2 * (1.0 - 1.0 / _SPREAD**2)) / _SPREAD
    return np.concatenate([moved, wide], axis=-1)


@dataclass(frozen=True)
class Evidence:
    """The e-process of one series of scores.

    Attributes
    ----------
    visits
        How many scores were seen.
    stakes
        What the bets on each alternative, placed so far, are worth, (alternative,).
    unbet
        Share of the first stake that is kept for changes still to come.
    """

    visits: int = 0
    stakes: tuple[float, ...] = (0.0,) * len(_SHARES)
    unbet: float = 1.0

    @property
    def value(self) -> float:
        """Evidence against the forecasts; 1 at first, and an alarm at 1/alpha."""
        return self.unbet + float(np.dot(_SHARES, self.stakes))

    def after(self, score: float) -> Evidence:
        """Return the evidence after a further score.

        A part of what is left is bet that the change came just before it.

        Examples
        --------
        >>> calm, struck = Evidence().after(0.1), Evidence().after(4.0)
        >>> calm.value < 1.2 < struck.value
        True
        """
        number = self.visits + 1
        # These sum to one over all visits, with a tail that is heavy enough for late changes.
        bet = 1.0 / (number * (number + 1.0))
        stakes = (np.array(self.stakes) + bet) * ratios(score)
        return replace(self, visits=number, stakes=tuple(stakes.tolist()), unbet=self.unbet - bet)


def ever(scores: Array) -> Array:
    """Return the largest evidence of many series up to each score, (series, visit)."""
    series, visits = scores.shape
    stakes = np.zeros((series, len(_SHARES)))
    largest = np.zeros((series, visits))
    best = np.ones(series)
    for visit in range(visits):
        bet = 1.0 / ((visit + 1.0) * (visit + 2.0))
        stakes = (stakes + bet) * ratios(scores[:, visit])
        best = np.maximum(best, 1.0 / (visit + 2.0) + stakes @ _SHARES)
        largest[:, visit] = best
    return largest


def combined(values: Sequence[float]) -> float:
    """Return the evidence of several channels, valid however they depend on one another.

    References
    ----------
    Vovk & Wang 2021, doi:10.1214/20-AOS2020.

    Examples
    --------
    >>> combined([1.0, 3.0])
    2.0
    """
    return math.fsum(values) / len(values)


def detector(scores: Array, shifts: Sequence[float] = (1.0, 2.0)) -> Array:
    """Return the Shiryaev-Roberts statistic of a mixture of shifts, (series, visit).

    An alarm at a threshold A comes on average no earlier than after A scores where nothing
    changes (Shin, Ramdas & Rinaldo 2024, doi:10.51387/23-NEJSDS51). Each further shift that is
    watched for costs delay: watch for those to the worse.
    """
    watched = np.array(shifts)
    sums = np.zeros((len(scores), len(watched)))
    found = np.zeros(scores.shape)
    for visit in range(scores.shape[1]):
        z = np.clip(scores[:, visit, None], -_FAR, _FAR)
        # Beyond any threshold in use the sums are kept from overflowing.
        sums = np.minimum((sums + 1.0) * np.exp(watched * z - 0.5 * watched**2), 1e100)
        found[:, visit] = sums.mean(axis=1)
    return found


def cusum(scores: Array, shift: float) -> Array:
    """Return Page's statistic for a known shift of the mean, (series, visit).

    References
    ----------
    Page 1954, doi:10.1093/biomet/41.1-2.100.
    """
    found = np.zeros(scores.shape)
    now = np.zeros(len(scores))
    for visit in range(scores.shape[1]):
        now = np.maximum(now, 0.0) + shift * scores[:, visit] - 0.5 * shift**2
        found[:, visit] = now
    return found


def first_alarm(statistic: Array, threshold: float) -> Array:
    """Return after how many scores each series raises its alarm, infinity where never."""
    over = statistic >= threshold
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1.0, np.inf)
