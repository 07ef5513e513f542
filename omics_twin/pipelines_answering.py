"""Pipelines that ask a trained twin: of a cohort, of one patient, of very many, under plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from omics_twin import consenting, tracking
from omics_twin.answers import beliefs, predictions, rankings
from omics_twin.asked import (
    folder_asked,
    model_asked,
    model_of_any_kind,
    output_asked,
    patients_asked,
    read_cohort,
)
from omics_twin.bedside.belief import write_belief
from omics_twin.bedside.kept import belief_asked, beliefs_folder, visits_in_cohort, visits_told
from omics_twin.bedside.plans import plans_asked
from omics_twin.bedside.record import modalities_of
from omics_twin.config import Config
from omics_twin.errors import CohortError, ConfigError, nearest
from omics_twin.files import alone, write_json
from omics_twin.report.console import Console
from omics_twin.settings import Engine
from omics_twin.training import tasks
from omics_twin.trust.consent import Purpose
from omics_twin.visits.living import LivingModel


def update(config: Config, console: Console) -> Path:
    """Show a patient's twin a visit, keep the belief, and say what changed."""
    model = model_of_any_kind(config)
    # Two who show visits at once would each keep a belief without the other's.
    with alone(beliefs_folder(config), wait=True):
        return _updated(config, model, console)


def _updated(config: Config, model: LivingModel | tracking.TrainedModel, console: Console) -> Path:
    from omics_twin.bedside import ranking, watching

    kept, place, withheld = belief_asked(config, model)
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
            for line in watching.lines(model, change):
                console.say(line)
    else:
        kept, visits = visits_told(config, model, kept, withheld, console)
        for visit in visits:
            kept, moved = ranking.shown(model, kept, visit, config.twin)
            for line in ranking.lines(model, moved):
                console.say(line)
    write_belief(place, kept, model.twin.modalities)
    console.say(f"belief after {len(kept.visits)} visits: {place}")
    return place


def simulate(config: Config, console: Console) -> Path:
    """Write what would happen to a patient under each of some plans, best first."""
    from omics_twin.bedside import ranking, watching
    from omics_twin.report.trajectory import write_plans

    model = model_of_any_kind(config)
    output = output_asked(config, ".html", ".json")
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
    for line in watching.ranking_lines(compared):
        console.say(line)
    if output.suffix == ".json":
        write_json(output, watching.as_record(compared))
    else:
        write_plans(output, model, kept, compared)
    console.say(f"plans compared: {output}")
    return output


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
    metrics = predictions.evaluation(
        model, cohort, outcome, config.twin, console, as_of_days=config.shown_days
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
    predictions.write_predictions(
        model, cohort, config.twin, chosen, output, console, as_of_days=config.shown_days
    )
    console.say(f"predictions: {output}")
    return output


def rank(config: Config, console: Console) -> Path:
    """Write each patient's therapies, best first, with what the order rests on."""
    from omics_twin.report import risk

    model = model_asked(config, console)
    output = output_asked(config, ".csv", ".json")
    cohort = patients_asked(read_cohort(config, console, Purpose.SCORING), config)
    lines = rankings.cohort_lines(
        model,
        cohort,
        config.twin,
        console,
        excluded=config.excluded,
        as_of_days=config.shown_days,
    )
    if output.name.endswith(risk.ENDING):
        risk.write_assessments(model, lines, config.twin, output)
    else:
        rankings.write_ranking(model, lines, config.twin, output)
    console.say(f"ranking: {output}")
    return output


def score(config: Config, console: Console) -> Path:
    """Write the ranking of more patients than fit in memory, block by block, to a folder."""
    from omics_twin.answers import scoring

    model, output, asked = model_asked(config, console), folder_asked(config), config.score
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
    belief = beliefs.beliefs(model, cohort, config.twin, console, as_of_days=config.shown_days)
    graph = known_genes(model.twin.design, config.knowledge, console)
    write_report(model, cohort, belief, output, config.twin, company=company, graph=graph)
    console.say(f"report: {output}")
    return output
