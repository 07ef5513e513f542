"""What the page says of one patient, from the chart and from the twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from omics_twin.answers.beliefs import Belief, shown_in
from omics_twin.answers.rankings import ranking_lines
from omics_twin.bedside.ranking import RankingChange, compared, foreseen
from omics_twin.bedside.record import (
    NOT_MEASURED,
    beliefs_in,
    channels_by_visit,
    channels_shown,
    kept_of,
    modalities_of,
    patients_told,
    ranking_of,
    strata_in,
)
from omics_twin.bedside.watching import Told
from omics_twin.chart.given import Given, give
from omics_twin.chart.store import Chart
from omics_twin.errors import TherapyError
from omics_twin.report.comparison import compare, plot_of, table_of
from omics_twin.report.course import Course, course_of
from omics_twin.report.patient import page_of, scale_of
from omics_twin.report.similar import Pool
from omics_twin.report.words import (
    Scale,
    column_in_words,
    day_in_words,
    name_in_words,
    percent,
    probability,
    visible,
)
from omics_twin.serve.kept import Moment, kept, measured_in_words
from omics_twin.serve.once import Once
from omics_twin.serve.visit_form import MOST_FIELDS, fields_of
from omics_twin.settings import TwinSettings
from omics_twin.tensors.graph import GeneGraph
from omics_twin.told import PatientRecord, RecordedVisit
from omics_twin.tracking import TrainedModel
from omics_twin.types import NO_INTERVENTION, TwinState

_MOST_TESTS = 12
_SOURCE = "the patient's chart"
_DOSES_NOTE = "This twin knows therapies as they were given in its cohort: no dose moves it."
_PERMITTED = "consent for scoring in the chart"


@dataclass(frozen=True)
class Desk:
    """What the page is served from.

    Attributes
    ----------
    pool
        Patients that one is compared with; None: nothing is said of similar patients.
    graph
        Of the genes that the model's modalities name; None: nothing is said of genes.
    """

    chart: Chart
    model: TrainedModel
    settings: TwinSettings
    pool: Pool | None = None
    graph: GeneGraph | None = None
    pages: Once = field(default_factory=Once, repr=False)

    @cached_property
    def scale(self) -> Scale:
        """How the endpoint is written."""
        members = self.model.twin.network.members
        return scale_of(self.model, self.model.twin.start(["anybody"], draws=members, seed=0))

    def asked(self, patient_id: str) -> tuple[Chart, TrainedModel, str, TwinSettings]:
        """Return what a ranking is given from, see :func:`omics_twin.chart.given.give`."""
        return self.chart, self.model, patient_id, self.settings

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the model can be shown."""
        return modalities_of(self.model)

    @property
    def labels(self) -> dict[str, str]:
        """What people call each arm."""
        named = zip(self.model.catalogue.arms, self.model.catalogue.labels, strict=True)
        return {arm: visible(label) for arm, label in named}


def about(desk: Desk, patient_id: str, *, by: str) -> tuple[Given, dict[str, Any]]:
    """Return the ranking that is given, and everything the page says; see :func:`give`."""
    given = give(*desk.asked(patient_id), by=by)
    page = desk.pages.told((given.number, date.today()), lambda: _of_the_twin(desk, given))
    return given, {
        **page,
        "patient_id": patient_id,
        "ranking": given.number,
        "timeline": timeline(desk, given),
        **kept(desk.chart, patient_id, desk.labels, desk.modalities, given.withheld),
        "strata": _strata(desk, given.record),
        "doses_note": _DOSES_NOTE,
        "options": [(each.arm, each.label) for each in page["comparison"].opened],
    }


def _of_the_twin(desk: Desk, given: Given) -> dict[str, Any]:
    patients = patients_told(desk.model, given.record, source=_SOURCE, basis=_PERMITTED)
    belief = _belief(desk.model, given.state)
    today = date.today()
    page = page_of(desk.model, patients, belief, desk.settings, today, desk.pool, desk.graph)
    return {**page, "course": course(desk, given)}


def _belief(model: TrainedModel, state: TwinState) -> Belief:
    return Belief(np.arange(1), state, shown_in(model, state))


def timeline(desk: Desk, given: Given) -> list[Moment]:
    """Return what was measured and given, visit by visit."""
    record = given.record
    channels = channels_by_visit(desk.model, record)
    return [
        Moment(
            when=day_in_words(visit.day),
            under=desk.labels.get(visit.under, visible(visit.under)) if visit.under else "",
            told=tuple(measured_in_words(visit)),
            number=number,
            parts=tuple(
                ({"channel": each.name}, visible(name_in_words(each.modality)))
                for each in own
                if len(fields_of(each)) <= MOST_FIELDS
            ),
        )
        for visit, number, own in zip(record.visits, given.visits, channels, strict=True)
    ]


def _strata(desk: Desk, record: PatientRecord) -> list[dict[str, Any]]:
    """Return what each column of the stratum is, and what it may be."""
    return [
        {
            "name": column,
            "label": visible(name_in_words(column)),
            "levels": levels,
            "now": record.stratum.get(column, NOT_MEASURED),
        }
        for column, levels in strata_in(desk.model).items()
    ]


def course(desk: Desk, given: Given, chosen: Sequence[str] = ()) -> Course | None:
    """Return the trajectory with its band, and what had been expected at each visit."""
    try:
        found = compared(desk.model, given.kept, None, desk.settings)
    except TherapyError:
        return None
    now = float(given.kept.visits[-1].observation.days[0]) if given.kept.visits else 0.0
    expected: dict[float, Told] = {}
    for state, visit in zip(beliefs_in(desk.model, given.kept), given.kept.visits, strict=False):
        for each in foreseen(desk.model, state, visit, desk.settings.interval):
            if each.feature.quantity == found.quantity:
                expected[float(visit.observation.days[0])] = each.forecast
    return course_of(found, desk.labels, now, expected, chosen)


