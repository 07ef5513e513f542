"""The group each patient is in, for the simple rules that a ranking is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.columns import canonical
from omics_twin.intake.declaration import CohortDeclaration, GroupDeclaration
from omics_twin.intake.files import Folder, Table

FOLD = "fold"
PART = "part"


def read_groups(
    declaration: CohortDeclaration, folder: Folder, patients: Sequence[str]
) -> pd.DataFrame:
    """Return the group of each patient as text, a column for each policy group and for folds.

    Parameters
    ----------
    patients
        Every patient of the roster. Who is not in a group's table is in no group.

    Returns
    -------
    pandas.DataFrame
        (patient, group), NA where a column that decides is not known.

    Raises
    ------
    IntakeError
        If a table has a patient twice, or text where numbers are divided.
    """
    found = {}
    declared = dict(declaration.policy_groups)
    if declaration.folds is not None:
        declared[FOLD] = GroupDeclaration(declaration.folds.table, [declaration.folds.column])
    for name, group in declared.items():
        table = folder.table(group.table or declaration.roster)
        ids = pd.Index([str(each) for each in table.patient_ids])
        twice = ids[ids.duplicated()].unique()
        if len(twice):
            told = (
                f"table '{table.name}' has more than one row for patients {quoted(twice)}, but "
                f"group '{name}' has one row per patient: keep the row to be used"
            )
            raise IntakeError(about(told, *twice))
        parts = [
            pd.Series(_levels(group, table, column), index=ids, dtype="string")
            for column in group.columns
        ]
        joined = parts[0].str.cat(parts[1:], sep=" | ") if len(parts) > 1 else parts[0]
        found[name] = joined.reindex(list(patients))
    return pd.DataFrame(found, index=pd.Index(list(patients), name="patient_id"))


def _levels(group: GroupDeclaration, table: Table, column: str) -> list[str | None]:
    cells = [canonical(text) if text else None for text in table.text(column)]
    known = [None if cell is None or cell in group.missing else cell for cell in cells]
    if group.at_least is None:
        return known
    return [cell and _side(cell, group.at_least, table.name, column) for cell in known]


def _side(cell: str, at_least: float, table: str, column: str) -> str:
    try:
        high = float(cell) >= at_least
    except ValueError as error:
        raise IntakeError(
            f"table '{table}', column '{column}' holds '{cell}', expected a number to compare "
            f"with {at_least:g}: correct it or declare it under 'missing'"
        ) from error
    return f"at least {at_least:g}" if high else f"below {at_least:g}"
