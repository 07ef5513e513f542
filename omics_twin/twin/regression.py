"""Exact beliefs where measurements are linear in a patient's parameters: Gaussian in and out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from omics_twin.errors import TrainingError

Array = np.ndarray


@dataclass(frozen=True)
class LinearPopulation:
    """How patients differ, and how far measurements are from what their parameters say.

    Attributes
    ----------
    mean, covariance
        Of each kind of patients, (kind, parameter) and (kind, parameter, parameter).
    variance
        Of what parameters leave unexplained.
    """

    mean: Array
    covariance: Array
    variance: float


@dataclass(frozen=True)
class LinearBelief:
    """Belief before each measurement, from those before it.

    ``mean`` (patient, time, parameter), ``covariance`` (patient, time, parameter, parameter).
    """

    mean: Array
    covariance: Array


def filtered(
    population: LinearPopulation, kind: Array, features: Array, found: Array
) -> LinearBelief:
    """Return what is believed before each measurement and, last, after all of them.

    Parameters
    ----------
    kind
        Position of each patient's kind, (patient,).
    features, found
        (patient, time, parameter) and (patient, time), NaN where nothing was measured.

    Returns
    -------
    LinearBelief
        With one more time than there are measurements.

    References
    ----------
    Kalman 1960, doi:10.1115/1.3662552, for a state that does not change.
    """
    known = np.isfinite(found)
    x = np.where(known[..., None], features, 0.0)
    y = np.where(known, found, 0.0)
    precision = np.linalg.inv(population.covariance)[kind]
    shift = np.einsum("pij,pj->pi", precision, population.mean[kind])
    squares = np.cumsum(x[..., :, None] * x[..., None, :], axis=1) / population.variance
    crosses = np.cumsum(x * y[..., None], axis=1) / population.variance
    squares = np.concatenate([np.zeros_like(squares[:, :1]), squares], axis=1)
    crosses = np.concatenate([np.zeros_like(crosses[:, :1]), crosses], axis=1)
    covariance = np.linalg.inv(precision[:, None] + squares)
    mean = np.einsum("ptij,ptj->pti", covariance, shift[:, None] + crosses)
    return LinearBelief(mean, covariance)


def learn(
    kind: Array, features: Array, found: Array, *, kinds: int, rounds: int = 60
) -> LinearPopulation:
    """Return the population under which measurements are most likely, by EM.

    Raises
    ------
    TrainingError
        If a kind has fewer patients than twice the parameters.

    References
    ----------
    Laird & Ware 1982, doi:10.2307/2529876.
    """
    size = features.shape[2]
    counts = np.bincount(kind, minlength=kinds)
    if counts.min() < 2 * size:
        raise TrainingError(
            f"{counts.min()} patients of one kind, expected at least {2 * size} for {size} "
            "parameters"
        )
    known = np.isfinite(found)
    x, y = features[known], found[known]
    pooled, *_ = np.linalg.lstsq(x, y, rcond=None)
    spread = np.diag((np.abs(pooled) + 1e-3) ** 2)
    now = LinearPopulation(
        np.tile(pooled, (kinds, 1)), np.tile(spread, (kinds, 1, 1)), float(np.var(y - x @ pooled))
    )
    own, told = np.where(known[..., None], features, 0.0), np.where(known, found, 0.0)
    squares = own.transpose(0, 2, 1) @ own
    crosses = np.einsum("pti,pt->pi", own, told)
    for _ in range(rounds):
        precision = np.linalg.inv(now.covariance)
        covariance = np.linalg.inv(precision[kind] + squares / now.variance)
        shift = np.einsum("kij,kj->ki", precision, now.mean)[kind]
        mean = np.einsum("pij,pj->pi", covariance, shift + crosses / now.variance)
        centre = np.stack([mean[kind == each].mean(axis=0) for each in range(kinds)])
        left = mean - centre[kind]
        each = covariance + left[:, :, None] * left[:, None, :]
        between = np.stack([each[kind == k].mean(axis=0) for k in range(kinds)])
        gap = np.square(told - np.einsum("pti,pi->pt", own, mean)).sum()
        doubt = np.einsum("pij,pij->", squares, covariance)
        now = replace(
            now, mean=centre, covariance=between, variance=float((gap + doubt) / known.sum())
        )
    return now


def predicted(belief: LinearBelief, features: Array, variance: float) -> tuple[Array, Array]:
    """Return mean and standard deviation of each next measurement, (patient, time, ...).

    Parameters
    ----------
    features
        (patient, time, ..., parameter), for the measurement that follows each belief.
    """
    mean = np.einsum("pti,pt...i->pt...", belief.mean, features)
    spread = np.einsum("pt...i,ptij,pt...j->pt...", features, belief.covariance, features)
    return mean, np.sqrt(spread + variance)
