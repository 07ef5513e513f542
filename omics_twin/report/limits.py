"""What the answer rests on and what the twin does not know, for one patient, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omics_twin.evaluate.score import HIGHER_IS_BETTER
from omics_twin.living import LivingModel
from omics_twin.patients import Patients
from omics_twin.report.comparison import Comparison
from omics_twin.report.console import better_baseline
from omics_twin.report.measured import Measured
from omics_twin.report.policy import policy_sentence
from omics_twin.report.words import (
    METRIC_NAMES,
    Scale,
    counted,
    listed,
    mean_and_spread,
    name_in_words,
    percent,
    probability,
    visible,
)
from omics_twin.tracking import TrainedModel
from omics_twin.types import Visit
from omics_twin.validity import REFUSED, UNLIKE

_MODEL = "this twin"


@dataclass(frozen=True)
class Patient:
    """Who the answer is about.

    Attributes
    ----------
    stratum
        In words; empty where the model has no strata.
    similar
        Training patients of the same stratum, in words: where an arm has few of them, at most.
    members, unseen
        Members of the ensemble, and those that never saw this patient.
    as_of_days, received
        Day of the last visit shown [day], and the arm received where a visit came after it.
    """

    name: str
    stratum: str
    similar: str
    members: int
    unseen: int
    as_of_days: float
    received: str


@dataclass(frozen=True)
class Summary:
    """The answer in short.

    Attributes
    ----------
    state
        ``abstains`` or ``ranks``.
    headline, sentences
        What to read if nothing else is read.
    """

    state: str
    headline: str
    sentences: tuple[str, ...]


def summary_of(
    model: TrainedModel,
    patient: Patient,
    comparison: Comparison,
    scale: Scale,
    measured: Sequence[Measured],
    interval: float,
    likeness: str = "",
) -> Summary:
    """Return the answer in short, abstaining where it must.

    Parameters
    ----------
    likeness
        Why the patient is unlike the training patients, see :func:`unlike`; empty where not.
    """
    opened = comparison.opened
    absent = _absent(measured)
    if not opened:
        reasons = list(dict.fromkeys(each.reason for each in comparison.closed))
        if likeness and reasons == [REFUSED]:
            return Summary(
                "abstains",
                "No answer: the patient is unlike the training patients.",
                (f"{likeness}.", "Such patients are refused an answer by policy.", *absent),
            )
        told = "Reason: " if len(reasons) == 1 else "Reasons: "
        return Summary(
            "abstains",
            "No ranking: the twin does not know of a therapy open to this patient.",
            (told + "; ".join(reasons) + ".", *absent),
        )
    sentences = [
        _leading(model, comparison, scale, interval),
        _others(comparison),
        *_likelier(comparison),
        *_own_support(model, comparison),
        *absent,
        *_optimistic(patient),
    ]
    if len(comparison.thin) == len(opened):
        sentences.insert(0, "Do not rely on this order: every open therapy has thin support.")
    if comparison.abstention:
        headline = f"No therapy is recommended: {comparison.abstention}."
        if likeness:
            sentences.insert(0, f"{likeness}.")
        # That only one therapy is known says that there is nothing to tell apart.
        apart = [_told_apart(comparison)] if len(model.catalogue.arms) > 1 else []
        return Summary("abstains", headline, (*apart, *sentences))
    if likeness:
        headline = "Do not rely on this ranking: the patient is unlike the training patients."
        why = (f"{likeness}.", _told_apart(comparison), *sentences)
        return Summary("unreliable", headline, why)
    return Summary("ranks", _told_apart(comparison), tuple(sentences))


def _leading(model: TrainedModel, comparison: Comparison, scale: Scale, interval: float) -> str:
    opened = comparison.opened
    first = opened[0]
    rank = "highest" if model.endpoint.higher_is_better else "lowest"
    asked = "chance of " if model.outcome_kind == "binary" else ""
    found, ends = scale.value(first.expected), scale.interval(first.lower, first.upper)
    if scale.months:
        found = f"{scale.in_months(first.expected)} of {scale.in_months(1.0)} months ({found})"
        ends = f"{scale.in_months(first.lower)} to {scale.in_months(first.upper)} months"
    if len(opened) == 1:
        return (
            f"Expected {asked}{visible(model.title)} under {first.label}: {found}, "
            f"{percent(interval)} interval {ends}."
        )
    return (
        f"{first.label} has the {rank} expected {asked}{visible(model.title)}: {found}, "
        f"{percent(interval)} interval {ends}; probability of being best "
        f"{probability(first.probability_best)}."
    )


def _told_apart(comparison: Comparison) -> str:
    if len(comparison.opened) == 1:
        return "Only one therapy is open: there is nothing to compare."
    tied = len(comparison.tied)
    if tied == 1:
        return "One therapy stands apart from the others."
    if tied == len(comparison.opened):
        return f"The twin cannot clearly tell the {tied} open therapies apart."
    return f"The twin cannot clearly tell the first {tied} therapies apart."


def _others(comparison: Comparison) -> str:
    tied, separate = len(comparison.tied) - 1, len(comparison.separate)
    if not tied and not separate:
        return ""
    parts = []
    if tied:
        parts.append(f"{counted(tied, 'other')} not clearly different from it")
    if separate:
        parts.append(f"{separate} clearly worse")
    told = f"Of the other open therapies: {', '.join(parts)}."
    leaning = len(comparison.leaning)
    if leaning:
        told += (
            f" For {leaning} of those not clearly different the interval of the difference leaves "
            "out 0: a hint, not a clear difference."
        )
    return told


def _likelier(comparison: Comparison) -> list[str]:
    likeliest = max(comparison.opened, key=lambda each: each.probability_best)
    if likeliest.probability_best <= comparison.opened[0].probability_best:
        return []
    return [
        f"{likeliest.label} is more often the best in the twin's belief "
        f"({probability(likeliest.probability_best)}), but not on average."
    ]


def _optimistic(patient: Patient) -> list[str]:
    if patient.unseen:
        return []
    return [
        "This patient was in the training of every member of the ensemble: the numbers are "
        "optimistic."
    ]


def _own_support(model: TrainedModel, comparison: Comparison) -> list[str]:
    first = comparison.opened[0]
    if not first.thin or len(comparison.thin) == len(comparison.opened):
        return []
    return [
        f"{first.label} has thin support: {first.received_by} training patients of this "
        f"stratum received it, fewer than {model.catalogue.thin_support}."
    ]


def _absent(measured: Sequence[Measured]) -> list[str]:
    absent = [each.name for each in measured if each.status == "missing" and not each.follow_up]
    return [f"Not measured at baseline: {listed(absent)}."] if absent else []


def limits_of(
    model: TrainedModel,
    patient: Patient,
    comparison: Comparison,
    measured: Sequence[Measured],
    interval: float,
    likeness: str = "",
) -> list[str]:
    """Return what the twin does not know, this patient's own gaps first."""
    return [
        *_about_the_patient(patient, measured),
        *_about_support(model, comparison),
        "The intervals say how unsure the model is about an expected value. They are not the "
        f"range of what may happen to this patient, and {_about_coverage(model, interval)}",
        _about_confounding(model),
        _about_likeness(model, likeness),
        _about_endpoint(model),
        "Therapies are as given in the training cohort: other doses, sequences or lines of "
        "treatment, co-morbidity and contraindications are not considered.",
        "The twin has never been tested prospectively. Guidelines, approval and availability of "
        "the therapies are not known to it.",
    ]


