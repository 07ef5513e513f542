"""Sequential Monte Carlo, piece by piece: weights, tempering, resampling. Pure functions."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omics_twin.twin.draws import normalised


def effective_draws(log_weights: Float[Tensor, "patient draw"]) -> Float[Tensor, " patient"]:
    """Return how many equally weighted draws the weighted ones are worth.

    References
    ----------
    Kong, Liu & Wong 1994, doi:10.1080/01621459.1994.10476469.

    Examples
    --------
    >>> effective_draws(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()).tolist()
    [2.0, 1.0]
    """
    weights = normalised(log_weights.double())
    return torch.exp(-torch.logsumexp(2.0 * weights, dim=1))


def tempering_step(
    log_weights: Float[Tensor, "patient draw"],
    log_likelihood: Float[Tensor, "patient draw"],
    left: Float[Tensor, " patient"],
    wanted: float,
    bisections: int = 30,
) -> Float[Tensor, " patient"]:
    """Return the share of a likelihood that can be taken in before draws become too few.

    Parameters
    ----------
    left
        Share that is still to be taken in.
    wanted
        Effective draws that must remain.

    References
    ----------
    Del Moral, Doucet & Jasra 2012, doi:10.1007/s11222-011-9271-y.

    Examples
    --------
    >>> flat = torch.full((1, 4), -1.3863)
    >>> float(tempering_step(flat, torch.zeros(1, 4), torch.ones(1), wanted=2.0))
    1.0
    """

    def enough(share: Tensor) -> Tensor:
        return effective_draws(log_weights + share[:, None] * log_likelihood) >= wanted

    low, high = torch.zeros_like(left), left.clone()
    whole = enough(left)
    for _ in range(bisections):
        middle = (low + high) / 2
        fine = enough(middle)
        low, high = torch.where(fine, middle, low), torch.where(fine, high, middle)
    return torch.where(whole, left, low)


def systematic(
    log_weights: Float[Tensor, "patient draw"], uniform: Float[Tensor, " patient"]
) -> Int[Tensor, "patient draw"]:
    """Return which draws are kept, each about as often as its weight says.

    Parameters
    ----------
    uniform
        One number from 0 to 1 for each patient.

    References
    ----------
    Kitagawa 1996, doi:10.2307/1390750.

    Examples
    --------
    >>> systematic(torch.tensor([[0.75, 0.25]]).log(), torch.tensor([0.4])).tolist()
    [[0, 0]]
    """
    draws = log_weights.shape[1]
    cumulative = normalised(log_weights.double()).exp().cumsum(dim=1)
    # Rounding must not push the last point past the last draw with weight.
    cumulative = cumulative / cumulative[:, -1:] * (1 + 1e-12)
    points = (torch.arange(draws, dtype=torch.float64) + uniform.double()[:, None]) / draws
    return torch.searchsorted(cumulative, points.contiguous()).clamp(max=draws - 1)


def scatter_root(
    values: Float[Tensor, "patient draw size"], log_weights: Float[Tensor, "patient draw"]
) -> tuple[Float[Tensor, "patient size"], Float[Tensor, "patient size size"]]:
    """Return the weighted mean of each patient's draws and a root of their covariance."""
    weights = normalised(log_weights).exp().unsqueeze(-1)
    mean = (weights * values).sum(dim=1)
    centred = values - mean[:, None]
    covariance = (weights * centred).transpose(1, 2) @ centred
    # Draws that were resampled onto one point still need to be moved.
    scale = covariance.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=1e-10)
    jitter = (1e-6 * scale)[:, None, None] * torch.eye(values.shape[2]).to(values)
    return mean, torch.linalg.cholesky(covariance + jitter)
