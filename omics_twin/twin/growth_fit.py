"""The population under which the scans of training patients are most likely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import torch
from jaxtyping import Float
from scipy.stats import t
from torch import Tensor

from omics_twin.dynamics.growth import GrowthInhibition
from omics_twin.dynamics.plan import Plan
from omics_twin.twin.growth_belief import (
    GrowthPopulation,
    conditioned,
    effect_of,
    moments,
    next_spread,
    scaled_sizes,
    walked,
)

_SHAPE = 50

# What makes the model the log-linear mixed one: nothing but level and slope, and no heavy tails.
_NOT_MIXED = {
    "kill": 0.0,
    "kill_sd": 1e-9,
    "resistance": 0.01,
    "walk": 1e-12,
    "early": 1e-12,
    "settling": 0.01,
    "freedom": 1e6,
}


def log_likelihood(
    population: Mapping[str, Tensor],
    effect_at: Tensor,
    days: Float[Tensor, "patient visit"],
    seen: Float[Tensor, "patient visit"],
) -> Float[Tensor, " patient"]:
    """Return how likely scans are under a population given as tensors, for learning it."""
    known = torch.isfinite(seen).double()
    after = torch.nan_to_num(days).clamp(min=0.0)
    p = population
    mean = p["level"] + p["growth"] * after - p["kill"] * effect_at
    covariance = p["level_sd"] ** 2 + p["growth_sd"] ** 2 * after[:, :, None] * after[:, None, :]
    covariance = covariance + p["kill_sd"] ** 2 * effect_at[:, :, None] * effect_at[:, None, :]
    covariance = covariance + walked(p, after)
    both = known[:, :, None] * known[:, None, :]
    noise = torch.diag_embed(p["error"] * known + (1.0 - known))
    root = torch.linalg.cholesky(covariance * both + noise)
    left = (torch.nan_to_num(seen) - mean) * known
    z = torch.linalg.solve_triangular(root, left.unsqueeze(-1), upper=False)[..., 0]
    scale = root.diagonal(dim1=1, dim2=2).log() * known
    later = (known.cumsum(dim=1) > 1).double() * known
    first = known - later
    gaussian = (first * (-0.5 * z.square() - scale)).sum(dim=1)
    count, distance, n = later.sum(dim=1), (later * z.square()).sum(dim=1), p["freedom"]
    student = torch.lgamma((n + count) / 2) - torch.lgamma(n / 2) - count / 2 * torch.log(n)
    student = student - (n + count) / 2 * torch.log1p(distance / n) - (later * scale).sum(dim=1)
    return gaussian + student


def fit_growth(
    days: Float[Tensor, "patient visit"],
    values: Float[Tensor, "patient visit feature"],
    plans: Sequence[Plan],
    *,
    steps: int = 150,
    mixed_model: bool = False,
) -> GrowthPopulation:
    """Return the population under which the scans of training patients are most likely.

    Parameters
    ----------
    days, values
        Padded with NaN; the first feature is the diameter [mm].
    plans
        What each patient was given.
    mixed_model
        Only a level and a slope differ between patients, and all is Gaussian: the log-linear mixed
        model, to compare with.
    """
    first = GrowthPopulation(
        level=3.5,
        growth=0.0005,
        kill=0.001,
        level_sd=0.6,
        growth_sd=0.001,
        kill_sd=0.004,
        resistance=0.015,
        walk=3e-4,
        error=2e-3,
        freedom=3.0,
        early=0.01,
    )
    seen = scaled_sizes(first, values)
    filled = torch.nan_to_num(days)
    signed = ("level", "growth", "kill")
    scales = {"level": 1.0, "growth": 1e-3, "kill": 1e-2}
    start = asdict(first)
    free = {
        name: torch.tensor(
            start[name] / scales[name] if name in signed else math.log(start[name]),
            dtype=torch.float64,
        ).requires_grad_()
        for name in start
        if name not in ("offset_mm", "too_small_mm", "shapes", *(_NOT_MIXED if mixed_model else ()))
    }
    held = {name: torch.tensor(value, dtype=torch.float64) for name, value in _NOT_MIXED.items()}
    model = GrowthInhibition()

    def tensors() -> dict[str, Tensor]:
        return held | {n: v * scales[n] if n in signed else v.exp() for n, v in free.items()}

    optimiser = torch.optim.Adam(free.values(), lr=0.05)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            now = tensors()
            zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
            unit = torch.stack([one, zero, one, now["resistance"]])
            run = model.run(unit.expand(len(plans), 1, 4), plans, filled)
            effect = -torch.log(run[:, 0, :, 0])
            loss = -log_likelihood(now, effect, days, seen).mean()
            loss.backward()
            optimiser.step()
    found = {name: float(value.detach()) for name, value in tensors().items()}
    population = GrowthPopulation(**{**start, **found})
    return population if mixed_model else _with_shapes(population, days, seen, plans)


def _with_shapes(
    population: GrowthPopulation,
    days: Float[Tensor, "patient visit"],
    seen: Float[Tensor, "patient visit"],
    plans: Sequence[Plan],
) -> GrowthPopulation:
    """Return the population with the shapes of forecasts of its own next scans."""
    filled = torch.nan_to_num(days).cummax(dim=1).values
    effect = effect_of(plans, filled, population.resistance)
    falls: list[list[Tensor]] = [[], [], []]
    for visit in range(1, seen.shape[1]):
        upto = slice(0, visit + 1)
        prior = moments(population, effect[:, upto], filled[:, upto])
        belief = conditioned(population, prior, seen[:, :visit], visit)
        known = torch.isfinite(seen[:, :visit]).sum(dim=1)
        steps = (seen[:, visit] - belief.mean[:, 0]) / next_spread(population, belief)
        fell = torch.from_numpy(t.cdf(steps.numpy(), belief.freedom.numpy()))
        for number, rows in enumerate(falls, start=1):
            same = known == number if number < len(falls) else known >= number
            rows.append(fell[same & torch.isfinite(fell)])
    even = (torch.arange(_SHAPE, dtype=torch.float64) + 0.5) / _SHAPE
    joined = [torch.cat(each) for each in falls]
    if min(len(each) for each in joined) < _SHAPE:
        return population
    return replace(population, shapes=tuple(tuple(each.quantile(even).tolist()) for each in joined))
