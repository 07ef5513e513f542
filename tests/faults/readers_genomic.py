"""Files of variants and mutation calls, and studies in cBioPortal's format."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.declaration import CohortDeclaration, CohortFormat
from omics_twin.intake.findings import CheckReport
from omics_twin.intake.maf import check_maf
from omics_twin.intake.tables import Tables, read_tables
from omics_twin.intake.vcf import check_vcf
from tests.faults.examining import Reader
from tests.faults.mutations import delimited
from tests.faults.strict import Invalid, name_of, number_of, text_of
from tests.intake.portal import STUDY, write_study

_CALL_WORDS = ("S1", "S9", "Missense_Mutation", "Silent", "GRCh38", "SNP", "DEL", "C", "ACGT", "-")
_VCF = """##fileformat=VCFv4.2
##contig=<ID=1,length=1000>
##contig=<ID=2>
##FILTER=<ID=q10,Description="Quality below 10">
##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">
##INFO=<ID=MY,Number=R,Type=Float,Description="One per allele">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=PL,Number=G,Type=Integer,Description="Likelihoods">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tTUMOUR\tNORMAL
1\t100\trs1;rs2\tA\tG\t10.5\tPASS\tDP=5;MY=0.1,2e-3;DB\tGT:PL\t0/1:1,2,3\t./.
1\t100\t.\tA\tT,<DEL>\t.\tq10\t.\tGT:PL\t1|2:1,2,3,4,5,6\t0
1\t500\t.\tN\tG]2:7]\t.\t.\t.\tGT\t0/1\t.
2\t7\t.\tAC\tA\t3\tPASS\tDP=1\tPL\t.\t1,2,3
"""
_RECORD = re.compile(
    r"(?P<chrom>[^\s:,<>\[\]]+|<[^\s<>]+>)\t(?P<pos>[0-9]+)\t[^\s\t]+\t(?P<ref>[ACGTNacgtn]+)"
    r"\t(?P<alt>[^\s\t]+)\t(\.|\+?[0-9.eE+-]+|(?i:\+?(inf|infinity|nan)))\t[^\s\t]+\t[^\t]+(\t[^\t]+)*"
)


def _rows(content: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a tab-separated file with leading comments."""
    lines = text_of(content).replace("\r\n", "\n").removesuffix("\n").split("\n")
    while lines and lines[0].startswith("#"):
        del lines[0]
    if not lines or any("\r" in line or not line.strip() for line in lines):
        raise Invalid("no header, a blank line, or one that ends otherwise")
    header, *rows = [[cell.strip() for cell in line.split("\t")] for line in lines]
    if any(len(row) != len(header) or row[0].startswith("#") for row in rows):
        raise Invalid("rows of different lengths, or a comment among them")
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise Invalid("a column twice")
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def maf(folder: Path) -> Reader:
    """Return the check of a file of mutation calls."""
    path = folder / "calls.maf"

    def read(content: bytes) -> CheckReport:
        path.write_bytes(content)
        return check_maf(path)

    def wrong(content: bytes, found: CheckReport) -> str | None:
        try:
            _, rows = _rows(content)
            for row in rows:
                _check_call(row)
        except Invalid as error:
            return f"no calls: {error}"
        return None if found.counted["calls"] == len(rows) else "calls were counted wrongly"

    seed = STUDY["data_mutations.txt"]
    return Reader("MAF", (seed.encode(),), delimited("\t", _CALL_WORDS), read, wrong)


def _check_call(row: Mapping[str, str]) -> None:
    if not row.get("Tumor_Sample_Barcode") or not row.get("Variant_Classification"):
        raise Invalid("no sample, or no classification")
    name_of(row["Tumor_Sample_Barcode"])
    for name in ("Start_Position", "End_Position"):
        if name in row and not re.fullmatch(r"[0-9]{1,10}", row[name]):
            raise Invalid(f"{name} is {row[name][:50]!r}")
    if int(row.get("Start_Position", 0)) > int(row.get("End_Position", 2**31)):
        raise Invalid("it ends before it starts")
    for name in ("Reference_Allele", "Tumor_Seq_Allele1", "Tumor_Seq_Allele2"):
        allele = row.get(name, "-")
        if not re.fullmatch(r"[ACGTNacgtn]+|-|", allele) and allele.lower() not in _ABSENT:
            raise Invalid(f"{name} is {allele[:50]!r}")
    for name in ("t_alt_count", "t_ref_count"):
        count = row.get(name, "")
        if not re.fullmatch("[0-9]*", count) and count.lower() not in _ABSENT:
            raise Invalid(f"{name} is {count[:50]!r}")


_ABSENT = ("na", "nan", "null", ".")


