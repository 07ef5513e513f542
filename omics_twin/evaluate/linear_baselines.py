"""Penalised linear baselines: ridge, therapy x marker products, elastic net, components."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.special import expit

from omics_twin.evaluate.design import COMPONENTS, Design, Outcome, Recipe, fit_recipe
from omics_twin.evaluate.elastic_net import strongest_penalties, walk_path
from omics_twin.evaluate.losses import CoxLoss, LogisticLoss, Loss, SquaredLoss, cox_loss
from omics_twin.evaluate.penalised import Rotation, fit_path, rotate
from omics_twin.intake.declaration import OutcomeKind

PENALTIES = np.logspace(0.0, 4.5, 10)
INTERACTION_SCALES = (0.1, 0.3, 1.0)
WIDE_SCALES = (1.0, 0.3, 0.1)
MIXINGS = np.array([0.1, 0.5, 1.0])
# Shares of the penalty that leaves nothing, and how many in vain end an elastic net's search.
SHARES = np.geomspace(1.0, 0.02, 20)
PATIENCE = 4
COMPONENT_COUNTS = (5, 10, 20, 40)
INNER_FOLDS = 5


class Blocks(NamedTuple):
    """How blocks of features enter; a scale multiplies a penalty by ``1/scale**2``.

    Attributes
    ----------
    wide
        What modalities of more than a hundred features are multiplied by, so that they do not
        drown the others.
    interactions
        What therapy x marker products are multiplied by; 0: none.
    components
        How many principal components stand in for each wide modality; 0: the modality itself.
    """

    wide: float = 1.0
    interactions: float = 0.0
    components: int = 0


@dataclass(frozen=True)
class LinearBaseline:
    """A penalised linear model fitted on some patients of a design.

    Attributes
    ----------
    coefficients, intercept
        Of the features that ``recipe`` and ``blocks`` make, (column,) and one number.
    penalty, mixing, blocks
        What inner cross-validation chose; mixing 0 is ridge, 1 the lasso.
    cumulative_hazard
        Time to event only: Breslow's baseline at the grid (time,).
    """

    recipe: Recipe
    blocks: Blocks
    coefficients: Float[ndarray, " column"]
    intercept: float
    penalty: float
    mixing: float
    kind: OutcomeKind
    cumulative_hazard: Float[ndarray, " time"]

    def predict(
        self, values: Float[ndarray, "patient feature"], arms: Int[ndarray, " patient"]
    ) -> ndarray:
        """Return probability, value (patient,) or survival (patient, time) under ``arms``."""
        features = _features(self.recipe, values, arms, self.blocks)
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
    training = _prepare(design, outcome, train, rng, COMPONENTS if interactions else 0)
    wide = training.recipe.wide
    mixed = wide.any() and not wide.all()
    main = [Blocks(wide=scale) for scale in (WIDE_SCALES if mixed else (1.0,))]
    if not interactions:
        return training.ridge(main)
    # The wide scale is chosen before interactions, so that the search stays a sum of two.
    chosen = training.best(main).blocks.wide if mixed else 1.0
    return training.ridge([Blocks(chosen, scale) for scale in INTERACTION_SCALES])


def fit_components(
    design: Design, outcome: Outcome, train: Int[ndarray, " train"], *, rng: np.random.Generator
) -> LinearBaseline:
    """Fit a ridge model in which a few principal components stand in for each wide modality.

    Inner cross-validation on ``train`` chooses their number and the penalty. They are those of
    all training patients, whose outcomes have no part in them.

    References
    ----------
    Bair, Hastie, Paul and Tibshirani 2006, J. American Statistical Association,
    doi:10.1198/016214505000000628.
    """
    training = _prepare(design, outcome, train, rng, max(COMPONENT_COUNTS))
    return training.ridge([Blocks(components=count) for count in COMPONENT_COUNTS])


def fit_elastic_net(
    design: Design, outcome: Outcome, train: Int[ndarray, " train"], *, rng: np.random.Generator
) -> LinearBaseline:
    """Fit an elastic net whose penalty and mixing inner cross-validation on ``train`` chooses.

    References
    ----------
    Zou and Hastie 2005, J. Royal Statistical Society B, doi:10.1111/j.1467-9868.2005.00503.x.
    """
    training = _prepare(design, outcome, train, rng, 0)
    blocks, free = Blocks(), not isinstance(training.loss, CoxLoss)
    features = np.asfortranarray(training.features(blocks))
    penalties = SHARES[:, None] * strongest_penalties(
        features, training.loss, MIXINGS, intercept=free
    )
    step, mix = _best_step(features, training, penalties)
    *_, last = walk_path(
        features,
        training.loss,
        np.ones((len(features), 1)),
        MIXINGS[[mix]],
        penalties[: step + 1, [mix]],
        intercept=free,
    )
    found = _Found(blocks, float(penalties[step, mix]), float(MIXINGS[mix]))
    return training.fitted(found, last.coefficients[:, 0], float(last.intercept[0]))


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


class _Chosen(NamedTuple):
    score: float
    penalty: float
    blocks: Blocks
    rotation: Rotation


class _Found(NamedTuple):
    blocks: Blocks
    penalty: float
    mixing: float


@dataclass(frozen=True)
class _Training:
    """The training patients, in the order that the loss wants."""

    recipe: Recipe
    loss: Loss
    outcome: Outcome
    train: Int[ndarray, " train"]
    folds: Int[ndarray, " train"]
    values: Float[ndarray, "train feature"]
    arms: Int[ndarray, " train"]

    def features(self, blocks: Blocks) -> Float[ndarray, "train column"]:
        return _features(self.recipe, self.values, self.arms, blocks)

    def best(self, candidates: Iterable[Blocks]) -> _Chosen:
        tried = []
        for blocks in candidates:
            rotation = rotate(self.features(blocks))
            scores = _path_loss(rotation, self.loss, self.folds)
            lowest = int(np.argmin(scores))
            tried.append(_Chosen(float(scores[lowest]), PENALTIES[lowest], blocks, rotation))
        return min(tried, key=lambda each: each.score)

    def ridge(self, candidates: Iterable[Blocks]) -> LinearBaseline:
        _, penalty, blocks, rotation = self.best(candidates)
        everyone, free = np.ones((len(self.train), 1)), not isinstance(self.loss, CoxLoss)
        fit = fit_path(rotation, self.loss, everyone, np.array([penalty]), intercept=free)
        coefficients = rotation.coefficients(fit.rotated)[:, 0]
        intercept = float(fit.intercept[0] - rotation.centre @ coefficients)
        return self.fitted(_Found(blocks, penalty, 0.0), coefficients, intercept)

    def fitted(self, found: _Found, coefficients: ndarray, intercept: float) -> LinearBaseline:
        hazard = np.zeros(0)
        if self.outcome.kind is OutcomeKind.TIME_TO_EVENT:
            event, grid_days = self.outcome.followed
            predictor = self.features(found.blocks) @ coefficients + intercept
            time = self.outcome.values[self.train]
            hazard = breslow_hazard(predictor, time, event[self.train], grid_days)
        return LinearBaseline(
            recipe=self.recipe,
            blocks=found.blocks,
            coefficients=coefficients,
            intercept=intercept,
            penalty=found.penalty,
            mixing=found.mixing,
            kind=self.outcome.kind,
            cumulative_hazard=hazard,
        )


def _prepare(
    design: Design, outcome: Outcome, train: ndarray, rng: np.random.Generator, components: int
) -> _Training:
    loss, order = _loss(outcome, train)
    train = train[order]
    recipe = fit_recipe(design, train, components=components)
    folds = inner_folds(outcome, train, rng)
    return _Training(recipe, loss, outcome, train, folds, design.values[train], design.arms[train])


def _loss(outcome: Outcome, train: ndarray) -> tuple[Loss, ndarray]:
    values = outcome.values[train]
    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        return cox_loss(values, outcome.followed[0][train])
    made = LogisticLoss if outcome.kind is OutcomeKind.BINARY else SquaredLoss
    return made(values), np.arange(len(train))


def _features(recipe: Recipe, values: ndarray, arms: ndarray, blocks: Blocks) -> ndarray:
    standard = recipe.standardised(values)
    if blocks.components > 0:
        main = recipe.markers(standard, blocks.components)
    else:
        main = standard * np.where(recipe.wide, blocks.wide, 1.0)
    made = [recipe.arms(arms), main, recipe.missing(values)]
    if blocks.interactions > 0.0:
        therapies, markers = recipe.therapies(arms), recipe.markers(standard, COMPONENTS)
        products = therapies[:, :, None] * markers[:, None, :]
        made.append(blocks.interactions * products.reshape(len(values), -1))
    return np.hstack(made)


def _inside(folds: ndarray) -> Float[ndarray, "patient fold"]:
    return (folds[:, None] != np.arange(INNER_FOLDS)).astype(float)


def _path_loss(rotation: Rotation, loss: Loss, folds: ndarray) -> Float[ndarray, " penalty"]:
    inside, free = _inside(folds), not isinstance(loss, CoxLoss)
    fit = fit_path(rotation, loss, inside, PENALTIES, intercept=free, tolerance=1e-4)
    weights = np.repeat(inside, len(PENALTIES), axis=1)
    left_out = _left_out(loss, fit.predictor(rotation.scores), weights)
    return left_out.reshape(INNER_FOLDS, -1).sum(axis=0)


def _best_step(
    features: ndarray, training: _Training, penalties: Float[ndarray, "step mix"]
) -> tuple[int, int]:
    """Return the step and mixing of the lowest cross-validated loss."""
    weights = np.repeat(_inside(training.folds), len(MIXINGS), axis=1)
    tried: list[ndarray] = []
    for fit in walk_path(
        features,
        training.loss,
        weights,
        np.tile(MIXINGS, INNER_FOLDS),
        np.tile(penalties, INNER_FOLDS),
        intercept=not isinstance(training.loss, CoxLoss),
    ):
        left_out = _left_out(training.loss, fit.predictor, weights)
        tried.append(left_out.reshape(INNER_FOLDS, -1).sum(axis=0))
        if len(tried) > PATIENCE + np.argmin(tried, axis=0).max():
            break
    step, mix = np.unravel_index(np.argmin(tried), np.shape(tried))
    return int(step), int(mix)


def _left_out(loss: Loss, predictor: ndarray, weights: ndarray) -> Float[ndarray, " member"]:
    """Return each member's loss of the patients it was not trained on."""
    if isinstance(loss, CoxLoss):
        return loss.value(predictor, np.ones_like(weights)) - loss.value(predictor, weights)
    return loss.value(predictor, 1.0 - weights)
