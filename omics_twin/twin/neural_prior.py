"""A patient's parameters as a network proposes them from what is known before treatment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.models.prior_network import PriorNetwork, restored
from omics_twin.tensors.design import ChannelDesign, Design
from omics_twin.twin.draws import paired_noise
from omics_twin.twin.neural import Membership
from omics_twin.twin.storage import part_of
from omics_twin.types import Modality, Observation, Visit

_WIDE, _COMPONENTS = 60, 10


@dataclass(frozen=True)
class Inputs:
    """What is known before treatment, as each member takes it.

    Means and spreads are of each member's training patients. Wider channels are told by their
    principal components. What was not measured is at the mean; a channel of which nothing was
    measured is marked as absent. With nothing known at all, nothing is marked.

    Attributes
    ----------
    design
        Everything that is measured; only what comes before treatment is taken.
    location, scale
        Of each channel's features, (member, feature).
    axes
        Of wide channels, (member, feature, component).
    """

    design: Design
    location: tuple[Float[Tensor, "member _"], ...]
    scale: tuple[Float[Tensor, "member _"], ...]
    axes: Mapping[int, Float[Tensor, "member _ _"]]

    @property
    def channels(self) -> tuple[ChannelDesign, ...]:
        """What is measured before treatment."""
        return self.design.before_treatment().channels

    def __call__(
        self, values: Sequence[Float[Tensor, "patient _"]]
    ) -> Float[Tensor, "member patient input"]:
        """Return what the network takes, from each channel on the design's scale."""
        parts, absent = [], []
        for place, each in enumerate(values):
            off = (each - self.location[place][:, None]) / self.scale[place][:, None]
            off = torch.nan_to_num(off)
            if place in self.axes:
                off = off @ self.axes[place]
            parts.append(off)
            absent.append(torch.isnan(each).all(dim=1).float())
        marks = torch.stack(absent, dim=1)
        marks = torch.where(marks.all(dim=1, keepdim=True), 0.0, marks)
        return torch.cat([*parts, marks.expand(len(parts[0]), -1, -1)], dim=-1).float()

    @staticmethod
    def fitted(
        design: Design,
        values: Sequence[Float[Tensor, "patient _"]],
        training: Float[Tensor, "member patient"],
    ) -> Inputs:
        """Return what is known as each member takes it, from its own training patients."""
        location, scale, axes = [], [], {}
        for place, each in enumerate(values):
            own = (training > 0)[:, :, None] & ~torch.isnan(each)
            count = own.sum(dim=1).clamp(min=1)
            filled = torch.nan_to_num(each).double()
            mean = (filled * own).sum(dim=1) / count
            off = (filled - mean[:, None]) * own
            spread = (off.square().sum(dim=1) / count).sqrt()
            spread = torch.where(spread > 1e-6, spread, 1.0)
            location.append(mean.float())
            scale.append(spread.float())
            if each.shape[1] > _WIDE:
                axes[place] = _components(off / spread[:, None], (training > 0).double()).float()
        return Inputs(design, tuple(location), tuple(scale), axes)

    def at(self, members: Int[Tensor, " chosen"]) -> Inputs:
        """Return what some members take."""
        return Inputs(
            self.design,
            tuple(each[members] for each in self.location),
            tuple(each[members] for each in self.scale),
            {place: each[members] for place, each in self.axes.items()},
        )


def _components(
    off: Float[Tensor, "member patient feature"], own: Float[Tensor, "member patient"]
) -> Float[Tensor, "member feature component"]:
    """Return principal axes scaled so that components vary by one in training patients."""
    found = []
    for each, rows in zip(off, own, strict=True):
        inside = each[rows > 0]
        _, values, axes = torch.linalg.svd(inside, full_matrices=False)
        count = min(_COMPONENTS, len(values))
        spread = values[:count].clamp(min=1e-6) / len(inside) ** 0.5
        # The sign of an axis is chance: the largest weight is made positive.
        top = axes[:count].gather(1, axes[:count].abs().argmax(dim=1, keepdim=True)).sign()
        found.append((top * axes[:count] / spread[:, None]).T)
    return torch.stack(found)


