"""A study's folder is read as the same tables that a cohort of tidy files gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    CohortFormat,
    ColumnDeclaration,
    Kind,
    ModalityDeclaration,
    OutcomeDeclaration,
)
from omics_twin.intake.tables import Tables, read_tables
from tests.intake.portal import change, write_study


@pytest.fixture
def declared(tmp_path: Path) -> CohortDeclaration:
    return CohortDeclaration(
        name="small", root=str(write_study(tmp_path)), format=CohortFormat.CBIOPORTAL
    )


def told(tables: Tables, text: str) -> bool:
    return any(text in note for note in tables.notes)


def test_every_modality_of_the_study_is_read(declared: CohortDeclaration) -> None:
    tables = read_tables(declared)
    assert tables.patient_ids == ("P1", "P2", "P3", "P4")
    assert set(tables.channels) == {"clinical", "copy_number", "expression"}
    assert set(tables.variants) == {"mutations"}
    assert set(tables.outcomes) == {"os", "dfs"}
    assert tables.received is None


def test_a_patient_with_several_samples_is_read_through_the_primary(
    declared: CohortDeclaration,
) -> None:
    tables = read_tables(declared)
    assert tables.channels["clinical"].values.loc["P1", "GRADE"] == "low"
    assert tables.channels["copy_number"].values.loc["P1"].tolist() == [-1.0, 2.0]
    assert "ERBB2" not in set(tables.variants["mutations"].calls["gene"])
    assert told(tables, "1 patients have several samples")
    assert told(tables, "1 calls of samples that are not read")


def test_attributes_are_typed_as_the_study_says(declared: CohortDeclaration) -> None:
    clinical = read_tables(declared).channels["clinical"]
    kinds = {name: column.kind for name, column in clinical.columns.items()}
    assert kinds == {
        "AGE": Kind.NUMBER,
        "SEX": Kind.CATEGORY,
        "SMOKER": Kind.BINARY,
        "GRADE": Kind.CATEGORY,
    }
    assert np.isnan(clinical.values.loc["P3", "AGE"])
    assert clinical.values["SMOKER"].tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    "name", ["VITAL_STATUS", "DAYS_TO_LAST_FOLLOWUP", "CHEMOTHERAPY", "PFS_STATUS", "OTHER_ID"]
)
def test_what_leaks_the_outcome_is_left_out_by_name(declared: CohortDeclaration, name: str) -> None:
    change(Path(declared.root), "data_samples.txt", "GRADE\n", f"{name}\n")
    tables = read_tables(declared)
    assert name not in tables.channels["clinical"].columns
    assert any(
        note.startswith("clinical attributes not read") and name in note for note in tables.notes
    )


def test_survival_pairs_become_outcomes_in_days(declared: CohortDeclaration) -> None:
    tables = read_tables(declared)
    survival = tables.outcomes["os"]
    np.testing.assert_allclose(survival.values, np.array([12, 6, np.nan, 24]) * 365.25 / 12)
    assert survival.events is not None
    assert survival.events.tolist() == [False, True, False, False]
    assert told(tables, "DFS_MONTHS or DFS_STATUS is missing for 1 patients, 1 of them with the")


def test_older_survival_words_are_read_and_others_refused(declared: CohortDeclaration) -> None:
    root = Path(declared.root)
    change(root, "data_patients.txt", "1:DECEASED", "DECEASED")
    events = read_tables(declared).outcomes["os"].events
    assert events is not None
    assert events.tolist() == [False, True, False, False]
    change(root, "data_patients.txt", "DECEASED", "gone")
    with pytest.raises(IntakeError, match="column 'OS_STATUS': found 'gone', expected '0:'"):
        read_tables(declared)


def test_a_study_says_of_what_patients_died_in_a_column_that_is_then_no_measurement(
    declared: CohortDeclaration,
) -> None:
    change(Path(declared.root), "data_samples.txt", "GRADE\n", "CAUSE\n")
    asked = OutcomeDeclaration(cause_column="CAUSE", causes={"cancer": ["high"], "other": ["low"]})
    found = read_tables(replace(declared, outcomes={"os": asked}))
    assert found.outcomes["os"].causes == ("cancer", "other")
    assert found.outcomes["os"].by_cause is not None
    assert found.outcomes["os"].by_cause.tolist() == [0, 1, 0, 0]
    assert "CAUSE" not in found.channels["clinical"].columns
    assert set(found.outcomes) == {"os", "dfs"}
    asked.cause_column = "CAUSES"
    with pytest.raises(IntakeError, match="CAUSES"):
        read_tables(replace(declared, outcomes={"os": asked}))
    asked.cause_column = None
    with pytest.raises(ConfigError, match="has cause_column 'None' and 2 causes"):
        read_tables(replace(declared, outcomes={"os": asked}))


def test_calls_know_who_was_sequenced_on_which_panel(declared: CohortDeclaration) -> None:
    variants = read_tables(declared).variants["mutations"]
    assert variants.assayed == ("P1", "P2", "P3")
    assert variants.panel_of == {"P1": "BROAD", "P2": "NARROW"}
    assert variants.panels["NARROW"] == ("KRAS",)
    assert variants.calls["fraction"].tolist() == [0.2, 0.5]
    assert variants.minimum_frequency == 0.01


def test_silent_calls_are_not_counted_and_a_promoter_is(declared: CohortDeclaration) -> None:
    root = Path(declared.root)
    change(root, "data_mutations.txt", "Missense_Mutation", "Silent")
    change(root, "data_mutations.txt", "KRAS\t3845", "TERT\t7015")
    change(root, "data_mutations.txt", "Missense_Mutation", "5'Flank")
    tables = read_tables(declared)
    assert tables.variants["mutations"].calls["gene"].tolist() == ["TERT"]
    assert told(tables, "1 calls of effect 'Silent' are not counted")


def test_a_panel_without_a_file_holds_the_genes_of_its_calls(declared: CohortDeclaration) -> None:
    (Path(declared.root) / "data_gene_panel_narrow.txt").unlink()
    tables = read_tables(declared)
    assert tables.variants["mutations"].panels["NARROW"] == ("KRAS",)
    assert told(tables, "gene panel 'NARROW': no file lists its genes")


def test_values_go_before_their_z_scores_and_large_ones_are_logarithms(
    declared: CohortDeclaration,
) -> None:
    tables = read_tables(declared)
    expression = tables.channels["expression"]
    assert expression.columns["TP53"].log
    assert expression.values.loc["P2", "TP53"] == 800.5
    assert expression.values.index.tolist() == ["P1", "P2", "P3"]
    assert told(tables, "not from 'rna_seq_v2_mrna_median_Zscores'")
    (Path(declared.root) / "data_expression.txt").unlink()
    tables = read_tables(declared)
    assert tables.channels["expression"].columns["TP53"].unit == "z"
    assert told(tables, "its data file 'data_expression.txt' is not there")


def test_copy_numbers_in_the_long_form_are_the_same(declared: CohortDeclaration) -> None:
    root = Path(declared.root)
    wide = read_tables(declared).channels["copy_number"].values
    change(root, "meta_cna.txt", "datatype: DISCRETE", "datatype: DISCRETE_LONG")
    (root / "data_cna.txt").write_text(
        "Hugo_Symbol\tEntrez_Gene_Id\tSample_Id\tValue\nTP53\t7157\tS1\t-1\n"
        "TP53\t7157\tS2\t0\nERBB2\t2064\tS1\t2\nERBB2\t2064\tS2\tNA\n"
    )
    found = read_tables(declared).channels["copy_number"].values
    assert found.equals(wide)


def test_timelines_are_told_and_not_measured(declared: CohortDeclaration) -> None:
    assert told(read_tables(declared), "1 TREATMENT, 1 STATUS of 2 patients")


def test_a_declaration_restricts_and_types(declared: CohortDeclaration) -> None:
    columns = {"AGE": ColumnDeclaration(unit="year", minimum=18, maximum=110)}
    declared.modalities = {
        "clinical": ModalityDeclaration(columns=columns),
        "mutations": ModalityDeclaration(minimum_frequency=0.2),
    }
    declared.outcomes = {"os": OutcomeDeclaration()}
    tables = read_tables(declared)
    assert set(tables.channels) == {"clinical"}
    assert list(tables.channels["clinical"].columns) == ["AGE"]
    assert tables.variants["mutations"].minimum_frequency == 0.2
    assert set(tables.outcomes) == {"os"}


def test_what_is_declared_but_not_in_the_study_is_refused(declared: CohortDeclaration) -> None:
    declared.modalities = {"protein": ModalityDeclaration()}
    with pytest.raises(IntakeError, match="declares modalities 'protein', which the study does"):
        read_tables(declared)
    assert "clinical" in read_tables(declared, scoring=True).channels


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("data_expression.txt", "\t100\t", "\tmany\t", "line 3 holds a cell that is no number"),
        ("data_cna.txt", "\tNA\t0", "\tNA", "found 4 cells, expected 5 as in the header"),
        ("data_samples.txt", "S2", "S1", "lists a sample twice"),
        ("data_samples.txt", "P4\t", "\t", "a row without PATIENT_ID or SAMPLE_ID"),
        ("data_samples.txt", "SAMPLE_ID", "SAMPLE", "has no column 'SAMPLE_ID'"),
        ("data_patients.txt", "PATIENT_ID", "PATIENT", "has no column 'PATIENT_ID'"),
        ("data_mutations.txt", "Tumor_Sample", "Sample", "has no column 'Tumor_Sample_Barcode'"),
        ("data_mutations.txt", "Variant_C", "C", "has no column 'Variant_Classification'"),
        ("data_patients.txt", "P4", "P1", "lists a patient twice"),
        ("meta_samples.txt", "SAMPLE_ATTRIBUTES", "x", "has no meta file of a clinical sample"),
    ],
)
def test_a_wrong_file_stops_the_reading(
    declared: CohortDeclaration, file: str, old: str, new: str, sentence: str
) -> None:
    change(Path(declared.root), file, old, new)
    with pytest.raises(IntakeError, match=sentence):
        read_tables(declared)


def test_other_bytes_or_another_declaration_are_another_fingerprint(
    declared: CohortDeclaration,
) -> None:
    first = read_tables(declared).fingerprint
    assert read_tables(declared).fingerprint == first
    change(Path(declared.root), "data_cna.txt", "\t2\t", "\t1\t")
    assert read_tables(declared).fingerprint != first


def test_segments_become_copy_numbers_of_genes_whose_positions_are_declared(
    declared: CohortDeclaration,
) -> None:
    assert told(read_tables(declared), "'meta_seg.txt': segments are not read: declare modality")
    root = Path(declared.root)
    change(root, "data.seg", "48129895\t3\t-0.5\n", "2000\t3\t-0.5\nS1\t21\t2001\t9000\t9\t0.5\n")
    (root / "genes.csv").write_text(
        "gene,chromosome,start,end\nHALF,chr21,1501,2500\nUP,21,3000,4000\nNOWHERE,1,1,9\n"
    )
    declared.modalities["segments"] = ModalityDeclaration(gene_positions="genes.csv")
    tables = read_tables(declared)
    channel = tables.channels["segments"]
    assert channel.values.loc["P1"].to_dict() == pytest.approx({"HALF": 0.0, "UP": 0.5})
    assert list(channel.values.index) == ["P1"]
    assert channel.columns["UP"].unit == "log2"
    assert told(tables, "segments: 1 genes lie on no segment")


@pytest.mark.parametrize(
    ("positions", "fragment"),
    [
        ("gene,chromosome\nA,1\n", "1 rows of 2 cells, expected a header and, for each"),
        ("gene,chromosome,start,end\nA,21,1,x\n", "end is 'x', expected a number"),
        ("gene,chromosome,start,end\nA,21,1,2\nA,21,1,2\n", "lists genes 'A' more than once"),
    ],
)
def test_gene_positions_that_cannot_be_read_are_refused(
    declared: CohortDeclaration, positions: str, fragment: str
) -> None:
    (Path(declared.root) / "genes.csv").write_text(positions)
    declared.modalities["segments"] = ModalityDeclaration(gene_positions="genes.csv")
    with pytest.raises(IntakeError, match=fragment):
        read_tables(declared)
