"""Is it true? A twin's predictions and rankings judged beside those of baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray

from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate import own_values
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.score import score
from omics_twin.evaluate.truth import policy_value
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.synthetic import read_truth
from omics_twin.judged import abstaining, comparing, holding, interval_coverage, worth
from omics_twin.judged.following import TWIN, Judgement, Ranked, judge
from omics_twin.judged.offers import offers_of
from omics_twin.judged.predictions import (
    Predictions,
    baseline_design,
    held_out_predictions,
    truth_is_known,
)
from omics_twin.report.console import Console
from omics_twin.settings import CalibrationBy
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task


def metrics(task: Task, twin: Predictions, baselines: Mapping[str, Predictions]) -> dict[str, Any]:
    """Return the table of a run: the twin beside its baselines, with spread over repeats."""
    return {
        "endpoint": task.endpoint.name,
        "outcome": task.outcome_name,
        "cohort": task.cohort.name,
        "n": int(np.isfinite(task.outcome.values).sum()),
        "folds": int(task.held_out.max()) + 1,
        "repeats": len(task.held_out),
        "model": _summary(task, twin),
        "baselines": {name: _summary(task, each) for name, each in baselines.items()},
        "by_part": comparing.by_part(
            task, twin.received, {name: each.received for name, each in baselines.items()}
        ),
    }


def paired(
    task: Task, twin: Predictions, baselines: Mapping[str, Predictions], console: Console
) -> dict[str, Any]:
    """Return the twin less every baseline, patient by patient; nothing where too few allow it."""
    others = {name: each.received for name, each in baselines.items()}
    try:
        return comparing.paired(task, twin.received, others)
    except CohortError as error:
        console.warn(f"the twin and its baselines are not compared patient by patient: {error}")
        return {}


def _summary(task: Task, predicted: Predictions) -> dict[str, dict[str, float | None]]:
    return over_repeats([_scores(task, *each) for each in enumerate(predicted.received)])


def over_repeats(
    scores: Sequence[Mapping[str, float]],
) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation of each metric over repeats, None where not known."""
    return {
        name: {key: float(value) if np.isfinite(value) else None for key, value in each.items()}
        for name, each in summarise(scores).items()
    }


def _scores(
    task: Task, repeat: int, received: Float[ndarray, " patient *time"]
) -> dict[str, float]:
    found = score(task.outcome, received)
    if task.outcome.kind is OutcomeKind.CONTINUOUS:
        found |= own_values.judged(task.outcome.values, received, task.held_out[repeat])
    return found


def by_visit(
    task: Task, model: TrainedModel, plan: MemberPlan, config: Config, console: Console
) -> dict[str, dict[str, Any]]:
    """Return the twin's metrics as visits come in, on the patients who have all of them.

    Beside them stands the linear baseline that sees the same visits of the same patients.
    """
    days = [day for day in task.design.visit_days if day > 0]
    if not days:
        return {}
    followed = np.ones(len(task.arms), dtype=bool)
    for channel in task.design.channels:
        if channel.follow_up:
            followed &= ~torch.isnan(task.matrices.values[channel.name]).all(dim=1).numpy()
    values = task.outcome.values[followed]
    if followed.sum() < 30 or (task.outcome.kind is OutcomeKind.BINARY and len(set(values)) < 2):
        return {}
    found = {}
    for day in [0.0, *days]:
        predicted = held_out_predictions(
            task, model, plan, config, as_of_days=day + 0.5, every_arm=False
        )
        hidden = np.where(
            followed.reshape(1, -1, *[1] * (predicted.received.ndim - 2)),
            predicted.received,
            np.nan,
        )
        found[f"day {day:g}"] = {
            "n": int(followed.sum()),
            **_summary(task, Predictions(hidden, None)),
            "baselines": _linear_by_visit(task, followed, day + 0.5, config, console),
        }
    return found


def _linear_by_visit(
    task: Task, followed: np.ndarray, as_of_days: float, config: Config, console: Console
) -> dict[str, Any]:
    design = baseline_design(task, as_of_days)
    try:
        name, received = comparing.linear_predictions(
            task, design, followed, seed=config.split.seed
        )
    except CohortError as error:
        console.warn(f"no baseline stands beside the visits up to day {as_of_days:g}: {error}")
        return {}
    return {name: _summary(task, Predictions(received, None))}


