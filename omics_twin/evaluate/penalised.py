"""Ridge-penalised linear models, many penalties and training subsets at once.

All members (penalty x training subset) share one rotated matrix; a member is a column of weights.
Newton steps are solved by conjugate gradients whose preconditioner is diagonal in the rotated
space, so that a whole cross-validated path costs a few dozen matrix products. Centring the
features of each training subset anew would change nothing: the partial likelihood and a free
intercept do not see it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.errors import TrainingError
from omics_twin.evaluate.losses import Columns, Loss

# Penalties of a path fitted together: few enough to begin near, enough for one wide product.
STRETCH = 10


@dataclass(frozen=True)
class Rotation:
    """A centred matrix in its principal axes.

    The axes themselves, (feature, axis), are never formed: that would cost as much as finding
    them, and a model needs few combinations of them.

    Attributes
    ----------
    scores
        Shape (patient, axis).
    strength
        Shape (axis,), squared singular values.
    centre
        Shape (feature,), subtracted before rotating.
    centred
        Shape (patient, feature), what was rotated.
    """

    scores: Float[ndarray, "patient axis"]
    strength: Float[ndarray, " axis"]
    centre: Float[ndarray, " feature"]
    centred: Float[ndarray, "patient feature"]

    def coefficients(
        self, rotated: Float[ndarray, "axis member"]
    ) -> Float[ndarray, "feature member"]:
        """Return the features' coefficients of linear models that are fitted to the scores."""
        return self.centred.T @ (self.scores @ (rotated / self.strength[:, None]))


def rotate(features: Float[ndarray, "patient feature"]) -> Rotation:
    """Return the principal axes by the smaller of the two Gram matrices.

    Examples
    --------
    >>> rotate(np.array([[1.0, 1.0], [3.0, 3.0]])).strength
    array([4.])
    """
    centre = features.mean(axis=0)
    centred = features - centre
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    strength, vectors = np.linalg.eigh(gram)
    kept = strength > 1e-10 * max(strength.max(initial=0.0), 1e-300)
    strength, vectors = strength[kept], vectors[:, kept]
    scores = vectors * np.sqrt(strength) if wide else centred @ vectors
    return Rotation(scores, strength, centre, centred)


@dataclass(frozen=True)
class LinearFit:
    """Each member's intercept (member,) and coefficients in rotated space (axis, member)."""

    intercept: Float[ndarray, " member"]
    rotated: Float[ndarray, "axis member"]

    def predictor(self, scores: Float[ndarray, "patient axis"]) -> Columns:
        """Return the linear predictor of each patient and member."""
        return scores @ self.rotated + self.intercept


def fit_path(
    rotation: Rotation,
    loss: Loss,
    subsets: Float[ndarray, "patient subset"],
    penalties: Float[ndarray, " penalty"],
    *,
    intercept: bool = True,
    tolerance: float = 1e-10,
) -> LinearFit:
    """Fit every penalty on every training subset; members are in the order (subset, penalty).

    A stretch of neighbouring penalties is fitted together and begins where the last one ended.

    Parameters
    ----------
    subsets
        Shape (patient, subset), weights of patients; 0 leaves a patient out.
    penalties, tolerance
        See :func:`fit_members`.

    Examples
    --------
    >>> from omics_twin.evaluate.losses import SquaredLoss
    >>> rotation = rotate(np.array([[-1.0], [1.0]]))
    >>> loss = SquaredLoss(np.array([0.0, 4.0]))
    >>> fit = fit_path(rotation, loss, np.ones((2, 1)), np.array([2.0, 6.0]))
    >>> rotation.coefficients(fit.rotated).round(6), fit.intercept.round(6)
    (array([[1. , 0.5]]), array([2., 2.]))
    """
    falling = np.argsort(-penalties, kind="stable")
    count = subsets.shape[1]
    rotated = np.zeros((rotation.scores.shape[1], count, len(penalties)))
    intercepts = np.zeros((count, len(penalties)))
    start = None
    for begin in range(0, len(penalties), STRETCH):
        among = falling[begin : begin + STRETCH]
        fit = fit_members(
            rotation,
            loss,
            np.repeat(subsets, len(among), axis=1),
            np.tile(penalties[among], count),
            intercept=intercept,
            tolerance=tolerance,
            start=start,
        )
        rotated[:, :, among] = fit.rotated.reshape(-1, count, len(among))
        intercepts[:, among] = fit.intercept.reshape(count, -1)
        following = len(falling[begin + STRETCH : begin + 2 * STRETCH])
        start = LinearFit(
            np.repeat(intercepts[:, among[-1]], following),
            np.repeat(rotated[:, :, among[-1]], following, axis=1),
        )
    return LinearFit(intercepts.ravel(), rotated.reshape(len(rotated), -1))


def fit_members(
    rotation: Rotation,
    loss: Loss,
    weights: Columns,
    penalties: Float[ndarray, " member"],
    *,
    intercept: bool = True,
    tolerance: float = 1e-10,
    most_steps: int = 100,
    start: LinearFit | None = None,
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
    start
        Where to begin; at zero unless given.

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
    if start is not None:
        result[: len(start.rotated)] = start.rotated
        result[len(start.rotated) :] = start.intercept
    active = np.arange(len(penalties))
    predictor = matrix @ result
    for _ in range(most_steps):
        weight, penalty = weights[:, active], ridge[:, active]
        gradient, diagonal, curvature = loss.slope(predictor, weight)
        downhill = -(matrix.T @ gradient + penalty * result[:, active])
        metric = strength[:, None] * diagonal.mean(axis=0) + penalty + 1e-12
        open_ = (downhill**2 / metric).sum(axis=0) > 2.0 * tolerance
        if not open_.any():
            return _split(result, intercept)
        if not open_.all():
            active, predictor = active[open_], predictor[:, open_]
            weight, penalty = weight[:, open_], penalty[:, open_]
            downhill, metric = downhill[:, open_], metric[:, open_]
        step = _conjugate_gradients(loss, matrix, predictor, weight, penalty, downhill, metric)
        theta = result[:, active]
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
    loss: Loss,
    matrix: ndarray,
    predictor: Columns,
    weight: Columns,
    penalty: ndarray,
    downhill: ndarray,
    metric: ndarray,
    most: int = 100,
) -> ndarray:
    """Return Newton's step, the more exact the closer a member is to its optimum."""
    result = np.zeros_like(downhill)
    going = np.arange(downhill.shape[1])
    _, _, curvature = loss.slope(predictor, weight)
    step, residual, direction = result.copy(), downhill, downhill / metric
    size = (residual * direction).sum(axis=0)
    goal = size * np.minimum(0.01, np.sqrt(size) * 0.01)
    for _ in range(most):
        pushed = matrix.T @ curvature(matrix @ direction) + penalty * direction
        share = size / np.maximum((direction * pushed).sum(axis=0), 1e-300)
        step += share * direction
        residual = residual - share * pushed
        scaled = residual / metric
        next_size = (residual * scaled).sum(axis=0)
        direction = scaled + next_size / np.maximum(size, 1e-300) * direction
        size = next_size
        open_ = size > goal
        if open_.mean() < 0.8:
            result[:, going[~open_]] = step[:, ~open_]
            going, size, goal = going[open_], size[open_], goal[open_]
            if len(going) == 0:
                return result
            step, residual, direction, penalty, metric, predictor, weight = (
                each[:, open_]
                for each in (step, residual, direction, penalty, metric, predictor, weight)
            )
            _, _, curvature = loss.slope(predictor, weight)
    result[:, going] = step
    return result


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
