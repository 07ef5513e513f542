"""Which plans are open to one patient's twin: what was given so far, and what may follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omics_twin.bedside.belief import KeptBelief, intervention_of, read_told
from omics_twin.dynamics.plan import administrations, plan_of
from omics_twin.errors import TherapyError, TwinError, nearest, quoted
from omics_twin.therapy.regimens import SCHEDULES, Limits, grid
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.published import AMOUNTS
from omics_twin.types import NO_INTERVENTION, Dose, Intervention
from omics_twin.visits.living import RESPONSE, LivingModel


def therapy_of(kept: KeptBelief) -> Intervention:
    """Return the therapy that was given up to the last visit, which goes on."""
    return kept.visits[-1].under if kept.visits else NO_INTERVENTION


def goes_on(kept: KeptBelief, therapy: Intervention) -> bool:
    """Whether anything of a therapy would be given on the day of the last visit or later."""
    last = float(kept.visits[-1].observation.days[0]) if kept.visits else -math.inf
    return any(each.amount > 0 and _last_day(each) >= last for each in therapy.doses)


def _last_day(dose: Dose) -> float:
    """Return when a dose is given last [day]; a trial's own without a schedule goes on."""
    if dose.unit == "standard" and dose.interval_days == dose.duration_days == 0:
        return math.inf
    return dose.start_days + (dose.repeat - 1) * dose.interval_days


def dosed_days(kept: KeptBelief, plan: Intervention, until_days: float) -> list[float]:
    """Return the days of doses, those given up to the last visit and of a plan after it [day]."""
    seen = [float(visit.observation.days[0]) for visit in kept.visits]
    whole = plan_of(seen, [visit.under for visit in kept.visits], plan)
    return [day for day, _ in administrations(whole) if day <= until_days]


def plans_asked(asked: str | None, model: LivingModel, kept: KeptBelief) -> list[Intervention]:
    """Return the plans to compare: an arm, those of a JSON file, or going on and stopping.

    Where nothing of the present therapy lies ahead, the arms stand in the place of going on.

    Raises
    ------
    TherapyError
        If an arm or a drug is not known, or two plans have the same name.
    TwinError
        If a file holds no plans.
    """
    last = float(kept.visits[-1].observation.days[0]) if kept.visits else 0.0
    doses = isinstance(model.twin, MechanisticTwin) and model.twin.dynamics.drugs is not None
    if asked is None and doses and not model.plans:
        return [*published_grid(model.arms, max(last, 0.0)), NO_INTERVENTION]
    if model.never_untreated and (asked is None or not asked.endswith(".json")):
        if asked is None and model.kind == RESPONSE:
            return [_going_on(kept)]
        return [model.arm(each) for each in (model.arms if asked is None else [asked])]
    if asked is None:
        now = therapy_of(kept)
        going_on = [replace(now, name=f"go on with {now.name}")]
        arms = [model.arm(each) for each in model.arms]
        own = going_on if goes_on(kept, now) else [each for each in arms if goes_on(kept, each)]
        return [*own, NO_INTERVENTION]
    if not asked.endswith(".json"):
        return [model.arm(asked), NO_INTERVENTION]
    records = read_told(Path(asked), "a list of plans")
    if isinstance(records, dict) and "amounts" in records:
        return [*_grid(asked, records, max(last, 0.0)), NO_INTERVENTION]
    if not isinstance(records, list) or not records:
        raise TwinError(
            f"'{asked}' holds no list of plans: write [{{'name': …, 'doses': …}}], or "
            "a grid {'amounts': {drug: [mg, …]}, 'schedules': [name, …], 'days': …}"
        )
    plans = [intervention_of(each, model.arm) for each in records]
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise TherapyError(f"'{asked}' names a plan twice, expected each name once: rename one")
    for drug in {drug for plan in plans for drug in plan.drugs}:
        # Where an arm is a plan, its drugs are the twin's, which says what it knows.
        if not model.plans:
            model.arm(drug)
    return plans


def _going_on(kept: KeptBelief) -> Intervention:
    """Return the present therapy: whom another arm is open to, this kind of twin does not know."""
    now = therapy_of(kept)
    if not goes_on(kept, now):
        raise TherapyError("the present therapy is not known: add intervention=ARM")
    return replace(now, name=f"go on with {now.name}")


def _grid(path: str, record: dict[str, Any], start_days: float) -> list[Intervention]:
    """Return the open plans of a grid; what is not open is told by name."""
    unknown = set(record) - {"amounts", "schedules", "days", "limits", "together"}
    if unknown:
        raise TwinError(f"'{path}' has {quoted(sorted(unknown))}, which is no part of a grid")
    named = record.get("schedules", list(SCHEDULES))
    for each in named:
        if each not in SCHEDULES:
            raise TwinError(f"unknown schedule '{each}'{nearest(each, SCHEDULES)}")
    found = grid(
        record["amounts"],
        [SCHEDULES[each] for each in named],
        days=float(record.get("days", 182.0)),
        start_days=start_days,
        together=bool(record.get("together", False)),
        limits={drug: Limits(**each) for drug, each in record.get("limits", {}).items()},
    )
    if not found.plans:
        raise TherapyError(
            f"no plan of '{path}' is open: " + "; ".join(map(": ".join, found.excluded.items()))
        )
    return list(found.plans)


def published_grid(drugs: Sequence[str], start_days: float) -> tuple[Intervention, ...]:
    """Return the doses and schedules that are compared where none are named."""
    amounts = {drug: AMOUNTS[drug] for drug in drugs}
    schedules = [SCHEDULES[name] for name in ("daily", "4 weeks on, 2 off", "2 weeks on, 1 off")]
    return grid(amounts, schedules, days=182.0, start_days=start_days).plans
