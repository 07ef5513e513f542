"""VCF files beside a clinical table become a cohort's calls; what was not read is not wild type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.cohort.genomics import mutation_matrix
from omics_twin.errors import ConfigError, IntakeError, public
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    KeyDeclaration,
    Layout,
    ModalityDeclaration,
    NamedBy,
    UnknownLevel,
    VcfDeclaration,
)
from omics_twin.intake.tables import Tables, read_tables

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=CSQ,Number=.,Type=String,Description="VEP. Format: Allele|Consequence|SYMBOL">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depth">
"""
CLINICAL = """patient_id,age,panel,tumour
ada,50,wide,T1
ben,60,narrow,T2
cy,70,wide,T3
"""
CALLS = {
    "TP53": "1\t10\t.\tA\tG\t.\tPASS\tCSQ=G|stop_gained|TP53\tGT:AD",
    "KRAS": "1\t20\t.\tA\tG\t.\tPASS\tCSQ=G|missense_variant|KRAS\tGT:AD",
    "EGFR": "1\t30\t.\tA\tG\t.\tPASS\tCSQ=G|synonymous_variant|EGFR\tGT:AD",
}


def vcf(samples: str, records: dict[str, str], *, meta: str = "") -> str:
    columns = "\t".join(["#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT", samples])
    lines = [f"{CALLS[gene]}\t" + cells.replace(" ", "\t") for gene, cells in records.items()]
    return HEADER + meta + "\n".join([columns.replace(" ", "\t"), *lines, ""])


def cohort(root: Path, files: dict[str, str], table: str = "calls") -> CohortDeclaration:
    (root / "clinical.csv").write_text(CLINICAL)
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(content)
    return CohortDeclaration(
        name="study",
        root=str(root),
        roster="clinical.csv",
        modalities={
            "clinical": ModalityDeclaration(
                table="clinical.csv", columns={"age": ColumnDeclaration(unit="year")}
            ),
            "genomics": ModalityDeclaration(
                table=table, layout=Layout.VARIANTS, by_consequence=True, vcf=VcfDeclaration()
            ),
        },
    )


def declared(study: CohortDeclaration, **changes: object) -> CohortDeclaration:
    """Return the cohort with other settings of its calls, those of ``vcf`` by their own names."""
    own = study.modalities["genomics"]
    named = {key: changes.pop(key) for key in list(changes) if hasattr(own.vcf, key)}
    genomics = replace(own, vcf=replace(own.vcf, **named), **changes)  # type: ignore[type-var]
    return replace(study, modalities={**study.modalities, "genomics": genomics})


def matrix(tables: Tables) -> dict[str, list[float]]:
    return mutation_matrix(tables.variants["genomics"]).values.to_dict("list")  # type: ignore[return-value]


ONE = {"calls.vcf": vcf("ada ben cy", {"TP53": "0/1:6,4 ./.:. 0/0:9,0", "EGFR": "0/1:5,5 0/0 ./."})}
MERGED = {"TP53": "0/1 ./. ./.", "KRAS": "./. 0/1:6,2 ./."}


def test_one_file_of_many_samples_is_read(tmp_path: Path) -> None:
    tables = read_tables(cohort(tmp_path, ONE, "calls.vcf"))
    found = matrix(tables)
    # Nobody knows whether ben has a mutation of TP53; EGFR's is silent and does not count.
    np.testing.assert_array_equal(found["TP53"], [1.0, np.nan, 0.0])
    np.testing.assert_array_equal(found["TP53:truncating"], [1.0, np.nan, 0.0])
    assert found["mutation_count"] == [1.0, 0.0, 0.0]
    assert found["truncating_count"] == [1.0, 0.0, 0.0]
    np.testing.assert_allclose(found["highest_allele_fraction"], [0.4, np.nan, np.nan])
    assert "EGFR" not in found
    told = "\n".join(tables.notes)
    assert "1 records without a counted consequence" in told
    assert "1 genotypes were not called" in told


def test_files_that_were_merged_say_wild_type_by_no_call(tmp_path: Path) -> None:
    study = cohort(tmp_path, {"calls.vcf": vcf("ada ben cy", MERGED)}, "calls.vcf")
    np.testing.assert_array_equal(matrix(read_tables(study))["KRAS"], [np.nan, 1.0, np.nan])
    study = declared(study, uncalled_is_wild_type=True, covered_megabases=2.0)
    found = matrix(read_tables(study))
    assert found["KRAS"] == [0.0, 1.0, 0.0]
    assert found["mutations_per_megabase"] == [0.5, 0.5, 0.0]