def unlike(model: TrainedModel, patients: Patients) -> str:
    """Return why the only patient is unlike the training patients: a clause, empty where not."""
    if model.likeness is None:
        return ""
    found = model.likeness.verdict(patients.matrices.values)
    if found is None or found.share > UNLIKE:
        return ""
    channel = next(each for each in model.twin.design.channels if each.name == found.channel)
    columns = [channel.features[each].column for each in found.features]
    return _more_unusual("before treatment", channel.modality, columns)


def unlike_at_first(model: LivingModel, visits: Sequence[Visit]) -> str:
    """Return the same of who is followed from visit to visit: a clause, empty where not."""
    if model.likeness is None:
        return ""
    found = model.likeness.verdict(model.first_of(visits))
    if found is None or found.share > UNLIKE:
        return ""
    columns = [model.features_at_first[each] for each in found.features]
    return _more_unusual("at the first visit", found.channel, columns)


def _more_unusual(when: str, modality: str, columns: Sequence[str]) -> str:
    names = [visible(name_in_words(each)) for each in columns]
    far = f", above all {listed(list(dict.fromkeys(names)))}" if names else ""
    return (
        f"What was measured {when} is more unusual than in {percent(1.0 - UNLIKE)} of "
        f"the training patients ({visible(name_in_words(modality))}{far})"
    )


