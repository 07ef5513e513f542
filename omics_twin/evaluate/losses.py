"""Convex losses of a linear predictor for many weighted members at once: value, slope, curvature.

A member is a column of patients' weights; 0 leaves a patient out. Penalised models are fitted to
these losses by :mod:`omics_twin.evaluate.penalised` and :mod:`omics_twin.evaluate.elastic_net`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import expit

Columns = Float[ndarray, "patient member"]


@runtime_checkable
class Loss(Protocol):
    """A convex loss of the linear predictor; weights 0 leave a patient out of a member."""

    def value(self, predictor: Columns, weights: Columns) -> Float[ndarray, " member"]:
        """Return each member's loss, summed over patients."""
        ...

    def slope(
        self, predictor: Columns, weights: Columns
    ) -> tuple[Columns, Columns, Callable[[Columns], Columns]]:
        """Return gradient, a diagonal close to the curvature, and curvature times a column."""
        ...


@dataclass(frozen=True)
class LogisticLoss:
    """Negative log likelihood of a 0/1 outcome (patient,)."""

    outcome: Float[ndarray, " patient"]

    def value(self, predictor: Columns, weights: Columns) -> Float[ndarray, " member"]:
        """Return each member's negative log likelihood."""
        each = np.logaddexp(0.0, predictor) - self.outcome[:, None] * predictor
        return (weights * each).sum(axis=0)

    def slope(
        self, predictor: Columns, weights: Columns
    ) -> tuple[Columns, Columns, Callable[[Columns], Columns]]:
        """Return gradient, curvature and curvature times a column."""
        probability = expit(predictor)
        curvature = weights * probability * (1.0 - probability)
        gradient = weights * (probability - self.outcome[:, None])
        return gradient, curvature, lambda column: curvature * column


@dataclass(frozen=True)
class SquaredLoss:
    """Half the squared error of a continuous outcome (patient,)."""

    outcome: Float[ndarray, " patient"]

    def value(self, predictor: Columns, weights: Columns) -> Float[ndarray, " member"]:
        """Return half of each member's squared error."""
        return 0.5 * (weights * (predictor - self.outcome[:, None]) ** 2).sum(axis=0)

    def slope(
        self, predictor: Columns, weights: Columns
    ) -> tuple[Columns, Columns, Callable[[Columns], Columns]]:
        """Return gradient, curvature and curvature times a column."""
        gradient = weights * (predictor - self.outcome[:, None])
        return gradient, weights, lambda column: weights * column


class Ties(Enum):
    """How deaths of the same day share the partial likelihood."""

    BRESLOW = "breslow"
    EFRON = "efron"


class _RiskSets(NamedTuple):
    hazard: Columns
    at_risk: Columns
    deaths: Columns
    share: Columns
    highest: ndarray


@dataclass(frozen=True)
class CoxLoss:
    """Negative log partial likelihood, tied deaths after Breslow or Efron.

    Patients must be in order of falling time, see :func:`cox_loss`. Tied deaths of a member enter
    Efron's terms with the mean of their weights, as in R's ``survival``.

    Attributes
    ----------
    first, last
        Shape (patient,), first and last patient of the same time.
    tied, group
        Efron only: deaths that share their time with another (row,), and where each of their
        times starts among them (group,). Empty: Breslow.

    References
    ----------
    Breslow 1974, Biometrics, doi:10.2307/2529620.
    Efron 1977, J. American Statistical Association, doi:10.1080/01621459.1977.10480613.
    """

    event: Float[ndarray, " patient"]
    first: Int[ndarray, " patient"]
    last: Int[ndarray, " patient"]
    tied: Int[ndarray, " row"]
    group: Int[ndarray, " group"]

    def value(self, predictor: Columns, weights: Columns) -> Float[ndarray, " member"]:
        """Return each member's negative log partial likelihood."""
        sets = self._risk_sets(predictor, weights)
        log_risk = np.log(sets.at_risk) + sets.highest
        return (sets.deaths * log_risk - weights * self.event[:, None] * predictor).sum(axis=0)

    def slope(
        self, predictor: Columns, weights: Columns
    ) -> tuple[Columns, Columns, Callable[[Columns], Columns]]:
        """Return gradient, the curvature's diagonal part and curvature times a column."""
        hazard, at_risk, deaths, share, _ = self._risk_sets(predictor, weights)
        rate = deaths / at_risk
        diagonal = hazard * self._up_to_now(rate, share)

        def curvature(column: Columns) -> Columns:
            means = self._sums(hazard * column, share) / at_risk
            return diagonal * column - hazard * self._up_to_now(rate * means, share)

        return diagonal - weights * self.event[:, None], diagonal, curvature

    def _risk_sets(self, predictor: ndarray, weights: ndarray) -> _RiskSets:
        highest = predictor.max(axis=0)
        hazard = weights * np.exp(predictor - highest)
        deaths = weights * self.event[:, None]
        share = np.zeros((0, weights.shape[1]))
        if len(self.tied):
            counted = (deaths[self.tied] > 0).astype(float)
            number = np.maximum(self._total(counted), 1.0)
            before = np.cumsum(counted, axis=0) - counted
            starts = np.repeat(before[self.group], self._sizes, axis=0)
            share = (before - starts) * counted / number
            deaths[self.tied] = self._total(deaths[self.tied]) * counted / number
        at_risk = self._sums(hazard, share)
        return _RiskSets(hazard, np.where(at_risk > 0, at_risk, 1.0), deaths, share, highest)

    @property
    def _sizes(self) -> ndarray:
        return np.diff(self.group, append=len(self.tied))

    def _total(self, each: ndarray) -> ndarray:
        """Return the sum over the tied deaths of the same time, for each of them."""
        return np.repeat(np.add.reduceat(each, self.group, axis=0), self._sizes, axis=0)

    def _sums(self, each: ndarray, share: ndarray) -> ndarray:
        """Return sums over those at risk, less a death's share of those it is tied with."""
        sums = np.cumsum(each, axis=0)[self.last]
        if len(self.tied):
            sums[self.tied] -= share * self._total(each[self.tied])
        return sums

    def _up_to_now(self, each: ndarray, share: ndarray) -> ndarray:
        """Return sums over the deaths at whose time a patient was at risk."""
        sums = np.cumsum(each[::-1], axis=0)[::-1][self.first]
        if len(self.tied):
            sums[self.tied] -= self._total(share * each[self.tied])
        return sums


def cox_loss(
    time: Float[ndarray, " patient"],
    event: Bool[ndarray, " patient"],
    ties: Ties = Ties.EFRON,
) -> tuple[CoxLoss, Int[ndarray, " patient"]]:
    """Return the loss and the order in which it wants the patients (falling time).

    Examples
    --------
    >>> loss, order = cox_loss(np.array([2.0, 2.0, 5.0]), np.array([True, True, False]))
    >>> order, loss.value(np.zeros((3, 1)), np.ones((3, 1)))  # log 3 + log 2
    (array([2, 0, 1]), array([1.79175947]))
    """
    order = np.argsort(-time, kind="stable")
    falling, dead = time[order], event[order]
    first = np.searchsorted(-falling, -falling, side="left")
    last = np.searchsorted(-falling, -falling, side="right") - 1
    deaths = np.bincount(first, weights=dead, minlength=len(time))
    shared = dead & (deaths[first] > 1) & (ties is Ties.EFRON)
    tied = np.flatnonzero(shared)
    group = np.unique(first[tied], return_index=True)[1]
    return CoxLoss(dead.astype(float), first, last, tied, group), order
