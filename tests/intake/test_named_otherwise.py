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
    OutcomeDeclaration,
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


def test_a_first_column_without_a_name_may_have_the_name_that_pandas_gives(
    study: CohortDeclaration,
) -> None:
    named = with_panel(study, "Unnamed: 0,TP53\nP1,x\n", KeyDeclaration(""))
    assert list(read_tables(named).channels["panel"].values.columns) == ["TP53"]


def whole(folder: Path, text: str, file: str) -> CohortDeclaration:
    """Return a cohort of one table, written under another name than declared."""
    folder.mkdir()
    (folder / file).write_text(text, encoding="utf-8")
    columns = {"age": ColumnDeclaration(), "stage": ColumnDeclaration(optional=True)}
    return CohortDeclaration(
        name="one",
        root=str(folder),
        key="patient_id",
        roster="train.csv",
        modalities={"clinical": ModalityDeclaration(table="train.csv", columns=columns)},
        outcomes={
            "response": OutcomeDeclaration(table="train.csv", value_column="response"),
            "relapse": OutcomeDeclaration(table="train.csv", value_column="relapse", optional=True),
        },
        group_columns={"site": "site"},
    )


def test_the_only_table_of_a_folder_is_the_cohort_whatever_it_is_called(tmp_path: Path) -> None:
    study = whole(tmp_path / "a", "patient_id,age,response,site\nP1,50,1,A\n", "later.csv")
    tables = read_tables(study)
    assert tables.patient_ids == ("P1",)
    assert "table 'train.csv' is read from 'later.csv', the only one in the folder" in tables.notes
    (tmp_path / "a" / "more.csv").write_text("patient_id\nP1\n", encoding="utf-8")
    with pytest.raises(IntakeError, match=r"table 'train.csv' of cohort 'one' is not in"):
        read_tables(study)


def test_columns_and_outcomes_that_are_optional_may_be_absent_and_are_told(tmp_path: Path) -> None:
    study = whole(tmp_path / "a", "patient_id,age,response,site\nP1,50,1,A\n", "train.csv")
    tables = read_tables(study)
    assert tables.channels["clinical"].values["stage"].isna().all()
    assert list(tables.outcomes) == ["response"]
    assert "table 'train.csv': no columns 'stage', read as not measured" in tables.notes
    text = "patient_id,age,response,relapse,site\nP1,50,1,,A\n"
    blank = read_tables(whole(tmp_path / "b", text, "train.csv"))
    assert list(blank.outcomes) == ["response"]
    assert "outcome 'relapse' in table 'train.csv' is known for nobody" in blank.notes


def test_new_patients_may_lack_what_only_describes_them(tmp_path: Path) -> None:
    study = whole(tmp_path / "a", "patient_id,age,response\nP1,50,1\n", "train.csv")
    tables = read_tables(study, scoring=True)
    assert tables.groups.empty
    assert "table 'train.csv': no columns 'site', groups not known" in tables.notes
    with pytest.raises(IntakeError, match="no column 'site'"):
        read_tables(study)


def test_a_column_whose_empty_cells_mean_no_is_not_optional(study: CohortDeclaration) -> None:
    column = ColumnDeclaration(kind=Kind.BINARY, presence=True, optional=True)
    study.modalities["clinical"].columns["smoker"] = column
    with pytest.raises(ConfigError, match="where an empty cell means no, and 'optional'"):
        read_tables(study)


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
