"""What was wrong in a chart and was put right: what had been written stays, and is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select

from omics_twin.chart.database import transaction
from omics_twin.chart.rows import lock
from omics_twin.chart.store import Chart
from omics_twin.chart.tables import BELIEFS, PATIENTS, RANKINGS, STRATA, VISITS
from omics_twin.errors import ChartError
from omics_twin.told import RecordedVisit, record_of


@dataclass(frozen=True)
class AmendedVisit:
    """A visit as it was written and as it was put right."""

    number: int
    before: RecordedVisit
    after: RecordedVisit
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True)
class AmendedStratum:
    """What made a patient's stratum as it was written and as it was put right."""

    before: Mapping[str, str]
    after: Mapping[str, str]
    reason: str
    by: str
    at: datetime


def amended_visits(
    chart: Chart, patient_id: str, *, withheld: Collection[str] = ()
) -> list[AmendedVisit]:
    """Return what was amended in a patient's visits, in the order amended.

    Parameters
    ----------
    withheld
        Modalities that are left out.
    """
    told = VISITS.c
    asked = select(told.id, told.amends, told.reason, told.written_by, told.written_at)
    own = asked.where(told.patient_id == patient_id, told.amends.is_not(None)).order_by(told.id)
    with transaction(chart.engine, reads=True) as connection:
        rows = connection.execute(own).all()
    found = []
    for number, amends, *rest in rows:
        before, after = chart.record(patient_id, [amends, number], withheld=withheld).visits
        found.append(AmendedVisit(number, before, after, *rest))
    return found


def amend_stratum(
    chart: Chart, patient_id: str, stratum: Mapping[str, str], *, reason: str, by: str
) -> None:
    """Keep what makes a patient's stratum from now on.

    Rankings given before are told again as they were: a belief keeps the stratum it was made of.

    Raises
    ------
    ChartError
        If the patient has no chart, nothing would change, or no reason is given.
    """
    record = record_of({"patient_id": patient_id, "stratum": dict(stratum)})
    if not reason.strip():
        raise ChartError("the stratum is amended without a reason: say why in 'reason'")
    if chart.record(patient_id, []).stratum == record.stratum:
        raise ChartError("the stratum is what the chart holds already: nothing was amended")
    given = select(func.max(RANKINGS.c.id)).select_from(RANKINGS.join(BELIEFS))
    last = given.where(BELIEFS.c.patient_id == patient_id)
    with transaction(chart.engine) as connection:
        lock(connection, patient_id)
        row = {
            "patient_id": patient_id,
            "stratum": record.stratum,
            "reason": reason,
            "ranking_id": connection.execute(last).scalar(),
            "written_by": by,
        }
        connection.execute(insert(STRATA).values(row))


def amended_strata(chart: Chart, patient_id: str) -> list[AmendedStratum]:
    """Return what was amended in a patient's stratum, in the order amended."""
    first = select(PATIENTS.c.stratum).where(PATIENTS.c.patient_id == patient_id)
    told = STRATA.c
    later = select(told.stratum, told.reason, told.written_by, told.written_at)
    own = later.where(told.patient_id == patient_id).order_by(told.id)
    with transaction(chart.engine, reads=True) as connection:
        before = connection.execute(first).scalar() or {}
        rows = connection.execute(own).all()
    found = []
    for after, *rest in rows:
        found.append(AmendedStratum(before, after, *rest))
        before = after
    return found
