"""Baselines fitted on the same folds as the twin they are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError, ConfigError, nearest
from omics_twin.evaluate.design import Design, Outcome, wide_features
from omics_twin.evaluate.linear_baselines import (
    INNER_FOLDS,
    LinearBaseline,
    fit_components,
    fit_elastic_net,
    fit_linear,
)
from omics_twin.evaluate.tree_baselines import TreeBaseline, fit_trees
from omics_twin.intake.declaration import OutcomeKind

NAMES = {
    OutcomeKind.BINARY: (
        "logistic",
        "logistic_interactions",
        "elastic_net_logistic",
        "pca_logistic",
        "trees",
    ),
    OutcomeKind.TIME_TO_EVENT: (
        "ridge_cox",
        "ridge_cox_interactions",
        "elastic_net_cox",
        "pca_cox",
        "survival_trees",
    ),
    OutcomeKind.CONTINUOUS: ("ridge", "ridge_interactions", "elastic_net", "pca_ridge", "trees"),
}


class HeldOut(NamedTuple):
    """Predictions for patients who were not trained on.

    Attributes
    ----------
    received
        Under the therapy received: (repeat, patient), with a last axis ``time`` for survival.
        NaN where a patient was never held out.
    every_arm
        Under each arm: (repeat, patient, arm), with a last axis ``time``; ``None`` unless asked.
    """

    received: Float[ndarray, "repeat patient *time"]
    every_arm: Float[ndarray, "repeat patient arm *time"] | None


def baselines_for(kind: OutcomeKind, design: Design) -> tuple[str, ...]:
    """Return the names of the baselines for a kind of outcome that suit a design.

    Principal components are for modalities of more than a hundred features; one arm interacts
    with nothing.

    Examples
    --------
    >>> design = Design(np.array([[1.0], [3.0]]), ("a",), ("m",), np.array([False]),
    ...                 np.array([0, 0]), ("x",), np.zeros((1, 0)), ())
    >>> baselines_for(OutcomeKind.BINARY, design)
    ('logistic', 'elastic_net_logistic', 'trees')
    """
    wide, several = wide_features(design).any(), len(design.arm_names) > 1
    return tuple(
        name
        for name in NAMES[kind]
        if (wide or not name.startswith("pca")) and (several or not name.endswith("interactions"))
    )


def fit_baseline(
    name: str, design: Design, outcome: Outcome, train: Int[ndarray, " train"], *, seed: int
) -> LinearBaseline | TreeBaseline:
    """Fit one baseline on the patients ``train`` (indices) alone.

    Raises
    ------
    ConfigError
        If the outcome's kind or the design has no such baseline.
    CohortError
        If the training patients have too few events or only one class.
    """
    if name not in NAMES[outcome.kind]:
        raise ConfigError(
            f"unknown baseline '{name}' for a {outcome.kind.value} outcome"
            + nearest(name, NAMES[outcome.kind])
        )
    if name not in baselines_for(outcome.kind, design):
        raise ConfigError(
            f"baseline '{name}' reduces modalities of more than 100 features, the design has "
            f"none; use '{NAMES[outcome.kind][0]}'"
        )
    train = train[np.isfinite(outcome.values[train])]
    _check_trainable(outcome, train)
    if name.endswith("trees"):
        return fit_trees(design, outcome, train, seed=seed)
    rng = np.random.default_rng(seed)
    if name.startswith("elastic_net"):
        return fit_elastic_net(design, outcome, train, rng=rng)
    if name.startswith("pca"):
        return fit_components(design, outcome, train, rng=rng)
    interactions = name.endswith("interactions")
    return fit_linear(design, outcome, train, interactions=interactions, rng=rng)


def fit_predict_folds(
    baseline_name: str,
    design: Design,
    outcome: Outcome,
    held_out: Int[ndarray, "repeat patient"],
    *,
    seed: int,
    every_arm: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut:
    """Fit a baseline for every fold of every repeat and predict the patients held out.

    Parameters
    ----------
    held_out
        Fold in which a patient is held out; -1: never held out, always trained on.
    every_arm
        Also predict every patient under every arm. A prediction, not a causal effect.
    progress
        Called with the number of folds done and to do.

    Raises
    ------
    CohortError
        If the folds do not cover the design's patients or leave too few to train on.
    """
    patients = len(design.arms)
    held_out = np.atleast_2d(held_out)
    if held_out.shape[1] != patients or len(outcome.values) != patients:
        raise CohortError(
            f"folds cover {held_out.shape[1]} patients and the outcome {len(outcome.values)}, "
            f"the design has {patients}"
        )
    shape = (len(held_out), patients)
    time = () if outcome.grid_days is None else (len(outcome.grid_days),)
    received = np.full(shape + time, np.nan)
    arms = len(design.arm_names)
    under_each = np.full((*shape, arms, *time), np.nan) if every_arm else None
    jobs = [(r, k) for r, folds in enumerate(held_out) for k in np.unique(folds[folds >= 0])]
    for done, (repeat, fold) in enumerate(jobs, start=1):
        test = np.flatnonzero(held_out[repeat] == fold)
        train = np.flatnonzero(held_out[repeat] != fold)
        fold_seed = int(np.random.SeedSequence([seed, repeat, int(fold)]).generate_state(1)[0])
        fitted = fit_baseline(baseline_name, design, outcome, train, seed=fold_seed)
        values = design.values[test]
        received[repeat, test] = fitted.predict(values, design.arms[test])
        if under_each is not None:
            for arm in range(arms):
                under_each[repeat, test, arm] = fitted.predict(values, np.full(len(test), arm))
        if progress is not None:
            progress(done, len(jobs))
    return HeldOut(received, under_each)


def _check_trainable(outcome: Outcome, train: ndarray) -> None:
    if outcome.kind is OutcomeKind.CONTINUOUS:
        found, what = len(train), "patients with a value"
    elif outcome.kind is OutcomeKind.BINARY:
        positive = int(outcome.values[train].sum())
        found, what = min(positive, len(train) - positive), "patients of the rarer class"
    else:
        found, what = int(outcome.followed[0][train].sum()), "events"
    if found < INNER_FOLDS:
        raise CohortError(
            f"a training fold has {found} {what}, a baseline needs at least {INNER_FOLDS}; "
            "use fewer folds or another outcome"
        )
