"""The hybrid twin: a network proposes whether a patient will respond, the course tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.models.heads import BinaryHead
from omics_twin.models.network import MultimodalNetwork
from omics_twin.tensors.design import ChannelDesign, Design
from omics_twin.twin.checks import check_visit, multi_hot, scheduled
from omics_twin.twin.course import Course
from omics_twin.twin.draws import normalised, patient_noise, select, visits_with
from omics_twin.twin.neural import Membership, NeuralTwin
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
class HybridTwin:
    """A neural twin before treatment, and from then on the course of what is measured.

    The network proposes from omics and clinical data how likely a response is under each therapy;
    given response and therapy, measurements change as :class:`~omics_twin.twin.course.Course`
    says. The likelihood of both together is the product of the two, so training them apart is
    training them together. A visit under therapy moves the odds of a response by its likelihood
    ratio, exactly, and members that foresaw the visit gain weight.

    Each patient has a threshold that is the same under every therapy; a response under a therapy
    is that the therapy's log-odds pass it. So what is learned under the therapy received also
    tells of the others, and who would respond to a weaker therapy is believed to respond to a
    stronger one. That coupling is an assumption which no trial of one therapy each can check.

    Attributes
    ----------
    prior
        The neural twin; it is shown what is measured before treatment alone.
    course
        Of one modality under therapy.
    design
        What the twin expects to be shown, scheduled visits under therapy with it.
    """

    prior: NeuralTwin
    course: Course
    design: Design

    def __post_init__(self) -> None:
        """Refuse a network whose answer is not one probability of a response."""
        heads = [head for _, head in self.prior.network.outcome.parts]
        if len(heads) != 1 or not isinstance(heads[0], BinaryHead):
            raise TwinError(
                "a course is told apart by response: expected a network of one yes-or-no outcome"
            )

    @property
    def name(self) -> str:
        """Of the twin."""
        return self.prior.name

    @property
    def network(self) -> MultimodalNetwork:
        """What proposes."""
        return self.prior.network

    @property
    def agents(self) -> tuple[str, ...]:
        """The agents it knows."""
        return self.prior.agents

    @property
    def membership(self) -> Membership:
        """Who trained which member."""
        return self.prior.membership

    @property
    def proposal(self) -> NeuralTwin:
        """The neural twin that answers before treatment."""
        return self.prior

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        return self.design.modalities

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the twin simulates: the response, and every feature of the course."""
        return (*self.prior.quantities, *(each.quantity for each in self.visits[0].features))

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet.

        Raises
        ------
        TwinError
            If there are fewer draws than members, no patient or a patient twice.
        """
        proposed = self.prior.start(patient_ids, draws=draws, seed=seed)
        own = patient_noise(patient_ids, draws, self._own, seed + 2)
        names = ("threshold", *(f"course_{k}" for k in range(self.course.noises)))
        return replace(
            proposed,
            draws=torch.cat([proposed.draws, own], dim=2),
            names=(*proposed.names, *names),
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
        name, follow_up = self.course.modality, observation.days > 0
        before = self._before_treatment(observation)
        proposed = self.prior.observe(self._proposed(state), before, under=under)
        own = state.draws[..., -self._own :]
        shown = replace(
            state,
            draws=torch.cat([proposed.draws, own], dim=2),
            days=torch.maximum(state.days, observation.days.to(state.days)),
            history=(*state.history, Visit(observation, under)),
        )
        self._check_scheduled(state, observation)
        if name not in observation.values:
            return shown
        told = follow_up & ~torch.isnan(observation.values[name]).all(dim=1)
        rows = torch.nonzero(told)[:, 0]
        if not len(rows):
            return shown
        gained = self._log_evidence(select(shown, rows)) - self._log_evidence(select(state, rows))
        weights = shown.log_weights.clone()
        weights[rows] = normalised(weights[rows] + gained)
        return replace(shown, log_weights=weights)

    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Return every draw's probability of a response and its course under an intervention.

        What was measured at scheduled visits is part of the course.

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
        """Yield :meth:`simulate` of each intervention; what was seen is weighed once."""
        member = state.draws[0, :, 0].long()
        rank = torch.special.ndtr(state.draws[..., -self._own])
        received, agents = self._received(state)
        seen = self._seen(state)
        shown = self.course.scaled(seen)[member].transpose(0, 1)
        likely = self.course.evidence(seen, agents)[:, member]
        ratio = (likely[1] - likely[0]).T
        past = self._expected(agents, member, rank < _updated(received, received, ratio))
        off = self.course.drawn(shown - past, state.draws[..., 1 - self._own :], member)
        proposed = self.prior.simulate_each(self._proposed(state), interventions, days)
        for intervention, proposal in zip(interventions, proposed, strict=True):
            now = _updated(received, proposal.values[:, :, 0, 0], ratio)
            asked = multi_hot(self.agents, intervention).expand(len(seen), -1)
            ahead = self._expected(asked, member, rank < now)
            path = torch.where(torch.isnan(shown), ahead + off, shown)
            told = now[:, :, None, None].expand(-1, -1, len(days), 1)
            columns = self.course.at(path, days, member)
            yield replace(
                proposal,
                values=torch.cat([told, columns], dim=-1),
                names=self.quantities,
                units=(*proposal.units, *(each.unit for each in self.visits[0].features)),
            )

    def forecast(
        self,
        state: TwinState,
        days: Float[Tensor, " patient"],
        under: Intervention = NO_INTERVENTION,
    ) -> Float[Tensor, "patient draw feature"]:
        """Return what each draw expects to be measured on a day, one day for each patient."""
        asked = days.double().unique()
        found = self.simulate(state, under, asked).values[..., 1:]
        place = torch.searchsorted(asked, days.double())
        return found[torch.arange(len(days)), :, place]

    def repeated(self, state: TwinState, times: int) -> TwinState:
        """Return the belief with each draw several times, a course of its own drawn each time.

        What was seen weighs members and codes, and nothing of the noise that makes a course.
        """
        draws = state.draws.repeat_interleave(times, dim=1)
        own = patient_noise(state.patient_ids, draws.shape[1], self._own, state.seed + 3)
        return replace(
            state,
            draws=torch.cat([draws[..., : -self._own], own], dim=2),
            log_weights=normalised(state.log_weights.repeat_interleave(times, dim=1)),
        )

    def shown(self, state: TwinState) -> Bool[Tensor, "patient channel"]:
        """Return which channels of the design each patient was shown."""
        before = self.prior.shown(self._proposed(state))
        there = dict(zip(self.prior.design.channels, before.T, strict=True))
        seen = ~torch.isnan(self._seen(state)).unflatten(1, (len(self.course.days), -1)).all(dim=2)
        there |= dict(zip(self.visits[1:], seen.T[1:], strict=True))
        return torch.stack([there[each] for each in self.design.channels], dim=1)

    def spread_of(self, state: TwinState) -> Float[Tensor, " patient"]:
        """Return how far each patient's draws are moved from their mean."""
        return self.prior.spread_of(state)

    @property
    def _own(self) -> int:
        """How many columns of a draw are not the neural twin's."""
        return 1 + self.course.noises

    @property
    def visits(self) -> list[ChannelDesign]:
        """The scheduled visits of the course, in order."""
        own = [c for c in self.design.channels if c.modality == self.course.modality]
        return sorted(own, key=lambda channel: channel.visit_day)

    def _proposed(self, state: TwinState) -> TwinState:
        """Return the neural twin's belief."""
        return replace(
            state,
            draws=state.draws[..., : -self._own],
            names=state.names[: -self._own],
            history=tuple(
                replace(visit, observation=self._before_treatment(visit.observation))
                for visit in state.history
            ),
        )

    def _before_treatment(self, observation: Observation) -> Observation:
        """Return what the neural twin is shown of a visit: nothing that was measured later."""
        follow_up = observation.days > 0
        values = {
            each: torch.where(follow_up[:, None], torch.nan, rows)
            for each, rows in observation.values.items()
            if each != self.course.modality or not bool(follow_up.all())
        }
        return replace(observation, values=values)

    def _check_scheduled(self, state: TwinState, observation: Observation) -> None:
        """Refuse a visit far from every scheduled one, or the same twice."""
        values = observation.values.get(self.course.modality)
        if values is None:
            return
        seen = self._seen(state).unflatten(1, (len(self.course.days), -1))
        for place, rows in scheduled(self.visits, observation.days, values).items():
            if place > 0 and bool((~torch.isnan(seen[rows, place])).any()):
                raise TwinError(
                    f"'{self.visits[place].name}' was already observed, expected each "
                    "scheduled visit once"
                )

    def _seen(self, state: TwinState) -> Float[Tensor, "patient column"]:
        """Return what was measured of the course in its units, NaN where nothing was."""
        visits = len(self.course.days)
        found = torch.full((len(state.patient_ids), visits, self.course.features), torch.nan)
        for visit, values in visits_with(state, self.course.modality):
            for place, rows in scheduled(self.visits, visit.observation.days, values).items():
                found[rows, place] = self.visits[0].natural(values[rows]).to(found)
        return found.flatten(1)

    def _received(
        self, state: TwinState
    ) -> tuple[Float[Tensor, "patient draw"], Float[Tensor, "patient agent"]]:
        """Return the probability of a response and the agents under which follow-ups were seen."""
        agents = torch.zeros(len(state.patient_ids), len(self.agents))
        probability = torch.full(state.log_weights.shape, 0.5)
        known = torch.zeros(len(state.patient_ids), dtype=torch.bool)
        for visit, values in visits_with(state, self.course.modality):
            # The first therapy under which a patient was seen is the one the course tells of.
            told = (visit.observation.days > 0) & ~torch.isnan(values).all(dim=1) & ~known
            rows = torch.nonzero(told)[:, 0]
            if len(rows):
                known |= told
                agents[rows] = multi_hot(self.agents, visit.under)
                probability[rows] = self._probability(select(state, rows), visit.under)
        return probability, agents

    def _probability(
        self, state: TwinState, intervention: Intervention
    ) -> Float[Tensor, "patient draw"]:
        day = torch.zeros(1, dtype=torch.float64)
        return self.prior.simulate(self._proposed(state), intervention, day).values[:, :, 0, 0]

    @torch.no_grad()
    def _log_evidence(self, state: TwinState) -> Float[Tensor, "patient draw"]:
        """Return how likely each draw makes all that was seen under therapy."""
        probability, agents = self._received(state)
        member = state.draws[0, :, 0].long()
        likely = self.course.evidence(self._seen(state), agents)[:, member].transpose(1, 2)
        return torch.logaddexp(
            torch.log1p(-probability) + likely[0], torch.log(probability) + likely[1]
        )

    def _expected(
        self,
        agents: Float[Tensor, "patient agent"],
        member: Int[Tensor, " draw"],
        responds: Bool[Tensor, "patient draw"],
    ) -> Float[Tensor, "patient draw column"]:
        """Return what each draw's member expects at the scheduled visits."""
        kinds = self.course.expected(agents)[:, member].transpose(1, 2)
        return torch.where(responds.unsqueeze(-1), kinds[1], kinds[0])


def _updated(
    received: Float[Tensor, "patient draw"],
    asked: Float[Tensor, "patient draw"],
    ratio: Float[Tensor, "patient draw"],
) -> Float[Tensor, "patient draw"]:
    """Return the probability of a response under a therapy, once a course was seen.

    Parameters
    ----------
    received, asked
        Before it was seen, under the therapy received and the one asked about.
    ratio
        Log of how much likelier a response under the therapy received makes what was seen [nat].
    """
    # Scaled by the larger likelihood, which neither overflows.
    yes, no = torch.exp(ratio.clamp(max=0.0)), torch.exp(-ratio.clamp(min=0.0))
    total = received * yes + (1.0 - received) * no
    beyond = (asked - received).clamp(min=0.0)
    inside = torch.minimum(asked, received)
    return ((inside * yes + beyond * no) / total).clamp(0.0, 1.0)
