"""Whether a probability means what it says: reliability curves and Wilson intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.stats import norm

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import predicted_binary
from omics_twin.evaluate.metrics import BINS, equal_groups


@dataclass(frozen=True)
class ReliabilityCurve:
    """Predicted and observed shares in bins of equal size; every array is (bin,).

    Attributes
    ----------
    lower, upper
        Wilson bounds of the observed share (95 %).
    patients
        Patients in each bin.
    """

    predicted: Float[ndarray, " bin"]
    observed: Float[ndarray, " bin"]
    lower: Float[ndarray, " bin"]
    upper: Float[ndarray, " bin"]
    patients: Int[ndarray, " bin"]


def reliability(probability: ArrayLike, outcome: ArrayLike, bins: int = BINS) -> ReliabilityCurve:
    """Return the reliability curve; nothing is fitted or recalibrated.

    Parameters
    ----------
    probability, outcome
        Shape (patient,); probabilities in [0, 1] and outcomes 0 or 1.
    bins
        Bins of equal size, see :func:`omics_twin.evaluate.metrics.expected_calibration_error`.

    Raises
    ------
    CohortError
        If there are fewer patients than bins, or ranges are wrong.

    Examples
    --------
    >>> reliability([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], bins=2).observed.tolist()
    [0.0, 1.0]

    References
    ----------
    Murphy and Winkler 1977, Applied Statistics, doi:10.2307/2346866.
    """
    probability, outcome = predicted_binary(probability, outcome)
    groups = equal_groups(probability, bins)
    events = np.array([outcome[group].sum() for group in groups])
    patients = np.array([len(group) for group in groups])
    lower, upper = wilson_interval(events, patients)
    predicted = np.array([probability[group].mean() for group in groups])
    return ReliabilityCurve(predicted, events / patients, lower, upper, patients)


def wilson_interval(
    events: ArrayLike, patients: ArrayLike, level: float = 0.95
) -> tuple[Float[ndarray, "*shape"], Float[ndarray, "*shape"]]:
    """Return Wilson's bounds of a share.

    Raises
    ------
    CohortError
        If there are more events than patients, or no patient.

    Examples
    --------
    >>> lower, upper = wilson_interval(5, 10)
    >>> round(float(lower), 3), round(float(upper), 3)
    (0.237, 0.763)

    References
    ----------
    Wilson 1927, Journal of the American Statistical Association,
    doi:10.1080/01621459.1927.10502953.
    """
    events, patients = np.asarray(events, dtype=float), np.asarray(patients, dtype=float)
    if (patients <= 0).any() or (events < 0).any() or (events > patients).any():
        raise CohortError(
            f"{events.tolist()} events of {patients.tolist()} patients; expected 0 to all of "
            "at least one patient"
        )
    z = norm.ppf(0.5 + level / 2.0)
    share = events / patients
    middle = (share + z**2 / (2 * patients)) / (1 + z**2 / patients)
    spread = share * (1 - share) / patients + z**2 / (4 * patients**2)
    half = z * np.sqrt(spread) / (1 + z**2 / patients)
    lower, upper = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return np.asarray(lower), np.asarray(upper)


def reliability_slope(probability: ArrayLike, happened: ArrayLike, bins: int = BINS) -> float:
    """Return the slope of observed on predicted shares, through bins of equal size.

    Least squares weighted by the patients of a bin; 1: differences between probabilities are as
    large as those between what happened, below 1: the probabilities are too far apart.

    Raises
    ------
    CohortError
        If there are fewer patients than bins, ranges are wrong, or all bins predict the same.

    Examples
    --------
    >>> round(reliability_slope([0.2] * 4 + [0.8] * 4, [0, 0, 0, 1, 0, 1, 1, 1], bins=2), 3)
    0.833
    """
    curve = reliability(probability, happened, bins)
    weights = curve.patients / curve.patients.sum()
    across = curve.predicted - weights @ curve.predicted
    variance = weights @ across**2
    if variance <= 1e-12:
        raise CohortError("all bins predict the same probability: a slope needs two that differ")
    return float(weights @ (across * curve.observed) / variance)
