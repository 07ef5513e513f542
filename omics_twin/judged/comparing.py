"""How the twin stands beside its baselines: patient by patient, by visit, by part of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate.design import Design
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.paired import LOSS, paired_difference, paired_loss, with_interval
from omics_twin.evaluate.score import HEADLINE, headline
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.groups import PART
from omics_twin.training.tasks import Task


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


def intervals(
    task: Task, learners: Mapping[str, Float[ndarray, "repeat patient *time"]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return each learner's headline metric and squared error, with 95 % intervals over patients.

    Empty where too few patients were held out in every repeat.

    Parameters
    ----------
    learners
        Held-out predictions under the therapy received, by name.

    Returns
    -------
    dict
        Learner -> metric -> ``mean``, ``lower`` and ``upper``.
    """
    times = 200 if task.outcome.kind is OutcomeKind.TIME_TO_EVENT else 1000
    found = {}
    for name, each in learners.items():
        try:
            told = with_interval(task.outcome, each, resamples=times)
        except CohortError:
            # What cannot be judged patient by patient has been told of by `judging.paired`.
            continue
        found[name] = {metric: asdict(value) for metric, value in told.items()}
    return found


def by_part(
    task: Task,
    twin: Float[ndarray, "repeat patient *time"],
    baselines: Mapping[str, Float[ndarray, "repeat patient *time"]],
) -> dict[str, Any]:
    """Return the headline metric within each part of the cohort, and its mean over parts.

    Over all patients a metric also rewards knowing which part is worse off; within a part it does
    not. In the mean every part counts the same, however many patients it has.

    Parameters
    ----------
    twin, baselines
        Held-out predictions under the therapy received.

    Returns
    -------
    dict
        ``metric``; ``parts``: part -> ``n``, ``model`` and ``baselines`` (name -> the same) as
        ``mean`` and ``sd`` over repeats, None where not known; ``mean``: the same over the parts
        in which the metric is known. Empty where the cohort has no parts.
    """
    if PART not in task.cohort.groups:
        return {}
    part_of = task.cohort.groups[PART].to_numpy(dtype=str)
    known = np.isfinite(task.outcome.values)
    names = list(dict.fromkeys(part_of[known]))
    values = {
        learner: np.array([_within(task, received, part_of == part) for part in names])
        for learner, received in [("", twin), *baselines.items()]
    }
    told = {
        part: {"n": int((known & (part_of == part)).sum()), **_beside(values, [place])}
        for place, part in enumerate(names)
    }
    everywhere = np.flatnonzero(np.isfinite(np.array(list(values.values()))).all(axis=(0, 2)))
    return {
        "metric": HEADLINE[task.outcome.kind],
        "parts": told,
        "mean": _beside(values, everywhere.tolist()),
    }


def _within(
    task: Task, received: Float[ndarray, "repeat patient *time"], inside: Bool[ndarray, " patient"]
) -> list[float]:
    """Return the headline metric of each repeat on some of the patients."""
    outcome = task.outcome.at(inside)
    return [headline(outcome, repeat[inside]) for repeat in received]


def _beside(
    values: Mapping[str, Float[ndarray, "part repeat"]], places: list[int]
) -> dict[str, Any]:
    """Return mean and spread over repeats of the model, named '', and of its baselines."""
    cells = {name: _cell(each[places]) for name, each in values.items()}
    return {"model": cells.pop(""), "baselines": cells}


def _cell(values: Float[ndarray, "part repeat"]) -> dict[str, float | None]:
    if not len(values):
        return {"mean": None, "sd": None}
    found = summarise([{PART: float(each)} for each in values.mean(axis=0)])[PART]
    return {key: value if np.isfinite(value) else None for key, value in found.items()}


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
