"""Quantities measured at a visit, each with an error that grows with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.types import Modality

_LEAST = 1e-6


@dataclass(frozen=True)
class MeasuredStates:
    """States as they are measured, with errors that are Gaussian and independent.

    Attributes
    ----------
    modality
        A feature for each quantity.
    states
        Position of each feature among the states.
    proportional
        Standard deviation of each feature's error as a share of the state.
    additive
        What is added to it, in the unit of the feature: the root of the sum of their squares is
        taken; empty: nothing.
    """

    modality: Modality
    states: tuple[int, ...]
    proportional: tuple[float, ...]
    additive: tuple[float, ...] = ()

    def log_likelihood(
        self,
        values: Float[Tensor, "patient visit feature"],
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> Float[Tensor, "patient draw visit"]:
        """Return how likely each draw makes what was measured; 0 where nothing was."""
        true = self._true(states)
        density = log_density(values[:, None].to(true), true, *self._errors(true))
        return density.sum(dim=-1)

    def moments(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> tuple[
        Float[Tensor, "patient draw visit feature"], Float[Tensor, "patient draw visit feature"]
    ]:
        """Return mean and standard deviation of what would be measured."""
        true = self._true(states)
        return true, error_sd(true, *self._errors(true))

    def sample(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
        noise: Float[Tensor, "patient draw visit feature"],
    ) -> Float[Tensor, "patient draw visit feature"]:
        """Return what would be measured; nothing is below 0."""
        true, spread = self.moments(states, parameters)
        return (true + spread * noise).clamp(min=0.0)

    def _true(self, states: Tensor) -> Tensor:
        return states[..., list(self.states)].clamp(min=_LEAST)

    def _errors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        additive = self.additive or (0.0,) * len(self.states)
        return torch.tensor(self.proportional).to(like), torch.tensor(additive).to(like)


def error_sd(
    true: Float[Tensor, "*rest feature"],
    proportional: Float[Tensor, " feature"],
    additive: Float[Tensor, " feature"],
) -> Float[Tensor, "*rest feature"]:
    """Return the standard deviation of a measurement whose two errors are independent."""
    return torch.sqrt((proportional * true).square() + additive.square())


def log_density(
    found: Float[Tensor, "patient 1 visit feature"],
    true: Float[Tensor, "patient draw visit feature"],
    proportional: Float[Tensor, " feature"],
    additive: Float[Tensor, " feature"],
) -> Float[Tensor, "patient draw visit feature"]:
    """Return how likely true values make what was found, up to a constant; 0 where nothing was.

    It has gradients with respect to the errors, so that they can be learned.
    """
    spread = error_sd(true, proportional, additive)
    z = (torch.nan_to_num(found) - true) / spread
    return torch.where(torch.isnan(found), 0.0, -0.5 * z.square() - torch.log(spread))
