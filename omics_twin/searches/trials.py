"""Trials as members of one ensemble: trained together, judged on the patients they hold out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from omics_twin.config import Config
from omics_twin.evaluate.score import score
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.models.fusion import posterior
from omics_twin.models.variants import PER_MEMBER, Variant
from omics_twin.report.console import Console
from omics_twin.searches.space import Value, with_values
from omics_twin.tensors.members import MemberPlan, plan_members
from omics_twin.training import learning, tasks
from omics_twin.training.learning import Fitted
from omics_twin.training.tasks import Task

FINAL = "final"
DIVERGED = 1e9
_DRAWS = 8
_ROWS = 64
# A proper score of the ensemble's prediction: steadier than what a kind is first judged by.
LOSS = {
    OutcomeKind.BINARY: "log_loss",
    OutcomeKind.TIME_TO_EVENT: "integrated_brier",
    OutcomeKind.CONTINUOUS: "rmse",
}

Values = dict[str, Value]


@dataclass(frozen=True)
class Inner:
    """The inner folds of all studies as planned members.

    Attributes
    ----------
    names
        Of the studies: ``outer-0`` …, and ``final``.
    plan
        ``repeat`` is the study, ``fold`` the inner fold.
    held_out
        Inner fold in which a study holds a patient out, -1: not one of its own, (study, patient).
    """

    names: tuple[str, ...]
    plan: MemberPlan
    held_out: np.ndarray


@dataclass
class Proposal:
    """Settings that a study asks about, and what their members predict.

    Attributes
    ----------
    number
        Of the trial; None: the settings as they are.
    predicted
        Held-out predictions so far, (patient,) or (patient, time).
    """

    study: int
    number: int | None
    values: Values
    predicted: np.ndarray
    lost: bool = False


def inner_folds(task: Task, config: Config, outer: np.ndarray) -> Inner:
    """Plan the inner folds of every study; nobody held out by a study is one of its patients."""
    asked, patients = config.search, len(task.arms)
    folds = sorted({int(fold) for fold in outer if fold >= 0})
    names = (*(f"outer-{fold}" for fold in folds), FINAL)
    held_out = np.full((len(names), patients), -1)
    parts = []
    for study, fold in enumerate([*folds, None]):
        inside = np.arange(patients) if fold is None else np.flatnonzero(outer != fold)
        cohort = task.cohort.select([task.cohort.patient_ids[row] for row in inside])
        found = tasks.folds_of(cohort, divided(config, asked.inner_folds), task.outcome_name)
        plan = plan_members(
            found,
            replicas=asked.replicas,
            stopping_share=config.split.stopping_share,
            bayesian_bootstrap=config.split.bayesian_bootstrap,
            seed=config.split.seed + 1 + study,
        )
        held_out[study, inside] = found[0]
        parts.append(_widened(plan, inside, patients, study))
    plan = MemberPlan(
        training=torch.cat([each.training for each in parts]),
        stopping=torch.cat([each.stopping for each in parts]),
        repeat=torch.cat([each.repeat for each in parts]),
        fold=torch.cat([each.fold for each in parts]),
    )
    return Inner(names, plan, held_out)


def divided(config: Config, folds: int) -> Config:
    """Return a configuration whose patients are divided into other folds, once."""
    return replace(config, split=replace(config.split, folds=folds, repeats=1))


def _widened(plan: MemberPlan, inside: np.ndarray, patients: int, study: int) -> MemberPlan:
    """Return the plan on the axis of all patients; those outside have no weight."""
    rows = torch.from_numpy(inside)
    training, stopping = (torch.zeros(len(plan.fold), patients) for _ in range(2))
    training[:, rows], stopping[:, rows] = plan.training, plan.stopping
    return MemberPlan(training, stopping, torch.full_like(plan.repeat, study), plan.fold)


def train(
    task: Task,
    config: Config,
    inner: Inner,
    proposals: Sequence[Proposal],
    members: torch.Tensor,
    networks: dict[tuple[Any, ...], Any],
    folder: Path,
    console: Console,
) -> None:
    """Train some members of each proposal, those of the same shapes together, and predict."""
    jobs = [
        (each, torch.nonzero((inner.plan.repeat == each.study) & members)[:, 0])
        for each in proposals
    ]
    for number, (group, several) in enumerate(_by_shape(config, jobs).items()):
        settings = with_values(config, dict(group))
        if group not in networks:
            networks[group] = learning.untrained_network(task, settings, inner.plan)
        variants = [_variant(config, each.values, chosen) for each, chosen in several]
        place = folder / f"shape-{number}"
        fitted = learning.fit_members(
            task, settings, inner.plan, place, console, variants, networks[group]
        )
        held_out = np.concatenate(
            [np.repeat(inner.held_out[each.study][None], len(c), 0) for each, c in several]
        )
        start = 0
        for (each, chosen), found in zip(
            several, _by_variant(task, fitted, held_out, several), strict=True
        ):
            rows = np.isfinite(found.reshape(len(found), -1)).all(axis=1)
            each.predicted[rows] = found[rows]
            each.lost |= bool(fitted.diverged[start : start + len(chosen)].any())
            start += len(chosen)


def _by_shape(
    config: Config, jobs: Sequence[tuple[Proposal, torch.Tensor]]
) -> dict[tuple[Any, ...], list[tuple[Proposal, torch.Tensor]]]:
    """Gather what can train as one batch: settings that change shapes or steps must agree."""
    found: dict[tuple[Any, ...], list[tuple[Proposal, torch.Tensor]]] = {}
    for each, chosen in jobs:
        shared = tuple(sorted((k, v) for k, v in each.values.items() if k not in PER_MEMBER))
        if not each.values:
            shared = ()
        found.setdefault(shared, []).append((each, chosen))
    return found


def _variant(config: Config, values: Values, members: torch.Tensor) -> Variant:
    settings = with_values(config, values)
    return Variant("trial", settings.trainer, settings.model, members)


@torch.no_grad()
def _by_variant(
    task: Task,
    fitted: Fitted,
    held_out: np.ndarray,
    several: Sequence[tuple[Proposal, torch.Tensor]],
) -> list[np.ndarray]:
    """Return each variant's mean prediction of the patients its members hold out, else NaN."""
    found = member_predictions(task, fitted)
    mine = torch.from_numpy(held_out) == fitted.plan.fold[:, None]
    out, start = [], 0
    for _, chosen in several:
        rows = slice(start, start + len(chosen))
        weight = mine[rows].float()[..., None]
        mean = (found[rows] * weight).sum(dim=0) / weight.sum(dim=0)
        out.append((mean[:, 0] if task.outcome.grid_days is None else mean).numpy())
        start += len(chosen)
    return out


