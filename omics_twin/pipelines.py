"""Each pipeline on one screen, readable as prose: those that learn; the others are named here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from omics_twin import audited, runs, tracking
from omics_twin.asked import check_ranks, read_cohort
from omics_twin.attacks import ensemble
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, digest, plain, recorded
from omics_twin.dynamics.settings import DynamicsKind
from omics_twin.errors import ConfigError
from omics_twin.evaluate import membership
from omics_twin.evaluate.sites import site_notes
from omics_twin.federated import compare as federated
from omics_twin.federated.sites import Sites, sites_of
from omics_twin.files import alone, read_json, write_json
from omics_twin.intake.synthetic import read_truth
from omics_twin.judged import by_cause, comparing, courses, finished, judging, subgroups
from omics_twin.judged.predictions import baseline_predictions, held_out_predictions, truth_is_known
from omics_twin.lifecycle import trained_on
from omics_twin.pipelines_answering import evaluate, predict, rank, report, score, simulate, update
from omics_twin.pipelines_upkeep import (
    account,
    admit,
    audit,
    check,
    consent,
    fetch,
    monitor,
    promote,
    results,
    rollback,
    rotate,
    serve,
    synthesise,
)
from omics_twin.report.console import Console
from omics_twin.report.model_card import write_card
from omics_twin.training import learning, private, tasks
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, digest_of
from omics_twin.visits import training
from omics_twin.visits.living import LivingModel

__all__ = [
    "ablate",
    "account",
    "admit",
    "attack",
    "audit",
    "check",
    "consent",
    "evaluate",
    "federate",
    "fetch",
    "monitor",
    "predict",
    "promote",
    "rank",
    "report",
    "results",
    "rollback",
    "rotate",
    "score",
    "search",
    "serve",
    "simulate",
    "synthesise",
    "train",
    "update",
]


def _site_notes(task: tasks.Task) -> list[str]:
    """Return which modalities tell where a patient was measured, where the site is known."""
    if "site" not in task.cohort.groups:
        return []
    sites = task.cohort.groups["site"].astype(object)
    values = {name: each.numpy() for name, each in task.matrices.values.items()}
    return site_notes(values, sites.where(sites.notna(), None).tolist())


def train(config: Config, console: Console) -> runs.Trained:
    """Train a twin, compare it with its baselines on the same folds, and record the run."""
    witness = audited.witness_of(config, console)
    cohort = read_cohort(config, console, Purpose.TRAINING)
    data = digest_of(cohort.fingerprint)
    witness.saw(Action.TRAIN, [None], purpose=Purpose.TRAINING, data=data)
    if config.dynamics.kind is not DynamicsKind.NONE:
        federated.check_together(config, "a twin of visits")
        private.check_not_asked(config, "a twin of visits")
        return _train_living(cohort, config, console)
    task = tasks.task_of(cohort, config, console)
    if private.is_private(config):
        federated.check_together(config, "a privacy budget")
    task, config = private.prepared(task, config, console)
    sites = None
    if config.trainer.federation.sites:
        sites = sites_of(task, config)
        task = sites.task
    for note in [*_site_notes(task), *learning.companion_notes(config)]:
        console.note(note)
    told_apart = digest(config, f"{task.fingerprint} {tracking.commit()}")
    run = Path(config.output_root) / config.name / told_apart
    if runs.is_finished(run, config):
        console.say(f"already done: {run}")
        stored = read_json(run / "metrics.json")
        return runs.reported(runs.Trained(run, stored), console)
    with alone(run):
        return _trained(task, sites, config, run, console)


def _trained(
    task: tasks.Task, sites: Sites | None, config: Config, run: Path, console: Console
) -> runs.Trained:
    write_json(run / "config.json", recorded(config))
    with console.stage("training"):
        fitted, model = _fitted(task, sites, config, run, console)
    with console.stage("held-out predictions"):
        predicted = held_out_predictions(task, model, fitted.plan, config)
    model, copied, inside = judging.calibrated(
        task, model, fitted.plan, config, run / "copy", console
    )
    if copied is not None:
        with console.stage("held-out predictions, calibrated"):
            predicted = held_out_predictions(task, model, fitted.plan, config)
    with console.stage("baselines on the same folds"):
        baselines = baseline_predictions(task, config, run / "baselines", console)
    metrics = judging.metrics(task, predicted, baselines)
    with console.stage("differences from the baselines, patient by patient"):
        metrics["paired"] = judging.paired(task, predicted, baselines, console)
    if task.outcome.causes:
        with console.stage("every cause of the event"):
            incidences = by_cause.held_out_incidences(task, model, fitted.plan, config)
            metrics["by_cause"] = by_cause.judged(task, incidences, baselines)
    if sites is not None:
        metrics["federation"] = federated.compared(sites, model, config, run, console)
    metrics |= {"by_visit": {}, "course": {}}
    if any(day > 0 for day in task.design.visit_days):
        with console.stage("answers and forecasts as visits come in"):
            metrics["by_visit"] = judging.by_visit(task, model, fitted.plan, config, console)
            metrics["course"] = courses.foreseen(task, model, fitted.plan, config)
    with console.stage("whether intervals and probabilities hold"):
        metrics["calibration"] = judging.calibration(
            task, model, fitted.plan, predicted, config, copied
        )
    if truth_is_known(task, config):
        truth = read_truth(Path(config.cohort.root))
        metrics["truth"] = judging.against_truth(task, predicted, baselines, truth)
    with console.stage("value of following the ranking"):
        metrics["policy"], rules = judging.policy(task, predicted, baselines, config, run, console)
    with console.stage("every group of patients beside the others"):
        metrics |= subgroups.judged(task, predicted.received, config, rules, inside)
        subgroups.draw(metrics, run)
    with console.stage("an attack on membership"):
        metrics["privacy"] = {
            **private.guarantee(config),
            "attack": ensemble.membership_attack(task, model, fitted.plan, config),
        }
    learners = {"model": predicted, **baselines}
    metrics["intervals"] = comparing.intervals(task, {k: v.received for k, v in learners.items()})
    metrics["outcomes"] = trained_on.outcome_counts(task)
    with console.stage("effects of the measurements on the benefit of each therapy"):
        finished.write_effects(task, model, config, run)
    if private.is_private(config):
        model = private.released(task, config, metrics)
    else:
        told = {"performance": metrics, "privacy": metrics["privacy"]}
        model = replace(
            model,
            provenance={**model.provenance, **told},
            reference=trained_on.reference_of(task, predicted.received, predicted.every_arm),
            own_values=trained_on.own_values_of(task, predicted.received, config, console),
        )
    model.save(run / tracking.MODEL_FOLDER)
    finished.draw_plots(task, predicted, run)
    # As it was stored: small cells are not counted out there.
    write_card(tracking.TrainedModel.load(run / tracking.MODEL_FOLDER), run)
    write_json(run / "metrics.json", metrics)
    with console.stage("recording the run"):
        where = finished.record(task, fitted, metrics, config, run, console)
    write_json(run / "tracking.json", where)
    return runs.reported(runs.Trained(run, metrics), console)


def federate(config: Config, console: Console) -> Path:
    """Write the job with which sites on machines of their own train one twin."""
    from omics_twin.federated.local import write_job_of_sites

    check_ranks(config, "federate")
    if not config.output:
        raise ConfigError("no output was named: add output=FOLDER")
    job = write_job_of_sites(config, Path(config.output))
    console.say(f"job for FLARE: {job}")
    return job


def _fitted(
    task: tasks.Task, sites: Sites | None, config: Config, run: Path, console: Console
) -> tuple[learning.Fitted, tracking.TrainedModel]:
    """Return the members that judge, and their twin: pooled, private, or of several sites."""
    if sites is not None:
        return federated.fit_together(sites, config, run / "sites", console)
    fitted = (
        private.fit_held_out(task, config)
        if private.is_private(config)
        else learning.fit(task, config, run / "checkpoints", console)
    )
    return fitted, learning.model_of(task, fitted, config)


def _train_living(cohort: Cohort, config: Config, console: Console) -> runs.Trained:
    """Learn how a cohort's patients change from visit to visit, judged one visit ahead."""
    told_apart = digest(config, f"{cohort.fingerprint} {tracking.commit()}")
    run = Path(config.output_root) / config.name / told_apart
    if runs.is_finished(run, config):
        console.say(f"already done: {run}")
        return runs.reported(runs.Trained(run, read_json(run / "metrics.json")), console)
    with alone(run):
        write_json(run / "config.json", recorded(config))
        metrics = {
            "cohort": cohort.name,
            **training.STEPS[config.dynamics.kind](cohort, config, run, console),
        }
        write_card(LivingModel.load(run / tracking.MODEL_FOLDER), run)
        write_json(run / "metrics.json", metrics)
        numbers = finished.numbers_of(metrics) | subgroups.numbers_of(metrics)
        numbers |= membership.numbers_of(metrics.get("privacy") or {"attack": {}})
        runs.record(cohort, config, run, "progression", numbers, console)
    return runs.reported(runs.Trained(run, metrics), console)


