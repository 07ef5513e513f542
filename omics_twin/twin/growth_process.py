"""Tumour size as growth, inhibition and chance: an exact belief from any number of scans.

On the logarithmic scale Claret's model of growth inhibition is linear in a patient's size, growth
and kill rate. With the resistance shared, a random walk for what no rate explains, and a volatility
of the patient's own, the belief after every scan is known in closed form: Gaussian given the
volatility, Student's t without it. So nothing is approximated, and a scan costs microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import chi2, norm
from torch import Tensor

from omics_twin.dynamics.plan import Plan, plan_of
from omics_twin.dynamics.recist import SCAN_DAYS, progression_free
from omics_twin.twin.checks import check_start, check_visit
from omics_twin.twin.draws import normalised, patient_noise
from omics_twin.twin.growth_belief import (
    GrowthPopulation,
    conditioned,
    effect_of,
    moments,
    next_quantile,
    reshaped,
    scaled_sizes,
)
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Modality,
    Observation,
    Trajectory,
    TwinState,
    Visit,
)


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
        grid = torch.arange(0.0, last + 1e-9, SCAN_DAYS, dtype=torch.float64)
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


def _root(covariance: Float[Tensor, "patient time time"]) -> Float[Tensor, "patient time time"]:
    values, vectors = torch.linalg.eigh((covariance + covariance.transpose(1, 2)) / 2)
    return vectors * values.clamp(min=0.0).sqrt()[:, None, :]
