"""Each pipeline on one screen, readable as prose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from omics_twin import (
    answers,
    attacking,
    comparing,
    consenting,
    courses,
    judging,
    learning,
    living_training,
    private_training,
    runs,
    subgroups,
    tasks,
    tracking,
    trained_on,
)
from omics_twin.asked import (
    check_ranks,
    folder_asked,
    introduced,
    model_asked,
    model_of_any_kind,
    output_asked,
    patients_asked,
    place_asked,
    read_cohort,
    with_own_cohort,
)
from omics_twin.belief import Beliefs, write_belief
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, digest, plain, recorded
from omics_twin.dynamics.settings import DynamicsKind
from omics_twin.errors import AlarmError, CohortError, ConfigError, IntakeError, nearest
from omics_twin.evaluate import membership
from omics_twin.evaluate.sites import site_notes
from omics_twin.federated import compare as federated
from omics_twin.federated.sites import Sites, sites_of
from omics_twin.files import alone, read_json, write_json, write_whole
from omics_twin.intake.findings import CheckReport, counted, listed
from omics_twin.intake.settings import Format
from omics_twin.intake.synthetic import generate, read_truth
from omics_twin.kept import belief_asked, beliefs_folder, visits_in_cohort, visits_told
from omics_twin.living import LivingModel
from omics_twin.monitoring import Later
from omics_twin.patients import Patients
from omics_twin.record import modalities_of
from omics_twin.report.console import Console
from omics_twin.report.model_card import write_card
from omics_twin.settings import Engine
from omics_twin.trust.consent import Purpose
from omics_twin.validity import governed_by


def _site_notes(task: tasks.Task) -> list[str]:
    """Return which modalities tell where a patient was measured, where the site is known."""
    if "site" not in task.cohort.groups:
        return []
    sites = task.cohort.groups["site"].astype(object)
    values = {name: each.numpy() for name, each in task.matrices.values.items()}
    return site_notes(values, sites.where(sites.notna(), None).tolist())


def train(config: Config, console: Console) -> runs.Trained:
    """Train a twin, compare it with its baselines on the same folds, and record the run."""
    cohort = read_cohort(config, console, Purpose.TRAINING)
    if config.dynamics.kind is not DynamicsKind.NONE:
        federated.check_together(config, "a twin of visits")
        private_training.check_ranks(config)
        return _train_living(cohort, config, console)
    task = tasks.task_of(cohort, config, console)
    if private_training.is_private(config):
        federated.check_together(config, "a privacy budget")
    task, config = private_training.prepared(task, config, console)
    sites = None
    if config.trainer.federation.sites:
        sites = sites_of(task, config)
        task = sites.task
    for note in _site_notes(task):
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
        predicted = judging.held_out_predictions(task, model, fitted.plan, config)
    model, copied, inside = judging.calibrated(
        task, model, fitted.plan, config, run / "copy", console
    )
    if copied is not None:
        with console.stage("held-out predictions, calibrated"):
            predicted = judging.held_out_predictions(task, model, fitted.plan, config)
    with console.stage("baselines on the same folds"):
        baselines = judging.baseline_predictions(task, config, run / "baselines", console)
    metrics = judging.metrics(task, predicted, baselines)
    with console.stage("differences from the baselines, patient by patient"):
        metrics["paired"] = judging.paired(task, predicted, baselines, console)
    if sites is not None:
        metrics["federation"] = federated.compared(sites, model, config, run, console)
    metrics["by_visit"] = judging.by_visit(task, model, fitted.plan, config, console)
    metrics["course"] = courses.foreseen(task, model, fitted.plan, config)
    metrics["calibration"] = judging.calibration(
        task, model, fitted.plan, predicted, config, copied
    )
    if judging.truth_is_known(task, config):
        truth = read_truth(Path(config.cohort.root))
        metrics["truth"] = judging.against_truth(task, predicted, baselines, truth)
    with console.stage("value of following the ranking"):
        metrics["policy"], rules = judging.policy(task, predicted, baselines, config, run, console)
    with console.stage("every group of patients beside the others"):
        metrics |= subgroups.judged(task, predicted.received, config, rules, inside)
        subgroups.draw(metrics, run)
    with console.stage("an attack on membership"):
        metrics["privacy"] = {
            **private_training.guarantee(config),
            "attack": attacking.membership_attack(task, model, fitted.plan, config),
        }
    learners = {"model": predicted, **baselines}
    metrics["intervals"] = comparing.intervals(task, {k: v.received for k, v in learners.items()})
    metrics["outcomes"] = trained_on.outcome_counts(task)
    with console.stage("effects of the measurements on the benefit of each therapy"):
        judging.write_effects(task, model, config, run)
    if private_training.is_private(config):
        model = private_training.released(task, config, metrics)
    else:
        told = {"performance": metrics, "privacy": metrics["privacy"]}
        model = replace(
            model,
            provenance={**model.provenance, **told},
            reference=trained_on.reference_of(task, predicted.received, predicted.every_arm),
        )
    model.save(run / tracking.MODEL_FOLDER)
    judging.draw_plots(task, predicted, run)
    # As it was stored: small cells are not counted out there.
    write_card(tracking.TrainedModel.load(run / tracking.MODEL_FOLDER), run)
    write_json(run / "metrics.json", metrics)
    with console.stage("recording the run"):
        where = judging.record(task, fitted, metrics, config, run, console)
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
        private_training.fit_held_out(task, config)
        if private_training.is_private(config)
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
            **living_training.STEPS[config.dynamics.kind](cohort, config, run, console),
        }
        write_card(LivingModel.load(run / tracking.MODEL_FOLDER), run)
        write_json(run / "metrics.json", metrics)
        numbers = judging.numbers_of(metrics) | subgroups.numbers_of(metrics)
        numbers |= membership.numbers_of(metrics.get("privacy") or {"attack": {}})
        runs.record(cohort, config, run, "progression", numbers, console)
    return runs.reported(runs.Trained(run, metrics), console)


def update(config: Config, console: Console) -> Path:
    """Show a patient's twin a visit, keep the belief, and say what changed."""
    model = model_of_any_kind(config)
    # Two who show visits at once would each keep a belief without the other's.
    with alone(beliefs_folder(config), wait=True):
        return _updated(config, model, console)


