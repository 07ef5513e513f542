"""Pipelines that ask a trained twin: of a cohort, of one patient, of very many, under plans."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from omics_twin import audited, consenting, tracking
from omics_twin.answers import beliefs, predictions, rankings
from omics_twin.asked import (
    folder_asked,
    model_asked,
    model_of_any_kind,
    output_asked,
    patients_asked,
    read_cohort,
)
from omics_twin.bedside.belief import KeptBelief, visit_to_json, write_belief
from omics_twin.bedside.kept import belief_asked, beliefs_folder, visits_in_cohort, visits_told
from omics_twin.bedside.plans import plans_asked
from omics_twin.bedside.record import modalities_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.errors import CohortError, ConfigError, nearest
from omics_twin.files import alone, write_json
from omics_twin.report.console import Console
from omics_twin.settings import Engine
from omics_twin.training import tasks
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, digest_of
from omics_twin.visits.living import LivingModel


def update(config: Config, console: Console) -> Path:
    """Show a patient's twin a visit, keep the belief, and say what changed."""
    model = model_of_any_kind(config)
    # Two who show visits at once would each keep a belief without the other's.
    with alone(beliefs_folder(config), wait=True):
        return _updated(config, model, console)


def _updated(config: Config, model: LivingModel | tracking.TrainedModel, console: Console) -> Path:
    from omics_twin.bedside import ranking, watching

    witness = audited.witness_of(config, console, model)
    kept, place, withheld = belief_asked(config, model)
    told: list[str] = []
    if isinstance(model, LivingModel):
        visits = (
            watching.visits_of_file(Path(config.observation), model, kept.patient_id)
            if config.observation
            else visits_in_cohort(config, model, kept, console)
        )
        for visit in visits:
            kept, change = watching.shown(
                model, kept, visit, config.twin.interval, config.twin.least_benefit
            )
            told += watching.lines(model, change)
    else:
        kept, visits = visits_told(config, model, kept, withheld, console)
        for visit in visits:
            kept, moved = ranking.shown(model, kept, visit, config.twin)
            told += ranking.lines(model, moved)
    witness.saw(
        Action.ADD_VISIT, [kept.patient_id], data=_digest_of(model, kept), answer=digest_of(told)
    )
    for line in told:
        console.say(line)
    write_belief(place, kept, model.twin.modalities)
    console.say(f"belief after {len(kept.visits)} visits: {place}")
    return place


def _digest_of(model: LivingModel | tracking.TrainedModel, kept: KeptBelief) -> str:
    return digest_of([visit_to_json(each, model.twin.modalities) for each in kept.visits])


def simulate(config: Config, console: Console) -> Path:
    """Write what would happen to a patient under each of some plans, best first."""
    from omics_twin.bedside import ranking, watching
    from omics_twin.report.trajectory import write_plans

    model = model_of_any_kind(config)
    output = output_asked(config, ".html", ".json")
    witness = audited.witness_of(config, console, model)
    kept, _, withheld = belief_asked(config, model)
    if isinstance(model, LivingModel):
        if not kept.visits and model.provenance["patients"]:
            for visit in visits_in_cohort(config, model, kept, console):
                kept = kept.seen(visit)
        plans = plans_asked(config.intervention, model, kept)
        compared = watching.compared(model, kept, plans, config.twin.interval)
    else:
        if not kept.visits:
            kept, visits = visits_told(config, model, kept, withheld, console)
            kept = replace(kept, visits=tuple(visits))
        compared = ranking.compared(model, kept, config.intervention, config.twin)
    data = _digest_of(model, kept)
    with witness.released(output, Action.SIMULATE, [kept.patient_id], data=data) as draft:
        if output.suffix == ".json":
            write_json(draft, watching.as_record(compared))
        else:
            write_plans(draft, model, kept, compared)
    for line in watching.ranking_lines(compared):
        console.say(line)
    console.say(f"plans compared: {output}")
    return output


