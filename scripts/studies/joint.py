"""One state for course and response, trained together through the solution of its equations.

Usage: python scripts/studies/joint.py [repeats]

A network proposes each patient's rates of change between visits and the propensity to respond, from
clinical data, omics, the scan before treatment and the therapy. The scans follow from the rates by
the solution of the equations, a constant net rate between visits; likelihood of scans and response
together, in closed form, is what the network learns from. On the folds of the platform's twin, in
which network and course are trained apart.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor

from omics_twin.asked import read_cohort
from omics_twin.config import load
from omics_twin.evaluate.forecast import coverage, crps
from omics_twin.evaluate.metrics import log_loss, roc_auc
from omics_twin.report.console import Console
from omics_twin.tensors.members import MemberPlan, plan_members
from omics_twin.training import tasks
from omics_twin.trust.consent import Purpose

_VISITS = ("mri@0", "mri@21", "mri@84", "mri@168")
_COMPONENTS, _HIDDEN, _STEPS, _PATIENCE, _PENALTY = 10, 16, 400, 40, 10.0


def inputs(task: tasks.Task, training: np.ndarray) -> Tensor:
    """Return what is known before treatment, standardised on training patients, and the agents."""
    parts = []
    for channel in task.design.before_treatment().channels:
        values = task.matrices.values[channel.name].double().numpy()
        there = np.isfinite(values).any(axis=1)
        own = training & there
        location, scale = np.nanmean(values[own], axis=0), np.nanstd(values[own], axis=0)
        values = np.nan_to_num((values - location) / np.where(scale > 1e-6, scale, 1.0))
        if values.shape[1] > 60:
            shares, axes = np.linalg.eigh(values[own] @ values[own].T)
            top = np.maximum(shares[-_COMPONENTS:], 1e-9) ** 0.5
            values = values @ (values[own].T @ axes[:, -_COMPONENTS:] / top)
            values /= values[own].std(axis=0)
        parts += [values * there[:, None], there[:, None].astype(float)]
    agents = np.array([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    return torch.from_numpy(np.concatenate([*parts, agents[np.asarray(task.arms)]], axis=1)).float()


class Joint(torch.nn.Module):
    """Mean and covariance of rates and propensity, a leading axis of members."""

    def __init__(self, members: int, inputs: int, rates: int, features: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        size = rates + 1
        self.level = torch.nn.Parameter(torch.zeros(members, 1, size))
        self.linear = torch.nn.Parameter(torch.zeros(members, inputs, size))
        first = torch.randn(members, inputs, _HIDDEN, generator=generator) / inputs**0.5
        self.first = torch.nn.Parameter(first)
        self.second = torch.nn.Parameter(torch.zeros(members, _HIDDEN, size))
        self.root = torch.nn.Parameter(torch.zeros(members, size, size))
        self.scale = torch.nn.Parameter(torch.full((members, size), -0.5))
        self.error = torch.nn.Parameter(torch.full((members, features), -1.5))

    def forward(self, known: Tensor) -> Tensor:
        """Return what is expected of rates and propensity, (member, patient, rate and response)."""
        hidden = torch.tanh(known @ self.first)
        return self.level + known @ self.linear + hidden @ self.second

    def penalty(self) -> Tensor:
        """Return what draws the weights towards none, (member,)."""
        weights = (self.linear, self.first, self.second)
        return 0.5 * _PENALTY * sum(each.square().sum(dim=(1, 2)) for each in weights)

    def solved(self, expected: Tensor, visits: int, base: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance of scans and propensity, from those of the rates."""
        features = base.shape[-1]
        # A rate is told as the change it makes between two visits.
        steps = torch.kron(torch.tril(torch.ones(visits, visits)), torch.eye(features))
        solution = torch.block_diag(steps, torch.ones(1, 1))
        lower = torch.tril(self.root, -1) + torch.diag_embed(self.scale.exp())
        lower = solution @ lower
        noise = torch.cat(
            [self.error.exp().square().repeat(1, visits), torch.zeros(len(lower), 1)], 1
        )
        start = torch.cat([base.repeat(1, 1, visits), base.new_zeros(*base.shape[:2], 1)], dim=-1)
        return start + expected @ solution.T, lower @ lower.mT + torch.diag_embed(noise)


def conditioned(
    mean: Tensor, covariance: Tensor, seen: Tensor, shown: Tensor
) -> tuple[Tensor, ...]:
    """Return log density of what is seen, and mean and variance of all given it."""
    density = mean.new_zeros(mean.shape[:2])
    given, left = (
        mean.clone(),
        covariance.diagonal(dim1=-2, dim2=-1)[:, None].expand_as(mean).clone(),
    )
    patterns, which = torch.unique(shown, dim=0, return_inverse=True)
    for place, pattern in enumerate(patterns):
        rows = torch.nonzero(which == place)[:, 0]
        if not bool(pattern.any()):
            continue
        inner = torch.linalg.cholesky(covariance[:, pattern][:, :, pattern])
        off = (seen[rows][:, pattern] - mean[:, rows][:, :, pattern]).mT
        z = torch.linalg.solve_triangular(inner, off, upper=False)
        across = torch.linalg.solve_triangular(inner, covariance[:, pattern], upper=False)
        logs = inner.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        density[:, rows] = -0.5 * z.square().sum(dim=1) - logs[:, None]
        given[:, rows] = mean[:, rows] + z.mT @ across
        variance = covariance.diagonal(dim1=-2, dim2=-1) - across.square().sum(dim=1)
        left[:, rows] = variance[:, None].clamp(min=1e-6)
    return density, given, left


