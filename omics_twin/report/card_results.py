"""What does a run say of what came out, and of its limits? Items 20 to 27 of TRIPOD+AI."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from omics_twin.lifecycle.validity import UNLIKE
from omics_twin.report.card_facts import (
    REPO_LICENCE,
    Answer,
    by_lot,
    measured_in_words,
    not_seen,
    patients_in_words,
    performance_in,
    protocol_in_words,
)
from omics_twin.report.performance import performance_of
from omics_twin.report.policy import policy_sentence
from omics_twin.report.words import listed, name_in_words, percent, visible
from omics_twin.tracking import TrainedModel


def _flow(model: TrainedModel) -> Answer:
    found = performance_in(model)
    told = f"{patients_in_words(model)} were trained on; {found.get('n', 'no')} were evaluated."
    days = (found.get("outcomes") or {}).get("median_time_days")
    return (told,) if days is None else (told, f"Median time to event or censoring: {days:g} days.")


def _people(model: TrainedModel) -> Answer:
    strata = [
        f"{visible(key)}: {sum(counts.values())}" for key, counts in model.support.counts.items()
    ]
    columns = listed([visible(name_in_words(each)) for each in model.support.columns])
    return (
        f"Patients by stratum ({columns}; one to four of an arm told as 1): "
        f"{listed(strata, most=20)}."
        if model.support.columns
        else "All patients are one stratum.",
        *measured_in_words(model),
        *_medians(model),
    )


def _medians(model: TrainedModel) -> list[str]:
    """Return the middle of the numbers of the first modality with few columns, in their unit."""
    told = []
    for channel in model.twin.design.channels:
        kept = None if model.reference is None else model.reference.channels.get(channel.name)
        if kept is None or len(channel.features) > 30:
            continue
        for place, feature in enumerate(channel.features):
            counts = kept.counts[place]
            if not bool(kept.compared[place]):
                continue
            name = visible(name_in_words(feature.column))
            if feature.binary or feature.level is not None:
                level = "" if feature.level is None else f" {visible(feature.level)}"
                told.append(f"{name}{level} {percent(round(float(counts[1] / counts.sum()), 2))}")
            else:
                middle = int(torch.searchsorted(counts.cumsum(0), counts.sum() / 2))
                value = float(kept.edges[place, min(middle, len(kept.edges[place]) - 1)])
                value = float(torch.expm1(torch.tensor(value))) if feature.log else value
                told.append(f"{name}: middle about {value:.3g} {feature.unit}")
    return [f"{'; '.join(told)}."] if told else []


def _numbers(model: TrainedModel) -> Answer:
    return (
        f"{patients_in_words(model)}; {protocol_in_words(model)}; "
        "settings were not tuned in this run.",
    )


def _whole(model: TrainedModel) -> Answer:
    return (
        "Weights as safetensors, everything else as JSON, under a SHA-256 manifest; no pickle. "
        "`omics-twin predict model_uri=FOLDER cohort=… output=p.csv` predicts for new patients, "
        f"`omics-twin serve` answers over HTTP. Code: {REPO_LICENCE}; the model inherits the "
        "terms of its cohort.",
    )


def _performance(model: TrainedModel) -> Answer:
    found = performance_of(model)
    if found is None:
        return ("Performance was not recorded.",)
    subgroups = performance_in(model).get("subgroups")
    return (
        f"{found.caption}: see “Performance”.",
        "Subgroups: see “Subgroups”."
        if subgroups
        else "Performance in subgroups was not measured.",
    )


def _by_cluster(model: TrainedModel) -> Answer:
    found = performance_in(model).get("by_part") or {}
    if not found:
        return ("Not examined: the cohort has no parts that are told apart.",)
    cells = [
        f"{visible(name)} ({each['n']} patients) {each['model']['mean']:.3f}"
        for name, each in found["parts"].items()
        if each["model"]["mean"] is not None
    ]
    return (f"{found['metric']} within parts: {listed(cells, most=40)}.",)


def _interpretation(model: TrainedModel) -> Answer:
    found = performance_of(model)
    policy = policy_sentence(performance_in(model).get("policy"))
    return (found.verdict if found else "Performance was not recorded.",) + (
        (policy,) if policy and not (found and policy in found.verdict) else ()
    )


def limits_in(model: TrainedModel) -> Answer:
    """Return what may be wrong with a model's answers, whoever the patient is."""
    return (
        "Differences between therapies are causal only as far as assignment was random within the "
        "stratum."
        if by_lot(model)
        else "Therapies were not assigned at random as far as the cohort says: differences may "
        "reflect whom they were chosen for, and unmeasured causes are not adjusted for.",
        not_seen(model),
        "Intervals say how unsure the model is about an expected value, not what may happen to a "
        "patient; what the model itself gets wrong is not in them.",
        "Toxicity, quality of life, other doses, sequences and contraindications are not "
        "considered.",
        "Never tested prospectively.",
    )


def _poor(model: TrainedModel) -> Answer:
    return (
        "Unknown columns, units, categories and values out of range are refused with a sentence. "
        "What is not measured is left out and told. A patient who is more unusual than "
        f"{percent(1.0 - UNLIKE)} of the training patients is told to be unlike them, see “Domain "
        "of validity”.",
    )


def _users(model: TrainedModel) -> Answer:
    return (
        "Users supply measurements in the declared units and form; nothing is chosen or tuned. "
        "They must be able to judge a comparison of therapies with its support and its limits.",
    )


def _next(model: TrainedModel) -> Answer:
    return (
        "Evaluation on another cohort (`omics-twin evaluate`), monitoring of later patients "
        "(`omics-twin monitor`), and a prospective study before any use in care.",
    )


RESULTS: Mapping[str, Callable[[TrainedModel], Answer]] = {
    "20a": _flow,
    "20b": _people,
    "21": _numbers,
    "22": _whole,
    "23a": _performance,
    "23b": _by_cluster,
    "25": _interpretation,
    "26": limits_in,
    "27a": _poor,
    "27b": _users,
    "27c": _next,
}
"""Item -> what is said of it."""
