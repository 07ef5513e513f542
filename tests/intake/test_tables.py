"""Files that hold what they are declared to hold become checked plain tables."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics_twin.errors import ConfigError, IntakeError
from omics_twin.intake.channels import BATCH
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    GeneNames,
    OutcomeKind,
    TherapyDeclaration,
)
from omics_twin.intake.tables import read_tables


def test_the_roster_gives_the_patients_in_its_order(study: CohortDeclaration) -> None:
    tables = read_tables(study)
    assert tables.name == "study"
    assert tables.patient_ids == ("P1", "P2", "P3", "P4")


def test_calls_know_the_gene_panel_of_each_assayed_patient(study: CohortDeclaration) -> None:
    study.modalities["genomics"].panel_column = "site"
    study.modalities["genomics"].panels = {"A": ["TP53", "KRAS"], "B": ["TP53"]}
    variants = read_tables(study).variants["genomics"]
    assert variants.panel_of == {"P1": "A", "P2": "B"}
    assert variants.panels == {"A": ("TP53", "KRAS"), "B": ("TP53",)}
    study.modalities["genomics"].panels = {"A": ["TP53"]}
    with pytest.raises(IntakeError, match="names gene panels 'B', expected one of 'A'"):
        read_tables(study)
    study.modalities["genomics"].panels = {}
    with pytest.raises(ConfigError, match="has 'panel_column' but no 'panels'"):
        read_tables(study)


def test_a_channel_holds_the_patients_measured_and_the_values_as_declared(
    study: CohortDeclaration,
) -> None:
    channel = read_tables(study).channels["clinical"]
    assert list(channel.values.index) == ["P1", "P2", "P4"]
    assert channel.values["age"].tolist() == [50.0, 61.5, 39.0]
    assert channel.values["her2"].tolist() == [1.0, 0.0, 1.0]
    assert channel.values["stage"].tolist() == ["two", "three", "two"]
    assert (channel.modality, channel.visit_day, channel.columns["age"].unit) == (
        "clinical",
        0.0,
        "year",
    )


def test_a_row_of_empty_cells_is_a_patient_not_measured(study: CohortDeclaration) -> None:
    assert list(read_tables(study).channels["expression"].values.index) == ["P1", "P2"]


def test_each_scheduled_day_is_a_channel_with_actual_days_and_converted_units(
    study: CohortDeclaration,
) -> None:
    channels = read_tables(study).channels
    assert channels["mri@0"].days.to_dict() == {"P1": -3.0, "P2": 0.0}
    assert channels["mri@0"].values["volume"].tolist() == pytest.approx([0.01, 0.03])
    assert channels["mri@0"].columns["volume"].unit == "cm3"
    assert channels["mri@21"].visit_day == 21.0
    assert list(channels["mri@21"].values.index) == ["P1"]


def test_mutation_calls_are_counted_by_effect_and_assayed_patients_are_known(
    study: CohortDeclaration,
) -> None:
    tables = read_tables(study)
    variants = tables.variants["genomics"]
    assert variants.assayed == ("P1", "P2")
    assert variants.calls["gene"].tolist() == ["TP53", "TP53"]
    assert variants.calls["fraction"].tolist() == [0.2, 0.1]
    assert "table 'calls.csv': 1 calls of effect 'synonymous' are not counted" in tables.notes


def test_without_an_assay_column_patients_with_a_call_were_assayed(
    study: CohortDeclaration,
) -> None:
    modality = study.modalities["genomics"]
    modality.measured_column = modality.measured_value = None
    assert read_tables(study).variants["genomics"].assayed == ("P1",)


def test_the_arm_is_read_and_unknown_where_the_cell_is_empty(study: CohortDeclaration) -> None:
    received = read_tables(study).received
    assert received is not None
    assert received["P2"] == "Novel"
    assert received.isna().tolist() == [False, False, True, False]


def test_agent_columns_make_the_arm_in_the_declared_order(study: CohortDeclaration) -> None:
    study.therapy = TherapyDeclaration(
        table="therapy.csv",
        agent_columns={"antibody": "anti-HER2", "chemo": "anthracycline"},
        always=["taxane"],
    )
    received = read_tables(study).received
    assert received is not None
    assert received.dropna().tolist() == [
        "taxane + anthracycline",
        "taxane + anti-HER2 + anthracycline",
        "taxane",
    ]
    study.therapy.always = []
    assert read_tables(study).received["P4"] == "no agent"


def test_a_partly_recorded_combination_is_an_unknown_arm_and_is_told(
    study: CohortDeclaration,
) -> None:
    path = Path(study.root) / "therapy.csv"
    path.write_text(path.read_text().replace("P2,Novel,1,1", "P2,Novel,1,"))
    study.therapy = TherapyDeclaration(
        table="therapy.csv", agent_columns={"chemo": "taxane", "antibody": "anti-HER2"}
    )
    tables = read_tables(study)
    assert tables.received is not None
    assert tables.received.isna()["P2"]
    assert any("arm not known" in note and "'P2'" in note for note in tables.notes)


def test_a_batch_stands_beside_its_genes_where_enough_patients_are_in_it(
    study: CohortDeclaration,
) -> None:
    study.modalities["expression"].batch_column = "site"
    tables = read_tables(study, scoring=True)
    values = tables.channels["expression"].values
    assert values[BATCH].tolist() == ["A", "B"]
    assert tables.channels["expression"].genes == ("ESR1", "PGR")
    tables = read_tables(study)
    assert tables.channels["expression"].values[BATCH].isna().all()
    assert any("2 patients are in batches of fewer than 8 by 'site'" in n for n in tables.notes)
    study.modalities["mri"].batch_column = "site"
    with pytest.raises(ConfigError, match="not one row per patient"):
        read_tables(study)


def test_another_kind_of_event_is_neither_the_event_nor_censored(study: CohortDeclaration) -> None:
    path = Path(study.root) / "outcome.csv"
    path.write_text(path.read_text().replace("1.5,12,0", "1.5,12,3"))
    study.outcomes["os"].competing_values = ["3"]
    outcome = read_tables(study).outcomes["os"]
    assert outcome.cause is not None
    assert outcome.cause.tolist() == [2, 0, 0, 0]
    assert outcome.events is not None
    assert not outcome.events.any()
    study.outcomes["os"].competing_values = ["0"]
    with pytest.raises(ConfigError, match="both the event and a competing one"):
        read_tables(study)


@pytest.fixture
def with_causes(study: CohortDeclaration) -> CohortDeclaration:
    """Return the study with three events, of P1, P2 and P4, and a column of causes."""
    (Path(study.root) / "outcome.csv").write_text(
        "patient_id,response,score,months,censored,cause\n"
        "P1,CR,1.5,12,0,tumour\nP2,PD,2.5,3.5,0,heart\nP3,NE,,,,lost\nP4,SD,0,0,0,tumour\n"
    )
    study.outcomes["os"].cause_column = "cause"
    study.outcomes["os"].causes = {"the cancer": ["tumour"], "another cause": ["heart", "stroke"]}
    return study


def test_the_causes_of_an_event_all_count_and_are_told_apart(
    with_causes: CohortDeclaration,
) -> None:
    outcome = read_tables(with_causes).outcomes["os"]
    assert outcome.causes == ("the cancer", "another cause")
    assert outcome.by_cause is not None
    assert outcome.by_cause.tolist() == [1, 2, 0, 1]
    assert outcome.events is not None
    assert outcome.events.tolist() == [True, True, False, True]
    some = outcome.at(np.array([1, 2]))
    assert some.by_cause is not None
    assert some.by_cause.tolist() == [2, 0]


def test_an_event_whose_cause_is_not_recorded_counts_as_the_commonest_and_is_told(
    with_causes: CohortDeclaration,
) -> None:
    path = Path(with_causes.root) / "outcome.csv"
    path.write_text(path.read_text().replace("heart", ""))
    tables = read_tables(with_causes)
    assert tables.outcomes["os"].by_cause is not None
    assert tables.outcomes["os"].by_cause.tolist() == [1, 1, 0, 1]
    told = "of 1 events the cause is not recorded, counted as the commonest, 'the cancer': 'P2'"
    assert any(told in note for note in tables.notes)


def test_a_cause_that_nobody_declared_is_refused_by_name(with_causes: CohortDeclaration) -> None:
    path = Path(with_causes.root) / "outcome.csv"
    path.write_text(path.read_text().replace("heart", "fall"))
    with pytest.raises(IntakeError, match=r"column 'cause': found 'fall' for patient 'P2'"):
        read_tables(with_causes)


def test_where_no_cause_is_recorded_at_all_there_is_no_commonest(
    with_causes: CohortDeclaration,
) -> None:
    path = Path(with_causes.root) / "outcome.csv"
    path.write_text(path.read_text().replace("tumour", "").replace("heart", ""))
    with pytest.raises(IntakeError, match="no cause is recorded for any of 3 events"):
        read_tables(with_causes)


def test_only_an_event_has_causes(with_causes: CohortDeclaration) -> None:
    with_causes.outcomes["response"].causes = {"a": ["x"], "b": ["y"]}
    with pytest.raises(ConfigError, match="tells causes apart and is binary, expected a time to"):
        read_tables(with_causes)


def test_patients_to_be_scored_need_no_cause(with_causes: CohortDeclaration) -> None:
    path = Path(with_causes.root) / "outcome.csv"
    path.write_text(path.read_text().replace(",cause\n", ",why\n"))
    tables = read_tables(with_causes, scoring=True)
    assert tables.outcomes["os"].by_cause is None
    assert tables.outcomes["os"].causes == ()
    assert any("no column 'cause', its causes are not told apart" in n for n in tables.notes)
    with pytest.raises(IntakeError, match="'cause'"):
        read_tables(with_causes)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"causes": {"the cancer": ["tumour"]}}, "and 1 causes, expected a column and"),
        ({"cause_column": None}, "has cause_column 'None' and 2 causes"),
        ({"causes": {"a": ["tumour"], "b": []}}, "have no value or one in common"),
        ({"causes": {"a": ["tumour"], "b": ["tumour"]}}, "have no value or one in common"),
        ({"competing_values": ["3"]}, "has both 'causes', which all count as the event, and"),
    ],
)
def test_causes_that_contradict_themselves_are_refused(
    with_causes: CohortDeclaration, changed: dict[str, object], told: str
) -> None:
    for name, value in changed.items():
        setattr(with_causes.outcomes["os"], name, value)
    with pytest.raises(ConfigError, match=told):
        read_tables(with_causes)


def test_outcomes_are_read_in_roster_order_and_times_are_days(study: CohortDeclaration) -> None:
    path = Path(study.root) / "outcome.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]))
    outcomes = read_tables(study).outcomes
    np.testing.assert_equal(outcomes["response"].values, [1.0, 0.0, np.nan, 0.0])
    np.testing.assert_equal(outcomes["score"].values, [1.5, 2.5, np.nan, 0.0])
    survival = outcomes["os"]
    assert (survival.kind, survival.unit) == (OutcomeKind.TIME_TO_EVENT, "day")
    np.testing.assert_allclose(survival.values, [365.25, 3.5 * 30.4375, np.nan, 0.0])
    assert survival.events is not None
    assert survival.events.tolist() == [True, False, False, False]


def test_groups_are_trimmed_text_and_strata_use_the_declared_spelling(
    study: CohortDeclaration,
) -> None:
    path = Path(study.root) / "clinical.csv"
    path.write_text(path.read_text().replace("P4,39,1,", "P4,39,1.0,"))
    tables = read_tables(study)
    assert tables.groups.loc["P1", "site"] == tables.groups.loc["P4", "site"] == "A"
    assert tables.strata["her2"].dropna().tolist() == ["1", "0", "1"]
    assert tables.strata["her2"].isna()["P3"]


def test_an_unknown_level_that_may_be_reported_is_not_measured_and_told(
    study: CohortDeclaration,
) -> None:
    path = Path(study.root) / "clinical.csv"
    path.write_text(path.read_text().replace("Asian", "Martian"))
    tables = read_tables(study)
    assert tables.channels["clinical"].values["race"].isna()["P2"]
    assert any("unknown level 'Martian'" in note and "'P2'" in note for note in tables.notes)


def test_columns_nobody_reads_are_told(study: CohortDeclaration) -> None:
    notes = read_tables(study).notes
    assert "table 'therapy.csv': columns not read: 'chemo', 'antibody'" in notes


def test_declared_missing_texts_are_not_measured(study: CohortDeclaration) -> None:
    path = Path(study.root) / "expression.csv"
    path.write_text(path.read_text().replace("0.25", "NA"))
    study.modalities["expression"].other_columns = ColumnDeclaration(missing=["NA"])
    assert read_tables(study).channels["expression"].values["ESR1"].isna()["P2"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet"])
def test_every_format_gives_the_same_values(study: CohortDeclaration, suffix: str) -> None:
    expected = read_tables(study).channels["expression"].values
    root = Path(study.root)
    frame = pd.read_csv(root / "expression.csv")
    if suffix == ".parquet":
        frame.to_parquet(root / "e.parquet")
    else:
        frame.to_csv(root / f"e{suffix}", index=False, sep="\t" if "tsv" in suffix else ",")
    study.modalities["expression"].table = f"e{suffix}"
    pd.testing.assert_frame_equal(read_tables(study).channels["expression"].values, expected)


def test_a_parquet_file_indexed_by_patient_is_read(study: CohortDeclaration) -> None:
    root = Path(study.root)
    frame = pd.read_csv(root / "expression.csv", index_col="patient_id").astype("float32")
    frame.to_parquet(root / "e.parquet")
    study.modalities["expression"].table = "e.parquet"
    values = read_tables(study).channels["expression"].values
    assert values["ESR1"].dtype == np.float32
    assert values.loc["P1"].tolist() == [1.5, -0.5]


def test_a_byte_order_mark_blank_lines_and_spaces_are_harmless(study: CohortDeclaration) -> None:
    expected = read_tables(study).channels["expression"].values
    path = Path(study.root) / "expression.csv"
    text = path.read_text().replace("P1,1.5", " P1 , 1.5 \r").replace("\nP2", "\n\nP2")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace(" \r", " ").encode())
    pd.testing.assert_frame_equal(read_tables(study).channels["expression"].values, expected)


def test_new_patients_may_lack_tables_and_this_is_told(study: CohortDeclaration) -> None:
    for name in ("expression.csv", "therapy.csv", "outcome.csv", "calls.csv"):
        (Path(study.root) / name).unlink()
    tables = read_tables(study, scoring=True)
    assert tables.received is None
    assert not tables.outcomes
    assert not tables.variants
    assert set(tables.channels) == {"clinical", "mri@0", "mri@21"}
    assert sum("read as not" in note for note in tables.notes) == 6


def test_new_patients_may_lack_outcome_columns_but_not_measured_ones(
    study: CohortDeclaration,
) -> None:
    root = Path(study.root)
    (root / "outcome.csv").write_text("patient_id,other\nP1,1\n")
    assert not read_tables(study, scoring=True).outcomes
    (root / "expression.csv").write_text("patient_id\nP1\n")
    with pytest.raises(IntakeError, match="holds no column to measure"):
        read_tables(study, scoring=True)


def test_training_needs_every_table(study: CohortDeclaration) -> None:
    (Path(study.root) / "therapy.csv").unlink()
    with pytest.raises(IntakeError, match=r"table 'therapy\.csv' of cohort 'study' is not in"):
        read_tables(study)


def test_the_fingerprint_follows_content_and_declaration_but_not_location(
    study: CohortDeclaration, tmp_path: Path
) -> None:
    first = read_tables(study).fingerprint
    assert first == read_tables(study).fingerprint
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in tmp_path.glob("*.csv"):
        (moved / path.name).write_bytes(path.read_bytes())
    study.root = str(moved)
    assert read_tables(study).fingerprint == first
    study.modalities["mri"].window_days = 20.0
    assert read_tables(study).fingerprint != first
    study.modalities["mri"].window_days = 14.0
    path = moved / "mri.csv"
    path.write_text(path.read_text().replace("10", "11"))
    assert read_tables(study).fingerprint != first


def test_a_compressed_file_in_parts_is_read_whole(study: CohortDeclaration) -> None:
    root = Path(study.root)
    text = (root / "expression.csv").read_bytes()
    (root / "e.csv.gz").write_bytes(gzip.compress(text[:20]) + gzip.compress(text[20:]))
    study.modalities["expression"].table = "e.csv.gz"
    assert read_tables(study).channels["expression"].values.shape == (2, 2)


def test_other_columns_cover_strata_but_not_what_only_describes(study: CohortDeclaration) -> None:
    study.modalities["clinical"].columns = {}
    study.modalities["clinical"].other_columns = ColumnDeclaration()
    study.modalities["clinical"].exclude = ["stage", "race"]
    tables = read_tables(study)
    assert list(tables.channels["clinical"].values) == ["age", "her2", "weight"]
    assert "table 'clinical.csv': columns not read: 'stage', 'race'" in tables.notes


def test_old_symbols_of_genes_are_read_where_symbols_are_declared(
    study: CohortDeclaration,
) -> None:
    genomics = study.modalities["genomics"]
    assert read_tables(study).variants["genomics"].aliases is None
    genomics.genes = GeneNames.SYMBOLS
    assert read_tables(study).variants["genomics"].aliases == {}
    genomics.aliases = "aliases.csv"
    path = Path(study.root) / "aliases.csv"
    path.write_text("old,approved\nmll2,KMT2B\n")
    before = read_tables(study)
    assert before.variants["genomics"].aliases == {"MLL2": "KMT2B"}
    path.write_text("old,approved\nmll2,KMT2D\n")
    assert read_tables(study).fingerprint != before.fingerprint
    path.write_text("old,approved\nmll2,\n")
    with pytest.raises(IntakeError, match=r"'aliases.csv', line 2.*an old and an approved symbol"):
        read_tables(study)
    genomics.genes = GeneNames.AS_WRITTEN
    with pytest.raises(ConfigError, match="has 'aliases' of genes it names as written"):
        read_tables(study)


def test_gene_sets_of_an_activity_are_read_wherever_they_lie(
    study: CohortDeclaration, tmp_path: Path
) -> None:
    plain = read_tables(study)
    assert not plain.channels["expression"].sets
    prints = []
    for folder in ("here", "there"):
        path = tmp_path / folder / "sets.gmt"
        path.parent.mkdir()
        path.write_text("A\tnote\tTP53\tKRAS\n")
        study.modalities["expression"].activity = str(path)
        found = read_tables(study)
        assert found.channels["expression"].sets == {"A": ("TP53", "KRAS")}
        prints.append(found.fingerprint)
    assert prints[0] == prints[1] != plain.fingerprint
    path.write_text("A\tnote\tTP53\n")
    assert read_tables(study).fingerprint != prints[1]
    study.modalities["genomics"].activity = str(path)
    with pytest.raises(ConfigError, match="has 'activity' of genes that are calls"):
        read_tables(study)


def test_calls_have_classes_where_the_cohort_asks_for_them(study: CohortDeclaration) -> None:
    genomics = study.modalities["genomics"]
    assert "consequence" not in read_tables(study).variants["genomics"].calls
    genomics.by_consequence, genomics.covered_megabases = True, 1.1
    genomics.counted_effects = ["missense", "nonsense", "unheard_of"]
    found = read_tables(study).variants["genomics"]
    assert found.classes == ("truncating", "missense", "other")
    assert set(found.calls["consequence"]) <= {"truncating", "missense"}
    assert found.covered_megabases == 1.1
    genomics.consequences = {"missense": "other"}
    assert read_tables(study).variants["genomics"].classes == ("truncating", "other")


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [
        ({"effect_column": None, "counted_effects": []}, "has 'by_consequence' but no 'effect_"),
        ({"consequences": {"a": "truncatin"}}, "'truncatin' for 'a': did you mean 'truncating'"),
        ({"covered_megabases": 0.0}, "has covered_megabases 0, expected more than 0"),
        (
            {"covered_megabases": 1.0, "panel_column": "site", "panels": {"A": ["X"], "B": ["Y"]}},
            "has one covered_megabases and 2 gene panels",
        ),
    ],
)
def test_classes_and_burden_that_cannot_be_made_are_refused(
    study: CohortDeclaration, changed: dict[str, object], fragment: str
) -> None:
    study.modalities["genomics"].by_consequence = True
    for name, value in changed.items():
        setattr(study.modalities["genomics"], name, value)
    with pytest.raises(ConfigError, match=fragment):
        read_tables(study)
