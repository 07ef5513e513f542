"""Pipelines around a twin in use: its version, its chart, who may ask, and the files beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from omics_twin import audited, consenting, past_runs, runs, tracking
from omics_twin.answers.patients import Patients
from omics_twin.asked import (
    called,
    introduced,
    model_of_any_kind,
    output_asked,
    patients_asked,
    place_asked,
    read_cohort,
    with_own_cohort,
)
from omics_twin.bedside.belief import Beliefs
from omics_twin.bedside.record import modalities_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.errors import AlarmError, ConfigError, IntakeError
from omics_twin.files import write_json, write_whole
from omics_twin.intake.findings import CheckReport, counted, listed, refusals
from omics_twin.intake.settings import Format
from omics_twin.intake.synthetic import generate
from omics_twin.lifecycle.questions import Later
from omics_twin.lifecycle.validity import governed_by
from omics_twin.report.console import Console
from omics_twin.tracking import AnyModel
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, digest_of
from omics_twin.visits.living import LivingModel


def monitor(config: Config, console: Console) -> Path:
    """Say whether the patients of a cohort, or of a chart, are still those a model was trained on.

    Raises
    ------
    AlarmError
        If something has changed; the report is written before.
    """
    from omics_twin.lifecycle import monitoring
    from omics_twin.report.drift_page import record_of, write_drift

    model = introduced(model_of_any_kind(config), config, console)
    output = output_asked(config, ".html", ".json") if config.output else None
    witness = audited.witness_of(config, console, model)
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
    witness.saw(Action.EVALUATE, [None], data=digest_of(cohort.fingerprint), answer=digest_of(told))
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
    config: Config, model: AnyModel, console: Console
) -> tuple[Cohort | Patients | Beliefs, Later]:
    """Return whom a model is monitored on, and what it says of them."""
    from omics_twin import desk
    from omics_twin.lifecycle import monitoring
    from omics_twin.visits import reference

    charted = config.chart is not None
    if isinstance(model, LivingModel):
        followed = (
            desk.patients_of(config, model, console)
            if charted
            else read_cohort(config, console, Purpose.SCORING)
        )
        who = followed.kept if isinstance(followed, Beliefs) else followed.patient_ids
        # Nobody is replayed in vain.
        monitoring.check_enough(len(who), config.monitor)
        return followed, reference.later_of(model, followed, config.twin, console)
    people = (
        desk.patients_of(config, model, console)
        if charted
        else read_cohort(config, console, Purpose.SCORING)
    )
    monitoring.check_enough(len(people.patient_ids), config.monitor)
    return people, monitoring.later_of(model, people, config.twin)


def promote(config: Config, console: Console) -> None:
    """Make a registered version the champion, if its card holds and it is not worse."""
    from omics_twin.lifecycle import promoting, versions

    version = versions.version_of(config.model_uri or "", config.tracking)

    def compare(challenger: AnyModel, champion: AnyModel) -> promoting.Match:
        if isinstance(challenger, LivingModel) or isinstance(champion, LivingModel):
            return promoting.match_by_fold(challenger, champion)
        asked = with_own_cohort(config, challenger)
        cohort = read_cohort(asked, console, Purpose.SCORING)
        return promoting.match_of(challenger, champion, cohort, asked.twin, console)

    promoting.promote(version, config.tracking, compare, console, force=config.force)


def rollback(config: Config, console: Console) -> None:
    """Make the champion before the present one the champion again."""
    from omics_twin.lifecycle import promoting

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
    log = audited.log_of(asked, console)
    if log is None and asked.chart is not None:
        raise ConfigError(
            "the page of a chart needs a log of who asked what: add log=FILE and key=FILE"
        )
    from omics_twin.serve.server import listen, listen_to, scorer_of

    if living is not None and log is not None:
        with desk.opened(asked, living, None, log, console) as page:
            listen_to(page, asked.serve, lambda at: console.say(f"page: {at}/"))
        return
    scorer = scorer_of(asked.model_uri, asked.tracking, asked.trust.unlike)
    permits = consenting.asked_anew(asked, modalities_of(scorer.model))
    noted = None if log is None else audited.scored(log, scorer.model, consenting.names_of(asked))
    if asked.chart is None or log is None:
        listen(scorer, asked.serve, console.say, permits=permits, noted=noted)
        return
    there = Path(asked.cohort.root).exists()
    company = read_cohort(asked, console, Purpose.SCORING) if there else None
    with desk.opened(asked, scorer.model, company, log, console) as page:
        listen(scorer, asked.serve, console.say, page, permits=permits, noted=noted)


def admit(config: Config, console: Console) -> None:
    """Fill a chart from a cohort or a FHIR Bundle: patients with their consent and visits."""
    from omics_twin import desk

    model = introduced(model_of_any_kind(config), config, console) if config.model_uri else None
    witness = audited.witness_of(config, console, model)
    if config.intake.format is Format.FHIR:
        patients, visits = desk.from_fhir(config, model, witness, console)
    else:
        cohort = patients_asked(read_cohort(config, console, Purpose.SCORING), config)
        patients, visits = desk.admitted(config, cohort, model, witness, console)
    console.say(f"chart: {patients} patients and {visits} visits were added")


def consent(config: Config, console: Console) -> None:
    """Keep what a patient decided; say what holds, and which models learned from the patient."""
    if config.decision is not None:
        patient = called(config, config.patient or "")
        audited.witness_of(config, console).saw(Action.ADD_CONSENT, [patient], purpose=None)
    consenting.decide(config, console)


def account(config: Config, console: Console) -> None:
    """Let somebody sign in to the page of a chart, or close the account."""
    from omics_twin import desk

    desk.set_account(config, console)


def results(config: Config, console: Console) -> Path:
    """Write the page of results, with its pictures, from the newest run of each experiment."""
    from omics_twin.report import results as page

    output = output_asked(replace(config, output=config.output or page.PLACE), ".md")
    runs = past_runs.newest_runs(config.tracking, page.KINDS, page.FILES)
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
            f"'{report.subject}' is refused for {refusals(report)}, listed above: "
            "mend the files and check again"
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
