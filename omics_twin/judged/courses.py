"""How well the course of what is measured under therapy is foreseen, one visit ahead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from omics_twin.config import Config
from omics_twin.evaluate.forecast import coverage, crps
from omics_twin.judged.asking import held_out_beliefs
from omics_twin.tensors.design import ChannelDesign, Feature
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.draws import select
from omics_twin.twin.hybrid import HybridTwin

Array = np.ndarray
_DRAWS = 400
_PENALTY = 10.0


def foreseen(
    task: Task, model: TrainedModel, plan: MemberPlan, config: Config
) -> dict[str, dict[str, Any]]:
    """Return how each follow-up measurement was foreseen from the visits before it.

    Patients are answered by members that never saw them. Beside the twin stand the last value
    with the changes that training patients had, and a ridge regression on all values before.

    Returns
    -------
    feature -> visit -> forecaster -> CRPS and median error in the feature's unit, and the share of
    90 % intervals that held, each with mean and spread over repeats.
    """
    twin = model.twin
    if not isinstance(twin, HybridTwin):
        return {}
    found: dict[str, dict[str, Any]] = {}
    for place in range(1, len(twin.visits)):
        ahead = _ahead(task, model, twin, plan, config, place)
        for name, told in _scores(task, twin.visits, place, ahead).items():
            found.setdefault(name, {})[f"day {twin.visits[place].visit_day:g}"] = told
    return found


def _scores(
    task: Task,
    visits: list[ChannelDesign],
    place: int,
    forecasts: Iterator[tuple[int, Array, Array]],
) -> dict[str, Any]:
    told: dict[str, dict[str, list[tuple[Array, Array]]]] = {}
    for repeat, rows, ahead in forecasts:
        held_out = task.held_out[repeat]
        training = np.flatnonzero(held_out != held_out[rows[0]])
        for k, feature in enumerate(visits[0].features):
            came = _column(task, visits[place], k)
            there = np.isfinite(came[rows])
            if not there.any():
                continue
            asked, truth = rows[there], _natural(feature, came[rows[there]])
            draws = {
                "omics_twin": ahead[there, :, k],
                **{
                    name: _natural(feature, each)
                    for name, each in _baselines(task, visits, place, k, training, asked).items()
                },
            }
            own = told.setdefault(feature.quantity, {})
            for name, each in draws.items():
                key = f"{repeat} {name}"
                own.setdefault(key, []).append((each, truth))
    return {name: _summary(each) for name, each in told.items()}


def _ahead(
    task: Task,
    model: TrainedModel,
    twin: HybridTwin,
    plan: MemberPlan,
    config: Config,
    place: int,
) -> Iterator[tuple[int, Array, Array]]:
    """Yield the twin's forecasts of a visit, some patients at a time, (patient, draw, feature)."""
    channel, before = twin.visits[place], twin.visits[place - 1].visit_day + 0.5
    generator = np.random.default_rng([config.twin.seed, place])
    followed = torch.isfinite(task.matrices.values[channel.name]).any(dim=1).numpy()
    parts = held_out_beliefs(task, model, plan, config.twin, as_of_days=before)
    for repeat, patients, state in parts:
        given = np.asarray(task.arms)[patients]
        for arm in np.unique(given):
            chosen = np.flatnonzero((given == arm) & followed[patients])
            if not len(chosen):
                continue
            part = select(state, torch.from_numpy(chosen))
            # A few members answer, with as many forecasts as a baseline has.
            part = twin.repeated(part, -(-_DRAWS // part.draws.shape[1]))
            under = task.catalogue.interventions()[arm]
            on = torch.full((len(chosen),), channel.visit_day, dtype=torch.float64)
            draws = twin.forecast(part, on, under).numpy()
            weights = part.log_weights.exp().numpy()
            yield repeat, patients[chosen], _evenly(draws, weights, generator)


def _evenly(draws: Array, weights: Array, generator: np.random.Generator) -> Array:
    """Return draws of equal weight, systematically resampled."""
    upto = np.cumsum(weights, axis=1) / weights.sum(axis=1, keepdims=True)
    points = (np.arange(_DRAWS) + generator.uniform(size=(len(draws), 1))) / _DRAWS
    picked = np.stack([np.searchsorted(u[:-1], p) for u, p in zip(upto, points, strict=True)])
    return np.take_along_axis(draws, picked[:, :, None], axis=1)


def _column(task: Task, channel: ChannelDesign, feature: int) -> Array:
    return task.matrices.values[channel.name][:, feature].double().numpy()


def _natural(feature: Feature, values: Array) -> Array:
    return np.expm1(np.maximum(values, 0.0)) if feature.log else values


def _baselines(
    task: Task,
    visits: list[ChannelDesign],
    place: int,
    feature: int,
    training: Array,
    asked: Array,
) -> dict[str, Array]:
    """Return draws of simple forecasts on the design's scale, (patient, draw)."""
    came = _column(task, visits[place], feature)
    earlier = [
        _column(task, channel, k)
        for channel in visits[:place]
        for k in range(len(channel.features))
    ]
    last = _column(task, visits[place - 1], feature)
    known = training[np.isfinite(came[training]) & np.isfinite(last[training])]
    change = (came - last)[known]
    level = float(np.nanmean(came[training]))
    centre = np.where(np.isfinite(last[asked]), last[asked], level)
    shares = (np.arange(_DRAWS) + 0.5) / _DRAWS
    design = np.stack([*earlier, *_given(task)], axis=1)
    location = np.nanmean(design[known], axis=0)
    spread = np.nanstd(design[known], axis=0)
    standard = np.nan_to_num((design - location) / np.maximum(spread, 1e-9))
    inner, mean = standard[known], came[known].mean()
    gram = inner.T @ inner + _PENALTY * np.eye(inner.shape[1])
    slope = np.linalg.solve(gram, inner.T @ (came[known] - mean))
    fitted = mean + standard @ slope
    leverage = np.einsum("ij,ji->i", inner, np.linalg.solve(gram, inner.T))
    residual = (came[known] - fitted[known]) / (1.0 - leverage)
    return {
        "last value": centre[:, None] + np.quantile(change, shares),
        "ridge regression": fitted[asked][:, None] + np.quantile(residual, shares),
    }


def _given(task: Task) -> list[Array]:
    agents = np.array([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    return list(agents[np.asarray(task.arms)].T)


def _summary(told: dict[str, list[tuple[Array, Array]]]) -> dict[str, Any]:
    by_name: dict[str, list[dict[str, float]]] = {}
    for key, parts in told.items():
        draws = np.concatenate([part[0] for part in parts])
        truth = np.concatenate([part[1] for part in parts])
        by_name.setdefault(key.split(" ", 1)[1], []).append(
            {
                "crps": float(crps(draws, truth).mean()),
                "median_error": float(np.abs(np.median(draws, axis=1) - truth).mean()),
                "interval_90_holds": coverage(draws, truth).share,
            }
        )
    return {
        name: {
            score: {
                "mean": float(np.mean([each[score] for each in repeats])),
                "sd": None
                if len(repeats) < 2
                else float(np.std([e[score] for e in repeats], ddof=1)),
            }
            for score in repeats[0]
        }
        for name, repeats in by_name.items()
    }
