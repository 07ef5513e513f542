"""What does a run say of how it was made? Items 1 to 18 of TRIPOD+AI, none by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from omics_twin.report.card_facts import (
    Answer,
    cohort_title,
    horizon_in_words,
    measured_in_words,
    members_in_words,
    patients_in_words,
    performance_in,
    protocol_in_words,
    settings_in,
)
from omics_twin.report.limits import evidence_of
from omics_twin.report.performance import performance_of
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
        f"Outcome: {visible(model.title)}, {horizon_in_words(model)}.",
        f"Predictors: {sum(len(c.features) for c in design.channels)} features of "
        f"{listed([name_in_words(each.name) for each in design.modalities])}.",
        f"Model: {members_in_words(model)}. Validation: {protocol_in_words(model)}.",
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


def _outcome(model: TrainedModel) -> Answer:
    better = "higher" if model.endpoint.higher_is_better else "lower"
    kind = model.outcome_kind.replace("_", " ")
    return (f"{visible(model.title)} ({kind}); {horizon_in_words(model)}; {better} is better.",)


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
    return (
        "Nothing is imputed: what was not measured is masked, the belief stays wider for it, and "
        "whole modalities are hidden at random in training. A patient without a known therapy or "
        "outcome is not trained on, and the log says how many.",
        *measured_in_words(model),
    )


def _use_of_data(model: TrainedModel) -> Answer:
    return (
        f"Internal cross-validation: {protocol_in_words(model)}. Statistics, early stopping and "
        "effects are fitted on the training folds of each member only."
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


def _built(model: TrainedModel) -> Answer:
    network, trainer = settings_in(model, "model") or {}, settings_in(model, "trainer") or {}
    shown = [
        f"{k} {v}" for k, v in {**network, **trainer}.items() if not isinstance(v, dict | list)
    ]
    return (
        f"{members_in_words(model)}; {protocol_in_words(model)}.".capitalize(),
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


METHODS: Mapping[str, Callable[[TrainedModel], Answer]] = {
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
}
"""Item -> what is said of it."""
