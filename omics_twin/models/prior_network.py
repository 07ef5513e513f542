"""What a network expects of a patient's own parameters: a leading axis of members."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

RESPONSE_SD = 0.5
"""A response is that propensity and chance are above zero: the spread of chance."""
_PROPENSITY_SD = 0.75**0.5
# Logs of the spread between patients and of the error that training begins with.
_FIRST_SCALE = -0.3
_FIRST_ERROR = -1.5


class Proposal(nn.Module):
    """What is expected of some parameters, and what each agent adds to it.

    With nothing known of a patient it is the level of the population and the agents' mean effects;
    all that is learned of patients is in weights that begin at none.
    """

    def __init__(
        self, members: int, inputs: int, agents: int, hidden: int, outputs: int, seed: int
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape: int) -> nn.Parameter:
            scale = shape[1] ** -0.5
            return nn.Parameter(scale * torch.randn(shape, generator=generator))

        self.level = nn.Parameter(torch.zeros(members, 1, outputs))
        self.agent = nn.Parameter(torch.zeros(members, agents, outputs))
        self.linear = nn.Parameter(torch.zeros(members, inputs, outputs))
        self.first = drawn(members, inputs, hidden)
        self.second = nn.Parameter(torch.zeros(members, hidden, outputs))
        self.code = drawn(members, agents, hidden)
        self.moved = nn.Parameter(torch.zeros(members, hidden, outputs))

    def base(
        self, known: Float[Tensor, "member patient input"]
    ) -> tuple[Float[Tensor, "member patient output"], Float[Tensor, "member patient hidden"]]:
        """Return what is expected without any agent, and what an agent's effect depends on."""
        hidden = torch.tanh(known @ self.first)
        return self.level + known @ self.linear + hidden @ self.second, hidden

    def forward(
        self,
        known: Float[Tensor, "member patient input"],
        agents: Float[Tensor, "patient agent"],
    ) -> Float[Tensor, "member patient output"]:
        """Return what is expected under some agents."""
        base, hidden = self.base(known)
        return base + agents @ self.agent + (hidden * (agents @ self.code)) @ self.moved

    def penalty(self, weight: float, agent: float) -> Float[Tensor, " member"]:
        """Return what draws it towards the population, and agents towards no effect."""
        drawn = (self.linear, self.first, self.second, self.code, self.moved)
        own = torch.stack([each.square().sum(dim=(1, 2)) for each in drawn]).sum(dim=0)
        return 0.5 * (weight * own + agent * self.agent.square().sum(dim=(1, 2)))


