"""What is kept of a finished run: plots, effects, and its record in the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omics_twin import recording, tracking
from omics_twin.config import Config, recorded
from omics_twin.evaluate import membership, plots
from omics_twin.evaluate.effect_plot import effect_figure
from omics_twin.evaluate.net_benefit import decision_curve
from omics_twin.evaluate.survival_plots import decision_figure, figures_at_horizon
from omics_twin.files import write_json
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.judged import comparing, holding, subgroups, worth
from omics_twin.judged.following import plain_name
from omics_twin.judged.predictions import Predictions
from omics_twin.recording import RunRecord
from omics_twin.report.console import Console
from omics_twin.report.effects import effect_summary
from omics_twin.tracking import TrainedModel
from omics_twin.training.learning import Fitted
from omics_twin.training.tasks import Task

# Enough for what holds over a cohort, in seconds.
_PATIENTS_OF_EFFECTS = 150


def draw_plots(task: Task, twin: Predictions, folder: Path) -> None:
    """Write the plots of a run as PNG."""
    rows = np.isfinite(twin.received).reshape(*twin.received.shape[:2], -1).any(axis=(0, 2))
    mean = np.nanmean(twin.received[:, rows], axis=0)
    outcome, arms, name = task.outcome.at(rows), task.arms[rows], task.title
    labels = task.catalogue.labels
    if outcome.kind is OutcomeKind.BINARY:
        figures = {
            "roc": plots.roc_figure(mean, outcome.values, name),
            "calibration": plots.reliability_figure(mean, outcome.values, name),
            "per_arm": plots.per_arm_figure(mean, outcome.values, arms, labels, name),
            "decision": decision_figure(decision_curve(mean, outcome.values), name),
        }
    elif outcome.kind is OutcomeKind.TIME_TO_EVENT:
        event, grid = outcome.followed
        risk = 1.0 - np.trapezoid(mean, grid, axis=1) / grid[-1]
        figures = {"survival": plots.survival_figure(risk, outcome.values, event, name)}
        figures |= figures_at_horizon(
            mean[:, -1], outcome.values, event, float(grid[-1]), outcome.first
        )
    else:
        figures = {}
    for stem, figure in figures.items():
        figure.savefig(folder / f"{stem}.png", dpi=150)


def write_effects(task: Task, model: TrainedModel, config: Config, folder: Path) -> None:
    """Write which measurements move the benefit of each arm, as numbers and as a figure."""
    if len(task.catalogue.arms) == 1:
        return
    found = effect_summary(
        model,
        task.cohort,
        config.twin,
        most_patients=_PATIENTS_OF_EFFECTS,
        seed=config.split.seed,
    )
    write_json(folder / "effects.json", found)
    if any(arm["features"] for arm in found["arms"]):
        effect_figure(found).savefig(folder / "effects.png", dpi=150)


def record(
    task: Task,
    fitted: Fitted,
    found: Mapping[str, Any],
    config: Config,
    run: Path,
    console: Console,
) -> dict[str, str]:
    """Hand the finished run to the tracker and return where it is."""
    numbers = numbers_of(found)
    numbers |= comparing.numbers_of(found.get("paired") or {})
    numbers |= worth.numbers_of(found.get("policy") or {})
    numbers |= holding.numbers_of(found.get("calibration") or {})
    numbers |= subgroups.numbers_of(found)
    numbers |= membership.numbers_of(found.get("privacy") or {"attack": {}})
    where = recording.record_run(
        RunRecord(
            name=config.name,
            parameters=flattened(recorded(config)),
            tags={
                "commit": tracking.commit(),
                "data_fingerprint": task.fingerprint,
                "cohort": task.cohort.name,
                "patients": str(found["n"]),
                "resumed_at_epoch": str(fitted.resumed_at_epoch),
            },
            metrics={name: value for name, value in numbers.items() if value is not None},
            curves=fitted.module.curves,
            folder=run,
        ),
        config.tracking,
    )
    if where:
        console.say(f"MLflow run {where['run_id']} at {where['tracking_uri']}")
        if "model_uri" in where:
            console.say(f"model: {where['model_uri']}")
    return where


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a twin and its baselines flat, as a tracker takes them.

    Examples
    --------
    >>> numbers_of({"model": {}, "baselines": {"first visit, Cox": {"auc": {"mean": 0.7}}}})
    {'first_visit_Cox.auc.mean': 0.7}
    """
    numbers: dict[str, float] = {}
    for name, scores in {"model": found["model"], **found["baselines"]}.items():
        plain = plain_name(name)
        numbers |= {f"{plain}.{key}.{k}": v for key, s in scores.items() for k, v in s.items()}
    return numbers


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the chosen settings flat; the cohort's declaration is an artefact, not a parameter."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            if name not in ("cohort", "therapy", "intake", "search"):
                flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
