"""What the page says of one patient whose twin learns from visit to visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from omics_twin.bedside import watching
from omics_twin.bedside.plans import dosed_days, goes_on, therapy_of
from omics_twin.bedside.watching import Change, Compared, Told
from omics_twin.chart.lived import (
    PLANNED,
    Lived,
    by_dose,
    drugs_known,
    lines_of,
    live,
    modalities_of,
    plans_open,
)
from omics_twin.chart.store import Chart
from omics_twin.dynamics.recist import Response, response_lines, responses
from omics_twin.errors import TherapyError, nearest
from omics_twin.lifecycle.validity import check_like
from omics_twin.report.course import Course, course_of
from omics_twin.report.limits import unlike_at_first
from omics_twin.report.words import (
    column_in_words,
    counted,
    day_in_words,
    listed,
    name_in_words,
    percent,
    probability,
    visible,
)
from omics_twin.serve.kept import Moment, kept, measured_in_words
from omics_twin.serve.once import Once
from omics_twin.serve.visit_form import MOST_FIELDS, Field, number_in, visit_of_values
from omics_twin.settings import TwinSettings
from omics_twin.therapy.regimens import SCHEDULES, grid
from omics_twin.therapy.utility import Utility
from omics_twin.told import RecordedVisit
from omics_twin.twin.published import AMOUNTS
from omics_twin.types import NO_INTERVENTION, Intervention, Modality
from omics_twin.visits.living import LivingModel

_DIAMETERS = "size_mm"
_MOST_DAYS = 730.0
_USUAL_DAYS = 182.0
_MOST_DRAWN = 3


@dataclass(frozen=True)
class LivingDesk:
    """What the page of a twin that learns from visit to visit is served from."""

    chart: Chart
    model: LivingModel
    settings: TwinSettings
    pages: Once = field(default_factory=Once, repr=False)

    def asked(self, patient_id: str) -> tuple[Chart, LivingModel, str, TwinSettings]:
        """Return what plans are compared from, see :func:`omics_twin.chart.lived.live`."""
        return self.chart, self.model, patient_id, self.settings

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model can be shown."""
        return modalities_of(self.model)

    @property
    def labels(self) -> dict[str, str]:
        """What people call each arm."""
        return {arm: visible(arm) for arm in self.model.arms}

    @property
    def drugs(self) -> tuple[str, ...]:
        """Drugs whose doses can be asked about; none where the twin knows arms alone."""
        return drugs_known(self.model)


def about(desk: LivingDesk, patient_id: str, *, by: str) -> tuple[Lived, dict[str, Any]]:
    """Return the plans as they are told, and everything the page says."""
    told = live(*desk.asked(patient_id), by=by)
    page = desk.pages.told(told.number, lambda: _of_the_twin(desk, told))
    return told, {
        **page,
        "patient_id": patient_id,
        "ranking": told.number,
        "title": visible(desk.model.title),
        "higher_is_better": desk.model.endpoint.higher_is_better,
        "lines": _lines(told.lines),
        "interval": percent(told.interval),
        "limits": _limits(desk, told),
        "timeline": _timeline(desk, told),
        **kept(desk.chart, patient_id, desk.labels, desk.modalities, told.withheld),
        "doses_note": _doses_note(desk),
        "options": [(each["intervention"],) * 2 for each in told.lines],
        "choices": by_hand(desk),
        "provenance": _provenance(desk, told),
    }


def _of_the_twin(desk: LivingDesk, told: Lived) -> dict[str, Any]:
    if not told.lines:
        return {"course": None, "response": "", "own": []}
    found = told.compared
    own = desk.model.twin.summary(told.beliefs.states[-1], told.interval)
    return {
        "course": _course(desk, told, found, ()),
        "response": _response(found),
        "own": [f"{visible(name)}: {Told.of_summary(each)}" for name, each in own.items()],
    }


