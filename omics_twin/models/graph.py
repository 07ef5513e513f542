"""First layers of wide channels that know which genes act together, or which patients are alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from omics_twin.errors import TrainingError
from omics_twin.models.layers import ProjectedInputLinear

# Components have unit variance; a stored patient nearer than this is the patient asked about.
_SAME = 1e-3
_MEMBERS_AT_A_TIME = 4


class PathwayInputLinear(ProjectedInputLinear):
    """Components of gene sets in which every member learns the weight of each gene.

    A gene reaches only the sets it is in. The weights begin equal, so that the untrained layer is
    :class:`ProjectedInputLinear` of the sets' means, and so that a weight which is not needed
    decays back to that.

    References
    ----------
    Elmarakeby et al. 2021, Biologically informed deep neural network for prostate cancer discovery
    (doi:10.1038/s41586-021-03922-4).
    """

    fixed = False
    structure: Tensor

    def __init__(
        self,
        scale: Float[Tensor, "member input"],
        offset: Float[Tensor, "member input"],
        directions: Float[Tensor, "member node component"],
        outputs: int,
        *,
        structure: Float[Tensor, "input node"],
        gain: float,
        generator: Generator,
    ) -> None:
        super().__init__(
            scale, offset, directions, outputs, structure=structure, gain=gain, generator=generator
        )
        entries = int((structure != 0).sum())
        self.gate = nn.Parameter(torch.zeros(len(scale), entries))

    def forward(
        self,
        values: Float[Tensor, "row input"],
        measured: Float[Tensor, "row input"],
        sometimes_missing: Tensor,
    ) -> Float[Tensor, "member row out"]:
        """Return the map of the rows for every member; what is missing sits at the mean."""
        every = torch.arange(len(self.gate), device=self.gate.device)
        scale, offset = (each[self.planned(every)] for each in (self.scale, self.offset))
        found = self.product(values, measured, scale, offset, self.slope(every))
        return found + self.map.bias

    def slope(self, members: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen input out"]:
        """Return how the outputs follow the standardised values."""
        behind = self.directions[self.planned(members)] @ self.map.weight[members]
        gene, pathway = torch.nonzero(self.structure, as_tuple=True)
        share = self.gate[members] * self.structure[gene, pathway]
        learned = torch.zeros(
            len(members), len(self.structure), behind.shape[2], device=behind.device
        ).index_add(1, gene, share.unsqueeze(-1) * behind[:, pathway])
        return self.structure @ behind + learned


@dataclass(frozen=True)
class Neighbours:
    """The training patients among whom each member looks for those like a patient.

    They are rows of numbers in no order that names anybody, and without any outcome.

    Attributes
    ----------
    components
        Of each member's own training patients, (member, kept, component).
    inside
        1 for a patient, 0 for filling where a member has fewer, (member, kept).
    gain
        Makes the mean of the neighbours vary as much as a component does, (member, component).
    nearest
        How many are averaged, shape ().
    """

    components: Float[Tensor, "member kept component"]
    inside: Float[Tensor, "member kept"]
    gain: Float[Tensor, "member component"]
    nearest: Int[Tensor, ""]

    @staticmethod
    def of(components: list[Float[Tensor, "_ component"]], nearest: int) -> Neighbours:
        """Return the neighbours among each member's training patients.

        Raises
        ------
        TrainingError
            If a member has too few.
        """
        fewest = min(map(len, components))
        # The one beyond the nearest sets the scale of the distances; nobody is beside oneself.
        if fewest < nearest + 2:
            raise TrainingError(
                f"a fold leaves {fewest} training patients with a wide modality, expected at least "
                f"model.neighbours + 2, which is {nearest + 2}: set fewer neighbours"
            )
        kept = torch.nn.utils.rnn.pad_sequence(components, batch_first=True)
        inside = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(each)) for each in components], batch_first=True
        )
        number = torch.tensor(nearest)
        unit = torch.ones(len(kept), kept.shape[2])
        beside = mean_of_nearest(kept, kept, inside, number)
        share = (inside / inside.sum(dim=1, keepdim=True)).unsqueeze(-1)
        centred = beside - (beside * share).sum(dim=1, keepdim=True)
        deviation = (centred.square() * share).sum(dim=1).sqrt()
        return Neighbours(kept, inside, unit / deviation.clamp(min=1e-3), number)


def mean_of_nearest(
    asked: Float[Tensor, "member row component"],
    stored: Float[Tensor, "member kept component"],
    inside: Float[Tensor, "member kept"],
    nearest: Int[Tensor, ""],
) -> Float[Tensor, "member row component"]:
    """Return the weighted mean of the stored patients nearest to each row, itself left out.

    A neighbour's weight, the biweight, falls to zero at the distance of the first one beyond the
    nearest, so that the mean moves without a jump as the patient does.
    """
    # The distances are the largest tensor by far: a few members at a time.
    few = [each.split(_MEMBERS_AT_A_TIME) for each in (asked, stored, inside)]
    found = [_mean_of_nearest(a, s, i, int(nearest)) for a, s, i in zip(*few, strict=True)]
    return torch.cat(found)


def _mean_of_nearest(
    asked: Float[Tensor, "member row component"],
    stored: Float[Tensor, "member kept component"],
    inside: Float[Tensor, "member kept"],
    number: int,
) -> Float[Tensor, "member row component"]:
    distance = torch.cdist(asked, stored, compute_mode="donot_use_mm_for_euclid_dist")
    out = (distance < _SAME) | (inside.unsqueeze(1) == 0)
    found, who = distance.masked_fill(out, torch.inf).topk(number + 1, dim=2, largest=False)
    weight = (1.0 - (found[..., :-1] / found[..., -1:]).square()).square().clamp(min=1e-6)
    weight = weight / weight.sum(dim=2, keepdim=True)
    who = who[..., :-1].flatten(1).unsqueeze(-1).expand(-1, -1, stored.shape[2])
    values = stored.gather(1, who).unflatten(1, (asked.shape[1], number))
    return (weight.unsqueeze(-1) * values).sum(dim=2)


class NeighbourInputLinear(ProjectedInputLinear):
    """A patient's components beside those of the training patients most like the patient.

    Every member looks among its own training patients: who is held out, or stops a member, is
    nobody's neighbour. A new patient is answered in the same way, so nothing is learned anew.

    References
    ----------
    Hamilton, Ying & Leskovec 2017, Inductive representation learning on large graphs
    (arXiv:1706.02216).
    """

    stored: Tensor
    inside: Tensor
    neighbour_gain: Tensor
    nearest: Tensor

    def __init__(
        self,
        scale: Float[Tensor, "member input"],
        offset: Float[Tensor, "member input"],
        directions: Float[Tensor, "member input component"],
        outputs: int,
        *,
        neighbours: Neighbours,
        gain: float,
        generator: Generator,
    ) -> None:
        super().__init__(
            scale, offset, directions, outputs, gain=gain, generator=generator, beside=True
        )
        self.register_buffer("stored", neighbours.components)
        self.register_buffer("inside", neighbours.inside)
        self.register_buffer("neighbour_gain", neighbours.gain)
        self.register_buffer("nearest", neighbours.nearest)

    def components(
        self, values: Float[Tensor, "row input"], measured: Float[Tensor, "row input"]
    ) -> Float[Tensor, "planned row component"]:
        """Return the components of the rows, then the mean of those of their neighbours."""
        own = super().components(values, measured)
        every = torch.arange(len(own), device=own.device)
        # Who was not measured is like nobody.
        return self.with_neighbours(own, every) * measured.any(dim=1).view(1, -1, 1)

    def with_neighbours(
        self, own: Float[Tensor, "chosen row component"], planned: Int[Tensor, " chosen"]
    ) -> Float[Tensor, "chosen row both"]:
        """Return components followed by the mean of those of their neighbours."""
        near = mean_of_nearest(own, self.stored[planned], self.inside[planned], self.nearest)
        return torch.cat([own, near * self.neighbour_gain[planned].unsqueeze(1)], dim=2)
