"""What was measured, what had been expected, and what would come, as curves over days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omics_twin.bedside.watching import Compared, Told
from omics_twin.report.bars import corners
from omics_twin.report.forest import Tick, ticks
from omics_twin.report.words import day_in_words, name_in_words, visible
from omics_twin.therapy.rank import order
from omics_twin.types import Intervention

_MOST = 3
_TOP, _BOTTOM = 4.0, 96.0


@dataclass(frozen=True)
class CourseCurve:
    """What would come under one plan: points of a line and of a band, in percentages."""

    label: str
    number: int
    line: str
    band: str


@dataclass(frozen=True)
class CourseDot:
    """A measurement, and where the twin had expected it; percentages, ``None``: no forecast."""

    across: float
    down: float
    lower: float | None
    upper: float | None
    told: str


@dataclass(frozen=True)
class Course:
    """What the template draws.

    Attributes
    ----------
    now
        Where the last visit lies.
    rules
        Sizes that mean something, such as from which on there is progression.
    doses
        Days of doses, a row for each curve.
    """

    axis: str
    curves: tuple[CourseCurve, ...]
    dots: tuple[CourseDot, ...]
    days: tuple[Tick, ...]
    levels: tuple[Tick, ...]
    now: float
    rules: tuple[Tick, ...] = ()
    doses: tuple[tuple[float, ...], ...] = ()


def course_of(
    found: Compared,
    labels: dict[str, str],
    now: float,
    expected: dict[float, Told],
    chosen: Sequence[str] = (),
    *,
    rules: Sequence[tuple[str, float]] = (),
    dosed: Callable[[Intervention], Sequence[float]] | None = None,
    most: float = float("inf"),
) -> Course | None:
    """Return the picture of some plans; None where the twin foresees no course.

    Parameters
    ----------
    labels
        What people call each plan.
    now
        Day of the last visit [day].
    expected
        Forecast of the measurement of each day, made before it [day].
    chosen
        Plans to draw; by default the first of the ranking.
    rules
        Names and sizes of lines across the picture.
    dosed
        Days on which a plan gives something; None: not drawn [day].
    most
        Above it bands are cut off.
    """
    if not found.sizes.shape[-1]:
        return None
    named = [plan.name for plan in found.plans]
    best_first = [each for each in order(found.ranking, 0) if not chosen or named[each] in chosen]
    drawn = best_first[:_MOST]
    measured = list(zip(*found.measured, strict=True))
    every = [float(found.sizes[each].min()) for each in drawn] + [0.0]
    every += [float(found.sizes[each].max()) for each in drawn]
    every += [value for _, value in measured]
    every += [end for told in expected.values() for end in (told.lower, told.upper)]
    every += [value for _, value in rules]
    marks = ticks(min(every), min(max(every), most))
    last = float(found.days[-1])

    def across(day: float) -> float:
        return round(100.0 * min(max(day, 0.0), last) / last, 2)

    def down(value: float) -> float:
        share = (min(max(value, marks[0]), marks[-1]) - marks[0]) / (marks[-1] - marks[0])
        return round(_BOTTOM - share * (_BOTTOM - _TOP), 2)

    curves = []
    for number, each in enumerate(drawn):
        lower, middle, upper = found.sizes[each]
        places = [across(float(day)) for day in found.days]
        up = [(x, down(float(y))) for x, y in zip(places, upper, strict=True)]
        back = [(x, down(float(y))) for x, y in zip(places, lower, strict=True)][::-1]
        line = [(x, down(float(y))) for x, y in zip(places, middle, strict=True)]
        curves.append(
            CourseCurve(visible(labels[named[each]]), number, corners(line), corners(up + back))
        )
    dots = []
    for day, value in measured:
        told, forecast = f"{day_in_words(day)}: {value:.3g}", expected.get(day)
        if forecast is not None:
            told += f", expected {forecast}"
        lower = None if forecast is None else down(forecast.lower)
        upper = None if forecast is None else down(forecast.upper)
        dots.append(CourseDot(across(day), down(value), lower, upper, told))
    decimals = 0 if marks[1] - marks[0] >= 1 else 1 if marks[1] - marks[0] >= 0.1 else 2
    return Course(
        axis=visible(name_in_words(found.axis)),
        curves=tuple(curves),
        dots=tuple(dots),
        days=tuple(Tick(across(day), f"{day:g}") for day in ticks(0.0, last) if day <= last),
        levels=tuple(Tick(down(mark), f"{mark:.{decimals}f}") for mark in marks),
        now=across(now),
        rules=tuple(Tick(down(value), visible(name)) for name, value in rules),
        doses=()
        if dosed is None
        else tuple(
            tuple(across(day) for day in dosed(found.plans[each]) if 0.0 <= day <= last)
            for each in drawn
        ),
    )
