"""Tumour size on the logarithmic scale: what is believed of paths before and after the scans."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import t
from torch import Tensor

from omics_twin.dynamics.growth import LARGEST_MM, GrowthInhibition
from omics_twin.dynamics.plan import Plan


@dataclass(frozen=True)
class GrowthPopulation:
    """How tumours of a cohort change, on the scale ``log(size + offset)``.

    Attributes
    ----------
    level, growth, kill
        Mean of the size at the index date, of the growth and of the kill rate [1/day].
    level_sd, growth_sd, kill_sd
        Their standard deviations between patients.
    resistance
        Rate at which the inhibition wears off [1/day].
    walk
        Variance of the random walk [1/day].
    error
        Variance of a measurement.
    freedom
        Degrees of freedom of the patients' volatilities, which scale all but the level.
    early, settling
        Variance that the walk has gained beyond ``walk`` once treatment has done what it does, and
        how fast it does [1/day]: a tumour moves most in the first months.
    offset_mm
        Keeps a tumour of size 0 on the scale [mm].
    too_small_mm
        What a tumour too small to measure is read as [mm].
    shapes
        For one, two and more scans known: quantiles, at even steps, of where the next scans of
        training patients fell in what was forecast. Student's t does not know that every fourth
        scan is read as the very size of the one before. Empty: Student's t as it is.
    """

    level: float
    growth: float
    kill: float
    level_sd: float
    growth_sd: float
    kill_sd: float
    resistance: float
    walk: float
    error: float
    freedom: float
    early: float = 0.0
    settling: float = 0.01
    offset_mm: float = 2.0
    too_small_mm: float = 2.5
    shapes: tuple[tuple[float, ...], ...] = ()

    def scale(self, size_mm: Tensor) -> Tensor:
        """Return sizes on the scale of the belief."""
        return torch.log(size_mm.clamp(min=0.0) + self.offset_mm)

    def size(self, scaled: Tensor) -> Tensor:
        """Return sizes [mm], never below 0 nor above what a body holds."""
        most = math.log(LARGEST_MM + self.offset_mm)
        return (scaled.clamp(max=most).exp() - self.offset_mm).clamp(min=0.0)


def effect_of(
    plans: Sequence[Plan], days: Float[Tensor, "patient time"], resistance: float
) -> Float[Tensor, "patient time"]:
    """Return how much inhibition there was by each day, per unit of kill rate [day]."""
    unit = torch.tensor([1.0, 0.0, 1.0, resistance], dtype=torch.float64)
    run = GrowthInhibition().run(unit.expand(len(plans), 1, 4), plans, days)
    return -torch.log(run[:, 0, :, 0])


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of paths at some days before any scan.

    ``level`` is the covariance that the patient's volatility does not scale, ``rest`` the one it
    does; (patient, time, time).
    """

    mean: Float[Tensor, "patient time"]
    level: Float[Tensor, "patient time time"]
    rest: Float[Tensor, "patient time time"]


def moments(
    population: GrowthPopulation,
    effect: Float[Tensor, "patient time"],
    days: Float[Tensor, "patient time"],
) -> Moments:
    """Return what is believed of paths on days under plans, before any scan."""
    after = days.clamp(min=0.0)
    mean = population.level + population.growth * after - population.kill * effect

    def product(values: Tensor, spread: float) -> Tensor:
        return spread**2 * values[:, :, None] * values[:, None, :]

    rest = product(after, population.growth_sd) + product(effect, population.kill_sd)
    rest = rest + walked(asdict(population), after)
    level = torch.full_like(rest, population.level_sd**2)
    return Moments(mean, level, rest)


def walked(
    population: Mapping[str, Any], after: Float[Tensor, "patient time"]
) -> Float[Tensor, "patient time time"]:
    """Return the covariance of what no rate explains, which grows with the days that are shared."""
    shared = torch.minimum(after[:, :, None], after[:, None, :])
    settled = 1.0 - torch.exp(-population["settling"] * shared)
    return population["walk"] * shared + population["early"] * settled


def scaled_sizes(
    population: GrowthPopulation, values: Float[Tensor, "patient visit feature"]
) -> Float[Tensor, "patient visit"]:
    """Return measured diameters on the scale of the belief; what was too small has a size too."""
    size = values[..., 0]
    if values.shape[2] > 1:
        small = torch.isnan(size) & (values[..., 1] == 1.0)
        size = torch.where(small, population.too_small_mm, size)
    return population.scale(size)


