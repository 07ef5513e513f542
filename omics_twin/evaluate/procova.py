"""A trial analysed with a twin's prognostic score as covariate: fewer patients, the same errors.

The score is what the twin forecasts for a patient under control, made before the trial. Analysis of
covariance with it keeps the type-I error even if the score is useless, and shrinks the variance of
the effect by the share of the outcome that the score explains; qualified by the EMA (2022,
EMADOC-1700519818-907465).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, t

from omics_twin.errors import CohortError

Array = np.ndarray


@dataclass(frozen=True)
class TrialEffect:
    """The effect of treatment in one trial, or in many: every field is (...,).

    Attributes
    ----------
    effect, standard_error
        In the unit of the outcome.
    p_value
        Two-sided, of no effect.
    """

    effect: Array
    standard_error: Array
    p_value: Array


def adjusted_effect(
    outcome: ArrayLike, treated: ArrayLike, score: ArrayLike | None = None
) -> TrialEffect:
    """Return the effect of treatment, adjusted for a prognostic score where there is one.

    Parameters
    ----------
    outcome, treated, score
        (..., patient); trials along the leading axes; 1 for treated, 0 for control.

    Raises
    ------
    CohortError
        If shapes differ, an arm has fewer than three patients, or a number is not finite.

    References
    ----------
    Schuler et al. 2022, doi:10.1515/ijb-2021-0072; MacKinnon & White 1985,
    doi:10.1016/0304-4076(85)90158-7 (HC3 standard errors, right where variances differ).

    Examples
    --------
    >>> arm = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> found = adjusted_effect([0.0, 1, 0, 1, 2, 3, 2, 3], arm)
    >>> round(float(found.effect), 6)
    2.0
    """
    y, a = np.asarray(outcome, dtype=float), np.asarray(treated, dtype=float)
    s = None if score is None else np.asarray(score, dtype=float)
    if y.shape != a.shape or (s is not None and s.shape != y.shape):
        raise CohortError(f"outcomes {y.shape} and arms {a.shape}, expected the same shapes")
    columns = [np.ones_like(y), a] if s is None else [np.ones_like(y), a, s]
    design = np.stack(columns, axis=-1)
    if not np.isfinite(design).all() or not np.isfinite(y).all():
        raise CohortError("an outcome, arm or score is not finite: leave the patient out")
    if min(a.sum(axis=-1).min(), (1 - a).sum(axis=-1).min()) < 3:
        raise CohortError("an arm has fewer than three patients: expected at least three in each")
    gram = np.linalg.pinv(design.swapaxes(-1, -2) @ design)
    left = gram @ design.swapaxes(-1, -2)
    beta = (left @ y[..., None])[..., 0]
    residual = y - (design @ beta[..., None])[..., 0]
    leverage = np.einsum("...ij,...ji->...i", design, left)
    weight = np.square(left[..., 1, :]) * np.square(residual / (1.0 - leverage))
    error = np.sqrt(weight.sum(axis=-1))
    freedom = y.shape[-1] - design.shape[-1]
    effect = beta[..., 1]
    p_value = 2.0 * t.sf(np.abs(effect / error), freedom)
    # One trial gives NumPy scalars, which are no arrays.
    return TrialEffect(np.asarray(effect), np.asarray(error), np.asarray(p_value))


def patients_needed(patients: float, correlation: float) -> int:
    """Return how many patients a trial needs with a score of this correlation with the outcome.

    Parameters
    ----------
    patients
        Needed without a score, for the same power.

    Examples
    --------
    >>> patients_needed(1000, 0.5)
    750
    """
    return math.ceil(patients * (1.0 - correlation**2) - 1e-9)


def power(
    effect: float, spread: float, patients: float, correlation: float = 0.0, alpha: float = 0.05
) -> float:
    """Return the power of a trial with two equal arms.

    Parameters
    ----------
    effect, spread
        Difference of means, and standard deviation of the outcome within an arm.
    patients
        In both arms together.

    Examples
    --------
    >>> round(power(0.5, 1.0, 126), 2)
    0.8
    """
    error = spread * math.sqrt((1.0 - correlation**2) * 4.0 / patients)
    critical = norm.isf(alpha / 2.0)
    return float(norm.sf(critical - effect / error) + norm.cdf(-critical - effect / error))