def ablate(config: Config, console: Console) -> Path:
    """Say what each modality adds, alone and left out, on the same folds."""
    from omics_twin.searches import ablation

    federated.check_together(config, "ablate")
    check_ranks(config, "ablate")
    cohort = read_cohort(config, console, Purpose.TRAINING)
    task = tasks.task_of(cohort, config, console)
    run = runs.folder_of(config, "ablation", task.fingerprint)
    if not runs.is_finished(run, config):
        with console.stage("ablation"):
            table = ablation.ablate(task, config, run, console)
        ablation.write(task, table, run)
        runs.record(
            task.cohort,
            config,
            run,
            "ablation",
            ablation.numbers(table),
            console,
            fingerprint=task.fingerprint,
        )
    console.say((run / "ablation.md").read_text())
    console.say(f"run folder: {run}")
    return run


def search(config: Config, console: Console) -> Path:
    """Choose settings by nested cross-validation; a killed search goes on where it was."""
    from omics_twin.searches import ablation, searching, space

    federated.check_together(config, "search")
    check_ranks(config, "search")
    space.axes_of(config)
    cohort = read_cohort(config, console, Purpose.TRAINING)
    task = ablation.before_treatment(tasks.task_of(cohort, config, console))
    asked = plain(config)["search"]
    for budget in ("trials", "batch", "timeout_minutes"):
        asked.pop(budget)
    run = runs.folder_of(config, "search", task.fingerprint, json.dumps(asked, sort_keys=True))
    found = searching.finished(run, config) if runs.is_finished(run, config) else None
    if found is None:
        with console.stage("search"):
            found = searching.search(task, config, run, console)
        searching.write(task, found, run)
        numbers, curves = searching.numbers(found), searching.curves(found)
        runs.record(task.cohort, config, run, "search", numbers, console, curves, task.fingerprint)
    for line in searching.lines(found):
        console.say(line)
    console.say(f"settings for the next command: @{run / 'best.yaml'}")
    return run


def attack(config: Config, console: Console) -> Path:
    """Say whether answers give training patients away, by whole ensembles trained without some."""
    from omics_twin.attacks import whole

    check_ranks(config, "attack")
    cohort = read_cohort(config, console, Purpose.TRAINING)
    task = tasks.task_of(cohort, config, console)
    task, config = private.prepared(task, config, console)
    asked = json.dumps(plain(config)["attack"], sort_keys=True)
    run = runs.folder_of(config, "attack", task.fingerprint, asked)
    if not runs.is_finished(run, config):
        found = whole.attack(task, config, run, console)
        write_json(run / "attack.json", found)
        numbers = membership.numbers_of(found)
        runs.record(cohort, config, run, "attack", numbers, console, fingerprint=task.fingerprint)
    for line in membership.lines(json.loads((run / "attack.json").read_text())["attack"]):
        console.say(line)
    console.say(f"run folder: {run}")
    return run
