"""A therapy as the agents it is made of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn


class RegimenEncoder(nn.Module):
    """A regimen's code is the sum of its agents' learned codes.

    Arms that share agents share strength, and a combination nobody has tried has a code too.

    Parameters
    ----------
    members, agents, width
        Sizes of the member, agent and code axes.
    """

    def __init__(self, members: int, agents: int, width: int, *, generator: Generator) -> None:
        super().__init__()
        draws = torch.randn(members, agents, width, generator=generator)
        self.codes = nn.Parameter(0.3 * draws)

    def forward(self, agents: Float[Tensor, "*row agent"]) -> Float[Tensor, "member *row code"]:
        """Return the code of each row of 0/1 agents for every member."""
        return torch.einsum("...a,mac->m...c", agents, self.codes)
