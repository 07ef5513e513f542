"""Bars from a middle line, and lines over visits: in percentages, drawn without a script."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omics_twin.report.drivers import Part
from omics_twin.report.forest import Tick, ticks

ROW_HEIGHT = 46
_TOP, _BOTTOM = 6, 44
_LEFT, _RIGHT = 2.0, 97.0
_LOW, _HIGH = 4.0, 96.0


@dataclass(frozen=True)
class BarRow:
    """One part of an answer as drawn; horizontal places are percentages of the width.

    Attributes
    ----------
    favours
        Whether it speaks for the first therapy.
    clear
        Whether the interval leaves out 0.
    start, width
        Of the bar.
    lower, upper
        Of the interval.
    text_y, line_y
        Where the label and the bar lie [px].
    """

    label: str
    number: str
    favours: bool
    clear: bool
    start: float
    width: float
    lower: float
    upper: float
    text_y: int
    line_y: int


@dataclass(frozen=True)
class Bars:
    """What the template draws; ``zero`` is the place of the middle line."""

    rows: tuple[BarRow, ...]
    ticks: tuple[Tick, ...]
    zero: float
    axis_y: int
    height: int


def bars(parts: Sequence[tuple[str, str, Part]], factor: float) -> Bars:
    """Return the bars of parts, in the order given.

    Parameters
    ----------
    parts
        Label, number in words and part; at least one.
    factor
        From the part's units to those of the axis.

    Examples
    --------
    >>> drawn = bars([("ESR1", "+10", Part(0.1, 0.0, 0.2))], 100.0)
    >>> drawn.rows[0].favours, drawn.zero == drawn.rows[0].start
    (True, True)
    """
    ends = [factor * end for _, _, each in parts for end in (each.lower, each.upper, each.mean)]
    marks = ticks(min(0.0, *ends), max(0.0, *ends))

    def place(value: float) -> float:
        share = (value - marks[0]) / (marks[-1] - marks[0])
        return round(_LEFT + share * (_RIGHT - _LEFT), 3)

    zero = place(0.0)
    rows = []
    for index, (label, number, each) in enumerate(parts):
        tip = place(factor * each.mean)
        rows.append(
            BarRow(
                label=label,
                number=number,
                favours=each.mean > 0,
                clear=each.clear,
                start=min(zero, tip),
                width=round(abs(tip - zero), 3),
                lower=place(factor * each.lower),
                upper=place(factor * each.upper),
                text_y=_TOP + index * ROW_HEIGHT + 14,
                line_y=_TOP + index * ROW_HEIGHT + 20,
            )
        )
    axis_y = _TOP + len(rows) * ROW_HEIGHT
    return Bars(tuple(rows), _ticks(marks, place), zero, axis_y, axis_y + _BOTTOM)


def _ticks(marks: Sequence[float], place: Callable[[float], float]) -> tuple[Tick, ...]:
    decimals = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))
    return tuple(
        Tick(place(mark), f"{mark + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}"))
        for mark in marks
    )


@dataclass(frozen=True)
class Curve:
    """One therapy over the visits; places are percentages of width and height.

    Attributes
    ----------
    number
        0 for the first therapy, which decides how the line looks.
    line, band
        Corners in the form that SVG takes.
    points
        Where the visits lie.
    """

    label: str
    number: int
    line: str
    band: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curves:
    """What the template draws: therapies over visits."""

    curves: tuple[Curve, ...]
    visits: tuple[Tick, ...]
    ticks: tuple[Tick, ...]


def curves(
    visits: Sequence[str],
    therapies: Sequence[tuple[str, Sequence[tuple[float, float, float]]]],
) -> Curves:
    """Return the curves of therapies over visits that are drawn equally far apart.

    Parameters
    ----------
    therapies
        Label, then expected, lower and upper at each visit, in the units of the axis.

    Examples
    --------
    >>> drawn = curves(["baseline", "day 21"], [("A", [(1.0, 0.0, 2.0), (2.0, 1.0, 4.0)])])
    >>> drawn.curves[0].line
    '4,73 96,50'
    """
    every = [number for _, each in therapies for visit in each for number in visit]
    marks = ticks(min(every), max(every))
    gap = (_HIGH - _LOW) / max(len(visits) - 1, 1)
    across = [round(_LOW + index * gap, 2) for index in range(len(visits))]

    def down(value: float) -> float:
        share = (value - marks[0]) / (marks[-1] - marks[0])
        return round(_HIGH - share * (_HIGH - _LOW), 2)

    drawn = []
    for number, (label, found) in enumerate(therapies):
        expected, lower, upper = ([down(v) for v in each] for each in zip(*found, strict=True))
        upwards = list(zip(across, upper, strict=True))
        back = list(zip(across, lower, strict=True))[::-1]
        points = tuple(zip(across, expected, strict=True))
        drawn.append(Curve(label, number, corners(points), corners([*upwards, *back]), points))
    named = tuple(Tick(place, visit) for place, visit in zip(across, visits, strict=True))
    return Curves(tuple(drawn), named, _ticks(marks, down))


def corners(points: Sequence[tuple[float, float]]) -> str:
    """Return the points of a line as SVG has them."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)