def _course(desk: LivingDesk, told: Lived, found: Compared, chosen: Sequence[str]) -> Course | None:
    days, sizes = found.measured
    diameters = found.quantity == _DIAMETERS and len(sizes) > 0
    rules = response_lines(sizes) if diameters else ()
    medians = [float(each[1].max()) for each in found.sizes]
    # A band that nobody will see ends at what a person would still look at.
    most = max([1.6 * max(sizes), 1.2 * max(medians)]) if len(sizes) else float("inf")
    # What is measured is drawn where it is what the curves are of.
    expected = (
        watching.expected_at(desk.model, told.kept, told.interval, told.beliefs.states)
        if len(sizes)
        else {}
    )
    return course_of(
        found,
        {plan.name: plan.name for plan in found.plans},
        _now(told),
        expected,
        chosen,
        rules=rules,
        # Where the twin knows arms alone, nobody wrote down a day of a dose.
        dosed=(lambda plan: dosed_days(told.kept, plan, float(found.days[-1])))
        if desk.drugs
        else None,
        most=most,
    )


def _now(told: Lived) -> float:
    return float(told.kept.visits[-1].observation.days[0]) if told.kept.visits else 0.0


def _response(found: Compared) -> str:
    """Return the response by size at the last visit, where sizes are diameters."""
    sizes = found.measured[1]
    if found.quantity != _DIAMETERS or len(sizes) < 2:
        return ""
    last = Response(int(responses(torch.tensor(sizes, dtype=torch.float64))[-1]))
    return (
        f"{name_in_words(last.name.lower())} by RECIST 1.1, of the target lesions alone: new and "
        "non-target lesions are not in a sum of diameters"
    )


