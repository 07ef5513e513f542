"""Which value of a column counts at which visit, and what makes the stratum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from omics_twin.intake.fhir_mapping import Combine, FhirMapping, Target
from omics_twin.intake.fhir_parts import Reason, Value
from omics_twin.intake.fhir_values import Fact

# Day since the index date -> column -> value.
Visits = dict[int, dict[Target, Value]]


def visits_of(
    facts: Iterable[Fact], index: date, mapping: FhirMapping
) -> tuple[Visits, dict[str, str], list[Reason]]:
    """Return the values of each day, the stratum, and what was not used.

    Parameters
    ----------
    facts
        In the order of the Bundle.
    index
        Day 0.
    """
    by_place: dict[tuple[int, Target], list[Fact]] = {}
    untold: list[Reason] = []
    for fact in facts:
        day = _shown_on(fact, index, mapping)
        if isinstance(day, Reason):
            untold.append(day)
        else:
            dated = replace(fact, on=fact.on or index)
            by_place.setdefault((day, fact.target), []).append(dated)
    visits: Visits = {}
    stratum: dict[str, str] = {}
    for (day, target), told in by_place.items():
        known, reasons = _settled(told)
        untold += reasons
        for value in known:
            if target.modality:
                visits.setdefault(day, {})[target] = value
            elif value is not None:
                stratum[target.column] = text_of(value)
    return dict(sorted(visits.items())), stratum, untold


def text_of(value: int | float | str) -> str:
    """Return how a stratum writes a value.

    Examples
    --------
    >>> text_of(1), text_of(1.0), text_of("II")
    ('1', '1', 'II')
    """
    return value if isinstance(value, str) else f"{value:.15g}"


def _shown_on(fact: Fact, index: date, mapping: FhirMapping) -> int | Reason:
    """Return the visit a value belongs to [day since the index date]."""
    day = 0 if fact.on is None else (fact.on - index).days
    if not fact.target.modality:
        late = f"{fact.where}: is dated after the index date, which makes no stratum"
        return Reason(late) if day > 0 else 0
    if day > 0 or (not fact.lasting and mapping.baseline_days is None):
        return day
    if not fact.lasting and mapping.baseline_days is not None and -day > mapping.baseline_days:
        most = mapping.baseline_days
        return Reason(f"{fact.where}: was measured more than {most} days before the index date")
    return 0


def _settled(facts: Sequence[Fact]) -> tuple[list[Value], list[Reason]]:
    """Return the value that counts, none where it stays open, and what does not count."""
    measured = [fact for fact in facts if fact.value is not None]
    if not measured:
        return [None], []
    whole = [fact for fact in measured if fact.combine is Combine.LATEST]
    parts: dict[str, list[Fact]] = {}
    for fact in whole or measured:
        parts.setdefault(fact.part, []).append(fact)
    latest: dict[str, Value] = {}
    # Whoever tells a column as a whole need not be asked for its parts.
    besides = (fact for fact in measured if whole and fact.combine is not Combine.LATEST)
    untold = [_replaced(fact, whole[0]) for fact in besides]
    for part, told in parts.items():
        newest = max((fact.on, fact.told_at) for fact in told)
        last = [fact for fact in told if (fact.on, fact.told_at) == newest]
        by = last[-1]
        if any(fact.value != by.value for fact in last):
            untold += [_contradicted(fact) for fact in last]
        else:
            latest[part] = by.value
        earlier = (fact for fact in told if (fact.on, fact.told_at) != newest)
        untold += [_replaced(fact, by) for fact in earlier if fact.value != by.value]
    if whole:
        return list(latest.values()), untold
    first = measured[0]
    missing = sorted(first.parts - set(latest))
    if any(value == 1 for value in latest.values()):
        return [1], untold
    if missing:
        alone = f"{first.where}: says nothing alone of {first.target}, without {', '.join(missing)}"
        return [], [*untold, Reason(alone)]
    return ([0] if latest else []), untold


def _contradicted(fact: Fact) -> Reason:
    return Reason(
        f"{fact.where}: is contradicted by another of the same day and issue, so {fact.target} "
        "is left out"
    )


def _replaced(fact: Fact, by: Fact) -> Reason:
    return Reason(f"{fact.where}: gives way to {by.where}, for {fact.target}")
