"""Every kind of bad input is answered by one sentence that names where it is."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from omics_twin.errors import ConfigError, IntakeError, OmicsTwinError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    Kind,
    Layout,
    TherapyDeclaration,
)
from omics_twin.intake.tables import read_tables

Change = Callable[[CohortDeclaration, Path], CohortDeclaration | None]


def cell(file: str, old: str, new: str) -> Change:
    """Replace text in a file."""

    def change(_: CohortDeclaration, root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        if old not in text:
            pytest.fail(f"'{old}' is not in {file}")
        (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def content(file: str, written: bytes) -> Change:
    """Replace a whole file."""

    def change(_: CohortDeclaration, root: Path) -> None:
        (root / file).write_bytes(written)

    return change


def declared(change: Callable[[CohortDeclaration], object]) -> Change:
    """Change the declaration; an answer that is a declaration replaces it."""

    def apply(declaration: CohortDeclaration, _: Path) -> CohortDeclaration | None:
        answer = change(declaration)
        return answer if isinstance(answer, CohortDeclaration) else None

    return apply


def setting(path: str, value: object) -> Change:
    """Set one field of the declaration by its dotted path."""

    def change(declaration: CohortDeclaration) -> None:
        *parents, last = path.split(".")
        here: object = declaration
        for name in parents:
            here = here[name] if isinstance(here, dict) else getattr(here, name)
        setattr(here, last, value)

    return declared(change)


def expression_as(file: str, written: bytes) -> Change:
    """Read the expression modality from another file."""

    def change(declaration: CohortDeclaration, root: Path) -> None:
        (root / file).write_bytes(written)
        declaration.modalities["expression"].table = file

    return change


def expression_parquet(**columns: list[object]) -> Change:
    """Read the expression modality from a parquet file with these columns."""

    def change(declaration: CohortDeclaration, root: Path) -> None:
        pd.DataFrame(columns).to_parquet(root / "expression.parquet")
        declaration.modalities["expression"].table = "expression.parquet"

    return change


def agents(chemo: str) -> Change:
    """Read the arm from agent columns, one cell of which is changed."""

    def change(declaration: CohortDeclaration, root: Path) -> None:
        cell("therapy.csv", "P1,Control,1,0", f"P1,Control,{chemo},0")(declaration, root)
        declaration.therapy = TherapyDeclaration(
            table="therapy.csv", agent_columns={"chemo": "taxane", "antibody": "anti-HER2"}
        )

    return change


def mri_as_baseline(written: str) -> Change:
    """Declare the MRI table as one baseline row per patient."""

    def change(declaration: CohortDeclaration, root: Path) -> None:
        declaration.modalities["mri"].layout = Layout.WIDE
        (root / "mri.csv").write_text(written, encoding="utf-8")

    return change


AGE = "P1,50,1,II,White,A ,Y,60"
CASES: dict[str, tuple[Change, str]] = {
    # files
    "root missing": (declared(lambda d: replace(d, root=d.root + "/no")), "does not exist"),
    "file missing": (lambda d, r: (r / "mri.csv").unlink(), "table 'mri.csv' of cohort 'study'"),
    "roster missing": (setting("roster", "roster.csv"), "table 'roster.csv' of cohort"),
    "format unknown": (setting("modalities.mri.table", "mri.xlsx"), "unknown format"),
    "file empty": (content("mri.csv", b""), "is empty (0 bytes)"),
    "blank lines only": (content("mri.csv", b"\n\n"), "table 'mri.csv' is empty"),
    "header only": (content("mri.csv", b"patient_id,day,volume\n"), "a header but no patients"),
    "not text": (content("mri.csv", b"\x80\x04\x95\xff"), "is not UTF-8 text (byte 0)"),
    "binary": (content("mri.csv", b"patient_id,day\0,volume\n"), "is a binary file"),
    "Latin-1": (content("mri.csv", "patient_id,é\n".encode("latin-1")), "is not UTF-8 text"),
    "UTF-16": (content("mri.csv", "patient_id,day\n".encode("utf-16")), "is not UTF-8 text"),
    "not gzip": (expression_as("e.csv.gz", b"patient_id,ESR1\n"), "not a complete gzip file"),
    "cut gzip": (
        expression_as("e.csv.gz", gzip.compress(b"patient_id,ESR1\nP1,2\n" * 50)[:-9]),
        "not a complete gzip file",
    ),
    "not parquet": (expression_as("e.parquet", b"PAR1 no"), "not a readable parquet file"),
    "open quotation mark": (cell("mri.csv", "P1,20,8", 'P1,20,"8'), "quotation marks"),
    "row too long": (
        cell("mri.csv", "P1,20,8", "P1,20,8,9"),
        "table 'mri.csv', line 3: found 4 cells, expected 3",
    ),
    "row too short": (cell("mri.csv", "P1,20,8", "P1,20"), "line 3: found 2 cells, expected 3"),
    # columns and keys
    "key missing": (cell("mri.csv", "patient_id", "pid"), "has no key column 'patient_id'"),
    "semicolons": (content("mri.csv", b"patient_id;day\nP1;0\n"), "separated by another"),
    "key twice": (cell("mri.csv", "day,", "patient_id,"), "column 'patient_id' twice"),
    "column twice": (cell("expression.csv", "PGR", "ESR1"), "has column 'ESR1' twice"),
    "column unnamed": (cell("expression.csv", "PGR", ""), "column 3 has no name"),
    "column missing": (
        cell("clinical.csv", "age", "agee"),
        "table 'clinical.csv' has no column 'age': did you mean 'agee'?",
    ),
    "group column missing": (setting("group_columns", {"site": "centre"}), "column 'centre'"),
    "stratum column missing": (setting("strata", ["hr"]), "no column 'hr'"),
    "assay column missing": (setting("modalities.genomics.measured_column", "bep"), "'bep'"),
    "nothing to measure": (setting("modalities.expression.exclude", ["ESR1", "PGR"]), "no column"),
    "patient empty": (cell("clinical.csv", "P2", " "), "row 2 has an empty 'patient_id'"),
    "patient twice in roster": (cell("clinical.csv", "P2", "P1"), "the roster lists each patient"),
    "patient twice in table": (cell("expression.csv", "P2", "P1"), "one row per patient"),
    "patient twice in outcome": (cell("outcome.csv", "P2", "P1"), "outcome 'response' has one"),
    "stranger in table": (
        cell("expression.csv", "P2", "P9"),
        "table 'expression.csv' has patients 'P9' who are not in the roster 'clinical.csv'",
    ),
    "stranger in therapy": (cell("therapy.csv", "P2", "P9"), "table 'therapy.csv' has patients"),
    "stranger in outcome": (cell("outcome.csv", "P2", "P9"), "table 'outcome.csv' has patients"),
    # cells
    "decimal comma": (
        cell("expression.csv", "0.25", '"0,25"'),
        "column 'ESR1': found '0,25' for patient 'P2', expected a number: write decimals with a",
    ),
    "text for a number": (cell("expression.csv", "0.25", "abc"), "found 'abc' for patient 'P2'"),
    "undeclared missing": (cell("expression.csv", "0.25", "NA"), "found 'NA' for patient 'P2'"),
    "doubtful missing": (cell("expression.csv", "0.25", "NA?"), "found 'NA?' for patient 'P2'"),
    "infinity": (cell("expression.csv", "0.25", "inf"), "found 'inf' for patient 'P2'"),
    "nan": (cell("expression.csv", "0.25", "nan"), "found 'nan' for patient 'P2'"),
    "too large": (cell("expression.csv", "0.25", "1e999"), "expected a finite number"),
    "underscore": (cell("expression.csv", "0.25", "1_000"), "found '1_000' for patient 'P2'"),
    "other digits": (cell("expression.csv", "0.25", "٣"), "found '٣' for patient 'P2'"),
    "hexadecimal": (cell("expression.csv", "0.25", "0x1F"), "found '0x1F' for patient 'P2'"),
    "two numbers": (cell("expression.csv", "0.25", "1 2"), "found '1 2' for patient 'P2'"),
    "below minimum": (
        cell("clinical.csv", AGE, AGE.replace("50", "5")),
        "column 'age': found '5' for patient 'P1', expected at least 18 year",
    ),
    "above maximum": (cell("clinical.csv", "61.5", "615"), "expected at most 110 year"),
    "negative logarithm": (cell("clinical.csv", ",60", ",-60"), "no negative number"),
    "third binary value": (
        cell("clinical.csv", "P1,50,1", "P1,50,2"),
        "column 'her2': found '2' for patient 'P1', expected one of '1', '0'",
    ),
    "unknown level": (
        cell("clinical.csv", "III", "IIII"),
        "found 'IIII' for patient 'P2', expected a level of its vocabulary: did you mean 'III'?",
    ),
    # days
    "day missing": (cell("mri.csv", "P1,20", "P1,"), "'P1' has a row without 'day'"),
    "day not a number": (cell("mri.csv", "P1,20", "P1,T1"), "column 'day': found 'T1'"),
    "day off schedule": (cell("mri.csv", "P1,20", "P1,60"), "expected a follow-up within 14 days"),
    "follow-up as baseline": (cell("mri.csv", "P2,0", "P2,1"), "visit on day 1, expected a follow"),
    "baseline too early": (cell("mri.csv", "P1,-3", "P1,-30"), "expected a baseline within 14"),
    "visit twice": (cell("mri.csv", "P1,20", "P1,-2"), "'P1' has two rows for the visit of day 0"),
    "late baseline": (
        mri_as_baseline("patient_id,day,volume\nP1,0,1\nP2,4,2\n"),
        "'P2' was measured on day 4, after the index date, where a baseline value is expected",
    ),
    # mutation calls
    "gene empty": (cell("calls.csv", "KRAS", ""), "row 3 has an empty 'gene'"),
    "fraction above one": (cell("calls.csv", "0.3", "30"), "an allele fraction between 0 and 1"),
    "call without assay": (cell("calls.csv", "P1,KRAS", "P4,KRAS"), "calls for patients 'P4'"),
    # therapy and outcomes
    "two arms": (cell("therapy.csv", "P2", "P1"), "two arms, 'Control' and 'Novel' for patient"),
    "arm twice": (cell("therapy.csv", "P4", "P1"), "'Control' on two rows for patient 'P1'"),
    "arm column missing": (cell("therapy.csv", "arm", "group"), "no column 'arm'"),
    "agent neither": (agents("yes"), "column 'chemo': found 'yes' for patient 'P1'"),
    "response neither": (cell("outcome.csv", "PD", "XX"), "found 'XX' for patient 'P2'"),
    "score below minimum": (cell("outcome.csv", "2.5", "-2.5"), "expected at least 0"),
    "time negative": (cell("outcome.csv", "3.5", "-3.5"), "a time that is not negative"),
    "time not a number": (cell("outcome.csv", "3.5", "3 m"), "column 'months': found '3 m'"),
    "event neither": (cell("outcome.csv", ",12,0", ",12,2"), "column 'censored': found '2'"),
    "event missing": (cell("outcome.csv", ",12,0", ",12,"), "has 'months' but no 'censored'"),
    "time missing": (cell("outcome.csv", ",12,0", ",,0"), "has 'censored' but no 'months'"),
    "event column missing": (cell("outcome.csv", "censored", "dead"), "no column 'censored'"),
    "outcome known for nobody": (
        content("outcome.csv", b"patient_id,response,score,months,censored\nP1,NE,,,\n"),
        "outcome 'response' in table 'outcome.csv' is known for nobody",
    ),
    # parquet
    "parquet dates": (
        expression_parquet(patient_id=["P1"], ESR1=[pd.Timestamp("2020-01-01")]),
        "table 'expression.parquet', column 'ESR1' has the parquet type 'timestamp",
    ),
    "parquet lists": (expression_parquet(patient_id=["P1"], ESR1=[[1.0]]), "the parquet type"),
    "parquet infinity": (
        expression_parquet(patient_id=["P1"], ESR1=[float("inf")]),
        "found 'inf' for patient 'P1', expected a finite number",
    ),
    "parquet text": (expression_parquet(patient_id=["P1"], ESR1=["high"]), "found 'high'"),
    "parquet decimal key": (expression_parquet(patient_id=[1.5], ESR1=[1.0]), "decimal numbers"),
    "parquet without key": (expression_parquet(ESR1=[1.0]), "has no key column"),
    "parquet key empty": (expression_parquet(patient_id=[None], ESR1=[1.0]), "row 1 has an empty"),
    "parquet without rows": (expression_parquet(patient_id=[], ESR1=[]), "a header but no"),
}

DECLARATIONS: dict[str, tuple[Change, str]] = {
    "no name": (setting("name", ""), "declares no 'name'"),
    "no modality": (setting("modalities", {}), "declares no modality"),
    "no table": (setting("modalities.mri.table", ""), "modality 'mri' declares no 'table'"),
    "same positive and negative": (
        setting(
            "modalities.clinical.columns", {"her2": ColumnDeclaration(Kind.BINARY, positive="0.0")}
        ),
        "declares '0.0' as both positive and negative",
    ),
    "unknown unit": (
        setting("modalities.clinical.columns", {"age": ColumnDeclaration(unit="yaer")}),
        "column 'age': unknown unit 'yaer': did you mean 'year'?",
    ),
    "impossible conversion": (
        setting(
            "modalities.clinical.columns", {"age": ColumnDeclaration(unit="year", convert_to="mm")}
        ),
        "unit 'year' cannot be converted to 'mm'",
    ),
    "minimum above maximum": (
        setting("modalities.clinical.columns", {"age": ColumnDeclaration(minimum=9, maximum=1)}),
        "minimum 9 above maximum 1",
    ),
    "logarithm of negatives": (
        setting("modalities.clinical.columns", {"age": ColumnDeclaration(minimum=-9, log=True)}),
        "the logarithm of values from -9",
    ),
    "logarithm of a category": (
        setting(
            "modalities.clinical.columns", {"stage": ColumnDeclaration(Kind.CATEGORY, log=True)}
        ),
        "the logarithm of a category column",
    ),
    "declared and excluded": (setting("modalities.clinical.exclude", ["age"]), "and excludes it"),
    "frequency above one": (
        setting("modalities.genomics.minimum_frequency", 3.0),
        "has minimum_frequency 3",
    ),
    "visits without day": (setting("modalities.mri.day_column", None), "but no 'day_column'"),
    "visits without schedule": (setting("modalities.mri.schedule", []), "but no 'schedule'"),
    "scheduled twice": (setting("modalities.mri.schedule", [0, 0]), "a scheduled day twice"),
    "negative window": (setting("modalities.mri.window_days", -1), "has window_days -1"),
    "variants without gene": (setting("modalities.genomics.gene_column", None), "'gene_column'"),
    "effects not counted": (setting("modalities.genomics.counted_effects", []), "needs both"),
    "assay without value": (setting("modalities.genomics.measured_value", None), "needs both"),
    "therapy without arm": (setting("therapy.arm_column", None), "declare exactly one"),
    "overlapping outcome": (setting("outcomes.response.negative", ["CR"]), "without a common"),
    "no event value": (setting("outcomes.os.event_value", None), "declares no 'event_value'"),
    "no censored value": (setting("outcomes.os.censored_value", None), "no 'censored_value'"),
    "event is censored": (setting("outcomes.os.censored_value", "0"), "both event and censored"),
    "time in grams": (setting("outcomes.os.unit", "g"), "cannot be converted to 'day'"),
}


def refused(study: CohortDeclaration, change: Change, kind: type[OmicsTwinError]) -> str:
    """Return the sentence with which a changed study is refused."""
    changed = change(study, Path(study.root)) or study
    with pytest.raises(kind) as caught:
        read_tables(changed)
    return str(caught.value)


@pytest.mark.parametrize(("change", "fragment"), CASES.values(), ids=CASES)
def test_a_bad_table_is_refused_in_one_sentence(
    study: CohortDeclaration, change: Change, fragment: str
) -> None:
    sentence = refused(study, change, IntakeError)
    assert fragment in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(("change", "fragment"), DECLARATIONS.values(), ids=DECLARATIONS)
def test_a_contradictory_declaration_is_refused_in_one_sentence(
    study: CohortDeclaration, change: Change, fragment: str
) -> None:
    sentence = refused(study, change, ConfigError)
    assert fragment in sentence
    assert "\n" not in sentence
