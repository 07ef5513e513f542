"""Folders in the same format are one cohort; what a part does not list is not measured in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.cohort.genomics import mutation_matrix
from omics_twin.config import digest, load
from omics_twin.errors import ConfigError, IntakeError, ModelError
from omics_twin.intake.check import check
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    FoldsDeclaration,
    GroupDeclaration,
    Kind,
    ModalityDeclaration,
)
from omics_twin.intake.parts import join_parts
from omics_twin.intake.settings import Format, IntakeSettings
from omics_twin.intake.tables import read_tables
from omics_twin.tensors.transforms import apply, design_of
from omics_twin.trust.consent import Purpose, permit
from tests.intake.conftest import FILES

PANEL = {"here": "patient_id,TP53\nP1,1\n", "there": "patient_id,KRAS\nQ1,0\n"}


def write(folder: Path, letter: str, **texts: str) -> str:
    """Write the study with other patients, some of its files replaced."""
    folder.mkdir()
    for name, text in FILES.items():
        own = text.replace("\nP", f"\n{letter}")
        (folder / name).write_text(texts.get(name.split(".")[0], own), encoding="utf-8")
    return str(folder)


@pytest.fixture
def pan(study: CohortDeclaration, tmp_path: Path) -> CohortDeclaration:
    """Return the study in two folders, ``here`` (P1 to P4) and ``there`` (Q1 to Q4).

    Of expression, ``here`` has ESR1 and PGR, ``there`` ERBB2 and ESR1.
    """
    expression = "patient_id,ERBB2,ESR1\nQ1,7,1.5\nQ2,6,2.5\n"
    calls = "patient_id,gene,effect,af\nQ2,PTEN,missense,0.4\n"
    there = write(tmp_path / "there", "Q", expression=expression, calls=calls)
    parts = {"here": write(tmp_path / "here", "P"), "there": there}
    return replace(study, root="", parts=parts, part_column="cancer_type")


@pytest.fixture
def with_panel(pan: CohortDeclaration) -> CohortDeclaration:
    """Return it with 0/1 columns of which each part lists another."""
    for part, text in PANEL.items():
        (Path(pan.parts[part]) / "panel.csv").write_text(text)
    panel = ModalityDeclaration(
        table="panel.csv", other_columns=ColumnDeclaration(kind=Kind.BINARY)
    )
    return replace(pan, modalities={**pan.modalities, "panel": panel})


def cohort(declaration: CohortDeclaration, *, scoring: bool = False) -> Cohort:
    tables = read_tables(declaration, scoring=scoring)
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose=Purpose.TRAINING))


def test_patients_outcomes_and_groups_stand_below_each_other(pan: CohortDeclaration) -> None:
    tables = read_tables(pan)
    assert tables.patient_ids == ("P1", "P2", "P3", "P4", "Q1", "Q2", "Q3", "Q4")
    os = tables.outcomes["os"]
    np.testing.assert_array_equal(os.values[:4], os.values[4:])
    assert os.events is not None
    assert os.events.tolist() == [True, False, False, False] * 2
    assert tables.received is not None
    assert tables.received["Q2"] == "Novel"
    assert tables.groups["part"].tolist() == ["here"] * 4 + ["there"] * 4
    assert tables.groups["site"].fillna("NA").tolist() == ["A", "B", "NA", "A"] * 2
    assert list(tables.strata.index) == list(tables.patient_ids)
    assert {note.split(":")[0] for note in tables.notes} == {"here", "there"}


def test_causes_stand_below_each_other_and_nobody_of_a_part_without_has_one(
    pan: CohortDeclaration,
) -> None:
    pan.outcomes["os"].cause_column = "response"
    pan.outcomes["os"].causes = {"cancer": ["CR"], "other": ["PD", "SD"]}
    found = read_tables(pan).outcomes["os"]
    assert found.by_cause is not None
    assert found.by_cause.tolist() == [1, 0, 0, 0] * 2
    path = Path(pan.parts["there"]) / "outcome.csv"
    kept = path.read_text()
    path.unlink()
    found = read_tables(pan, scoring=True).outcomes["os"]
    assert found.by_cause is not None
    assert found.by_cause.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    pan.outcomes["os"].cause_column = "cause"
    path.write_text(kept)
    here = Path(pan.parts["here"]) / "outcome.csv"
    table = pd.read_csv(here, dtype=str)
    table.assign(cause=table["response"]).to_csv(here, index=False)
    found = read_tables(pan, scoring=True).outcomes["os"]
    assert found.by_cause is None
    assert found.causes == ()


def test_a_feature_that_a_part_does_not_list_is_not_measured_there(pan: CohortDeclaration) -> None:
    channel = read_tables(pan).channels["expression"]
    assert channel.values.columns.tolist() == ["ESR1", "PGR", "ERBB2"]
    assert channel.values["ESR1"].tolist() == [1.5, 0.25, 1.5, 2.5]
    assert channel.values.loc[["Q1", "Q2"], "PGR"].isna().all()
    assert channel.values.loc[["P1", "P2"], "ERBB2"].isna().all()
    assert channel.not_in_all_parts == {"PGR", "ERBB2"}


def test_a_gene_without_a_call_is_wild_type_in_every_part(pan: CohortDeclaration) -> None:
    matrix = mutation_matrix(read_tables(pan).variants["genomics"])
    assert matrix.values["PTEN"].to_dict() == {"P1": 0.0, "P2": 0.0, "Q1": 0.0, "Q2": 1.0}
    assert matrix.values.loc["Q1", "TP53"] == 0.0
    assert matrix.absent_value == 0.0


def test_mutations_as_columns_are_not_measured_where_they_are_not_listed(
    with_panel: CohortDeclaration,
) -> None:
    values = read_tables(with_panel).channels["panel"].values
    assert values.loc["P1"].fillna(-1).to_dict() == {"TP53": 1.0, "KRAS": -1.0}
    assert values.loc["Q1"].fillna(-1).to_dict() == {"TP53": -1.0, "KRAS": 0.0}


def test_the_part_is_measured_in_whom_anything_else_was(pan: CohortDeclaration) -> None:
    channel = read_tables(pan).channels["cancer_type"]
    assert channel.values["cancer_type"].to_dict() == {
        "P1": "here",
        "P2": "here",
        "P4": "here",
        "Q1": "there",
        "Q2": "there",
        "Q4": "there",
    }
    assert channel.columns["cancer_type"].levels == {"here": "here", "there": "there"}
    assert "cancer_type" not in read_tables(replace(pan, part_column="")).channels


def test_folds_are_those_of_each_part(pan: CohortDeclaration) -> None:
    for part, fold in (("here", "P1,0\nP2,1"), ("there", "Q1,1\nQ2,0")):
        (Path(pan.parts[part]) / "folds.csv").write_text(f"patient_id,fold\n{fold}\n")
    groups = read_tables(replace(pan, folds=FoldsDeclaration("folds.csv"))).groups
    assert groups["fold"].dropna().to_dict() == {"P1": "0", "P2": "1", "Q1": "1", "Q2": "0"}


def test_what_one_part_lacks_when_scoring_is_not_known_there(pan: CohortDeclaration) -> None:
    for name in ("outcome.csv", "therapy.csv", "expression.csv"):
        (Path(pan.parts["there"]) / name).unlink()
    tables = read_tables(pan, scoring=True)
    os = tables.outcomes["os"]
    assert os.events is not None
    assert np.isnan(os.values[4:]).all()
    assert os.events.tolist() == [True, *[False] * 7]
    assert tables.received is not None
    assert tables.received.iloc[4:].isna().all()
    assert tables.channels["expression"].values.index.tolist() == ["P1", "P2"]
    with pytest.raises(IntakeError):
        read_tables(pan)


def test_a_patient_in_two_parts_is_refused(pan: CohortDeclaration) -> None:
    twice = replace(pan, parts={**pan.parts, "again": pan.parts["here"]})
    told = "patients 'P1', 'P2', 'P3', 'P4' are in part 'again' and in part 'here'"
    with pytest.raises(IntakeError, match=told):
        read_tables(twice)


def test_a_mistake_says_in_which_part_it_is(pan: CohortDeclaration) -> None:
    (Path(pan.parts["there"]) / "outcome.csv").unlink()
    with pytest.raises(IntakeError) as found:
        read_tables(pan)
    assert found.value.__notes__ == ["this is in part 'there' of the cohort"]
    report = check(IntakeSettings(format=Format.TABLES), pan)
    assert "part 'there'" in str(report.errors[0])


def test_the_fingerprint_knows_files_and_names_and_not_folders(
    pan: CohortDeclaration, tmp_path: Path
) -> None:
    own = read_tables(pan).fingerprint
    moved = Path(pan.parts["here"]).rename(tmp_path / "moved")
    at_other = replace(pan, parts={**pan.parts, "here": str(moved)})
    assert read_tables(at_other).fingerprint == own
    renamed = {"near": str(moved), "there": pan.parts["there"]}
    assert read_tables(replace(pan, parts=renamed)).fingerprint != own
    (moved / "mri.csv").write_text(FILES["mri.csv"].replace("P1,-3,10", "P1,-3,11"))
    assert read_tables(at_other).fingerprint != own


def test_where_the_parts_are_does_not_change_a_run_and_which_does() -> None:
    def asked(parts: str) -> str:
        return digest(load("train", ["cohort.root=''", f"cohort.parts={{{parts}}}"]), "x")

    assert asked("a: here, b: there") == asked("a: moved, b: away")
    assert asked("a: here, b: there") != asked("a: here, c: there")


def test_a_part_that_training_did_not_know_is_not_measured_and_said_so(
    pan: CohortDeclaration, tmp_path: Path
) -> None:
    design = design_of(cohort(pan))
    later = replace(pan, parts={"elsewhere": write(tmp_path / "elsewhere", "R")})
    found = apply(design, cohort(later, scoring=True))
    assert np.isnan(found.values["cancer_type"].numpy()).all()
    notes = "\n".join(found.notes)
    assert "column 'cancer_type' has values the model has never seen: 'elsewhere'" in notes
    assert "modality 'expression' lacks 'ERBB2', which not every part" in notes
    names = [f.name for f in next(c for c in design.channels if c.name == "expression").features]
    unlisted = found.values["expression"].numpy()[:, names.index("ERBB2")]
    assert np.isnan(unlisted).all()


def test_what_every_part_listed_is_still_needed(pan: CohortDeclaration, tmp_path: Path) -> None:
    design = design_of(cohort(pan))
    text = "patient_id,PGR,ERBB2\nR1,1,1\n"
    later = replace(pan, parts={"here": write(tmp_path / "later", "R", expression=text)})
    with pytest.raises(ModelError, match=r"2 of the 3 columns .* first missing: 'ESR1'"):
        apply(design, cohort(later, scoring=True))


def test_parts_that_hold_different_things_under_one_name_are_refused(
    pan: CohortDeclaration,
) -> None:
    tables = read_tables(replace(pan, root=pan.parts["here"], parts={}, part_column=""))
    other = read_tables(replace(pan, root=pan.parts["there"], parts={}, part_column=""))
    expression, genomics = other.channels["expression"], other.variants["genomics"]
    column = {**expression.columns, "ESR1": ColumnDeclaration(unit="counts")}
    changed = {
        "column 'ESR1' is a number in 'score' in part 'here' and a number in 'counts'": replace(
            other, channels={"expression": replace(expression, columns=column)}
        ),
        "gene panel 'small' has other genes in part 'there'": replace(
            other, variants={"genomics": replace(genomics, panels={"small": ("TP53",)})}
        ),
        "outcome 'os' is time_to_event in 'day', but another kind or unit in parts 'there'": (
            replace(other, outcomes={"os": replace(other.outcomes["os"], unit="month")})
        ),
    }
    first = replace(tables.variants["genomics"], panels={"small": ("KRAS",)})
    tables = replace(tables, variants={"genomics": first})
    for told, there in changed.items():
        with pytest.raises(IntakeError, match=told):
            join_parts(pan, {"here": tables, "there": there})


CONTRADICTIONS: list[tuple[str, Callable[[CohortDeclaration], CohortDeclaration]]] = [
    ("both a root and 2 parts", lambda pan: replace(pan, root="here")),
    ("part_column 'cancer_type' but no 'parts'", lambda pan: replace(pan, root="x", parts={})),
    ("expected both named", lambda pan: replace(pan, parts={"here": ""})),
    ("'mri' both as part_column and", lambda pan: replace(pan, part_column="mri")),
    (
        "parts and a group 'part'",
        lambda pan: replace(pan, policy_groups={"part": GroupDeclaration(columns=["site"])}),
    ),
]


@pytest.mark.parametrize(("told", "change"), CONTRADICTIONS)
def test_parts_that_contradict_the_rest_are_refused(
    pan: CohortDeclaration, told: str, change: Callable[[CohortDeclaration], CohortDeclaration]
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_tables(change(pan))
