"""The twin of patients with many visits, on any days: a recurrent ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.models.heads import HazardHead
from omics_twin.models.network import Widening
from omics_twin.models.visits import Memory, VisitNetwork
from omics_twin.twin.checks import check_start, check_visit, multi_hot
from omics_twin.twin.draws import patient_noise, visits_with, weighted_mean, weighted_quantile
from omics_twin.twin.neural import Membership
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Modality,
    Observation,
    Trajectory,
    TwinState,
    Visit,
)

_YEARS = (1, 2, 5)
_YEAR = 365.25


@dataclass(frozen=True)
class VisitTwin:
    """A belief that is moved by every visit, and the risk of an event from there.

    A draw holds the member it belongs to, the last values, those before, and what the member
    remembers; before the first visit, and where something was never measured, values are drawn
    from training patients' first visits. A patient the ensemble was trained on is answered by the
    members that never saw the patient. What the members expect, of events and of what will be
    measured, is moved apart by the delete-d jackknife, as they share training patients.

    Attributes
    ----------
    network
        In evaluation mode.
    modality
        What a visit measures.
    watched
        The feature whose forecasts are held against what came.
    outcome
        Name of the event-free state.
    agents
        The agents it knows, in the order of its therapy input.
    membership
        Who trained which member.
    """

    name: str
    network: VisitNetwork
    modality: Modality
    watched: str
    outcome: str
    agents: tuple[str, ...]
    membership: Membership

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        return (self.modality,)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the twin simulates: that no event has happened, and every feature."""
        return (self.outcome, *self.modality.features)

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet.

        Raises
        ------
        TwinError
            If there are fewer draws than members, no patient or a patient twice.
        """
        members = self.network.members
        check_start(patient_ids, draws, least=members)
        member, patients = torch.arange(draws) % members, len(patient_ids)
        features = len(self.modality.features)
        root = torch.linalg.cholesky(self.network.spread)[member]
        noise = patient_noise(patient_ids, draws, features, seed)
        last = torch.einsum("dij,pdj->pdi", root, noise)
        columns = [
            member.float().expand(patients, -1).unsqueeze(-1),
            last,
            last,
            torch.zeros(patients, draws, self.network.hidden),
            patient_noise(patient_ids, draws, features, seed + 1),
        ]
        names = [f"{part}_{k}" for part in ("last", "before") for k in range(features)]
        names += [f"memory_{k}" for k in range(self.network.hidden)]
        names += [f"noise_{k}" for k in range(features)]
        return TwinState(
            patient_ids=tuple(patient_ids),
            days=torch.zeros(patients, dtype=torch.float64),
            draws=torch.cat(columns, dim=2),
            log_weights=self.membership.log_weights(patient_ids, member),
            names=("member", *names),
            seed=seed,
        )

    @torch.no_grad()
    def observe(
        self,
        state: TwinState,
        observation: Observation,
        *,
        under: Intervention = NO_INTERVENTION,
    ) -> TwinState:
        """Add what a visit says to the belief; one without values tells that nothing happened.

        Raises
        ------
        TwinError
            If the patients, the modality, its size or the days do not fit.
        """
        check_visit(state, observation, self.modalities)
        multi_hot(self.agents, under)
        days = torch.maximum(state.days, observation.days.to(state.days))
        shown = replace(state, days=days, history=(*state.history, Visit(observation, under)))
        values = observation.values.get(self.modality.name)
        if values is None or not bool((there := ~torch.isnan(values).all(dim=1)).any()):
            return shown
        network, rows = self.network.of(self._member(state)), torch.nonzero(there)[:, 0]
        first_day, last_day = (each[rows] for each in self._visited(state))
        first = torch.isinf(last_day)
        memory = _some(self._memory(state), rows)
        found = network.standard(values[rows].float())
        drawn = network.completed(memory.last, found)
        # Before the first visit everything is a draw; from then on only what was never measured.
        found = torch.where(first[:, None], drawn, found)
        gap = torch.where(first, 0.0, observation.days[rows] - last_day).float()
        measured = torch.isfinite(values[rows]).expand_as(found)
        after = network.seen(memory, found, gap, first, measured)
        draws = state.draws.clone()
        features = len(self.modality.features)
        moved = torch.cat(after, dim=-1).transpose(0, 1)
        draws[rows, :, 1 : 1 + 2 * features + network.hidden] = moved
        return replace(shown, draws=draws)

    @torch.no_grad()
    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Return what each draw expects on days under an intervention; of a sign, how likely it is.

        That no event has happened is conditional on none by the day of the last visit.

        Raises
        ------
        TwinError
            If an agent of the intervention is not known to this twin.
        """
        values = self._ahead(state, intervention, days.double().expand(len(state.days), -1))
        return Trajectory(
            patient_ids=state.patient_ids,
            days=days.double(),
            values=values,
            log_weights=state.log_weights,
            names=self.quantities,
            units=("probability", *(self.modality.unit for _ in self.modality.features)),
        )

    @torch.no_grad()
    def forecast(
        self,
        state: TwinState,
        days: Float[Tensor, " patient"],
        under: Intervention = NO_INTERVENTION,
    ) -> Float[Tensor, "patient draw feature"]:
        """Return what each draw expects to be measured on a day, one day for each patient.

        Of a sign, it is how likely yes is.
        """
        return self._ahead(state, under, days.double()[:, None])[:, :, 0, 1:]

    def sizes(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, " patient"]:
        """Return what is watched from visit to visit."""
        return values[:, self.modality.features.index(self.watched)]

    def summary(
        self, state: TwinState, interval: float
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return mean and interval of staying free of the event for some years, (patient,)."""
        tail, under = (1.0 - interval) / 2.0, self._under(state)
        asked = state.days[:, None] + _YEAR * torch.tensor(_YEARS).to(state.days)
        found = {}
        for years, free in zip(
            _YEARS, self._ahead(state, under, asked)[..., 0].unbind(2), strict=True
        ):
            found[f"{self.outcome}_{years}_years"] = (
                weighted_mean(free, state.log_weights),
                weighted_quantile(free, state.log_weights, tail),
                weighted_quantile(free, state.log_weights, 1.0 - tail),
            )
        return found

    def _ahead(
        self,
        state: TwinState,
        intervention: Intervention,
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time quantity"]:
        network, memory = self.network.of(self._member(state)), self._memory(state)
        first, last = self._visited(state)
        # Who was never seen is taken as seen on day 0, or on the first day asked about.
        begun = torch.minimum(torch.zeros(()).double(), days.min(dim=1).values)
        last = torch.where(torch.isinf(last), begun, last)
        first = torch.where(torch.isinf(first), last, first)
        agents = multi_hot(self.agents, intervention).expand(len(days), -1)
        score = network.score(memory, agents, (last - first).float())
        reached = torch.maximum(state.days, last)
        ahead = torch.cat([days, reached[:, None]], dim=1) - last[:, None]
        widening = Widening(state.log_weights.exp().T, self.membership.spread_of(state.patient_ids))
        free = network.event_free(score, ahead.float(), widening)
        free = (free[..., :-1] / free[..., -1:].clamp(min=1e-6)).clamp(max=1.0)
        noise = state.draws[..., -len(self.modality.features) :].transpose(0, 1)
        columns = []
        for gap in (days - last[:, None]).clamp(min=0.0).float().T:
            mean, doubt = network.ahead(memory, gap, widening)
            later = (gap > 0)[:, None]
            value = network.natural(torch.where(later, mean + doubt * noise, memory.last))
            columns.append(torch.where(later & network.signs, torch.sigmoid(mean), value))
        values = torch.cat([free.unsqueeze(-1), torch.stack(columns, dim=2)], dim=-1)
        return values.transpose(0, 1)

    @staticmethod
    def _member(state: TwinState) -> Tensor:
        return state.draws[0, :, 0].long()

    def _memory(self, state: TwinState) -> Memory:
        features = len(self.modality.features)
        sizes = [features, features, self.network.hidden]
        parts = state.draws[..., 1 : 1 + sum(sizes)].transpose(0, 1).split(sizes, dim=-1)
        return Memory(*parts)

    def _visited(self, state: TwinState) -> tuple[Float[Tensor, " patient"], ...]:
        """Return the first and the last day on which something was measured, infinite for none."""
        first = torch.full((len(state.days),), torch.inf, dtype=torch.float64)
        last = torch.full_like(first, -torch.inf)
        for visit, values in visits_with(state, self.modality.name):
            there, days = ~torch.isnan(values).all(dim=1), visit.observation.days
            first = torch.where(there, torch.minimum(first, days), first)
            last = torch.where(there, torch.maximum(last, days), last)
        return first, last

    @staticmethod
    def _under(state: TwinState) -> Intervention:
        return state.history[-1].under if state.history else NO_INTERVENTION

    def to_json(self) -> dict[str, Any]:
        """Return what, beside its tensors, restores the twin."""
        membership = self.membership
        return {
            "name": self.name,
            "modality": asdict(self.modality),
            "watched": self.watched,
            "outcome": self.outcome,
            "agents": list(self.agents),
            "salt": membership.salt,
            "spread": [membership.spread, membership.spread_new],
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are stored."""
        return {
            **{f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()},
            "membership.digests": self.membership.digests,
            "membership.seen": self.membership.seen,
        }

    @staticmethod
    def restored(stored: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> VisitTwin:
        """Return the twin of what was stored."""
        weights = {k[8:]: v for k, v in tensors.items() if k[:8] == "network."}
        level = weights["head.level"]
        head = HazardHead(
            stored["outcome"], weights["head.edges_days"], torch.full_like(level[:, 0], 0.5)
        )
        network = VisitNetwork(
            weights["log"],
            weights["binary"],
            weights["fixed"],
            weights["location"],
            weights["scale"],
            weights["spread"],
            weights["range_"],
            head,
            len(stored["agents"]),
            weights["history.weight"].shape[1],
            torch.Generator().manual_seed(0),
        )
        network.load_state_dict(weights, strict=True)
        kept = stored["modality"]
        membership = Membership(
            stored["salt"],
            tensors["membership.digests"],
            tensors["membership.seen"],
            *stored["spread"],
        )
        return VisitTwin(
            name=stored["name"],
            network=network.eval().requires_grad_(requires_grad=False),
            modality=Modality(kept["name"], kept["unit"], tuple(kept["features"])),
            watched=stored["watched"],
            outcome=stored["outcome"],
            agents=tuple(stored["agents"]),
            membership=membership,
        )


def _some(memory: Memory, rows: Tensor) -> Memory:
    return Memory(*(each[:, rows] for each in memory))
