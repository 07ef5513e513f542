"""Ridge-penalised linear models, many penalties and training subsets at once.

All members (penalty x training subset) share one rotated matrix; a member is a column of weights.
Newton steps are solved by conjugate gradients whose preconditioner is diagonal in the rotated
space, so that a whole cross-validated path costs a few dozen matrix products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.special import expit

from omics_twin.errors import TrainingError

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


@dataclass(frozen=True)
class CoxLoss:
    """Negative log partial likelihood with Breslow's handling of ties.

    Patients must be in order of falling time, see :func:`cox_loss`.

    References
    ----------
    Breslow 1974, Biometrics, doi:10.2307/2529620.
    """

    event: Float[ndarray, " patient"]
    first: Int[ndarray, " patient"]
    last: Int[ndarray, " patient"]

    def _risk_sums(self, predictor: Columns, weights: Columns) -> tuple[Columns, Columns, ndarray]:
        highest = predictor.max(axis=0)
        hazard = weights * np.exp(predictor - highest)
        return hazard, np.cumsum(hazard, axis=0)[self.last], highest

    def _up_to_now(self, each: Columns) -> Columns:
        return np.cumsum(each[::-1], axis=0)[::-1][self.first]

    def value(self, predictor: Columns, weights: Columns) -> Float[ndarray, " member"]:
        """Return each member's negative log partial likelihood."""
        _, at_risk, highest = self._risk_sums(predictor, weights)
        deaths = weights * self.event[:, None]
        log_risk = np.log(np.where(at_risk > 0, at_risk, 1.0)) + highest
        return (deaths * (log_risk - predictor)).sum(axis=0)

    def slope(
        self, predictor: Columns, weights: Columns
    ) -> tuple[Columns, Columns, Callable[[Columns], Columns]]:
        """Return gradient, the curvature's diagonal part and curvature times a column."""
        hazard, at_risk, _ = self._risk_sums(predictor, weights)
        at_risk = np.where(at_risk > 0, at_risk, 1.0)
        deaths = weights * self.event[:, None]
        diagonal = hazard * self._up_to_now(deaths / at_risk)

        def curvature(column: Columns) -> Columns:
            means = np.cumsum(hazard * column, axis=0)[self.last] / at_risk
            return diagonal * column - hazard * self._up_to_now(deaths / at_risk * means)

        return diagonal - deaths, diagonal, curvature


def cox_loss(
    time: Float[ndarray, " patient"], event: Bool[ndarray, " patient"]
) -> tuple[CoxLoss, Int[ndarray, " patient"]]:
    """Return the loss and the order in which it wants the patients (falling time)."""
    order = np.argsort(-time, kind="stable")
    falling = time[order]
    first = np.searchsorted(-falling, -falling, side="left")
    last = np.searchsorted(-falling, -falling, side="right") - 1
    return CoxLoss(event[order].astype(float), first, last), order


@dataclass(frozen=True)
class Rotation:
    """A centred matrix in its principal axes.

    Attributes
    ----------
    scores
        Shape (patient, axis).
    axes
        Shape (feature, axis); features of new patients times ``axes`` are their scores.
    strength
        Shape (axis,), squared singular values.
    centre
        Shape (feature,), subtracted before rotating.
    """

    scores: Float[ndarray, "patient axis"]
    axes: Float[ndarray, "feature axis"]
    strength: Float[ndarray, " axis"]
    centre: Float[ndarray, " feature"]

    def of(self, features: Float[ndarray, "other feature"]) -> Float[ndarray, "other axis"]:
        """Return the scores of other patients."""
        return (features - self.centre) @ self.axes


def rotate(features: Float[ndarray, "patient feature"]) -> Rotation:
    """Return the principal axes by the smaller of the two Gram matrices."""
    centre = features.mean(axis=0)
    centred = features - centre
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    strength, vectors = np.linalg.eigh(gram)
    kept = strength > 1e-10 * max(strength.max(initial=0.0), 1e-300)
    strength, vectors = strength[kept], vectors[:, kept]
    if not wide:
        return Rotation(centred @ vectors, vectors, strength, centre)
    length = np.sqrt(strength)
    return Rotation(vectors * length, centred.T @ (vectors / length), strength, centre)


@dataclass(frozen=True)
class LinearFit:
    """Coefficients of each member in rotated space: intercept (member,), axes (axis, member)."""

    intercept: Float[ndarray, " member"]
    coefficients: Float[ndarray, "axis member"]

    def predictor(self, scores: Float[ndarray, "patient axis"]) -> Columns:
        """Return the linear predictor of each patient and member."""
        return scores @ self.coefficients + self.intercept


