"""Members of a prior learned through the solution of the equations, with the response they lead to.

Where measurements follow linearly from a patient's parameters, these are integrated out in closed
form: a network learns from how likely whole histories are and, given them, the response that came.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from omics_twin.errors import TrainingError
from omics_twin.models.prior_network import RESPONSE_SD, PriorNetwork

_WEIGHT, _AGENT, _ROOT = 100.0, 10.0, 1.0
_POPULATION_RATE, _RATE = 0.03, 3e-3
_PATIENCE, _GAIN = 40, 1e-4
_LEAST_VARIANCE = 1e-6


@dataclass(frozen=True)
class PriorTensors:
    """Training patients as the network takes them.

    Attributes
    ----------
    known
        What is known before treatment, as each member standardises it.
    agents
        1 for each agent received.
    seen
        Visits in order, feature by feature, as each member standardises them; NaN: not measured.
    responded
        1 or 0; NaN: not known.
    training, stopping
        Weights in each member's loss; 1 for patients that decide when it stops.
    """

    known: Float[Tensor, "member patient input"]
    agents: Float[Tensor, "patient agent"]
    seen: Float[Tensor, "member patient measurement"]
    responded: Float[Tensor, " patient"]
    training: Float[Tensor, "member patient"]
    stopping: Float[Tensor, "member patient"]


def solution_of(features: int, visits: int) -> Float[Tensor, "state parameter"]:
    """Return what visits and propensity are of start, changes and propensity: constant rates.

    Examples
    --------
    >>> solution_of(1, 3).tolist()[2]
    [1.0, 1.0, 1.0, 0.0]
    """
    sums = torch.kron(torch.tril(torch.ones(visits, visits)), torch.eye(features))
    return torch.block_diag(sums, torch.ones(1, 1))


def fit_prior(
    tensors: PriorTensors,
    features: int,
    *,
    hidden: int = 16,
    population_steps: int = 150,
    steps: int = 600,
    seed: int = 0,
) -> tuple[PriorNetwork, PriorNetwork]:
    """Return the network's members, and the population that they began at.

    First level, agents' effects and covariance are learned as if nothing were known of patients.
    From there everything is learned together, and kept where the patients that a member stops on
    were likeliest: a network that tells nothing of them stays the population. What is expected of
    the response, and what is expected of the visits given the response, are kept apart, as their
    likelihoods multiply.

    Parameters
    ----------
    features
        How many numbers a visit measures.
    population_steps, steps
        Of the population, and at most of the network.

    Raises
    ------
    TrainingError
        If a member's likelihood is not finite.
    """
    members, _, inputs = tensors.known.shape
    visits = tensors.seen.shape[2] // features
    network = PriorNetwork(
        members, inputs, tensors.agents.shape[1], features, visits, hidden, seed=seed
    )
    likelihood = _Likelihood(tensors, solution_of(features, visits))
    shared = [network.start, network.root, network.scale, network.error]
    of_all = [*shared, *(p for each in (network.rates, network.response) for p in _means(each))]
    optimiser = torch.optim.Adam(of_all, lr=_POPULATION_RATE)
    nothing = torch.zeros_like(tensors.known)
    for _ in range(population_steps):
        _step(network, likelihood(network, nothing)[0], tensors, optimiser)
    population = copy.deepcopy(network).requires_grad_(requires_grad=False)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    best, kept, waited = torch.full((2, members), math.inf), network.state_dict(), 0
    kept = {name: value.clone() for name, value in kept.items()}
    for _ in range(steps):
        told, response = likelihood(network, tensors.known)
        better = _better(told.detach(), response.detach(), tensors.stopping, best)
        for name, value in network.state_dict().items():
            own = better[0] if name.startswith("response.") else better[1]
            kept[name][own] = value[own]
        waited = 0 if bool(better.any()) else waited + 1
        if waited > _PATIENCE:
            break
        _step(network, told, tensors, optimiser)
    network.load_state_dict(kept)
    network = network.eval().requires_grad_(requires_grad=False)
    told, before = (
        _variance(each.response(known, tensors.agents)[..., 0], tensors.training)
        for each, known in ((network, tensors.known), (population, nothing))
    )
    return network, population.widened((told - before).clamp(min=0.0))


def _variance(values: Tensor, weights: Tensor) -> Float[Tensor, " member"]:
    share = weights / weights.sum(dim=1, keepdim=True)
    mean = (share * values).sum(dim=1, keepdim=True)
    return (share * (values - mean).square()).sum(dim=1)


def _means(proposal: torch.nn.Module) -> list[Tensor]:
    return [value for name, value in proposal.named_parameters() if name in ("level", "agent")]


def _better(told: Tensor, response: Tensor, stopping: Tensor, best: Tensor) -> Bool[Tensor, "2 m"]:
    """Return which members' two likelihoods rose on their stopping patients; ``best`` is moved."""
    parts = torch.stack([response, told - response])
    loss = -(parts * stopping).sum(dim=2) / stopping.sum(dim=1)
    better = loss < best - _GAIN
    best.copy_(torch.where(better, loss, best))
    return better


