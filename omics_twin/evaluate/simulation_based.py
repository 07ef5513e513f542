"""Does a twin's belief hold on patients made from its own prior? Simulation-based calibration.

Talts et al. 2018, arXiv:1804.06788: if a parameter is drawn from the prior, data from the
parameter, and a belief from the data, then the rank of the parameter among draws of the belief is
uniform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from omics_twin.errors import CohortError

Array = np.ndarray


@dataclass(frozen=True)
class Uniformity:
    """How far ranks are from uniform.

    Attributes
    ----------
    counts
        Ranks in each bin, (bin,).
    statistic, p_value
        Of the chi-square test that all bins are alike.
    """

    counts: Array
    statistic: float
    p_value: float


def ranks_of(truth: Array, draws: Array, weights: Array, *, kept: int = 99, seed: int = 0) -> Array:
    """Return the rank of each truth among some draws of its belief, 0 to ``kept``.

    Parameters
    ----------
    truth
        (patient,).
    draws, weights
        (patient, draw); ``kept`` of them are drawn by their weight.

    Examples
    --------
    >>> ranks_of(np.zeros(1), np.ones((1, 5)), np.ones((1, 5)), kept=9).tolist()
    [0]
    """
    rng = np.random.default_rng(seed)
    upto = np.cumsum(weights, axis=1)
    upto = upto / upto[:, -1:]
    points = (np.arange(kept) + rng.uniform(size=(len(truth), 1))) / kept
    picked = np.stack([np.searchsorted(row, at) for row, at in zip(upto, points, strict=True)])
    chosen = np.take_along_axis(draws, np.minimum(picked, draws.shape[1] - 1), axis=1)
    below = (chosen < truth[:, None]).sum(axis=1)
    ties = (chosen == truth[:, None]).sum(axis=1)
    return below + rng.integers(0, ties + 1)


def uniformity(ranks: Array, kept: int = 99, bins: int = 20) -> Uniformity:
    """Return the chi-square test of ranks from 0 to ``kept``.

    Raises
    ------
    CohortError
        If the ranks cannot be shared out evenly over the bins, or are too few.

    Examples
    --------
    >>> uniformity(np.arange(100)).p_value
    1.0
    """
    if (kept + 1) % bins:
        raise CohortError(
            f"{kept + 1} ranks cannot be shared out over {bins} bins: choose a number of draws "
            "that is one less than a multiple of the bins"
        )
    if len(ranks) < 5 * bins:
        raise CohortError(
            f"{len(ranks)} ranks for {bins} bins, expected at least {5 * bins}: simulate more"
        )
    counts = np.bincount(ranks * bins // (kept + 1), minlength=bins)
    expected = len(ranks) / bins
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return Uniformity(counts, statistic, float(chi2.sf(statistic, bins - 1)))
