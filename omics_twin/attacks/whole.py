"""Whole ensembles trained without some patients, and attacked: what the served answer gives away.

Each is what ``train`` would make of the patients it is given: every patient is in most of its
members, and in none of those of the ensembles that leave the patient out. The attacker asks about
patients as somebody new, holds their records and outcomes, and has the ensembles of other repeats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from safetensors.numpy import load_file, save

from omics_twin.attacks.ensemble import membership_attack, not_attacked, probabilities
from omics_twin.config import Config
from omics_twin.evaluate.membership import Answered, attacked, fit_of_response
from omics_twin.files import write_whole
from omics_twin.report.console import Console
from omics_twin.settings import SplitBy
from omics_twin.tensors.members import MemberPlan, check_converged, planned
from omics_twin.training import learning, private
from omics_twin.training.secret_weights import weighed
from omics_twin.training.tasks import Task, folds_of


def attack(task: Task, config: Config, folder: Path, console: Console) -> dict[str, Any]:
    """Return the guarantee and how far the attack gets; ensembles of an earlier start are kept."""
    promised = private.guarantee(config)
    if reason := not_attacked(task):
        return {**promised, "attack": {"not_attacked": reason}}
    outer = replace(
        config.split, by=SplitBy.PATIENT, folds=config.attack.folds, repeats=config.attack.repeats
    )
    left_out = folds_of(task.cohort, replace(config, split=outer), task.outcome_name)
    apart = replace(task, held_out=left_out)
    if private.is_private(config):
        # The released twin is one fit: so is each of these.
        fitted = private.fit_held_out(apart, config)
        model = learning.model_of(apart, fitted, config)
        return {**promised, "attack": membership_attack(apart, model, fitted.plan, config)}
    signal, inside, group = [], [], []
    for repeat, fold, kept in _ensembles(left_out):
        place = folder / f"without-{repeat}-{fold}"
        stored = place.with_suffix(".safetensors")
        if not stored.is_file():
            with console.stage(f"ensemble without fold {fold + 1} of repeat {repeat + 1}"):
                told = _answers(task, config, kept, place, console)
            write_whole(stored, save({"told": told}))
        signal.append(fit_of_response(load_file(stored)["told"], task.outcome.values))
        inside.append(kept)
        group.append(repeat)
    answered = Answered(np.array(signal), np.array(inside), np.array(group))
    return {**promised, "attack": attacked(answered, seed=config.split.seed)}


def _ensembles(left_out: np.ndarray) -> Iterator[tuple[int, int, Bool[np.ndarray, " patient"]]]:
    for repeat, fold_of in enumerate(left_out):
        for fold in range(int(fold_of.max()) + 1):
            yield repeat, fold, fold_of != fold


def _answers(
    task: Task, config: Config, kept: Bool[np.ndarray, " patient"], place: Path, console: Console
) -> np.ndarray:
    """Return what an ensemble trained on some patients says of everyone."""
    plan = _plan(task, config, kept)
    fitted = learning.fit_members(task, config, plan, place, console)
    check_converged(fitted.diverged)
    model = learning.model_of(task, fitted, config)
    return probabilities(task, model, config).mean(axis=0)


def _plan(task: Task, config: Config, kept: Bool[np.ndarray, " patient"]) -> MemberPlan:
    """Return the plan of an ensemble of some patients, over all of them."""
    ids = [
        patient for patient, is_kept in zip(task.cohort.patient_ids, kept, strict=True) if is_kept
    ]
    own = planned(folds_of(task.cohort.select(ids), config, task.outcome_name), config.split)
    columns = torch.from_numpy(np.flatnonzero(kept))

    def spread_out(weights: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(len(weights), len(kept))
        found[:, columns] = weights
        return found

    everyone = replace(own, training=spread_out(own.training), stopping=spread_out(own.stopping))
    return weighed(everyone, task, config)
