"""The groups that simple rules go by are read with the cohort, and only when training."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    GroupDeclaration,
    ModalityDeclaration,
)
from omics_twin.intake.tables import read_tables


def _declared(root: Path, **groups: GroupDeclaration) -> CohortDeclaration:
    (root / "roster.csv").write_text("patient_id,age,er,her2,load\na,50,1.0,0,20\nb,61,1,,3\n")
    (root / "subtypes.csv").write_text("patient_id,subtype\nb,immune\n")
    clinical = ModalityDeclaration(table="roster.csv", columns={"age": ColumnDeclaration()})
    return CohortDeclaration(
        name="small",
        root=str(root),
        roster="roster.csv",
        modalities={"clinical": clinical},
        group_columns={"site": "her2"},
        policy_groups=groups,
    )


def test_columns_are_joined_and_what_is_not_known_is_na(tmp_path: Path) -> None:
    declared = _declared(
        tmp_path,
        receptor=GroupDeclaration(columns=["er", "her2"]),
        published=GroupDeclaration(table="subtypes.csv", columns=["subtype"]),
        burden=GroupDeclaration(columns=["load"], at_least=16),
        known=GroupDeclaration(columns=["er"], missing=["1"]),
    )
    groups = read_tables(declared).groups
    assert groups["receptor"].fillna("NA").tolist() == ["1 | 0", "NA"]
    assert groups["published"].fillna("NA").tolist() == ["NA", "immune"]
    assert groups["burden"].tolist() == ["at least 16", "below 16"]
    assert groups["known"].isna().all()


def test_new_patients_need_no_table_of_groups(tmp_path: Path) -> None:
    declared = _declared(tmp_path, published=GroupDeclaration("subtypes.csv", ["subtype"]))
    (tmp_path / "subtypes.csv").unlink()
    assert "published" not in read_tables(declared, scoring=True).groups
    with pytest.raises(IntakeError, match=r"subtypes\.csv"):
        read_tables(declared)


def test_a_patient_in_two_groups_is_refused(tmp_path: Path) -> None:
    declared = _declared(tmp_path, published=GroupDeclaration("subtypes.csv", ["subtype"]))
    (tmp_path / "subtypes.csv").write_text("patient_id,subtype\nb,immune\nb,luminal\n")
    with pytest.raises(IntakeError, match="more than one row for patients 'b'"):
        read_tables(declared)


def test_text_is_not_compared_with_a_number(tmp_path: Path) -> None:
    declared = _declared(tmp_path, site=GroupDeclaration(columns=["her2"], at_least=1))
    declared.group_columns.clear()
    (tmp_path / "roster.csv").write_text("patient_id,age,er,her2,load\na,50,1,high,20\n")
    with pytest.raises(IntakeError, match="holds 'high', expected a number"):
        read_tables(declared)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ({"empty": GroupDeclaration()}, "declares no 'columns'"),
        ({"two": GroupDeclaration(columns=["er", "load"], at_least=1)}, "expected one column"),
        ({"site": GroupDeclaration(columns=["er"])}, "declares 'site' twice"),
    ],
)
def test_groups_that_contradict_themselves_are_refused(
    tmp_path: Path, group: dict[str, GroupDeclaration], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_tables(_declared(tmp_path, **group))
