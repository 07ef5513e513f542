"""The neural twin: an ensemble whose draws are (ensemble member x latent code)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.models.companion import Companion
from omics_twin.models.network import MultimodalNetwork
from omics_twin.tensors.design import Design
from omics_twin.trust.privacy import site_pseudonyms
from omics_twin.trust.roster import digest_of_patient
from omics_twin.twin.checks import check_start, check_visit, multi_hot, scheduled
from omics_twin.twin.draws import normalised, patient_noise, select, visits_with
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Modality,
    Observation,
    Trajectory,
    TwinState,
    Visit,
)

_CHUNK = 1024


@dataclass(frozen=True)
class Membership:
    """Which members learned from which patients, without the patients' identifiers.

    The salt lies beside the digests: who has a list of identifiers can try them. Where the site has
    a key, identifiers are pseudonyms before they come here, and who has not the key cannot.

    Attributes
    ----------
    salt
        Key of the digests; another model's digests cannot be compared with this one's.
    digests
        First eight bytes of HMAC-SHA-256 of each training patient's identifier, (patient,).
    seen
        (member, patient).
    spread, spread_new
        How far the draws of a training patient, answered by the members that never saw the
        patient, and those of a new one are moved from their mean; see
        :func:`omics_twin.tensors.members.jackknife_spread`.
    """

    salt: str
    digests: Int[Tensor, " patient"]
    seen: Bool[Tensor, "member patient"]
    spread: float = 1.0
    spread_new: float = 1.0

    @staticmethod
    def of(
        patient_ids: Sequence[str],
        seen: Bool[Tensor, "member patient"],
        salt: str,
        *,
        spread: float = 1.0,
        spread_new: float = 1.0,
    ) -> Membership:
        """Return the membership of training patients."""
        digests = torch.tensor([digest_of_patient(salt, patient) for patient in patient_ids])
        return Membership(salt, digests, seen, spread, spread_new)

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {digest: row for row, digest in enumerate(self.digests.tolist())}

    def holds(self, patient_id: str) -> bool:
        """Whether a patient is a training patient."""
        return digest_of_patient(self.salt, patient_id) in self._rows

    def spread_of(self, patient_ids: Sequence[str]) -> Float[Tensor, " patient"]:
        """Return how far each patient's draws are moved from their mean."""
        new = self.unseen(patient_ids).all(dim=1)
        return torch.where(new, self.spread_new, self.spread)

    def unseen(self, patient_ids: Sequence[str]) -> Bool[Tensor, "patient member"]:
        """Return which members never saw each patient; all of them for a new patient."""
        rows, names = self._rows, site_pseudonyms()
        answer = torch.ones(len(patient_ids), self.seen.shape[0], dtype=torch.bool)
        for index, patient in enumerate(patient_ids):
            row = rows.get(digest_of_patient(self.salt, patient))
            if row is None and names is not None:
                # Who learned here under a pseudonym is the same when asked about by name.
                row = rows.get(digest_of_patient(self.salt, names.of(patient)))
            if row is not None:
                answer[index] = ~self.seen[:, row]
        return answer

    def log_weights(
        self, patient_ids: Sequence[str], member: Int[Tensor, " draw"]
    ) -> Float[Tensor, "patient draw"]:
        """Return the weights of draws before any visit: those of members that saw the patient, 0.

        A patient whom every member saw is answered by all of them.
        """
        unseen = self.unseen(patient_ids)[:, member]
        weights = torch.where(unseen, 0.0, -torch.inf)
        weights[~unseen.any(dim=1)] = 0.0
        return normalised(weights)


