"""Held-out predictions of a twin and of its baselines, on the same folds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load, save

from omics_twin.answers.beliefs import beliefs_of, received_of, strata_keys
from omics_twin.config import Config
from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate.design import Design
from omics_twin.intake.synthetic import holds_truth
from omics_twin.judged.asking import bounds, held_out_beliefs, under_arms
from omics_twin.report.console import Console
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.trust.vault import read_sealed, write_sealed
from omics_twin.twin.draws import select


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
    """

    received: np.ndarray
    every_arm: np.ndarray | None
    interval: np.ndarray | None = None
    spread: np.ndarray | None = None


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
    ends = np.full((patients, options, 2), np.nan)
    bounded = every_arm and truth_is_known(task, config)
    arms = received_of(task.cohort)
    strata = strata_keys(model.support.columns, task.cohort)
    for belief in beliefs_of(
        model, task.matrices, arms, config.twin, strata=strata, as_of_days=as_of_days
    ):
        for repeat, rows, state in held_out_beliefs(task, belief, plan):
            where = (repeat, belief.rows[rows])
            every[where], found = under_arms(task, model, state, task.arms[where[1]], every_arm)
            if found is not None:
                spread[where] = found
        if bounded:
            out = torch.tensor((task.held_out[:, belief.rows] >= 0).any(axis=0))
            state = select(belief.state, torch.nonzero(out)[:, 0])
            rows = belief.rows[out.numpy()]
            ends[rows] = bounds(task, model, state, [strata[row] for row in rows], config)
    own = task.arms[None, :, None, None]
    received = np.take_along_axis(every, own, axis=2)[:, :, 0]
    if grid is None:
        received, every = received[..., 0], every[..., 0]
    if not every_arm:
        return Predictions(received, None)
    return Predictions(received, every, ends if bounded else None, spread)


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
    found = {}
    for name in reference.baselines_for(task.outcome.kind, design):
        stored = folder / f"{name}.safetensors"
        if not stored.is_file():
            fitted = reference.fit_predict_folds(
                name,
                design,
                task.outcome,
                task.held_out,
                seed=config.split.seed,
                every_arm=True,
                progress=console.progress(f"{name}: folds"),
            )
            arrays = {"received": fitted.received}
            if fitted.every_arm is not None:
                arrays["every_arm"] = fitted.every_arm
            write_sealed(stored, save(arrays))
        arrays = load(read_sealed(stored))
        found[name] = Predictions(arrays["received"], arrays.get("every_arm"))
    return found
