"""A forest plot in percentages of its width: sharp at every size, drawn without a script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ROW_HEIGHT = 50
_TOP, _BOTTOM = 8, 44
_LEFT, _RIGHT = 2.0, 97.0


@dataclass(frozen=True)
class ForestRow:
    """One therapy as drawn; horizontal places are percentages of the width.

    Attributes
    ----------
    tied, thin
        Whether it is not clearly different from the first; whether its support is thin.
    text_y, line_y
        Where the label and the interval lie [px].
    """

    label: str
    number: str
    tied: bool
    thin: bool
    point: float
    lower: float
    upper: float
    text_y: int
    line_y: int


@dataclass(frozen=True)
class Tick:
    """A mark on the axis."""

    place: float
    label: str


@dataclass(frozen=True)
class Forest:
    """What the template draws.

    Attributes
    ----------
    band
        Left end and width of the first therapy's interval.
    divide_y
        Where the clearly different therapies begin; None if there are none [px].
    axis_y, height
        Where the axis lies, and the whole height [px].
    """

    rows: tuple[ForestRow, ...]
    ticks: tuple[Tick, ...]
    band: tuple[float, float]
    divide_y: int | None
    axis_y: int
    height: int


@dataclass(frozen=True)
class Interval:
    """A therapy's number as it enters the plot, in the units of the axis."""

    label: str
    number: str
    expected: float
    lower: float
    upper: float
    tied: bool
    thin: bool


def forest(intervals: Sequence[Interval]) -> Forest:
    """Return the plot of therapies, in the order given.

    Parameters
    ----------
    intervals
        At least one; the first is the one the others are compared with, and those that are tied
        with it come before the others.
    """
    marks = ticks(min(each.lower for each in intervals), max(each.upper for each in intervals))
    low, high = marks[0], marks[-1]

    def place(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_LEFT + share * (_RIGHT - _LEFT), 3)

    rows = tuple(
        ForestRow(
            label=each.label,
            number=each.number,
            tied=each.tied,
            thin=each.thin,
            point=place(each.expected),
            lower=place(each.lower),
            upper=place(each.upper),
            text_y=_TOP + index * ROW_HEIGHT + 16,
            line_y=_TOP + index * ROW_HEIGHT + 30,
        )
        for index, each in enumerate(intervals)
    )
    axis_y = _TOP + len(rows) * ROW_HEIGHT
    tied = sum(each.tied for each in intervals)
    decimals = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9))
    return Forest(
        rows=rows,
        ticks=tuple(
            Tick(place(mark), f"{mark + 0.0:.{decimals}f}".replace("-", "\N{MINUS SIGN}"))
            for mark in marks
        ),
        band=(rows[0].lower, round(rows[0].upper - rows[0].lower, 3)),
        divide_y=_TOP + tied * ROW_HEIGHT if tied < len(rows) else None,
        axis_y=axis_y,
        height=axis_y + _BOTTOM,
    )


def ticks(lowest: float, highest: float) -> list[float]:
    """Return two to seven round values that enclose a range and stay on its side of zero.

    Examples
    --------
    >>> ticks(12.0, 71.0)
    [0.0, 20.0, 40.0, 60.0, 80.0]
    """
    span = max(highest - lowest, 1e-6, 1e-3 * abs(highest))
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(s * power for s in (1.0, 2.0, 5.0, 10.0) if span / (s * power) <= 5)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    last = max(last, first + 1)
    return [round(index * step, 10) for index in range(first, last + 1)]
