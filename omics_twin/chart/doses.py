"""What a patient was given, and is planned to be given, dose by dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from omics_twin.chart.database import transaction
from omics_twin.chart.rows import added, holding, kept_before
from omics_twin.chart.store import Chart
from omics_twin.chart.tables import DOSES
from omics_twin.errors import ChartError
from omics_twin.told import RecordedDose, dose_of

_FIELDS = tuple(RecordedDose.model_fields)


@dataclass(frozen=True)
class StoredDose:
    """A dose with its number in the chart, and the number of the dose that it amends."""

    number: int
    dose: RecordedDose
    amends: int | None
    reason: str
    by: str


def add_dose(
    chart: Chart,
    patient_id: str,
    dose: RecordedDose,
    *,
    key: str,
    by: str,
    amends: int | None = None,
    reason: str = "",
) -> int:
    """Keep a dose and return its number; parameters as of :meth:`Chart.add_visit`.

    Raises
    ------
    ChartError
        If the patient has no chart, the key was used for something else, what is amended is no
        dose of the patient or was amended before, or is amended without a reason.
    """
    if amends is not None and not reason.strip():
        raise ChartError("a dose is amended without a reason: say why in 'reason'")
    row = {
        "patient_id": patient_id,
        "key": key,
        **dose.model_dump(),
        "amends": amends,
        "reason": reason,
    }
    with transaction(chart.engine) as connection:
        before = kept_before(connection, DOSES, row)
        return added(connection, DOSES, {**row, "written_by": by}) if before is None else before


def doses_of(
    chart: Chart, patient_id: str, numbers: Sequence[int] | None = None
) -> list[StoredDose]:
    """Return a patient's doses in time order.

    Parameters
    ----------
    numbers
        Which, in order; those that hold today where not given.

    Raises
    ------
    ChartError
        If one is not the patient's.
    """
    with transaction(chart.engine, reads=True) as connection:
        chosen = holding(connection, DOSES, patient_id) if numbers is None else numbers
        own = select(DOSES).where(DOSES.c.patient_id == patient_id)
        rows = {row["id"]: row for row in connection.execute(own).mappings()}
    strange = [each for each in chosen if each not in rows]
    if strange:
        raise ChartError(f"dose {strange[0]} is not of this patient: name its own doses")
    return [_stored(rows[each]) for each in chosen]


def amended_doses(chart: Chart, patient_id: str) -> list[tuple[StoredDose, StoredDose]]:
    """Return each dose that was amended with the one that did, in the order amended."""
    own = select(DOSES).where(DOSES.c.patient_id == patient_id).order_by(DOSES.c.id)
    with transaction(chart.engine, reads=True) as connection:
        rows = {row["id"]: _stored(row) for row in connection.execute(own).mappings()}
    return [(rows[each.amends], each) for each in rows.values() if each.amends is not None]


def _stored(row: object) -> StoredDose:
    told = dict(row)  # type: ignore[call-overload]
    dose = dose_of({name: told[name] for name in _FIELDS})
    return StoredDose(told["id"], dose, told["amends"], told["reason"], told["written_by"])
