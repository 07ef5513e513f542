"""Layers with a leading member axis: one batched product trains a whole ensemble."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

Part = TypeVar("Part", bound=nn.Module)

_FEW_INPUTS = 24
_MEMBERS_AT_A_TIME = 16


@dataclass(frozen=True)
class Copies:
    """Members that repeat planned members under other settings, and so share their chance.

    Every random number is drawn once per planned member and handed to all its copies: settings
    are compared under the same luck, and the answer for one does not depend on which others are
    trained in the same batch.

    Attributes
    ----------
    planned
        Number of planned members.
    of
        The planned member that each member repeats, (member,).
    """

    planned: int
    of: Int[Tensor, " member"]

    def spread(self, values: Float[Tensor, " planned *rest"]) -> Float[Tensor, " member *rest"]:
        """Return the values of each member's planned member."""
        return values[self.of.to(values.device)]


def with_values(module: Part, values: Mapping[str, Tensor]) -> Part:
    """Return a module that computes with other parameters or buffers; the module stays as it is.

    ``torch.func.functional_call`` puts the values into the module and takes them out again: two
    threads that ask one model at the same time would compute with each other's.

    Parameters
    ----------
    values
        By dotted name; what is not named is shared with the module.
    """
    found = copy.copy(module)
    for kept in ("_parameters", "_buffers", "_modules"):
        found.__dict__[kept] = dict(module.__dict__[kept])
    deeper: dict[str, dict[str, Tensor]] = {}
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if rest:
            deeper.setdefault(first, {})[rest] = value
        else:
            own = "_parameters" if first in found.__dict__["_parameters"] else "_buffers"
            found.__dict__[own][first] = value
    for name, each in deeper.items():
        found.__dict__["_modules"][name] = with_values(module.__dict__["_modules"][name], each)
    return found


class MemberLinear(nn.Module):
    """One affine map per member, applied to that member's own inputs.

    Parameters
    ----------
    members, inputs, outputs
        Sizes of the member, input and output axes.
    gain
        Factor on the usual 1/sqrt(inputs) scale; 0 starts the layer at zero.
    """

    def __init__(
        self, members: int, inputs: int, outputs: int, *, gain: float, generator: Generator
    ) -> None:
        super().__init__()
        scale = gain / math.sqrt(max(inputs, 1))
        draws = torch.randn(members, inputs, outputs, generator=generator)
        self.weight = nn.Parameter(scale * draws)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, values: Float[Tensor, "member row input"]) -> Float[Tensor, "member row out"]:
        """Return the map of each member's rows."""
        return torch.baddbmm(self.bias, values, self.weight)


