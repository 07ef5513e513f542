"""A network whose every number is public, or was learned with noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn
from torch.func import functional_call

from omics_twin.models.encoders import ChannelEncoder, InputStatistics
from omics_twin.models.fusion import Evidence
from omics_twin.models.heads import BinaryHead, ResponseSurface
from omics_twin.models.network import (
    LinearEffects,
    MultimodalNetwork,
    TherapyOutcome,
    symmetric_root,
)
from omics_twin.models.private_descent import MemberLoss, Parameters, linear_loss, slowed, times
from omics_twin.models.private_statistics import Standards
from omics_twin.models.therapy import RegimenEncoder
from omics_twin.settings import NetworkSettings

INTERACTIONS = 0.3
"""What an effect on an agent's effect counts beside one on prognosis: fewer patients show it."""
# So certain that what the latent code adds cannot be seen.
_CERTAIN = 1e6
_ALONE = NetworkSettings(latent=1, hidden=1, therapy_code=1, interaction_hidden=1)
_LEFT = ("unknown", "bends", "fade")


@dataclass(frozen=True)
class PrivateInputs:
    """What is known of patients, as noisy gradient descent takes it.

    Attributes
    ----------
    values
        Channel -> (patient, feature), NaN: not measured.
    standards
        What standardises each channel.
    binary
        Which features of each channel take only 0 and 1.
    agents
        1 for each agent received, (patient, agent).
    targets
        1 for a response, (patient,).
    """

    values: Mapping[str, Float[Tensor, "patient _"]]
    standards: Mapping[str, Standards]
    binary: Mapping[str, Bool[Tensor, " _"]]
    agents: Float[Tensor, "patient agent"]
    targets: Float[Tensor, " patient"]

    @property
    def members(self) -> int:
        """Size of the member axis."""
        return len(next(iter(self.standards.values())).scale)


def linear_start(inputs: PrivateInputs) -> tuple[dict[str, Tensor], MemberLoss, list[Tensor]]:
    """Return the parameters of linear effects, their loss, and the patients it takes."""
    standard = [
        torch.nan_to_num(values.unsqueeze(1) * own.scale + own.offset, nan=0.0)
        for values, own in zip(inputs.values.values(), inputs.standards.values(), strict=True)
    ]
    design = torch.cat(standard, dim=2)
    members, agents = inputs.members, inputs.agents.shape[1]
    parameters = {
        "effects": torch.zeros(members, design.shape[2], 1 + agents),
        "average": torch.zeros(members, agents),
        "level": torch.zeros(members),
    }
    return (
        parameters,
        slowed(linear_loss, linear_paces(agents)),
        [
            design,
            inputs.agents,
            inputs.targets,
        ],
    )


def linear_paces(agents: int) -> dict[str, Tensor]:
    """Return the factor of each effect."""
    return {"effects": torch.tensor([1.0] + [INTERACTIONS] * agents)}


@torch.no_grad()
def linear_network(
    inputs: PrivateInputs, iterates: Sequence[Parameters], outcome: str
) -> MultimodalNetwork:
    """Return the network of linear effects; an iterate after another for every member."""
    agents = inputs.agents.shape[1]
    network = _untrained(inputs, outcome, _ALONE, len(iterates), seed=0)
    for surface, _ in network.outcome.parts:
        surface.gain.zero_()
    learned = [times(each, linear_paces(agents)) for each in iterates]
    together = {name: _apart([each[name] for each in learned]) for name in learned[0]}
    sizes = [each.shape[1] for each in inputs.values.values()]
    for name, effects in zip(inputs.values, together["effects"].split(sizes, dim=1), strict=True):
        encoder = network.encoder(name)
        for part in (encoder.first, encoder.second):
            for parameter in part.parameters():
                parameter.zero_()
        encoder.certainty.fill_(_CERTAIN)
        encoder.effects.copy_(effects)
    _outcome(network, together["average"], together["level"])
    return _settled(network, inputs)


def network_start(
    inputs: PrivateInputs, settings: NetworkSettings, outcome: str, *, seed: int
) -> tuple[dict[str, Tensor], MemberLoss, list[Tensor]]:
    """Return the parameters of an untrained network, their loss, and the patients it takes."""
    network = _untrained(inputs, outcome, settings, 1, seed=seed).train()
    parameters = {
        name: each.detach().clone()
        for name, each in network.named_parameters()
        if name.rpartition(".")[2] not in _LEFT
    }
    noise = torch.randn(
        len(inputs.targets),
        inputs.members,
        1,
        network.latent,
        generator=Generator().manual_seed(seed),
    )
    whole = _NetworkLoss(network, list(inputs.values))

    def loss(values: Parameters, *patient: Tensor) -> Tensor:
        named = {f"network.{name}": each for name, each in values.items()}
        found: Tensor = functional_call(whole, named, patient)
        return found

    targets = torch.stack([inputs.targets, torch.zeros_like(inputs.targets)], dim=1)
    return parameters, loss, [*inputs.values.values(), inputs.agents, targets, noise]


