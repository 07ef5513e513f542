"""Whom to look at first: those with open alerts, then those who await a decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, case, exists, func, select

from omics_twin.chart.database import transaction
from omics_twin.chart.store import CHART, Chart
from omics_twin.chart.tables import (
    ALERTS,
    BELIEF_VISITS,
    BELIEFS,
    CLOSINGS,
    DECISIONS,
    PATIENTS,
    RANKINGS,
    STRATA,
    VISITS,
)
from omics_twin.trust.consent import Ledger, Purpose, judged

_WAITING, _DECIDED = 1, 2


@dataclass(frozen=True)
class Waiting:
    """One line of the worklist; of a patient who does not permit scoring only the reason.

    Attributes
    ----------
    refused
        Why the chart is not opened; empty where it is.
    alerts
        Sentences of the open alerts.
    visits, last_day
        How many visits hold, and the day of the last one [day]; None before any.
    decided
        Whether a therapy was chosen since the last visit.
    """

    patient_id: str
    refused: str
    alerts: tuple[str, ...] = ()
    visits: int = 0
    last_day: float | None = None
    decided: bool = False


def worklist(
    chart: Chart, *, named: str = "", start: int = 0, most: int = 50
) -> tuple[list[Waiting], int]:
    """Return some lines of the worklist, the most urgent first, and how many there are in all.

    Parameters
    ----------
    named
        Part of the patient's identifier.
    start, most
        The first line, and how many.
    """
    later = VISITS.alias()
    holds = ~exists().where(later.c.amends == VISITS.c.id)
    visits = (
        select(
            VISITS.c.patient_id,
            func.count().label("visits"),
            func.max(VISITS.c.day).label("last_day"),
            func.max(VISITS.c.id).label("last"),
        )
        .where(holds)
        .group_by(VISITS.c.patient_id)
        .subquery()
    )
    opened = (
        select(VISITS.c.patient_id, func.count().label("alerts"))
        .select_from(ALERTS.join(VISITS).outerjoin(CLOSINGS))
        .where(CLOSINGS.c.alert_id.is_(None))
        .group_by(VISITS.c.patient_id)
        .subquery()
    )
    # A decision about a ranking rests on the stratum that it was read from.
    overtaken = exists().where(
        STRATA.c.patient_id == PATIENTS.c.patient_id, STRATA.c.ranking_id >= RANKINGS.c.id
    )
    decided = exists().where(
        and_(
            ~overtaken,
            BELIEF_VISITS.c.visit_id == visits.c.last,
            BELIEF_VISITS.c.belief_id == BELIEFS.c.id,
            RANKINGS.c.belief_id == BELIEFS.c.id,
            DECISIONS.c.ranking_id == RANKINGS.c.id,
        )
    )
    place = case((decided, _DECIDED), else_=_WAITING)
    urgent = func.coalesce(opened.c.alerts, 0)
    wanted = PATIENTS.c.patient_id.contains(named, autoescape=True)
    asked = (
        select(PATIENTS.c.patient_id, visits.c.visits, visits.c.last_day, place)
        .select_from(PATIENTS.outerjoin(visits, visits.c.patient_id == PATIENTS.c.patient_id))
        .outerjoin(opened, opened.c.patient_id == PATIENTS.c.patient_id)
        .where(wanted)
        .order_by((urgent == 0), place, visits.c.last.desc().nulls_last(), PATIENTS.c.patient_id)
        .offset(start)
        .limit(most)
    )
    with transaction(chart.engine, reads=True) as connection:
        rows = connection.execute(asked).all()
        count = connection.execute(select(func.count()).select_from(PATIENTS).where(wanted))
        total = int(count.scalar_one())
    patients = [row[0] for row in rows]
    refused, alerts = _refused(chart, patients), _alerts(chart, patients)
    lines = [
        Waiting(patient, refused[patient])
        if patient in refused
        else Waiting(
            patient, "", tuple(alerts.get(patient, ())), number or 0, day, state == _DECIDED
        )
        for patient, number, day, state in rows
    ]
    return lines, total


def _refused(chart: Chart, patients: Sequence[str]) -> Mapping[str, str]:
    ledger = Ledger(CHART, tuple(chart.decided(patients)))
    return judged(patients, ledger, Purpose.SCORING).refused


def _alerts(chart: Chart, patients: Sequence[str]) -> dict[str, list[str]]:
    asked = (
        select(VISITS.c.patient_id, ALERTS.c.sentence)
        .select_from(ALERTS.join(VISITS).outerjoin(CLOSINGS))
        .where(CLOSINGS.c.alert_id.is_(None), VISITS.c.patient_id.in_(patients))
        .order_by(ALERTS.c.id)
    )
    found: dict[str, list[str]] = {}
    with transaction(chart.engine, reads=True) as connection:
        for patient, sentence in connection.execute(asked):
            found.setdefault(patient, []).append(sentence)
    return found