def _lines(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return plans as they are told; tied: the interval reaches into that of the first."""
    return [_line(each) | {"tied": _overlap(lines[0], each)} for each in lines]


def _line(each: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": visible(each["intervention"]),
        "expected": f"{each['expected']:.2f}",
        "range": f"{each['lower']:.2f} to {each['upper']:.2f}",
        "best": probability(each["probability_best"]),
    }


def order_in_words(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first plans of a list."""
    told = [_line(each) for each in lines[:_MOST_DRAWN]]
    return [f"{e['name']}: {e['expected']}, best with probability {e['best']}" for e in told]


def _limits(desk: LivingDesk, told: Lived) -> list[str]:
    """Return what limits the answer, which stands above it."""
    far = unlike_at_first(desk.model, told.kept.visits)
    found = [] if not far else [f"{far}."]
    if not told.lines and not plans_open(desk.model, told.kept, told.doses):
        found.append(
            "No therapy is known that goes on: whom an arm is open to, this twin does not know. "
            "Ask what would be under one."
        )
    elif not told.lines:
        found.insert(
            0, "No answer: such patients are refused one by policy. Is the first visit right?"
        )
    if not told.kept.visits:
        found.append("Nothing that the twin can be shown was measured: it tells of the population.")
    elif len(told.kept.visits) == 1:
        found.append("One measurement alone: how the tumour changes is that of the population.")
    known = desk.drugs
    strange = sorted({each.drug for each in told.doses} - set(known))
    if known and strange:
        named = listed([visible(each) for each in strange])
        found.append(f"Doses of {named} are not known to the twin: it answers as without them.")
    # Without a visit nothing was given up to one.
    dosed = bool(told.kept.visits) and by_dose(desk.model, told.doses)
    if dosed and not goes_on(told.kept, therapy_of(told.kept)):
        found.append(
            "No dose that was given lies after the last visit: going on is not among the plans, "
            "and lack of benefit is not judged."
        )
    if told.withheld:
        found.append(f"The patient withholds {listed([visible(e) for e in told.withheld])}.")
    learned = desk.model.learned_from(told.record.patient_id)
    if learned:
        found.append("The twin learned from this very patient: what was expected is not held out.")
    first, second = [*told.lines, None, None][:2]
    if first and second and _overlap(first, second):
        found.append("The intervals of the first two plans overlap: that is no clear order.")
    if not desk.model.provenance.get("patients"):
        found.append("The population is published, not learned: no patient of ours checked it.")
    return found


def _overlap(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return bool(first["lower"] <= second["upper"] and second["lower"] <= first["upper"])


def _doses_note(desk: LivingDesk) -> str:
    if not desk.drugs:
        return "This twin knows arms as they were given in its cohort: no dose moves it."
    return (
        f"The twin reads doses of {listed([visible(each) for each in desk.drugs])}. What is "
        f"planned after the last visit is compared as '{PLANNED}'."
    )


def _timeline(desk: LivingDesk, told: Lived) -> list[Moment]:
    dosed = by_dose(desk.model, told.doses)
    return [
        Moment(
            when=day_in_words(visit.day),
            under="see the doses" if dosed else visible(visit.under or ""),
            told=tuple(measured_in_words(visit)),
            number=number,
            parts=tuple(
                ({"channel": each}, visible(name_in_words(each)))
                for each in visit.values
                if each in by_hand(desk)
            ),
        )
        for visit, number in zip(told.record.visits, told.visits, strict=True)
    ]


def by_hand(desk: LivingDesk) -> list[str]:
    """Return the modalities that are few enough values to be filled in."""
    known = desk.model.twin.modalities
    return [each.name for each in known if len(each.features) <= MOST_FIELDS]


def fields_of(desk: LivingDesk, modality: str) -> list[Field]:
    """Return the fields of a modality."""
    (chosen,) = (each for each in desk.model.twin.modalities if each.name == modality)
    unit = _unit(chosen)
    return [Field(each, visible(name_in_words(each)), (), unit) for each in chosen.features]


def _unit(modality: Modality) -> str:
    return "" if modality.unit in ("1", "mixed") else modality.unit


def _provenance(desk: LivingDesk, told: Lived) -> list[tuple[str, str]]:
    known = desk.model.provenance
    return [
        ("twin", visible(desk.model.twin.name)),
        ("digest", desk.model.digest[:16]),
        (
            "trained on",
            f"{known.get('patients', 'unknown')} patients of {known.get('cohort', '?')}",
        ),
        ("question", visible(desk.model.endpoint.quantity)),
        ("belief", f"{told.kept.draws} draws, {counted(len(told.kept.visits), 'visit')}"),
    ]


def learned(
    desk: LivingDesk,
    change: Change | None,
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
) -> dict[str, Any] | None:
    """Return what a visit changed, in words; None where it was not the last one."""
    if change is None:
        return None
    twin = desk.model.twin
    unit = "mm" if twin.quantities[0] == _DIAMETERS else _unit(twin.modality)
    inside = change.share is None or 0.05 <= change.share <= 0.95
    return {
        "when": day_in_words(change.day),
        "under": "",
        "foreseen": []
        if change.measured is None
        else [
            {
                "name": visible(column_in_words(watching.watched_name(desk.model), unit)),
                "measured": f"{change.measured:.3g}",
                "unit": unit,
                "expected": str(change.forecast),
                "inside": inside,
            }
        ],
        "outlook": None,
        "own": [
            {"name": visible(name), "before": str(first), "after": str(last)}
            for name, (first, last) in change.own.items()
        ],
        "before": order_in_words(before),
        "after": order_in_words(after),
        "alerts": [visible(each.sentence) for each in change.alerts],
    }


@dataclass(frozen=True)
class Supposed:
    """What is asked: a dose on a schedule, or an arm; texts as they were written."""

    drug: str = ""
    amount: str = ""
    schedule: str = ""
    days: str = ""
    arm: str = ""


def what_if(desk: LivingDesk, told: Lived, asked: Supposed) -> dict[str, Any]:
    """Return the trajectory and the ranking with one more plan among those that are open.

    Raises
    ------
    TherapyError
        If the drug, the schedule or the arm is not known.
    TwinError
        If a number is none.
    """
    check_like(desk.model, told.kept.visits)
    plan = _plan(desk, told, asked)
    rest = plans_open(desk.model, told.kept, told.doses)
    # The one that is asked for stands in the place of the same among the others.
    plans = [plan, *(each for each in rest if each.name != plan.name)]
    found = told.beliefs.compared(plans, told.interval)
    lines = lines_of(found)
    others = (each["intervention"] for each in lines if each["intervention"] != plan.name)
    best = next(others, plan.name)
    drawn = dict.fromkeys([plan.name, best, NO_INTERVENTION.name])
    place = [each["intervention"] for each in lines].index(plan.name)
    return {
        "plan": visible(plan.name),
        "place": place + 1,
        "apart": not any(
            _overlap(lines[place], each) for each in lines if each is not lines[place]
        ),
        "lines": _lines(lines),
        "raw": lines,
        "course": _course(desk, told, found, tuple(drawn)),
        "studied": _studied(desk, asked),
    }


def _plan(desk: LivingDesk, told: Lived, asked: Supposed) -> Intervention:
    if not desk.drugs:
        return desk.model.arm(asked.arm)
    if asked.drug not in desk.drugs:
        raise TherapyError(f"the drug is none that the twin knows{nearest('', desk.drugs)}")
    if asked.schedule not in SCHEDULES:
        raise TherapyError(f"the schedule is none that is known{nearest('', SCHEDULES)}")
    amount = number_in("amount", asked.amount)
    days = number_in("days", asked.days or f"{_USUAL_DAYS:g}")
    if not 0 < amount <= 1e6 or not 0 < days <= _MOST_DAYS:
        raise TherapyError(
            f"the amount or the days are out of range: write an amount above 0 mg, and at most "
            f"{_MOST_DAYS:g} days"
        )
    start = max(_now(told), 0.0)
    chosen = [SCHEDULES[asked.schedule]]
    return grid({asked.drug: [amount]}, chosen, days=days, start_days=start).plans[0]


def _studied(desk: LivingDesk, asked: Supposed) -> str:
    """Return a warning where an amount lies outside what the twin was learned or published for."""
    if not desk.drugs:
        return ""
    given = [
        dose.amount
        for plan in desk.model.plans.values()
        for dose in plan.doses
        if dose.drug == asked.drug and dose.amount > 0
    ] or list(AMOUNTS.get(asked.drug, ()))
    amount = number_in("amount", asked.amount)
    if not given or min(given) <= amount <= max(given):
        return ""
    return (
        f"{asked.amount} mg lies outside the amounts that the twin knows ({min(given):.3g} to "
        f"{max(given):.3g} mg): the model goes on where nobody has measured."
    )


def utility_in_words(desk: LivingDesk) -> str:
    """Return what plans are ranked by."""
    endpoint = desk.model.endpoint
    if isinstance(endpoint, Utility):
        terms = [f"{weight:+g} × {visible(each.name)}" for weight, each in endpoint.terms]
        return f"{' '.join(terms)}, higher is better"
    direction = "higher" if endpoint.higher_is_better else "lower"
    return f"{visible(desk.model.title)}, {direction} is better"


def visit_in(
    desk: LivingDesk,
    modality: str,
    form: Mapping[str, str],
    instead_of: RecordedVisit | None = None,
) -> RecordedVisit:
    """Return the visit of a form; see :func:`omics_twin.serve.visit_form.visit_of_values`."""
    values = {
        each.name: number_in(each.label, form[each.name])
        for each in fields_of(desk, modality)
        if form.get(each.name, "").strip()
    }
    return visit_of_values(modality, values, form, instead_of)


def living_evidence(desk: LivingDesk) -> list[str]:
    """Return what the model rests on, and how well it foresaw patients it never saw."""
    known = desk.model.provenance
    told = known.get("performance") or {}
    found = [f"Arms or drugs that it knows: {listed([visible(each) for each in desk.model.arms])}."]
    if not known.get("patients"):
        return [*found, "Its population is published: it was not compared with patients of ours."]
    for metric, own in told.get("model", {}).items():
        if isinstance(own, dict) and own.get("mean") is not None:
            beside = [
                f"{name} {each[metric]['mean']:.3g}"
                for name, each in told.get("baselines", {}).items()
                if isinstance(each.get(metric), dict) and each[metric].get("mean") is not None
            ]
            more = f"; beside it {listed(beside)}" if beside else ""
            found.append(visible(f"{name_in_words(metric)} in patients it never saw: "
                                 f"{own['mean']:.3g}{more}."))  # fmt: skip
    return found
