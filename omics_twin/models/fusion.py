"""What the modalities together say: a product of Gaussian experts over the latent code.

References
----------
Wu & Goodman 2018, Multimodal generative models for scalable weakly-supervised learning
(arXiv:1802.05335), equation 2: a product of experts accepts any subset of modalities.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Evidence:
    """Natural parameters of a diagonal Gaussian over the latent code, without the prior.

    Adding two pieces of evidence is adding their fields, so visits may come in any order and any
    subset may be missing.

    Attributes
    ----------
    shift
        Precision times mean, shape (..., latent).
    precision
        Inverse variance, shape (..., latent); zero where nothing was measured.
    """

    shift: Float[Tensor, "*batch latent"]
    precision: Float[Tensor, "*batch latent"]

    def __add__(self, other: Evidence) -> Evidence:
        """Return the two together."""
        return Evidence(self.shift + other.shift, self.precision + other.precision)


def posterior(
    evidence: Evidence,
) -> tuple[Float[Tensor, "*batch latent"], Float[Tensor, "*batch latent"]]:
    """Return mean and standard deviation under a standard normal prior."""
    precision = 1.0 + evidence.precision
    return evidence.shift / precision, precision.rsqrt()


def divergence_from_prior(evidence: Evidence) -> Float[Tensor, "*batch"]:
    """Return the Kullback-Leibler divergence of the posterior from the prior [nat]."""
    mean, deviation = posterior(evidence)
    variance = deviation.square()
    return 0.5 * (mean.square() + variance - 1.0 - torch.log(variance)).sum(dim=-1)
