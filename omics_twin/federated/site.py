"""What one site does: the training of any twin on its own patients, its sums completed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from omics_twin import consenting
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.federated.agree import (
    check_shareable,
    introduced,
    one_design,
    one_fingerprint,
    one_support,
)
from omics_twin.federated.exchange import Exchange
from omics_twin.files import write_json
from omics_twin.intake.tables import read_tables
from omics_twin.judged import holding
from omics_twin.report.console import Console
from omics_twin.settings import CalibrationBy
from omics_twin.tensors.members import MemberPlan, check_converged, spread_of
from omics_twin.tracking import MODEL_FOLDER, TrainedModel
from omics_twin.training import learning
from omics_twin.training.learning import Fitted
from omics_twin.training.tasks import Task, support_of, task_of
from omics_twin.trust.consent import Purpose
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.neural import Membership

CURVES = "curves.json"
_HALF = 2**32


def learn_at_site(config: Config, exchange: Exchange, folder: Path, console: Console) -> None:
    """Train on this site's patients in step with the others, and keep the twin of all.

    Every site ends with the same twin, which it can serve; the server never holds it.

    Raises
    ------
    TrainingError
        If the sites do not agree, or this one has too few patients.
    """
    cohort = cohort_of_site(config)
    told = exchange.told("settings", introduced(config, cohort.fingerprint))
    cohort = replace(cohort, fingerprint=one_fingerprint(told, exchange.sites))
    task = task_of(
        cohort,
        config,
        console,
        agreed=lambda own: one_design(exchange.told("design", own.to_json()), exchange.sites),
        total=exchange,
    )
    plan = learning.plan_of(task, config)
    check_shareable(task, plan, config)
    fitted = learning.fit_members(task, config, plan, folder / "checkpoints", console)
    check_converged(fitted.diverged)
    model = model_of_all(task, fitted, config, exchange)
    calibrated(task, model, plan, config, exchange, folder / "copy", console).save(
        folder / MODEL_FOLDER
    )
    write_json(folder / CURVES, {"curves": fitted.module.curves, "sent_bytes": exchange.sent})


def cohort_of_site(config: Config) -> Cohort:
    """Return the permitted patients of the site's own folder."""
    return consenting.permitted_cohort(read_tables(config.cohort), config, Purpose.TRAINING)


def calibrated(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    exchange: Exchange,
    folder: Path,
    console: Console,
) -> TrainedModel:
    """Return the twin of all with intervals that hold on a copy which every site simulates."""
    if config.twin.calibration is CalibrationBy.NONE:
        return model

    def twin_of(copied: Task, fitted: Fitted, config: Config) -> TrainedModel:
        return model_of_all(copied, fitted, config, exchange)

    console.say("calibration on a simulated copy")
    found, *_ = holding.calibrate(task, model, plan, config, folder, console, twin_of=twin_of)
    return replace(model, calibration=found)


def model_of_all(task: Task, fitted: Fitted, config: Config, exchange: Exchange) -> TrainedModel:
    """Return the twin with what is told of the patients of all sites: counts and digests."""
    model = learning.model_of(task, fitted, config)
    (patients,) = exchange("patients", torch.tensor(float(len(task.arms)), dtype=torch.float64))
    counts = exchange.told("support", support_of(task.cohort).counts)
    neural = model.twin.proposal
    membership = membership_of_all(neural.membership, fitted.plan, config, exchange)
    neural = replace(neural, membership=membership)
    twin = model.twin
    return replace(
        model,
        twin=replace(twin, prior=neural) if isinstance(twin, HybridTwin) else neural,
        support=one_support(counts, model.support.columns),
        provenance={
            **model.provenance,
            "patients": int(patients),
            "sites": len(exchange.sites),
        },
    )


def membership_of_all(
    own: Membership, plan: MemberPlan, config: Config, exchange: Exchange
) -> Membership:
    """Return which members learned from whom at all sites, by keyed digests."""
    halves = torch.stack([own.digests // _HALF, own.digests % _HALF], dim=1).double()
    learned = torch.cat([plan.training, plan.stopping]).T.contiguous().double()
    halves, learned = exchange.gathered("digests", halves), exchange.gathered("seen", learned)
    training, stopping = learned.T.float().contiguous().chunk(2)
    everybody = MemberPlan(training, stopping, plan.repeat, plan.fold)
    return Membership(
        own.salt,
        halves[:, 0].long() * _HALF + halves[:, 1].long(),
        everybody.seen,
        spread_of(everybody, config.split, new=False),
        spread_of(everybody, config.split, new=True),
    )