def _updated(config: Config, model: LivingModel | tracking.TrainedModel, console: Console) -> Path:
    from omics_twin import bedside, bedside_ranking

    kept, place, withheld = belief_asked(config, model)
    if isinstance(model, LivingModel):
        visits = (
            bedside.visits_of_file(Path(config.observation), model, kept.patient_id)
            if config.observation
            else visits_in_cohort(config, model, kept, console)
        )
        for visit in visits:
            kept, change = bedside.shown(
                model, kept, visit, config.twin.interval, config.twin.least_benefit
            )
            for line in bedside.lines(model, change):
                console.say(line)
    else:
        kept, visits = visits_told(config, model, kept, withheld, console)
        for visit in visits:
            kept, moved = bedside_ranking.shown(model, kept, visit, config.twin)
            for line in bedside_ranking.lines(model, moved):
                console.say(line)
    write_belief(place, kept, model.twin.modalities)
    console.say(f"belief after {len(kept.visits)} visits: {place}")
    return place


def simulate(config: Config, console: Console) -> Path:
    """Write what would happen to a patient under each of some plans, best first."""
    from omics_twin import bedside, bedside_ranking
    from omics_twin.report.trajectory import write_plans

    model = model_of_any_kind(config)
    output = output_asked(config, ".html", ".json")
    kept, _, withheld = belief_asked(config, model)
    if isinstance(model, LivingModel):
        if not kept.visits and model.provenance["patients"]:
            for visit in visits_in_cohort(config, model, kept, console):
                kept = kept.seen(visit)
        plans = bedside.plans_asked(config.intervention, model, kept)
        compared = bedside.compared(model, kept, plans, config.twin.interval)
    else:
        if not kept.visits:
            kept, visits = visits_told(config, model, kept, withheld, console)
            kept = replace(kept, visits=tuple(visits))
        compared = bedside_ranking.compared(model, kept, config.intervention, config.twin)
    for line in bedside.ranking_lines(compared):
        console.say(line)
    if output.suffix == ".json":
        write_json(output, bedside.as_record(compared))
    else:
        write_plans(output, model, kept, compared)
    console.say(f"plans compared: {output}")
    return output


def ablate(config: Config, console: Console) -> Path:
    """Say what each modality adds, alone and left out, on the same folds."""
    from omics_twin import ablation

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
    from omics_twin import ablation, searching, space

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
    from omics_twin import attacking_whole

    check_ranks(config, "attack")
    cohort = read_cohort(config, console, Purpose.TRAINING)
    task = tasks.task_of(cohort, config, console)
    task, config = private_training.prepared(task, config, console)
    asked = json.dumps(plain(config)["attack"], sort_keys=True)
    run = runs.folder_of(config, "attack", task.fingerprint, asked)
    if not runs.is_finished(run, config):
        found = attacking_whole.attack(task, config, run, console)
        write_json(run / "attack.json", found)
        numbers = membership.numbers_of(found)
        runs.record(cohort, config, run, "attack", numbers, console, fingerprint=task.fingerprint)
    for line in membership.lines(json.loads((run / "attack.json").read_text())["attack"]):
        console.say(line)
    console.say(f"run folder: {run}")
    return run


