"""Small trials whose truth is known: several arms, strata with closed arms, confounding or not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy.special import expit

# Stratum x arm: the last arm is open to the second stratum only, the third is closed to the third.
OPEN = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 0, 0]], dtype=bool)
RANDOMISED = np.array([[0.4, 0.3, 0.3, 0.0], [0.2, 0.3, 0.3, 0.2], [0.6, 0.4, 0.0, 0.0]])
LEVEL = np.array([-0.8, 0.2, -0.2])
ARM = np.array([0.0, 0.3, 0.1, 0.5])
MARKER = np.array([0.0, 0.9, -0.7, 0.3])
STEER = np.array([0.0, 0.6, -0.5, 0.4])


class Trial(NamedTuple):
    """What was seen, and what is true: ``mean`` is P(outcome) or the restricted mean time."""

    features: ndarray
    strata: ndarray
    arms: ndarray
    outcome: ndarray
    propensity: ndarray
    mean: ndarray


def patients(rng: np.random.Generator, count: int) -> tuple[ndarray, ndarray]:
    """Return features (patient, 2) and strata."""
    return rng.normal(size=(count, 2)), rng.choice(3, size=count, p=[0.4, 0.35, 0.25])


def index(features: ndarray, strata: ndarray) -> ndarray:
    """Return each patient's linear predictor under each arm."""
    marker, severity = features.T
    return (LEVEL[strata] + 0.8 * severity)[:, None] + ARM + marker[:, None] * MARKER


def assign(
    rng: np.random.Generator, features: ndarray, strata: ndarray, confounded: bool
) -> tuple[ndarray, ndarray]:
    """Return arms received and the true propensity; sicker patients get other arms."""
    chance = RANDOMISED[strata]
    if confounded:
        chance = chance * np.exp((features.sum(axis=1))[:, None] * STEER)
        chance = chance / chance.sum(axis=1, keepdims=True)
    arms = (chance.cumsum(axis=1) < rng.random(len(strata))[:, None]).sum(axis=1)
    return np.minimum(arms, 3), chance


def response(rng: np.random.Generator, count: int, confounded: bool) -> Trial:
    """Return a trial with a binary outcome."""
    features, strata = patients(rng, count)
    arms, chance = assign(rng, features, strata, confounded)
    mean = expit(index(features, strata))
    outcome = (rng.random(count) < mean[np.arange(count), arms]).astype(float)
    return Trial(features, strata, arms, outcome, chance, mean)


HORIZON = 18.0


class FollowUp(NamedTuple):
    """A trial with times; censoring differs between arms."""

    trial: Trial
    time: ndarray
    event: ndarray


def survival(rng: np.random.Generator, count: int, confounded: bool) -> FollowUp:
    """Return a trial with exponential times and the true restricted mean until HORIZON."""
    features, strata = patients(rng, count)
    arms, chance = assign(rng, features, strata, confounded)
    rate = np.exp(-0.6 * index(features, strata)) / 15.0
    onset = rng.exponential(1.0 / rate[np.arange(count), arms])
    leaving = rng.uniform(6.0, np.array([60.0, 40.0, 30.0, 50.0])[arms])
    mean = (1.0 - np.exp(-rate * HORIZON)) / rate
    trial = Trial(features, strata, arms, np.minimum(onset, HORIZON), chance, mean)
    return FollowUp(trial, np.minimum(onset, leaving), (onset <= leaving).astype(float))


def by_marker(features: ndarray, strata: ndarray) -> ndarray:
    """Return a rule that respects what is open: by the marker, and a reserve."""
    first = np.where(features[:, 0] > 0, 1, np.where(OPEN[strata, 2], 2, 0))
    return np.where((strata == 1) & (features[:, 1] > 0.5), 3, first)


def design(features: ndarray, strata: ndarray) -> ndarray:
    """Return covariates for models: features and indicators of the strata."""
    return np.column_stack([features, np.eye(3)[strata]])


def linear_predictions(trial: Trial, held_out: ndarray, ridge: float = 1.0) -> ndarray:
    """Return each arm's outcome by ridge regression, without the patient's own fold."""
    rows = np.column_stack([np.ones(len(trial.arms)), design(trial.features, trial.strata)])
    made = np.empty((len(trial.arms), 4))
    for fold in np.unique(held_out):
        for arm in range(4):
            train = (held_out != fold) & (trial.arms == arm)
            gram = rows[train].T @ rows[train] + ridge * np.eye(rows.shape[1])
            weights = np.linalg.solve(gram, rows[train].T @ trial.outcome[train])
            made[held_out == fold, arm] = rows[held_out == fold] @ weights
    return made