class PriorNetwork(nn.Module):
    """A Gaussian over what a patient begins with, how it changes, and the propensity to respond.

    What a patient begins with is the same for everybody before it is measured; the changes may
    depend on it as on everything else that is known. Changes and propensity vary together.

    Attributes
    ----------
    start
        Mean of what a patient begins with, (member, feature).
    rates, response
        Proposals for the changes between visits, (feature by feature, visits in order), and for
        the propensity.
    propensity_sd
        How far patients who are known alike differ in the propensity, (member,): with chance it
        is one, which chooses the unit.
    error
        Log of the standard deviation of each measurement around the state, (member, feature).
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        agents: int,
        features: int,
        visits: int,
        hidden: int,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        changes = features * (visits - 1)
        size = features + changes + 1
        self.start = nn.Parameter(torch.zeros(members, features))
        self.rates = Proposal(members, inputs, agents, hidden, changes, seed)
        self.response = Proposal(members, inputs, agents, hidden, 1, seed + 1)
        self.root = nn.Parameter(torch.zeros(members, size, size))
        self.scale = nn.Parameter(torch.full((members, size), _FIRST_SCALE))
        self.propensity_sd: Tensor
        self.register_buffer("propensity_sd", torch.full((members,), _PROPENSITY_SD))
        self.error = nn.Parameter(torch.full((members, features), _FIRST_ERROR))

    @property
    def members(self) -> int:
        """How many members there are."""
        return len(self.start)

    @property
    def features(self) -> int:
        """How many numbers are followed."""
        return self.start.shape[1]

    @property
    def hidden(self) -> int:
        """How many numbers an agent's effect depends on."""
        return self.rates.second.shape[1] + self.response.second.shape[1]

    def mean(
        self,
        known: Float[Tensor, "member patient input"],
        agents: Float[Tensor, "patient agent"],
    ) -> Float[Tensor, "member patient parameter"]:
        """Return what is expected of every parameter under some agents."""
        start = self.start.unsqueeze(1).expand(-1, known.shape[1], -1)
        return torch.cat([start, self.rates(known, agents), self.response(known, agents)], dim=-1)

    def base(
        self, known: Float[Tensor, "member patient input"]
    ) -> tuple[Float[Tensor, "member patient parameter"], Float[Tensor, "member patient hidden"]]:
        """Return the same without any agent, and what an agent's effect depends on."""
        start = self.start.unsqueeze(1).expand(-1, known.shape[1], -1)
        rates, first = self.rates.base(known)
        response, second = self.response.base(known)
        return torch.cat([start, rates, response], dim=-1), torch.cat([first, second], dim=-1)

    def effects(
        self, hidden: Float[Tensor, "draw hidden"], member: Int[Tensor, " draw"]
    ) -> Float[Tensor, "draw agent change"]:
        """Return what each agent adds to the changes and to the propensity, draw by draw."""
        parts = (self.rates, self.response)
        agents, sizes = parts[0].code.shape[1], [each.second.shape[1] for each in parts]
        outputs = [each.level.shape[2] for each in parts]
        found = torch.empty(len(hidden), agents, sum(outputs))
        for each in member.unique():
            rows = torch.nonzero(member == each)[:, 0]
            told = [
                part.agent[each] + (own[:, None] * part.code[each]) @ part.moved[each]
                for part, own in zip(parts, hidden[rows].split(sizes, dim=1), strict=True)
            ]
            found[rows] = torch.cat(told, dim=-1)
        return found

    def lower(self) -> Float[Tensor, "member parameter parameter"]:
        """Return a lower root of the covariance between patients."""
        lower = torch.tril(self.root, -1).clone()
        # What a patient begins with is among what is known where it is measured.
        lower[:, self.features :, : self.features] = 0.0
        lower = lower + torch.diag_embed(self.scale.exp())
        last = lower[:, -1:] / lower[:, -1:].norm(dim=2, keepdim=True)
        return torch.cat([lower[:, :-1], self.propensity_sd[:, None, None] * last], dim=1)

    def at(self, members: Tensor) -> PriorNetwork:
        """Return some of the members."""
        return restored({name: value[members] for name, value in self.state_dict().items()})

    def widened(self, variance: Float[Tensor, " member"]) -> PriorNetwork:
        """Return a population in the unit of a network that tells patients apart.

        Parameters
        ----------
        variance
            Between patients, of the propensity that the network expects.
        """
        weights = dict(self.state_dict())
        whole = (1.0 + variance).sqrt()
        for name in ("response.level", "response.agent"):
            weights[name] = weights[name] * whole[:, None, None]
        weights["propensity_sd"] = (whole.square() - RESPONSE_SD**2).sqrt()
        return restored(weights)

    def beside(self, other: PriorNetwork) -> PriorNetwork:
        """Return its members, then those of another one."""
        theirs = other.state_dict()
        return restored({k: torch.cat([v, theirs[k]]) for k, v in self.state_dict().items()})


def restored(weights: dict[str, Tensor]) -> PriorNetwork:
    """Return the network of stored weights, in evaluation mode."""
    members, inputs, _ = weights["rates.linear"].shape
    features, size = weights["start"].shape[1], weights["scale"].shape[1]
    network = PriorNetwork(
        members,
        inputs,
        weights["rates.agent"].shape[1],
        features,
        (size - 1) // features,
        weights["rates.second"].shape[1],
    )
    network.load_state_dict(weights, strict=True)
    return network.eval().requires_grad_(requires_grad=False)