def evaluate(config: Config, console: Console) -> dict[str, Any]:
    """Return the training run's metrics for another cohort."""
    output = output_asked(config, ".json") if config.output else None
    model = model_asked(config, console)
    cohort = read_cohort(config, console, Purpose.SCORING)
    if model.outcome not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{model.outcome}', which the model predicts"
            f"{nearest(model.outcome, cohort.outcomes)}"
        )
    outcome = tasks.outcome_of(cohort, model.outcome, model.endpoint)
    metrics = answers.evaluation(
        model, cohort, outcome, config.twin, console, as_of_days=config.as_of_days
    )
    if output:
        write_json(output, metrics)
        console.say(f"metrics: {output}")
    console.metrics(metrics)
    return metrics


def predict(config: Config, console: Console) -> Path:
    """Write each patient's expected endpoint under the therapy received, or another one."""
    model = model_asked(config, console)
    output = output_asked(config, ".csv")
    cohort = read_cohort(config, console, Purpose.SCORING)
    chosen = model.catalogue.intervention(config.intervention) if config.intervention else None
    answers.write_predictions(
        model, cohort, config.twin, chosen, output, console, as_of_days=config.as_of_days
    )
    console.say(f"predictions: {output}")
    return output


def rank(config: Config, console: Console) -> Path:
    """Write each patient's therapies, best first, with what the order rests on."""
    from omics_twin.report import risk

    model = model_asked(config, console)
    output = output_asked(config, ".csv", ".json")
    cohort = patients_asked(read_cohort(config, console, Purpose.SCORING), config)
    lines = answers.cohort_lines(
        model,
        cohort,
        config.twin,
        console,
        excluded=config.excluded,
        as_of_days=config.as_of_days,
    )
    if output.name.endswith(risk.ENDING):
        risk.write_assessments(model, lines, config.twin, output)
    else:
        answers.write_ranking(model, lines, config.twin, output)
    console.say(f"ranking: {output}")
    return output


def score(config: Config, console: Console) -> Path:
    """Write the ranking of more patients than fit in memory, block by block, to a folder."""
    from omics_twin import scoring

    model, output, asked = model_asked(config, console), folder_asked(config), config.score
    if config.records is not None:
        rows = scoring.rows_of_file(Path(config.records), consenting.names_of(config))
    else:
        cohort = read_cohort(config, console, Purpose.SCORING)
        rows = scoring.rows_of_cohort(model, cohort, config.as_of_days)
    by = scoring.in_this_process
    if asked.engine is Engine.RAY:
        from omics_twin.scoring_ray import by_workers as by
    with by(model, config.twin, asked, excluded=config.excluded) as answering:
        found = scoring.score(
            model,
            rows,
            answering,
            output,
            config.twin,
            size=asked.block,
            excluded=config.excluded,
            permits=consenting.asked_anew(config, modalities_of(model)),
            progress=console.progress("patients scored"),
        )
    if found.unanswered:
        console.warn(
            f"{found.unanswered} of {found.patients} patients are not answered: see their 'reason'"
        )
    kept = f", {found.kept} of them kept from before" if found.kept else ""
    console.say(f"ranking of {found.patients} patients: {output}, {found.parts} parts{kept}")
    return output


def report(config: Config, console: Console) -> Path:
    """Write one patient's page."""
    from omics_twin.report.genes import known_genes
    from omics_twin.report.patient import write_report

    model = model_asked(config, console)
    output = output_asked(config, ".html")
    if not config.patient:
        raise ConfigError("no patient was named: add patient=ID")
    company = read_cohort(config, console, Purpose.SCORING)
    cohort = patients_asked(company, config)
    belief = answers.beliefs(model, cohort, config.twin, console, as_of_days=config.as_of_days)
    graph = known_genes(model.twin.design, config.knowledge, console)
    write_report(model, cohort, belief, output, config.twin, company=company, graph=graph)
    console.say(f"report: {output}")
    return output