def _about_likeness(model: TrainedModel, likeness: str) -> str:
    if model.likeness is None:
        return (
            "Whether this patient resembles the training patients beyond the stratum is not tested."
        )
    if likeness:
        return f"{likeness}: the answer is an extrapolation."
    return (
        "What was measured before treatment is not more unusual than in "
        f"{percent(1.0 - UNLIKE)} of the training patients; what was not measured is not compared."
    )


def _about_coverage(model: TrainedModel, interval: float) -> str:
    calibration = (model.provenance.get("performance") or {}).get("calibration") or {}
    after = (calibration.get("copy") or {}).get("after")
    if not model.calibration.fitted or not after:
        return f"{percent(interval)} is the model's own belief, not a guaranteed coverage."
    shares = [after[name]["coverage"] for name in ("expected", "benefit")]
    held = [percent(round(each, 2)) for each in shares if each is not None]
    what = ["expected values", "differences between two therapies"]
    told = " and ".join(f"{each} of {of}" for each, of in zip(held, what, strict=False))
    return (
        f"they were calibrated on a simulated copy of the training cohort, where intervals of "
        f"{percent(model.calibration.level)} held {told}: what the model itself gets wrong about "
        "patients and therapies is not in them."
    )


def _about_the_patient(patient: Patient, measured: Sequence[Measured]) -> list[str]:
    found = []
    baseline = [each for each in measured if not each.follow_up]
    absent = [each.name for each in baseline if each.status == "missing"]
    if absent:
        found.append(
            f"Not measured in this patient: {listed(absent)}. The answer is less certain for it, "
            "and it was not filled in."
        )
    partly = [each for each in baseline if each.status == "partly"]
    found += [
        f"Only {each.found} of {each.expected} values of {each.name} were measured."
        for each in partly
    ]
    if "not measured" in patient.stratum:
        found.append(f"The stratum itself is incomplete: {patient.stratum}.")
    found += _optimistic(patient)
    if patient.as_of_days > 0:
        given = f" while on {patient.received}" if patient.received else ""
        found.append(
            f"Visits up to day {patient.as_of_days:g} were observed{given}. What a change of "
            "therapy at that point would do was not studied in the training cohort."
        )
    return found


def _about_support(model: TrainedModel, comparison: Comparison) -> list[str]:
    thin = [f"{each.label} ({each.received_by})" for each in comparison.thin]
    if not thin:
        return []
    return [
        f"Fewer than {model.catalogue.thin_support} training patients of this stratum received: "
        f"{listed(thin, most=20)}. What is said of these rests mostly on other strata."
    ]


def randomised(model: TrainedModel | LivingModel) -> bool:
    """Whether the training cohort's own description says that therapies were randomised."""
    title = str(model.provenance.get("cohort_title", "")).lower()
    denied = any(f"{word}randomi" in title for word in ("non-", "non", "not ", "un"))
    return "randomi" in title and not denied


