"""Patients followed from visit to visit until an event, and the twin learned from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.answers.beliefs import received_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import NEVER_HELD_OUT
from omics_twin.config import Config, digest
from omics_twin.errors import CohortError, TrainingError, about, nearest
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.models.build import OutcomeTensors, build_head
from omics_twin.models.heads import HazardHead
from omics_twin.models.visits import VisitNetwork
from omics_twin.report.console import Console
from omics_twin.report.words import name_in_words
from omics_twin.tensors.history import Histories, histories_of
from omics_twin.tensors.members import MemberPlan, check_converged, planned, spread_of
from omics_twin.tracking import commit
from omics_twin.training.tasks import folds_of
from omics_twin.twin.neural import Membership
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import Endpoint
from omics_twin.visits.living import LivingModel
from omics_twin.visits.progression import provenance_of

Array = np.ndarray
# Beside the event, what is measured next is learned with this weight.
_SHARE = 0.3
FEWEST = 20
_TOWARDS_DIAGONAL = 0.1


@dataclass(frozen=True)
class Followed:
    """Patients with visits and a known end of follow-up.

    Attributes
    ----------
    rows
        Positions in the cohort, (patient,).
    log
        Which features are taken as logarithms, (feature,).
    binary
        Which are signs scored yes (1) or no (0), (feature,).
    arms
        What each received, in the order of the histories' patients.
    target
        Day of the event or of the end of follow-up, and 1 for an event, (patient, 2).
    """

    histories: Histories
    rows: Array
    log: Bool[Tensor, " feature"]
    binary: Bool[Tensor, " feature"]
    arms: tuple[str | None, ...]
    outcome: str
    target: Float[Tensor, "patient 2"]

    @property
    def logged(self) -> Float[Tensor, "patient visit feature"]:
        """What was measured, logarithms where taken."""
        values = self.histories.values
        return torch.where(self.log, torch.log1p(values.clamp(min=0.0)), values)

    @property
    def agents(self) -> tuple[str, ...]:
        """The therapies that were received."""
        return tuple(sorted({arm for arm in self.arms if arm is not None}))

    @property
    def multi_hot(self) -> Float[Tensor, "patient agent"]:
        """1 for what each received."""
        return torch.tensor([[float(a == arm) for a in self.agents] for arm in self.arms])


def followed_of(cohort: Cohort, config: Config, console: Console) -> Followed:
    """Return who has visits and is known to have been followed beyond the first.

    Raises
    ------
    CohortError
        If the cohort has no such outcome or too few such patients.
    """
    name, asked = config.dynamics.outcome, config.dynamics.modality
    if name not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{name}'{nearest(name, cohort.outcomes)}"
        )
    outcome = cohort.outcomes[name]
    if outcome.kind is not OutcomeKind.TIME_TO_EVENT or outcome.events is None:
        raise CohortError(f"outcome '{name}' is no time to an event: set dynamics.outcome")
    if outcome.competing is not None:
        raise CohortError(
            f"outcome '{name}' has competing events, which a twin of many visits does not know: "
            "set dynamics.outcome to one without"
        )
    if outcome.causes:
        raise CohortError(
            f"outcome '{name}' tells causes apart, which a twin of many visits does not know: "
            "leave 'causes' and 'cause_column' out"
        )
    histories = histories_of(cohort, asked)
    days, values = histories.days, histories.values
    later = days > torch.from_numpy(outcome.values)[:, None]
    if bool(later.any()):
        patient = histories.patient_ids[int(torch.nonzero(later)[0, 0])]
        told = f"visits after the end of follow-up are not used, such as of patient '{patient}'"
        console.warn(about(told, patient))
        histories = Histories(
            histories.patient_ids,
            histories.modality,
            torch.where(later, torch.nan, days),
            torch.where(later.unsqueeze(-1), torch.nan, values),
        )
    known = np.isfinite(outcome.values) & (histories.visits.numpy() > 0)
    rows = np.flatnonzero(known)
    if len(rows) < FEWEST:
        raise CohortError(
            f"{len(rows)} patients have visits '{asked}' and a known '{name}', expected {FEWEST}"
        )
    features = histories.modality.features
    if config.dynamics.watched not in features:
        watched = config.dynamics.watched
        raise CohortError(f"'{asked}' has no feature '{watched}'{nearest(watched, features)}")
    received, columns = received_of(cohort), cohort.repeated[asked].var
    if columns["kind"].iloc[features.index(config.dynamics.watched)] == "binary":
        raise CohortError(
            f"'{config.dynamics.watched}' is scored yes or no, expected a number to hold forecasts "
            "against: set dynamics.watched"
        )
    return Followed(
        histories=histories.select(torch.from_numpy(rows)),
        rows=rows,
        log=torch.tensor(columns["log"].to_numpy(dtype=bool)),
        binary=torch.tensor((columns["kind"] == "binary").to_numpy()),
        arms=tuple(received[row] for row in rows),
        outcome=name,
        target=torch.tensor(
            np.column_stack([outcome.values[rows], outcome.events[rows]]), dtype=torch.float32
        ),
    )


def held_out_of(cohort: Cohort, followed: Followed, config: Config) -> Array:
    """Return the fold in which each patient is held out, (repeat, patient).

    Raises
    ------
    CohortError
        If the split cannot be made, or somebody would never be held out.
    """
    found = folds_of(cohort, config, followed.outcome)[:, followed.rows]
    # Every patient is judged, and those in training always would be judged in-sample.
    if (found == NEVER_HELD_OUT).any():
        raise CohortError(
            "some patients are in training always: hold everyone out in turn, split.by=PATIENT"
        )
    return found


def fit(
    followed: Followed, held_out: Array, config: Config, folder: Path, console: Console
) -> tuple[VisitTwin, MemberPlan]:
    """Train all members in one pass, from the last checkpoint if there is one.

    Raises
    ------
    TrainingError
        If training diverges.
    """
    from omics_twin.models.training import trained
    from omics_twin.models.visit_module import VisitModule, VisitTensors

    plan = planned(held_out, config.split)
    network = untrained(followed, plan, config)
    histories = followed.histories
    tensors = VisitTensors(
        days=histories.days,
        values=histories.values.float(),
        agents=followed.multi_hot,
        target=followed.target,
        training=plan.training,
        stopping=plan.stopping,
    )
    module = VisitModule(network, tensors, config.trainer, _SHARE)
    _, diverged = trained(module, config.trainer, folder, console.say)
    check_converged(diverged)
    twin = VisitTwin(
        name=config.name,
        network=network.cpu().eval().requires_grad_(requires_grad=False),
        modality=histories.modality,
        watched=config.dynamics.watched,
        outcome=followed.outcome,
        agents=followed.agents,
        membership=Membership.of(
            histories.patient_ids,
            plan.seen,
            digest(config, commit()),
            spread=spread_of(plan, config.split, new=False),
            spread_new=spread_of(plan, config.split, new=True),
        ),
    )
    return twin, plan


def untrained(followed: Followed, plan: MemberPlan, config: Config) -> VisitNetwork:
    """Return the network of planned members, its statistics from each one's own patients."""
    days, values = followed.histories.days, followed.histories.values
    logged = followed.logged
    location, scale, spread, range_ = (
        torch.stack(each).float()
        for each in zip(*(_statistics(logged[own > 0]) for own in plan.training), strict=True)
    )
    patient, visit = torch.nonzero(torch.isfinite(days), as_tuple=True)
    ahead = followed.target[patient, 0] - days[patient, visit].float()
    fields = torch.stack([ahead, followed.target[patient, 1]], dim=1)
    head = build_head(
        OutcomeTensors(followed.outcome, OutcomeKind.TIME_TO_EVENT.value, "1", fields),
        plan.training[:, patient],
        config.model,
    )
    if not isinstance(head, HazardHead):
        raise TrainingError("visits are learned with hazards: use model.survival_head=HAZARD")
    unchanged = (values.isnan() | (values == values[:, :1])).flatten(0, 1)
    return VisitNetwork(
        followed.log,
        followed.binary,
        unchanged.all(dim=0),
        location,
        scale,
        spread,
        range_,
        head,
        len(followed.agents),
        config.model.latent,
        torch.Generator().manual_seed(config.trainer.seed),
    )


