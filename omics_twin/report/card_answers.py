"""What does a run itself say to each item of TRIPOD+AI? Sentences from the model, none by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from omics_twin.living import LivingModel
from omics_twin.report.limits import evidence_of, performance_of, randomised
from omics_twin.report.policy import policy_sentence
from omics_twin.report.words import (
    METRIC_NAMES,
    counted,
    day_in_words,
    listed,
    name_in_words,
    percent,
    visible,
)
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tracking import TrainedModel
from omics_twin.validity import UNLIKE

Answer = tuple[str, ...]
Described = TrainedModel | LivingModel
REPO_LICENCE = "Apache-2.0"


def answers_of(model: TrainedModel) -> dict[str, Answer]:
    """Return item -> what the run says; an item it knows nothing of is not in the answer."""
    return {number: said(model) for number, said in _SAID.items()}


def performance_in(model: Described) -> Mapping[str, Any]:
    """Return the measurements of the run that made a model; empty where none are recorded."""
    return model.provenance.get("performance") or {}


def settings_in(model: Described, *path: str) -> Any:
    """Return a setting of the run, None where it is not recorded."""
    found: Any = model.provenance.get("config") or {}
    for each in path:
        found = found.get(each) if isinstance(found, Mapping) else None
    return found


def cohort_title(model: Described) -> str:
    """Return what a person calls the training cohort."""
    known = model.provenance
    return visible(str(known.get("cohort_title") or known.get("cohort") or "a cohort without name"))


def patients_in_words(model: Described) -> str:
    """Return how many patients were trained on, and how many had the outcome."""
    found = performance_in(model).get("outcomes") or {}
    told = counted(int(model.provenance.get("patients", 0)), "patient")
    return f"{told}, {found['events']} with the outcome" if "events" in found else told


def people_in_words(model: Described) -> str:
    """Return whether the training patients are real people."""
    if model.provenance.get("cohort") == "synthetic":
        return (
            "Every patient is synthetic, made by a generator whose truth is known: no real person."
        )
    return "No training patient is synthetic as far as the cohort's declaration says."


def by_lot(model: Described) -> bool:
    """Whether therapies were given by lot: as judged or declared, else as the title says."""
    judged = (performance_in(model).get("policy") or {}).get("assignment")
    declared = judged or settings_in(model, "cohort", "assignment")
    return randomised(model) if declared is None else str(declared).upper() == "RANDOMISED"


def _title(model: TrainedModel) -> Answer:
    arms = len(model.catalogue.arms)
    under = "" if arms == 1 else f" under each of {arms} therapies, and of the order of therapies,"
    return (
        f"Development, with internal validation, of a prediction of {visible(model.title)}{under} "
        f"in patients like those of: {cohort_title(model)}.",
    )


def _abstract(model: TrainedModel) -> Answer:
    found = performance_of(model)
    design = model.twin.design
    told = [
        f"Cohort: {cohort_title(model)}; {patients_in_words(model)}.",
        f"Outcome: {visible(model.title)}, {_horizon(model)}.",
        f"Predictors: {sum(len(c.features) for c in design.channels)} features of "
        f"{listed([name_in_words(each.name) for each in design.modalities])}.",
        f"Model: {_members(model)}. Validation: {_protocol(model)}.",
    ]
    return (*told, found.verdict) if found else (*told, "Performance was not recorded.")


def _context(model: TrainedModel) -> Answer:
    baselines = list(performance_in(model).get("baselines") or {})
    compared = [visible(name_in_words(each)) for each in baselines]
    return (
        "Prognostic: what is expected under a therapy, not whether a disease is there.",
        f"It stands beside {counted(len(compared), 'baseline')} fitted on the same folds"
        + (f": {listed(compared)}." if compared else "."),
    )


def _use(model: Described) -> Answer:
    meant = settings_in(model, "card", "intended_use")
    told = f"Stated by a person: {visible(str(meant))}" if meant else "No further use is stated."
    return ("Research use only: not a medical device, not for choosing a treatment.", told)


def _sources(model: Described) -> Answer:
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


def _dates(model: Described) -> Answer:
    return (
        "The cohort is declared in days since each patient's index date, so the run holds no "
        "calendar date of a patient.",
        f"Trained on {model.provenance.get('trained_on', 'a day that is not recorded')}.",
    )


def _setting(model: Described) -> Answer:
    site = "site" in (settings_in(model, "cohort", "group_columns") or {})
    return (
        "The cohort records the centre of each patient."
        if site
        else "The cohort does not record the centre of each patient.",
    )


def _eligible(model: TrainedModel) -> Answer:
    return (
        "Trained on every patient of the cohort with permission, a known therapy and a known "
        "outcome; whoever else is in the files was left out and named in the run's log.",
        evidence_of(model)[-1] if model.support.columns else "All patients are one stratum.",
    )


def _treatments(model: TrainedModel) -> Answer:
    given: dict[str, int] = {}
    for counts in model.support.counts.values():
        for arm, number in counts.items():
            given[arm] = given.get(arm, 0) + number
    named = [f"{visible(model.catalogue.label(a))} ({n})" for a, n in sorted(given.items())]
    return (
        f"Received (patients, one to four of a stratum told as 1): {listed(named, most=40)}.",
        "The therapy enters the model as its agents and doses, after a patient's measurements: "
        "every therapy is asked of the same belief.",
    )


def _prepared(model: TrainedModel) -> Answer:
    features = [f for channel in model.twin.design.channels for f in channel.features]
    return (
        "Units, ranges, categories and keys are declared and checked while reading; a value out of "
        "its range or an unknown column refuses the file. The same rules hold for every patient.",
        f"{sum(f.log for f in features)} features as log(1 + x), "
        f"{sum(f.level is not None for f in features)} indicators of a category.",
    )


def _horizon(model: TrainedModel) -> str:
    reading = model.endpoint.reading.name.lower().replace("_", " ")
    return f"{reading}, horizon {model.endpoint.horizon_days:g} days"


def _outcome(model: TrainedModel) -> Answer:
    better = "higher" if model.endpoint.higher_is_better else "lower"
    kind = model.outcome_kind.replace("_", " ")
    return (f"{visible(model.title)} ({kind}); {_horizon(model)}; {better} is better.",)


def _chosen(model: TrainedModel) -> Answer:
    rare = [c for c in model.twin.design.channels if c.minimum_frequency > 0]
    told = [
        f"{name_in_words(c.modality)}: binary features in less than {percent(c.minimum_frequency)} "
        "of the training patients are not used"
        for c in rare
    ]
    return (
        "All columns that the cohort's declaration names; none was selected by its relation to "
        "the outcome before the folds were cut.",
        *(f"{each}." for each in dict.fromkeys(told)),
    )


def channel_in_words(channel: ChannelDesign) -> str:
    """Return what one modality at one visit consists of."""
    columns = list(dict.fromkeys(each.column for each in channel.features))
    units = sorted({each.unit for each in channel.features if each.level is None})
    named = [visible(name_in_words(each)) for each in columns]
    return (
        f"{name_in_words(channel.modality)} at {day_in_words(channel.visit_day)}: "
        f"{counted(len(columns), 'column')} ({listed(named, most=6)})"
        + (f", in {listed(units, most=6)}" if units else "")
    )


def _predictors(model: TrainedModel) -> Answer:
    told = [channel_in_words(each) for each in model.twin.design.channels]
    return (*(f"{each}." for each in told), "The model file lists every feature with its unit.")


def _size(model: TrainedModel) -> Answer:
    columns = sum(len(each.features) for each in model.twin.design.channels)
    found = performance_in(model).get("outcomes") or {}
    ratio = (
        f", {found['events'] / max(columns, 1):.2g} events for each" if "events" in found else ""
    )
    return (
        f"The size is that of the cohort: {patients_in_words(model)}, and {columns} features"
        f"{ratio}. The platform makes no sample size calculation; whether the size is enough is "
        "judged by intervals on held-out patients and by simple baselines on the same folds.",
    )


def _missing(model: TrainedModel) -> Answer:
    known = model.reference.channels if model.reference else {}
    told = [
        f"{name_in_words(each.modality)}: measured in {int(known[each.name].measured[0])} of "
        f"{int(known[each.name].measured[1])}"
        for each in model.twin.design.channels
        if each.name in known
    ]
    return (
        "Nothing is imputed: what was not measured is masked, the belief stays wider for it, and "
        "whole modalities are hidden at random in training. A patient without a known therapy or "
        "outcome is not trained on, and the log says how many.",
        *(f"{each}." for each in told),
    )


def _protocol(model: TrainedModel) -> str:
    found = performance_in(model)
    if "folds" not in found:
        return "not recorded"
    by = str(settings_in(model, "split", "by") or "PATIENT").lower()
    return (
        f"every patient held out in one of {counted(found['folds'], 'fold')} (by {by}), "
        f"{counted(found['repeats'], 'repeat')}"
    )


def _use_of_data(model: TrainedModel) -> Answer:
    return (
        f"Internal cross-validation: {_protocol(model)}. Statistics, early stopping and effects "
        "are fitted on the training folds of each member only."
        + (
            " Intervals are calibrated on a simulated copy of the cohort, not on held-out outcomes."
            if model.calibration.fitted
            else ""
        ),
    )


def _handled(model: TrainedModel) -> Answer:
    return (
        "Numbers are standardised, and rare features left out, by each member's own training "
        "patients; categories are indicators. Functional form: learned.",
    )


def _members(model: TrainedModel) -> str:
    told = f"ensemble of {model.twin.network.members} neural members with latent draws"
    trees = model.twin.proposal.companion
    if trees is None:
        return told
    return (
        f"{told}, beside each trees that take over {float(trees.share.mean()):.0%} of a prognosis"
    )


def _built(model: TrainedModel) -> Answer:
    network, trainer = settings_in(model, "model") or {}, settings_in(model, "trainer") or {}
    shown = [
        f"{k} {v}" for k, v in {**network, **trainer}.items() if not isinstance(v, dict | list)
    ]
    return (
        f"{_members(model)}; {_protocol(model)}.".capitalize(),
        f"Settings, fixed before the run: {visible(', '.join(shown)) or 'not recorded'}.",
    )


def _clusters(model: TrainedModel) -> Answer:
    parts = performance_in(model).get("by_part")
    held = settings_in(model, "split", "by") == "SITE"
    return (
        "Performance is also given within each part of the cohort."
        if parts
        else "The cohort has no parts that are told apart in the evaluation.",
        "Whole sites were held out." if held else "Sites were not held out as a whole.",
    )


def _measures(model: TrainedModel) -> Answer:
    names = list(performance_in(model).get("model") or {})
    return (
        f"Measures: {listed([METRIC_NAMES.get(n, n) for n in names], most=20)}; the first for "
        "discrimination, the others for calibration and overall error.",
        "Intervals: 95 % percentile bootstrap over patients. Baselines and paired differences on "
        "the same folds. The value of following the ranking, where it could be judged, is doubly "
        "robust. Plots are beside this card in the run.",
    )


def _updating(model: TrainedModel) -> Answer:
    if not model.calibration.fitted:
        return ("None: predictions and intervals are as trained.",)
    return (
        "Predictions are as trained. The spread of the draws was calibrated on a simulated copy "
        f"of the cohort so that intervals of {percent(model.calibration.level)} hold there.",
    )


def _calculated(model: TrainedModel) -> Answer:
    return (
        "Mean over the draws of those members that never saw the patient, under the therapy "
        "received; the code of `omics-twin evaluate`, which is that of the bedside.",
    )


def _balance(model: Described) -> Answer:
    return ("No classes were balanced or weighted, so no prediction had to be put right.",)


def _fairness(model: Described) -> Answer:
    measured = performance_in(model).get("subgroups")
    return (
        "No constraint of fairness was put on training: subgroups are measured, not corrected."
        if measured
        else "No constraint of fairness was put on training, and subgroups were not measured.",
    )


def _output(model: TrainedModel) -> Answer:
    sure = settings_in(model, "twin", "confidence")
    said = {
        "binary": "A probability",
        "time_to_event": "A survival curve and its mean up to the horizon",
    }.get(model.outcome_kind, "A value")
    return (
        f"{said} under each therapy with an interval, the probability of being best, and the "
        "number of patients of the stratum it rests on. No class is assigned.",
        f"A therapy is recommended only where it is better than the usual one with a probability "
        f"of at least {sure if sure is not None else 'what the settings ask'}, and where at least "
        f"{model.catalogue.thin_support} patients of the stratum received it; else the twin "
        "abstains.",
    )


def _difference(model: Described) -> Answer:
    return (
        "None by design: held-out patients are of the same cohort. How the model does elsewhere "
        "was not measured in this run.",
    )


def _consent(model: Described) -> Answer:
    return (f"Basis on which the patients were used: {model.provenance.get('permission')}.",)


def _data(model: Described) -> Answer:
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


def _code(model: Described) -> Answer:
    return (
        f"omics_twin, {REPO_LICENCE}, commit {model.provenance.get('commit', 'unknown')}. The "
        "whole configuration is stored with the model.",
    )


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
        *_missing(model)[1:],
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
        f"{patients_in_words(model)}; {_protocol(model)}; settings were not tuned in this run.",
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
        "Evaluated on held-out patients of the same cohort only: other centres, times and assays "
        "were not seen.",
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

_SAID: Mapping[str, Callable[[TrainedModel], Answer]] = {
    **SHARED,
    "1": _title,
    "2": _abstract,
    "3a": _context,
    "6b": _eligible,
    "6c": _treatments,
    "7": _prepared,
    "8a": _outcome,
    "9a": _chosen,
    "9b": _predictors,
    "10": _size,
    "11": _missing,
    "12a": _use_of_data,
    "12b": _handled,
    "12c": _built,
    "12d": _clusters,
    "12e": _measures,
    "12f": _updating,
    "12g": _calculated,
    "15": _output,
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
