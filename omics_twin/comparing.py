"""How the twin stands beside its baselines, patient by patient and visit by visit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate.design import Design
from omics_twin.evaluate.paired import LOSS, paired_difference, paired_loss
from omics_twin.evaluate.score import HEADLINE
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.tasks import Task


def paired(
    task: Task,
    twin: Float[ndarray, "repeat patient *time"],
    baselines: Mapping[str, Float[ndarray, "repeat patient *time"]],
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the twin's metrics less each baseline's, with 95 % intervals over patients.

    Parameters
    ----------
    twin, baselines
        Held-out predictions under the therapy received.

    Returns
    -------
    dict
        Baseline -> metric -> ``mean``, ``lower`` and ``upper``. The metrics are the headline of
        the outcome's kind, of which more is better, and its squared error, of which less is.

    Raises
    ------
    CohortError
        If too few patients were held out in every repeat.
    """
    kind = task.outcome.kind
    # Every resample of a concordance compares all pairs again.
    times = 300 if kind is OutcomeKind.TIME_TO_EVENT else 1000
    return {
        name: {
            HEADLINE[kind]: asdict(paired_difference(task.outcome, twin, each, resamples=times)),
            LOSS[kind]: asdict(paired_loss(task.outcome, twin, each, resamples=times)),
        }
        for name, each in baselines.items()
    }


def linear_predictions(
    task: Task, design: Design, followed: Bool[ndarray, " patient"], *, seed: int
) -> tuple[str, Float[ndarray, "repeat patient *time"]]:
    """Return the name of the linear baseline, and what it predicts on the same folds.

    It is trained on the patients of the training folds who were followed, and on nobody else.

    Parameters
    ----------
    design
        What it may see, follow-up measurements included.
    followed
        Who is trained on and predicted; the others' predictions are NaN.

    Raises
    ------
    CohortError
        If a training fold has too few of them.
    """
    name = reference.baselines_for(task.outcome.kind, design)[0]
    found = reference.fit_predict_folds(
        name,
        replace(design, values=design.values[followed], arms=design.arms[followed]),
        task.outcome.at(followed),
        task.held_out[:, followed],
        seed=seed,
    )
    received = np.full((*task.held_out.shape, *found.received.shape[2:]), np.nan)
    received[:, followed] = found.received
    return name, received


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of :func:`paired` that a tracker keeps, by dotted name.

    Examples
    --------
    >>> numbers_of({"trees": {"auc": {"mean": 0.01, "lower": -0.01, "upper": 0.03}}})
    {'paired.trees.auc.mean': 0.01, 'paired.trees.auc.lower': -0.01, 'paired.trees.auc.upper': 0.03}
    """
    return {
        f"paired.{name}.{metric}.{key}": value
        for name, metrics in found.items()
        for metric, each in metrics.items()
        for key, value in each.items()
    }