def against_truth(
    task: Task,
    twin: Predictions,
    baselines: Mapping[str, Predictions],
    truth: pd.DataFrame,
) -> dict[str, Any]:
    """Return what following each ranking would be worth, the truth being known."""
    table = truth.loc[list(task.cohort.patient_ids)]
    columns = [f"p_response::{arm}" for arm in task.catalogue.arms]
    known = table[columns].to_numpy(dtype=float)
    found: dict[str, Any] = {"model": {}, "baselines": {}}
    for name, each in [("model", twin), *baselines.items()]:
        if each.every_arm is None:
            continue
        mean = _mean_over_repeats(each.every_arm)
        out = np.isfinite(mean).all(axis=1)
        value = policy_value(mean[out].argmax(axis=1), known[out])
        worth = {"captured": value.captured, "followed": value.followed}
        if name == "model":
            found["model"] = worth
            if each.interval is not None:
                lower, upper = each.interval[out, :, 0], each.interval[out, :, 1]
                inside = (lower <= known[out]) & (known[out] <= upper)
                found["interval_coverage"] = float(inside.mean())
            found["best_single_arm"] = value.best_single_arm
            found["own_best_arm"] = value.own_best_arm
        else:
            found["baselines"][name] = worth
    return found


def _mean_over_repeats(every_arm: np.ndarray) -> np.ndarray:
    """Return the mean over the repeats in which a patient was held out, NaN for none."""
    out = np.isfinite(every_arm)
    total = np.where(out, every_arm, 0.0).sum(axis=0)
    return np.where(out.any(axis=0), total / np.maximum(out.sum(axis=0), 1), np.nan)


def policy(
    task: Task,
    twin: Predictions,
    baselines: Mapping[str, Predictions],
    config: Config,
    folder: Path,
    console: Console,
) -> tuple[dict[str, Any], Judgement | None]:
    """Return what following each ranking would have been worth, and write the figures of it.

    Where too few patients allow no judgement, the answer says why; it is empty where nothing is
    compared.
    """
    if len(task.catalogue.arms) == 1:
        return {}, None
    learners = {
        name: Ranked(each.every_arm, each.spread)
        for name, each in [(TWIN, twin), *baselines.items()]
        if each.every_arm is not None
    }
    try:
        offers = offers_of(task, baseline_design(task), config)
        found = judge(task, offers, learners, config.policy.control)
    except CohortError as error:
        console.warn(f"the value of following the ranking is not judged: {error}")
        return {"not_judged": {"all": str(error)}}, None
    for stem, figure in worth.figures_of(task, offers, found).items():
        figure.savefig(folder / f"{stem}.png", dpi=150)
    truth = _true_means(task, config) if truth_is_known(task, config) else None
    told = worth.record_of(task, offers, found, truth)
    if told["coverage_value"] is not None:
        # Where on the curve the ranking is that recommends only what it is sure enough of.
        least = config.twin.confidence
        told["coverage_value"] |= {
            "confidence": least,
            "confident": float((found.belief[:, found.judged] >= least).mean()),
        }
    return told, found


def _true_means(task: Task, config: Config) -> np.ndarray:
    table = read_truth(Path(config.cohort.root)).loc[list(task.cohort.patient_ids)]
    columns = [f"p_response::{arm}" for arm in task.catalogue.arms]
    return table[columns].to_numpy(dtype=float)


def calibrated(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    folder: Path,
    console: Console,
) -> tuple[TrainedModel, dict[str, Any] | None, interval_coverage.Inside | None]:
    """Return the model with intervals that hold on a simulated copy, and how they hold there.

    Sites that learned together have calibrated theirs already.
    """
    if config.twin.calibration is CalibrationBy.NONE or model.calibration.fitted:
        return model, None, None
    with console.stage("calibration on a simulated copy"):
        found, copied, inside = holding.calibrate(task, model, plan, config, folder, console)
    return replace(model, calibration=found), copied, inside


def calibration(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    twin: Predictions,
    config: Config,
    copied: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return whether intervals and probabilities hold, and to whom nothing is recommended.

    Parameters
    ----------
    copied
        How they hold on the simulated copy; None where there is none here.
    """
    truth = _true_means(task, config) if truth_is_known(task, config) else None
    found: dict[str, Any] = model.calibration.to_json() if model.calibration.fitted else {}
    if copied is not None:
        found["copy"] = copied
    found |= holding.held_up(task, model, plan, config, truth)
    response = abstaining.response_of(task, twin.received)
    return found if response is None else {**found, "response": response}
