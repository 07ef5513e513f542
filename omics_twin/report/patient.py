"""One patient's page: therapies ranked, with what the answer rests on and what it leaves open."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from omics_twin.answers.beliefs import Belief
from omics_twin.answers.patients import Patients, patients_in
from omics_twin.answers.rankings import ranking_in
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError
from omics_twin.files import write_whole
from omics_twin.lifecycle.validity import REFUSED, governed, shares_of
from omics_twin.report.causes import causes_in
from omics_twin.report.comparison import ClosedTherapy, Comparison, compare, plot_of, table_of
from omics_twin.report.genes import genes_of
from omics_twin.report.limits import evidence_of, limits_of, unlike
from omics_twin.report.measured import measured_in
from omics_twin.report.performance import performance_of
from omics_twin.report.similar import Pool, pool_of, similar_patients
from omics_twin.report.subgroups import group_limits
from omics_twin.report.summary import Patient, summary_of
from omics_twin.report.why import Alike, alike_in_words, moved_of, why_of
from omics_twin.report.words import Scale, percent, stratum_in_words, visible
from omics_twin.settings import TwinSettings
from omics_twin.tensors.graph import GeneGraph
from omics_twin.tracking import TrainedModel
from omics_twin.types import NO_INTERVENTION, Ranking, TwinState


def write_report(
    model: TrainedModel,
    cohort: Cohort,
    beliefs: Iterator[Belief],
    output: Path,
    settings: TwinSettings | None = None,
    *,
    company: Cohort | None = None,
    graph: GeneGraph | None = None,
    written_on: date | None = None,
) -> None:
    """Write one patient's page, whole or not at all.

    Parameters
    ----------
    cohort
        Of one patient.
    beliefs
        The belief about that patient; the first is taken.
    settings
        Those the belief was made with.
    company
        The cohort that the patient is compared with; the page says nothing of similar patients
        without it.
    graph
        Of the genes that the model's modalities name; the page says nothing of genes without it.
    written_on
        Today unless another day is given.

    Raises
    ------
    CohortError
        If the cohort holds more than one patient, or the belief is about another one.
    """
    if len(cohort.patient_ids) != 1:
        raise CohortError(
            f"a page is about one patient, the cohort holds {len(cohort.patient_ids)}: "
            "add patient=ID"
        )
    belief = next(iter(beliefs), None)
    if belief is None or belief.state.patient_ids != cohort.patient_ids:
        raise CohortError(
            "the belief is not about the patient of the cohort: make it from this cohort"
        )
    asked = settings or TwinSettings()
    patients = patients_in(model, cohort)
    pool = None if company is None else pool_of(model, company, asked)
    page = page_of(model, patients, belief, asked, written_on or date.today(), pool, graph)
    write_whole(output, render(page).encode())


def page_of(
    model: TrainedModel,
    patients: Patients,
    belief: Belief,
    settings: TwinSettings,
    written_on: date,
    pool: Pool | None = None,
    graph: GeneGraph | None = None,
) -> dict[str, Any]:
    """Return everything the page says of the only patient."""
    found = ranking_in(model, belief.state, patients.keys, settings)
    ranking = governed(model, found, shares_of(model, patients.matrices.values))
    refused = ranking.reasons[0][0] == REFUSED
    patient = _patient(model, patients, belief)
    comparison = _in_words(compare(model, belief, ranking), patients, patient)
    scale = scale_of(model, belief.state)
    likeness = unlike(model, patients)
    measured, notes = measured_in(model, patients, belief.shown[0])
    return {
        "patient": patient,
        "single": len(model.catalogue.arms) == 1,
        "title": visible(model.title),
        "outcome_kind": model.outcome_kind,
        "higher_is_better": model.endpoint.higher_is_better,
        "interval": percent(settings.interval),
        "scale": scale,
        "measured": measured,
        "notes": notes,
        "summary": summary_of(
            model, patient, comparison, scale, measured, settings.interval, likeness
        ),
        "comparison": comparison,
        "plot": plot_of(comparison, scale),
        "table": table_of(comparison, scale),
        "causes": None if refused else causes_in(model, belief, comparison, settings),
        "why": why_of(model, patients, belief, comparison, scale, settings),
        "genes": genes_of(model, patients, belief, comparison, scale, settings, graph),
        "moved": None
        if refused
        else moved_of(model, patients, belief, comparison, scale, settings),
        "alike": None if refused else _alike(model, patients, pool, scale, settings),
        "thin_support": model.catalogue.thin_support,
        "evidence": evidence_of(model),
        "performance": performance_of(model),
        "limits": [
            *group_limits(model, patients),
            *limits_of(model, patient, comparison, measured, settings.interval, likeness),
        ],
        "provenance": _provenance(model, patients, belief, ranking, written_on),
    }


def _patient(model: TrainedModel, patients: Patients, belief: Belief) -> Patient:
    unseen = model.twin.membership.unseen(patients.patient_ids)[0]
    days = float(belief.state.days[0])
    received = patients.received[0]
    return Patient(
        name=visible(patients.patient_ids[0]),
        stratum=stratum_in_words(model.support.columns, patients.strata[0]),
        similar=model.support.told_of(patients.keys[0]),
        members=len(unseen),
        unseen=int(unseen.sum()),
        as_of_days=days,
        received=visible(model.catalogue.label(received)) if received and days > 0 else "",
    )


def _alike(
    model: TrainedModel,
    patients: Patients,
    pool: Pool | None,
    scale: Scale,
    settings: TwinSettings,
) -> Alike | None:
    if pool is None:
        return None
    found = similar_patients(model, pool, patients, settings)
    return None if found is None else alike_in_words(model, found, scale, pool.source)


def _in_words(comparison: Comparison, patients: Patients, patient: Patient) -> Comparison:
    """Return the comparison with the stratum in its reasons as a clinician would say it."""
    key = patients.keys[0]
    closed = tuple(
        ClosedTherapy(
            each.label,
            # The heading above it says that it is not open.
            visible(each.reason.replace(key, patient.stratum or key).removeprefix("not open: ")),
        )
        for each in comparison.closed
    )
    return replace(comparison, closed=closed)


def scale_of(model: TrainedModel, state: TwinState) -> Scale:
    """Return how a model's endpoint is written."""
    simulated = model.twin.simulate(state, NO_INTERVENTION, model.endpoint.days())
    units = dict(zip(simulated.names, simulated.units, strict=True))
    return Scale.of(model.endpoint, model.outcome_kind, units[model.endpoint.quantity])


