"""Doses of a FHIR Bundle: what was administered, and what is ordered or said to be taken.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B: medicationadministration.html, medicationrequest.html,
medicationstatement.html, dosage.html, datatypes.html#Timing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from omics_twin.errors import TwinError, shown
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.intake.fhir_parts import (
    Code,
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
from omics_twin.intake.fhir_therapy import medication_of
from omics_twin.intake.fhir_values import LOINC, VALID, quantity_in
from omics_twin.told import LARGEST_SURFACE_M2, RecordedDose, dose_of

_GIVEN = "MedicationAdministration"
# Eight hours are a third of a day, which no float is.
_ROUNDING = 1e-9
_ORDERED = ("active", "completed", "on-hold")
# Body surface area, as measured or derived; what is written as a dose by it.
_SURFACE: frozenset[Code] = frozenset({(LOINC, "3140-1"), (LOINC, "8277-6")})
BY_SURFACE = ("mg/m2", "g/m2")
_DAYS = {"d": 1.0, "wk": 7.0, "h": 1 / 24}
# What a schedule may say; more would be another schedule.
_REPEAT = {
    *("boundsPeriod", "boundsDuration", "count", "frequency"),
    *("period", "periodUnit", "duration", "durationUnit"),
}


@dataclass(frozen=True)
class Dosed:
    """Administrations of an agent that are alike, before days are counted; amounts in mg."""

    agent: str
    amount: float
    start: date
    duration_days: float
    interval_days: float
    repeat: int
    planned: bool
    where: str

    def since(self, index: date) -> RecordedDose | Reason:
        """Return the dose with its days since the index date."""
        told = {
            "drug": self.agent,
            "amount": self.amount,
            "start_days": float((self.start - index).days),
            "duration_days": self.duration_days,
            "interval_days": self.interval_days if self.repeat > 1 else 0.0,
            "repeat": self.repeat,
            "planned": self.planned,
        }
        try:
            return dose_of(told)
        except TwinError:
            return Reason(f"{self.where}: its dose is below 0, or given too often to be kept")


def surface_of(held: Held) -> tuple[date, float] | None:
    """Return the day and the body surface area [m2] that an Observation says; None: another."""
    resource = held.resource
    codes = codes_of(object_in(resource, "code"))
    if held.kind != "Observation" or _SURFACE.isdisjoint(codes):
        return None
    on = day_of(text_in(resource, "effectiveDateTime"))
    area = quantity_in(object_in(resource, "valueQuantity"), "m2")
    if on is None or isinstance(area, Reason) or not 0.0 < area <= LARGEST_SURFACE_M2:
        return None
    return (on, float(area)) if text_in(resource, "status") in VALID else None


def doses_in(
    held: Held,
    mapping: FhirMapping,
    medications: Mapping[str, tuple[Named, Object]],
    surfaces: Mapping[date, float],
) -> Iterator[Dosed | Reason]:
    """Yield the doses that a resource tells of an agent of the mapping, and why others are not.

    A MedicationAdministration tells what was given, the others what is planned. A resource that
    says nothing of a dose yields nothing.

    Parameters
    ----------
    surfaces
        Body surface areas of the patient by the day they were measured on [m2].
    """
    where, agent = medication_of(held, mapping, medications)
    resource, dosages = held.resource, _dosages(held)
    if held.kind == "MedicationStatement" and text_in(resource, "status") == "stopped":
        if agent is not None and dosages:
            yield Reason(f"{where}: was stopped, so its dose is not planned")
        return
    if held.kind == "MedicationRequest":
        reason = _not_ordered(resource)
        if agent is None:
            reason = "its medication is no agent, or several, of the mapping"
        if reason or not dosages:
            yield Reason(f"{where}: {reason or 'says nothing of a dose'}")
            return
    if agent is None:
        return
    for dosage in dosages:
        for told in _read(dosage, resource, held.kind):
            if isinstance(told, str):
                yield Reason(f"{where}: {told}")
            else:
                yield _in_mg(agent, told, held.kind != _GIVEN, where, surfaces)


def _in_mg(
    agent: str, told: dict[str, Any], planned: bool, where: str, surfaces: Mapping[date, float]
) -> Dosed | Reason:
    """Return a dose in mg; one by body surface by the last surface that was measured by then."""
    if told.pop("by_surface"):
        known = [day for day in surfaces if day <= told["start"]]
        if not known:
            return Reason(
                f"{where}: its dose is by body surface, and none was measured by its first day: "
                "send one (LOINC 3140-1, in m2)"
            )
        told["amount"] *= surfaces[max(known)]
    return Dosed(agent, **told, planned=planned, where=where)


def _dosages(held: Held) -> Sequence[Object]:
    if held.kind == _GIVEN:
        dosage = object_in(held.resource, "dosage")
        return [dosage] if dosage else []
    key = "dosage" if held.kind == "MedicationStatement" else "dosageInstruction"
    return list(objects_of(held.resource, key))


def _not_ordered(resource: Object) -> str:
    if resource.get("doNotPerform") is True:
        return "is an order not to give it"
    status = text_in(resource, "status")
    return "" if status in _ORDERED else f"is {shown(status)}, expected what is ordered"


def _read(dosage: Object, resource: Object, kind: str) -> Iterator[dict[str, Any] | str]:
    if kind == _GIVEN:
        amount, timed = object_in(dosage, "dose"), _administered(resource)
        unread = [each for each in dosage if each.startswith("rate")]
    else:
        listed = list(objects_of(dosage, "doseAndRate"))
        if len(listed) > 1:
            yield "its dosage has several amounts, expected one"
            return
        rated = listed[0] if listed else {}
        amount, timed = object_in(rated, "doseQuantity"), _scheduled(dosage, resource)
        unread = [each for each in rated if each.startswith(("rate", "doseRange"))]
        limits = [each for each in dosage if each.startswith(("asNeeded", "maxDose"))]
        unread += [each for each in limits if dosage[each] is not False]
    for each in unread:
        yield f"its '{each}' is not read"
    if not amount:
        # A rate without an amount was told above; text alone is no dose.
        if not unread:
            yield "its dosage names no amount"
        return
    if any(each.startswith(("asNeeded", "doseRange")) for each in unread):
        return
    by_surface = text_in(amount, "code") in BY_SURFACE
    milligrams = quantity_in(amount, "mg/m2" if by_surface else "mg")
    if isinstance(milligrams, Reason):
        yield f"of its dose, {milligrams.sentence}"
    elif isinstance(timed, str):
        yield timed
    else:
        yield from ({"amount": milligrams, "by_surface": by_surface, **each} for each in timed)


def _administered(resource: Object) -> list[dict[str, Any]] | str:
    """Return one administration; times of day move none, so one within a day is a bolus."""
    written, period = text_in(resource, "effectiveDateTime"), object_in(resource, "effectivePeriod")
    start = day_of(written or text_in(period, "start"))
    end = start if written else day_of(text_in(period, "end"))
    if start is None or end is None or end < start:
        return "its dose has no days from which to which it was given"
    return [_times(start, float((end - start).days))]


def _times(start: date, duration: float = 0.0, **more: Any) -> dict[str, Any]:
    once = {"duration_days": duration, "interval_days": 0.0, "repeat": 1}
    return {"start": start, **once, **more}


def _scheduled(dosage: Object, resource: Object) -> list[dict[str, Any]] | str:
    timing = object_in(dosage, "timing")
    events = timing.get("event")
    if isinstance(events, list) and events:
        days = [day_of(each) if isinstance(each, str) else None for each in events]
        known = [each for each in days if each is not None]
        alike = len(known) == len(days)
        return [_times(each) for each in known] if alike else "its dose is due on no days"
    repeat = object_in(timing, "repeat")
    unread = sorted(set(repeat) - _REPEAT)
    if unread:
        return f"of its schedule '{unread[0]}' is not read"
    if not repeat and "code" in timing:
        return "its schedule is a code alone, which is not read"
    bounds = object_in(repeat, "boundsPeriod") or object_in(resource, "effectivePeriod")
    written = text_in(bounds, "start") or text_in(resource, "effectiveDateTime")
    start, end = day_of(written), day_of(text_in(bounds, "end"))
    if start is None:
        return "its schedule has no day on which it begins"
    if not repeat:
        if end is not None and end != start:
            return "its dosage has no schedule for the days of its period"
        return [_times(start)]
    unit, period = text_in(repeat, "periodUnit"), _number(repeat.get("period", 1))
    if unit not in _DAYS or not period or period <= 0:
        return "its schedule repeats in no days, weeks or hours"
    every = _DAYS[unit] * period / (_number(repeat.get("frequency", 1)) or 1.0)
    count, lasts = repeat.get("count"), object_in(repeat, "boundsDuration")
    if isinstance(count, int):
        times = count
    elif end is not None:
        # The last day of a period is part of it.
        times = _fitting((end - start).days + 1, every)
    elif lasts:
        length = quantity_in(lasts, "day")
        if not isinstance(length, int | float):
            return "its schedule lasts for no number of days"
        times = _fitting(length, every)
    else:
        return "its schedule has no end"
    if times < 1:
        return "its schedule ends before the first dose"
    unit_of_one, of_one = text_in(repeat, "durationUnit"), _number(repeat.get("duration")) or 0.0
    if of_one and unit_of_one not in _DAYS:
        return "its schedule lasts each time for no days, weeks or hours"
    takes = _DAYS.get(unit_of_one, 0.0) * of_one
    return [_times(start, takes, interval_days=every, repeat=times)]


def _fitting(days: float, every: float) -> int:
    """Return how many administrations begin within some days, the first at their beginning."""
    return math.ceil(days / every - _ROUNDING)


def _number(given: Any) -> float | None:
    try:
        return None if given is None or isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        return None
