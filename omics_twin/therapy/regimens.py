"""Grids of plans: which amounts, on which schedules, alone or together; and which are not open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from omics_twin.errors import TherapyError
from omics_twin.types import RADIOTHERAPY, Dose, Intervention


@dataclass(frozen=True)
class Schedule:
    """On which days a drug is given.

    Attributes
    ----------
    name
        As it is written on a chart, such as ``4 weeks on, 2 off``.
    every_days
        Days between administrations [day].
    on, off
        Administrations in a row, and how many are left out after them; no ``off``: none is.
    """

    name: str
    every_days: float = 1.0
    on: int = 1
    off: int = 0


DAILY = Schedule("daily")
FOUR_TWO = Schedule("4 weeks on, 2 off", 1.0, 28, 14)
TWO_ONE = Schedule("2 weeks on, 1 off", 1.0, 14, 7)
WEEKLY = Schedule("weekly", 7.0)
WEEKDAYS = Schedule("weekdays", 1.0, 5, 2)
SCHEDULES = {each.name: each for each in (DAILY, FOUR_TWO, TWO_ONE, WEEKLY, WEEKDAYS)}


@dataclass(frozen=True)
class Limits:
    """What must not be exceeded of one drug; the reason says why.

    Attributes
    ----------
    amount, weekly
        Most at one administration, and most in seven days on average over a cycle.
    reason
        A clause, such as ``the label's highest dose``.
    """

    amount: float = float("inf")
    weekly: float = float("inf")
    reason: str = "above the limit"


@dataclass(frozen=True)
class Grid:
    """Plans that can be compared, and those that are not open.

    Attributes
    ----------
    plans
        Open ones, each with a name of its own.
    excluded
        Name of a plan that is not open -> why.
    """

    plans: tuple[Intervention, ...]
    excluded: Mapping[str, str]


def regimen(
    drug: str, amount: float, unit: str, schedule: Schedule, days: float, start_days: float = 0.0
) -> tuple[Dose, ...]:
    """Return the doses of one drug over some days.

    Examples
    --------
    >>> [dose.start_days for dose in regimen("a", 50.0, "mg", FOUR_TWO, 84.0)]
    [0.0, 42.0]
    """
    cycle = (schedule.on + schedule.off) * schedule.every_days
    if not schedule.off:
        repeat = int(days // schedule.every_days)
        return (Dose(drug, amount, unit, start_days, 0.0, schedule.every_days, repeat),)
    cycles = int(-(-days // cycle))
    return tuple(
        Dose(drug, amount, unit, start_days + each * cycle, 0.0, schedule.every_days, schedule.on)
        for each in range(cycles)
    )


def grid(
    amounts: Mapping[str, Sequence[float]],
    schedules: Sequence[Schedule],
    *,
    days: float,
    start_days: float = 0.0,
    unit: str = "mg",
    together: bool = False,
    limits: Mapping[str, Limits] | None = None,
) -> Grid:
    """Return every amount of every drug on every schedule, alone and, if asked, in pairs.

    Parameters
    ----------
    days
        How long the plans last [day].
    together
        Whether also two drugs are given, on the same schedule.

    Raises
    ------
    TherapyError
        If there is no drug, no amount or no schedule.

    Examples
    --------
    >>> found = grid({"a": [50.0, 400.0]}, [DAILY], days=7.0, limits={"a": Limits(amount=100.0)})
    >>> [plan.name for plan in found.plans], list(found.excluded)
    (['a 50 mg daily'], ['a 400 mg daily'])
    """
    if not amounts or not schedules or not all(amounts.values()):
        raise TherapyError("a grid of plans needs drugs, amounts and schedules: name at least one")
    single = [(drug, amount) for drug, each in amounts.items() for amount in each]
    choices: list[tuple[tuple[str, float], ...]] = [(each,) for each in single]
    if together:
        drugs = list(amounts)
        choices += [
            pair
            for pair in product(single, single)
            if drugs.index(pair[0][0]) < drugs.index(pair[1][0])
        ]
    plans, excluded = [], {}
    for choice, schedule in product(choices, schedules):
        units = {drug: "Gy" if drug == RADIOTHERAPY else unit for drug, _ in choice}
        told = " + ".join(f"{drug} {amount:g} {units[drug]}" for drug, amount in choice)
        name = f"{told} {schedule.name}"
        reason = _closed(choice, schedule, limits or {})
        if reason:
            excluded[name] = reason
            continue
        doses = [
            dose
            for drug, amount in choice
            for dose in regimen(drug, amount, units[drug], schedule, days, start_days)
        ]
        plans.append(Intervention(name, tuple(doses)))
    return Grid(tuple(plans), excluded)


def _closed(
    choice: Sequence[tuple[str, float]], schedule: Schedule, limits: Mapping[str, Limits]
) -> str:
    """Return why a plan is not open, empty where it is."""
    cycle = (schedule.on + schedule.off) * schedule.every_days
    for drug, amount in choice:
        limit = limits.get(drug, Limits())
        if amount > limit.amount:
            return f"{drug} {amount:g} at once, at most {limit.amount:g}: {limit.reason}"
        weekly = amount * schedule.on / cycle * 7.0
        if weekly > limit.weekly:
            return f"{drug} {weekly:g} in a week, at most {limit.weekly:g}: {limit.reason}"
    return ""
