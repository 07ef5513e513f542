"""Why the twin leans to one therapy, how that moved and what happened to others: in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from omics_twin.answers.beliefs import Belief
from omics_twin.answers.patients import Patients
from omics_twin.report.bars import Bars, Curves, bars, curves
from omics_twin.report.comparison import Comparison, OpenTherapy, shortened
from omics_twin.report.drivers import Driver, Drivers, Part, drivers_of, shown_to
from omics_twin.report.history import Change, History, Step, history_of
from omics_twin.report.similar import ArmOutcome, Company
from omics_twin.report.words import Scale, counted, listed, visible
from omics_twin.settings import TwinSettings
from omics_twin.tracking import TrainedModel

_BARS, _NAMED = 8, 2
_LONGEST_LABEL = 34
# Parts below this share of the largest are not named in a sentence.
_WORTH_NAMING = 0.2


@dataclass(frozen=True)
class Line:
    """A row of a table: cells in the order of its columns."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Why:
    """What speaks for one therapy over another, as the page says it.

    Attributes
    ----------
    members
        How many answer.
    sentences
        Where the difference comes from, in order.
    plot
        The largest parts.
    lines, modalities
        The same in numbers; sums by modality.
    """

    first: str
    second: str
    members: str
    sentences: tuple[str, ...]
    plot: Bars
    lines: tuple[Line, ...]
    modalities: tuple[Line, ...]


def why_of(
    model: TrainedModel,
    patients: Patients,
    belief: Belief,
    comparison: Comparison,
    scale: Scale,
    settings: TwinSettings,
) -> Why | None:
    """Return the drivers of the difference of the first two open therapies.

    None where fewer than two are open or nothing was shown.
    """
    if len(comparison.opened) < 2 or not belief.shown[0]:
        return None
    first, second = comparison.opened[:2]
    shown = shown_to(model, patients, belief)
    found = drivers_of(
        model, belief, shown, first.arm, second.arm, interval=settings.interval, most=_BARS
    )
    top = found.drivers
    parts = [(_bar_label(each), scale.bare_contribution(each.part.mean), each.part) for each in top]
    factor = scale.horizon_months if scale.months else scale.factor
    return Why(
        first=found.first,
        second=found.second,
        members=counted(found.members, "member"),
        sentences=tuple(_sentences(found, scale, _ahead(model, second), tied=second.tied)),
        plot=bars(parts, factor),
        lines=tuple(_driver_line(each, found, scale) for each in top),
        modalities=tuple(
            Line(
                each.label,
                (counted(each.measurements, "measurement"), *_numbers(each.part, found, scale)),
            )
            for each in found.modalities
        ),
    )


def _ahead(model: TrainedModel, second: OpenTherapy) -> float:
    """Return how far the first therapy is ahead in the table; positive where it is better."""
    return -second.difference if model.endpoint.higher_is_better else second.difference


def _sentences(found: Drivers, scale: Scale, difference: float, *, tied: bool) -> list[str]:
    told = [
        f"For the average patient, with the same things measured, the difference would be "
        f"{scale.contribution(found.start.mean)} in favour of {found.first}; what was measured in "
        f"this patient adds {scale.contribution(found.total.mean)}, which makes "
        f"{scale.contribution(found.end)}."
    ]
    # What widens the draws keeps the mean of a probability, not that of a survival time.
    widening = difference - found.end
    if scale.contribution(widening) != scale.contribution(0.0):
        told.append(
            f"The difference in the table, {scale.contribution(difference)}, also holds "
            f"{scale.contribution(widening)} that come from how unsure the members are together."
        )
    if tied:
        told.append(
            "The two are not clearly different: this is why the twin leans to one of them, not a "
            "reason to choose it."
        )
    if not any(each.part.clear for each in found.drivers):
        told.append("The members agree on the direction of none of the largest parts by itself.")
    if found.others:
        told.append(
            f"The other {counted(found.others, 'measurement')} add "
            f"{scale.contribution(found.rest)} together."
        )
    return told


def _bar_label(each: Driver) -> str:
    where = each.modality if each.visit == "baseline" else f"{each.modality}, {each.visit}"
    return shortened(f"{each.label} ({where})", _LONGEST_LABEL)


def _driver_line(each: Driver, found: Drivers, scale: Scale) -> Line:
    value = f"{each.value}, {each.standing}" if each.standing else each.value
    where = each.modality if each.visit == "baseline" else f"{each.modality}, {each.visit}"
    return Line(f"{each.label} ({where})", (value, *_numbers(each.part, found, scale)))


def _numbers(part: Part, found: Drivers, scale: Scale) -> tuple[str, str, str]:
    """Return a part, its interval and its direction in words."""
    side = found.first if part.mean > 0 else found.second
    direction = f"speaks for {side}" if part.clear else f"leans to {side}; members disagree"
    return (
        scale.contribution(part.mean),
        scale.contribution_interval(part.lower, part.upper),
        direction,
    )


