"""Measurements that change at a constant rate between scheduled days, in closed form.

Of a volume taken as a logarithm, a constant rate is exponential growth less a constant kill. Every
agent adds to the rates while it is in force, and to the propensity to respond by the share of the
course during which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.plan import Plan


@dataclass(frozen=True)
class ScheduledRates:
    """Some numbers with a rate for each window between scheduled days, and a propensity.

    A patient's parameters are, in order: each number on the first day, its rates [1/day], all
    numbers of the first window, then of the next, the propensity; then, agent by agent, what it
    adds to the rates and to the propensity. Before the first day and after the last nothing
    changes.

    Attributes
    ----------
    numbers
        What changes, on the scale on which it changes steadily.
    schedule
        Days between which rates are constant, the first before treatment [day].
    agents
        What can be given.
    """

    numbers: tuple[str, ...]
    schedule: tuple[float, ...]
    agents: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """The patient's own parameters, without agents, and what each agent adds not named."""
        windows = zip(self.schedule, self.schedule[1:], strict=False)
        rates = [
            f"{name} per day, day {start:g} to {end:g}"
            for start, end in windows
            for name in self.numbers
        ]
        return (*self.numbers, *rates, "propensity")

    @property
    def states(self) -> tuple[str, ...]:
        """What changes, and the propensity of the whole course."""
        return (*self.numbers, "propensity")

    @property
    def drugs(self) -> tuple[str, ...]:
        """What can be given."""
        return self.agents

    def run(
        self,
        parameters: Float[Tensor, "patient draw parameter"],
        plans: Sequence[Plan],
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time state"]:
        """Return the states on some days since the index date, one plan for each patient."""
        size, numbers = len(self.parameters), len(self.numbers)
        own, effects = parameters[..., :size], parameters[..., size:]
        effects = effects.unflatten(-1, (len(self.agents), size - numbers))
        lengths = self._lengths(days.double()).to(parameters)
        levels = own[:, :, None, :numbers]
        rates = own[..., numbers:-1].unflatten(-1, (-1, numbers))
        levels = levels + torch.einsum("ptw,pdwn->pdtn", lengths, rates)
        given = self._given(plans, days.double()).to(parameters)
        moved = effects[..., :-1].unflatten(-1, (-1, numbers))
        levels = levels + torch.einsum("ptwa,pdawn->pdtn", given, moved)
        share = self._share(plans).to(parameters)
        propensity = own[..., -1] + torch.einsum("pa,pda->pd", share, effects[..., -1])
        propensity = propensity[:, :, None, None].expand(*levels.shape[:3], 1)
        return torch.cat([levels, propensity], dim=-1)

    def linear(
        self, days: Float[Tensor, "patient time"]
    ) -> Float[Tensor, "patient time number parameter"]:
        """Return how the numbers follow from the patient's own parameters; agents add to it."""
        eye = torch.eye(len(self.numbers), dtype=torch.float64)
        lengths = self._lengths(days.double())
        rates = torch.einsum("ptw,nk->ptnwk", lengths, eye).flatten(-2)
        levels = eye.expand(*days.shape, -1, -1)
        return torch.cat([levels, rates, torch.zeros_like(levels[..., :1])], dim=-1)

    def _lengths(self, days: Float[Tensor, "*rest"]) -> Float[Tensor, "*rest window"]:
        """Return how long each window had lasted by some days [day]."""
        edges = torch.tensor(self.schedule, dtype=torch.float64)
        asked = days.unsqueeze(-1)
        return (torch.minimum(asked, edges[1:]) - edges[:-1]).clamp(min=0.0)

    def _given(
        self, plans: Sequence[Plan], days: Float[Tensor, "patient time"]
    ) -> Float[Tensor, "patient time window agent"]:
        """Return how long each agent had been in force within each window by some days [day]."""
        found = torch.zeros(*days.shape, len(self.schedule) - 1, len(self.agents)).double()
        for row, plan in enumerate(plans):
            for segment in plan:
                agents = self._in_force(segment.intervention.doses)
                if not agents:
                    continue
                until, since = (
                    self._lengths(days[row].clamp(max=end))
                    for end in (segment.end_days, segment.start_days)
                )
                found[row][..., agents] += (until - since)[..., None]
        return found

    def _share(self, plans: Sequence[Plan]) -> Float[Tensor, "patient agent"]:
        """Return the share of the whole course during which each agent is in force."""
        last = torch.full((len(plans), 1), self.schedule[-1], dtype=torch.float64)
        length = self.schedule[-1] - self.schedule[0]
        return self._given(plans, last)[:, 0].sum(dim=1) / length

    def _in_force(self, doses: Sequence) -> list[int]:
        return sorted({self.agents.index(each.drug) for each in doses if each.amount > 0})
