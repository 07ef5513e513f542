"""One twin of all sites beside one of their patients pooled, and those of each site alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from omics_twin.config import Config
from omics_twin.errors import TrainingError
from omics_twin.federated.local import run_sites
from omics_twin.federated.sites import Sites
from omics_twin.judged import judging
from omics_twin.judged.predictions import Predictions, held_out_predictions
from omics_twin.report.console import Console
from omics_twin.tensors.members import MemberPlan, check_converged
from omics_twin.tracking import TrainedModel
from omics_twin.training import learning
from omics_twin.training.learning import Fitted, fitted_of
from omics_twin.twin.calibration import Calibration

TOGETHER, POOLED, ALONE = "federated", "pooled", "alone"


def check_together(config: Config, verb: str) -> None:
    """Refuse to do with all patients in one place what was asked of several sites.

    Raises
    ------
    TrainingError
        If sites are to learn together.
    """
    if config.trainer.federation.sites:
        raise TrainingError(
            f"trainer.federation.sites is {config.trainer.federation.sites}, but {verb} needs the "
            "patients of all sites in one place: use trainer=standard"
        )


def fit_together(
    sites: Sites, config: Config, folder: Path, console: Console
) -> tuple[Fitted, TrainedModel]:
    """Train one twin at all sites, each in a process that reads its own patients only."""
    for site, names in sites.hospitals.items():
        console.note(f"{site}: {len(sites.own[site].arms)} patients of {', '.join(names)}")
    patients = {site: own.cohort.patient_ids for site, own in sites.own.items()}
    model, curves = run_sites(config, patients, folder, console)
    return fitted_of(model.twin.network, sites.plan, curves), model


def compared(
    sites: Sites, model: TrainedModel, config: Config, folder: Path, console: Console
) -> dict[str, Any]:
    """Return the metrics of the twin of all sites, of one of the pooled patients, of sites alone.

    All are asked about the same held-out patients, of every site, and each patient is answered by
    as many members, none of which has seen the patient. None is calibrated.
    """
    if not config.trainer.federation.compare:
        return {}
    together = _asked(sites, replace(model, calibration=Calibration()), config)
    found = {TOGETHER: together}
    with console.stage("the same twin of the patients of all sites, pooled"):
        found[POOLED] = _asked(sites, _pooled(sites, config, folder / POOLED, console), config)
    for site, own in sites.own.items():
        with console.stage(f"the same twin of {site} alone"):
            try:
                fitted = learning.fit(own, config, folder / site / ALONE, console)
                single = learning.model_of(own, fitted, config)
            except TrainingError as error:
                console.warn(f"{site} cannot train alone: {error}")
                continue
            found[f"{site} {ALONE}"] = _asked(sites, single, config)
    scores = {name: judging.metrics(sites.task, each, {})["model"] for name, each in found.items()}
    others = {name: each for name, each in found.items() if name != TOGETHER}
    return {
        "sites": {site: len(own.arms) for site, own in sites.own.items()},
        "scores": scores,
        "paired": judging.paired(sites.task, together, others, console),
    }


def _pooled(sites: Sites, config: Config, folder: Path, console: Console) -> TrainedModel:
    fitted = learning.fit_members(sites.task, config, sites.plan, folder, console)
    check_converged(fitted.diverged)
    return learning.model_of(sites.task, fitted, config)


def _asked(sites: Sites, model: TrainedModel, config: Config) -> Predictions:
    plan: MemberPlan = sites.plan
    return held_out_predictions(sites.task, model, plan, config, every_arm=False)


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the comparison as a table to be read at a terminal."""
    if not found:
        return []
    scores = found["scores"]
    names = [each for each in scores[TOGETHER] if each != "n"]
    told = ["", "the same held-out patients of all sites", " " * 16 + _row(names)]
    for learner, each in scores.items():
        cells = [f"{_number(each[name]['mean'])} ± {_number(each[name]['sd'])}" for name in names]
        told.append(f"{learner:<16}{_row(cells)}")
    alone = [each for name, each in scores.items() if name.endswith(ALONE)]
    if alone:
        means = [np.mean([each[name]["mean"] for each in alone]) for name in names]
        told.append(f"{'mean of alone':<16}{_row([_number(each) for each in means])}")
    return told


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _row(cells: list[str]) -> str:
    return "".join(f"{each:>18}" for each in cells)