def _statistics(logged: Float[Tensor, "patient visit feature"]) -> tuple[Tensor, ...]:
    """Return mean, deviation and range of all visits, the covariance of standardised first ones."""
    flat = logged.flatten(0, 1)
    lowest = torch.nan_to_num(flat, nan=torch.inf).amin(dim=0)
    highest = torch.nan_to_num(flat, nan=-torch.inf).amax(dim=0)
    location = torch.nan_to_num(flat.nanmean(dim=0))
    off = torch.nan_to_num(flat - location)
    seen = (~torch.isnan(flat)).double()
    scale = (off.square().sum(dim=0) / seen.sum(dim=0).clamp(min=1.0)).sqrt()
    scale = torch.where(scale > 1e-6, scale, 1.0)
    first = (logged[:, 0] - location) / scale
    there = (~torch.isnan(first)).double()
    first = torch.nan_to_num(first)
    both = (there.T @ there).clamp(min=1.0)
    covariance = first.T @ first / both
    diagonal = torch.diag(covariance.diagonal())
    covariance = (1 - _TOWARDS_DIAGONAL) * covariance + _TOWARDS_DIAGONAL * diagonal
    # Covariances of pairs measured in different patients may not fit together.
    values, vectors = torch.linalg.eigh(covariance)
    spread = vectors @ torch.diag(values.clamp(min=1e-3)) @ vectors.T
    return location, scale, spread, torch.stack([lowest, highest])


def model_of(
    cohort: Cohort,
    followed: Followed,
    twin: VisitTwin,
    config: Config,
    metrics: Mapping[str, Any],
) -> LivingModel:
    """Return the twin with the question it answers."""
    asked = config.dynamics
    return LivingModel(
        twin=twin,
        endpoint=Endpoint(followed.outcome, followed.outcome, asked.horizon_days),
        title=f"{name_in_words(followed.outcome)} {asked.horizon_days:g} days later",
        arms=followed.agents,
        false_alarms=asked.false_alarms,
        provenance=provenance_of(cohort, followed.histories.patient_ids, config, metrics),
    )
