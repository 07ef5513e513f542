"""A file of mutation calls is checked for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.intake.check import check
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.maf import check_maf
from omics_twin.intake.settings import Format, IntakeSettings
from tests.intake.portal import STUDY


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls.maf"
    path.write_text(STUDY["data_mutations.txt"], encoding="utf-8")
    return path


def with_columns(path: Path, **values: str) -> None:
    """Add columns that hold the same value on every row."""
    header, *rows = path.read_text().removesuffix("\n").split("\n")
    lines = ["\t".join([header, *values])] + ["\t".join([row, *values.values()]) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def test_calls_as_they_should_be_have_no_findings(calls: Path) -> None:
    report = check_maf(calls)
    assert report.findings == ()
    assert report.counted == {"calls": 3}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("7578253\t7578253", "7578253.0\t7578253", "Start_Position is '7578253.0'"),
        ("7578253\t7578253", "7578254\t7578253", "lies behind End_Position"),
        ("\tC\tC\tA\t", "\tC\tC\tQ\t", "Tumor_Seq_Allele2 is 'Q'"),
        ("Missense_Mutation", "", "Variant_Classification is empty"),
        ("\tS1\t", "\t\t", "Tumor_Sample_Barcode is empty"),
        ("p.G199V", "p." + "G" * 254, "has 256 characters, expected 255 at most"),
        ("7157", "seven", "Entrez_Gene_Id is 'seven'"),
        ("\t20\t80", "\tmany\t80", "t_alt_count is 'many'"),
    ],
)
def test_what_cannot_be_loaded_is_an_error(calls: Path, old: str, new: str, sentence: str) -> None:
    calls.write_text(calls.read_text().replace(old, new, 1))
    assert sentence in check_maf(calls).errors[0].sentence


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Missense_Mutation", "missense", "Variant_Classification is 'missense'"),
        ("Missense_Mutation", "Intron", "the call is not loaded"),
        ("p.G199V", "p.G199V;p.G200V", "expected one change"),
        ("P53_HUMAN", "p53", "expected one UniProtKB name or accession"),
        ("\tC\tC\tA\t", "\tC\tC\tC\t", "nothing changed"),
        ("\tC\tC\tA\t", "\tC\tC\tAA\t", "Variant_Type is SNP"),
        ("SNP", "INS", "Variant_Type is INS, but no Tumor_Seq_Allele is longer"),
        ("SNP", "DEL", "Variant_Type is DEL, but no Tumor_Seq_Allele is '-' or shorter"),
    ],
)
def test_what_is_odd_is_a_warning(calls: Path, old: str, new: str, sentence: str) -> None:
    calls.write_text(calls.read_text().replace(old, new, 1))
    report = check_maf(calls)
    assert report.errors == ()
    assert any(sentence in each.sentence for each in report.warnings)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"cbp_driver": "NA"}, "column 'cbp_driver' needs column 'cbp_driver_annotation'"),
        ({"cbp_driver": "Maybe", "cbp_driver_annotation": "x"}, "cbp_driver is 'Maybe'"),
        ({"cbp_driver": "NA", "cbp_driver_annotation": "x" * 81}, "has 81 characters"),
        ({"cbp_driver_tiers": "x" * 51, "cbp_driver_tiers_annotation": "x"}, "has 51 characters"),
    ],
)
def test_driver_annotations_have_partners_values_and_limits(
    calls: Path, values: dict[str, str], sentence: str
) -> None:
    with_columns(calls, **values)
    assert sentence in check_maf(calls).errors[0].sentence


def test_more_than_ten_tiers_are_a_warning(calls: Path) -> None:
    with_columns(calls, cbp_driver_tiers="tier", cbp_driver_tiers_annotation="x")
    header, row, *_ = calls.read_text().split("\n")
    rows = [row.replace("tier", f"tier {n}") for n in range(11)]
    calls.write_text("\n".join([header, *rows]) + "\n")
    assert "11 different tiers" in check_maf(calls).warnings[0].sentence


def test_a_validated_call_needs_its_validation_alleles(calls: Path) -> None:
    with_columns(calls, Validation_Status="Valid")
    assert "a validation allele is empty" in check_maf(calls).warnings[0].sentence


def test_calls_are_asked_about_by_their_file(calls: Path) -> None:
    asked = IntakeSettings(format=Format.MAF, path=str(calls))
    assert check(asked, CohortDeclaration()).findings == ()
