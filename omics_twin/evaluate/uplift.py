"""Whether those ranked to gain most from one therapy over another do gain most."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.stats import norm

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import paired
from omics_twin.evaluate.doubly_robust import Scores
from omics_twin.evaluate.policy import drawn_again

DRAWS = 500
LEVEL = 0.95
FEWEST = 4


class Contrast(NamedTuple):
    """Two arms compared on the patients to whom both were open.

    Attributes
    ----------
    patients
        Which patients those are.
    gain
        Score of the first arm above the second, for each of them; mean over repeats.
    """

    patients: Bool[ndarray, " all"]
    gain: Float[ndarray, " patient"]


def contrast(scores: Scores, arm: int, control: int) -> Contrast:
    """Return the score differences between two arms where both were open.

    Raises
    ------
    CohortError
        If both were open to fewer than two patients.

    Examples
    --------
    >>> from omics_twin.evaluate.doubly_robust import doubly_robust
    >>> scores = doubly_robust(np.array([1.0, 0.0]), np.array([0, 1]), np.full((2, 2), 0.5),
    ...                        np.full((2, 2), 0.25))
    >>> contrast(scores, 0, 1).gain.tolist()
    [1.5, 0.5]
    """
    both = scores.eligible[:, arm] & scores.eligible[:, control]
    if both.sum() < 2:
        raise CohortError(
            f"arms {arm} and {control} were both open to {int(both.sum())} patients; "
            "expected two or more"
        )
    gain = (scores.values[:, both, arm] - scores.values[:, both, control]).mean(axis=0)
    return Contrast(both, gain)


class Rate(NamedTuple):
    """A rank-weighted average treatment effect: 0 if the ranking is no better than chance."""

    estimate: float
    standard_error: float
    lower: float
    upper: float


class Targeting(NamedTuple):
    """AUTOC and Qini coefficient of one ranking; AUTOC stresses the few who gain most."""

    autoc: Rate
    qini: Rate


def rank_weighted_effects(
    gain: Float[ndarray, " patient"],
    priority: Float[ndarray, " patient"],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Targeting:
    """Return AUTOC and the Qini coefficient, with standard errors from half-samples.

    The targeting operator characteristic TOC(u) is the mean gain of the share u ranked first,
    less that of all. AUTOC is its integral, the Qini coefficient that of u TOC(u). Patients of
    equal priority count with their mean gain. Both are on the outcome's scale, and their
    largest possible value is not 1.

    Parameters
    ----------
    gain
        Doubly robust score of the therapy less that of the control, see :func:`contrast`.
    priority
        Higher is treated first; learned without the patient's own outcome.
    draws, seed
        Half-samples for the standard error.

    Raises
    ------
    CohortError
        If there are fewer than four patients, or arrays do not fit.

    Examples
    --------
    >>> found = rank_weighted_effects(np.array([3.0, 2.0, 1.0, 0.0]), np.array([4.0, 3, 2, 1]))
    >>> found.autoc.estimate, found.qini.estimate
    (0.75, 0.3125)

    References
    ----------
    Yadlowsky et al. 2025, Journal of the American Statistical Association,
    doi:10.1080/01621459.2024.2393466.
    """
    gain, starts = _ranked(gain, priority)
    count = len(gain)
    rng = np.random.default_rng(seed)
    half = count // 2
    taken = rng.random((draws, count)).argpartition(half, axis=1)[:, :half]
    inside = np.zeros((draws, count))
    np.put_along_axis(inside, taken, 1.0, axis=1)
    estimate = _rates(gain, starts, np.ones((1, count)))[:, 0]
    # A half drawn without replacement varies as the estimate does, times (count - half) / half.
    error = _rates(gain, starts, inside).std(axis=1, ddof=1) * np.sqrt(half / (count - half))
    z = float(norm.ppf(0.5 + level / 2.0))
    made = [
        Rate(float(mid), float(se), float(mid - z * se), float(mid + z * se))
        for mid, se in zip(estimate, error, strict=True)
    ]
    return Targeting(*made)


class UpliftCurve(NamedTuple):
    """Gains by the share of patients treated in order of priority; arrays are (share,).

    Attributes
    ----------
    share
        Share of patients treated, those of highest priority first.
    toc, toc_lower, toc_upper
        Their mean gain less that of all patients.
    uplift, uplift_lower, uplift_upper
        Gain per patient of the whole cohort if only they are treated.
    chance
        The same if as many were picked by lot; the area between is the Qini coefficient.
    """

    share: Float[ndarray, " share"]
    toc: Float[ndarray, " share"]
    toc_lower: Float[ndarray, " share"]
    toc_upper: Float[ndarray, " share"]
    uplift: Float[ndarray, " share"]
    uplift_lower: Float[ndarray, " share"]
    uplift_upper: Float[ndarray, " share"]
    chance: Float[ndarray, " share"]


def uplift_curve(
    gain: Float[ndarray, " patient"],
    priority: Float[ndarray, " patient"],
    shares: Float[ndarray, " share"] | None = None,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> UpliftCurve:
    """Return the TOC and the uplift curve, with bootstrap bounds (pointwise).

    Parameters
    ----------
    gain, priority
        As in :func:`rank_weighted_effects`.
    shares
        Above 0 and at most 1; twenty even steps unless given.

    Raises
    ------
    CohortError
        If a share is not above 0 and at most 1.

    Examples
    --------
    >>> curve = uplift_curve(np.array([3.0, 2.0, 1.0, 0.0]), np.array([4.0, 3, 2, 1]),
    ...                      np.array([0.5, 1.0]))
    >>> curve.toc.tolist(), curve.uplift.tolist()
    ([1.0, 0.0], [1.25, 1.5])

    References
    ----------
    Yadlowsky et al. 2025, doi:10.1080/01621459.2024.2393466; uplift and Qini curves: Radcliffe
    2007.
    """
    shares = np.arange(1, 21) / 20.0 if shares is None else shares
    if not ((shares > 0) & (shares <= 1)).all():
        raise CohortError("a share treated is not above 0 and at most 1")
    gain, starts = _ranked(gain, priority)
    rng = np.random.default_rng(seed)
    count = len(gain)
    weights = drawn_again(rng, draws, count)
    found = _uplift_at(gain, starts, np.ones((1, count)), shares)[0]
    drawn = _uplift_at(gain, starts, weights, shares)
    means = (weights @ gain / count)[:, None]
    tails = [0.5 - level / 2.0, 0.5 + level / 2.0]
    low, high = np.quantile(drawn, tails, axis=0)
    toc_low, toc_high = np.quantile(drawn / shares - means, tails, axis=0)
    toc = found / shares - gain.mean()
    return UpliftCurve(shares, toc, toc_low, toc_high, found, low, high, shares * gain.mean())


def _ranked(gain: ndarray, priority: ndarray) -> tuple[ndarray, ndarray]:
    """Return gains by falling priority, and where each run of equal priorities starts."""
    gain, priority = paired(gain=gain, priority=priority)
    if len(gain) < FEWEST:
        raise CohortError(f"a ranking of {len(gain)} patients, expected {FEWEST} or more")
    order = np.argsort(-priority, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(priority[order]) != 0))
    return gain[order], starts


def _shared(gain: ndarray, starts: ndarray, weights: ndarray) -> Float[ndarray, "draw patient"]:
    """Return gains with those of equal priority replaced by their weighted mean."""
    total = np.add.reduceat(weights, starts, axis=1)
    mean = np.add.reduceat(weights * gain, starts, axis=1) / np.where(total > 0, total, 1.0)
    return np.asarray(np.repeat(mean, np.diff(np.append(starts, len(gain))), axis=1))


def _rates(gain: ndarray, starts: ndarray, weights: ndarray) -> Float[ndarray, "two draw"]:
    treated = weights.cumsum(axis=1)
    everybody = treated[:, -1:]
    gained = (weights * _shared(gain, starts, weights)).cumsum(axis=1)
    toc = gained / np.where(treated > 0, treated, 1.0) - gained[:, -1:] / everybody
    autoc = (weights * toc).sum(axis=1) / everybody[:, 0]
    qini = (weights * toc * treated / everybody).sum(axis=1) / everybody[:, 0]
    return np.stack([autoc, qini])


def _uplift_at(
    gain: ndarray, starts: ndarray, weights: ndarray, shares: ndarray
) -> Float[ndarray, "draw share"]:
    treated = np.pad(weights.cumsum(axis=1), ((0, 0), (1, 0)))
    gained = np.pad((weights * _shared(gain, starts, weights)).cumsum(axis=1), ((0, 0), (1, 0)))
    count = len(gain)
    rows = [np.interp(shares * count, *row) for row in zip(treated, gained, strict=True)]
    return np.stack(rows) / count
