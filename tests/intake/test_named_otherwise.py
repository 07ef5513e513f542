"""Tables that name patients otherwise, lack whole modalities or know outcomes by half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    FoldsDeclaration,
    KeyDeclaration,
    Kind,
    ModalityDeclaration,
    UnknownLevel,
)
from omics_twin.intake.tables import read_tables


def with_panel(study: CohortDeclaration, text: str, key: KeyDeclaration) -> CohortDeclaration:
    (Path(study.root) / "panel.csv").write_text(text, encoding="utf-8")
    study.keys["panel.csv"] = key
    study.modalities["panel"] = ModalityDeclaration(
        table="panel.csv", other_columns=ColumnDeclaration(kind=Kind.BINARY, presence=True)
    )
    return study


def test_a_table_may_name_patients_otherwise(study: CohortDeclaration) -> None:
    named = with_panel(study, ",TP53\n1,p.R175H\n2,\n", KeyDeclaration("", prefix="P"))
    panel = read_tables(named).channels["panel"].values
    assert panel["TP53"].to_dict() == {"P1": 1.0, "P2": 0.0}


def test_a_column_without_a_name_is_refused_where_it_is_not_the_key(
    study: CohortDeclaration,
) -> None:
    with pytest.raises(IntakeError, match="column 1 has no name"):
        read_tables(with_panel(study, ",TP53\nP1,x\n", KeyDeclaration("patient_id")))


def test_a_repeated_patient_is_read_once_and_named(study: CohortDeclaration) -> None:
    text = "patient_id,TP53\nP1,\nP1,x\nP2,\n"
    with pytest.raises(IntakeError, match="more than one row for patients 'P1'"):
        read_tables(with_panel(study, text, KeyDeclaration("patient_id")))
    key = KeyDeclaration("patient_id", repeated=UnknownLevel.REPORT)
    tables = read_tables(with_panel(study, text, key))
    assert tables.channels["panel"].values["TP53"].to_dict() == {"P1": 0.0, "P2": 0.0}
    assert "table 'panel.csv': only the first row was read of patients 'P1'" in tables.notes


def test_a_stranger_is_left_out_by_name(study: CohortDeclaration) -> None:
    key = KeyDeclaration("patient_id", strangers=UnknownLevel.REPORT)
    tables = read_tables(with_panel(study, "patient_id,TP53\nP1,x\nP9,x\n", key))
    assert list(tables.channels["panel"].values.index) == ["P1"]
    assert "table 'panel.csv': not in the roster, rows not read, 'P9'" in tables.notes


def test_presence_is_asked_of_a_binary_column_only(study: CohortDeclaration) -> None:
    study.modalities["clinical"].columns["age"].presence = True
    with pytest.raises(ConfigError, match="asks for the presence of a number column"):
        read_tables(study)


def test_an_optional_modality_may_be_absent(study: CohortDeclaration) -> None:
    (Path(study.root) / "expression.csv").unlink()
    with pytest.raises(IntakeError, match=r"'expression\.csv' of cohort 'study' is not in"):
        read_tables(study)
    study.modalities["expression"].optional = True
    tables = read_tables(study)
    assert "expression" not in tables.channels
    assert any("modality 'expression': no table" in note for note in tables.notes)


def test_an_outcome_known_by_half_is_refused_or_read_as_not_known(
    study: CohortDeclaration,
) -> None:
    table = Path(study.root) / "outcome.csv"
    table.write_text(table.read_text().replace("P2,PD,2.5,3.5,1", "P2,PD,2.5,3.5,"))
    with pytest.raises(IntakeError, match="has 'months' but no 'censored'"):
        read_tables(study)
    study.outcomes["os"].incomplete = UnknownLevel.REPORT
    tables = read_tables(study)
    assert np.isnan(tables.outcomes["os"].values).tolist() == [False, True, True, False]
    assert any("read as not known, for 'P2'" in note for note in tables.notes)


def test_published_folds_are_read_in_training_only(study: CohortDeclaration) -> None:
    (Path(study.root) / "folds.csv").write_text("patient_id,fold\nP1,0\nP2,1\n")
    study.folds = FoldsDeclaration("folds.csv")
    assert read_tables(study).groups["fold"].fillna("none").tolist() == ["0", "1", "none", "none"]
    assert "fold" not in read_tables(study, scoring=True).groups
    study.group_columns["fold"] = "site"
    with pytest.raises(ConfigError, match="declares folds and a group 'fold'"):
        read_tables(study)
