"""Tumour size as growth, inhibition and chance: an exact belief from any number of scans.

On the logarithmic scale Claret's model of growth inhibition is linear in a patient's size, growth
and kill rate. With the resistance shared, a random walk for what no rate explains, and a volatility
of the patient's own, the belief after every scan is known in closed form: Gaussian given the
volatility, Student's t without it. So nothing is approximated, and a scan costs microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import chi2, norm, t
from torch import Tensor

from omics_twin.dynamics.growth import GrowthInhibition
from omics_twin.dynamics.plan import Plan, plan_of
from omics_twin.dynamics.recist import progression_free
from omics_twin.twin.checks import check_start, check_visit
from omics_twin.twin.draws import normalised, patient_noise
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Modality,
    Observation,
    Trajectory,
    TwinState,
    Visit,
)

_EVERY_DAYS = 56.0
_LARGEST_MM = 500.0
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
        most = math.log(_LARGEST_MM + self.offset_mm)
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
    rest = rest + _walked(asdict(population), after)
    level = torch.full_like(rest, population.level_sd**2)
    return Moments(mean, level, rest)


def _walked(
    population: Mapping[str, Any], after: Float[Tensor, "patient time"]
) -> Float[Tensor, "patient time time"]:
    shared = torch.minimum(after[:, :, None], after[:, None, :])
    settled = 1.0 - torch.exp(-population["settling"] * shared)
    return population["walk"] * shared + population["early"] * settled


@dataclass(frozen=True)
class GrowthProcessTwin:
    """The twin of a tumour's size; see the module.

    What a draw is made of is fixed noise: the belief follows from the visits and the noise.
    """

    name: str
    modality: Modality
    population: GrowthPopulation

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        return (self.modality,)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the twin simulates."""
        return ("size_mm", "progression_free")

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet.

        Raises
        ------
        TwinError
            If there is no patient, a patient twice, or no draw.
        """
        check_start(patient_ids, draws)
        patients = len(patient_ids)
        return TwinState(
            patient_ids=tuple(patient_ids),
            days=torch.zeros(patients, dtype=torch.float64),
            draws=patient_noise(patient_ids, draws, 2, seed).double(),
            log_weights=normalised(torch.zeros(patients, draws, dtype=torch.float64)),
            names=("volatility_noise", "level_noise"),
            seed=seed,
        )

    def observe(
        self,
        state: TwinState,
        observation: Observation,
        *,
        under: Intervention = NO_INTERVENTION,
    ) -> TwinState:
        """Add what a visit says to the belief.

        Raises
        ------
        TwinError
            If patients, modalities, their sizes or the days do not fit.
        """
        check_visit(state, observation, self.modalities)
        days = torch.maximum(state.days, observation.days.to(state.days))
        return replace(state, days=days, history=(*state.history, Visit(observation, under)))

    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Return every draw's trajectory: as it was, then as it would be."""
        asked = days.double()
        last = float(asked.max().clamp(min=0.0))
        grid = torch.arange(0.0, last + 1e-9, _EVERY_DAYS, dtype=torch.float64)
        union = torch.cat([asked, grid]).unique()
        every = union.expand(len(state.patient_ids), -1)
        size = self.population.size(self._paths(state, intervention, every))
        free = torch.zeros_like(size)
        at = torch.searchsorted(union, grid)
        seen = progression_free(size[:, :, at])
        free = seen[:, :, torch.searchsorted(grid, union, right=True).sub(1).clamp(min=0)]
        where = torch.searchsorted(union, asked)
        return Trajectory(
            patient_ids=state.patient_ids,
            days=asked,
            values=torch.stack([size[:, :, where], free[:, :, where]], dim=-1),
            log_weights=state.log_weights,
            names=self.quantities,
            units=("mm", "1"),
        )

    def forecast(
        self,
        state: TwinState,
        days: Float[Tensor, " patient"],
        under: Intervention = NO_INTERVENTION,
    ) -> Float[Tensor, "patient draw feature"]:
        """Return what each draw expects to be measured on a day, with the noise of measuring it."""
        seen_days, seen = self._seen(state)
        every = torch.cat([seen_days, days.double()[:, None]], dim=1)
        effect = effect_of(plans_of(state, under), every, self.population.resistance)
        belief = conditioned(
            self.population, moments(self.population, effect, every), seen, seen.shape[1]
        )
        probability = torch.special.ndtr(state.draws[..., 0]).clamp(1e-9, 1 - 1e-9)
        known = torch.isfinite(seen).sum(dim=1)
        path = next_quantile(self.population, belief, reshaped(self.population, probability, known))
        path = path + belief.level_sd[:, None] * state.draws[..., 1]
        size = self.population.size(path)
        small = (size < self.population.too_small_mm).to(size)
        return torch.stack([size, small], dim=-1)[..., : len(self.modality.features)]

    def sizes(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, " patient"]:
        """Return measured sizes, those too small to measure included [mm]."""
        scaled = scaled_sizes(self.population, values.double().unsqueeze(1))[:, 0]
        return self.population.size(scaled)

    def rates(self, state: TwinState) -> dict[str, tuple[Tensor, Tensor]]:
        """Return mean and standard deviation of each patient's own rates, (patient,) [1/day]."""
        days, seen = self._seen(state)
        effect = effect_of(plans_of(state, NO_INTERVENTION), days, self.population.resistance)
        after, p = days.clamp(min=0.0), self.population
        of_rate = {
            "growth": (p.growth, p.growth_sd, after),
            "inhibition": (p.kill, p.kill_sd, -effect),
        }
        known = torch.isfinite(seen).double()
        prior = moments(p, effect, days)
        both = known[:, :, None] * known[:, None, :]
        within = (prior.level + prior.rest) * both + torch.diag_embed(p.error * known + 1.0 - known)
        left = ((torch.nan_to_num(seen) - prior.mean) * known).unsqueeze(-1)
        belief = conditioned(p, prior, seen, seen.shape[1])
        # Of Student's t with few degrees of freedom only the scale exists.
        scale = (belief.scaled / belief.freedom).sqrt()
        found = {}
        for name, (mean, spread, along) in of_rate.items():
            across = (spread**2 * along * known).unsqueeze(1)
            gain = across @ torch.linalg.inv(within) if seen.shape[1] else across
            moved = mean + (gain @ left)[:, 0, 0] if seen.shape[1] else torch.full_like(scale, mean)
            rest = spread**2 - (gain @ across.transpose(1, 2))[:, 0, 0]
            found[name] = (moved, rest.clamp(min=0.0).sqrt() * scale)
        return found

    def summary(
        self, state: TwinState, interval: float
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return mean and interval of each of the patient's own rates, (patient,) [%/28 days]."""
        width = float(norm.ppf((1.0 + interval) / 2.0))
        found = {}
        for name, (mean, spread) in self.rates(state).items():
            ends = [2800.0 * (mean + side * width * spread) for side in (-1.0, 1.0)]
            found[f"{name} [% in 28 days]"] = (2800.0 * mean, ends[0], ends[1])
        return found

    def _paths(
        self,
        state: TwinState,
        ahead: Intervention,
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time"]:
        seen_days, seen = self._seen(state)
        visits = seen.shape[1]
        plans = plans_of(state, ahead)
        every = torch.cat([seen_days, days], dim=1)
        prior = moments(self.population, effect_of(plans, every, self.population.resistance), every)
        belief = conditioned(self.population, prior, seen, visits)
        noise = patient_noise(
            state.patient_ids, state.draws.shape[1], days.shape[1], state.seed + 1
        )
        probability = torch.special.ndtr(state.draws[..., 0]).clamp(1e-9, 1 - 1e-9)
        freedom = belief.freedom[:, None].numpy()
        chi = torch.from_numpy(chi2.ppf(probability.numpy(), freedom))
        volatility = (belief.scaled[:, None] / chi.clamp(min=1e-12)).sqrt()
        path = torch.einsum("pij,pdj->pdi", _root(belief.rest), noise.double())
        unseen = belief.level_sd[:, None] * state.draws[..., 1]
        return belief.mean[:, None] + volatility.unsqueeze(-1) * path + unseen.unsqueeze(-1)

    def _seen(self, state: TwinState) -> tuple[Tensor, Tensor]:
        """Return days and scaled sizes of all scans so far, NaN where not measured."""
        found = [v.observation for v in state.history if self.modality.name in v.observation.values]
        if not found:
            empty = torch.zeros(len(state.patient_ids), 0, dtype=torch.float64)
            return empty, empty
        days = torch.stack([each.days.double() for each in found], dim=1)
        values = torch.stack([each.values[self.modality.name].double() for each in found], dim=1)
        return days, scaled_sizes(self.population, values)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "modality": asdict(self.modality),
            "population": asdict(self.population),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> GrowthProcessTwin:
        """Return the twin from plain values."""
        modality = stored["modality"]
        return GrowthProcessTwin(
            stored["name"],
            Modality(modality["name"], modality["unit"], tuple(modality["features"])),
            GrowthPopulation(**{**stored["population"], "shapes": _tuples(stored["population"])}),
        )


def _tuples(stored: Mapping[str, Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(each) for each in stored["shapes"])


def plans_of(state: TwinState, ahead: Intervention) -> list[Plan]:
    """Return each patient's plan: what was given between the visits, then what comes."""
    days = [visit.observation.days.tolist() for visit in state.history]
    given = [visit.under for visit in state.history]
    return [
        plan_of([each[row] for each in days], given, ahead) for row in range(len(state.patient_ids))
    ]


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


def _root(covariance: Float[Tensor, "patient time time"]) -> Float[Tensor, "patient time time"]:
    values, vectors = torch.linalg.eigh((covariance + covariance.transpose(1, 2)) / 2)
    return vectors * values.clamp(min=0.0).sqrt()[:, None, :]


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
    covariance = covariance + _walked(p, after)
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