@dataclass(frozen=True)
class PathBelief:
    """What is believed of paths after the scans.

    ``mean`` (patient, time); ``rest`` the covariance for a volatility of 1 (patient, time, time);
    ``level_sd`` what is still unknown of the level and not scaled (patient,); the square of the
    volatility is ``scaled`` over a chi-square number with ``freedom`` degrees (patient,).
    """

    mean: Float[Tensor, "patient time"]
    rest: Float[Tensor, "patient time time"]
    level_sd: Float[Tensor, " patient"]
    scaled: Float[Tensor, " patient"]
    freedom: Float[Tensor, " patient"]


def conditioned(
    population: GrowthPopulation, prior: Moments, seen: Float[Tensor, "patient visit"], visits: int
) -> PathBelief:
    """Return the belief about the days behind the visits, given the visits.

    Parameters
    ----------
    prior
        Of the days of the visits, then of the days asked about.
    """
    known = torch.isfinite(seen).double()
    any_known = known.sum(dim=1) > 0
    whole = prior.level * any_known[:, None, None] + prior.rest
    both = known[:, :, None] * known[:, None, :]
    noise = torch.diag_embed(population.error * known + (1.0 - known))
    within = whole[:, :visits, :visits] * both + noise
    across = whole[:, :visits, visits:] * known.unsqueeze(-1)
    root = torch.linalg.cholesky(within)
    left = (torch.nan_to_num(seen) - prior.mean[:, :visits]) * known
    z = torch.linalg.solve_triangular(root, left.unsqueeze(-1), upper=False)[..., 0]
    shared = torch.linalg.solve_triangular(root, across, upper=False)
    mean = prior.mean[:, visits:] + torch.einsum("pvt,pv->pt", shared, z)
    rest = whole[:, visits:, visits:] - shared.transpose(1, 2) @ shared
    # The first scan tells of the level, the later ones of how much the patient varies.
    later = (known.cumsum(dim=1) > 1).double() * known
    return PathBelief(
        mean,
        rest,
        torch.where(any_known, 0.0, population.level_sd).double(),
        population.freedom + (later * z.square()).sum(dim=1),
        population.freedom + later.sum(dim=1),
    )


def next_spread(population: GrowthPopulation, belief: PathBelief) -> Float[Tensor, " patient"]:
    """Return the scale of Student's t of the next measurement, on the scale of the belief."""
    variance = belief.rest[:, 0, 0].clamp(min=0.0) + population.error
    return (variance * belief.scaled / belief.freedom).sqrt()


def next_quantile(
    population: GrowthPopulation, belief: PathBelief, probability: Float[Tensor, "patient draw"]
) -> Float[Tensor, "patient draw"]:
    """Return below what the next measurement will be with some probabilities."""
    steps = t.ppf(probability.numpy(), belief.freedom[:, None].numpy())
    return belief.mean + next_spread(population, belief)[:, None] * torch.from_numpy(steps)


def reshaped(
    population: GrowthPopulation,
    probability: Float[Tensor, "patient draw"],
    known: Int[Tensor, " patient"],
) -> Float[Tensor, "patient draw"]:
    """Return where probabilities of the next measurement fall in Student's t."""
    if not population.shapes:
        return probability
    table = torch.tensor(population.shapes, dtype=torch.float64)
    rows = table[(known - 1).clamp(0, len(table) - 1)]
    at = probability * rows.shape[1] - 0.5
    low = at.floor().clamp(0, rows.shape[1] - 1).long()
    high = (low + 1).clamp(max=rows.shape[1] - 1)
    share = (at - low).clamp(0.0, 1.0)
    found = rows.gather(1, low) * (1 - share) + rows.gather(1, high) * share
    # Beyond the outermost quantiles the tails are Student's own.
    outer = 0.5 / rows.shape[1]
    lower, upper = rows[:, :1], rows[:, -1:]
    found = torch.where(probability < outer, probability / outer * lower, found)
    above = 1.0 - (1.0 - probability) / outer * (1.0 - upper)
    return torch.where(probability > 1.0 - outer, above, found).clamp(1e-9, 1 - 1e-9)
