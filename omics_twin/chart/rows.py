"""Rows of one patient's chart: added one after another, and never twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, exists, insert, select

from omics_twin.chart.tables import PATIENTS
from omics_twin.errors import ChartError

_LONGEST_KEY = 64

_WHAT = {"visits": "visit", "doses": "dose"}

_DAY = {"visits": "day", "doses": "start_days"}


def of_patient(table: Any, patient_id: str) -> Any:
    """Return the query of a patient's rows in a table."""
    return select(table).where(table.c.patient_id == patient_id)


def has_chart(connection: Connection, patient_id: str) -> bool:
    """Whether a patient has a chart, which is held until the transaction ends."""
    # Writers of one patient's chart wait for each other; SQLite has one writer anyway.
    locked = of_patient(PATIENTS, patient_id).with_for_update()
    return connection.execute(locked).first() is not None


def lock(connection: Connection, patient_id: str) -> None:
    """Hold a patient's chart until the transaction ends, so that writers wait for each other."""
    if not has_chart(connection, patient_id):
        raise ChartError("the patient has no chart: begin one first")


def row_of(connection: Connection, table: Any, number: int) -> dict[str, Any]:
    """Return a row by its number."""
    row = connection.execute(select(table).where(table.c.id == number)).mappings().first()
    if row is None:
        raise ChartError(f"no row {number} in the chart's {table.name}: check the number")
    return dict(row)


def holding(connection: Connection, table: Table, patient_id: str) -> tuple[int, ...]:
    """Return the numbers of a patient's visits, or doses, that were not amended, in time order."""
    later, day = table.alias(), table.c[_DAY[table.name]]
    holds = ~exists().where(later.c.amends == table.c.id)
    wanted = (table.c.patient_id == patient_id) & holds
    asked = select(table.c.id).where(wanted).order_by(day, table.c.id)
    return tuple(connection.execute(asked).scalars())


def kept_before(connection: Connection, table: Table, row: Mapping[str, Any]) -> int | None:
    """Return the number of a visit, or a dose, that is in the chart under the writer's own key.

    Where it is not, the patient's chart is held until the transaction ends.

    Raises
    ------
    ChartError
        If the patient has no chart, the key is none or was used for something else, or what is
        amended is not the patient's, or was amended before.
    """
    patient_id, key, amends = row["patient_id"], row["key"], row["amends"]
    what = _WHAT[table.name]
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise ChartError(
            f"the key of a {what} has {len(key)} characters, expected 1 to {_LONGEST_KEY} that "
            "can be printed"
        )
    lock(connection, patient_id)
    same = (table.c.patient_id == patient_id) & (table.c.key == key)
    before = connection.execute(select(table).where(same)).mappings().first()
    if before is not None:
        if any(before[name] != value for name, value in row.items()):
            raise ChartError(
                f"a {what} with this key is in the chart and says something else: send a "
                f"correction under a new key, with the number of the {what} it amends"
            )
        return int(before["id"])
    if amends is not None:
        if row_of(connection, table, amends)["patient_id"] != patient_id:
            raise ChartError(f"{what} {amends} is not of this patient: amend one of its own")
        later = select(table.c.id).where(table.c.amends == amends)
        if connection.execute(later).first() is not None:
            raise ChartError(f"{what} {amends} was amended before: amend the {what} that did")
    return None


def added(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Add a row and return its number."""
    asked = insert(table).values(row).returning(table.c.id)
    return int(connection.execute(asked).scalar_one())
