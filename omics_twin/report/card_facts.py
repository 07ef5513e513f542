"""What a run records of itself, in words that several parts of its card use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omics_twin.report.limits import randomised
from omics_twin.report.words import counted, name_in_words, visible
from omics_twin.tracking import AnyModel, TrainedModel

Answer = tuple[str, ...]

REPO_LICENCE = "Apache-2.0"


def performance_in(model: AnyModel) -> Mapping[str, Any]:
    """Return the measurements of the run that made a model; empty where none are recorded."""
    return model.provenance.get("performance") or {}


def settings_in(model: AnyModel, *path: str) -> Any:
    """Return a setting of the run, None where it is not recorded."""
    found: Any = model.provenance.get("config") or {}
    for each in path:
        found = found.get(each) if isinstance(found, Mapping) else None
    return found


def cohort_title(model: AnyModel) -> str:
    """Return what a person calls the training cohort."""
    known = model.provenance
    return visible(str(known.get("cohort_title") or known.get("cohort") or "a cohort without name"))


def patients_in_words(model: AnyModel) -> str:
    """Return how many patients were trained on, and how many had the outcome."""
    found = performance_in(model).get("outcomes") or {}
    told = counted(int(model.provenance.get("patients", 0)), "patient")
    return f"{told}, {found['events']} with the outcome" if "events" in found else told


def people_in_words(model: AnyModel) -> str:
    """Return whether the training patients are real people."""
    if model.provenance.get("cohort") == "synthetic":
        return (
            "Every patient is synthetic, made by a generator whose truth is known: no real person."
        )
    return "No training patient is synthetic as far as the cohort's declaration says."


def by_lot(model: AnyModel) -> bool:
    """Whether therapies were given by lot: as judged or declared, else as the title says."""
    judged = (performance_in(model).get("policy") or {}).get("assignment")
    declared = judged or settings_in(model, "cohort", "assignment")
    return randomised(model) if declared is None else str(declared).upper() == "RANDOMISED"


def horizon_in_words(model: TrainedModel) -> str:
    """Return how the endpoint is read from a trajectory, and when."""
    reading = model.endpoint.reading.name.lower().replace("_", " ")
    return f"{reading}, horizon {model.endpoint.horizon_days:g} days"


def protocol_in_words(model: TrainedModel) -> str:
    """Return who was held out, and how often."""
    found = performance_in(model)
    if "folds" not in found:
        return "not recorded"
    by = str(settings_in(model, "split", "by") or "PATIENT").lower()
    return (
        f"every patient held out in one of {counted(found['folds'], 'fold')} (by {by}), "
        f"{counted(found['repeats'], 'repeat')}"
    )


def members_in_words(model: TrainedModel) -> str:
    """Return what the twin is an ensemble of."""
    told = f"ensemble of {model.twin.network.members} neural members with latent draws"
    trees = model.twin.proposal.companion
    if trees is None:
        return told
    return (
        f"{told}, beside each trees that take over {float(trees.share.mean()):.0%} of a prognosis"
    )


def measured_in_words(model: TrainedModel) -> list[str]:
    """Return in how many training patients each modality was measured at each visit."""
    known = model.reference.channels if model.reference else {}
    return [
        f"{name_in_words(each.modality)}: measured in {int(known[each.name].measured[0])} of "
        f"{int(known[each.name].measured[1])}."
        for each in model.twin.design.channels
        if each.name in known
    ]


def attack_in_words(found: Mapping[str, Any] | None) -> str:
    """Return how far an attack on membership got."""
    if not found or "advantage" not in found:
        return "Whether it can be inferred who was trained on was not measured."
    low, high = found["advantage_lower"], found["advantage_upper"]
    return (
        "Who holds a patient's whole record and outcome, and asks as about somebody new, tells "
        f"training patients from others with an advantage of {found['advantage']:.2f} (95 % "
        f"interval {low:.2f} to {high:.2f}; by noise alone up to {found['floor']['upper']:.2f}): "
        "true less false positive rate, 0 where nothing can be told."
    )


def not_seen(model: AnyModel) -> str:
    """Return for whom a model was not evaluated, by what was held out together."""
    held = str(settings_in(model, "split", "by") or "PATIENT")
    unseen = {
        "SITE": "Evaluated on whole centres held out of the same cohort: cohorts, times and assays "
        "other than its own",
        "TIME": "Evaluated on later patients of the same cohort: other centres and assays",
    }
    told = unseen.get(
        held,
        "Evaluated on held-out patients of the same cohort only: other centres, times and assays",
    )
    return f"{told} were not seen."
