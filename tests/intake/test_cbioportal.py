"""A study's folder is checked for every mistake, each told in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.check import check
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.settings import Format, IntakeSettings
from tests.intake.portal import change, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path)


def test_a_study_as_it_should_be_has_no_findings(study: Path) -> None:
    report = check_study(study)
    assert report.findings == ()
    assert report.counted == {"meta files": 10, "patients": 4, "samples": 5, "case lists": 2}


ERRORS = [
    ("meta_study.txt", "name: Small\n", "", "required field 'name' is missing"),
    ("meta_study.txt", "type_of_cancer: brca", "typeofcancer: brca", "nothing says what the file"),
    ("meta_study.txt", "true", "true\nreference_genome: hg17", "reference_genome is 'hg17'"),
    ("meta_study.txt", "true", "true\npmid: 12 34", "white space"),
    ("meta_study.txt", "true", "true\ntags_file: tags.yml", "'tags.yml' is not there"),
    ("meta_study.txt", "true", "false", "there is no case list 'small_all'"),
    ("meta_study.txt", "name: Small", "name Small", "expected 'field: value'"),
    ("meta_samples.txt", "small", "other", "cancer_study_identifier is 'other', expected 'small'"),
    ("meta_samples.txt", "SAMPLE_ATTRIBUTES", "SAMPLES", "datatype is 'SAMPLES', expected one of"),
    ("meta_cna.txt", "COPY_NUMBER", "COPY_NUMER", "did you mean 'COPY_NUMBER_ALTERATION'"),
    ("meta_cna.txt", "gistic", "gistc", "stable_id is 'gistc', expected one of 'gistic'"),
    ("meta_cna.txt", "data_cna.txt", "Data_CNA.txt", "is spelt 'data_cna.txt' in the folder"),
    ("meta_cna.txt", "data_cna.txt", "gone.txt", "data_filename 'gone.txt' is not in the folder"),
    ("meta_seg.txt", "hg19", "hg18", "reference_genome_id is 'hg18', expected 'hg19'"),
    ("meta_mutations.txt", ": name\n", ": names\n", "expected 'name' or 'accession'"),
    ("data_patients.txt", "#1\t1\t1\t1\t1\t1\t1\t1\n", "", "found 3 lines that start with '#'"),
    ("data_patients.txt", "#STRING\tNUMBER", "#STRING\tFLOAT", "datatype is 'FLOAT'"),
    ("data_patients.txt", "P1\t50", "P1\tfifty", "AGE is 'fifty', expected a number"),
    ("data_patients.txt", "\t12\tTRUE", "\t12\tYES", "SMOKER is 'YES', expected TRUE or FALSE"),
    ("data_patients.txt", "0:LIVING", "LIVING", "expected 0:LIVING or 1:DECEASED"),
    ("data_patients.txt", "0:DiseaseFree", "DiseaseFree", "expected '0:' or '1:'"),
    ("data_patients.txt", "P4\t44", "P1\t44", "patient 'P1' is listed twice"),
    ("data_patients.txt", "P4\t44", "P 4\t44", "PATIENT_ID is 'P 4', expected letters"),
    ("data_patients.txt", "\t44\tMale", "\t44", "found 7 cells, expected 8 as in the header"),
    ("data_patients.txt", "PATIENT_ID\tAGE", "PATIENT_ID\tSEX", "columns 'SEX' are there twice"),
    ("data_patients.txt", "PATIENT_ID\tAGE", "PATIENT_ID\tMUTATION_COUNT", "the portal computes"),
    ("data_samples.txt", "S2", "S1", "sample 'S1' is listed twice"),
    ("data_samples.txt", "\tGRADE", "\tOS_STATUS", "OS_STATUS describes the patient"),
    ("data_samples.txt", "SAMPLE_ID\t", "SAMPLE\t", "there is no column 'SAMPLE_ID'"),
    (
        "data_mutations.txt",
        "\tS1\tp",
        "\tS9\tp",
        "samples 'S9' are not in the clinical sample file",
    ),
    ("data_mutations.txt", "GRCh37", "GRCh38", "NCBI_Build is 'GRCh38', expected 'GRCh37'"),
    ("data_mutations.txt", "HGVSp_Short", "Protein", "at least one is needed"),
    ("data_cna.txt", "TP53\t7157\t-1", "TP53\t7157\t-3", "value of 'S1' is '-3', expected one of"),
    ("data_cna.txt", "Hugo_Symbol", "Gene", "'Entrez_Gene_Id' come after a sample"),
    ("data_cna.txt", "\tS2", "\tS7", "samples 'S7' are not in the clinical sample file"),
    ("data_cna.txt", "TP53\t7157", "\t", "names no gene"),
    ("data_expression.txt", "\t100\t", "\t1,5\t", "value of 'S1' is '1,5', expected a number"),
    ("data_expression.txt", "\t100\t", "\t\t", "value of 'S1' is empty"),
    ("data_expression.txt", "TP53\t7157", "TP53\tseven", "Entrez_Gene_Id is 'seven'"),
    ("data_panels.txt", "mutations", "fusions", "column 'fusions' is no profile of this study"),
    ("data_panels.txt", "S3\t", "S1\t", "sample 'S1' is on line 2 already"),
    ("data.seg", "48129895", "48129896", "lies beyond chromosome 21 of hg19"),
    ("data.seg", "\t21\t", "\tchr21\t", "chromosome is 'chr21'"),
    ("data.seg", "\t1000\t", "\t1e3\t", "position is '1e3', expected a whole number"),
    ("data_timeline.txt", "\t10\t", "\tsoon\t", "START_DATE is 'soon'"),
    ("data_timeline.txt", "STOP_DATE", "END_DATE", "there is no column 'STOP_DATE'"),
    ("case_lists/cases_cna.txt", "small_cna", "cna", "expected it to start with 'small_'"),
    ("case_lists/cases_cna.txt", "S2", "S8", "samples 'S8' are not in the clinical sample file"),
    ("case_lists/cases_cna.txt", "small_cna", "small_sequenced", "that of another case list"),
]


@pytest.mark.parametrize(("file", "old", "new", "sentence"), ERRORS)
def test_a_mistake_is_an_error(study: Path, file: str, old: str, new: str, sentence: str) -> None:
    change(study, file, old, new)
    assert any(sentence in each.sentence for each in check_study(study).errors)


WARNINGS = [
    ("meta_study.txt", "true", "true\nnickname: s", "field 'nickname' is unknown"),
    ("data_patients.txt", "P4\t44", "P5\t44", "patients 'P5' have no sample"),
    ("data_patients.txt", "DFS_MONTHS", "FREE_MONTHS", "there is no DFS_MONTHS"),
    ("data_patients.txt", "1:DECEASED\t6", "1:DECEASED\t", "OS_MONTHS is empty"),
    ("data_cna.txt", "ERBB2\t2064", "TP53\t7157", "'7157' is on line 2 already"),
    ("data_mutations.txt", "Missense_Mutation", "Silent", "the call is not loaded"),
    ("data_samples.txt", "Metastasis", '"Metastasis"', "in quotation marks"),
    ("case_lists/cases_cna.txt", "S2", "S1", "samples 'S1' are listed twice"),
]


@pytest.mark.parametrize(("file", "old", "new", "sentence"), WARNINGS)
def test_what_can_be_used_is_a_warning(
    study: Path, file: str, old: str, new: str, sentence: str
) -> None:
    change(study, file, old, new)
    report = check_study(study)
    assert report.errors == ()
    assert any(sentence in each.sentence for each in report.warnings)


def test_line_ends_of_windows_are_read_and_a_carriage_return_alone_is_not(study: Path) -> None:
    table = study / "data_patients.txt"
    content = table.read_bytes()
    table.write_bytes(content.replace(b"\n", b"\r\n"))
    assert check_study(study).errors == ()
    table.write_bytes(content.replace(b"\n", b"\r"))
    [found] = check_study(study).errors
    assert "lines end as on old Macintosh" in found.sentence


def test_text_in_another_encoding_is_an_error_with_its_line(study: Path) -> None:
    table = study / "data_patients.txt"
    table.write_bytes(table.read_bytes().replace(b"Female", b"F\xe9male", 1))
    [found, *_] = check_study(study).errors
    assert (found.file, found.line) == ("data_patients.txt", 6)
    assert "is not UTF-8 text" in found.sentence


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    assert "there are no meta files" in check_study(tmp_path).errors[0].sentence


def test_the_same_mistake_on_many_lines_is_told_once(study: Path) -> None:
    path = study / "data_patients.txt"
    path.write_text(path.read_text().replace("0:LIVING", "alive"))
    [found] = check_study(study).errors
    assert found.line == 6
    assert found.sentence.endswith("(and on 1 more lines)")


def test_a_study_is_asked_about_by_its_folder(study: Path) -> None:
    asked = IntakeSettings(format=Format.CBIOPORTAL, root=str(study))
    assert check(asked, CohortDeclaration()).errors == ()
    change(study, "data_cna.txt", "\t2\t", "\t9\t")
    [found] = check(asked, CohortDeclaration()).errors
    assert str(found).startswith("error: data_cna.txt:3: value of 'S1' is '9'")
