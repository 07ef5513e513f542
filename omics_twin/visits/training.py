"""Train a twin that learns from visit to visit: each kind's steps, readable as prose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omics_twin import tracking
from omics_twin.answers.beliefs import received_of
from omics_twin.attacks.living import attack_on_sizes, attack_on_visits
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.dynamics.settings import DynamicsKind
from omics_twin.report.console import Console
from omics_twin.tensors.history import histories_of
from omics_twin.visits import (
    dose_groups,
    groups,
    landmark_scores,
    landmarks,
    learning,
    progression,
    responses,
)
from omics_twin.visits.reference import remembering


def _train_size(cohort: Cohort, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Learn how sizes change from scan to scan, judged one scan ahead."""
    histories = histories_of(cohort, config.dynamics.modality)
    progression.check_in_mm(cohort, config.dynamics.modality)
    arms, held_out = received_of(cohort), progression.folds_of(histories, config.split)
    with console.stage("forecasts of the next visit, every patient held out once"):
        forecasts = progression.cross_validated(histories, arms, held_out, config, console)
    metrics = progression.judged(forecasts, held_out)
    of, patients = histories.patient_ids, len(histories.patient_ids)
    learners = {
        name: progression.measures_of(each, patients, "mm", 1.0) for name, each in forecasts.items()
    }
    metrics |= groups.judged(cohort, of, learners, held_out, config)
    with console.stage("an attack on membership"):
        metrics["privacy"] = {"attack": attack_on_sizes(histories, arms, config)}
    with console.stage("the twin of all patients"):
        model = progression.model_of(cohort, histories, arms, config, metrics)
    model = remembering(model, histories, forecasts[groups.TWIN])
    model.save(run / tracking.MODEL_FOLDER)
    progression.draw(forecasts, metrics, run)
    return metrics


def _train_volume(cohort: Cohort, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Learn how volumes change under known doses, judged on dose groups held out in turn."""
    asked = config.dynamics
    dosed = dose_groups.dosed_of(cohort, asked.modality)
    plasma = dose_groups.plasma_of(cohort, config)
    held_out = dose_groups.held_out_of(dosed, config)
    with console.stage("forecasts of groups held out"):
        forecasts = dose_groups.cross_validated(dosed, plasma, held_out, config, console)
    metrics = dose_groups.judged(forecasts, dosed, held_out)
    of = dosed.histories.patient_ids
    learners = dose_groups.measures_by_learner(forecasts, len(of))
    metrics |= groups.judged(cohort, of, learners, held_out, config)
    with console.stage("the twin of everybody not put aside"):
        model = dose_groups.model_of(cohort, dosed, plasma, held_out, config, metrics)
    model = remembering(model, dosed.histories, forecasts.ahead[groups.TWIN])
    model.save(run / tracking.MODEL_FOLDER)
    dose_groups.draw(forecasts, run)
    console.metrics(metrics["one_ahead"])
    for line in dose_groups.paired_lines(forecasts):
        console.say(line)
    return metrics


def _train_response(cohort: Cohort, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Learn volumes at scheduled visits and the response, judged in patients held out in turn."""
    followed = responses.followed_of(cohort, config, console)
    with console.stage("training"):
        twins, plan = responses.fit(followed, config)
    with console.stage("visits and responses foreseen, every patient held out"):
        seen = responses.foreseen(twins, plan, followed, config, console)
    metrics = responses.judged(seen, followed, config, console)
    of = followed.task.cohort.patient_ids
    learners = {
        name: progression.measures_of(each, len(of), "cm3", 0.0)
        for name, each in seen.forecasts.items()
    }
    held_out = followed.task.held_out
    metrics |= groups.judged(followed.task.cohort, of, learners, held_out, config)
    model = responses.model_of(followed, twins, config, metrics)
    model = remembering(model, responses.histories_of(followed), seen.forecasts[responses.TWIN])
    model.save(run / tracking.MODEL_FOLDER)
    responses.draw(seen, run)
    return metrics


def _train_visits(cohort: Cohort, config: Config, run: Path, console: Console) -> dict[str, Any]:
    """Learn from every visit what is measured next and when an event comes."""
    followed = learning.followed_of(cohort, config, console)
    held_out = learning.held_out_of(cohort, followed, config)
    with console.stage("training"):
        twin, plan = learning.fit(followed, held_out, config, run / "checkpoints", console)
    with console.stage("events foreseen from each landmark on, beside Cox models"):
        seen = landmarks.foreseen(twin, plan, followed, held_out, config, console)
        ahead = landmarks.next_values(twin, followed, config)
    metrics = landmark_scores.judged(seen, ahead, followed, held_out, config)
    of = followed.histories.patient_ids
    horizon = config.dynamics.horizon_days
    learners = landmark_scores.measures_by_learner(seen, ahead, len(of), horizon)
    metrics |= groups.judged(cohort, of, learners, held_out, config)
    with console.stage("an attack on membership"):
        attack = attack_on_visits(twin, plan, followed, held_out, config)
        metrics["privacy"] = {"attack": attack}
    model = learning.model_of(cohort, followed, twin, config, metrics)
    model = remembering(model, followed.histories, ahead[config.dynamics.watched])
    model.save(run / tracking.MODEL_FOLDER)
    landmark_scores.draw(metrics, run)
    return metrics


STEPS: Mapping[DynamicsKind, Callable[[Cohort, Config, Path, Console], dict[str, Any]]] = {
    DynamicsKind.TUMOUR_SIZE: _train_size,
    DynamicsKind.TUMOUR_VOLUME: _train_volume,
    DynamicsKind.TUMOUR_RESPONSE: _train_response,
    DynamicsKind.VISITS: _train_visits,
}
"""What each kind of twin is trained by: returns the metrics, leaves model and plots in the run."""
