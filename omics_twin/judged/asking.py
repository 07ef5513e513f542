"""A twin asked about patients by the members that never saw them, under one arm or all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from omics_twin.answers.beliefs import (
    beliefs_of,
    outcome_values,
    outcomes_under,
    received_of,
    strata_keys,
)
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.draws import select, weighted_mean, weighted_quantile
from omics_twin.types import TwinState


def held_out_beliefs(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    settings: TwinSettings,
    *,
    as_of_days: float = 0.0,
) -> Iterator[tuple[int, Int[ndarray, " part"], TwinState]]:
    """Yield each repeat's patients, some at a time, and the belief of the members without them.

    Parameters
    ----------
    as_of_days
        Later visits are not shown [day].
    """
    arms, strata = received_of(task.cohort), strata_keys(model.support.columns, task.cohort)
    for repeat, held_out in enumerate(task.held_out):
        for fold in np.unique(held_out[held_out >= 0]):
            told = beliefs_of(
                model,
                task.matrices,
                arms,
                settings,
                strata=strata,
                as_of_days=as_of_days,
                asked=np.flatnonzero(held_out == fold),
                members=torch.nonzero((plan.repeat == repeat) & (plan.fold == fold))[:, 0],
            )
            for belief in told:
                yield repeat, belief.rows, belief.state


def under_arms(
    task: Task, model: TrainedModel, state: TwinState
) -> tuple[Float[Tensor, "patient arm time"], Float[Tensor, "patient draw arm"]]:
    """Return means of what the metrics are computed from under each arm, and endpoints by draw."""
    means, endpoints = [], []
    for values in outcomes_under(model, state, task.catalogue.interventions(), task.outcome):
        means.append(weighted_mean(values, state.log_weights))
        endpoints.append(_read(task, values))
    return torch.stack(means, dim=1), torch.stack(endpoints, dim=2)


def under_received(
    task: Task, model: TrainedModel, state: TwinState, arms: Int[ndarray, " patient"]
) -> Float[ndarray, "patient time"]:
    """Return means of the same under the therapy that each patient received."""
    grid = task.outcome.grid_days
    found = np.empty((len(arms), 1 if grid is None else len(grid)))
    for arm in np.unique(arms):
        rows = np.flatnonzero(arms == arm)
        own = select(state, torch.from_numpy(rows))
        values = outcome_values(model, own, task.catalogue.interventions()[arm], task.outcome)
        found[rows] = weighted_mean(values, own.log_weights).numpy()
    return found


def spread_of(
    endpoints: Float[Tensor, "patient draw arm"], log_weights: Float[Tensor, "patient draw"]
) -> Float[Tensor, "patient arm other"]:
    """Return the standard deviation of the endpoint's difference between two arms."""
    weights = log_weights.exp()[:, :, None]
    centred = endpoints - (endpoints * weights).sum(dim=1, keepdim=True)
    product = (centred * weights).transpose(1, 2) @ centred
    own = product.diagonal(dim1=1, dim2=2)
    variance = own[:, :, None] + own[:, None, :] - 2.0 * product
    return variance.clamp(min=0.0).sqrt()


def bounds(
    endpoints: Float[Tensor, "patient draw arm"],
    log_weights: Float[Tensor, "patient draw"],
    level: float,
    kept: Float[Tensor, " patient"],
) -> Float[Tensor, "patient arm 2"]:
    """Return the bounds of the belief under each arm.

    Parameters
    ----------
    kept
        Part of an interval that one arm keeps.
    """
    tail, mean = (1.0 - level) / 2.0, weighted_mean(endpoints, log_weights)
    arms = endpoints.unbind(dim=2)
    ends = [
        torch.stack([weighted_quantile(each, log_weights, share) for each in arms], dim=1)
        for share in (tail, 1.0 - tail)
    ]
    return torch.stack([mean + kept[:, None] * (end - mean) for end in ends], dim=2)


def _read(task: Task, values: Tensor) -> Tensor:
    """Return the endpoint of every draw from what the metrics of the outcome are computed from."""
    if task.outcome.grid_days is None or task.endpoint.reading is Reading.VALUE_AT_HORIZON:
        return values[..., -1]
    days = torch.tensor(np.append(0.0, task.outcome.grid_days)).to(values)
    curve = torch.cat([torch.ones_like(values[..., :1]), values], dim=-1)
    return torch.trapezoid(curve, days, dim=-1) / task.endpoint.horizon_days