@dataclass(frozen=True)
class NeuralPrior:
    """What a network proposes of each patient's parameters, and how patients vary around it.

    A draw holds the parameters without any agent, on the network's scale, what the agents' effects
    depend on, and the member it belongs to; a sampler moves the parameters alone. While nothing is
    known of a patient it is the population prior, which patients vary around by more. A patient on
    whom the network was trained is answered by the members that never saw the patient.

    Attributes
    ----------
    parameters
        Names of a patient's own parameters.
    network
        In evaluation mode; its first half of members are learned, the second half are the
        populations that these began at.
    inputs
        What each learned member is told of a patient.
    location, unit
        Of each parameter on its natural scale, (member, parameter).
    membership
        Who trained which member.
    """

    parameters: tuple[str, ...]
    network: PriorNetwork
    inputs: Inputs
    location: Float[Tensor, "member parameter"]
    unit: Float[Tensor, "member parameter"]
    membership: Membership

    @property
    def names(self) -> tuple[str, ...]:
        """Of each column of a draw."""
        hidden = (f"hidden_{k}" for k in range(self.network.hidden))
        return (*self.parameters, *hidden, "member")

    @property
    def moved(self) -> int:
        """How many columns of a draw, the first, a sampler may move."""
        return len(self.parameters)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What is read of a patient before treatment, each number in its own unit."""
        return tuple(channel.quantities for channel in self.inputs.channels)

    def reads(self, observation: Observation) -> bool:
        """Whether anything of it was measured before treatment."""
        return any(
            bool((~torch.isnan(given) & (observation.days <= channel.visit_day)[:, None]).any())
            for channel in self.inputs.channels
            if (given := observation.values.get(channel.modality)) is not None
        )

    def context(
        self, patient_ids: Sequence[str], history: Sequence[Visit]
    ) -> Float[Tensor, "member patient input"]:
        """Return what each learned member is told: what was measured before treatment."""
        values = []
        for channel in self.inputs.channels:
            log = torch.tensor([feature.log for feature in channel.features])
            last = torch.full((len(patient_ids), len(channel.features)), torch.nan)
            for visit in history:
                given = visit.observation.values.get(channel.modality)
                if given is None:
                    continue
                early = (visit.observation.days <= channel.visit_day)[:, None]
                told = torch.where(log, torch.log1p(given.clamp(min=0.0)), given).to(last)
                last = torch.where(early & ~torch.isnan(told), told, last)
            values.append(last)
        return self.inputs(values)

    def draw(
        self,
        patient_ids: Sequence[str],
        draws: int,
        seed: int,
        context: Float[Tensor, "member patient input"],
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return draws that are a function of (seed, patient, context).

        Raises
        ------
        TwinError
            If there are fewer than two draws for each member.
        """
        least = self.network.members
        if draws < least:
            raise TwinError(f"{draws} draws asked for, expected at least two per member: {least}")
        member = self._members(patient_ids, draws)
        unknown = (context == 0.0).all(dim=2).all(dim=0)
        member = member + unknown[:, None] * (least // 2)
        base, hidden = self.network.base(context.repeat(2, 1, 1))
        row = torch.arange(len(patient_ids))[:, None]
        noise = paired_noise(patient_ids, draws, self.moved, seed)
        own = base[member, row] + torch.einsum("pdij,pdj->pdi", self.network.lower()[member], noise)
        return torch.cat([own, hidden[member, row], member[..., None].to(own)], dim=2).double()

    def _members(self, patient_ids: Sequence[str], draws: int) -> Int[Tensor, "patient draw"]:
        """Return whom each draw belongs to; a patient whom all members saw is answered by all."""
        unseen = self.membership.unseen(patient_ids)
        unseen[~unseen.any(dim=1)] = True
        order = torch.arange(draws) // 2
        return torch.stack([torch.nonzero(each)[:, 0][order % int(each.sum())] for each in unseen])

    def log_density(
        self,
        values: Float[Tensor, "patient draw parameter"],
        context: Float[Tensor, "member patient input"],
    ) -> Float[Tensor, "patient draw"]:
        """Return the log density given each draw's member, up to a constant."""
        member = values[..., -1].long()
        base, _ = self.network.base(context.repeat(2, 1, 1))
        off = values[..., : self.moved] - base[member, torch.arange(len(values))[:, None]].double()
        lower = self.network.lower().double()
        inverse = torch.linalg.inv(lower)
        z = torch.einsum("pdij,pdj->pdi", inverse[member], off)
        logs = lower.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        return -0.5 * z.square().sum(dim=-1) - logs[member]

    def natural(
        self, values: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw natural"]:
        """Return parameters on their natural scale, then what each agent adds to them."""
        member = values[..., -1].long()
        first = self.network.features
        location, unit = (each.double()[member] for each in (self.location, self.unit))
        own = location + unit * values[..., : self.moved]
        hidden = values[..., self.moved : -1].flatten(0, 1).float()
        effects = self.network.effects(hidden, member.flatten()).unflatten(0, member.shape)
        return torch.cat([own, (effects * unit[..., None, first:]).flatten(2)], dim=-1)

    def at(self, members: Int[Tensor, " chosen"]) -> NeuralPrior:
        """Return the prior of some of the members."""
        both = torch.cat([members, members + len(self.membership.seen)])
        return replace(
            self,
            network=self.network.at(both),
            inputs=self.inputs.at(members),
            location=self.location[both],
            unit=self.unit[both],
            membership=replace(self.membership, seen=self.membership.seen[members]),
        )

    def to_json(self) -> dict[str, Any]:
        """Return what, beside its tensors, restores the prior."""
        return {
            "parameters": list(self.parameters),
            "design": self.inputs.design.to_json(),
            "salt": self.membership.salt,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that are stored."""
        return {
            **{f"network.{k}": v.contiguous() for k, v in self.network.state_dict().items()},
            **{f"location.{k}": v.contiguous() for k, v in enumerate(self.inputs.location)},
            **{f"scale.{k}": v.contiguous() for k, v in enumerate(self.inputs.scale)},
            **{f"axes.{k}": v.contiguous() for k, v in self.inputs.axes.items()},
            "parameters.location": self.location.contiguous(),
            "parameters.unit": self.unit.contiguous(),
            "membership.digests": self.membership.digests,
            "membership.seen": self.membership.seen,
        }

    @staticmethod
    def restored(stored: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NeuralPrior:
        """Return the prior of what was stored."""
        design = Design.from_json(stored["design"])
        places = range(len(design.before_treatment().channels))
        axes = {k: tensors[f"axes.{k}"] for k in places if f"axes.{k}" in tensors}
        inputs = Inputs(
            design,
            tuple(tensors[f"location.{k}"] for k in places),
            tuple(tensors[f"scale.{k}"] for k in places),
            axes,
        )
        seen = tensors["membership.seen"].to(torch.bool)
        return NeuralPrior(
            tuple(stored["parameters"]),
            restored(part_of(tensors, "network.")),
            inputs,
            tensors["parameters.location"],
            tensors["parameters.unit"],
            Membership(stored["salt"], tensors["membership.digests"], seen),
        )
