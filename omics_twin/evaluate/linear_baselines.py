"""Ridge baselines with and without therapy x marker interactions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import expit

from omics_twin.evaluate.design import Design, Outcome, Recipe, fit_recipe
from omics_twin.evaluate.losses import CoxLoss, LogisticLoss, Loss, SquaredLoss, cox_loss
from omics_twin.evaluate.penalised import Rotation, fit_path, rotate
from omics_twin.intake.declaration import OutcomeKind

PENALTIES = np.logspace(0.0, 4.5, 10)
INTERACTION_SCALES = (0.1, 0.3, 1.0)
WIDE_SCALES = (1.0, 0.3, 0.1)
INNER_FOLDS = 5


class Scales(NamedTuple):
    """What blocks of features are multiplied by; a scale multiplies a penalty by ``1/scale**2``.

    Attributes
    ----------
    wide
        For modalities of more than a hundred features, so that they do not drown the others.
    interactions
        For therapy x marker products; 0: none.
    """

    wide: float
    interactions: float


@dataclass(frozen=True)
class LinearBaseline:
    """A ridge model fitted on some patients of a design.

    Attributes
    ----------
    coefficients, intercept
        Of the features that ``recipe`` and ``scales`` make, (column,) and one number.
    penalty, scales
        What inner cross-validation chose.
    cumulative_hazard
        Time to event only: Breslow's baseline at the grid (time,).
    """

    recipe: Recipe
    coefficients: Float[ndarray, " column"]
    intercept: float
    penalty: float
    scales: Scales
    kind: OutcomeKind
    cumulative_hazard: Float[ndarray, " time"]

    def predict(
        self, values: Float[ndarray, "patient feature"], arms: Int[ndarray, " patient"]
    ) -> ndarray:
        """Return probability, value (patient,) or survival (patient, time) under ``arms``."""
        features = _features(self.recipe, values, arms, self.scales)
        predictor = features @ self.coefficients + self.intercept
        if self.kind is OutcomeKind.BINARY:
            return expit(predictor)
        if self.kind is OutcomeKind.CONTINUOUS:
            return predictor
        return np.exp(-np.exp(predictor)[:, None] * self.cumulative_hazard)


def fit_linear(
    design: Design,
    outcome: Outcome,
    train: Int[ndarray, " train"],
    *,
    interactions: bool,
    rng: np.random.Generator,
) -> LinearBaseline:
    """Fit a ridge model whose penalties inner cross-validation on ``train`` chooses.

    The criterion is log loss, squared error or, for time to event, the cross-validated partial
    likelihood.

    References
    ----------
    Verweij and van Houwelingen 1993, Statistics in Medicine, doi:10.1002/sim.4780122407.
    Own penalties of modalities: Boulesteix et al. 2017, doi:10.1155/2017/7691937.
    """
    loss, order = _loss(outcome, train)
    train = train[order]
    recipe = fit_recipe(design, train, components=interactions)
    folds = inner_folds(outcome, train, rng)
    values, arms = design.values[train], design.arms[train]

    def best(candidates: Iterable[Scales]) -> _Chosen:
        tried = []
        for scales in candidates:
            rotation = rotate(_features(recipe, values, arms, scales))
            scores = _path_loss(rotation, loss, folds)
            lowest = int(np.argmin(scores))
            tried.append(_Chosen(float(scores[lowest]), PENALTIES[lowest], scales, rotation))
        return min(tried, key=lambda each: each.score)

    mixed = recipe.wide.any() and not recipe.wide.all()
    main = [Scales(wide, 0.0) for wide in (WIDE_SCALES if mixed else (1.0,))]
    # The wide scale is chosen before interactions, so that the search stays a sum of two.
    wide = best(main).scales.wide if interactions and mixed else 1.0
    crossed = [Scales(wide, scale) for scale in INTERACTION_SCALES]
    _, penalty, scales, rotation = best(crossed if interactions else main)
    everyone, cox = np.ones((len(train), 1)), isinstance(loss, CoxLoss)
    fit = fit_path(rotation, loss, everyone, np.array([penalty]), intercept=not cox)
    coefficients = rotation.coefficients(fit.rotated)[:, 0]
    intercept = float(fit.intercept[0] - rotation.centre @ coefficients)
    hazard = _hazard(outcome, train, fit.predictor(rotation.scores)[:, 0])
    return LinearBaseline(recipe, coefficients, intercept, penalty, scales, outcome.kind, hazard)


def _hazard(outcome: Outcome, train: ndarray, predictor: ndarray) -> Float[ndarray, " time"]:
    if outcome.kind is not OutcomeKind.TIME_TO_EVENT:
        return np.zeros(0)
    event, grid_days = outcome.followed
    return breslow_hazard(predictor, outcome.values[train], event[train], grid_days)


def breslow_hazard(
    predictor: Float[ndarray, " patient"],
    time: Float[ndarray, " patient"],
    event: ndarray,
    grid_days: Float[ndarray, " time"],
) -> Float[ndarray, " time"]:
    """Return Breslow's cumulative baseline hazard at the grid.

    Examples
    --------
    >>> breslow_hazard(np.zeros(2), np.array([1.0, 2.0]), np.array([1, 1]), np.array([0.5, 2.0]))
    array([0. , 1.5])

    References
    ----------
    Breslow 1974, Biometrics, doi:10.2307/2529620.
    """
    order = np.argsort(time, kind="stable")
    rising = time[order]
    at_risk = np.cumsum(np.exp(predictor[order])[::-1])[::-1]
    steps = event[order] / at_risk[np.searchsorted(rising, rising, side="left")]
    total = np.append(0.0, np.cumsum(steps))
    return total[np.searchsorted(rising, grid_days, side="right")]


def inner_folds(
    outcome: Outcome, train: Int[ndarray, " train"], rng: np.random.Generator
) -> Int[ndarray, " train"]:
    """Return a fold for each training patient, balanced over classes, events or values."""
    values = outcome.values[train]
    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        values = outcome.followed[0][train].astype(float)
    folds = np.empty(len(train), dtype=int)
    folds[np.lexsort((rng.random(len(train)), values))] = np.arange(len(train)) % INNER_FOLDS
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return rng.permutation(folds)
    return folds


def _loss(outcome: Outcome, train: ndarray) -> tuple[Loss, ndarray]:
    values = outcome.values[train]
    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        return cox_loss(values, outcome.followed[0][train])
    made = LogisticLoss if outcome.kind is OutcomeKind.BINARY else SquaredLoss
    return made(values), np.arange(len(train))


class _Chosen(NamedTuple):
    score: float
    penalty: float
    scales: Scales
    rotation: Rotation


def _features(recipe: Recipe, values: ndarray, arms: ndarray, scales: Scales) -> ndarray:
    standard = recipe.standardised(values)
    sized = standard * np.where(recipe.wide, scales.wide, 1.0)
    blocks = [recipe.arms(arms), sized, recipe.missing(values)]
    if scales.interactions > 0.0:
        therapies, markers = recipe.therapies(arms), recipe.markers(standard)
        products = therapies[:, :, None] * markers[:, None, :]
        blocks.append(scales.interactions * products.reshape(len(values), -1))
    return np.hstack(blocks)


def _path_loss(rotation: Rotation, loss: Loss, folds: ndarray) -> Float[ndarray, " penalty"]:
    inside = (folds[:, None] != np.arange(INNER_FOLDS)).astype(float)
    cox = isinstance(loss, CoxLoss)
    fit = fit_path(rotation, loss, inside, PENALTIES, intercept=not cox, tolerance=1e-4)
    weights = np.repeat(inside, len(PENALTIES), axis=1)
    left_out = _left_out(loss, fit.predictor(rotation.scores), weights)
    return left_out.reshape(INNER_FOLDS, -1).sum(axis=0)


def _left_out(loss: Loss, predictor: ndarray, weights: ndarray) -> Float[ndarray, " member"]:
    """Return each member's loss of the patients it was not trained on."""
    if isinstance(loss, CoxLoss):
        return loss.value(predictor, np.ones_like(weights)) - loss.value(predictor, weights)
    return loss.value(predictor, 1.0 - weights)
