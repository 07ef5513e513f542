"""How far an interval must reach to hold, and probabilities with an interval of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import predicted_binary

FEWEST = 40
"""Patients of a group that is calibrated on its own."""


def nonconformity(
    truth: Float[ndarray, "*shape"],
    mean: Float[ndarray, "*shape"],
    lower: Float[ndarray, "*shape"],
    upper: Float[ndarray, "*shape"],
) -> Float[ndarray, "*shape"]:
    """Return how far the truth is from the mean, 1 at the bound of the interval on its side.

    Examples
    --------
    >>> nonconformity(np.array([3.0]), np.array([1.0]), np.array([0.0]), np.array([2.0])).tolist()
    [2.0]
    """
    above = (truth - mean) / np.maximum(upper - mean, 1e-9)
    below = (mean - truth) / np.maximum(mean - lower, 1e-9)
    return np.asarray(np.maximum(above, below))


def conformal_quantile(scores: Float[ndarray, "patient *rest"], level: float) -> float:
    """Return the score that a new patient's stays below with at least a probability.

    Several scores of one patient, such as those under different therapies, are one patient: then
    a share ``level`` of a new patient's scores stays below on average.

    Parameters
    ----------
    scores
        Of patients exchangeable with the new one; NaN where there is none.

    Raises
    ------
    CohortError
        If there is no score, or the level is not between 0 and 1.

    Examples
    --------
    >>> conformal_quantile(np.arange(1.0, 10.0), 0.9)
    9.0

    References
    ----------
    Split conformal prediction: Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29.
    """
    if not 0.0 < level < 1.0:
        raise CohortError(f"level is {level:g}, expected between 0 and 1, such as 0.9")
    flat = scores[np.isfinite(scores)]
    patients = int(np.isfinite(scores).reshape(len(scores), -1).any(axis=1).sum())
    if not patients:
        raise CohortError("0 patients to calibrate on, expected at least one")
    share = min(1.0, level * (patients + 1) / patients)
    return float(np.quantile(flat, share, method="inverted_cdf"))


def mondrian_quantiles(
    scores: Float[ndarray, "patient *rest"],
    groups: Sequence[str],
    level: float,
    fewest: int = FEWEST,
) -> dict[str, float]:
    """Return the conformal quantile of each group with enough patients to have its own.

    Examples
    --------
    >>> mondrian_quantiles(np.array([1.0, 2.0, 3.0]), ["a", "a", "b"], 0.5, fewest=2)
    {'a': 2.0}

    References
    ----------
    Vovk, Gammerman and Shafer 2022, Algorithmic Learning in a Random World, chapter 4,
    doi:10.1007/978-3-031-06649-8.
    """
    names = np.array(groups, dtype=str)
    found = {}
    for name in np.unique(names):
        own = scores[names == name]
        if np.isfinite(own).reshape(len(own), -1).any(axis=1).sum() >= fewest:
            found[str(name)] = conformal_quantile(own, level)
    return found


@dataclass(frozen=True)
class VennAbers:
    """Calibrated probabilities as intervals; every array is (patient,).

    Attributes
    ----------
    lower, upper
        Probability if the patient's outcome were 0, and if it were 1: one of the two is
        perfectly calibrated, whatever the scores.
    """

    lower: Float[ndarray, " patient"]
    upper: Float[ndarray, " patient"]

    @property
    def probability(self) -> Float[ndarray, " patient"]:
        """The single probability that is minimax for log loss."""
        return np.asarray(self.upper / (1.0 - self.lower + self.upper))


def venn_abers(known: ArrayLike, outcome: ArrayLike, asked: ArrayLike) -> VennAbers:
    """Return calibrated probabilities of new patients from those with a known outcome.

    Parameters
    ----------
    known, outcome
        Predicted probability and outcome (0 or 1) of the patients to calibrate on.
    asked
        Predicted probability of the new ones.

    Raises
    ------
    CohortError
        If predictions are no probabilities or outcomes are not 0 or 1.

    Examples
    --------
    >>> found = venn_abers([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], [0.85])
    >>> found.lower.round(2).tolist(), found.upper.tolist()
    ([0.5], [1.0])

    References
    ----------
    Vovk and Petej 2014, arXiv:1211.0025.
    """
    known, outcome = predicted_binary(known, outcome)
    asked = np.asarray(asked, dtype=float)
    scores, place = np.unique(asked, return_inverse=True)
    order = np.argsort(known, kind="stable")
    # Equal scores share one level, so they enter as one point with a weight.
    levels, start, count = np.unique(known[order], return_index=True, return_counts=True)
    mean = np.add.reduceat(outcome[order], start) / count
    bounds = [[_with(levels, mean, count, each, y) for each in scores] for y in (0.0, 1.0)]
    lower, upper = (np.array(each)[place.ravel()] for each in bounds)
    return VennAbers(lower, upper)


def _with(levels: ndarray, mean: ndarray, count: ndarray, score: float, outcome: float) -> float:
    """Return the isotonic fit at a score to which a patient with an outcome was added."""
    at = int(np.searchsorted(levels, score))
    if at < len(levels) and levels[at] == score:
        weights, values = count.astype(float), mean.copy()
        values[at] = (mean[at] * count[at] + outcome) / (count[at] + 1.0)
        weights[at] += 1.0
    else:
        weights, values = np.insert(count.astype(float), at, 1.0), np.insert(mean, at, outcome)
    return float(isotonic_regression(values, weights=weights).x[at])


def venn_abers_by_group(
    probability: Float[ndarray, " patient"],
    outcome: Float[ndarray, " patient"],
    folds: ndarray,
    groups: Sequence[str],
    fewest: int = FEWEST,
) -> VennAbers:
    """Return held-out Venn-Abers intervals: each fold is calibrated on the others.

    A group with enough patients in the other folds is calibrated on its own, others on everybody.

    Parameters
    ----------
    folds
        Fold in which each patient is held out, (patient,).
    """
    names = np.array(groups, dtype=str)
    lower, upper = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for fold in np.unique(folds):
        for name in np.unique(names):
            asked = (folds == fold) & (names == name)
            others = (folds != fold) & (names == name)
            if others.sum() < fewest:
                others = folds != fold
            if asked.any() and others.any():
                found = venn_abers(probability[others], outcome[others], probability[asked])
                lower[asked], upper[asked] = found.lower, found.upper
    return VennAbers(lower, upper)


def group_rates(
    found: VennAbers, outcome: Float[ndarray, " patient"], groups: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return, by group, the mean interval, its width, and whether it holds the observed rate."""
    names = np.array(groups, dtype=str)
    told: dict[str, dict[str, Any]] = {}
    for name in np.unique(names):
        rows = (names == name) & np.isfinite(found.lower)
        if not rows.any():
            continue
        lower, upper = float(found.lower[rows].mean()), float(found.upper[rows].mean())
        rate = float(outcome[rows].mean())
        told[str(name)] = {
            "patients": int(rows.sum()),
            "lower": lower,
            "upper": upper,
            "width": upper - lower,
            "observed": rate,
            "covered": bool(lower <= rate <= upper),
        }
    return told
