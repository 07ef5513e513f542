"""Turn a table with a row per visit, on any days, into measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.channels import Notes
from omics_twin.intake.columns import canonical, column_of, numbers, read_column
from omics_twin.intake.declaration import (
    ColumnDeclaration,
    Kind,
    ModalityDeclaration,
    UnknownLevel,
)
from omics_twin.intake.files import Table
from omics_twin.units import conversion

TOO_SMALL = "_too_small"


@dataclass(frozen=True)
class Repeated:
    """One modality measured on any days.

    Attributes
    ----------
    modality
        Its name.
    patient_ids, days
        Patient and day since the index date of each row [day]; a patient's rows are in order of
        their days, and no two are of the same day.
    values
        (row, column), numbers with NaN, 0/1 for binary columns.
    columns
        Declaration of each column; ``unit`` is the unit of ``values``.
    """

    modality: str
    patient_ids: np.ndarray
    days: np.ndarray
    values: pd.DataFrame
    columns: Mapping[str, ColumnDeclaration]

    def at(self, rows: np.ndarray) -> Repeated:
        """Return some of the rows."""
        return replace(
            self,
            patient_ids=self.patient_ids[rows],
            days=self.days[rows],
            values=self.values.loc[rows].reset_index(drop=True),
        )


def read_repeated(
    name: str,
    modality: ModalityDeclaration,
    table: Table,
    columns: Mapping[str, ColumnDeclaration],
    notes: Notes,
) -> Repeated:
    """Read a table with one row per patient and visit, on whichever days visits were.

    Raises
    ------
    IntakeError
        If a cell is not as declared; or, unless the declaration says that such rows are left out,
        a row has no day or a patient has two rows for one day.
    """
    read: dict[str, np.ndarray] = {}
    told: dict[str, ColumnDeclaration] = {}
    for column, declared in columns.items():
        cells = column_of(table, column, [*declared.missing, *declared.too_small])
        read[column], lines = read_column(cells, declared)
        notes.add(*lines)
        told[column] = replace(
            declared, unit=declared.convert_to or declared.unit, convert_to=None, too_small=[]
        )
        if declared.too_small:
            small = np.isin(column_of(table, column).texts(), declared.too_small)
            known = small | ~np.isnan(read[column])
            read[column + TOO_SMALL] = np.where(known, small.astype(np.float64), np.nan)
            told[column + TOO_SMALL] = ColumnDeclaration(kind=Kind.BINARY)
    days = numbers(column_of(table, modality.day_column or "")).astype(np.float64)
    days = days * conversion(modality.day_unit, "day")
    kept = _usable(table, days, modality, notes)
    order = kept[np.lexsort((days[kept], pd.factorize(table.patient_ids[kept])[0]))]
    values = pd.DataFrame(read, dtype=np.float64)
    return Repeated(name, table.patient_ids, days, values, told).at(order)


def _usable(
    table: Table, days: np.ndarray, modality: ModalityDeclaration, notes: Notes
) -> np.ndarray:
    """Return the rows with a day of their own; others are refused, or left out by name."""
    undated = np.isnan(days)
    again = pd.DataFrame({"patient": table.patient_ids, "day": days}).duplicated().to_numpy()
    again &= ~undated
    for rows, what, cure in (
        (undated, f"a row without '{modality.day_column}'", "fill it in"),
        (again, "two rows for the same day", "keep the row to be used"),
    ):
        if not rows.any():
            continue
        who = dict.fromkeys(table.patient_ids[rows])
        if modality.incomplete is UnknownLevel.REFUSE:
            told = f"table '{table.name}' has {what} for patients {quoted(who)}: {cure}"
            raise IntakeError(about(told, *who))
        told = f"table '{table.name}': {what}, not read, for patients {quoted(who)}"
        notes.add(about(told, *who))
    return np.flatnonzero(~undated & ~again)


def one_row_each(table: Table, columns: Sequence[str]) -> Table:
    """Return a patient's own columns from a table of repeated measurements.

    Raises
    ------
    IntakeError
        If a column is not the same in all rows of a patient.
    """
    codes, patients = pd.factorize(table.patient_ids)
    first = np.full(len(patients), -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    for column in columns:
        texts = np.array([canonical(each) for each in table.text(column)], dtype=object)
        other = np.flatnonzero(texts != texts[first][codes])
        if len(other):
            row = int(other[0])
            patient, found = table.patient_ids[row], (texts[row], texts[first[codes[row]]])
            told = (
                f"table '{table.name}', column '{column}': found '{found[0]}' and '{found[1]}' for "
                f"patient '{patient}', expected the same in all rows of a patient: correct it, or "
                "tell the patients apart"
            )
            raise IntakeError(about(told, patient, *(f"'{each}'" for each in found)))
    return table.at(np.sort(first))
