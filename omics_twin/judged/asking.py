"""A twin asked about patients by the members that never saw them, under one arm or all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from omics_twin.answers.beliefs import Belief, outcome_values
from omics_twin.config import Config
from omics_twin.settings import Reading
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.draws import select, weighted_mean, weighted_quantile, with_draws
from omics_twin.types import TwinState


def held_out_beliefs(
    task: Task, belief: Belief, plan: MemberPlan
) -> Iterator[tuple[int, np.ndarray, TwinState]]:
    """Yield, for each repeat and fold, its patients and the draws of the members without them."""
    member = belief.state.draws[0, :, 0].long()
    for repeat, held_out in enumerate(task.held_out):
        folds = held_out[belief.rows]
        for fold in np.unique(folds[folds >= 0]):
            rows = np.flatnonzero(folds == fold)
            mine = torch.nonzero((plan.repeat[member] == repeat) & (plan.fold[member] == fold))
            yield repeat, rows, with_draws(select(belief.state, torch.tensor(rows)), mine[:, 0])


def under_arms(
    task: Task, model: TrainedModel, state: TwinState, arms: np.ndarray, every_arm: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return means under each arm and the spread of the endpoint's differences, of a few patients.

    Without ``every_arm``, NaN under all but the therapy received.
    """
    means, read = [], []
    for index, therapy in enumerate(task.catalogue.interventions()):
        rows = np.arange(len(arms)) if every_arm else np.flatnonzero(arms == index)
        size = 1 if task.outcome.grid_days is None else len(task.outcome.grid_days)
        mean = torch.full((len(arms), size), torch.nan)
        if len(rows):
            part = state if every_arm else select(state, torch.tensor(rows))
            values = outcome_values(model, part, therapy, task.outcome)
            mean[rows] = weighted_mean(values, part.log_weights)
            if every_arm:
                read.append(_read(task, values))
        means.append(mean)
    if not every_arm:
        return torch.stack(means, dim=1).numpy(), None
    values, weights = torch.stack(read, dim=2), state.log_weights.exp()[:, :, None]
    centred = values - (values * weights).sum(dim=1, keepdim=True)
    product = (centred * weights).transpose(1, 2) @ centred
    own = product.diagonal(dim1=1, dim2=2)
    variance = own[:, :, None] + own[:, None, :] - 2.0 * product
    return torch.stack(means, dim=1).numpy(), variance.clamp(min=0.0).sqrt().numpy()


def _read(task: Task, values: torch.Tensor) -> torch.Tensor:
    """Return the endpoint of every draw from what the metrics of the outcome are computed from."""
    if task.outcome.grid_days is None or task.endpoint.reading is Reading.VALUE_AT_HORIZON:
        return values[..., -1]
    days = torch.tensor(np.append(0.0, task.outcome.grid_days)).to(values)
    curve = torch.cat([torch.ones_like(values[..., :1]), values], dim=-1)
    return torch.trapezoid(curve, days, dim=-1) / task.endpoint.horizon_days


def bounds(
    task: Task, model: TrainedModel, state: TwinState, strata: Sequence[str], config: Config
) -> np.ndarray:
    """Return the bounds of the belief under each arm, (patient, arm, 2)."""
    share = model.calibration.arms_of(strata)
    tail = (1.0 - config.twin.interval) / 2.0
    found = []
    for therapy in task.catalogue.interventions():
        values = outcome_values(model, state, therapy, task.outcome)[..., 0]
        ends = [weighted_quantile(values, state.log_weights, each) for each in (tail, 1 - tail)]
        mean = weighted_mean(values, state.log_weights)
        kept = [mean + share * (end - mean) for end in ends]
        found.append(torch.stack(kept, dim=1))
    return torch.stack(found, dim=1).numpy()
