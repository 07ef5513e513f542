"""What was, and will be, given to one patient: therapies in force one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from omics_twin.types import NO_INTERVENTION, Dose, Intervention


@dataclass(frozen=True)
class Segment:
    """A therapy in force from a day, inclusive, to another, exclusive [day]."""

    start_days: float
    end_days: float
    intervention: Intervention


Plan = tuple[Segment, ...]


def plan_of(
    visit_days: Sequence[float], given: Sequence[Intervention], ahead: Intervention
) -> Plan:
    """Return the plan of a patient who came on some days, each under what was given up to it.

    Of each therapy, what falls between the visit before and the visit itself was given; a dose on
    the very day of a visit comes after it.

    Parameters
    ----------
    ahead
        The therapy after the last visit.

    Examples
    --------
    >>> weekly = Intervention("weekly", (Dose("a", interval_days=7, repeat=4),))
    >>> plan = plan_of([0.0, 14.0], [NO_INTERVENTION, weekly], NO_INTERVENTION)
    >>> [day for day, _ in administrations(plan)]
    [0.0, 7.0]
    """
    segments: list[Segment] = []
    start = -math.inf
    for day, intervention in zip(visit_days, given, strict=True):
        if day > start or not segments:
            segments.append(Segment(start, max(day, start), intervention))
            start = max(day, start)
    return (*segments, Segment(start, math.inf, ahead))


def administrations(plan: Plan) -> list[tuple[float, Dose]]:
    """Return every single administration, in order of its day, as a dose that is not repeated.

    An infusion that runs into another segment stops with its own.
    """
    found: list[tuple[float, Dose]] = []
    for segment in plan:
        for dose in segment.intervention.doses:
            for number in range(dose.repeat):
                day = dose.start_days + number * dose.interval_days
                if not segment.start_days <= day < segment.end_days:
                    continue
                length = min(dose.duration_days, segment.end_days - day)
                share = length / dose.duration_days if dose.duration_days > 0 else 1.0
                single = replace(
                    dose,
                    amount=dose.amount * share,
                    start_days=day,
                    duration_days=length,
                    interval_days=0.0,
                    repeat=1,
                )
                found.append((day, single))
    return sorted(found, key=lambda each: each[0])


def in_force(plan: Plan, day: float) -> Intervention:
    """Return the therapy in force on a day.

    Examples
    --------
    >>> in_force((Segment(0.0, 7.0, Intervention("a")),), 8.0).name
    'no intervention'
    """
    for segment in plan:
        if segment.start_days <= day < segment.end_days:
            return segment.intervention
    return NO_INTERVENTION