class SharedInputLinear(nn.Module):
    """One affine map per member of the *same* rows, computed as a single wide product.

    The rows are standardised per member without copying them: with member statistics ``a`` and
    ``b``, ``(a x + b) W = x (a W) + b W``, so every member keeps transforms fitted on its own
    training patients while all share one matrix product.

    Parameters
    ----------
    members, inputs, outputs
        Sizes of the member, input and output axes.
    scale, offset
        Member statistics ``a`` and ``b``, each (member, input); a feature that a member must not
        use has zero in both.
    """

    scale: Tensor
    offset: Tensor
    used: Tensor

    def __init__(
        self,
        scale: Float[Tensor, "member input"],
        offset: Float[Tensor, "member input"],
        outputs: int,
        *,
        gain: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        members, inputs = scale.shape
        usable = max(int((scale != 0).any(dim=0).sum()), 1)
        # An adaptive optimiser moves every weight by the same step, so a modality of many
        # features would learn, and overfit, faster than one of few: its weights act through a
        # factor that undoes this (Yang & Hu 2021, arXiv:2011.14522).
        self.pace = min(1.0, _FEW_INPUTS / usable)
        deviation = gain / math.sqrt(usable) / self.pace
        draws = torch.randn(members, inputs, outputs, generator=generator)
        self.weight = nn.Parameter(deviation * draws)
        self.missing = nn.Parameter(torch.zeros(members, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)
        self.register_buffer("used", (scale != 0).to(scale.dtype))

    def forward(
        self,
        values: Float[Tensor, "row input"],
        measured: Float[Tensor, "row input"],
        sometimes_missing: Tensor,
    ) -> Float[Tensor, "member row out"]:
        """Return the map of the rows for every member.

        Parameters
        ----------
        values
            Zero where not measured.
        measured
            1 where measured, else 0.
        sometimes_missing
            Indices of the inputs that get a missing indicator.
        """
        weight = self.pace * self.weight * self.scale.unsqueeze(-1)
        level = self.pace * self.weight * self.offset.unsqueeze(-1)
        rows = [values, measured, 1.0 - measured[:, sometimes_missing]]
        used = self.used[:, sometimes_missing].unsqueeze(-1)
        stack = torch.cat(
            [weight, level, self.pace * self.missing[:, sometimes_missing] * used], dim=1
        )
        return _wide_product(torch.cat(rows, dim=1), stack) + self.bias

    def standardised(
        self, values: Float[Tensor, "row input"], measured: Float[Tensor, "row input"]
    ) -> Float[Tensor, "member row input"]:
        """Return the rows as each member sees them; zero where not measured."""
        return values * self.scale.unsqueeze(1) + measured * self.offset.unsqueeze(1)

    def weighed(
        self,
        values: Float[Tensor, "row input"],
        measured: Float[Tensor, "row input"],
        weight: Float[Tensor, "member input out"],
    ) -> Float[Tensor, "member row out"]:
        """Return ``standardised(...) @ weight``, as one wide product."""
        scale, offset = self.scale.unsqueeze(-1), self.offset.unsqueeze(-1)
        stack = torch.cat([weight * scale, weight * offset], dim=1)
        return _wide_product(torch.cat([values, measured], dim=1), stack)


class ProjectedInputLinear(nn.Module):
    """One affine map per member of the member's own principal components of the same rows.

    Thousands of correlated features carry a few dozen directions of biology; learning on those
    keeps a network from fitting the rest. The projection is fixed and one wide product for all
    members; only the small map behind it is learned.

    Parameters
    ----------
    scale, offset
        Member statistics, each (member, input); see :class:`SharedInputLinear`.
    directions
        Principal directions of each member's own training patients, scaled so that the
        components have unit variance, (member, input, component).
    outputs
        Size of the output axis.
    structure
        What makes nodes from inputs, one for all members; the directions are then of the nodes.
    beside
        Whether as many components again stand beside the directions' own.
    """

    fixed = True  # Whether training leaves the components as they are.
    scale: Tensor
    offset: Tensor
    directions: Tensor
    structure: Tensor | None
    copies: Copies | None = None

    def __init__(
        self,
        scale: Float[Tensor, "member input"],
        offset: Float[Tensor, "member input"],
        directions: Float[Tensor, "member node component"],
        outputs: int,
        *,
        gain: float,
        generator: Generator,
        structure: Float[Tensor, "input node"] | None = None,
        beside: bool = False,
    ) -> None:
        super().__init__()
        members, _, components = directions.shape
        inputs = components * (2 if beside else 1)
        self.map = MemberLinear(members, inputs, outputs, gain=gain, generator=generator)
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)
        self.register_buffer("directions", directions)
        self.register_buffer("structure", structure)

    def forward(
        self,
        values: Float[Tensor, "row input"],
        measured: Float[Tensor, "row input"],
        sometimes_missing: Tensor,
    ) -> Float[Tensor, "member row out"]:
        """Return the map of the rows for every member; what is missing sits at the mean."""
        return self.mapped(self.components(values, measured))

    def mapped(
        self, components: Float[Tensor, "planned row component"]
    ) -> Float[Tensor, "member row out"]:
        """Return the learned map of components, of which copies of a member share one set."""
        return self.map(self.spread(components))

    def spread(
        self, components: Float[Tensor, "planned row component"]
    ) -> Float[Tensor, "member row component"]:
        """Return each member's components, of which copies of a member share one set."""
        return components if self.copies is None else self.copies.spread(components)

    def components(
        self, values: Float[Tensor, "row input"], measured: Float[Tensor, "row input"]
    ) -> Float[Tensor, "planned row component"]:
        """Return the principal components of the rows; nothing in them is learned by gradient."""
        found = []
        for few in torch.arange(len(self.directions)).split(_MEMBERS_AT_A_TIME):
            scale, offset = self.scale[few], self.offset[few]
            found.append(self.product(values, measured, scale, offset, self.loadings(few)))
        return torch.cat(found)

    def planned(self, members: Int[Tensor, " chosen"]) -> Int[Tensor, " chosen"]:
        """Return the planned member that each member repeats."""
        return members if self.copies is None else self.copies.of.to(members.device)[members]

    def loadings(self, planned: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen input component"]:
        """Return how the components of some planned members follow the standardised values."""
        directions = self.directions[planned]
        return directions if self.structure is None else self.structure @ directions

    def strength(self, members: Int[Tensor, " chosen"]) -> Float[Tensor, "chosen input_ input_"]:
        """Return the turn after which components are as strong as the features make them.

        A ridge on components turned so is the ridge on the features (or nodes) themselves, as far
        as these components reach: ``(D' D) ** -0.5`` of the directions ``D``.
        """
        directions = self.directions[self.planned(members)].double()
        squares, vectors = torch.linalg.eigh(directions.mT @ directions)
        # A component without variance has no direction, and stays away.
        kept = squares > 1e-9 * squares[:, -1:]
        root = torch.where(kept, squares.clamp(min=1e-30).rsqrt(), 0.0)
        turn = ((vectors * root.unsqueeze(1)) @ vectors.mT).to(self.directions)
        beside = self.map.weight.shape[1] // directions.shape[2]
        return torch.kron(torch.eye(beside).to(turn), turn)

    @staticmethod
    def product(
        values: Float[Tensor, "row input"],
        measured: Float[Tensor, "row input"],
        scale: Float[Tensor, "member input"],
        offset: Float[Tensor, "member input"],
        slope: Float[Tensor, "member input out"],
    ) -> Float[Tensor, "member row out"]:
        """Return the rows, standardised for each member, times its slope."""
        members, inputs, outputs = slope.shape
        # Made in the order in which it is multiplied: of thousands of features copies take time.
        both = torch.stack([scale.T, offset.T]).unsqueeze(-1) * slope.transpose(0, 1)
        rows = torch.cat([values, measured], dim=1)
        wide = both.reshape(2 * inputs, members * outputs)
        return (rows @ wide).view(len(rows), members, outputs).transpose(0, 1)


def _wide_product(
    rows: Float[Tensor, "row input"], weight: Float[Tensor, "member input out"]
) -> Float[Tensor, "member row out"]:
    """Multiply the same rows by every member's weights in one product."""
    members, inputs, outputs = weight.shape
    wide = weight.transpose(0, 1).reshape(inputs, members * outputs)
    return (rows @ wide).view(len(rows), members, outputs).transpose(0, 1)


def dropout(
    values: Tensor,
    probability: float | Float[Tensor, "member 1 1"],
    generator: Generator | None,
    copies: Copies | None = None,
) -> Tensor:
    """Return values with a share set to zero and the rest scaled up.

    The mask is drawn on the CPU from a generator that is a function of (seed, step), so that a
    resumed run, and a run on another device, draw the same masks.

    Parameters
    ----------
    probability
        One for all members, or each member's own.
    copies
        Members that share their random numbers.
    """
    if generator is None or (isinstance(probability, float) and probability == 0.0):
        return values
    if copies is None:
        chance = torch.rand(values.shape, generator=generator)
    else:
        chance = copies.spread(torch.rand(copies.planned, *values.shape[1:], generator=generator))
    if isinstance(probability, Tensor):
        keep = chance >= probability.cpu()
        return values * keep.to(values) / (1.0 - probability.to(values))
    return values * (chance >= probability).to(values) / (1.0 - probability)