def vcf(folder: Path) -> Reader:
    """Return the check of a VCF file, plain or compressed."""
    path = folder / "variants.vcf"

    def read(content: bytes) -> CheckReport:
        path.write_bytes(content)
        return check_vcf(path)

    def wrong(content: bytes, found: CheckReport) -> str | None:
        try:
            told = _variants(content)
        except Invalid as error:
            return f"no variants: {error}"
        if len(told) != found.counted["records"]:
            return f"{found.counted['records']} records were counted, there are {len(told)}"
        return _pysam_differs(path, told)

    packed = gzip.compress(_VCF.encode(), mtime=0)
    words = ("1", "2", "A", "PASS", "GT", "0/1", "1001", "1002", "<DEL>", "*", ".", "DP=x")
    return Reader("VCF", (_VCF.encode(),) * 4 + (packed,), delimited("\t", words), read, wrong)


def _variants(content: bytes) -> list[tuple[str, int, str, str]]:
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, ValueError) as error:
            raise Invalid(f"no gzip: {error}") from error
    text = text_of(content).replace("\r\n", "\n")
    lines = text.removesuffix("\n").split("\n")
    if not lines[0].startswith("##fileformat=VCFv4."):
        raise Invalid("another format")
    heads = [line for line in lines if line.startswith("#")]
    if lines[: len(heads)] != heads or not heads[-1].startswith("#CHROM\t"):
        raise Invalid("the header is not in front")
    width, found = len(heads[-1].split("\t")), []
    for line in lines[len(heads) :]:
        matched = _RECORD.fullmatch(line)
        if matched is None or len(line.split("\t")) != width or int(matched["pos"]) >= 2**31:
            raise Invalid(f"a record {line[:100]!r}")
        found.append((matched["chrom"], int(matched["pos"]), matched["ref"], matched["alt"]))
    return found


def _pysam_differs(path: Path, told: list[tuple[str, int, str, str]]) -> str | None:
    """Return where htslib reads another variant than the lines say."""
    import pysam

    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(path)) as file:
            read = [(r.chrom, r.pos, r.ref, ",".join(r.alts or (".",))) for r in file]
    except (OSError, ValueError, NotImplementedError):
        # What htslib refuses is never read as calls.
        return None
    finally:
        pysam.set_verbosity(verbosity)
    plain = [(chrom.strip("<>") if chrom[0] == "<" else chrom, *rest) for chrom, *rest in told]
    return None if read in (told, plain) else f"htslib reads {read}, the lines say {told}"


def study_check(folder: Path, file: str) -> Reader:
    """Return the check of a study with one of its files spoilt."""
    root = write_study(folder / f"check of {file.replace('/', ' ')}")

    def read(content: bytes) -> CheckReport:
        (root / file).write_bytes(content)
        return check_study(root)

    def wrong(content: bytes, _: CheckReport) -> str | None:
        if file.startswith("meta") or "/" in file or file.startswith("data_gene_panel"):
            try:
                text_of(content)
            except Invalid as error:
                return f"no text: {error}"
            return None
        try:
            _, rows = _rows(content)
            if file == "data_mutations.txt":
                for row in rows:
                    _check_call(row)
        except Invalid as error:
            return f"no table: {error}"
        return None

    words = ("S1", "S2", "S1-met", "P1", "small", "NUMBER", "STRING", "TRUE", "brca", "1:DECEASED")
    mutations = delimited("\t" if "\t" in STUDY[file] else ": ", words)
    return Reader(f"study, {file}", (STUDY[file].encode(),), mutations, read, wrong)


