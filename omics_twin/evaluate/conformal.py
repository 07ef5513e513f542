"""How far an interval must reach to hold, and probabilities with an interval of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import predicted_binary
from omics_twin.tensors.sums import Total, here

FEWEST = 40
"""Patients of a group that is calibrated on its own."""
# Bits that are settled with one sum, all of whose steps are counted at once.
_BITS = 8
_SIGN = np.uint64(1 << 63)


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


def conformal_quantile(
    scores: Float[ndarray, " patient *rest"], level: float, *, total: Total = here
) -> float:
    """Return the score that a new patient's stays below with at least a probability.

    Several scores of one patient, such as those under different therapies, are one patient: then
    a share ``level`` of a new patient's scores stays below on average.

    Parameters
    ----------
    scores
        Of patients exchangeable with the new one; NaN where there is none.
    total
        Completes counts of patients where others are calibrated on elsewhere; the answer is that
        of all of them in one place.

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
    (patients,), (found,) = _quantiles([scores], level, total)
    if not patients:
        raise CohortError("0 patients to calibrate on, expected at least one")
    return float(found)


def mondrian_quantiles(
    scores: Float[ndarray, " patient *rest"],
    groups: Sequence[str],
    level: float,
    fewest: int = FEWEST,
    *,
    every: Sequence[str] | None = None,
    total: Total = here,
) -> dict[str, float]:
    """Return the conformal quantile of each group with enough patients to have its own.

    Parameters
    ----------
    every
        All groups, where some may have no patient here; None: those that have.
    total
        See :func:`conformal_quantile`.

    Examples
    --------
    >>> mondrian_quantiles(np.array([1.0, 2.0, 3.0]), ["a", "a", "b"], 0.5, fewest=2)
    {'a': 2.0}

    References
    ----------
    Vovk, Gammerman and Shafer 2022, Algorithmic Learning in a Random World, chapter 4,
    doi:10.1007/978-3-031-06649-8.
    """
    own, names = np.array(groups, dtype=str), sorted(set(groups if every is None else every))
    patients, found = _quantiles([scores[own == name] for name in names], level, total)
    told = zip(names, patients, found, strict=True)
    return {name: float(each) for name, people, each in told if people >= fewest}


def _quantiles(
    parts: Sequence[Float[ndarray, " _ *rest"]], level: float, total: Total
) -> tuple[Int[ndarray, " part"], Float[ndarray, " part"]]:
    """Return patients and conformal quantile of each part, from counts of scores alone.

    The quantile is one of the scores. Its bits are found from the first to the last, by how many
    scores lie below each of a few steps.
    """
    finite = [np.isfinite(each) for each in parts]
    keys = [np.sort(_ordered(each[known])) for each, known in zip(parts, finite, strict=True)]
    people = [int(each.any(axis=tuple(range(1, each.ndim))).sum()) for each in finite]
    counts = torch.tensor([people, [len(each) for each in keys]], dtype=torch.float64)
    patients, numbers = total("scores", counts)[0].numpy()
    share = np.minimum(1.0, level * (patients + 1.0) / np.maximum(patients, 1.0))
    rank = np.ceil(numbers * share)[:, None]
    low, steps = np.zeros((len(parts), 1), np.uint64), np.arange(1, 2**_BITS, dtype=np.uint64)
    for shift in range(64 - _BITS, -1, -_BITS):
        edges = low + (steps << np.uint64(shift))
        below = [np.searchsorted(own, each) for own, each in zip(keys, edges, strict=True)]
        (counted,) = total("scores below", torch.tensor(np.array(below), dtype=torch.float64))
        above = (counted.numpy() < rank).sum(axis=1, keepdims=True).astype(np.uint64)
        low += above << np.uint64(shift)
    found = np.where(low & _SIGN, low ^ _SIGN, ~low)[:, 0].view(np.float64)
    return patients.astype(int), np.where(patients > 0, found, np.nan)


def _ordered(values: Float[ndarray, " value"]) -> UInt64[ndarray, " value"]:
    """Return whole numbers in the order of the values, one for each."""
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


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
