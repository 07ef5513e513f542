"""A prior learned from a cohort: how patients differ, by stochastic approximation EM.

Each patient's parameters are Gaussian around a mean on scales without bounds, an arm moves them,
and arms are themselves Gaussian around no effect, so that an arm never seen has a prior too. The
residual error of the measurements is learned with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.twin.gaussian_prior import Scale, natural

_WIDE = 2.38


Likelihood = Callable[
    [Float[Tensor, "patient chain parameter"], Float[Tensor, " error"]],
    Float[Tensor, "patient chain"],
]
"""Parameters on their natural scale and the residual error, to how likely they make each patient's
measurements."""


@dataclass(frozen=True)
class Population:
    """What is learned of a cohort.

    Attributes
    ----------
    names, scales
        Of each parameter.
    mean, covariance
        Of patients within an arm, on those scales.
    arms, arm_effects, arm_variance
        Arms by name, what each adds to the mean, (arm, parameter), and the variance of such
        effects between arms, (parameter,).
    residual
        Parameters of the residual error on the scale without bounds.
    """

    names: tuple[str, ...]
    scales: tuple[Scale, ...]
    mean: Float[Tensor, " parameter"]
    covariance: Float[Tensor, "parameter parameter"]
    arms: tuple[str, ...]
    arm_effects: Float[Tensor, "arm parameter"]
    arm_variance: Float[Tensor, " parameter"]
    residual: Float[Tensor, " error"]


@dataclass(frozen=True)
class Chains:
    """Where the sampler of every patient stands; an interrupted fit goes on from here."""

    iteration: int
    values: Float[Tensor, "patient chain parameter"]
    step: Float[Tensor, " patient"]
    population: Population


def fit_population(
    likelihood: Likelihood,
    first: Population,
    arm_of: Int[Tensor, " patient"],
    *,
    moved_by_arm: Bool[Tensor, " parameter"],
    iterations: int = 300,
    exploring: int = 150,
    chains: int = 4,
    moves: int = 3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    start: Chains | None = None,
    keep: Callable[[Chains], None] | None = None,
) -> Population:
    """Return the population under which the measurements are most likely, nearly.

    Parameters
    ----------
    first
        Where to begin; also names, scales and arms.
    arm_of
        Position of each patient's arm in ``first.arms``.
    moved_by_arm
        Which parameters an arm may move.
    iterations, exploring
        In all, and how many of them forget the past entirely; after them the memory grows.
    start, keep
        State of an interrupted fit, and what is done with each later one.

    Raises
    ------
    TrainingError
        If the first parameters make the measurements impossible.

    References
    ----------
    Kuhn & Lavielle 2005, doi:10.1016/j.csda.2004.07.001; Delyon, Lavielle & Moulines 1999,
    doi:10.1214/aos/1018031103.
    """
    generator = torch.Generator().manual_seed(seed)
    now = start or _begin(first, len(arm_of), chains)
    fitted = now.population
    target = likelihood(natural(fitted.scales, now.values), fitted.residual)
    if not bool(torch.isfinite(target).any(dim=1).all()):
        raise TrainingError(
            "the first parameters make some patient's measurements impossible: begin elsewhere"
        )
    for iteration in range(now.iteration, iterations):
        generator.manual_seed(seed * 1_000_003 + iteration)
        now = _moved(likelihood, now, arm_of, moves, generator)
        gain = 1.0 if iteration < exploring else 1.0 / (iteration - exploring + 1) ** 0.8
        now = _learned(likelihood, now, arm_of, moved_by_arm, gain)
        now = replace(now, iteration=iteration + 1)
        if progress is not None:
            progress(iteration + 1, iterations)
        if keep is not None:
            keep(now)
    return now.population


def _begin(first: Population, patients: int, chains: int) -> Chains:
    values = first.mean.expand(patients, chains, -1).clone()
    return Chains(0, values, torch.full((patients,), 0.3, dtype=first.mean.dtype), first)


def _moved(
    likelihood: Likelihood,
    now: Chains,
    arm_of: Int[Tensor, " patient"],
    moves: int,
    generator: torch.Generator,
) -> Chains:
    """Move every patient's chains: from the population, then by a random walk of fitting width."""
    fitted = now.population
    centre = (fitted.mean + fitted.arm_effects[arm_of])[:, None]
    root = torch.linalg.cholesky(fitted.covariance)
    size = len(fitted.mean)

    def prior(values: Tensor) -> Tensor:
        z = torch.linalg.solve_triangular(root, (values - centre).transpose(1, 2), upper=False)
        return -0.5 * z.square().sum(dim=1)

    def seen(values: Tensor) -> Tensor:
        found = likelihood(natural(fitted.scales, values), fitted.residual)
        return torch.nan_to_num(found, nan=-torch.inf)

    values, step = now.values, now.step
    log_seen, log_prior = seen(values), prior(values)
    for move in range(2 * moves):
        noise = torch.randn(values.shape, generator=generator, dtype=values.dtype) @ root.T
        uniform = torch.rand(values.shape[:2], generator=generator, dtype=values.dtype)
        alone = move % 2 == 0
        width = (_WIDE / math.sqrt(size)) * step[:, None, None]
        proposed = centre + noise if alone else values + width * noise
        next_seen, next_prior = seen(proposed), prior(proposed)
        ratio = next_seen - log_seen + (0.0 if alone else 1.0) * (next_prior - log_prior)
        taken = torch.log(uniform) < ratio
        values = torch.where(taken.unsqueeze(-1), proposed, values)
        log_seen = torch.where(taken, next_seen, log_seen)
        log_prior = torch.where(taken, next_prior, log_prior)
        if not alone:
            share = taken.to(values).mean(dim=1)
            step = (step * torch.exp(0.3 * (share - 0.3))).clamp(0.01, 2.0)
    return replace(now, values=values, step=step)


