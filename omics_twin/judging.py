"""Is it true? Held-out predictions beside baselines, plots, and the record of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load, save

from omics_twin import (
    abstaining,
    comparing,
    holding,
    interval_coverage,
    recording,
    subgroups,
    tracking,
    worth,
)
from omics_twin.answers import beliefs_of, received_of, strata_keys
from omics_twin.asking import bounds, held_out_beliefs, under_arms
from omics_twin.config import Config, recorded
from omics_twin.errors import CohortError
from omics_twin.evaluate import baselines as reference
from omics_twin.evaluate import membership, plots
from omics_twin.evaluate.design import Design
from omics_twin.evaluate.effect_plot import effect_figure
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.net_benefit import decision_curve
from omics_twin.evaluate.score import score
from omics_twin.evaluate.survival_plots import decision_figure, figures_at_horizon
from omics_twin.evaluate.truth import policy_value
from omics_twin.files import write_json
from omics_twin.following import TWIN, Judgement, Ranked, judge, plain_name
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.synthetic import holds_truth, read_truth
from omics_twin.learning import Fitted
from omics_twin.offers import offers_of
from omics_twin.recording import RunRecord
from omics_twin.report.console import Console
from omics_twin.report.effects import effect_summary
from omics_twin.settings import CalibrationBy
from omics_twin.tasks import Task
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.trust.vault import read_sealed, write_sealed
from omics_twin.twin.draws import select

# Enough for what holds over a cohort, in seconds.
_PATIENTS_OF_EFFECTS = 150


@dataclass(frozen=True)
class Predictions:
    """Held-out predictions of one learner.

    Attributes
    ----------
    received
        Under the therapy received, (repeat, patient) or (repeat, patient, time).
    every_arm
        Under each arm, (repeat, patient, arm) or (repeat, patient, arm, time).
    interval
        Lower and upper bound under each arm, (patient, arm, 2); None unless the truth is known.
    spread
        Standard deviation of the endpoint's difference between two arms in the twin's belief,
        (repeat, patient, arm, arm); None for a baseline.
    """

    received: np.ndarray
    every_arm: np.ndarray | None
    interval: np.ndarray | None = None
    spread: np.ndarray | None = None


def held_out_predictions(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    *,
    as_of_days: float = 0.0,
    every_arm: bool = True,
) -> Predictions:
    """Return the twin's predictions, every patient answered by members that never saw them.

    Parameters
    ----------
    as_of_days
        Only visits up to this day are shown to the twin [day].
    every_arm
        Whether to predict under every arm, and not only under the therapy received.
    """
    repeats, patients = task.held_out.shape
    grid = task.outcome.grid_days
    options = len(task.catalogue.arms)
    every = np.full((repeats, patients, options, 1 if grid is None else len(grid)), np.nan)
    spread = np.full((repeats, patients, options, options), np.nan)
    ends = np.full((patients, options, 2), np.nan)
    bounded = every_arm and truth_is_known(task, config)
    arms = received_of(task.cohort)
    strata = strata_keys(model.support.columns, task.cohort)
    for belief in beliefs_of(
        model, task.matrices, arms, config.twin, strata=strata, as_of_days=as_of_days
    ):
        for repeat, rows, state in held_out_beliefs(task, belief, plan):
            where = (repeat, belief.rows[rows])
            every[where], found = under_arms(task, model, state, task.arms[where[1]], every_arm)
            if found is not None:
                spread[where] = found
        if bounded:
            out = torch.tensor((task.held_out[:, belief.rows] >= 0).any(axis=0))
            state = select(belief.state, torch.nonzero(out)[:, 0])
            rows = belief.rows[out.numpy()]
            ends[rows] = bounds(task, model, state, [strata[row] for row in rows], config)
    own = task.arms[None, :, None, None]
    received = np.take_along_axis(every, own, axis=2)[:, :, 0]
    if grid is None:
        received, every = received[..., 0], every[..., 0]
    if not every_arm:
        return Predictions(received, None)
    return Predictions(received, every, ends if bounded else None, spread)


def truth_is_known(task: Task, config: Config) -> bool:
    """Return whether the true probability under every arm is there to compare with."""
    there = holds_truth(config.cohort.root)
    return there and task.outcome.grid_days is None and len(task.catalogue.arms) > 1


def baseline_design(task: Task, as_of_days: float = 0.0) -> Design:
    """Return what the baselines see: the twin's measurements up to a day, and therapies."""
    channels = [channel for channel in task.design.channels if channel.visit_day <= as_of_days]
    features = [(channel, feature) for channel in channels for feature in channel.features]
    values = torch.cat([_seen(task, channel, as_of_days) for channel in channels], dim=1)
    return Design(
        values=values.numpy().astype(np.float64),
        names=tuple(feature.name for _, feature in features),
        modality=tuple(channel.modality for channel, _ in features),
        binary=np.array([feature.binary for _, feature in features]),
        arms=task.arms,
        arm_names=task.catalogue.arms,
        agents=np.array([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms]),
        agent_names=task.catalogue.known_agents,
    )


