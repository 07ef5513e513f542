"""One table with a row per visit on any day is roster, measurements, therapy and outcome."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.errors import CohortError, ConfigError, IntakeError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    KeyDeclaration,
    Kind,
    Layout,
    ModalityDeclaration,
    OutcomeDeclaration,
    OutcomeKind,
    TherapyDeclaration,
    UnknownLevel,
)
from omics_twin.intake.tables import read_tables
from omics_twin.tensors.history import histories_of
from omics_twin.trust.consent import Purpose, permit

VISITS = """name,week,size,arm,age,years,died
A,2,18,new,50,1.5,1
A,0,20,new,50,1.5,1
B,-1,TOO SMALL,old,60,2,0
B,3,,old,60,2,0
B,6,NE,old,60,2,0
"""


def declared(root: Path, text: str = VISITS) -> CohortDeclaration:
    (root / "visits.csv").write_text(text, encoding="utf-8")
    return CohortDeclaration(
        name="lesions",
        root=str(root),
        key="name",
        roster="visits.csv",
        modalities={
            "tumour": ModalityDeclaration(
                table="visits.csv",
                layout=Layout.REPEATED,
                day_column="week",
                day_unit="week",
                columns={
                    "size": ColumnDeclaration(
                        unit="mm",
                        convert_to="cm",
                        minimum=0,
                        missing=["NE"],
                        too_small=["TOO SMALL"],
                    )
                },
            ),
            "clinical": ModalityDeclaration(
                table="visits.csv", columns={"age": ColumnDeclaration(unit="year")}
            ),
        },
        therapy=TherapyDeclaration(table="visits.csv", arm_column="arm"),
        outcomes={
            "survival": OutcomeDeclaration(
                table="visits.csv",
                kind=OutcomeKind.TIME_TO_EVENT,
                value_column="years",
                unit="year",
                event_column="died",
                event_value="1",
                censored_value="0",
            )
        },
    )


def cohort_of(declaration: CohortDeclaration) -> Cohort:
    tables = read_tables(declaration)
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose=Purpose.TRAINING))


def test_visits_are_in_order_of_their_days_and_padded(tmp_path: Path) -> None:
    histories = histories_of(cohort_of(declared(tmp_path)), "tumour")
    assert histories.patient_ids == ("A", "B")
    assert histories.modality.features == ("size", "size_too_small")
    assert histories.visits.tolist() == [2, 3]
    torch.testing.assert_close(
        histories.days,
        torch.tensor([[0.0, 14.0, torch.nan], [-7.0, 21.0, 42.0]], dtype=torch.float64),
        equal_nan=True,
    )
    expected = torch.tensor(
        [
            [[2.0, 0.0], [1.8, 0.0], [torch.nan, torch.nan]],
            [[torch.nan, 1.0], [torch.nan, torch.nan], [torch.nan, torch.nan]],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(histories.values, expected, equal_nan=True)


def test_a_patients_own_columns_are_read_once(tmp_path: Path) -> None:
    tables = read_tables(declared(tmp_path))
    assert tables.patient_ids == ("A", "B")
    assert tables.channels["clinical"].values["age"].to_dict() == {"A": 50.0, "B": 60.0}
    assert tables.received is not None
    assert list(tables.received) == ["new", "old"]
    np.testing.assert_allclose(tables.outcomes["survival"].values, [1.5 * 365.25, 2 * 365.25])


def test_the_next_visit_of_who_has_none_shows_nothing_on_the_last_day(tmp_path: Path) -> None:
    histories = histories_of(cohort_of(declared(tmp_path)), "tumour")
    third = histories.observation(2)
    assert third.days.tolist() == [14.0, 42.0]
    assert torch.isnan(third.values["tumour"][0]).all()


def test_what_was_known_on_a_day(tmp_path: Path) -> None:
    known = histories_of(cohort_of(declared(tmp_path)), "tumour").up_to(0.0)
    assert known.visits.tolist() == [1, 1]
    assert known.days.tolist() == [[0.0], [-7.0]]


def test_some_patients_keep_their_visits(tmp_path: Path) -> None:
    cohort = cohort_of(declared(tmp_path)).select(["B"])
    assert histories_of(cohort, "tumour").visits.tolist() == [3]
    histories = histories_of(cohort_of(declared(tmp_path)), "tumour")
    assert histories.select(torch.tensor([1])).patient_ids == ("B",)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("A,,19,new,50,1.5,1\n", "a row without 'week'"),
        ("A,2,19,new,50,1.5,1\n", "two rows for the same day"),
    ],
    ids=["no day", "twice"],
)
def test_a_row_without_a_day_of_its_own_is_refused_or_left_out_by_name(
    tmp_path: Path, row: str, found: str
) -> None:
    declaration = declared(tmp_path, VISITS + row)
    with pytest.raises(IntakeError, match=f"has {found} for patients 'A'"):
        read_tables(declaration)
    declaration.modalities["tumour"].incomplete = UnknownLevel.REPORT
    tables = read_tables(declaration)
    assert f"table 'visits.csv': {found}, not read, for patients 'A'" in tables.notes
    assert len(tables.repeated["tumour"].days) == 5


def test_a_column_of_the_patient_that_changes_is_refused(tmp_path: Path) -> None:
    text = VISITS.replace("A,0,20,new", "A,0,20,old")
    with pytest.raises(IntakeError, match="column 'arm': found 'old' and 'new' for patient 'A'"):
        read_tables(declared(tmp_path, text))


def test_one_name_in_two_studies_is_two_patients(tmp_path: Path) -> None:
    text = VISITS.replace("A,0,20,new", "A,0,20,old")
    declaration = declared(tmp_path, text)
    declaration.keys["visits.csv"] = KeyDeclaration("name", within=["arm"])
    assert read_tables(declaration).patient_ids == ("new/A", "old/A", "old/B")
    declaration.keys["visits.csv"] = KeyDeclaration("name", within=["am"])
    with pytest.raises(IntakeError, match=r"no column 'am': did you mean 'arm'\?"):
        read_tables(declaration)


def test_a_patient_without_a_group_to_be_told_apart_by_is_refused(tmp_path: Path) -> None:
    declaration = declared(tmp_path, VISITS.replace("B,3,,old", "B,3,,"))
    declaration.keys["visits.csv"] = KeyDeclaration("name", within=["arm"])
    with pytest.raises(IntakeError, match="row 4 has an empty 'arm'"):
        read_tables(declaration)


def test_parts_stand_below_each_other(tmp_path: Path) -> None:
    roots = {}
    for name, text in (("one", VISITS), ("two", VISITS.replace("A,", "C,").replace("B,", "D,"))):
        (tmp_path / name).mkdir()
        declared(tmp_path / name, text)
        roots[name] = str(tmp_path / name)
    declaration = declared(tmp_path)
    declaration.root, declaration.parts = "", roots
    histories = histories_of(cohort_of(declaration), "tumour")
    assert histories.patient_ids == ("A", "B", "C", "D")
    torch.testing.assert_close(histories.days[:2], histories.days[2:], equal_nan=True)


def test_an_unknown_modality_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"repeated measurements 'tumor': did you mean 'tumour'"):
        histories_of(cohort_of(declared(tmp_path)), "tumor")


def test_a_declaration_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    declaration = declared(tmp_path)
    tumour = declaration.modalities["tumour"]
    tumour.schedule = [0.0]
    with pytest.raises(ConfigError, match="layout 'repeated' and a 'schedule'"):
        read_tables(declaration)
    tumour.schedule, tumour.day_column = [], None
    with pytest.raises(ConfigError, match="layout 'repeated' but no 'day_column'"):
        read_tables(declaration)
    tumour.day_column = "week"
    tumour.columns["size"] = ColumnDeclaration(kind=Kind.CATEGORY)
    with pytest.raises(ConfigError, match="'size' is a category, expected numbers"):
        read_tables(declaration)
    tumour.columns["size"] = ColumnDeclaration(kind=Kind.BINARY, too_small=["x"])
    with pytest.raises(ConfigError, match="'too_small' in a binary column"):
        read_tables(declaration)
