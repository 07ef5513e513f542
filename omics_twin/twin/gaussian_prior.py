"""A patient's parameters before anything is known: Gaussian on scales without bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import ModelError
from omics_twin.twin.draws import patient_noise
from omics_twin.types import Modality, Observation, Visit


class Scale(Enum):
    """On which scale a parameter is Gaussian."""

    IDENTITY = "identity"
    LOG = "log"
    LOGIT = "logit"


@dataclass(frozen=True)
class GaussianPrior:
    """Parameters that are jointly Gaussian on their scales.

    Attributes
    ----------
    names, scales
        Of each parameter.
    mean, covariance
        On those scales, (parameter,) and (parameter, parameter).
    source
        Where the numbers are from.
    """

    names: tuple[str, ...]
    scales: tuple[Scale, ...]
    mean: Float[Tensor, " parameter"]
    covariance: Float[Tensor, "parameter parameter"]
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse a covariance that is none."""
        size = len(self.names)
        if len(self.scales) != size or self.mean.shape != (size,):
            raise ModelError(
                f"a prior of {size} parameters has {len(self.scales)} scales and "
                f"{len(self.mean)} means, expected one of each"
            )
        if int(torch.linalg.cholesky_ex(self.covariance).info):
            raise ModelError("the covariance of a prior is not positive definite: correct it")

    @property
    def moved(self) -> int:
        """Every column is a parameter."""
        return len(self.names)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """It is the same for every patient: nothing is read."""
        return ()

    @property
    def root(self) -> Float[Tensor, "parameter parameter"]:
        """Return the lower root of the covariance."""
        return torch.linalg.cholesky(self.covariance)

    def reads(self, observation: Observation) -> bool:
        """Say no: nothing is read."""
        return False

    def context(self, patient_ids: Sequence[str], history: Sequence[Visit]) -> None:
        """Return nothing: all patients are alike."""

    def draw(
        self, patient_ids: Sequence[str], draws: int, seed: int, context: None
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return draws that are a function of (seed, patient) alone."""
        noise = patient_noise(patient_ids, draws, len(self.names), seed).to(self.mean)
        return self.mean + noise @ self.root.T

    def log_density(
        self, values: Float[Tensor, "patient draw parameter"], context: None
    ) -> Float[Tensor, "patient draw"]:
        """Return the log density up to a constant."""
        whitened = torch.linalg.solve_triangular(
            self.root, (values - self.mean).transpose(-1, -2), upper=False
        )
        return -0.5 * whitened.square().sum(dim=-2)

    def natural(
        self, values: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return parameters on their natural scale.

        Examples
        --------
        >>> prior = GaussianPrior(("rate",), (Scale.LOG,), torch.zeros(1), torch.eye(1))
        >>> float(prior.natural(torch.zeros(1, 1, 1)))
        1.0
        """
        return natural(self.scales, values)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "names": list(self.names),
            "scales": [each.value for each in self.scales],
            "mean": self.mean.tolist(),
            "covariance": self.covariance.tolist(),
            "source": self.source,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> GaussianPrior:
        """Return a prior from plain values."""
        return GaussianPrior(
            tuple(stored["names"]),
            tuple(Scale(each) for each in stored["scales"]),
            torch.tensor(stored["mean"], dtype=torch.float64),
            torch.tensor(stored["covariance"], dtype=torch.float64),
            stored["source"],
        )


def natural(
    scales: Sequence[Scale], values: Float[Tensor, "*rest parameter"]
) -> Float[Tensor, "*rest parameter"]:
    """Return parameters on their natural scale."""
    columns = [
        {Scale.IDENTITY: lambda x: x, Scale.LOG: torch.exp, Scale.LOGIT: torch.sigmoid}[scale](
            values[..., index]
        )
        for index, scale in enumerate(scales)
    ]
    return torch.stack(columns, dim=-1)