def study_cohort(folder: Path, file: str) -> Reader:
    """Return the reader of a study as a cohort, with one of its files spoilt.

    What is read must be what the file says of each patient; what ``omics-twin check`` refuses
    need not be refused here where it is not read.
    """
    root = write_study(folder / f"cohort of {file}")
    declared = CohortDeclaration(name="small", root=str(root), format=CohortFormat.CBIOPORTAL)

    def read(content: bytes) -> Tables:
        (root / file).write_bytes(content)
        return read_tables(declared)

    def wrong(content: bytes, found: Tables) -> str | None:
        try:
            # A file of an old Macintosh is read as it is meant; the check tells of it.
            _, rows = _rows(content.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
            if file == "data_patients.txt":
                return _patients_differ(rows, found)
            if file == "data_mutations.txt":
                return _calls_differ(rows, found)
            channel = "copy_number" if "cna" in file else "expression"
            return _matrix_differs(channel, rows, found)
        except (Invalid, KeyError) as error:
            return f"no table: {error!r}"

    words = ("S1", "S2", "P1", "P5", "NA", "0:LIVING", "2:?", "TRUE", "maybe", "TP53", "Silent")
    mutations = delimited("\t", words)
    return Reader(f"cohort, {file}", (STUDY[file].encode(),), mutations, read, wrong)


_UNKNOWN = {
    *("", "not applicable", "not available", "pending", "discrepancy", "completed", "na", "n/a"),
    *("[not applicable]", "[not available]", "[pending]", "[discrepancy]", "[completed]"),
    *("[null]", "null", "unknown", "[unknown]", "nan"),
}


def _is_unknown(text: str) -> bool:
    return text.lower() in _UNKNOWN


def _patients_differ(rows: list[dict[str, str]], found: Tables) -> str | None:
    ids = [row["PATIENT_ID"] for row in rows]
    if len(set(ids)) < len(ids):
        raise Invalid("a patient twice")
    for row in rows:
        name_of(row["PATIENT_ID"])
        if row["PATIENT_ID"] not in found.patient_ids:
            continue
        patient = row["PATIENT_ID"]
        values = found.channels["clinical"].values
        if "AGE" in values and patient in values.index:
            number = values.loc[patient, "AGE"]
            text = row.get("AGE", "")
            if text[:1] in "<>" and not isinstance(number, str) and math.isnan(number):
                continue
            if isinstance(number, str):
                # Its datatype is not told: a category, and the notes say so.
                if number != text or not any(
                    "lines that start with '#'" in n or "cells, expected" in n or "datatype" in n
                    for n in found.notes
                ):
                    return f"AGE of {patient} is read as a text"
                continue
            if _is_unknown(text) != bool(pd.isna(number)):
                return f"AGE of {patient}: read {number!r}, the file says {text!r}"
            if not _is_unknown(text) and number != number_of(text):
                return f"AGE of {patient}: read {number!r}, the file says {text!r}"
        if "os" in found.outcomes:
            place = found.patient_ids.index(patient)
            days = float(found.outcomes["os"].values[place])
            text, status = row["OS_MONTHS"], row["OS_STATUS"]
            known = not _is_unknown(text) and not _is_unknown(status)
            if known != (days == days):
                return f"OS of {patient}: read {days}, the file says {text!r}, {status!r}"
            if known and not math.isclose(days, number_of(text) * 365.25 / 12, rel_tol=1e-9):
                return f"OS of {patient}: read {days}, the file says {text!r}"
    return None


def _calls_differ(rows: list[dict[str, str]], found: Tables) -> str | None:
    for row in rows:
        name_of(row["Tumor_Sample_Barcode"])
    if "mutations" not in found.variants:
        return None
    calls = found.variants["mutations"].calls
    for patient, gene, fraction in zip(
        calls["patient_id"], calls["gene"], calls["fraction"], strict=True
    ):
        own = [
            r
            for r in rows
            if r["Tumor_Sample_Barcode"] == {"P1": "S1"}.get(patient, "S" + patient[1:])
        ]
        alike = [
            r for r in own if gene in (r.get("Hugo_Symbol"), f"entrez_{r.get('Entrez_Gene_Id')}")
        ]
        if not alike:
            return f"a call of {gene} in {patient} is read, but not in the file"
        reads = [(r.get("t_alt_count", ""), r.get("t_ref_count", "")) for r in alike]
        if fraction == fraction and not any(_fraction(*each) == fraction for each in reads):
            return f"fraction {fraction} of {gene} in {patient} is read, the file says {reads}"
        if fraction != fraction and not any(_no_fraction(*each) for each in reads):
            return f"no fraction of {gene} in {patient} is read, the file says {reads}"
    return None


def _fraction(alternate: str, reference: str) -> float | None:
    if not re.fullmatch("[0-9]+", alternate) or not re.fullmatch("[0-9]+", reference):
        return None
    depth = float(alternate) + float(reference)
    return float(alternate) / depth if depth and math.isfinite(depth) else None


def _no_fraction(alternate: str, reference: str) -> bool:
    absent = [each.lower() in ("", "na", "nan", "null", ".") for each in (alternate, reference)]
    counts = [re.fullmatch("[0-9]{1,18}", each) for each in (alternate, reference)]
    return any(absent) or not all(counts) or int(alternate) + int(reference) == 0


def _matrix_differs(channel: str, rows: list[dict[str, str]], found: Tables) -> str | None:
    if channel not in found.channels:
        return None
    values = found.channels[channel].values
    genes = [row.get("Hugo_Symbol", "") for row in rows]
    for row, gene in zip(rows, genes, strict=True):
        if genes.count(gene) > 1 or gene not in values:
            continue
        for sample, patient in _PATIENT_OF.items():
            if sample not in row or patient not in values.index:
                continue
            read, text = values.loc[patient, gene], row[sample]
            told = math.nan if _is_unknown(text) else float(np.float32(number_of(text)))
            if not (read == told or (read != read and told != told)):
                return f"{gene} of {patient}: read {read}, the file says {text!r}"
    return None


_PATIENT_OF = {"S1": "P1", "S2": "P2", "S3": "P3", "S4": "P4"}
