"""Whether predicted outcomes of therapies, and the benefits between them, come true."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.stats import norm

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import paired
from omics_twin.evaluate.doubly_robust import Scores
from omics_twin.evaluate.metrics import equal_groups

LEVEL = 0.95
BINS = 5


class ArmCalibration(NamedTuple):
    """Predicted and estimated mean outcome of each arm in each group; rows are (cell,).

    Attributes
    ----------
    arm, group, patients
        Which cell, and how many patients of the group could have had the arm.
    received
        How many of them did: with few, the interval is not to be trusted.
    predicted
        Mean prediction if all of them had the arm.
    estimated, standard_error, lower, upper
        Doubly robust mean with its normal interval.
    """

    arm: Int[ndarray, " cell"]
    group: Int[ndarray, " cell"]
    patients: Int[ndarray, " cell"]
    received: Int[ndarray, " cell"]
    predicted: Float[ndarray, " cell"]
    estimated: Float[ndarray, " cell"]
    standard_error: Float[ndarray, " cell"]
    lower: Float[ndarray, " cell"]
    upper: Float[ndarray, " cell"]


def calibration_by_arm(
    scores: Scores,
    predicted: Float[ndarray, "... patient arm"],
    groups: Int[ndarray, " patient"] | None = None,
    level: float = LEVEL,
) -> ArmCalibration:
    """Compare predicted with doubly robust mean outcomes, per arm and group.

    The predictions judged may differ from those inside the scores. Cells with fewer than two
    patients who could have had the arm are not listed.

    Parameters
    ----------
    predicted
        Expected outcome under each arm, out of fold.
    groups
        Group of each patient; all in group 0 unless given.

    Raises
    ------
    CohortError
        If predictions or groups do not fit the scores, or an open arm has no prediction.

    Examples
    --------
    >>> from omics_twin.evaluate.doubly_robust import doubly_robust
    >>> guess = np.full((4, 2), 0.5)
    >>> scores = doubly_robust(np.array([1.0, 0, 1, 0]), np.array([0, 1, 0, 1]), guess, guess)
    >>> calibration_by_arm(scores, guess).estimated.tolist()
    [1.0, 0.0]
    """
    predicted = predicted if predicted.ndim == 3 else predicted[None]
    patients, arm_count = scores.eligible.shape
    groups = np.zeros(patients, dtype=np.int64) if groups is None else groups
    if predicted.shape[1:] != (patients, arm_count) or groups.shape != (patients,):
        raise CohortError(
            f"predictions have shape {predicted.shape} and groups {groups.shape}, the scores "
            f"{scores.values.shape}; expected the same patients and arms"
        )
    value, guess = scores.values.mean(axis=0), predicted.mean(axis=0)
    if not np.isfinite(guess[scores.eligible]).all():
        raise CohortError("a prediction for an open arm is not finite; predict every open arm")
    rows = []
    for group in np.unique(groups):
        for arm in range(arm_count):
            cell = (groups == group) & scores.eligible[:, arm]
            if cell.sum() < 2:
                continue
            error = value[cell, arm].std(ddof=1) / np.sqrt(cell.sum())
            received = (scores.arms[cell] == arm).sum()
            both = guess[cell, arm].mean(), value[cell, arm].mean()
            rows.append((arm, group, cell.sum(), received, *both, error))
    arms, cells, able, had, means, estimated, errors = (
        np.array(each) for each in zip(*rows, strict=True)
    )
    width = norm.ppf(0.5 + level / 2.0) * errors
    lower, upper = estimated - width, estimated + width
    return ArmCalibration(arms, cells, able, had, means, estimated, errors, lower, upper)


class BenefitCalibration(NamedTuple):
    """Predicted and estimated benefit of one arm over another.

    Attributes
    ----------
    predicted, estimated, standard_error, lower, upper, patients
        In bins of rising predicted benefit, each (bin,); normal intervals.
    slope, slope_error
        Of the best linear predictor: estimated benefit on predicted. 1 is perfect, below 1 too
        extreme, 0 no better than one benefit for all.
    mean_gap, mean_gap_error
        Estimated less predicted mean benefit. 0 is perfect.
    """

    predicted: Float[ndarray, " bin"]
    estimated: Float[ndarray, " bin"]
    standard_error: Float[ndarray, " bin"]
    lower: Float[ndarray, " bin"]
    upper: Float[ndarray, " bin"]
    patients: Int[ndarray, " bin"]
    slope: float
    slope_error: float
    mean_gap: float
    mean_gap_error: float


def calibration_of_benefit(
    gain: Float[ndarray, " patient"],
    predicted: Float[ndarray, " patient"],
    bins: int = BINS,
    level: float = LEVEL,
) -> BenefitCalibration:
    """Compare predicted with doubly robust benefit, in bins and by a regression line.

    Parameters
    ----------
    gain
        Score differences, see :func:`omics_twin.evaluate.uplift.contrast`.
    predicted
        Predicted difference, out of fold.
    bins
        Of equal size, at least two patients each.

    Raises
    ------
    CohortError
        If there are too few patients for the bins, or all predictions are equal.

    Examples
    --------
    >>> predicted = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    >>> found = calibration_of_benefit(0.5 * predicted, predicted, bins=2)
    >>> round(found.slope, 6), round(found.mean_gap, 6)
    (0.5, -0.125)

    References
    ----------
    Best linear predictor: Chernozhukov et al. 2025, Econometrica, doi:10.3982/ECTA19303;
    standard error robust to unequal variance (HC1): MacKinnon and White 1985,
    doi:10.1016/0304-4076(85)90158-7.
    """
    gain, predicted = paired(gain=gain, predicted=predicted)
    if len(gain) < max(2 * bins, 4) or np.ptp(predicted) == 0:
        raise CohortError(
            f"{len(gain)} patients in {bins} bins, predictions from {predicted.min():g} to "
            f"{predicted.max():g}; expected two or more patients per bin and different predictions"
        )
    groups = equal_groups(predicted, bins)
    estimated = np.array([gain[group].mean() for group in groups])
    error = np.array([gain[group].std(ddof=1) / np.sqrt(len(group)) for group in groups])
    width = norm.ppf(0.5 + level / 2.0) * error
    gap = gain - predicted
    return BenefitCalibration(
        np.array([predicted[group].mean() for group in groups]),
        estimated,
        error,
        estimated - width,
        estimated + width,
        np.array([len(group) for group in groups]),
        *_slope(gain, predicted),
        float(gap.mean()),
        float(gap.std(ddof=1) / np.sqrt(len(gap))),
    )


def _slope(gain: ndarray, predicted: ndarray) -> tuple[float, float]:
    centred = predicted - predicted.mean()
    scale = (centred**2).sum()
    slope = float(centred @ gain / scale)
    rest = gain - gain.mean() - slope * centred
    freedom = len(gain) / (len(gain) - 2)
    return slope, float(np.sqrt(freedom * (centred**2 * rest**2).sum()) / scale)