def monitor(config: Config, console: Console) -> Path:
    """Say whether the patients of a cohort, or of a chart, are still those a model was trained on.

    Raises
    ------
    AlarmError
        If something has changed; the report is written before.
    """
    from omics_twin import monitoring
    from omics_twin.report.drift_page import record_of, write_drift

    model = introduced(model_of_any_kind(config), config, console)
    output = output_asked(config, ".html", ".json") if config.output else None
    cohort, later = _later(config, model, console)
    with console.stage("later patients beside those trained on"):
        found = monitoring.compared(model, later, config.monitor)
    run = runs.folder_of(config, "monitor", f"{cohort.fingerprint} {model.digest}")
    told = record_of(
        found,
        proposal=monitoring.proposal(found),
        model={"name": model.twin.name, "digest": model.digest},
        cohort={"name": cohort.name, "fingerprint": cohort.fingerprint},
    )
    record, page = write_drift(told, run)
    runs.record(cohort, config, run, "monitor", monitoring.numbers(found), console)
    for each in found.questions:
        alarm = "alarm: " if each.name in found.alarms else ""
        console.say(f"{each.name}: {alarm}{each.sentence}")
    for line in told["proposal"]:
        console.say(line)
    if output:
        write_whole(output, (page if output.suffix == ".html" else record).read_bytes())
    console.say(f"report: {output or page}")
    if found.alarms:
        raise AlarmError(
            f"{len(found.alarms)} of {len(found.questions)} questions raise an alarm "
            f"({', '.join(found.alarms)}): see '{output or page}'"
        )
    return output or page


def _later(
    config: Config, model: LivingModel | tracking.TrainedModel, console: Console
) -> tuple[Cohort | Patients | Beliefs, Later]:
    """Return whom a model is monitored on, and what it says of them."""
    from omics_twin import desk, living_reference, monitoring

    charted = config.chart is not None
    if isinstance(model, LivingModel):
        followed = (
            desk.patients_of(config, model, console)
            if charted
            else read_cohort(config, console, Purpose.SCORING)
        )
        return followed, living_reference.later_of(model, followed, config.twin, console)
    people = (
        desk.patients_of(config, model, console)
        if charted
        else read_cohort(config, console, Purpose.SCORING)
    )
    return people, monitoring.later_of(model, people, config.twin)


def promote(config: Config, console: Console) -> None:
    """Make a registered version the champion, if its card holds and it is not worse."""
    from omics_twin import promoting, registry

    version = registry.version_of(config.model_uri or "", config.tracking)

    def compare(challenger: promoting.Model, champion: promoting.Model) -> promoting.Match:
        if isinstance(challenger, LivingModel) or isinstance(champion, LivingModel):
            return promoting.match_by_fold(challenger, champion)
        asked = with_own_cohort(config, challenger)
        cohort = read_cohort(asked, console, Purpose.SCORING)
        return promoting.match_of(challenger, champion, cohort, asked.twin, console)

    promoting.promote(version, config.tracking, compare, console, force=config.force)


def rollback(config: Config, console: Console) -> None:
    """Make the champion before the present one the champion again."""
    from omics_twin import promoting

    promoting.rollback(config.name, config.tracking, console)


def serve(config: Config, console: Console) -> None:
    """Answer for patients' records over HTTP, and show the page of a chart, until interrupted."""
    from omics_twin import desk

    asked = desk.demonstrated(config, console) if config.demo else config
    if not asked.model_uri:
        raise ConfigError("'serve' needs model_uri=… or demo=true")
    living = tracking.living_model(asked.model_uri, asked.tracking)
    living = living and governed_by(living, asked.trust.unlike)
    if living is not None and asked.chart is None:
        raise ConfigError(
            f"'{asked.model_uri}' learns from visit to visit: it is served as the page of a chart, "
            "add chart=…"
        )
    if asked.chart is not None:
        desk.log_of(asked)
    from omics_twin.serve.server import listen, listen_to, scorer_of

    if living is not None:
        with desk.opened(asked, living, None, console) as page:
            listen_to(page, asked.serve, lambda at: console.say(f"page: {at}/"))
        return
    scorer = scorer_of(asked.model_uri, asked.tracking, asked.trust.unlike)
    permits = consenting.asked_anew(asked, modalities_of(scorer.model))
    if asked.chart is None:
        listen(scorer, asked.serve, console.say, permits=permits)
        return
    there = Path(asked.cohort.root).exists()
    company = read_cohort(asked, console, Purpose.SCORING) if there else None
    with desk.opened(asked, scorer.model, company, console) as page:
        listen(scorer, asked.serve, console.say, page, permits=permits)