def _provenance(
    model: TrainedModel, patients: Patients, belief: Belief, ranking: Ranking, written_on: date
) -> list[tuple[str, str]]:
    known, state = model.provenance, belief.state
    weighted = int((~torch.isinf(state.log_weights[0])).sum())
    lines = [
        ("Model", model.twin.name),
        ("Model trained on", known.get("trained_on", "not recorded")),
        ("Code of the model (commit)", known.get("commit", "not recorded")),
        ("Training data (fingerprint)", known.get("fingerprint", "not recorded")),
        ("Training cohort", known.get("cohort", "not recorded")),
        ("Permission for training", known.get("permission", "not recorded")),
        ("This patient's data (cohort, fingerprint)", f"{patients.source}, {patients.fingerprint}"),
        ("Permission for this page", patients.basis),
        ("Endpoint", f"{model.endpoint.name}, horizon {model.endpoint.horizon_days:g} days"),
        ("Belief", f"seed {state.seed}, {state.draws.shape[1]} draws, {weighted} with weight"),
        ("Interval", f"central {percent(ranking.interval)} of the draws"),
        ("Software", f"omics_twin {_version()}"),
        ("Page written on", written_on.isoformat()),
    ]
    return [(name, visible(str(value))) for name, value in lines]


def _version() -> str:
    try:
        return metadata.version("omics-twin")
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def render(page: dict[str, Any]) -> str:
    """Return the page as HTML that loads nothing and runs nothing."""
    style = template_text("patient.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment(template_text).get_template("patient.html.j2")
    return template.render(page, style=Markup(style), style_digest=digest) + "\n"


def environment(text_of: Callable[[str], str | None]) -> Environment:
    """Return what renders a page: everything is escaped, and nothing may be missing."""
    return Environment(
        loader=FunctionLoader(text_of),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template_text(name: str) -> str:
    """Return a file that a page is made from."""
    return (resources.files("omics_twin.report") / name).read_text(encoding="utf-8")
