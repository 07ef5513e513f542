"""What was given to a patient, and under which arm each visit was.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B: medicationadministration.html, medicationstatement.html.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from omics_twin.errors import quoted, shown
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.intake.fhir_parts import (
    Held,
    Named,
    Object,
    Reason,
    codes_of,
    day_of,
    object_in,
    text_in,
)
from omics_twin.intake.fhir_rules import objects_of

_GIVEN = {
    "MedicationAdministration": ("in-progress", "completed", "stopped"),
    "MedicationStatement": ("active", "completed", "stopped"),
}


@dataclass(frozen=True)
class Given:
    """An agent that was given from one day to another; ``None``: it goes on."""

    agent: str
    start: date
    end: date | None
    where: str


def given_in(
    held: Held, mapping: FhirMapping, medications: Mapping[str, tuple[Named, Object]]
) -> Given | Reason:
    """Return what a MedicationAdministration or MedicationStatement gave, or why it is not read.

    Parameters
    ----------
    medications
        Reference -> names and resource of a Medication of the Bundle.
    """
    resource = held.resource
    where, agent = medication_of(held, mapping, medications)
    status = text_in(resource, "status")
    if agent is None:
        return Reason(f"{where}: its medication is no agent, or several, of the mapping")
    if status not in _GIVEN[held.kind]:
        return Reason(f"{where} is {shown(status)}, expected what was given")
    period = object_in(resource, "effectivePeriod")
    written = text_in(resource, "effectiveDateTime")
    start = day_of(written or text_in(period, "start"))
    end = start if written else day_of(text_in(period, "end"))
    if start is None or ("end" in period and end is None):
        return Reason(f"{where}: has no days as its dates, expected such as 2024-03-01")
    if end is None and status in ("completed", "stopped"):
        return Reason(f"{where}: is {shown(status)}, and has no end")
    return Given(agent, start, end, where)


def medication_of(
    held: Held, mapping: FhirMapping, medications: Mapping[str, tuple[Named, Object]]
) -> tuple[str, str | None]:
    """Return how a sentence names a resource of a medication, and the agent that it is."""
    concept = object_in(held.resource, "medicationCodeableConcept")
    reference = object_in(held.resource, "medicationReference")
    if reference:
        concept = object_in(_referenced(held, reference, medications), "code")
    codes = codes_of(concept)
    where = f"{held} {mapping.spelled(codes[0])}" if codes else f"{held} without a code"
    return where, mapping.agent_of(codes)


def _referenced(
    held: Held, reference: Object, medications: Mapping[str, tuple[Named, Object]]
) -> Object:
    written = text_in(reference, "reference")
    if written.startswith("#"):
        inside = objects_of(held.resource, "contained")
        return next((each for each in inside if each.get("id") == written[1:]), {})
    named, medication = medications.get(written, (None, {}))
    return medication if named is not None and named.meant_by(reference, held) else {}


def arms_before(
    days: Sequence[int], given: Sequence[Given], index: date, mapping: FhirMapping
) -> tuple[list[str | None], list[Reason]]:
    """Return for each visit the arm given since the visit before, and what could not be told.

    What is given on the day of a visit is given after it, and what ends on that day before it.

    Parameters
    ----------
    days
        Visits in time order [day since the index date].
    """
    begun: list[Counter[str]] = [Counter() for _ in days]
    ended: list[Counter[str]] = [Counter() for _ in days]
    untold = []
    for each in given:
        start = (each.start - index).days
        end = math.inf if each.end is None else (each.end - index).days
        first = bisect_right(days, max(start, 0))
        last = bisect_left(days, end) if end > max(start, 0) else first
        if end < 0 or (end == 0 and start < 0):
            untold.append(Reason(f"{each.where}: was given before the index date"))
        elif first == len(days):
            untold.append(Reason(f"{each.where}: was given after the last visit"))
        else:
            begun[first][each.agent] += 1
            ended[min(last, len(days) - 1)][each.agent] += 1
    arms, unknown = _arms(begun, ended, mapping)
    return arms, unknown + untold


def _arms(
    begun: Sequence[Counter[str]], ended: Sequence[Counter[str]], mapping: FhirMapping
) -> tuple[list[str | None], list[Reason]]:
    active: Counter[str] = Counter()
    arm: str | None = None
    arms: list[str | None] = []
    unknown = []
    for place, (first, last) in enumerate(zip(begun, ended, strict=True)):
        active.update(first)
        agents = {agent for agent, times in active.items() if times > 0}
        # Agents of every arm, given alone, leave the arm what it was.
        if agents - mapping.continuing:
            arm = mapping.arms.get(frozenset(agents - mapping.continuing))
        if agents and arm is None:
            named = quoted(sorted(agents))
            unknown.append(Reason(f"visit {place}: before it {named} were given, which is no arm"))
        arms.append(arm if agents else None)
        active.subtract(last)
    return arms, unknown