def _seen(task: Task, channel: ChannelDesign, as_of_days: float) -> torch.Tensor:
    """Return a channel's values; a follow-up that came later than planned is not seen yet."""
    values = task.matrices.values[channel.name]
    if not channel.follow_up:
        return values
    return torch.where((task.matrices.days[channel.name] <= as_of_days)[:, None], values, torch.nan)


def baseline_predictions(
    task: Task, config: Config, folder: Path, console: Console
) -> dict[str, Predictions]:
    """Return the baselines' predictions on the same folds; those of an earlier start are kept."""
    design = baseline_design(task)
    found = {}
    for name in reference.baselines_for(task.outcome.kind, design):
        stored = folder / f"{name}.safetensors"
        if not stored.is_file():
            fitted = reference.fit_predict_folds(
                name,
                design,
                task.outcome,
                task.held_out,
                seed=config.split.seed,
                every_arm=True,
                progress=console.progress(f"{name}: folds"),
            )
            arrays = {"received": fitted.received}
            if fitted.every_arm is not None:
                arrays["every_arm"] = fitted.every_arm
            write_sealed(stored, save(arrays))
        arrays = load(read_sealed(stored))
        found[name] = Predictions(arrays["received"], arrays.get("every_arm"))
    return found


def metrics(task: Task, twin: Predictions, baselines: Mapping[str, Predictions]) -> dict[str, Any]:
    """Return the table of a run: the twin beside its baselines, with spread over repeats."""
    return {
        "endpoint": task.endpoint.name,
        "outcome": task.outcome_name,
        "cohort": task.cohort.name,
        "n": int(np.isfinite(task.outcome.values).sum()),
        "folds": int(task.held_out.max()) + 1,
        "repeats": len(task.held_out),
        "model": _summary(task, twin),
        "baselines": {name: _summary(task, each) for name, each in baselines.items()},
        "by_part": comparing.by_part(
            task, twin.received, {name: each.received for name, each in baselines.items()}
        ),
    }


def paired(
    task: Task, twin: Predictions, baselines: Mapping[str, Predictions], console: Console
) -> dict[str, Any]:
    """Return the twin less every baseline, patient by patient; nothing where too few allow it."""
    others = {name: each.received for name, each in baselines.items()}
    try:
        return comparing.paired(task, twin.received, others)
    except CohortError as error:
        console.warn(f"the twin and its baselines are not compared patient by patient: {error}")
        return {}


def _summary(task: Task, predicted: Predictions) -> dict[str, dict[str, float | None]]:
    found = summarise([score(task.outcome, each) for each in predicted.received])
    return {
        name: {key: float(value) if np.isfinite(value) else None for key, value in each.items()}
        for name, each in found.items()
    }


def by_visit(
    task: Task, model: TrainedModel, plan: MemberPlan, config: Config, console: Console
) -> dict[str, dict[str, Any]]:
    """Return the twin's metrics as visits come in, on the patients who have all of them.

    Beside them stands the linear baseline that sees the same visits of the same patients.
    """
    days = [day for day in task.design.visit_days if day > 0]
    if not days:
        return {}
    followed = np.ones(len(task.arms), dtype=bool)
    for channel in task.design.channels:
        if channel.follow_up:
            followed &= ~torch.isnan(task.matrices.values[channel.name]).all(dim=1).numpy()
    values = task.outcome.values[followed]
    if followed.sum() < 30 or (task.outcome.kind is OutcomeKind.BINARY and len(set(values)) < 2):
        return {}
    found = {}
    for day in [0.0, *days]:
        predicted = held_out_predictions(
            task, model, plan, config, as_of_days=day + 0.5, every_arm=False
        )
        hidden = np.where(
            followed.reshape(1, -1, *[1] * (predicted.received.ndim - 2)),
            predicted.received,
            np.nan,
        )
        found[f"day {day:g}"] = {
            "n": int(followed.sum()),
            **_summary(task, Predictions(hidden, None)),
            "baselines": _linear_by_visit(task, followed, day + 0.5, config, console),
        }
    return found


def _linear_by_visit(
    task: Task, followed: np.ndarray, as_of_days: float, config: Config, console: Console
) -> dict[str, Any]:
    design = baseline_design(task, as_of_days)
    try:
        name, received = comparing.linear_predictions(
            task, design, followed, seed=config.split.seed
        )
    except CohortError as error:
        console.warn(f"no baseline stands beside the visits up to day {as_of_days:g}: {error}")
        return {}
    return {name: _summary(task, Predictions(received, None))}


