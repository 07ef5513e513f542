"""The whole network: encoders, product of experts, therapy, heads; one member axis through all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from omics_twin.models.encoders import ChannelEncoder, WideInput
from omics_twin.models.fusion import Evidence, divergence_from_prior, posterior
from omics_twin.models.heads import CoxHead, HazardHead, Head, Link, ResponseSurface
from omics_twin.models.layers import with_values
from omics_twin.models.therapy import RegimenEncoder

# Parameters that are found before the network learns, see models/effects.py.
FOUND_FIRST = ("effects", "bends", "unknown", "average")
# Steps that bring mean incidences back; as many for everybody, whoever else is asked about.
_SHIFTS = 6
# Log-odds that one unit of the first latent dimension adds beside linear effects.
_ANCHOR = 0.5


def symmetric_root(
    covariance: Float[Tensor, "member term term"],
) -> Float[Tensor, "member term term"]:
    """Return the symmetric square root of positive semi-definite matrices."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return ((vectors * values.clamp(min=0.0).sqrt().unsqueeze(1)) @ vectors.mT).to(covariance)


@dataclass(frozen=True)
class Widening:
    """Moves each patient's draws away from their mean, and leaves the mean where it is.

    Attributes
    ----------
    weights
        Of the draws, (draw, patient).
    spread
        Factor on the distance of a draw from the mean, (patient,); see
        :func:`omics_twin.tensors.members.jackknife_spread`.
    """

    weights: Float[Tensor, "draw patient"]
    spread: Float[Tensor, " patient"]

    def __call__(
        self, predictor: Float[Tensor, "draw patient predictor"], *, link: Link
    ) -> Float[Tensor, "draw patient predictor"]:
        """Return the widened predictors; what stays is the mean of what they are the link of."""
        weights = self.weights.unsqueeze(-1)
        centre = (predictor * weights).sum(dim=0)
        wide = centre + self.spread[:, None] * (predictor - centre)
        if link is Link.IDENTITY:
            return wide
        if link is Link.HAZARDS:
            return self.together(predictor[None])[0]
        probability, _ = _probability(predictor, link)
        mean = (probability * weights).sum(dim=0)
        for _ in range(3):
            # Newton's method for the shift that brings the mean probability back.
            probability, each = _probability(wide, link)
            slope = (each * weights).sum(dim=0).clamp(min=1e-6)
            wide = wide + (mean - (probability * weights).sum(dim=0)) / slope
        return wide

    def together(
        self, predictors: Float[Tensor, "cause draw patient interval"]
    ) -> Float[Tensor, "cause draw patient interval"]:
        """Return the widened log-odds of every cause of an event; mean incidences stay.

        Draws with low hazards are those that are left later on, so that the mean hazard of every
        interval alone would leave too many alive; and draws in which two causes go together would.
        """
        weights = self.weights.unsqueeze(-1)
        centre = (predictors * weights).sum(dim=1, keepdim=True)
        wide = centre + self.spread[:, None] * (predictors - centre)
        before, left, found = self.weights, self.weights, []
        for own, moved in zip(predictors.unbind(dim=-1), wide.unbind(dim=-1), strict=True):
            hazard, free, _ = _fallen(own)
            wanted = (before * free * hazard).sum(dim=1, keepdim=True).clamp(min=1e-30)
            before = before * torch.exp(-hazard.sum(dim=0))
            shifted = moved
            for _ in range(_SHIFTS):
                # Newton's method on the logarithm: at once right where hazards are small.
                hazard, free, slope = _fallen(shifted)
                now = (left * free * hazard).sum(dim=1, keepdim=True).clamp(min=1e-30)
                rise = (left * slope).sum(dim=1, keepdim=True).clamp(min=1e-30)
                step = (torch.log(wanted / now) * now / rise).clamp(-4.0, 4.0)
                shifted = shifted + step
            left = left * torch.exp(-functional.softplus(shifted).sum(dim=0))
            found.append(shifted)
        return torch.stack(found, dim=-1)