def _learned(
    likelihood: Likelihood,
    now: Chains,
    arm_of: Int[Tensor, " patient"],
    moved_by_arm: Bool[Tensor, " parameter"],
    gain: float,
) -> Chains:
    """Return the chains with the population that they speak for, mixed with what was known."""
    fitted = now.population
    values = now.values.mean(dim=1)
    effects = _arm_effects(fitted, values, arm_of, moved_by_arm)
    mean = (values - effects[arm_of]).mean(dim=0)
    centred = now.values - (mean + effects[arm_of])[:, None]
    patients, chains = centred.shape[:2]
    scatter = torch.einsum("pci,pcj->ij", centred, centred) / (patients * chains)
    between = torch.where(
        moved_by_arm,
        (effects.square().sum(dim=0) + _arm_doubt(fitted, arm_of).sum(dim=0)) / len(effects),
        0.0,
    )
    mixed = replace(
        fitted,
        mean=fitted.mean + gain * (mean - fitted.mean),
        covariance=_sound(fitted.covariance + gain * (scatter - fitted.covariance)),
        arm_effects=fitted.arm_effects + gain * (effects - fitted.arm_effects),
        arm_variance=fitted.arm_variance + gain * (between - fitted.arm_variance),
    )
    residual = _residual(likelihood, mixed, now.values)
    mixed = replace(mixed, residual=fitted.residual + gain * (residual - fitted.residual))
    return replace(now, population=mixed)


def _counts(fitted: Population, arm_of: Int[Tensor, " patient"]) -> Float[Tensor, " arm"]:
    return torch.bincount(arm_of, minlength=len(fitted.arms)).to(fitted.mean)


def _arm_doubt(
    fitted: Population, arm_of: Int[Tensor, " patient"]
) -> Float[Tensor, "arm parameter"]:
    """Return the variance that is left of each arm's effect."""
    within = fitted.covariance.diagonal()
    count = _counts(fitted, arm_of)[:, None]
    return 1.0 / (1.0 / fitted.arm_variance.clamp(min=1e-8) + count / within)


def _arm_effects(
    fitted: Population,
    values: Float[Tensor, "patient parameter"],
    arm_of: Int[Tensor, " patient"],
    moved_by_arm: Bool[Tensor, " parameter"],
) -> Float[Tensor, "arm parameter"]:
    """Return each arm's effect, drawn towards none as far as arms are alike."""
    count = _counts(fitted, arm_of)[:, None]
    total = torch.zeros_like(fitted.arm_effects)
    total.index_add_(0, arm_of, values - fitted.mean)
    weight = fitted.arm_variance / (fitted.arm_variance + fitted.covariance.diagonal() / count)
    effect = torch.nan_to_num(weight * total / count.clamp(min=1.0))
    return torch.where(moved_by_arm, effect, 0.0)


def _sound(covariance: Float[Tensor, "parameter parameter"]) -> Tensor:
    """Return a covariance none of whose directions is nearly closed."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    return vectors @ torch.diag(values.clamp(min=1e-4)) @ vectors.T


def _residual(
    likelihood: Likelihood, fitted: Population, values: Float[Tensor, "patient chain parameter"]
) -> Float[Tensor, " error"]:
    """Return the residual error under which the chains' parameters are most likely."""
    parameters = natural(fitted.scales, values)
    residual = fitted.residual.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([residual], max_iter=4, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = -likelihood(parameters, residual).sum() / values.shape[1] / values.shape[0]
        found.backward()
        return found

    with torch.enable_grad():
        optimiser.step(loss)
    if not bool(torch.isfinite(residual).all()):
        raise TrainingError(
            "the residual error has no finite gradient: a measurement that is missing must not "
            "enter the likelihood as NaN"
        )
    return residual.detach()