def log_response(given: Tensor, left: Tensor, responded: Tensor) -> Tensor:
    """Return the log probability of the response that came."""
    sign = 2.0 * responded - 1.0
    return torch.special.log_ndtr(sign * given[..., -1] / (1.0 + left[..., -1]).sqrt())


def fit(known: Tensor, base: Tensor, seen: Tensor, responded: Tensor, plan: MemberPlan) -> Joint:
    """Return the network at each member's best loss on its stopping patients."""
    model = Joint(len(plan.training), known.shape[-1], seen.shape[1], base.shape[-1])
    visits = seen.shape[1] // base.shape[-1]
    shown = torch.cat([~torch.isnan(seen), torch.zeros(len(seen), 1, dtype=torch.bool)], dim=1)
    full = torch.cat([torch.nan_to_num(seen), torch.zeros(len(seen), 1)], dim=1)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    best = torch.full((len(plan.training),), torch.inf)
    kept = {name: value.detach().clone() for name, value in model.named_parameters()}
    waited = 0
    for _ in range(_STEPS):
        mean, covariance = model.solved(model(known), visits, base)
        density, given, left = conditioned(mean, covariance, full, shown)
        told = -density - log_response(given, left, responded)
        stopping = ((told * plan.stopping).sum(1) / plan.stopping.sum(1)).detach()
        better = stopping < best
        best = torch.where(better, stopping, best)
        for name, value in model.named_parameters():
            kept[name][better] = value.detach()[better]
        waited = 0 if bool(better.any()) else waited + 1
        if waited > _PATIENCE:
            break
        optimiser.zero_grad()
        ((told * plan.training).sum(1) + model.penalty()).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e4)
        optimiser.step()
    model.load_state_dict(kept)
    return model


def main(repeats: int) -> None:
    """Print discrimination and the forecasts of the volume, visit by visit."""
    config = load(
        "train", ["experiment=ispy2_response", "split.folds=5", f"split.repeats={repeats}"]
    )
    console = Console(quiet=True)
    task = tasks.task_of(read_cohort(config, console, Purpose.TRAINING), config, console)
    scans = [task.matrices.values[name].float() for name in _VISITS]
    features = scans[0].shape[1]
    spread = torch.cat(scans).numpy()
    responded = torch.tensor(task.outcome.values).float()
    complete = torch.stack([~torch.isnan(each).all(dim=1) for each in scans]).all(dim=0).numpy()
    probability = np.full((repeats, len(_VISITS), len(responded)), np.nan)
    drawn: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {1: [], 2: [], 3: []}
    rng = np.random.default_rng(0)
    for repeat, folds in enumerate(task.held_out):
        for fold in np.unique(folds):
            training, held = folds != fold, np.flatnonzero(folds == fold)
            scale = torch.tensor(np.nanstd(spread[np.tile(training, 4)], axis=0)).float()
            scaled = [each / scale for each in scans]
            base = torch.where(
                torch.isnan(scaled[0]), torch.nanmean(scaled[0][training], dim=0), scaled[0]
            )
            seen = torch.cat(scaled[1:], dim=1)
            known = inputs(task, training)
            whole = plan_members(
                (folds == fold).astype(int)[None],
                replicas=4,
                stopping_share=0.2,
                bayesian_bootstrap=False,
                seed=int(repeat * 10 + fold),
            )
            plan = whole.at(torch.nonzero(whole.fold == 1)[:, 0])
            model = fit(known, base.expand(len(plan.training), -1, -1), seen, responded, plan)
            with torch.no_grad():
                own = base[held].expand(len(plan.training), -1, -1)
                mean, covariance = model.solved(model(known[held]), 3, own)
                full = torch.cat([torch.nan_to_num(seen[held]), torch.zeros(len(held), 1)], dim=1)
                for visit in range(4):
                    shown = torch.cat(
                        [~torch.isnan(seen[held]), torch.zeros(len(held), 1, dtype=torch.bool)], 1
                    )
                    shown[:, visit * features :] = False
                    _, given, left = conditioned(mean, covariance, full, shown)
                    one = log_response(given, left, torch.ones(len(held))).exp()
                    probability[repeat, visit, held] = one.mean(dim=0).numpy()
                    if visit < 3:
                        column = visit * features
                        there = ~torch.isnan(seen[held, column]).numpy()
                        noise = rng.standard_normal((len(given), 100, len(held)))
                        path = given[:, None, :, column].numpy() + noise * np.sqrt(
                            left[:, None, :, column].numpy()
                        )
                        path = path.reshape(-1, len(held)).T * float(scale[0])
                        came = scans[visit + 1][held, 0].numpy()
                        drawn[visit + 1].append(
                            (np.expm1(np.maximum(path[there], 0.0)), np.expm1(came[there]))
                        )
        for visit, name in enumerate(_VISITS):
            each = probability[: repeat + 1, visit][:, complete]
            truth = responded.numpy()[complete]
            aucs = [roc_auc(one, truth) for one in each]
            losses = [log_loss(one, truth) for one in each]
            print(
                f"{repeat + 1} repeats, to {name}, n {complete.sum()}: AUC {np.mean(aucs):.3f}, "
                f"log loss {np.mean(losses):.3f}",
                flush=True,
            )
        for visit, parts in drawn.items():
            draws, truth = (np.concatenate([part[k] for part in parts]) for k in range(2))
            print(
                f"  volume at {_VISITS[visit]}: CRPS {crps(draws, truth).mean():.2f} cm3, "
                f"90 % hold {coverage(draws, truth).share:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