@dataclass(frozen=True)
class NeuralTwin:
    """A trained ensemble as a twin.

    A draw holds the member it belongs to, the evidence gathered so far as natural parameters of
    a Gaussian over the latent code, and fixed noise; the code itself follows from them. So
    observing is exact, needs no random numbers, and visits of one patient add up.

    A patient the ensemble was trained on is answered by the members that never saw the patient.

    Where trees stand beside the network, a draw also holds how far they move its prognosis, found
    from all that was measured before treatment; later visits move the network's code alone.

    Attributes
    ----------
    network
        In evaluation mode.
    design
        What it expects to be shown.
    agents
        The agents it knows, in the order of its therapy input.
    membership
        Who trained which member.
    companion
        Trees that answer beside the network; None: it answers alone.
    """

    name: str
    network: MultimodalNetwork
    design: Design
    agents: tuple[str, ...]
    membership: Membership
    companion: Companion | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        return self.design.modalities

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the twin simulates."""
        return self.network.outcome.quantities

    @property
    def proposal(self) -> NeuralTwin:
        """The neural twin that answers before treatment: this one."""
        return self

    def shown(self, state: TwinState) -> Bool[Tensor, "patient channel"]:
        """Return which channels of the design each patient was shown."""
        first = 1 + 3 * self.network.latent + 2 * self.network.terms
        return state.draws[:, 0, first : first + len(self.design.channels)] > 0

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet.

        Raises
        ------
        TwinError
            If there are fewer draws than members, no patient or a patient twice.
        """
        members = self.network.members
        check_start(patient_ids, draws, least=members)
        latent, patients = self.network.latent, len(patient_ids)
        member = torch.arange(draws) % members
        columns = [
            member.float().expand(patients, -1).unsqueeze(-1),
            torch.zeros(patients, draws, 2 * latent),
            patient_noise(patient_ids, draws, latent, seed),
            torch.zeros(patients, draws, self.network.terms),
            patient_noise(patient_ids, draws, self.network.terms, seed + 1),
            torch.zeros(patients, draws, len(self.design.channels)),
            torch.zeros(patients, draws, 0 if self.companion is None else 1),
        ]
        return TwinState(
            patient_ids=tuple(patient_ids),
            days=torch.zeros(patients, dtype=torch.float64),
            draws=torch.cat(columns, dim=2),
            log_weights=self.membership.log_weights(patient_ids, member),
            names=self._names(),
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
            If the patients, the modalities, their sizes or the days do not fit, or a scheduled
            visit is shown twice.
        """
        check_visit(state, observation, self.modalities)
        draws = state.draws.clone()
        agents = multi_hot(self.agents, under).expand(len(state.patient_ids), -1)
        for modality, values in observation.values.items():
            own = [k for k, c in enumerate(self.design.channels) if c.modality == modality]
            channels = [self.design.channels[index] for index in own]
            for place, rows in scheduled(channels, observation.days, values).items():
                only = torch.where(rows[:, None], values, torch.nan)
                self._add(state, draws, own[place], only, agents)
        days = torch.maximum(state.days, observation.days.to(state.days))
        shown = replace(state, draws=draws, days=days)
        if self.companion is None:
            return shown
        shown = replace(shown, history=(*state.history, Visit(observation, under)))
        before = [k for k, each in enumerate(self.design.channels) if not each.follow_up]
        new = (self.shown(shown) ^ self.shown(state))[:, before].any(dim=1)
        told = torch.nonzero(new)[:, 0]
        for rows in told.split(_CHUNK) if len(told) else ():
            draws[rows, :, -1] = self._moved_by_trees(select(shown, rows))
        return shown

    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Return every draw's trajectory under an intervention.

        Survival quantities are conditional on the patient being alive and free of the event on
        the day of the last visit.

        Raises
        ------
        TwinError
            If an agent of the intervention is not known to this twin.
        """
        return next(self.simulate_each(state, [intervention], days))

    @torch.no_grad()
    def simulate_each(
        self,
        state: TwinState,
        interventions: Sequence[Intervention],
        days: Float[Tensor, " time"],
    ) -> Iterator[Trajectory]:
        """Yield :meth:`simulate` of each intervention, of few patients in one pass."""
        code = torch.cat([self._latent_code(state), self._added(state)], dim=-1)
        member = state.draws[0, :, 0].long()
        asked = torch.cat([days.double(), state.days.clamp(min=0.0).unique()]).float()
        spread, moved = self.spread_of(state), state.draws[..., -1]
        at_once = max(1, _CHUNK // len(code))
        for first in range(0, len(interventions), at_once):
            some = interventions[first : first + at_once]
            agents = torch.stack([multi_hot(self.agents, each) for each in some])
            parts = []
            for rows in torch.arange(len(code)).split(_CHUNK):
                every = rows.repeat(len(some))
                found = self.network.simulate(
                    code[every],
                    member,
                    agents.repeat_interleave(len(rows), dim=0),
                    asked,
                    state.log_weights[every],
                    spread[every],
                    None if self.companion is None else moved[every],
                )
                parts.append(found.unflatten(0, (len(some), len(rows))))
            for values in torch.cat(parts, dim=1):
                yield Trajectory(
                    patient_ids=state.patient_ids,
                    days=days.double(),
                    values=self._given_event_free(values, asked, state.days, len(days)),
                    log_weights=state.log_weights,
                    names=self.quantities,
                    units=self.network.outcome.units,
                )

    def _before_treatment(self, state: TwinState) -> dict[str, Float[Tensor, "patient feature_"]]:
        """Return what was measured before treatment, by channel."""
        found = {}
        for channel in self.design.channels:
            if channel.follow_up:
                continue
            visits = [each for each in self.design.channels if each.modality == channel.modality]
            found[channel.name] = torch.full(
                (len(state.patient_ids), len(channel.features)), torch.nan
            )
            for visit, values in visits_with(state, channel.modality):
                told = scheduled(visits, visit.observation.days, values)
                rows = told.get(visits.index(channel))
                if rows is not None:
                    found[channel.name][rows] = values[rows].to(found[channel.name])
        return found

    @torch.no_grad()
    def _moved_by_trees(self, state: TwinState) -> Float[Tensor, "patient draw"]:
        """Return how far trees move the prognosis of each draw, by what is known so far."""
        trees, member = cast(Companion, self.companion), state.draws[0, :, 0].long()
        asked, place = member.unique(return_inverse=True)
        score, share = trees.answered(self.network, self._before_treatment(state), asked)
        code = torch.cat([self._latent_code(state), self._added(state)], dim=-1)
        usual = self.network.prognosis(code, member, trees.agents, trees.causes[member])
        usual = usual - trees.usual[member]
        return share[place].T * (score[place].T - usual)

    def spread_of(self, state: TwinState) -> Float[Tensor, " patient"]:
        """Return how far each patient's draws are moved from their mean."""
        own = self.membership.spread_of(state.patient_ids)
        return own if state.spread is None else own * state.spread

    def _given_event_free(
        self, values: Tensor, asked: Tensor, reached: Tensor, wanted: int
    ) -> Tensor:
        now = torch.searchsorted(asked[wanted:], reached.clamp(min=0.0).float()) + wanted
        at_visit = values[torch.arange(len(values)), :, now].unsqueeze(2)
        return self.network.outcome.given_event_free(values[:, :, :wanted], at_visit)

    def _names(self) -> tuple[str, ...]:
        parts = ("shift", "precision", "noise")
        code = [f"{part}_{k}" for part in parts for k in range(self.network.latent)]
        code += [f"{part}_{k}" for part in ("added", "open") for k in range(self.network.terms)]
        seen = [f"seen_{channel.name}" for channel in self.design.channels]
        trees = () if self.companion is None else ("trees",)
        return ("member", *code, *seen, *trees)

    def _latent_code(self, state: TwinState) -> Float[Tensor, "patient draw latent"]:
        shift, precision, noise = state.draws[..., 1 : 1 + 3 * self.network.latent].chunk(3, dim=-1)
        total = 1.0 + precision
        return shift / total + noise * total.rsqrt()

    def _added(self, state: TwinState) -> Float[Tensor, "patient draw term"]:
        first, terms = 1 + 3 * self.network.latent, self.network.terms
        return state.draws[..., first : first + terms] + self.unmeasured(state)

    def unmeasured(self, state: TwinState) -> Float[Tensor, "patient draw term"]:
        """Return a draw of what modalities not measured before treatment would have added."""
        first, terms = 1 + 3 * self.network.latent, self.network.terms
        noise = state.draws[..., first + terms : first + 2 * terms]
        total = torch.zeros_like(noise)
        if not terms:
            return total
        seen = self.shown(state)
        member = state.draws[0, :, 0].long()
        patterns, which = torch.unique(seen, dim=0, return_inverse=True)
        for index, pattern in enumerate(patterns.tolist()):
            absent = [
                channel.name
                for channel, there in zip(self.design.channels, pattern, strict=True)
                if not there and not channel.follow_up
            ]
            if absent:
                rows = which == index
                root = self.network.unknown(absent)[member]
                total[rows] = torch.einsum("dij,pdj->pdi", root, noise[rows])
        return total

    @torch.no_grad()
    def _add(
        self, state: TwinState, draws: Tensor, index: int, values: Tensor, agents: Tensor
    ) -> None:
        channel, latent = self.design.channels[index], self.network.latent
        measured = ~torch.isnan(values).all(dim=1)
        terms = self.network.terms
        flag = 1 + 3 * latent + 2 * terms + index
        if bool((draws[measured, 0, flag] > 0).any()):
            raise TwinError(
                f"'{channel.name}' was already observed, expected each scheduled visit once"
            )
        member, values = state.draws[0, :, 0].long(), values.to(draws)
        for start in range(0, len(values), _CHUNK):
            rows = slice(start, start + _CHUNK)
            encoder = self.network.encoder(channel.name)
            # Thousands of features are reduced to their components once.
            reduced = encoder.reduced(values[rows])
            told = values[rows] if reduced is None else reduced
            evidence = self.network.evidence(channel.name, told, agents[rows])
            found = torch.cat([evidence.shift, evidence.precision], dim=-1)
            draws[rows, :, 1 : 1 + 2 * latent] += found[member].transpose(0, 1)
            added = encoder.added(told)[member]
            draws[rows, :, 1 + 3 * latent : 1 + 3 * latent + terms] += added.transpose(0, 1)
        draws[..., flag] += measured[:, None].float()
