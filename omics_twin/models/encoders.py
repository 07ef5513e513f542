"""From one channel's measurements to evidence about the latent code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn
from torch.nn import functional

from omics_twin.models.fusion import Evidence
from omics_twin.models.graph import NeighbourInputLinear, Neighbours, PathwayInputLinear
from omics_twin.models.layers import (
    Copies,
    MemberLinear,
    ProjectedInputLinear,
    SharedInputLinear,
    dropout,
)

FirstLayer = SharedInputLinear | ProjectedInputLinear


# About the quartiles of a standard normal distribution.
KNOTS = (-0.67, 0.0, 0.67)
_ROUND = 0.25


@dataclass(frozen=True)
class InputStatistics:
    """What standardises the features of one channel.

    Attributes
    ----------
    location, spread
        One pair per feature for all members, (feature,). Numerical conditioning only: it cancels
        exactly against the members' own statistics, so it carries nothing between folds.
    scale, offset
        ``scale * conditioned + offset`` has mean 0 and variance 1 in the member's training
        patients, each (member, feature); both zero for a feature the member must not use.
    sometimes_missing
        Indices of the features with missing cells.
    bent
        Indices of the features whose effect on prognosis need not be a straight line.
    directions
        Principal directions of a wide channel's features, or of the nodes of ``structure``,
        (member, node, component); None: a channel with few features is learned from directly.
    structure
        What makes nodes, such as the scores of gene sets, from features, one for all members,
        (feature, node); None: the nodes are the features.
    gated
        Whether the weights in ``structure`` are learned.
    neighbours
        Training patients whose mean stands beside a patient's own components.
    """

    location: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]
    scale: Float[Tensor, "member feature"]
    offset: Float[Tensor, "member feature"]
    sometimes_missing: Int[Tensor, " some"]
    bent: Int[Tensor, " bent"]
    directions: Float[Tensor, "member node component"] | None = None
    structure: Float[Tensor, "feature node"] | None = None
    gated: bool = False
    neighbours: Neighbours | None = None

    def first_layer(self, outputs: int, generator: Generator) -> FirstLayer:
        """Return the untrained first layer of a channel."""
        given = (self.scale, self.offset)
        alike: dict[str, Any] = {"gain": 0.5, "generator": generator}
        if self.directions is None:
            return SharedInputLinear(*given, outputs, **alike)
        if self.neighbours is not None:
            return NeighbourInputLinear(
                *given, self.directions, outputs, neighbours=self.neighbours, **alike
            )
        if self.gated and self.structure is not None:
            return PathwayInputLinear(
                *given, self.directions, outputs, structure=self.structure, **alike
            )
        return ProjectedInputLinear(
            *given, self.directions, outputs, structure=self.structure, **alike
        )


@dataclass(frozen=True)
class WideInput:
    """A wide channel's patients, reduced once: what training repeats in every step is small.

    Attributes
    ----------
    components
        Each planned member's own principal components, (planned, patient, component).
    share
        Share of the features that was measured, (patient,).
    """

    components: Float[Tensor, "planned patient component"]
    share: Float[Tensor, " patient"]

    def __getitem__(self, rows: Tensor) -> WideInput:
        """Return some of the patients."""
        return WideInput(self.components[:, rows], self.share[rows])


def bent_values(standard: Float[Tensor, "*row feature"]) -> Float[Tensor, "*row bend"]:
    """Return how far standardised values lie beyond each knot, features before knots.

    Rounded at the knot, so that slopes exist everywhere, and zero at the average, which is where
    a value that was not measured stands.

    Examples
    --------
    >>> [round(each, 2) for each in bent_values(torch.tensor([[3.0]]))[0].tolist()]
    [2.98, 2.83, 2.31]
    """
    knots = standard.new_tensor(KNOTS)
    beyond = functional.softplus((standard.unsqueeze(-1) - knots) / _ROUND)
    return (_ROUND * (beyond - functional.softplus(-knots / _ROUND))).flatten(-2)


class ChannelEncoder(nn.Module):
    """An expert: what one modality at one scheduled visit says about the latent code.

    A linear path and a one-hidden-layer path are added, so that the network starts as, and can
    remain, the linear model that is so hard to beat on a few hundred patients. A channel seen
    under therapy (a follow-up visit) also takes the agents given so far.

    Parameters
    ----------
    statistics
        What standardises the inputs.
    hidden, latent, agents
        Sizes; ``agents`` is 0 for a channel measured before treatment.
    initial_precision
        Precision of the expert before training.
    terms, heads
        Size of what the channel adds to the scores beside the latent code, 0: nothing; and to how
        many scores, each with as many terms.
    """

    location: Tensor
    spread: Tensor
    sometimes_missing: Tensor
    bent: Tensor
    dropout_probability: float | Tensor
    copies: Copies | None = None

    def __init__(
        self,
        statistics: InputStatistics,
        *,
        hidden: int,
        latent: int,
        agents: int,
        initial_precision: float,
        dropout_probability: float,
        terms: int,
        heads: int = 1,
        generator: Generator,
    ) -> None:
        super().__init__()
        members = statistics.scale.shape[0]
        self.heads = heads
        self.latent, self.hidden = latent, hidden
        self.dropout_probability = dropout_probability
        self.first: FirstLayer = statistics.first_layer(latent + hidden, generator)
        self.second = MemberLinear(members, hidden, latent, gain=0.1, generator=generator)
        self.certainty = nn.Parameter(
            torch.full((members, 1, latent), math.log(math.expm1(initial_precision)))
        )
        self.under = (
            MemberLinear(members, agents, latent, gain=0.1, generator=generator) if agents else None
        )
        inputs = statistics.scale.shape[1]
        if isinstance(self.first, ProjectedInputLinear):
            inputs = self.first.map.weight.shape[1]
        # Found before the network learns (see models/effects.py), and then left alone.
        self.effects = nn.Parameter(torch.zeros(members, inputs, terms), requires_grad=False)
        self.bends = nn.Parameter(
            torch.zeros(members, heads * len(KNOTS) * len(statistics.bent)), requires_grad=False
        )
        self.unknown = nn.Parameter(torch.zeros(members, terms, terms), requires_grad=False)
        self.register_buffer("bent", statistics.bent)
        self.register_buffer("location", statistics.location)
        self.register_buffer("spread", statistics.spread)
        self.register_buffer("sometimes_missing", statistics.sometimes_missing)

    @torch.no_grad()
    def begin_silent(self) -> None:
        """Leave at zero, to begin with, the latent dimension that speaks to the score directly."""
        first = self.first.map if isinstance(self.first, ProjectedInputLinear) else self.first
        for layer in (first, self.second, self.under):
            if layer is not None:
                layer.weight[..., 0] = 0.0

    def reduced(self, values: Float[Tensor, "patient feature"]) -> WideInput | None:
        """Return a wide channel's patients as their components.

        None: the channel is narrow, or what it is reduced to is learned.
        """
        if not isinstance(self.first, ProjectedInputLinear) or not self.first.fixed:
            return None
        filled, measured = self._conditioned(values)
        return WideInput(self.first.components(filled, measured), measured.mean(dim=1))

    def standardised(
        self, values: Float[Tensor, "patient feature"], members: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen patient input"]:
        """Return the inputs as some members see them; zero where not measured."""
        filled, measured = self._conditioned(values)
        if isinstance(self.first, ProjectedInputLinear):
            return self.first.components(filled, measured)[self.first.planned(members)]
        return self.first.standardised(filled, measured)[members]

    def added(
        self, values: Float[Tensor, "patient feature"] | WideInput
    ) -> Float[Tensor, "member patient term"]:
        """Return what the values add to prognosis and to each agent's effect."""
        if isinstance(values, WideInput):
            first = cast(ProjectedInputLinear, self.first)
            return torch.bmm(first.spread(values.components), self.effects)
        filled, measured = self._conditioned(values)
        if isinstance(self.first, ProjectedInputLinear):
            components = self.first.spread(self.first.components(filled, measured))
            return torch.bmm(components, self.effects)
        found = self.first.weighed(filled, measured, self.effects)
        if not len(self.bent):
            return found
        return self.bending(found, self.first.standardised(filled, measured)[..., self.bent])

    def bending(
        self,
        added: Float[Tensor, "chosen *row term"],
        standard: Float[Tensor, "chosen *row bent"],
        members: Int[Tensor, " chosen"] | None = None,
    ) -> Float[Tensor, "chosen *row term"]:
        """Return what is added, with what bent features add to prognosis beyond a straight line."""
        weight = self.bends if members is None else self.bends[members]
        weight = weight.view(len(weight), *[1] * (standard.ndim - 2), self.heads, -1)
        beyond = (bent_values(standard).unsqueeze(-2) * weight).sum(dim=-1, keepdim=True)
        each = added.unflatten(-1, (self.heads, -1))
        return torch.cat([each[..., :1] + beyond, each[..., 1:]], dim=-1).flatten(-2)

    def settled(
        self,
        added: Float[Tensor, "member patient term"],
        there: Float[Tensor, "*member patient 1"],
        noise: Float[Tensor, "member patient_ term"],
    ) -> Float[Tensor, "member patient term"]:
        """Return what the channel adds where it was measured, elsewhere a draw of what it would.

        Parameters
        ----------
        added
            What :meth:`added` returned.
        there
            1 where the channel was measured and is shown.
        noise
            Standard normal.
        """
        return there * added + (1.0 - there) * torch.bmm(noise, self.unknown.mT)

    def _conditioned(self, values: Tensor) -> tuple[Tensor, Tensor]:
        measured = (~torch.isnan(values)).to(values)
        filled = torch.nan_to_num((values - self.location) / self.spread, nan=0.0)
        return filled, measured

    def forward(
        self,
        values: Float[Tensor, "patient feature"] | WideInput,
        agents: Float[Tensor, "patient agent"],
        generator: Generator | None = None,
    ) -> Evidence:
        """Return the evidence, shapes (member, patient, latent).

        Parameters
        ----------
        values
            NaN: not measured. A patient with no measured value gives no evidence. Or what
            :meth:`reduced` made of them.
        agents
            1 for each agent received by the time of the visit.
        generator
            Draws the dropout masks in training; None at the bedside.
        """
        if isinstance(values, WideInput):
            first = cast(ProjectedInputLinear, self.first).mapped(values.components)
            share = values.share.view(1, -1, 1)
        else:
            filled, measured = self._conditioned(values)
            first = self.first(filled, measured, self.sometimes_missing)
            share = measured.mean(dim=1).view(1, -1, 1)
        linear, hidden = first.split([self.latent, self.hidden], dim=-1)
        hidden = dropout(functional.gelu(hidden), self.dropout_probability, generator, self.copies)
        mean = linear + self.second(hidden)
        if self.under is not None:
            mean = mean + self.under(agents.expand(mean.shape[0], -1, -1))
        # A patient measured in part is known in part: the precision follows the measured share.
        precision = functional.softplus(self.certainty) * share
        return Evidence(shift=precision * mean, precision=precision)
