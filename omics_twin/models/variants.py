"""Members under different settings in one batch: a variant is a factor of the member axis."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omics_twin.models.encoders import ChannelEncoder
from omics_twin.models.layers import Copies, ProjectedInputLinear, SharedInputLinear
from omics_twin.models.network import MultimodalNetwork
from omics_twin.settings import NetworkSettings, TrainerSettings

# Settings that may differ between members of one batch: they change no shape and no schedule.
PER_MEMBER = {
    "trainer.learning_rate",
    "trainer.weight_decay",
    "trainer.divergence_weight",
    "trainer.modality_dropout",
    "model.dropout",
    "model.initial_precision",
}


@dataclass(frozen=True)
class Variant:
    """One way to train some of the planned members.

    Attributes
    ----------
    name
        What a table calls it.
    trainer, model
        Its settings; those not in ``PER_MEMBER`` must be the same in a batch.
    members
        Which planned members are trained this way, (chosen,).
    hidden
        Channels its members are never shown.
    """

    name: str
    trainer: TrainerSettings
    model: NetworkSettings
    members: Int[Tensor, " chosen"]
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MemberSettings:
    """What each member of a batch is trained with.

    Attributes
    ----------
    copies
        Which planned member each one repeats.
    learning_rate, weight_decay, divergence_weight, modality_dropout, dropout, initial_precision
        Each (member,).
    shown
        Channel -> 1 for the members that are shown it, (member,).
    """

    copies: Copies
    learning_rate: Float[Tensor, " member"]
    weight_decay: Float[Tensor, " member"]
    divergence_weight: Float[Tensor, " member"]
    modality_dropout: Float[Tensor, " member"]
    dropout: Float[Tensor, " member"]
    initial_precision: Float[Tensor, " member"]
    shown: Mapping[str, Float[Tensor, " member"]]

    @staticmethod
    def of(variants: Sequence[Variant], planned: int, channels: Sequence[str]) -> MemberSettings:
        """Return the settings of variants one after the other.

        Parameters
        ----------
        planned
            Number of planned members.
        channels
            Names of all channels.
        """

        def each(read: Callable[[Variant], float]) -> Tensor:
            return torch.cat([torch.full((len(v.members),), float(read(v))) for v in variants])

        return MemberSettings(
            copies=Copies(planned, torch.cat([variant.members for variant in variants])),
            learning_rate=each(lambda v: v.trainer.learning_rate),
            weight_decay=each(lambda v: v.trainer.weight_decay),
            divergence_weight=each(lambda v: v.trainer.divergence_weight),
            modality_dropout=each(lambda v: v.trainer.modality_dropout),
            dropout=each(lambda v: v.model.dropout),
            initial_precision=each(lambda v: v.model.initial_precision),
            shown={
                name: each(lambda v, name=name: name not in v.hidden)  # type: ignore[misc]
                for name in channels
            },
        )


def copied(network: MultimodalNetwork, copies: Copies) -> MultimodalNetwork:
    """Return a network of which each member begins as its planned member.

    Principal directions, by far the largest tensors of a wide channel and not learned, are not
    copied: copies of a member share them.
    """
    tensors = [*network.parameters(), *network.buffers()]
    made = copy.deepcopy(network, {id(each): each for each in tensors})
    with torch.no_grad():
        for part in made.modules():
            for name, value in part.named_parameters(recurse=False):
                again = nn.Parameter(copies.spread(value.detach()), value.requires_grad)
                setattr(part, name, again)
            if isinstance(part, SharedInputLinear):
                for name in ("scale", "offset", "used"):
                    setattr(part, name, copies.spread(getattr(part, name)))
            if isinstance(part, ProjectedInputLinear):
                before = part.copies
                part.copies = (
                    copies if before is None else Copies(before.planned, before.of[copies.of])
                )
            if isinstance(part, ChannelEncoder):
                part.copies = copies
    return made


def set_out(network: MultimodalNetwork, settings: MemberSettings) -> MultimodalNetwork:
    """Return the planned network's copies, each with its own settings before training."""
    made = copied(network, settings.copies)
    with torch.no_grad():
        for part in made.modules():
            if isinstance(part, ChannelEncoder):
                part.dropout_probability = settings.dropout.view(-1, 1, 1)
                start = torch.log(torch.expm1(settings.initial_precision.double()))
                part.certainty.copy_(start.view(-1, 1, 1).expand_as(part.certainty))
    return made


class MemberAdamW(torch.optim.Optimizer):
    """AdamW in which every member has its own learning rate and weight decay.

    With the same numbers for all members it is ``torch.optim.AdamW``.

    Parameters
    ----------
    groups
        As of any optimiser; ``decays``: whether the group's parameters decay.
    learning_rate, weight_decay
        Of each member, (member,); every parameter has a leading member axis.

    References
    ----------
    Loshchilov & Hutter 2019, Decoupled weight decay regularization (arXiv:1711.05101),
    algorithm 2.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        learning_rate: Float[Tensor, " member"],
        weight_decay: Float[Tensor, " member"],
    ) -> None:
        super().__init__(groups, {"betas": (0.9, 0.999), "eps": 1e-8, "decays": True})
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every member by one step."""
        answer = None
        if closure is not None:
            with torch.enable_grad():
                answer = closure()
        for group in self.param_groups:
            moved = [(each, each.grad) for each in group["params"] if each.grad is not None]
            if moved:
                self._move([each for each, _ in moved], [each for _, each in moved], group)
        return answer

    def _move(self, values: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        for each in values:
            if not self.state[each]:
                self.state[each] = {
                    "step": torch.zeros(()),
                    "mean": torch.zeros_like(each),
                    "square": torch.zeros_like(each),
                }
        states = [self.state[each] for each in values]
        means, squares = [s["mean"] for s in states], [s["square"] for s in states]
        for state in states:
            state["step"] += 1
        steps = int(states[0]["step"])
        first, second = group["betas"]
        rates = [_along(self.learning_rate, each) for each in values]
        if group["decays"]:
            decays = [
                1.0 - rate * _along(self.weight_decay, each)
                for rate, each in zip(rates, values, strict=True)
            ]
            torch._foreach_mul_(values, decays)
        torch._foreach_lerp_(means, gradients, 1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - second)
        below = torch._foreach_sqrt(squares)
        torch._foreach_div_(below, (1.0 - second**steps) ** 0.5)
        torch._foreach_add_(below, group["eps"])
        moves = torch._foreach_div(means, below)
        torch._foreach_mul_(moves, [rate / (1.0 - first**steps) for rate in rates])
        torch._foreach_sub_(values, moves)


def _along(numbers: Tensor, parameter: Tensor) -> Tensor:
    """Return one number per member, shaped to multiply a parameter."""
    return numbers.to(parameter).view(-1, *[1] * (parameter.ndim - 1))
