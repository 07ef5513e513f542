"""Equations that are wrong, and a network that corrects them, learned through the assimilation.

Where measurements are linear in a patient's parameters (:mod:`omics_twin.twin.regression`) a
network adds to what each parameter multiplies. It is trained on how likely whole histories are,
each patient's own parameters integrated out: a correction counts for what it lets a twin learn of
the patient, not only for the next measurement. A network fitted to what a finished belief leaves
cannot mend the belief.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from omics_twin.twin.regression import Array, LinearPopulation


@dataclass(frozen=True)
class Correction:
    """What is to be added to features, from what is known at the time.

    Attributes
    ----------
    centre, spread
        Of what the network sees, (input,).
    scale
        Of what it adds, (parameter,).
    """

    network: nn.Module
    centre: Tensor
    spread: Tensor
    scale: Tensor

    def added(self, seen: Float[Tensor, "... input"]) -> Float[Tensor, "... parameter"]:
        """Return what is to be added."""
        return self.network((seen - self.centre) / self.spread) * self.scale

    def __call__(self, seen: Array) -> Array:
        """Return what is to be added, (..., parameter), to inputs (..., input)."""
        with torch.no_grad():
            return self.added(torch.tensor(seen).float()).double().numpy()


def log_likelihood(
    found: Float[Tensor, "patient time"],
    features: Float[Tensor, "patient time parameter"],
    mean: Float[Tensor, "patient parameter"],
    root: Float[Tensor, "patient parameter parameter"],
    log_variance: Float[Tensor, ""],
    known: Float[Tensor, "patient time"],
) -> Float[Tensor, " patient"]:
    """Return how likely each history is, the patient's parameters integrated out (no constant).

    Parameters
    ----------
    root
        Of the covariance between patients, lower triangular.
    known
        1 where measured, else 0.

    References
    ----------
    Laird & Ware 1982, doi:10.2307/2529876.
    """
    left = (found - torch.einsum("pti,pi->pt", features, mean)) * known
    turned = torch.einsum("pti,pij->ptj", features * known[..., None], root)
    variance = log_variance.exp()
    within = turned.transpose(1, 2) @ turned / variance + torch.eye(features.shape[2])
    lower = torch.linalg.cholesky(within)
    across = torch.einsum("ptj,pt->pj", turned, left)[..., None] / variance
    learned = torch.linalg.solve_triangular(lower, across, upper=False)[..., 0]
    size = lower.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    gap = left.square().sum(dim=1) / variance - learned.square().sum(dim=1)
    return -(gap + known.sum(dim=1) * log_variance) / 2.0 - size


def learn_correction(
    start: LinearPopulation,
    kind: Array,
    features: Array,
    found: Array,
    seen: Array,
    *,
    steps: int = 400,
    width: int = 32,
    batch: int = 128,
    seed: int = 0,
) -> Correction:
    """Return the correction under which histories of training patients are most likely.

    Parameters
    ----------
    start
        The population of the uncorrected equations; it is refined beside the network, and to be
        learned again from the corrected features.
    kind, features, found
        As :func:`omics_twin.twin.regression.filtered`.
    seen
        What the network sees before each measurement, (patient, time, input).
    """
    measured = np.isfinite(found)
    told = torch.tensor(seen).float()
    rows = told[torch.tensor(measured)]
    square = np.square(features[measured]).mean(axis=0)
    made = Correction(
        _network(seen.shape[2], features.shape[2], width, seed),
        rows.mean(dim=0),
        rows.std(dim=0).clamp(min=1e-6),
        torch.tensor(np.sqrt(np.where(square > 0, square, 1.0))).float(),
    )
    unit = np.sqrt(np.diagonal(start.covariance, axis1=1, axis2=2).mean(axis=0))
    mean = torch.tensor(start.mean / unit).float().requires_grad_()
    root = np.linalg.cholesky(start.covariance) / unit[:, None]
    lower = torch.tensor(root).float().requires_grad_()
    log_variance = torch.tensor(float(np.log(start.variance))).requires_grad_()
    known = torch.tensor(measured).float()
    x, y = (torch.tensor(np.nan_to_num(each)).float() for each in (features, found))
    of, scale = torch.tensor(kind), torch.tensor(unit).float()
    free = [*made.network.parameters(), mean, lower, log_variance]
    optimiser = torch.optim.Adam(free, lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    random = torch.Generator().manual_seed(seed)
    for chosen in torch.randint(len(x), (steps, batch), generator=random):
        fit = log_likelihood(
            y[chosen],
            (x[chosen] + made.added(told[chosen])) * scale,
            mean[of[chosen]],
            lower.tril()[of[chosen]],
            log_variance,
            known[chosen],
        )
        optimiser.zero_grad()
        (-fit.sum() / known[chosen].sum()).backward()
        nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        schedule.step()
    return made


def _network(inputs: int, outputs: int, width: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second = nn.Linear(inputs, width), nn.Linear(width, width)
        last = nn.Linear(width, outputs)
    with torch.no_grad():
        # It starts close to the equations as they are.
        last.weight.mul_(0.1)
        last.bias.zero_()
    return nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), last)