@torch.no_grad()
def member_predictions(task: Task, fitted: Fitted) -> torch.Tensor:
    """Return every member's prediction for every patient under the therapy received.

    Returns
    -------
    Tensor
        Shape (member, patient, time): probability, value, or survival at the outcome's grid.
    """
    network = fitted.module.network
    arms = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    grid = task.outcome.grid_days
    days = torch.tensor([task.endpoint.horizon_days] if grid is None else grid).float()
    noise = _antithetic(network.latent, seed=0)
    unmeasured = {
        name: _antithetic(network.terms, seed)
        for seed, name in enumerate(network.channels, start=1)
    }
    parts = []
    for start in range(0, len(task.arms), _ROWS):
        rows = slice(start, start + _ROWS)
        agents = arms[torch.from_numpy(task.arms[rows])]
        values = {name: task.matrices.values[name][rows] for name in network.channels}
        shown = {name: torch.ones(len(agents)) for name in network.channels}
        mean, deviation = posterior(network.together(values, agents, shown))
        added = {name: network.encoder(name).added(each) for name, each in values.items()}
        there = {name: _measured(each) for name, each in values.items()}
        draws = []
        for draw, each in enumerate(noise):
            total = sum(
                network.encoder(name).settled(
                    found, there[name], unmeasured[name][draw].expand_as(found)
                )
                for name, found in added.items()
            )
            code = torch.cat([mean + deviation * each, cast(torch.Tensor, total)], dim=-1)
            draws.append(network.outcome(code, agents, days)[..., 0])
        parts.append(torch.stack(draws).mean(dim=0))
    return torch.cat(parts, dim=1)


def _antithetic(size: int, seed: int) -> torch.Tensor:
    """Return standard normal draws whose mean is exactly zero, (draw, size)."""
    drawn = torch.randn(_DRAWS // 2, size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([drawn, -drawn])


def _measured(values: torch.Tensor) -> torch.Tensor:
    """Return 1 for the patients with any measured value, (patient, 1)."""
    return (~torch.isnan(values).all(dim=1, keepdim=True)).float()


def loss_of(task: Task, inner: Inner, proposal: Proposal, *, first_fold: bool = False) -> float:
    """Return a proposal's loss on the patients held out so far; what diverged loses to all."""
    known = np.isfinite(proposal.predicted).reshape(len(proposal.predicted), -1).all(axis=1)
    if first_fold:
        known &= inner.held_out[proposal.study] == 0
    if proposal.lost or not known.any():
        return DIVERGED
    outcome = task.outcome.at(known)
    return float(score(outcome, proposal.predicted[known])[LOSS[outcome.kind]])
