"""Several quantities measured at a visit, each with an error that grows with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.types import Modality

_LEAST = 1e-6


@dataclass(frozen=True)
class MeasuredStates:
    """States as they are measured, with proportional errors that are independent.

    Attributes
    ----------
    modality
        A feature for each quantity.
    states
        Position of each feature among the states.
    proportional
        Standard deviation of each feature's error as a share of the state.
    """

    modality: Modality
    states: tuple[int, ...]
    proportional: tuple[float, ...]

    def log_likelihood(
        self,
        values: Float[Tensor, "patient visit feature"],
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> Float[Tensor, "patient draw visit"]:
        """Return how likely each draw makes what was measured; 0 where nothing was."""
        true, spread = self._true(states)
        found = values[:, None].to(true)
        z = (torch.nan_to_num(found) - true) / spread
        density = -0.5 * z.square() - torch.log(spread)
        return torch.where(torch.isnan(found), 0.0, density).sum(dim=-1)

    def sample(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
        noise: Float[Tensor, "patient draw visit feature"],
    ) -> Float[Tensor, "patient draw visit feature"]:
        """Return what would be measured; nothing is below 0."""
        true, spread = self._true(states)
        return (true + spread * noise).clamp(min=0.0)

    def _true(self, states: Tensor) -> tuple[Tensor, Tensor]:
        true = states[..., list(self.states)].clamp(min=_LEAST)
        return true, true * torch.tensor(self.proportional).to(true)