@dataclass(frozen=True)
class Moved:
    """How the ranking moved, as the page says it.

    Attributes
    ----------
    received, pair
        The therapy received, and the two that the page compares.
    plot
        Expected endpoint of a few therapies over the visits; None where none was open throughout.
    lines
        One for each visit.
    reasons
        What each follow-up visit changed and which of its values did it.
    """

    received: str
    pair: tuple[str, ...]
    plot: Curves | None
    lines: tuple[Line, ...]
    reasons: tuple[Line, ...]


def moved_of(
    model: TrainedModel,
    patients: Patients,
    belief: Belief,
    comparison: Comparison,
    scale: Scale,
    settings: TwinSettings,
) -> Moved | None:
    """Return how the ranking moved; None where no follow-up visit was shown."""
    pair = tuple(each.arm for each in comparison.opened[:2])
    if not pair:
        return None
    found = history_of(model, patients, belief, settings, pair)
    if found is None:
        return None
    factor = scale.horizon_months if scale.months else scale.factor
    therapies = [
        (
            shortened(label),
            [
                (factor * s.expected[label], factor * s.lower[label], factor * s.upper[label])
                for s in found.steps
            ],
        )
        for label in found.drawn
    ]
    visits = [each.visit for each in found.steps]
    return Moved(
        received=found.received,
        pair=found.pair,
        plot=curves(visits, therapies) if therapies else None,
        lines=tuple(_visit_line(each, found, scale) for each in found.steps),
        reasons=tuple(_reason_line(each, found, scale) for each in found.steps[1:]),
    )


def _visit_line(step: Step, found: History, scale: Scale) -> Line:
    def told(label: str) -> str:
        if label not in step.expected:
            return "not open"
        number, interval = step.expected[label], (step.lower[label], step.upper[label])
        if scale.months:
            ends = " to ".join(scale.in_months(each) for each in interval)
            return f"{scale.in_months(number)} months ({ends})"
        return f"{scale.value(number)} ({scale.interval(*interval)})"

    return Line(
        step.visit,
        (step.first or "none", told(step.first), told(found.received)),
    )


def _reason_line(step: Step, found: History, scale: Scale) -> Line:
    sentences = []
    if step.under_received is not None:
        sentences.append(_changed(step.under_received, f"Expected under {found.received}", scale))
    if step.between is not None:
        sentences.append(_changed(step.between, "Difference of the first two", scale))
    return Line(step.visit, tuple(sentences))


def _changed(change: Change, subject: str, scale: Scale) -> str:
    largest = max((abs(each.part.mean) for each in change.drivers), default=0.0)
    named = [
        f"{each.label} {each.value}{f', {each.standing},' if each.standing else ''} "
        f"{scale.contribution(each.part.mean)}"
        for each in change.drivers[:_NAMED]
        if abs(each.part.mean) >= _WORTH_NAMING * largest
        and scale.contribution(each.part.mean) != scale.contribution(0.0)
    ]
    told = (
        f"{subject}: {scale.contribution(change.total)} ({scale.contribution(change.by_values)} "
        f"for its values, {scale.contribution(change.by_visit)} for a visit with average values)."
    )
    return f"{told} Mostly {listed(named)}." if named else told


@dataclass(frozen=True)
class Alike:
    """Similar patients, as the page says it."""

    sentences: tuple[str, ...]
    header: tuple[str, ...]
    lines: tuple[Line, ...]


def alike_in_words(model: TrainedModel, company: Company, scale: Scale, source: str) -> Alike:
    """Return what happened to the patients most like this one.

    Parameters
    ----------
    source
        Name of the cohort that they come from.
    """
    within = scale.difference(company.distance).lstrip("+")
    header = {
        "binary": ("Patients", "With the outcome", "Share (95\N{NO-BREAK SPACE}% interval)"),
        "continuous": ("Patients", "Mean (95\N{NO-BREAK SPACE}% interval)"),
    }.get(
        model.outcome_kind,
        ("Patients", "Events before the horizon", "Observed (95\N{NO-BREAK SPACE}% interval)"),
    )
    return Alike(
        sentences=(
            f"The {company.nearest} of {company.pool} other patients of cohort "
            f"“{visible(source)}” with a known therapy and outcome for whom the twin expected "
            f"the most alike before treatment, under every therapy (within {within} on "
            "average over the therapies); each was answered by members that never saw them.",
            "This shows what happened, not what the therapies did: who received which may have "
            "depended on more than what makes these patients alike.",
        ),
        header=header,
        lines=tuple(_arm_line(each, model, scale, len(header)) for each in company.arms),
    )


def _arm_line(each: ArmOutcome, model: TrainedModel, scale: Scale, cells: int) -> Line:
    label = visible(each.label)
    if each.patients is None:
        return Line(label, ("not shown",) * cells)
    if math.isnan(each.observed):
        told = "not followed up to the horizon"
    elif scale.months:
        ends = " to ".join(scale.in_months(end) for end in (each.lower, each.upper))
        told = f"{scale.in_months(each.observed)} months ({ends})"
    else:
        told = f"{scale.value(each.observed)} ({scale.interval(each.lower, each.upper)})"
    events = () if cells < 3 else (str(each.events),)
    return Line(label, (str(each.patients), *events, told))
