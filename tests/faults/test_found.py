"""What the faults found in our readers, each once and by name."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics_twin.bedside.belief import KeptBelief, read_belief, read_told, write_belief
from omics_twin.config import check_overrides, read_overrides
from omics_twin.errors import (
    AuditError,
    ConfigError,
    ConsentError,
    IntakeError,
    ModelError,
    TrainingError,
    TwinError,
)
from omics_twin.files import alone, json_of, read_checked, read_json, write_manifest
from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.declaration import CohortDeclaration, CohortFormat
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.maf import check_maf
from omics_twin.intake.tables import Tables, read_tables
from omics_twin.told import record_of
from omics_twin.trust.audit import AuditLog, verify
from omics_twin.trust.consent import Decision, Entry, permit
from omics_twin.trust.event import Action, Event
from omics_twin.trust.ledger import read_ledger
from tests.faults.kills import KEY, SIZE, visit_on
from tests.intake.conftest import FILES, write_files
from tests.intake.portal import change, write_study

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (DEEP, "nested too deeply"),
        (b'{"day": 1, "day": 2}', "a key twice"),
        (b'{"day": NaN}', "not finite"),
        (b'{"day": 1e999}', "not finite"),
        (b'{"day": ' + b"9" * 400 + b"}", "more than 300 digits"),
        (b'{"day": "\\ud800"}', "surrogates"),
        ('{"day": 1}'.encode("utf-16"), "decode"),
    ],
)
def test_json_that_a_reader_would_repair_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        json_of(content)
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"'.*a\.json' is damaged .*: remove it, and start again"):
        read_json(tmp_path / "a.json")
    with pytest.raises(TwinError, match="is not JSON"):
        read_told(tmp_path / "a.json", "a visit")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ada\u200b,withdraw,all,2024-02-01", "characters that cannot be seen"),
        ("ada\x00,withdraw,all,2024-02-01", "characters that cannot be seen"),
        ("ada,withdraw,all,2024-W05-3", "expected a date such as 2024-01-31"),
        ("ada,withdraw,all,20240201", "expected a date such as 2024-01-31"),
    ],
)
def test_a_withdrawal_that_would_not_be_found_is_refused(
    tmp_path: Path, line: str, sentence: str
) -> None:
    ledger = tmp_path / "ledger.csv"
    head = "patient_id,decision,purpose,recorded_on\nada,grant,all,2024-01-01\n"
    ledger.write_text(f"{head}{line}\n", encoding="utf-8")
    with pytest.raises(ConsentError, match=sentence):
        permit(["ada"], ledger=read_ledger(ledger), purpose="scoring")
    assert Entry("ada", Decision.GRANT, "scoring", date(2024, 1, 1))


@pytest.mark.parametrize(
    "content",
    [
        b'{"count": 0, "head": "' + b"a" * 64 + b'"}',
        b'{"count": 1, "count": 0, "head": "' + b"0" * 64 + b'"}',
        b'{"count": 1, "head": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_an_anchor_of_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log").mkdir()
    path, anchor = tmp_path / "log" / "audit.jsonl", tmp_path / "anchor.json"
    AuditLog.open(path, KEY, anchor).append(Event("nora", "clinician", Action.RANK))
    anchor.write_bytes(content)
    with pytest.raises(AuditError, match="is damaged"):
        verify(path, KEY, anchor)


def test_a_digit_that_changed_in_a_belief_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "belief.json"
    write_belief(path, KeptBelief("p1", "a" * 64, 10, 1, (visit_on(51.25),)), [SIZE])
    path.write_text(path.read_text().replace("51.25", "57.25", 1))
    with pytest.raises(ModelError, match=r"was changed after it was kept \(SHA-256 differs\)"):
        read_belief(path, [SIZE])


@pytest.mark.parametrize("name", ["\u200b", "\u2028", "p\u00a01", "\u202e1p"])
def test_a_name_that_cannot_be_seen_is_no_patient(name: str) -> None:
    with pytest.raises(TwinError, match="'patient_id' is not as it should be"):
        record_of({"patient_id": name})


def test_a_number_beyond_all_floats_is_refused() -> None:
    visit = {"day": 0, "values": {"clinical": {"age_years": 10**400}}}
    with pytest.raises(TwinError, match="'visits.0.values' is not as it should"):
        record_of({"patient_id": "p1", "visits": [visit]})


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("data_cna.txt", "\tS1-met\n", "\tEntrez_Gene_Id\n", "are there twice"),
        ("data_cna.txt", "S1\tS2", "Hugo_Symbol\tS2", "are there twice"),
        ("meta_cna.txt", "data_cna.txt", "../../secret.txt", "expected the name of a file in"),
        ("meta_cna.txt", "data_cna.txt", "x" * 5000, "expected the name of a file in"),
        ("data_panels.txt", "BROAD", "BRO\x00AD", "holds the control character"),
        ("data_gene_panel_broad.txt", "TP53", "TP\x0053", "holds the control character"),
        ("data_mutations.txt", "\t7157\t", "\t" + "9" * 5000 + "\t", "expected a whole number"),
        ("data_mutations.txt", "7578253\tM", "75782537578253\tM", "expected a whole number up to"),
        ("data_mutations.txt", "\tS1\tp", "\tS1\u200b\tp", "cannot be seen"),
    ],
)
def test_a_study_is_checked_to_the_end_and_the_mistake_is_told(
    tmp_path: Path, file: str, old: str, new: str, sentence: str
) -> None:
    study = write_study(tmp_path)
    change(study, file, old, new)
    assert any(sentence in each.sentence for each in check_study(study).errors)


def test_calls_with_numbers_of_any_length_are_checked(tmp_path: Path) -> None:
    change(write_study(tmp_path), "data_mutations.txt", "\t20\t80", f"\t{'9' * 5000}\t80")
    [found] = check_maf(tmp_path / "data_mutations.txt").errors
    assert "expected a whole number of reads" in found.sentence


def study_of(folder: Path, file: str, old: str, new: str) -> Tables:
    change(write_study(folder), file, old, new)
    return read_tables(
        CohortDeclaration(name="small", root=str(folder), format=CohortFormat.CBIOPORTAL)
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "sentence"),
    [
        ("data_expression.txt", "800.5", "1e308", "it is too large"),
        ("data_expression.txt", "800.5", "inf", "holds a cell that is no number"),
        ("data_expression.txt", "800.5", "1_000", "holds a cell that is no number"),
        ("data_expression.txt", "800.5", "\u0663", "holds a cell that is no number"),
        ("data_gene_panel_broad.txt", "TP53", "TP\x0053", "gene panel 'data_gene_panel_broad.txt'"),
        ("data_patients.txt", "\nP1\t", "\n\t", "has a row without PATIENT_ID"),
        ("data_patients.txt", "\nP1\t", "\n\ufeff\t", "cannot be seen"),
    ],
)
def test_a_study_is_not_read_with_what_it_cannot_hold(
    tmp_path: Path, file: str, old: str, new: str, sentence: str
) -> None:
    with pytest.raises(IntakeError, match=sentence):
        study_of(tmp_path, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new", "note"),
    [
        ("data_mutations.txt", "\t20\t80", "\tmany\t80", "cells of t_alt_count are no whole"),
        ("data_patients.txt", "#1\t1\t1\t1\t1\t1\t1\t1\n", "", "found 3 lines that start with"),
    ],
)
def test_what_is_read_as_not_known_is_told(
    tmp_path: Path, file: str, old: str, new: str, note: str
) -> None:
    assert any(note in each for each in study_of(tmp_path, file, old, new).notes)


def test_a_key_that_stands_twice_in_a_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("name: a\nsystems: {loinc: http://loinc.org}\nname: b\n")
    with pytest.raises(IntakeError, match="'name' stands there twice"):
        mapping_of(path)


def test_a_file_of_settings_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.yaml"
    path.write_bytes(b"- name=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 7\)"):
        read_overrides(str(path))


def test_a_setting_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot read the settings"):
        check_overrides(["trainer.seed=" + "9" * 5000])


def test_less_than_nothing_is_no_position(tmp_path: Path) -> None:
    change(write_study(tmp_path), "data_mutations.txt", "\t7578253\t7578253", "\t-0\t7578253")
    assert any("Start_Position is '-0'" in str(e) for e in check_study(tmp_path).errors)


def test_a_table_that_its_sums_do_not_know_is_refused(tmp_path: Path) -> None:
    declared = write_files(tmp_path)
    sums = [f"{'0' * 64}  mri.csv"]
    (tmp_path / "SHA256SUMS").write_text("\n".join(sums))
    with pytest.raises(IntakeError, match="'mri.csv' is not the one that 'SHA256SUMS' knows"):
        read_tables(declared)
    (tmp_path / "SHA256SUMS").write_text("nonsense")
    with pytest.raises(IntakeError, match="expected lines as of sha256sum"):
        read_tables(declared)


def test_a_page_of_parquet_that_changed_is_refused(tmp_path: Path) -> None:
    declared = write_files(tmp_path)
    frame = pd.DataFrame({"patient_id": ["P1", "P2", "P4"], "ESR1": [1.5, 2.0, 2.5]})
    path = tmp_path / "expression.parquet"
    frame.to_parquet(path, write_page_checksum=True, compression=None, use_dictionary=False)
    declared.modalities["expression"].table = path.name
    assert read_tables(declared).channels["expression"].values.loc["P2", "ESR1"] == 2.0
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(2.0).tobytes()) + 6] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntakeError, match="is not a readable parquet file"):
        read_tables(declared)


def test_a_parquet_file_that_its_footer_does_not_fit_is_refused(tmp_path: Path) -> None:
    declared = write_files(tmp_path)
    frame = pd.DataFrame({"patient_id": ["P1", "P2", "P4"], "GENE2": [1.5, 2.0, None]})
    path = tmp_path / "expression.parquet"
    # Without checksums of its pages.
    frame.to_parquet(path, compression=None, use_dictionary=False)
    declared.modalities["expression"].table = path.name
    whole = path.read_bytes()
    assert "GENE2" in read_tables(declared).channels["expression"].values
    # One of two names of a column, and its largest value.
    for place in (whole.index(b"GENE2"), whole.rindex(np.float64(2.0).tobytes())):
        changed = bytearray(whole)
        changed[place + 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(IntakeError, match="is not as the file's own footer counts it"):
            read_tables(declared)


def test_a_table_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    declared = write_files(tmp_path)
    (tmp_path / "mri.csv.gz").write_bytes(gzip.compress(bytes(1 << 24), mtime=0) * 20)
    declared.modalities["mri"].table = "mri.csv.gz"
    with pytest.raises(IntakeError, match="of gzip hold more than"):
        read_tables(declared)
    assert FILES["mri.csv"]


def test_a_link_in_a_models_folder_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "a").write_text("1")
    write_manifest(model)
    (tmp_path / "a").write_text("1")
    (model / "a").unlink()
    (model / "a").symlink_to(tmp_path / "a")
    with pytest.raises(ModelError, match="holds links, 'a', expected files"):
        read_checked(model)


def test_a_folder_at_work_in_is_refused_to_another(tmp_path: Path) -> None:
    refused = pytest.raises(TrainingError, match="another process is at work")
    with alone(tmp_path), refused, alone(tmp_path):
        pass
    with alone(tmp_path):
        assert json.loads("1") == 1
