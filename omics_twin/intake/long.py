"""Tables with one quantity, or one dose, per row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about
from omics_twin.intake.columns import column_of, numbers
from omics_twin.intake.declaration import DosesDeclaration, LongDeclaration, ModalityDeclaration
from omics_twin.intake.files import Table
from omics_twin.types import RADIOTHERAPY
from omics_twin.units import conversion


def own_columns(modality: ModalityDeclaration) -> set[str]:
    """Return the columns of its table that a modality reads quantities and days from."""
    long, day = modality.long, modality.day_column
    named = list(modality.columns)
    if long is not None:
        named = [long.name_column, long.value_column, long.unit_column or ""]
    return {each for each in (*named, day) if each}


def dose_columns(declared: DosesDeclaration) -> set[str]:
    """Return the columns that say what was given and when."""
    named = [declared.day_column, declared.amount_column]
    more = (declared.unit_column, declared.duration_column, declared.gray_column)
    return {*named, *filter(None, more)}


def one_column_each(modality: ModalityDeclaration, table: Table) -> Table:
    """Return a row per patient and day with a column for each quantity of a modality.

    Rows of other quantities, and rows without a value, tell nothing and are left out.

    Raises
    ------
    IntakeError
        If a unit is not the declared one, or a patient has two values of a quantity for one day.
    """
    long = modality.long or LongDeclaration()
    names, values = table.text(long.name_column), table.text(long.value_column)
    days = table.text(modality.day_column or "")
    kept = np.flatnonzero(np.isin(names, list(modality.columns)) & (values != ""))
    if not len(kept):
        raise IntakeError(
            f"table '{table.name}', column '{long.name_column}' never says one of "
            f"{', '.join(map(repr, modality.columns))} with a value: correct the declaration"
        )
    _check_units(modality, long, table, kept)
    place: dict[tuple[str, str], int] = {}
    row_of = np.array([place.setdefault((table.patient_ids[i], days[i]), len(place)) for i in kept])
    cells = {name: np.full(len(place), "", dtype=object) for name in modality.columns}
    for row, at in zip(row_of, kept, strict=True):
        if cells[names[at]][row]:
            raise IntakeError(
                f"table '{table.name}' has two values of '{names[at]}' for patient "
                f"'{table.patient_ids[at]}' on day {days[at]}: keep the one to be used"
            )
        cells[names[at]][row] = values[at]
    cells[modality.day_column or ""] = np.array([day for _, day in place], dtype=object)
    return Table(table.name, np.array([patient for patient, _ in place], dtype=object), cells)


def _check_units(
    modality: ModalityDeclaration, long: LongDeclaration, table: Table, rows: np.ndarray
) -> None:
    if long.unit_column is None:
        return
    names, units = table.text(long.name_column), table.text(long.unit_column)
    for row in rows:
        wanted = modality.columns[names[row]].unit
        if long.units.get(units[row], units[row]) != wanted:
            patient = table.patient_ids[row]
            told = (
                f"table '{table.name}' has '{names[row]}' of patient '{patient}' in "
                f"'{units[row]}', expected '{wanted}': convert it or declare how it is called"
            )
            raise IntakeError(about(told, patient))


def read_doses(declared: DosesDeclaration, table: Table) -> pd.DataFrame:
    """Return every administration in the table, in order of its day.

    Returns
    -------
    pandas.DataFrame
        ``patient_id``, ``drug``, ``day`` [day], ``amount`` [mg], or [Gy] of radiotherapy, ``unit``,
        ``duration_days`` [day].

    Raises
    ------
    IntakeError
        If a day or an amount is no number, an amount is below 0, or the unit is another one.
    """
    found = [_given(declared, table, declared.amount_column, declared.drug, "mg")]
    if declared.gray_column is not None:
        plain = replace(declared, unit="Gy", unit_column=None, duration_column=None)
        found.append(_given(plain, table, declared.gray_column, RADIOTHERAPY, "Gy"))
    joined = pd.concat(found) if len(found) > 1 else found[0]
    return joined.sort_values(["patient_id", "day"], kind="stable").reset_index(drop=True)


def _given(
    declared: DosesDeclaration, table: Table, column: str, drug: str, unit: str
) -> pd.DataFrame:
    """Return what a column says was given of a drug, in one unit."""
    amounts = numbers(column_of(table, column))
    given = np.flatnonzero(~np.isnan(amounts))
    table = table.at(given)
    days = numbers(column_of(table, declared.day_column))
    lengths = np.zeros(len(given))
    if declared.duration_column is not None:
        lengths = np.nan_to_num(numbers(column_of(table, declared.duration_column)))
    units = [] if declared.unit_column is None else list(table.text(declared.unit_column))
    for row, each in enumerate(units):
        if each != declared.unit:
            patient = table.patient_ids[row]
            told = (
                f"table '{table.name}' has a dose of patient '{patient}' in '{each}', expected "
                f"'{declared.unit}': convert it"
            )
            raise IntakeError(about(told, patient))
    wrong = np.flatnonzero(np.isnan(days) | (amounts[given] < 0) | (lengths < 0))
    if len(wrong):
        patient = table.patient_ids[wrong[0]]
        told = (
            f"table '{table.name}' has a dose of patient '{patient}' without a day, or with an "
            "amount or a length below 0: correct the row"
        )
        raise IntakeError(about(told, patient))
    return pd.DataFrame(
        {
            "patient_id": table.patient_ids,
            "drug": drug,
            "day": days.astype(np.float64),
            "amount": amounts[given].astype(np.float64) * conversion(declared.unit, unit),
            "unit": unit,
            "duration_days": lengths.astype(np.float64),
        }
    )