def against_truth(
    task: Task,
    twin: Predictions,
    baselines: Mapping[str, Predictions],
    truth: pd.DataFrame,
) -> dict[str, Any]:
    """Return what following each ranking would be worth, the truth being known."""
    table = truth.loc[list(task.cohort.patient_ids)]
    columns = [f"p_response::{arm}" for arm in task.catalogue.arms]
    known = table[columns].to_numpy(dtype=float)
    found: dict[str, Any] = {"model": {}, "baselines": {}}
    for name, each in [("model", twin), *baselines.items()]:
        if each.every_arm is None:
            continue
        mean = _mean_over_repeats(each.every_arm)
        out = np.isfinite(mean).all(axis=1)
        value = policy_value(mean[out].argmax(axis=1), known[out])
        worth = {"captured": value.captured, "followed": value.followed}
        if name == "model":
            found["model"] = worth
            if each.interval is not None:
                lower, upper = each.interval[out, :, 0], each.interval[out, :, 1]
                inside = (lower <= known[out]) & (known[out] <= upper)
                found["interval_coverage"] = float(inside.mean())
            found["best_single_arm"] = value.best_single_arm
            found["own_best_arm"] = value.own_best_arm
        else:
            found["baselines"][name] = worth
    return found


def _mean_over_repeats(every_arm: np.ndarray) -> np.ndarray:
    """Return the mean over the repeats in which a patient was held out, NaN for none."""
    out = np.isfinite(every_arm)
    total = np.where(out, every_arm, 0.0).sum(axis=0)
    return np.where(out.any(axis=0), total / np.maximum(out.sum(axis=0), 1), np.nan)


def policy(
    task: Task,
    twin: Predictions,
    baselines: Mapping[str, Predictions],
    config: Config,
    folder: Path,
    console: Console,
) -> tuple[dict[str, Any], Judgement | None]:
    """Return what following each ranking would have been worth, and write the figures of it.

    Where too few patients allow no judgement, the answer says why; it is empty where nothing is
    compared.
    """
    if len(task.catalogue.arms) == 1:
        return {}, None
    learners = {
        name: Ranked(each.every_arm, each.spread)
        for name, each in [(TWIN, twin), *baselines.items()]
        if each.every_arm is not None
    }
    try:
        offers = offers_of(task, baseline_design(task), config)
        found = judge(task, offers, learners, config.policy.control)
    except CohortError as error:
        console.warn(f"the value of following the ranking is not judged: {error}")
        return {"not_judged": {"all": str(error)}}, None
    for stem, figure in worth.figures_of(task, offers, found).items():
        figure.savefig(folder / f"{stem}.png", dpi=150)
    truth = _true_means(task, config) if truth_is_known(task, config) else None
    told = worth.record_of(task, offers, found, truth)
    if told["coverage_value"] is not None:
        # Where on the curve the ranking is that recommends only what it is sure enough of.
        least = config.twin.confidence
        told["coverage_value"] |= {
            "confidence": least,
            "confident": float((found.belief[:, found.judged] >= least).mean()),
        }
    return told, found


def _true_means(task: Task, config: Config) -> np.ndarray:
    table = read_truth(Path(config.cohort.root)).loc[list(task.cohort.patient_ids)]
    columns = [f"p_response::{arm}" for arm in task.catalogue.arms]
    return table[columns].to_numpy(dtype=float)


def calibrated(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    folder: Path,
    console: Console,
) -> tuple[TrainedModel, dict[str, Any] | None, interval_coverage.Inside | None]:
    """Return the model with intervals that hold on a simulated copy, and how they hold there.

    Sites that learned together have calibrated theirs already.
    """
    if config.twin.calibration is CalibrationBy.NONE or model.calibration.fitted:
        return model, None, None
    with console.stage("calibration on a simulated copy"):
        found, copied, inside = holding.calibrate(task, model, plan, config, folder, console)
    return replace(model, calibration=found), copied, inside


def calibration(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    twin: Predictions,
    config: Config,
    copied: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return whether intervals and probabilities hold, and to whom nothing is recommended.

    Parameters
    ----------
    copied
        How they hold on the simulated copy; None where there is none here.
    """
    truth = _true_means(task, config) if truth_is_known(task, config) else None
    found: dict[str, Any] = model.calibration.to_json() if model.calibration.fitted else {}
    if copied is not None:
        found["copy"] = copied
    found |= holding.held_up(task, model, plan, config, truth)
    response = abstaining.response_of(task, twin.received)
    return found if response is None else {**found, "response": response}


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