def _about_confounding(model: TrainedModel) -> str:
    if randomised(model):
        return (
            "Differences between therapies are causal only as far as assignment was random within "
            "the stratum and arms that recruited at different times met like patients."
        )
    return (
        "The training cohort is not described as randomised: differences between therapies may "
        "reflect whom they were chosen for. Causes that were not measured are not adjusted for."
    )


def _about_endpoint(model: TrainedModel) -> str:
    compared = (
        f"Only “{visible(model.title)}” is compared: toxicity, quality of life and the patient's "
        "own wishes are not."
    )
    if model.outcome in ("os", "overall_survival"):
        return compared
    return (
        f"{compared} It is a surrogate endpoint: a therapy that is better here need not lead to "
        "longer survival."
    )


def evidence_of(model: TrainedModel | LivingModel) -> list[str]:
    """Return what the answer rests on, in sentences."""
    known = model.provenance
    name = str(known.get("cohort_title") or known.get("cohort") or "not recorded")
    size = known.get("patients")
    sentences = [
        f"Training cohort: {visible(name)}"
        + (f", {counted(int(size), 'patient')}." if size is not None else "."),
        "Its description says that therapies were assigned at random."
        if randomised(model)
        else "Its description does not say that therapies were assigned at random.",
    ]
    if isinstance(model, TrainedModel) and model.support.columns:
        markers = listed([visible(name_in_words(each)) for each in model.support.columns])
        sentences.append(
            f"Patients are compared within a stratum of: {markers}. A therapy that nobody of a "
            "stratum received is taken as not open to it."
        )
    return sentences


@dataclass(frozen=True)
class Performance:
    """Held-out performance as a table.

    Attributes
    ----------
    metrics
        Names with their direction.
    rows
        Name of a learner and its numbers.
    """

    caption: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    verdict: str


def performance_of(model: TrainedModel) -> Performance | None:
    """Return the held-out performance beside its baselines; None where it is not recorded."""
    found: Mapping[str, Any] | None = model.provenance.get("performance")
    if not found:
        return None
    rows = {_MODEL: found["model"], **found["baselines"]}
    names = list(dict.fromkeys(metric for each in rows.values() for metric in each))
    patients = counted(int(found["n"]), "patient")
    spread = ""
    if "repeats" in found:
        folds, repeats = counted(found["folds"], "fold"), counted(found["repeats"], "repeat")
        spread = f", each held out in one of {folds}; mean ± standard deviation over {repeats}"
    return Performance(
        caption=f"Held-out performance in {patients} of the training cohort{spread}",
        metrics=tuple(_metric_name(name) for name in names),
        rows=tuple(
            (_learner(row), tuple(mean_and_spread(each.get(name)) for name in names))
            for row, each in rows.items()
        ),
        verdict=" ".join(filter(None, [_verdict(rows), policy_sentence(found.get("policy"))])),
    )


def _learner(name: str) -> str:
    return "This twin" if name == _MODEL else f"Baseline: {visible(name_in_words(name))}"


def _metric_name(name: str) -> str:
    direction = {True: ", higher is better", False: ", lower is better", None: ""}
    return METRIC_NAMES.get(name, visible(name)) + direction[HIGHER_IS_BETTER.get(name)]


def _verdict(rows: Mapping[str, Mapping[str, Any]]) -> str:
    if len(rows) < 2:
        return "No baseline was compared."
    better = better_baseline(rows)
    if better is None:
        return "No baseline was better on the first measure. This says nothing of the ranking."
    headline, name, theirs, own = better
    return (
        f"A simple baseline, {visible(name_in_words(name))}, predicts better than this twin on "
        f"{headline.replace('_', '-').upper()}: {theirs:.3f} against {own:.3f}."
    )