def learned(desk: Desk, change: RankingChange | None) -> dict[str, Any] | None:
    """Return what a visit changed, in words."""
    if change is None:
        return None
    under = change.visit.under
    return {
        "when": day_in_words(float(change.visit.observation.days[0])),
        "under": "" if under == NO_INTERVENTION else desk.labels[under.name],
        "foreseen": [
            {
                "name": visible(column_in_words(each.feature.quantity, each.feature.unit)),
                "measured": f"{each.measured:.3g}",
                "unit": "" if each.feature.unit == "1" else each.feature.unit,
                "expected": str(each.forecast),
                "inside": each.forecast.lower <= each.measured <= each.forecast.upper,
            }
            for each in change.foreseen
        ],
        "own": [],
        "outlook": None
        if change.outlook is None
        else [
            f"{desk.scale.value(each.expected)} ({desk.scale.interval(each.lower, each.upper)})"
            for each in change.outlook
        ],
        "before": order_in_words(desk, ranking_lines(change.before, 0, excluded=False)),
        "after": order_in_words(desk, ranking_lines(change.after, 0, excluded=False)),
        "alerts": [visible(each.sentence) for each in change.alerts],
    }


def order_in_words(desk: Desk, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first of the lines of :func:`omics_twin.answers.rankings.ranking_lines`."""
    return [
        f"{desk.labels[line['intervention']]}: {desk.scale.value(line['expected'])}, "
        f"best with probability {probability(line['probability_best'])}"
        for line in [line for line in lines if line["eligible"]][:3]
    ]


def what_if(
    desk: Desk,
    given: Given,
    page: Mapping[str, Any],
    chosen: Sequence[str],
    supposed: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the ranking of some therapies, as it is and as it would be after a measurement.

    Parameters
    ----------
    page
        As of :func:`about`: it holds the answer where all that are open are compared.
    chosen
        Arms to compare; none: all that are open.
    supposed
        Modality -> column -> value, added to what is known before treatment.
    """
    then = _compared(desk, with_supposed(given.record, supposed), chosen) if supposed else None
    if not chosen:
        return {"now": page, "then": then, "course": page["course"]}
    now = _compared(desk, given.record, chosen)
    return {"now": now, "then": then, "course": course(desk, given, chosen)}


def with_supposed(
    record: PatientRecord, supposed: Mapping[str, Mapping[str, Any]]
) -> PatientRecord:
    """Return a record as it would be had something else been measured before treatment."""
    visits = [each.model_copy(deep=True) for each in record.visits]
    for modality, columns in supposed.items():
        before = [each for each in visits if each.day <= 0 and modality in each.values]
        if before:
            before[-1].values[modality].update(columns)
        else:
            visits.insert(0, RecordedVisit(day=0.0, values={modality: dict(columns)}))
    visits.sort(key=lambda each: each.day)
    return record.model_copy(update={"visits": visits})


def _compared(desk: Desk, record: PatientRecord, chosen: Sequence[str]) -> dict[str, Any]:
    kept = kept_of(desk.model, record, desk.settings)
    *_, state = beliefs_in(desk.model, kept)
    ranking = ranking_of(desk.model, kept, state, desk.settings, chosen)
    comparison = compare(desk.model, _belief(desk.model, state), ranking)
    return {
        "comparison": comparison,
        "plot": plot_of(comparison, desk.scale),
        "table": table_of(comparison, desk.scale),
        "interval": percent(desk.settings.interval),
    }


@dataclass(frozen=True)
class OneMore:
    """What one more test would change: for each answer, which therapy would be first."""

    name: str
    answers: tuple[tuple[str, str], ...]
    changes: bool


def one_more(desk: Desk, given: Given) -> list[OneMore]:
    """Return what a test of one column that was not measured would change, answer by answer."""
    known = {
        (modality, column)
        for visit in given.record.visits
        if visit.day <= 0
        for modality, columns in visit.values.items()
        for column, value in columns.items()
        if value is not None
    }
    wanted: dict[tuple[str, str], list[str | int]] = {}
    seen = channels_shown(desk.model, given.record)
    for channel in desk.model.twin.design.channels:
        # A gene without a call is wild type where the panel was read.
        if channel.follow_up or (channel.absent_is_zero and channel.name in seen):
            continue
        for feature in channel.features:
            place = (channel.modality, feature.column)
            if place not in known and (feature.level is not None or feature.binary):
                levels: list[str | int] = [0, 1] if feature.level is None else [feature.level]
                wanted.setdefault(place, []).extend(levels)
    found = []
    for (modality, column), levels in list(wanted.items())[:_MOST_TESTS]:
        answers = []
        for level in levels:
            told = _compared(desk, with_supposed(given.record, {modality: {column: level}}), ())
            opened = told["comparison"].opened
            first = f"{opened[0].label}, {told['table'][0]['expected']}" if opened else "none"
            answers.append((f"{visible(name_in_words(column))} {visible(str(level))}", first))
        firsts = {first.rpartition(",")[0] for _, first in answers}
        found.append(
            OneMore(visible(name_in_words(column)), tuple(answers), changes=len(firsts) > 1)
        )
    return sorted(found, key=lambda each: not each.changes)
