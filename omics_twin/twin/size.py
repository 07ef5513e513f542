"""How a tumour's diameter is measured: error, rounding, and what is too small to measure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.growth import LARGEST_MM
from omics_twin.dynamics.recist import SCAN_DAYS, progression_free
from omics_twin.errors import TwinError
from omics_twin.twin.parts import Readout
from omics_twin.types import Modality


@dataclass(frozen=True)
class MeasuredSize:
    """A diameter with an error that grows with it; below a limit only that it is small is known.

    Attributes
    ----------
    modality
        Its first feature is the diameter [mm]; a second one, if any, is 1 where the tumour was
        seen but too small to measure.
    state
        Position of the size among the states.
    proportional, additive_mm
        Standard deviation of the error as a share of the size, and what is added to it; the root
        of the sum of their squares.
    freedom
        Degrees of freedom of Student's t; infinity: a Gaussian error.
    limit_mm
        Below this a tumour is too small to measure.
    """

    modality: Modality
    state: int = 0
    proportional: float = 0.067
    additive_mm: float = 1.0
    freedom: float = math.inf
    limit_mm: float = 5.0

    def log_likelihood(
        self,
        values: Float[Tensor, "patient visit feature"],
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> Float[Tensor, "patient draw visit"]:
        """Return how likely each draw makes what was measured; 0 where nothing was."""
        errors = (self.proportional, self.additive_mm, self.freedom)
        return size_density(values, states[..., self.state], *errors, self.limit_mm)

    def moments(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> tuple[
        Float[Tensor, "patient draw visit feature"], Float[Tensor, "patient draw visit feature"]
    ]:
        """Return mean and standard deviation of what would be measured.

        Raises
        ------
        TwinError
            If the error is not Gaussian: tumours can be too small, or it has heavy tails.
        """
        if len(self.modality.features) > 1 or math.isfinite(self.freedom):
            raise TwinError(
                "tumours too small to measure, or errors with heavy tails, are not Gaussian: take "
                "visits in without an ensemble Kalman filter"
            )
        size = states[..., self.state : self.state + 1]
        return size, self._spread(size)

    def sample(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
        noise: Float[Tensor, "patient draw visit feature"],
    ) -> Float[Tensor, "patient draw visit feature"]:
        """Return what would be measured; a size is at least 0 and no larger than a body."""
        size = states[..., self.state]
        z = noise[..., 0]
        if math.isfinite(self.freedom):
            z = _student(z, self.freedom)
        measured = (size + z * self._spread(size)).clamp(0.0, LARGEST_MM)
        small = (measured < self.limit_mm).to(size)
        return torch.stack([measured, small], dim=-1)[..., : noise.shape[-1]]

    def _spread(self, size: Tensor) -> Tensor:
        return _spread_of(size, self.proportional, self.additive_mm)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; the modality is stored with the twin."""
        return {
            "state": self.state,
            "proportional": self.proportional,
            "additive_mm": self.additive_mm,
            "freedom": None if math.isinf(self.freedom) else self.freedom,
            "limit_mm": self.limit_mm,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any], modality: Modality) -> MeasuredSize:
        """Return the model from plain values."""
        freedom = math.inf if stored["freedom"] is None else stored["freedom"]
        return MeasuredSize(modality, **{**stored, "freedom": freedom})


def size_readouts(state: int) -> tuple[Readout, ...]:
    """Return what is told of a sum of diameters: its size, and whether it has not progressed.

    Parameters
    ----------
    state
        Which of the states the size is.
    """

    def free(states: Tensor, _: Tensor, __: Tensor) -> Tensor:
        return progression_free(states[..., state])

    return (
        Readout("size_mm", "mm", lambda states, _, __: states[..., state]),
        Readout("progression_free", "1", free, SCAN_DAYS),
    )


def size_density(
    values: Float[Tensor, "patient visit feature"],
    size: Float[Tensor, "patient draw visit"],
    proportional: float | Tensor,
    additive_mm: float | Tensor,
    freedom: float | Tensor,
    limit_mm: float,
) -> Float[Tensor, "patient draw visit"]:
    """Return how likely sizes make what was measured; 0 where nothing was.

    It has gradients with respect to the errors, so that they can be learned; see
    :class:`MeasuredSize`.
    """
    spread = _spread_of(size, proportional, additive_mm)
    found = values[:, None, :, 0].to(size)
    z = (torch.nan_to_num(found) - size) / spread
    density = _log_density(z, torch.as_tensor(freedom, dtype=z.dtype)) - torch.log(spread)
    density = torch.where(torch.isnan(found), 0.0, density)
    if values.shape[2] < 2:
        return density
    small = (values[:, None, :, 1] == 1.0) & torch.isnan(found)
    below = torch.special.log_ndtr((limit_mm - size) / spread)
    return torch.where(small, below, density)


def _spread_of(size: Tensor, proportional: float | Tensor, additive: float | Tensor) -> Tensor:
    return torch.sqrt((proportional * size).square() + additive**2)


def _log_density(z: Tensor, n: Tensor) -> Tensor:
    if bool(torch.isinf(n)):
        return -0.5 * z.square() - 0.5 * math.log(2.0 * math.pi)
    constant = torch.lgamma((n + 1) / 2) - torch.lgamma(n / 2) - 0.5 * torch.log(n * math.pi)
    return constant - (n + 1) / 2 * torch.log1p(z.square() / n)


def _student(normal: Tensor, freedom: float) -> Tensor:
    """Return Student's t of the same probability as a normal number."""
    from scipy.stats import t

    probability = torch.special.ndtr(normal.double()).clamp(1e-12, 1 - 1e-12)
    return torch.from_numpy(t.ppf(probability.numpy(), freedom)).to(normal)