def evaluate(config: Config, console: Console) -> dict[str, Any]:
    """Return the training run's metrics for another cohort."""
    output = output_asked(config, ".json") if config.output else None
    model = model_asked(config, console)
    witness = audited.witness_of(config, console, model)
    cohort = read_cohort(config, console, Purpose.SCORING)
    if model.outcome not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{model.outcome}', which the model predicts"
            f"{nearest(model.outcome, cohort.outcomes)}"
        )
    outcome = tasks.outcome_of(cohort, model.outcome, model.endpoint)
    metrics = predictions.evaluation(
        model, cohort, outcome, config.twin, console, as_of_days=config.shown_days
    )
    data = digest_of(cohort.fingerprint)
    witness.saw(Action.EVALUATE, [None], data=data, answer=digest_of(metrics))
    if output:
        write_json(output, metrics)
        console.say(f"metrics: {output}")
    console.metrics(metrics)
    return metrics


def predict(config: Config, console: Console) -> Path:
    """Write each patient's expected endpoint under the therapy received, or another one."""
    model = model_asked(config, console)
    output = output_asked(config, ".csv")
    witness = audited.witness_of(config, console, model)
    cohort = read_cohort(config, console, Purpose.SCORING)
    chosen = model.catalogue.intervention(config.intervention) if config.intervention else None
    with _released(witness, output, Action.SCORE, cohort) as draft:
        predictions.write_predictions(
            model, cohort, config.twin, chosen, draft, console, as_of_days=config.shown_days
        )
    console.say(f"predictions: {output}")
    return output


def rank(config: Config, console: Console) -> Path:
    """Write each patient's therapies, best first, with what the order rests on."""
    from omics_twin.report import risk

    model = model_asked(config, console)
    output = output_asked(config, ".csv", ".json")
    witness = audited.witness_of(config, console, model)
    cohort = patients_asked(read_cohort(config, console, Purpose.SCORING), config)
    lines = rankings.cohort_lines(
        model,
        cohort,
        config.twin,
        console,
        excluded=config.excluded,
        as_of_days=config.shown_days,
    )
    with _released(witness, output, Action.RANK, cohort) as draft:
        if output.name.endswith(risk.ENDING):
            risk.write_assessments(model, lines, config.twin, draft)
        else:
            rankings.write_ranking(model, lines, config.twin, draft)
    console.say(f"ranking: {output}")
    return output


def score(config: Config, console: Console) -> Path:
    """Write the ranking of more patients than fit in memory, block by block, to a folder."""
    from omics_twin.answers import scoring

    model, output, asked = model_asked(config, console), folder_asked(config), config.score
    witness = audited.witness_of(config, console, model)
    if config.records is not None:
        rows = scoring.rows_of_file(Path(config.records), consenting.names_of(config))
    else:
        cohort = read_cohort(config, console, Purpose.SCORING)
        rows = scoring.rows_of_cohort(model, cohort, config.shown_days)
    by = scoring.in_this_process
    if asked.engine is Engine.RAY:
        from omics_twin.answers.scoring_ray import by_workers as by
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
            noted=partial(witness.saw, Action.SCORE),
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
    witness = audited.witness_of(config, console, model)
    company = read_cohort(config, console, Purpose.SCORING)
    cohort = patients_asked(company, config)
    belief = beliefs.beliefs(model, cohort, config.twin, console, as_of_days=config.shown_days)
    graph = known_genes(model.twin.design, config.knowledge, console)
    with _released(witness, output, Action.EXPORT, cohort) as draft:
        write_report(model, cohort, belief, draft, config.twin, company=company, graph=graph)
    console.say(f"report: {output}")
    return output


def _released(
    witness: audited.Witness, output: Path, action: Action, cohort: Cohort
) -> AbstractContextManager[Path]:
    data = digest_of(cohort.fingerprint)
    return witness.released(output, action, cohort.patient_ids, data=data)
