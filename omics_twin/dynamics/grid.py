"""When is integrated from where to where: steps between doses and days asked for, per patient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omics_twin.dynamics.plan import Plan, administrations
from omics_twin.errors import TherapyError, nearest
from omics_twin.types import Dose

Array = np.ndarray


@dataclass(frozen=True)
class Grid:
    """Steps of integration, one row for each different plan; a step of no length does nothing.

    Attributes
    ----------
    row
        Which row each patient has, (patient,).
    days
        (row, point) [day].
    amounts
        Boluses given at a point, after what is read there, (row, point, drug).
    rates
        Infusions running from a point to the next, (row, point, drug) [per day].
    where
        Point of each day asked for, (row, time).
    """

    row: Array
    days: Array
    amounts: Array
    rates: Array
    where: Array


def grid_of(
    plans: Sequence[Plan], days: Array, drugs: Sequence[str], step_days: float, start_days: float
) -> Grid:
    """Return the steps for every patient; patients with the same plan and days share theirs.

    Parameters
    ----------
    plans, days
        Of each patient; (patient, time) [day].
    step_days
        No step is longer [day].

    Raises
    ------
    TherapyError
        If a drug is not one of the equations', or a day is before the start.
    """
    if days.size and float(days.min()) < start_days:
        raise TherapyError(
            f"day {float(days.min()):g} is asked for, expected none before day {start_days:g}, "
            "from which the equations run"
        )
    # Patients of one batch often share the very same plan, which is then read once.
    given = {id(plan): tuple(administrations(plan)) for plan in {id(p): p for p in plans}.values()}
    known: dict[tuple[tuple[tuple[float, Dose], ...], bytes], int] = {}
    rows = [
        known.setdefault((given[id(plan)], each.tobytes()), len(known))
        for plan, each in zip(plans, days, strict=True)
    ]
    parts = [
        _row(doses, np.frombuffer(each, dtype=days.dtype), drugs, step_days, start_days)
        for doses, each in known
    ]
    points = max(len(part[0]) for part in parts)
    return Grid(
        np.array(rows),
        np.stack([_padded(part[0], points, part[0][-1]) for part in parts]),
        np.stack([_padded(part[1], points, 0.0) for part in parts]),
        np.stack([_padded(part[2], points, 0.0) for part in parts]),
        np.stack([part[3] for part in parts]),
    )


def _padded(values: Array, length: int, fill: float) -> Array:
    width = [(0, length - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, width, constant_values=fill)


def _row(
    doses: Sequence[tuple[float, Dose]],
    days: Array,
    drugs: Sequence[str],
    step_days: float,
    start_days: float,
) -> tuple[Array, Array, Array, Array]:
    last = float(days.max(initial=start_days))
    given = [(day, dose) for day, dose in doses if start_days <= day <= last]
    for _, dose in given:
        if dose.drug not in drugs:
            raise TherapyError(
                f"drug '{dose.drug}' is not in the equations{nearest(dose.drug, drugs)}"
            )
    marks = {start_days, last, *days.tolist()}
    for day, dose in given:
        marks |= {day, min(day + dose.duration_days, last)}
    ordered = sorted(marks)
    points = [ordered[0]]
    for before, after in zip(ordered[:-1], ordered[1:], strict=True):
        steps = max(1, math.ceil((after - before) / step_days - 1e-9))
        points += list(np.linspace(before, after, steps + 1)[1:])
    at = np.array(points)
    amounts, rates = np.zeros((2, len(at), len(drugs)))
    for day, dose in given:
        column = drugs.index(dose.drug)
        if dose.duration_days > 0:
            inside = (at >= day - 1e-9) & (at < day + dose.duration_days - 1e-9)
            rates[inside, column] += dose.amount / dose.duration_days
        else:
            amounts[int(np.argmin(np.abs(at - day))), column] += dose.amount
    where = np.array([int(np.argmin(np.abs(at - day))) for day in days])
    return at, amounts, rates, where