def _fallen(
    logits: Float[Tensor, "cause draw patient"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what an interval brings to who is left: hazards, and their share that is met.

    Returns
    -------
    hazard
        Cumulative, of every cause.
    free
        What a unit of hazard brings of the event; less than 1, as nobody has it twice.
    slope
        Of every cause's incidence in its own log-odds.
    """
    hazard = functional.softplus(logits)
    total = hazard.sum(dim=0)
    free = -torch.expm1(-total) / total.clamp(min=1e-30)
    within = free + hazard * (torch.exp(-total) - free) / total.clamp(min=1e-30)
    return hazard, free, torch.sigmoid(logits) * within


def _probability(predictor: Tensor, link: Link) -> tuple[Tensor, Tensor]:
    """Return the probability of an event, and its slope in the predictor."""
    if link is Link.LOGIT:
        probability = torch.sigmoid(predictor)
        return probability, probability * (1.0 - probability)
    # Beyond, survival is zero in double precision.
    hazard = torch.exp(predictor.clamp(max=20.0))
    survival = torch.exp(-hazard)
    return 1.0 - survival, hazard * survival


class LinearEffects(nn.Module):
    """The score that is linear in the measurements: prognosis, and each agent's effect.

    Attributes
    ----------
    fade
        How much of a score's effect on hazards is lost (below 0) or gained from the middle of the
        observation to its end, and the other way round before: many a prognostic marker tells
        most of the first years. Of other outcomes it is nothing.
    """

    def __init__(self, members: int, agents: int, heads: int = 1) -> None:
        super().__init__()
        self.average = nn.Parameter(torch.zeros(members, heads, agents), requires_grad=False)
        self.gain = nn.Parameter(torch.ones(members, 1, heads))
        self.fade = nn.Parameter(torch.zeros(members, 1, heads))

    def forward(
        self, added: Float[Tensor, "member row term"], agents: Float[Tensor, "row agent"]
    ) -> Float[Tensor, "member row head"]:
        """Return every head's score of each row from what its measurements add."""
        each = added.unflatten(-1, (self.average.shape[1], -1))
        effect = ((each[..., 1:] + self.average.unsqueeze(1)) * agents.unsqueeze(1)).sum(dim=-1)
        return self.gain * (each[..., 0] + effect)


class TherapyOutcome(nn.Module):
    """A patient's code and agents to the outcome's trajectories; asked once per therapy.

    The code of a draw is its latent code, followed, where the network has linear effects, by what
    the measurements add to prognosis and to each agent's effect, head by head.

    Parameters
    ----------
    heads
        One, or one for each cause of an event, whose hazards add up to the event's.
    event
        Name of that event; empty where there is one head, which answers for itself.
    """

    def __init__(
        self,
        regimen: RegimenEncoder,
        surfaces: list[ResponseSurface],
        heads: list[Head],
        effects: LinearEffects | None = None,
        event: str = "",
    ) -> None:
        super().__init__()
        self.effects = effects
        self.event = event
        self.regimen = regimen
        self.surfaces = nn.ModuleList(surfaces)
        self.heads = nn.ModuleList(heads)

    @property
    def parts(self) -> list[tuple[ResponseSurface, Head]]:
        """Each head with the surface that it reads."""
        found = zip(self.surfaces, self.heads, strict=True)
        return [(cast(ResponseSurface, surface), cast(Head, head)) for surface, head in found]

    @property
    def quantities(self) -> tuple[str, ...]:
        """The outcome; where its causes are told apart, followed by the incidence of each."""
        return (
            *filter(None, [self.event]),
            *(q for _, head in self.parts for q in head.quantities),
        )

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that are told apart, if any."""
        of = f"{self.event}: "
        return tuple(each.removeprefix(of) for each in self.quantities[1:]) if self.event else ()

    @property
    def units(self) -> tuple[str, ...]:
        """Of each quantity."""
        units = tuple(unit for _, head in self.parts for unit in head.units)
        return (units[0], *units) if self.event else units

    def forward(
        self,
        code: Float[Tensor, "member row code"],
        agents: Float[Tensor, "row agent"],
        days: Float[Tensor, " time"],
        widening: Widening | None = None,
        moved: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the trajectories of all quantities.

        Parameters
        ----------
        moved
            What is added to the scores of every therapy, and every cause, alike.
        """
        predictors = []
        for score, head in self.scores(code, agents):
            if moved is not None:
                score = score + functional.pad(moved.unsqueeze(-1), (0, score.shape[-1] - 1))
            predictors.append(head.predictor(score))
        heads = [head for _, head in self.parts]
        if not self.event:
            [predictor], [head] = predictors, heads
            if widening is not None:
                predictor = widening(predictor, link=head.link)
            return head.trajectory(predictor, days)
        if widening is not None:
            predictors = list(widening.together(torch.stack(predictors)))
        timed = [cast(HazardHead, head) for head in heads]
        # Between two days of the grid every cause's hazard is constant.
        grid = torch.cat([timed[0].edges_days.to(days), days]).unique()
        hazards = [h.cumulative_hazard(p, grid) for h, p in zip(timed, predictors, strict=True)]
        return event_and_causes(torch.stack(hazards))[:, :, torch.searchsorted(grid, days)]

    def given_event_free(
        self,
        values: Float[Tensor, "*row time quantity"],
        now: Float[Tensor, "*row one quantity"],
    ) -> Float[Tensor, "*row time quantity"]:
        """Return trajectories of who has had no event by a day, at which they were ``now``."""
        if not hasattr(self.heads[0], "edges_days"):
            return values
        free = now[..., :1].clamp(min=1e-6)
        survival = values[..., :1] / free
        return torch.cat([survival, (values - now)[..., 1:] / free], dim=-1).clamp(0.0, 1.0)

    def prognosis(
        self,
        code: Float[Tensor, "member row code"],
        agents: Float[Tensor, "row agent"],
        shares: Float[Tensor, "member head"],
    ) -> Float[Tensor, "member row"]:
        """Return one score of each row: of an event with causes, the log of its relative hazard.

        Parameters
        ----------
        shares
            Logarithm of each cause's share among the events.
        """
        scores = torch.stack([score[..., 0] for score, _ in self.scores(code, agents)], dim=-1)
        return (scores + shares.unsqueeze(1)).logsumexp(dim=-1)

    def relative_hazards(
        self, code: Float[Tensor, "member row code"], agents: Float[Tensor, "row agent"]
    ) -> dict[int, Float[Tensor, "member row"]]:
        """Return the log relative hazard, without a level, by the index of its head."""
        return {
            index: score[..., 0]
            for index, (score, head) in enumerate(self.scores(code, agents))
            if isinstance(head, CoxHead)
        }

    def loss(
        self,
        code: Float[Tensor, "member row code"],
        agents: Float[Tensor, "row agent"],
        targets: Float[Tensor, "row field"],
        weights: Float[Tensor, "member row"],
    ) -> Float[Tensor, "member row"]:
        """Return the sum of the heads' losses; ``targets`` holds two fields of each.

        Parameters
        ----------
        weights
            What each row counts for each member; a row's loss is not multiplied with it.
        """
        total = torch.zeros(code.shape[:2], dtype=code.dtype, device=code.device)
        for index, (score, head) in enumerate(self.scores(code, agents)):
            fields = targets[:, 2 * index : 2 * index + 2]
            total = total + head.loss(score, fields, weights)
        return total

    def scores(
        self, code: Float[Tensor, "member row code"], agents: Float[Tensor, "row agent"]
    ) -> Iterator[tuple[Float[Tensor, "member row output"], Head]]:
        """Yield the score of each head, without its level, and the head."""
        terms = 0 if self.effects is None else len(self.heads) * (1 + agents.shape[-1])
        latent, added = code.split([code.shape[-1] - terms, terms], dim=-1)
        regimen = self.regimen(agents)
        linear = None if self.effects is None else self.effects(added, agents)
        for index, (surface, head) in enumerate(self.parts):
            score = surface(latent, regimen)
            if self.effects is not None and linear is not None:
                own = slice(index, index + 1)
                known = with_time(linear[..., own], self.effects.fade[..., own], head)
                # The first latent dimension speaks to the score directly: a later visit can move
                # what the effects leave open.
                anchor = functional.pad(_ANCHOR * latent[..., :1], (0, score.shape[-1] - 1))
                score = score + known + anchor
            yield score, head


def with_time(
    score: Float[Tensor, "member row 1"], fade: Float[Tensor, "member 1 1"], head: Head
) -> Float[Tensor, "member row output"]:
    """Return what a head takes for a linear score, which may fade or grow with time."""
    return torch.cat([score, fade * score], dim=-1) if head.outputs > 1 else score


def event_and_causes(
    hazards: Float[Tensor, "cause *row time"],
) -> Float[Tensor, "*row time quantity"]:
    """Return survival without the event, and the cumulative incidence of each of its causes.

    Parameters
    ----------
    hazards
        Cumulative, by days between which the hazards keep their proportion; zero before the first.

    Examples
    --------
    >>> event_and_causes(torch.tensor([[0.0, 0.1], [0.0, 0.3]]).double()).round(decimals=3).tolist()
    [[1.0, 0.0, 0.0], [0.67, 0.082, 0.247]]
    """
    steps = hazards.diff(dim=-1, prepend=torch.zeros_like(hazards[..., :1]))
    step = steps.sum(dim=0)
    total = step.cumsum(dim=-1)
    happens = torch.exp(step - total) * -torch.expm1(-step)
    incidence = (happens * steps / step.clamp(min=1e-30)).cumsum(dim=-1)
    return torch.cat([torch.exp(-total)[None], incidence]).movedim(0, -1)


class _Loss(nn.Module):
    """The loss of a :class:`TherapyOutcome` as a module's forward, for ``functional_call``."""

    def __init__(self, outcome: TherapyOutcome) -> None:
        super().__init__()
        self.outcome = outcome

    def forward(self, code: Tensor, agents: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return self.outcome.loss(code, agents, targets, weights)


class MultimodalNetwork(nn.Module):
    """An ensemble of multimodal networks.

    Parameters
    ----------
    encoders
        One per channel (modality at a scheduled visit), in time order.
    outcome
        What follows from latent code and therapy.
    """

    def __init__(self, encoders: Mapping[str, ChannelEncoder], outcome: TherapyOutcome) -> None:
        super().__init__()
        self.channels = tuple(encoders)
        self.encoders = nn.ModuleList(encoders.values())
        self.outcome = outcome

    @property
    def members(self) -> int:
        """Size of the member axis."""
        return self.outcome.regimen.codes.shape[0]

    @property
    def latent(self) -> int:
        """Size of the latent code."""
        return cast(ChannelEncoder, self.encoders[0]).latent

    @property
    def terms(self) -> int:
        """Size of what a measurement adds: each head's prognosis and agents' effects; 0: none."""
        return cast(ChannelEncoder, self.encoders[0]).effects.shape[2]

    def begin_silent(self) -> None:
        """Let what a network adds to its linear effects start at zero."""
        for name in self.channels:
            self.encoder(name).begin_silent()
        for surface, _ in self.outcome.parts:
            surface.begin_silent()

    @torch.no_grad()
    def begin_again(self) -> None:
        """Make a trained network ready to learn on: its gain becomes part of its effects."""
        effects = self.outcome.effects
        for part in self.modules():
            for name, value in part.named_parameters(recurse=False):
                value.requires_grad_(name not in FOUND_FIRST)
        if effects is None:
            return
        gain = effects.gain[:, 0]
        for encoder in map(self.encoder, self.channels):
            by_term = gain.repeat_interleave(self.terms // gain.shape[1], dim=1)
            encoder.effects.mul_(by_term.unsqueeze(1))
            encoder.unknown.mul_(by_term.unsqueeze(2))
            encoder.bends.mul_(gain.repeat_interleave(encoder.bends.shape[1] // gain.shape[1], 1))
        effects.average.mul_(gain.unsqueeze(2))
        effects.gain.fill_(1.0)

    def encoder(self, channel: str) -> ChannelEncoder:
        """Return the expert of a channel."""
        return cast(ChannelEncoder, self.encoders[self.channels.index(channel)])

    def unknown(self, channels: Sequence[str]) -> Float[Tensor, "member term term"]:
        """Return a root of the covariance of what channels that were not measured would add."""
        total = torch.zeros(self.members, self.terms, self.terms)
        for channel in channels:
            root = self.encoder(channel).unknown
            total = total + root @ root.mT
        return symmetric_root(total)

    def evidence(
        self,
        channel: str,
        values: Float[Tensor, "patient feature"] | WideInput,
        agents: Float[Tensor, "patient agent"],
        generator: Generator | None = None,
    ) -> Evidence:
        """Return what one channel says, shapes (member, patient, latent)."""
        found: Evidence = self.encoder(channel)(values, agents, generator)
        return found

    def together(
        self,
        values: Mapping[str, Float[Tensor, "patient feature_"] | WideInput],
        agents: Float[Tensor, "patient agent"],
        shown: Mapping[str, Float[Tensor, "*member patient"]],
        generator: Generator | None = None,
    ) -> Evidence:
        """Return the sum of the evidence of the channels, each as far as ``shown``.

        Parameters
        ----------
        values
            Channel -> measurements, or what its encoder reduced them to.
        shown
            Channel -> 1 where the patient's measurements count, (patient,), or where they count
            for a member, (member, patient).
        """
        total: Evidence | None = None
        for channel, measured in values.items():
            found = self.evidence(channel, measured, agents, generator)
            seen = shown[channel].unsqueeze(-1)
            found = Evidence(found.shift * seen, found.precision * seen)
            total = found if total is None else total + found
        if total is None:
            raise ValueError("no channel was given: pass at least one")
        return total

    def loss(
        self,
        evidence: Evidence,
        agents: Float[Tensor, "patient agent"],
        targets: Float[Tensor, "patient field"],
        weights: Float[Tensor, "member patient"],
        noise: Float[Tensor, "member patient latent"],
        added: Float[Tensor, "member patient term"],
        divergence_weight: float | Float[Tensor, "member 1"],
    ) -> Float[Tensor, "member patient"]:
        """Return each patient's negative log-likelihood plus the weighted divergence [nat].

        Parameters
        ----------
        weights
            What each patient counts for each member, see :meth:`TherapyOutcome.loss`.
        """
        mean, deviation = posterior(evidence)
        code = torch.cat([mean + deviation * noise, added], dim=-1)
        fit = self.outcome.loss(code, agents, targets, weights)
        return fit + divergence_weight * divergence_from_prior(evidence)

    def frozen_loss(
        self,
        code: Float[Tensor, "member patient code"],
        agents: Float[Tensor, "patient agent"],
        targets: Float[Tensor, "patient field"],
        weights: Float[Tensor, "member patient"],
    ) -> Float[Tensor, "member patient"]:
        """Return each patient's negative log-likelihood; only the code has a gradient."""
        fixed = {name: each.detach() for name, each in self.outcome.named_parameters()}
        return functional_call(
            _Loss(self.outcome),
            {f"outcome.{k}": v for k, v in fixed.items()},
            (code, agents, targets, weights),
        )

    def simulate(
        self,
        code: Float[Tensor, "patient draw code"],
        member: Int[Tensor, " draw"],
        agents: Float[Tensor, "patient agent"],
        days: Float[Tensor, " time"],
        log_weights: Float[Tensor, "patient draw"],
        spread: Float[Tensor, " patient"],
        moved: Float[Tensor, "patient draw"] | None = None,
    ) -> Float[Tensor, "patient draw time quantity"]:
        """Return the trajectories of draws that each belong to one member.

        Every parameter has a leading member axis, so gathering it by draw turns the draw axis
        into the batch axis of the same products.

        Parameters
        ----------
        moved
            What is added to the scores of every therapy alike.
        """
        rows = code.transpose(0, 1)
        widening = Widening(log_weights.exp().T, spread)
        more = None if moved is None else moved.T
        found: Tensor = self._of(member)(rows, agents, days, widening, more)
        return found.transpose(0, 1)

    def prognosis(
        self,
        code: Float[Tensor, "patient draw code"],
        member: Int[Tensor, " draw"],
        agents: Float[Tensor, " agent"],
        shares: Float[Tensor, "draw head"],
    ) -> Float[Tensor, "patient draw"]:
        """Return :meth:`TherapyOutcome.prognosis` of draws that each belong to one member."""
        everyone = agents.expand(code.shape[0], -1)
        return self._of(member).prognosis(code.transpose(0, 1), everyone, shares).T

    def _of(self, member: Int[Tensor, " draw"]) -> TherapyOutcome:
        chosen = {name: value[member] for name, value in self.outcome.named_parameters()}
        return with_values(self.outcome, chosen)