def fit_members(
    rotation: Rotation,
    loss: Loss,
    weights: Columns,
    penalties: Float[ndarray, " member"],
    *,
    intercept: bool = True,
    tolerance: float = 1e-10,
    most_steps: int = 100,
) -> LinearFit:
    """Minimise ``loss + penalty / 2 * |coefficients|^2`` for every member together.

    Parameters
    ----------
    weights
        Shape (patient, member); 0 leaves a patient out.
    penalties
        Shape (member,), positive; the intercept is not penalised. scikit-learn's ``C`` is
        ``1 / penalty``.
    tolerance
        Stop when the predicted fall of a member's loss is below this.

    Raises
    ------
    TrainingError
        If a member has not converged after ``most_steps`` Newton steps.
    """
    matrix = rotation.scores
    strength = rotation.strength
    ridge = np.repeat(penalties[None, :], matrix.shape[1], axis=0)
    if intercept:
        matrix = np.column_stack([matrix, np.ones(len(matrix))])
        strength = np.append(strength, float(len(matrix)))
        ridge = np.vstack([ridge, np.zeros(len(penalties))])
    result = np.zeros(ridge.shape)
    active = np.arange(len(penalties))
    predictor = np.zeros(weights.shape)
    for _ in range(most_steps):
        theta, penalty, weight = result[:, active], ridge[:, active], weights[:, active]
        gradient, diagonal, curvature = loss.slope(predictor, weight)
        downhill = -(matrix.T @ gradient + penalty * theta)
        metric = strength[:, None] * diagonal.mean(axis=0) + penalty + 1e-12
        open_ = (downhill**2 / metric).sum(axis=0) > 2.0 * tolerance
        if not open_.all():
            active = active[open_]
            if len(active) == 0:
                return _split(result, intercept)
            predictor, weight = predictor[:, open_], weight[:, open_]
            theta, penalty = theta[:, open_], penalty[:, open_]
            downhill, metric = downhill[:, open_], metric[:, open_]
            _, _, curvature = loss.slope(predictor, weight)
        step = _conjugate_gradients(matrix, curvature, penalty, downhill, metric)
        length, predictor = _shorten(loss, matrix, weight, penalty, theta, step, predictor)
        result[:, active] = theta + length * step
    raise TrainingError(
        f"{len(active)} of {len(penalties)} penalised fits did not converge in {most_steps} "
        "steps; raise the smallest penalty"
    )


def _split(result: ndarray, intercept: bool) -> LinearFit:
    if intercept:
        return LinearFit(result[-1], result[:-1])
    return LinearFit(np.zeros(result.shape[1]), result)


def _conjugate_gradients(
    matrix: ndarray,
    curvature: Callable[[Columns], Columns],
    penalty: ndarray,
    downhill: ndarray,
    metric: ndarray,
    most: int = 30,
) -> ndarray:
    step = np.zeros_like(downhill)
    residual = downhill
    direction = residual / metric
    size = (residual * direction).sum(axis=0)
    goal = size * np.minimum(0.01, np.sqrt(size) * 0.01)
    for _ in range(most):
        pushed = matrix.T @ curvature(matrix @ direction) + penalty * direction
        along = (direction * pushed).sum(axis=0)
        share = np.where(along > 0, size / np.where(along > 0, along, 1.0), 0.0)
        step = step + share * direction
        residual = residual - share * pushed
        scaled = residual / metric
        next_size = (residual * scaled).sum(axis=0)
        if (next_size <= goal).all():
            break
        ratio = np.where(size > 0, next_size / np.where(size > 0, size, 1.0), 0.0)
        direction = scaled + ratio * direction
        size = next_size
    return step


def _shorten(
    loss: Loss,
    matrix: ndarray,
    weight: Columns,
    penalty: ndarray,
    theta: ndarray,
    step: ndarray,
    predictor: Columns,
) -> tuple[Float[ndarray, " member"], Columns]:
    moved = matrix @ step

    def objective(length: ndarray) -> ndarray:
        ridge = 0.5 * (penalty * (theta + length * step) ** 2).sum(axis=0)
        return loss.value(predictor + length * moved, weight) + ridge

    length = np.ones(step.shape[1])
    before = objective(0.0 * length)
    slack = 1e-12 * (1.0 + np.abs(before))
    for _ in range(30):
        worse = objective(length) > before + slack
        if not worse.any():
            break
        length = np.where(worse, 0.5 * length, length)
    return length, predictor + length * moved
