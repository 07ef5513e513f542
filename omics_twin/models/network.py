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
from omics_twin.models.heads import CoxHead, Head, Link, ResponseSurface
from omics_twin.models.layers import with_values
from omics_twin.models.therapy import RegimenEncoder

# Parameters that are found before the network learns, see models/effects.py.
FOUND_FIRST = ("effects", "bends", "unknown", "average")
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
        probability, _ = _probability(predictor, link)
        mean = (probability * weights).sum(dim=0)
        for _ in range(3):
            # Newton's method for the shift that brings the mean probability back.
            probability, each = _probability(wide, link)
            slope = (each * weights).sum(dim=0).clamp(min=1e-6)
            wide = wide + (mean - (probability * weights).sum(dim=0)) / slope
        return wide


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

    Parameters
    ----------
    members, agents
        Sizes of the member and agent axes.
    """

    def __init__(self, members: int, agents: int) -> None:
        super().__init__()
        self.average = nn.Parameter(torch.zeros(members, 1, agents), requires_grad=False)
        self.gain = nn.Parameter(torch.ones(members, 1, 1))

    def forward(
        self, added: Float[Tensor, "member row term"], agents: Float[Tensor, "row agent"]
    ) -> Float[Tensor, "member row 1"]:
        """Return the score of each row from what its measurements add."""
        effect = ((added[..., 1:] + self.average) * agents).sum(dim=-1, keepdim=True)
        return self.gain * (added[..., :1] + effect)


class TherapyOutcome(nn.Module):
    """A patient's code and agents to trajectories of every endpoint; asked once per therapy.

    The code of a draw is its latent code, followed by what the measurements add to prognosis and
    to each agent's effect where the network has linear effects.
    """

    def __init__(
        self,
        regimen: RegimenEncoder,
        surfaces: list[ResponseSurface],
        heads: list[Head],
        effects: LinearEffects | None = None,
    ) -> None:
        super().__init__()
        self.effects = effects
        self.regimen = regimen
        self.surfaces = nn.ModuleList(surfaces)
        self.heads = nn.ModuleList(heads)

    @property
    def parts(self) -> list[tuple[ResponseSurface, Head]]:
        """Each head with the surface that it reads, in the order of the quantities."""
        found = zip(self.surfaces, self.heads, strict=True)
        return [(cast(ResponseSurface, surface), cast(Head, head)) for surface, head in found]

    def forward(
        self,
        code: Float[Tensor, "member row code"],
        agents: Float[Tensor, "row agent"],
        days: Float[Tensor, " time"],
        widening: Widening | None = None,
        moved: Float[Tensor, "member row"] | None = None,
    ) -> Float[Tensor, "member row time quantity"]:
        """Return the trajectories of all heads' quantities.

        Parameters
        ----------
        moved
            What is added to the scores of every therapy alike.
        """
        parts = []
        for score, head in self.scores(code, agents):
            if moved is not None:
                score = score + functional.pad(moved.unsqueeze(-1), (0, score.shape[-1] - 1))
            predictor = head.predictor(score)
            if widening is not None:
                predictor = widening(predictor, link=head.link)
            parts.append(head.trajectory(predictor, days))
        return torch.cat(parts, dim=-1)

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
        """Return the sum of the heads' losses; ``targets`` holds two fields per head.

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
        terms = 0 if self.effects is None else 1 + agents.shape[-1]
        latent, added = code.split([code.shape[-1] - terms, terms], dim=-1)
        regimen = self.regimen(agents)
        for surface, head in self.parts:
            score = surface(latent, regimen)
            if self.effects is not None:
                # The first latent dimension speaks to the score directly: a later visit can move
                # what the effects leave open.
                linear = self.effects(added, agents) + _ANCHOR * latent[..., :1]
                score = score + functional.pad(linear, (0, score.shape[-1] - 1))
            yield score, head


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
        """Size of what a measurement adds: prognosis and each agent's effect; 0: nothing."""
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
                if effects is not None and name in FOUND_FIRST:
                    value.mul_(effects.gain.view(-1, *[1] * (value.ndim - 1)))
        if effects is not None:
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

    def score(
        self,
        code: Float[Tensor, "patient draw code"],
        member: Int[Tensor, " draw"],
        agents: Float[Tensor, " agent"],
    ) -> Float[Tensor, "patient draw"]:
        """Return the score of draws that each belong to one member, of the first head."""
        everyone = agents.expand(code.shape[0], -1)
        found, _ = next(self._of(member).scores(code.transpose(0, 1), everyone))
        return found[..., 0].T

    def _of(self, member: Int[Tensor, " draw"]) -> TherapyOutcome:
        chosen = {name: value[member] for name, value in self.outcome.named_parameters()}
        return with_values(self.outcome, chosen)
