"""What does a run itself say to each item of TRIPOD+AI? Sentences from the model, none by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omics_twin.report.card_facts import (
    REPO_LICENCE,
    Answer,
    by_lot,
    performance_in,
    settings_in,
)
from omics_twin.report.card_methods import METHODS
from omics_twin.report.card_results import RESULTS
from omics_twin.report.limits import evidence_of
from omics_twin.report.words import visible
from omics_twin.tracking import AnyModel, TrainedModel


def answers_of(model: TrainedModel) -> dict[str, Answer]:
    """Return item -> what the run says; an item it knows nothing of is not in the answer."""
    every = {**SHARED, **METHODS, **RESULTS}
    return {number: said(model) for number, said in every.items()}


def _use(model: AnyModel) -> Answer:
    meant = settings_in(model, "card", "intended_use")
    told = f"Stated by a person: {visible(str(meant))}" if meant else "No further use is stated."
    return ("Research use only: not a medical device, not for choosing a treatment.", told)


def _sources(model: AnyModel) -> Answer:
    sources = settings_in(model, "cohort", "sources") or []
    cited = list(dict.fromkeys(each["citation"] for each in sources if each.get("citation")))
    return (
        evidence_of(model)[0],
        "Therapies were assigned at random within the strata, as the cohort is declared."
        if by_lot(model)
        else "The cohort is not declared as one in which therapies were assigned at random.",
        f"Fingerprint of its files: {model.provenance.get('fingerprint', 'not recorded')}.",
        *(f"To cite: {visible(each)}." for each in cited),
        "The same cohort serves development and internal validation.",
    )


def _dates(model: AnyModel) -> Answer:
    return (
        "The cohort is declared in days since each patient's index date, so the run holds no "
        "calendar date of a patient.",
        f"Trained on {model.provenance.get('trained_on', 'a day that is not recorded')}.",
    )


def _setting(model: AnyModel) -> Answer:
    site = "site" in (settings_in(model, "cohort", "group_columns") or {})
    return (
        "The cohort records the centre of each patient."
        if site
        else "The cohort does not record the centre of each patient.",
    )


def _balance(model: AnyModel) -> Answer:
    return ("No classes were balanced or weighted, so no prediction had to be put right.",)


def _fairness(model: AnyModel) -> Answer:
    measured = performance_in(model).get("subgroups")
    return (
        "No constraint of fairness was put on training: subgroups are measured, not corrected."
        if measured
        else "No constraint of fairness was put on training, and subgroups were not measured.",
    )


def _difference(model: AnyModel) -> Answer:
    return (
        "None by design: held-out patients are of the same cohort. How the model does elsewhere "
        "was not measured in this run.",
    )


def _consent(model: AnyModel) -> Answer:
    return (f"Basis on which the patients were used: {model.provenance.get('permission')}.",)


def _data(model: AnyModel) -> Answer:
    sources = settings_in(model, "cohort", "sources") or []
    told = [f"{each['url']} ({each.get('terms') or 'terms not recorded'})" for each in sources]
    shown = [visible(each) for each in dict.fromkeys(told)]
    return (
        (f"Public sources: {'; '.join(shown)}.",)
        if shown
        else (
            "The cohort's declaration names no public source; no data are shared with the model.",
        )
    )


def _code(model: AnyModel) -> Answer:
    return (
        f"omics_twin, {REPO_LICENCE}, commit {model.provenance.get('commit', 'unknown')}. The "
        "whole configuration is stored with the model.",
    )


SHARED: Mapping[str, Callable[[Any], Answer]] = {
    "3b": _use,
    "4": lambda model: (
        "Development of a model and its internal validation; no external evaluation.",
    ),
    "5a": _sources,
    "5b": _dates,
    "6a": _setting,
    "13": _balance,
    "14": _fairness,
    "16": _difference,
    "17": _consent,
    "18e": _data,
    "18f": _code,
    "20c": lambda model: (
        "Not applicable: evaluated on held-out patients of the cohort trained on.",
    ),
    "24": lambda model: ("None: the model was not updated after its evaluation.",),
}
"""What is said alike of every twin."""
