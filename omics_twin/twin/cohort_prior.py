"""A mechanistic twin's prior and residual error, learned from a cohort by stochastic EM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.plan import Plan
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.parts import Dynamics
from omics_twin.twin.population import Chains, Likelihood, Population, fit_population

Density = Callable[
    [
        Float[Tensor, "patient visit feature"],
        Float[Tensor, "patient chain visit state"],
        Float[Tensor, " error"],
    ],
    Float[Tensor, "patient chain visit"],
]

_BETWEEN = 0.2
# A mean that no patient tells of is taken to be uncertain twice as much as patients differ.
_VAGUE = 0.25


@dataclass(frozen=True)
class Seen:
    """What was measured of training patients, and what they were given.

    ``days`` and ``values`` are padded with NaN, (patient, visit) [day] and (patient, visit,
    feature).
    """

    days: Float[Tensor, "patient visit"]
    values: Float[Tensor, "patient visit feature"]
    plans: Sequence[Plan]


@dataclass(frozen=True)
class Learned:
    """A prior for a patient of a group never seen, and the parameters of the residual error.

    Few patients leave both mean and covariance uncertain: the covariance of the prior is the one
    expected between patients, which is larger than the likeliest, and that of the mean on top.
    """

    prior: GaussianPrior
    residual: Float[Tensor, " error"]


def learn(
    seen: Seen,
    dynamics: Dynamics,
    density: Density,
    typical: Sequence[float],
    residual: Sequence[float],
    *,
    iterations: int = 200,
    seed: int = 0,
    source: str = "",
) -> Learned:
    """Return the prior and the residual error under which the measurements are most likely.

    Parameters
    ----------
    density
        How likely states make what was measured under residual errors on the log scale.
    typical, residual
        Parameters and residual errors to begin with, on their natural scale; those whose name
        ends in ``share`` are between 0 and 1, all others positive.

    References
    ----------
    Kuhn & Lavielle 2005, doi:10.1016/j.csda.2004.07.001 (the fit); Louis 1982,
    doi:10.1111/j.2517-6161.1982.tb01203.x (how well the mean is known).
    """
    size, patients = len(dynamics.parameters), len(seen.plans)
    share = [name.endswith("share") for name in dynamics.parameters]
    begin = torch.tensor(typical, dtype=torch.float64)
    first = Population(
        dynamics.parameters,
        tuple(Scale.LOGIT if each else Scale.LOG for each in share),
        torch.where(torch.tensor(share), begin.logit(), begin.log()),
        _BETWEEN * torch.eye(size, dtype=torch.float64),
        ("all",),
        torch.zeros(1, size, dtype=torch.float64),
        torch.zeros(size, dtype=torch.float64),
        torch.tensor(residual, dtype=torch.float64).log(),
    )
    exploring = iterations // 2
    late: list[Tensor] = []

    def keep(chains: Chains) -> None:
        if chains.iteration > exploring:
            late.append(chains.values)

    fitted = fit_population(
        _likelihood(seen, dynamics, density),
        first,
        torch.zeros(patients, dtype=torch.long),
        moved_by_arm=torch.zeros(size, dtype=torch.bool),
        iterations=iterations,
        exploring=exploring,
        seed=seed,
        keep=keep,
    )
    draws = torch.stack(late, dim=1).flatten(1, 2)
    covariance = _expected(fitted.covariance, patients) + _doubt(fitted.covariance, draws)
    prior = GaussianPrior(fitted.names, fitted.scales, fitted.mean, covariance, source)
    return Learned(prior, fitted.residual)


def _likelihood(seen: Seen, dynamics: Dynamics, density: Density) -> Likelihood:
    days = torch.nan_to_num(seen.days)
    last: list[Tensor] = []

    def likelihood(parameters: Tensor, residual: Tensor) -> Tensor:
        # The residual error is learned with parameters held: their states are solved for once.
        if not last or last[0] is not parameters:
            last[:] = [parameters, dynamics.run(parameters, seen.plans, days)]
        return density(seen.values, last[1], residual).sum(dim=-1)

    return likelihood


def _expected(
    likeliest: Float[Tensor, "parameter parameter"], patients: int
) -> Float[Tensor, "parameter parameter"]:
    """Return the expected covariance between patients under Jeffreys' prior.

    Given the patients' parameters it is inverse Wishart around ``patients`` times the likeliest
    (Gelman et al. 2013, Bayesian Data Analysis, 3rd edition, section 3.6).
    """
    freedom = patients - len(likeliest) - 2
    return likeliest * (patients / max(freedom, 1))


def _doubt(
    between: Float[Tensor, "parameter parameter"], draws: Float[Tensor, "patient draw parameter"]
) -> Float[Tensor, "parameter parameter"]:
    """Return the covariance of the mean, from how far patients' own parameters are known.

    The information lost with each patient's parameters is what Louis' formula takes off.
    """
    root = torch.linalg.cholesky(between)
    centred = draws - draws.mean(dim=1, keepdim=True)
    whitened = torch.linalg.solve_triangular(root, centred.transpose(1, 2), upper=False)
    lost = whitened @ whitened.transpose(1, 2) / draws.shape[1]
    # Chance in the chains must not make a patient tell less than nothing.
    values, vectors = torch.linalg.eigh(torch.eye(len(between)).to(lost) - lost)
    told = (vectors * values.clamp(min=0.0)[:, None]) @ vectors.transpose(1, 2)
    known = told.sum(dim=0) + _VAGUE * torch.eye(len(between)).to(lost)
    return root @ torch.linalg.inv(known) @ root.T
