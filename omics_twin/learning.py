"""From a cohort to a trained model and its held-out metrics: the steps of training."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from omics_twin import tracking
from omics_twin.answers import endpoint_values, everyone, strata_keys
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import joint_labels, repeated_folds
from omics_twin.config import Config, plain
from omics_twin.errors import CohortError, TrainingError, nearest
from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate import plots
from omics_twin.evaluate.design import Design as BaselineDesign
from omics_twin.evaluate.design import Outcome as BaselineOutcome
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.policy import policy_value
from omics_twin.evaluate.score import score
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.report.console import Console
from omics_twin.settings import Device, SplitBy
from omics_twin.tensors import transforms
from omics_twin.tensors.design import Design
from omics_twin.tensors.members import MemberPlan, plan_members
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import reweighted, weighted_mean
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.types import Endpoint


@dataclass(frozen=True)
class Task:
    """What is learned, from whom and for which question.

    Attributes
    ----------
    arms
        Index of the arm received in the catalogue, (patient,).
    held_out
        Fold in which each patient is held out, (repeat, patient).
    outcome
        As the metrics take it.
    """

    cohort: Cohort
    catalogue: Catalogue
    endpoint: Endpoint
    title: str
    design: Design
    matrices: transforms.DesignMatrices
    arms: np.ndarray
    held_out: np.ndarray
    outcome: BaselineOutcome
    outcome_name: str


@dataclass(frozen=True)
class Fitted:
    """Trained weights, how members were planned, and the curves of training."""

    module: Any
    plan: MemberPlan
    resumed_at_epoch: int


def task_of(cohort: Cohort, config: Config, console: Console) -> Task:
    """Return the task of a cohort and a configuration, everything checked before training.

    Raises
    ------
    CohortError
        If therapy or outcome are absent, or too few patients have them.
    """
    asked = config.endpoint
    if asked.outcome not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{asked.outcome}'"
            f"{nearest(asked.outcome, cohort.outcomes)}"
        )
    if cohort.received is None:
        raise CohortError(f"cohort '{cohort.name}' has no therapy table: training needs one")
    catalogue = Catalogue.declared(config.therapy)
    catalogue.check_received(cohort.received.dropna().unique())
    usable = cohort.received.notna().to_numpy() & np.isfinite(cohort.outcomes[asked.outcome].values)
    if not usable.all():
        console.warn(
            f"{int((~usable).sum())} patients have no known therapy or outcome '{asked.outcome}' "
            "and are not trained on"
        )
        cohort = cohort.select([p for p, u in zip(cohort.patient_ids, usable, strict=True) if u])
    endpoint = Endpoint(
        asked.name, asked.outcome, asked.horizon_days, asked.higher_is_better, asked.reading
    )
    design = transforms.design_of(cohort)
    return Task(
        cohort=cohort,
        catalogue=catalogue,
        endpoint=endpoint,
        title=asked.title or asked.name,
        design=design,
        matrices=transforms.apply(design, cohort),
        arms=np.array([catalogue.arms.index(arm) for arm in cohort.received]),
        held_out=_folds(cohort, config, asked.outcome),
        outcome=outcome_of(cohort, asked.outcome, endpoint),
        outcome_name=asked.outcome,
    )


def outcome_of(cohort: Cohort, name: str, endpoint: Endpoint) -> BaselineOutcome:
    """Return an outcome as the metrics take it; survival is judged up to the horizon."""
    found = cohort.outcomes[name]
    grid = None
    if found.kind is OutcomeKind.TIME_TO_EVENT:
        # The first day of the grid is not 0, where every model is certain.
        grid = np.linspace(0.0, endpoint.horizon_days, 25)[1:]
    return BaselineOutcome(found.kind, found.values, found.events, grid)


def _folds(cohort: Cohort, config: Config, name: str) -> np.ndarray:
    from omics_twin.cohort import split

    asked, outcome = config.split, cohort.outcomes[name]
    if asked.by is SplitBy.TIME:
        return split.later_folds(cohort, folds=asked.folds)
    labels = None
    if outcome.kind is OutcomeKind.BINARY:
        labels = joint_labels(outcome.values, cohort.received, folds=asked.folds)
    elif outcome.kind is OutcomeKind.TIME_TO_EVENT and outcome.events is not None:
        labels = joint_labels(outcome.events, cohort.received, folds=asked.folds)
    groups = None
    if asked.by is SplitBy.SITE:
        if "site" not in cohort.groups:
            raise CohortError(f"cohort '{cohort.name}' has no site: use split.by=PATIENT")
        labels, groups = None, cohort.groups["site"].fillna("not recorded").tolist()
    return repeated_folds(
        cohort.patient_ids,
        labels,
        groups,
        folds=asked.folds,
        repeats=asked.repeats,
        seed=asked.seed,
    )
