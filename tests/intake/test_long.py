"""Tables in several files, with one quantity or one dose per row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    DosesDeclaration,
    Layout,
    LongDeclaration,
    ModalityDeclaration,
    StackDeclaration,
    TherapyDeclaration,
)
from omics_twin.intake.tables import read_tables

CONTROL = "ID,Time,What,Value,Unit\n1,0,volume,0.1,cm^3\n1,0,weight,20,g\n1,2,volume,0.2,cm^3\n"
TREATED = (
    "ID,Time,What,Value,Unit,Dose,Dose unit\n"
    "2,0,volume,0.3,cm^3,,\n2,1,,,,0.5,mg\n2,0.5,volume,,cm^3,,\n2,3,,,,0.25,mg\n"
)


def declared(root: Path) -> CohortDeclaration:
    long = LongDeclaration("What", "Value", "Unit", {"cm^3": "cm3"})
    volume = ModalityDeclaration(
        table="mice.csv",
        layout=Layout.REPEATED,
        day_column="Time",
        long=long,
        columns={"volume": ColumnDeclaration(unit="cm3", minimum=0)},
    )
    files = {"control": "control.csv", "low": "low.csv", "high": "high.csv"}
    return CohortDeclaration(
        name="mice",
        root=str(root),
        key="ID",
        roster="mice.csv",
        stacks={"mice.csv": StackDeclaration(files, "group")},
        modalities={"tumour": volume},
        therapy=TherapyDeclaration(table="mice.csv", arm_column="group"),
        doses=DosesDeclaration("mice.csv", "erlotinib", "mg", "Time", "Dose", "Dose unit"),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "control.csv").write_text(CONTROL)
    (tmp_path / "low.csv").write_text(TREATED)
    return tmp_path


def test_files_of_groups_are_one_table_of_volumes_and_doses(root: Path) -> None:
    tables = read_tables(declared(root))
    assert tables.patient_ids == ("1", "2")
    assert tables.received is not None
    assert tables.received.tolist() == ["control", "low"]
    volumes = tables.repeated["tumour"]
    assert volumes.values["volume"].tolist() == [0.1, 0.2, 0.3]
    assert volumes.days.tolist() == [0.0, 2.0, 0.0]
    assert tables.doses is not None
    assert tables.doses["patient_id"].tolist() == ["2", "2"]
    assert tables.doses["day"].tolist() == [1.0, 3.0]
    assert tables.doses["amount"].tolist() == [0.5, 0.25]
    assert "no file 'high.csv', group 'high' has no patients" in " ".join(tables.notes)


def test_fractions_of_radiotherapy_are_doses_beside_the_drug(root: Path) -> None:
    rows = (root / "low.csv").read_text().splitlines()
    told = [f"{rows[0]},Gray", *(f"{row},2" for row in rows[1:])]
    (root / "low.csv").write_text("\n".join(told) + "\n")
    cohort = declared(root)
    assert cohort.doses is not None
    doses = read_tables(replace(cohort, doses=replace(cohort.doses, gray_column="Gray"))).doses
    assert doses is not None
    assert set(doses["drug"] + doses["unit"]) == {"erlotinibmg", "radiotherapyGy"}
    assert set(doses["amount"][doses["drug"] == "radiotherapy"]) == {2.0}
    assert doses["day"].is_monotonic_increasing


def test_a_further_file_is_a_further_group(root: Path) -> None:
    before = read_tables(declared(root)).fingerprint
    (root / "high.csv").write_text(TREATED.replace("\n2,", "\n3,"))
    tables = read_tables(declared(root))
    assert tables.patient_ids == ("1", "2", "3")
    assert tables.fingerprint != before


@pytest.mark.parametrize(
    ("found", "meant", "sentence"),
    [
        ("0.3,cm^3", "0.3,mm^3", "'volume' of patient '2' in 'mm^3', expected 'cm3'"),
        ("0.5,mg", "0.5,g", "a dose of patient '2' in 'g', expected 'mg'"),
        ("0.5,mg", "-0.5,mg", "a dose of patient '2' without a day, or with an amount"),
        ("2,0.5,volume,,", "2,0,volume,0.4,", "two values of 'volume' for patient '2' on day 0"),
    ],
)
def test_a_wrong_row_is_refused_by_name(root: Path, found: str, meant: str, sentence: str) -> None:
    (root / "low.csv").write_text(TREATED.replace(found, meant))
    with pytest.raises(IntakeError, match=sentence.replace("^", r"\^")):
        read_tables(declared(root))


def test_a_quantity_that_is_never_measured_is_refused(root: Path) -> None:
    cohort = declared(root)
    other = replace(cohort.modalities["tumour"], columns={"length": ColumnDeclaration()})
    with pytest.raises(IntakeError, match="never says one of 'length' with a value"):
        read_tables(replace(cohort, modalities={"tumour": other}))


def test_a_declaration_that_cannot_be_met_is_refused(root: Path) -> None:
    cohort = declared(root)
    with pytest.raises(ConfigError, match="is made of no file"):
        read_tables(replace(cohort, stacks={"mice.csv": StackDeclaration()}))
    with pytest.raises(ConfigError, match="doses declare no 'drug'"):
        read_tables(replace(cohort, doses=DosesDeclaration("mice.csv")))
    unnamed = replace(cohort.modalities["tumour"], long=LongDeclaration())
    with pytest.raises(ConfigError, match="one quantity per row but not 'name_column'"):
        read_tables(replace(cohort, modalities={"tumour": unnamed}))