def admit(config: Config, console: Console) -> None:
    """Fill a chart from a cohort or a FHIR Bundle: patients with their consent and visits."""
    from omics_twin import desk

    model = introduced(model_of_any_kind(config), config, console) if config.model_uri else None
    if config.intake.format is Format.FHIR:
        patients, visits = desk.from_fhir(config, model, console)
    else:
        cohort = patients_asked(read_cohort(config, console, Purpose.SCORING), config)
        patients, visits = desk.admitted(config, cohort, model, console)
    console.say(f"chart: {patients} patients and {visits} visits were added")


def consent(config: Config, console: Console) -> None:
    """Keep what a patient decided; say what holds, and which models learned from the patient."""
    consenting.decide(config, console)


def account(config: Config, console: Console) -> None:
    """Let somebody sign in to the page of a chart, or close the account."""
    from omics_twin import desk

    desk.set_account(config, console)


def results(config: Config, console: Console) -> Path:
    """Write the page of results, with its pictures, from the newest run of each experiment."""
    from omics_twin.report import results as page

    output = output_asked(replace(config, output=config.output or page.PLACE), ".md")
    runs = tracking.newest_runs(config.tracking, page.KINDS, page.FILES)
    for run in runs:
        console.note(f"{run.experiment}, {run.kind}: {run.finished_on}, run {run.run_id}")
    pictures = page.publish(runs, output)
    console.say(f"results: {output}, with {pictures} pictures")
    return output


def synthesise(config: Config, console: Console) -> Path:
    """Write the synthetic trial's tables and, apart from them, its truth."""
    root = place_asked(config)
    generate(config.intake, root, progress=console.progress("patients written"))
    console.say(f"synthetic trial of {config.intake.patients} patients: {root}")
    return root


def check(config: Config, console: Console) -> CheckReport:
    """Say everything that is wrong with files of a format, and refuse them if it is an error."""
    from omics_twin.intake import check as checks

    output = output_asked(config, ".json") if config.output else None
    report = checks.check(config.intake, config.cohort)
    for line in listed(report.findings, most=50):
        console.say(line)
    if output:
        write_json(output, report.as_record())
        console.say(f"report: {output}")
    if report.errors:
        raise IntakeError(
            f"'{report.subject}' is refused for {len(report.errors):,} reasons, listed above: "
            "correct them and check again"
        )
    console.say(f"'{report.subject}' is as it should be: {counted(report.counted)}")
    return report


def audit(config: Config, console: Console) -> None:
    """Say whether an audit log is as it was written; write its anchor or, as FHIR, its events."""
    from omics_twin.report import audit_event
    from omics_twin.trust import audit as audits
    from omics_twin.trust.audit_key import audit_key

    if not config.log:
        raise ConfigError("no audit log was named: add log=FILE")
    output = output_asked(config, ".json") if config.output else None
    log = Path(config.log)
    anchor = Path(config.anchor) if config.anchor else None
    key = audit_key(Path(config.key) if config.key else None, log=log)
    found = audits.verify(log, key, anchor)
    span = f", {found.first} to {found.last}" if found.count else ""
    console.say(f"'{log}' is as it was written: {found.count:,} events{span}, head {found.head}")
    if found.torn_bytes:
        console.warn(
            f"{found.torn_bytes} bytes after them are of an event that a crash cut off and nobody "
            "acknowledged: the next writer sets them aside"
        )
    if anchor is None:
        console.warn("no anchor was named: a log that was cut at its end would pass for whole")
    if output and output.name.endswith(audit_event.ENDING):
        audit_event.write_events(audits.read_events(log, key, anchor), output)
        console.say(f"events: {output}")
    elif output:
        audits.write_anchor(output, audits.Anchor(found.count, found.head))
        console.say(f"anchor: {output}")


def rotate(config: Config, console: Console) -> None:
    """Seal what is stored of patients with another key; who was interrupted begins again."""
    from omics_twin import desk

    for line in desk.rotated(config):
        console.say(line)


def fetch(config: Config, console: Console) -> Path:
    """Download a cohort's public source files, verified."""
    from omics_twin.intake import fetch as downloads

    root = place_asked(config)
    if not config.cohort.sources:
        raise ConfigError(f"cohort '{config.cohort.name}' names no public source to fetch")
    downloads.fetch(
        config.cohort.sources,
        root,
        console.say,
        accept_unverified=config.accept_unverified,
    )
    return root