def _step(
    network: PriorNetwork, told: Tensor, tensors: PriorTensors, optimiser: torch.optim.Optimizer
) -> None:
    penalty = sum(each.penalty(_WEIGHT, _AGENT) for each in (network.rates, network.response))
    penalty = penalty + 0.5 * _ROOT * torch.tril(network.root, -1).square().sum(dim=(1, 2))
    loss = (penalty - (told * tensors.training).sum(dim=1)).sum()
    if not bool(torch.isfinite(loss)):
        raise TrainingError(
            "a member of the prior has no finite likelihood: check the measurements and their units"
        )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


class _Likelihood:
    """How likely members make visits and response together, and the response by itself."""

    def __init__(self, tensors: PriorTensors, solution: Tensor) -> None:
        self.tensors, self.solution = tensors, solution
        shown = ~torch.isnan(tensors.seen[0])
        patterns, which = torch.unique(shown, dim=0, return_inverse=True)
        self.groups = [
            (pattern, torch.nonzero(which == place)[:, 0]) for place, pattern in enumerate(patterns)
        ]
        self.seen = torch.nan_to_num(tensors.seen)

    def __call__(
        self, network: PriorNetwork, known: Tensor
    ) -> tuple[Float[Tensor, "member patient"], Float[Tensor, "member patient"]]:
        mean = network.mean(known, self.tensors.agents) @ self.solution.T
        lower = self.solution @ network.lower()
        covariance = lower @ lower.mT
        visits = (covariance.shape[-1] - 1) // network.features
        noise = network.error.exp().square().repeat(1, visits)
        covariance = covariance + torch.diag_embed(nn.functional.pad(noise, (0, 1)))
        alone = self._response(mean[..., -1], covariance[:, -1:, -1])
        told = torch.zeros_like(alone)
        for pattern, rows in self.groups:
            told[:, rows] = self._of(mean[:, rows], covariance, pattern, rows)
        return told, alone

    def _of(self, mean: Tensor, covariance: Tensor, pattern: Tensor, rows: Tensor) -> Tensor:
        """Return the log likelihood of patients of whom the same was measured."""
        last = covariance.shape[-1] - 1
        if not bool(pattern.any()):
            return self._response(mean[..., -1], covariance[:, -1:, -1], rows)
        there = torch.nonzero(pattern)[:, 0]
        inner = torch.linalg.cholesky(covariance[:, there[:, None], there])
        off = (self.seen[:, rows][..., there] - mean[..., there]).mT
        z = torch.linalg.solve_triangular(inner, off, upper=False)
        across = torch.linalg.solve_triangular(inner, covariance[:, there, last:], upper=False)
        logs = inner.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        given = mean[..., -1] + (z.mT @ across)[..., 0]
        left = covariance[:, -1:, -1] - across.square().sum(dim=1)
        density = -0.5 * z.square().sum(dim=1) - logs[:, None]
        return density + self._response(given, left.clamp(min=_LEAST_VARIANCE), rows)

    def _response(self, mean: Tensor, variance: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the log probability of the response that came; 0 where none is known."""
        came = self.tensors.responded if rows is None else self.tensors.responded[rows]
        sign = 2.0 * torch.nan_to_num(came) - 1.0
        found = torch.special.log_ndtr(sign * mean / (RESPONSE_SD**2 + variance).sqrt())
        return torch.where(torch.isnan(came), 0.0, found)
