"""Tree baselines: forests of randomised trees, and boosted hazards of person-periods."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
)

from omics_twin.evaluate.design import (
    COMPONENTS,
    WIDE_DESIGN,
    Design,
    Outcome,
    Recipe,
    fit_recipe,
)
from omics_twin.intake.declaration import OutcomeKind

TREES = 300
SMALLEST_LEAF = 5
PERIODS = 12


@dataclass(frozen=True)
class TreeBaseline:
    """Trees fitted on some patients of a design.

    Attributes
    ----------
    ends
        Time to event only: the end of each period, the last the end of follow-up [day].
    """

    recipe: Recipe
    model: ExtraTreesClassifier | ExtraTreesRegressor | HistGradientBoostingClassifier
    outcome: Outcome
    ends: Float[ndarray, " period"]

    def predict(
        self, values: Float[ndarray, "patient feature"], arms: Int[ndarray, " patient"]
    ) -> ndarray:
        """Return probability, value (patient,) or survival (patient, time) under ``arms``."""
        features = _features(self.recipe, values, arms)
        if self.outcome.kind is OutcomeKind.BINARY:
            return self.model.predict_proba(features)[:, 1]
        if self.outcome.kind is OutcomeKind.CONTINUOUS:
            return self.model.predict(features)
        return _survival(self.model, features, self.ends, self.outcome.followed[1])


def fit_trees(
    design: Design, outcome: Outcome, train: Int[ndarray, " train"], *, seed: int
) -> TreeBaseline:
    """Fit the trees that suit the outcome; wide modalities enter as principal components.

    References
    ----------
    Geurts, Ernst and Wehenkel 2006, Machine Learning, doi:10.1007/s10994-006-6226-1.
    Discrete-time hazards: Tutz and Schmid 2016, doi:10.1007/978-3-319-28158-2.
    """
    components = COMPONENTS if design.values.shape[1] > WIDE_DESIGN else 0
    recipe = fit_recipe(design, train, components=components)
    features = _features(recipe, design.values[train], design.arms[train])
    values = outcome.values[train]
    ends = np.zeros(0)
    shape = {
        "n_estimators": TREES,
        "min_samples_leaf": SMALLEST_LEAF,
        "max_features": 1.0 / 3.0,
        "random_state": seed,
        "n_jobs": 1,
    }
    if outcome.kind is OutcomeKind.BINARY:
        model = ExtraTreesClassifier(**shape).fit(features, values)
    elif outcome.kind is OutcomeKind.CONTINUOUS:
        model = ExtraTreesRegressor(**shape).fit(features, values)
    else:
        event = outcome.followed[0][train]
        ends = _period_ends(values, event)
        model = _fit_hazard(features, values, event, ends, seed)
    return TreeBaseline(recipe, model, outcome, ends)


def _features(recipe: Recipe, values: ndarray, arms: ndarray) -> ndarray:
    markers = recipe.markers(recipe.standardised(values))
    blocks = [recipe.arms(arms), recipe.therapies(arms), recipe.missing(values), markers]
    return np.hstack(blocks).astype(np.float32)


def _period_ends(time: ndarray, event: ndarray) -> Float[ndarray, " period"]:
    """Cut follow-up into periods with about as many events each."""
    inner = np.unique(np.quantile(time[event], np.linspace(0, 1, PERIODS + 1)[1:-1]))
    return np.append(inner[(inner > 0) & (inner < time.max())], time.max())


def _fit_hazard(
    features: ndarray, time: ndarray, event: ndarray, ends: ndarray, seed: int
) -> HistGradientBoostingClassifier:
    """Fit the chance of an event in a period; a last, part-seen period counts by its share."""
    last = np.searchsorted(ends, time, side="left")
    patient, period = np.nonzero(np.arange(len(ends)) <= last[:, None])
    starts = np.append(0.0, ends[:-1])
    final = period == last[patient]
    dies = final & event[patient]
    seen = (time[patient] - starts[period]) / (ends - starts)[period]
    share = np.where(final & ~dies, np.clip(seen, 0.0, 1.0), 1.0)
    used = share > 0
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=6,
        min_samples_leaf=40,
        l2_regularization=10.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    rows = np.column_stack([features[patient], period])[used]
    return model.fit(rows, dies[used].astype(int), sample_weight=share[used])


def _survival(
    model: HistGradientBoostingClassifier, features: ndarray, ends: ndarray, grid_days: ndarray
) -> Float[ndarray, "patient time"]:
    """Interpolate the cumulative hazard linearly; after follow-up the last rate goes on."""
    periods = len(ends)
    rows = np.repeat(features, periods, axis=0)
    rows = np.column_stack([rows, np.tile(np.arange(periods), len(features))])
    hazard = model.predict_proba(rows)[:, 1].reshape(len(features), periods)
    steps = -np.log1p(-np.clip(hazard, 0.0, 1.0 - 1e-9))
    total = np.column_stack([np.zeros(len(features)), np.cumsum(steps, axis=1)])
    knots = np.append(0.0, ends)
    place = np.clip(np.searchsorted(knots, grid_days, side="right") - 1, 0, periods - 1)
    part = (grid_days - knots[place]) / (knots[place + 1] - knots[place])
    return np.exp(-(total[:, place] * (1.0 - part) + total[:, place + 1] * part))