def test_a_patient_without_a_file_was_not_measured(tmp_path: Path) -> None:
    files = {"calls/ada.vcf": vcf("TUMOUR", {"TP53": "0/1:6,4"}), "calls/cy.vcf": vcf("X", {})}
    tables = read_tables(declared(cohort(tmp_path, files), named_by=NamedBy.FILE))
    assert tables.variants["genomics"].assayed == ("ada", "cy")
    assert matrix(tables)["TP53"] == [1.0, 0.0]
    assert (
        "modality 'genomics': 1 patients are in no VCF file, read as not measured" in tables.notes
    )


def test_a_gene_off_the_panel_was_not_measured(tmp_path: Path) -> None:
    study = cohort(tmp_path, {"calls.vcf": vcf("ada ben cy", {"TP53": "0/1 0/0 0/0"})}, "calls.vcf")
    panels = {"wide": ["TP53", "KRAS"], "narrow": ["KRAS"]}
    found = matrix(read_tables(declared(study, panel_column="panel", panels=panels)))
    np.testing.assert_array_equal(found["TP53"], [1.0, np.nan, 0.0])
    assert found["KRAS"] == [0.0, 0.0, 0.0]
    everybody = matrix(read_tables(declared(study, panels={"wide": ["TP53", "KRAS"]})))
    assert everybody["KRAS"] == [0.0, 0.0, 0.0]


def test_the_tumour_is_read_and_its_normal_is_not(tmp_path: Path) -> None:
    meta = "##normal_sample=N1\n##tumor_sample=T1\n"
    files = {
        "calls/a.vcf": vcf("N1 T1", {"TP53": "0/1:5,5 0/0", "KRAS": "0/0 0/1"}, meta=meta),
        "calls/b.vcf": vcf("N2 T2", {"TP53": "0/1 0/0"}),
    }
    study = declared(cohort(tmp_path, files), name_column="tumour")
    study = replace(study, keys={"calls": KeyDeclaration(strangers=UnknownLevel.REPORT)})
    tables = read_tables(study)
    assert matrix(tables)["KRAS"] == [1.0, 0.0]
    assert "TP53" not in matrix(tables)
    assert any("'N2' of nobody in the roster" in each for each in tables.notes)
    (tmp_path / "calls" / "a.vcf").unlink()
    named = declared(study, tumour="T2", named_by=NamedBy.FILE, name_column=None)
    (tmp_path / "calls" / "b.vcf").rename(tmp_path / "calls" / "ben.vcf")
    assert read_tables(named).variants["genomics"].assayed == ("ben",)


def test_new_patients_may_come_without_files(tmp_path: Path) -> None:
    study = cohort(tmp_path, {})
    assert read_tables(study, scoring=True).variants == {}
    with pytest.raises(IntakeError, match="expected the VCF files of modality 'genomics'"):
        read_tables(study)


@pytest.mark.parametrize(
    ("files", "named_by", "told"),
    [
        ({}, NamedBy.SAMPLE, "not in"),
        ({"calls/readme.txt": ""}, NamedBy.SAMPLE, "holds no VCF file"),
        ({"calls/ada.vcf": "x\n"}, NamedBy.FILE, "is refused for 1 reason,"),
        ({"calls/a.vcf": vcf("zed", {})}, NamedBy.SAMPLE, "samples 'zed' of nobody"),
        ({"calls/ada.vcf": vcf("A B", {})}, NamedBy.FILE, "expected one tumour"),
        (
            {"calls/a.vcf": vcf("ada", {}), "calls/b.vcf": vcf("ada", {})},
            NamedBy.SAMPLE,
            "patient 'ada' is in the VCF files",
        ),
        (
            {"calls/ada.vcf": vcf("ada", {}).replace("CSQ", "XYZ")},
            NamedBy.FILE,
            "names no genes, expected VEP's CSQ or SnpEff's ANN",
        ),
    ],
)
def test_what_is_no_ones_or_says_no_gene_is_refused(
    files: dict[str, str], named_by: NamedBy, told: str, tmp_path: Path
) -> None:
    with pytest.raises(IntakeError, match=told) as refused:
        read_tables(declared(cohort(tmp_path, files), named_by=named_by))
    assert "ada" not in public(refused.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"gene_column": "gene"}, "has 'gene_column' and 'vcf'"),
        ({"measured_column": "panel", "measured_value": "x"}, "has 'measured_column' and 'vcf'"),
        ({"panels": {"a": ["X"], "b": ["Y"]}}, "no 'panel_column'"),
        ({"layout": Layout.WIDE}, "not layout 'variants'"),
    ],
)
def test_what_the_files_say_is_not_declared(
    changes: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_tables(declared(cohort(tmp_path, ONE, "calls.vcf"), **changes))