@torch.no_grad()
def trained_network(
    inputs: PrivateInputs,
    iterates: Sequence[Parameters],
    settings: NetworkSettings,
    outcome: str,
    *,
    seed: int,
) -> MultimodalNetwork:
    """Return the network of some iterates; an iterate after another for every member."""
    network = _untrained(inputs, outcome, settings, len(iterates), seed=seed)
    for name, value in network.named_parameters():
        if name in iterates[0]:
            value.copy_(_apart([each[name] for each in iterates]))
    return _settled(network, inputs)


class _NetworkLoss(nn.Module):
    """A network's loss of one patient as a module's forward, for ``functional_call``."""

    def __init__(self, network: MultimodalNetwork, channels: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.channels = tuple(channels)

    def forward(self, *patient: Tensor) -> Tensor:
        *rows, agents, targets, noise = (each.unsqueeze(0) for each in patient)
        values = dict(zip(self.channels, rows, strict=True))
        shown = {name: torch.ones(1) for name in values}
        evidence: Evidence = self.network.together(values, agents, shown)
        added = torch.zeros(self.network.members, 1, self.network.terms)
        for name, each in values.items():
            added = added + self.network.encoder(name).added(each)
        ones = torch.ones(self.network.members, 1)
        loss = self.network.loss(evidence, agents, targets, ones, noise[0], added, 0.0)
        return loss[:, 0]


def _untrained(
    inputs: PrivateInputs, outcome: str, settings: NetworkSettings, copies: int, *, seed: int
) -> MultimodalNetwork:
    """Return a network that has seen no patient beyond what standardises them."""
    generator, agents = Generator().manual_seed(seed), inputs.agents.shape[1]
    members, none = inputs.members * copies, torch.zeros(0, dtype=torch.long)
    encoders = {}
    for name, own in inputs.standards.items():
        size = own.scale.shape[1]
        repeated = dataclasses.replace(
            own,
            scale=own.scale.repeat_interleave(copies, dim=0),
            offset=own.offset.repeat_interleave(copies, dim=0),
        )
        encoders[name] = ChannelEncoder(
            InputStatistics(
                location=torch.zeros(size),
                spread=torch.ones(size),
                scale=repeated.scale,
                offset=repeated.offset,
                sometimes_missing=none,
                bent=none,
            ),
            hidden=settings.hidden,
            latent=settings.latent,
            agents=0,
            initial_precision=settings.initial_precision,
            dropout_probability=0.0,
            terms=1 + agents,
            generator=generator,
        )
    head = BinaryHead(outcome, members, torch.full((members,), 0.5))
    code, hidden = settings.therapy_code, settings.interaction_hidden
    surface = ResponseSurface(members, settings.latent, code, hidden, 1, generator=generator)
    regimen = RegimenEncoder(members, agents, code, generator=generator)
    effects = LinearEffects(members, agents)
    return MultimodalNetwork(encoders, TherapyOutcome(regimen, [surface], [head], effects))


def _apart(iterates: Sequence[Tensor]) -> Tensor:
    """Return iterates of every member one after another, (member x iterate, ...)."""
    return torch.stack(list(iterates), dim=1).flatten(0, 1)


def _outcome(network: MultimodalNetwork, average: Tensor, level: Tensor) -> None:
    if network.outcome.effects is not None:
        network.outcome.effects.average.copy_(average.unsqueeze(1))
    network.outcome.parts[0][1].level.copy_(level.unsqueeze(1))


def _settled(network: MultimodalNetwork, inputs: PrivateInputs) -> MultimodalNetwork:
    """Return the network with what a channel would add where it was not measured.

    Features are taken for independent, with the variance that standardising aims at: nothing more
    is asked of the patients.
    """
    for name, binary in inputs.binary.items():
        encoder = network.encoder(name)
        variance = torch.where(binary, 0.25, 1.0).view(1, -1, 1)
        encoder.unknown.copy_(
            symmetric_root(torch.bmm((encoder.effects * variance).mT, encoder.effects))
        )
    return network.eval().requires_grad_(requires_grad=False)
