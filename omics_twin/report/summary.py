"""The answer about one patient in short, abstaining where it must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omics_twin.lifecycle.validity import REFUSED
from omics_twin.report.comparison import Comparison
from omics_twin.report.measured import Measured
from omics_twin.report.words import Scale, counted, listed, percent, probability, visible
from omics_twin.tracking import TrainedModel


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
        *_own_value(model, comparison, scale, interval),
        _others(comparison),
        *_likelier(comparison),
        *_own_support(model, comparison),
        *absent,
        *optimistic_sentences(patient),
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


def _own_value(
    model: TrainedModel, comparison: Comparison, scale: Scale, interval: float
) -> list[str]:
    own = model.own_values.around(np.array([comparison.opened[0].expected]), interval)
    if own is None:
        graded = model.outcome_kind == "continuous"
        told = "That interval is of the mean; where the patient's own value lies is not known."
        return [told] if graded else []
    ends = scale.interval(*(float(each[0]) for each in own))
    return [
        f"That interval is of the mean. The patient's own {visible(model.title)} under it: {ends} "
        f"in {percent(interval)}, by the errors made in patients who were held out."
    ]


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


def optimistic_sentences(patient: Patient) -> list[str]:
    """Return that the numbers are optimistic, of whom every member has seen in training."""
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
