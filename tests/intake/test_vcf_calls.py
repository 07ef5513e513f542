"""A checked VCF file becomes calls per patient, gene and allele fraction."""

from __future__ import annotations

import builtins
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from omics_twin.errors import IntakeError
from omics_twin.intake.consequences import NOT_CALLED
from omics_twin.intake.vcf_calls import read_vcf

VEP = (
    '##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. '
    'Format: Allele|Consequence|IMPACT|SYMBOL|Gene">'
)
SNPEFF = (
    "##INFO=<ID=ANN,Number=.,Type=String,Description=\"Functional annotations: 'Allele | "
    "Annotation | Annotation_Impact | Gene_Name | Gene_ID' \">"
)
FORMAT = """##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="Depth">
##FORMAT=<ID=AF,Number=A,Type=Float,Description="Fraction">"""
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"


def written(
    folder: Path, records: list[str], *meta: str, samples: str = "\tFORMAT\tP1\tP2"
) -> Path:
    path = folder / "calls.vcf"
    lines = ["##fileformat=VCFv4.2", '##FILTER=<ID=low,Description="x">', *meta, COLUMNS + samples]
    path.write_text("\n".join([*lines, *records, ""]))
    return path


def test_calls_come_from_vep(tmp_path: Path) -> None:
    records = [
        "1\t10\t.\tA\tG\t.\tPASS\tCSQ=G|missense_variant|MODERATE|TP53|E1,G|intron_variant|M|X|E2"
        "\tGT:AD\t0/1:30,10\t0/0:20,0",
        "1\t20\t.\tAT\tA,ATT\t.\t.\tCSQ=-|frameshift_variant|HIGH|ESR1|E,TT|stop_gained&x|HIGH|PTEN|E"
        "\tGT:AD:AF\t2/1:.:0.2,0.3\t./.",
        "1\t30\t.\tA\tG\t.\tlow\tCSQ=G|missense_variant|MODERATE|TP53|E\tGT\t1/1\t1/1",
        "1\t40\t.\tA\tG\t.\t.\tCSQ=G|intron_variant|MODIFIER|TP53|E\tGT\t1/1\t1/1",
        "1\t50\t.\tA\tG\t.\t.\t.\tGT\t1/1\t1/1",
    ]
    read = read_vcf(written(tmp_path, records, VEP, FORMAT))
    assert read.samples == ("P1", "P2")
    assert read.has_fractions
    assert list(read.calls.iloc[:, :3].itertuples(index=False, name=None)) == [
        ("P1", "TP53", "missense_variant"),
        ("P1", "ESR1", "frameshift_variant"),
        ("P1", "PTEN", "stop_gained"),
        ("P2", "ESR1", NOT_CALLED),
        ("P2", "PTEN", NOT_CALLED),
    ]
    np.testing.assert_allclose(read.calls["fraction"], [0.25, 0.2, 0.3, np.nan, np.nan])
    assert read.skipped == {
        "records with filter 'low'": 1,
        "records without a counted consequence": 1,
        "records without a gene": 1,
    }


def test_of_many_transcripts_the_gravest_counted_effect_is_told(tmp_path: Path) -> None:
    said = ("synonymous_variant", "missense_variant&splice_region_variant", "stop_gained")
    csq = ",".join(f"G|{each}|M|TP53|E" for each in said)
    records = [f"1\t10\t.\tA\tG\t.\t.\tCSQ={csq}\tGT\t./1\t0/."]
    read = read_vcf(written(tmp_path, records, VEP, FORMAT))
    assert read.calls["effect"].tolist() == ["stop_gained", NOT_CALLED]


def test_calls_come_from_snpeff_and_may_have_no_fraction(tmp_path: Path) -> None:
    records = ["1\t10\t.\tA\tG\t.\tPASS\tANN=G|stop_gained|HIGH|BRCA1|E\tGT\t0/1\t1|1"]
    path = written(tmp_path, records, SNPEFF, FORMAT.splitlines()[0])
    read = read_vcf(path)
    assert list(read.calls["sample"]) == ["P1", "P2"]
    assert set(read.calls["gene"]) == {"BRCA1"}
    assert np.isnan(read.calls["fraction"]).all()
    assert not read.has_fractions


def test_what_counts_can_be_named(tmp_path: Path) -> None:
    records = ["1\t10\t.\tA\tG\t.\tPASS\tCSQ=G|intron_variant|M|TP53|E\tGT\t0/1\t0/0"]
    path = written(tmp_path, records, VEP, FORMAT)
    assert read_vcf(path).calls.empty
    assert len(read_vcf(path, counted={"intron_variant"}).calls) == 1


@pytest.mark.parametrize(
    ("records", "meta", "samples", "told"),
    [
        (["1\tx\t.\tA\tG\t.\t.\t."], (VEP,), "", "is refused for 1 reason,"),
        ([], (FORMAT,), "\tFORMAT\tP1", "names no genes"),
        ([], ('##INFO=<ID=CSQ,Number=.,Type=String,Description="x">',), "", "names no genes"),
        ([], (VEP,), "", "names no genotypes"),
        (["1\t1\t.\tA\tG\t.\t.\tCSQ=G|x\tGT\t0/1"], (VEP, FORMAT), "\tFORMAT\tP1", "2 fields"),
    ],
)
def test_a_file_that_gives_no_calls_is_refused(
    records: list[str], meta: tuple[str, ...], samples: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(IntakeError, match=told):
        read_vcf(written(tmp_path, records, *meta, samples=samples))


def test_without_pysam_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: object) -> ModuleType:
        if name == "pysam":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(IntakeError, match=r"pip install 'omics-twin\[genomics\]'"):
        read_vcf(tmp_path / "a.vcf")
