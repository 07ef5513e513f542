"""Held-out predictions of a twin and of its baselines, on the same folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from safetensors.numpy import load, save
from torch import Tensor

from omics_twin.answers.beliefs import strata_keys
from omics_twin.config import Config
from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate.causes import of_one_cause, summed
from omics_twin.evaluate.design import Design, Outcome
from omics_twin.intake.synthetic import holds_truth
from omics_twin.judged.asking import (
    bounds,
    held_out_beliefs,
    spread_of,
    under_arms,
    under_received,
)
from omics_twin.report.console import Console
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.trust.vault import read_sealed, write_sealed

# Ridge Cox of every cause of an event, whose hazards are added up.
BY_CAUSE = "ridge_cox_causes"


@dataclass(frozen=True)
class Predictions:
    """Held-out predictions of one learner.

    Attributes
    ----------
    received
        Under the therapy received, (repeat, patient) or (repeat, patient, time).
    every_arm
        Under each arm, (repeat, patient, arm) or (repeat, patient, arm, time).
    interval
        Lower and upper bound under each arm, (patient, arm, 2); None unless the truth is known.
    spread
        Standard deviation of the endpoint's difference between two arms in the twin's belief,
        (repeat, patient, arm, arm); None for a baseline.
    by_cause
        Incidence of each cause of the event under the therapy received,
        (cause, repeat, patient, time); None where none are told apart, or the learner knows none.
    """

    received: np.ndarray
    every_arm: np.ndarray | None
    interval: np.ndarray | None = None
    spread: np.ndarray | None = None
    by_cause: np.ndarray | None = None


def held_out_predictions(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    *,
    as_of_days: float = 0.0,
    every_arm: bool = True,
) -> Predictions:
    """Return the twin's predictions, every patient answered by members that never saw them.

    Parameters
    ----------
    as_of_days
        Only visits up to this day are shown to the twin [day].
    every_arm
        Whether to predict under every arm, and not only under the therapy received.
    """
    repeats, patients = task.held_out.shape
    grid = task.outcome.grid_days
    options = len(task.catalogue.arms)
    every = np.full((repeats, patients, options, 1 if grid is None else len(grid)), np.nan)
    spread = np.full((repeats, patients, options, options), np.nan)
    received = every[:, :, 0].copy()
    parts = held_out_beliefs(task, model, plan, config.twin, as_of_days=as_of_days)
    if not every_arm:
        for repeat, rows, state in parts:
            received[repeat, rows] = under_received(task, model, state, task.arms[rows])
        return Predictions(received[..., 0] if grid is None else received, None)
    believed: list[tuple[ndarray, Tensor, Tensor]] = []
    for repeat, rows, state in parts:
        mean, endpoints = under_arms(task, model, state)
        every[repeat, rows] = mean.numpy()
        received[repeat, rows] = every[repeat, rows, task.arms[rows]]
        spread[repeat, rows] = spread_of(endpoints, state.log_weights).numpy()
        if truth_is_known(task, config):
            believed.append((rows, endpoints, state.log_weights))
    if grid is None:
        received, every = received[..., 0], every[..., 0]
    kept = model.calibration.arms_of(strata_keys(model.support.columns, task.cohort))
    ends = _bounds(believed, config.twin.interval, kept) if believed else None
    return Predictions(received, every, ends, spread)


def _bounds(
    believed: Sequence[tuple[ndarray, Tensor, Tensor]], level: float, kept: Tensor
) -> Float[ndarray, "patient arm 2"]:
    """Return the bounds of what all repeats together believe of each patient, held out in each."""
    rows, endpoints, log_weights = zip(*believed, strict=True)
    every = np.concatenate(rows)
    order, patients = torch.from_numpy(np.argsort(every, kind="stable")), np.unique(every)
    repeats = len(every) // len(patients)
    draws, weights = (
        torch.cat(each)[order].unflatten(0, (len(patients), repeats)).flatten(1, 2)
        for each in (endpoints, log_weights)
    )
    found = np.full((len(kept), draws.shape[2], 2), np.nan)
    found[patients] = bounds(draws, weights - np.log(repeats), level, kept[patients]).numpy()
    return found


def truth_is_known(task: Task, config: Config) -> bool:
    """Return whether the true probability under every arm is there to compare with."""
    there = holds_truth(config.cohort.root)
    return there and task.outcome.grid_days is None and len(task.catalogue.arms) > 1


def baseline_design(task: Task, as_of_days: float = 0.0) -> Design:
    """Return what the baselines see: the twin's measurements up to a day, and therapies."""
    channels = [channel for channel in task.design.channels if channel.visit_day <= as_of_days]
    features = [(channel, feature) for channel in channels for feature in channel.features]
    values = torch.cat([_seen(task, channel, as_of_days) for channel in channels], dim=1)
    return Design(
        values=values.numpy().astype(np.float64),
        names=tuple(feature.name for _, feature in features),
        modality=tuple(channel.modality for channel, _ in features),
        binary=np.array([feature.binary for _, feature in features]),
        arms=task.arms,
        arm_names=task.catalogue.arms,
        agents=np.array([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms]),
        agent_names=task.catalogue.known_agents,
    )


def _seen(task: Task, channel: ChannelDesign, as_of_days: float) -> torch.Tensor:
    """Return a channel's values; a follow-up that came later than planned is not seen yet."""
    values = task.matrices.values[channel.name]
    if not channel.follow_up:
        return values
    return torch.where((task.matrices.days[channel.name] <= as_of_days)[:, None], values, torch.nan)


def baseline_predictions(
    task: Task, config: Config, folder: Path, console: Console
) -> dict[str, Predictions]:
    """Return the baselines' predictions on the same folds; those of an earlier start are kept."""
    design = baseline_design(task)

    def arrays_of(name: str, outcome: Outcome, told: str) -> dict[str, np.ndarray]:
        fitted = reference.fit_predict_folds(
            name,
            design,
            outcome,
            task.held_out,
            seed=config.split.seed,
            every_arm=True,
            progress=console.progress(f"{told}: folds"),
        )
        arrays = {"received": fitted.received, "every_arm": fitted.every_arm}
        return {key: each for key, each in arrays.items() if each is not None}

    names = reference.baselines_for(task.outcome.kind, design)
    found: dict[str, Predictions] = {}
    for name in [*names, *([BY_CAUSE] if task.outcome.causes else [])]:
        stored = folder / f"{name}.safetensors"
        if not stored.is_file():
            if name == BY_CAUSE:
                apart = [
                    arrays_of("ridge_cox", of_one_cause(task.outcome, which), f"{name}, {cause}")
                    for which, cause in enumerate(task.outcome.causes, start=1)
                ]
                sums = {key: summed(np.stack([each[key] for each in apart])) for key in apart[0]}
                arrays = {key: alive for key, (alive, _) in sums.items()}
                arrays["by_cause"] = sums["received"][1]
            else:
                arrays = arrays_of(name, task.outcome, name)
            write_sealed(stored, save(arrays))
        found[name] = Predictions(**load(read_sealed(stored)))
    return found
