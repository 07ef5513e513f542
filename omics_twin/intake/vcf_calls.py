"""Read the mutation calls of a checked VCF file: per sample, gene, effect and allele fraction."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from omics_twin.errors import IntakeError
from omics_twin.intake.consequences import CLASSES, NOT_CALLED, consequence_of
from omics_twin.intake.findings import refusals
from omics_twin.intake.vcf import check_vcf

# Terms of the Sequence Ontology that change the protein or its splicing; VEP's impact HIGH or
# MODERATE. McLaren et al. (2016), https://doi.org/10.1186/s13059-016-0974-4
PROTEIN_CHANGING = frozenset(
    {
        "transcript_ablation",
        "splice_acceptor_variant",
        "splice_donor_variant",
        "stop_gained",
        "frameshift_variant",
        "stop_lost",
        "start_lost",
        "transcript_amplification",
        "inframe_insertion",
        "inframe_deletion",
        "conservative_inframe_insertion",
        "conservative_inframe_deletion",
        "disruptive_inframe_insertion",
        "disruptive_inframe_deletion",
        "missense_variant",
        "protein_altering_variant",
    }
)
# INFO key -> the names it gives to allele, gene and consequence.
_ANNOTATIONS = {
    "CSQ": ("Allele", "SYMBOL", "Consequence"),
    "ANN": ("Allele", "Gene_Name", "Annotation"),
}


@dataclass(frozen=True)
class Annotation:
    """Where a file says which gene a variant hits, and how.

    Attributes
    ----------
    key
        ``CSQ`` (VEP) or ``ANN`` (SnpEff).
    allele, gene, consequence
        Places of the fields between ``|``, from 0.
    number
        Place of the number of the ALT allele, from 1; ``None`` where it is not written.
    """

    key: str
    allele: int
    gene: int
    consequence: int
    number: int | None


@dataclass(frozen=True)
class VcfCalls:
    """The calls of one VCF file.

    Attributes
    ----------
    samples
        In the order of the columns.
    tumours, normals
        Samples that the header calls so, as Mutect2 does; empty where it says nothing.
    calls
        A row per sample, ALT allele and gene, with ``sample``, ``gene``, ``effect`` (the gravest
        term that counts) and ``fraction`` (of reads, NaN where it is not known). A variant that
        changes two genes has two rows. Where the genotype was not called the effect is
        :data:`~omics_twin.intake.consequences.NOT_CALLED`.
    has_fractions
        Whether the file declares reads per allele, or the fraction.
    skipped
        Why records were not counted, and how many.
    """

    samples: tuple[str, ...]
    tumours: frozenset[str]
    normals: frozenset[str]
    calls: pd.DataFrame
    has_fractions: bool
    skipped: Counter[str]


def read_vcf(path: Path, *, counted: Collection[str] = PROTEIN_CHANGING) -> VcfCalls:
    """Return the calls of a VCF file that ``check_vcf`` accepts.

    A call counts where the record passed its filters or none was applied, the genotype of the
    sample holds the ALT allele, and the annotation names a gene with a counted consequence.

    Parameters
    ----------
    path
        The file.
    counted
        Terms of the Sequence Ontology that count.

    Raises
    ------
    IntakeError
        If the file is refused, names no genes or no genotypes, or pysam is not installed.
    """
    pysam = _pysam()
    report = check_vcf(path)
    if report.errors:
        raise IntakeError(
            f"'{path.name}' is refused for {refusals(report)}, the first: "
            f"{report.errors[0]}: see 'omics-twin check intake=vcf intake.path={path}'"
        )
    skipped: Counter[str] = Counter()
    verbosity = pysam.set_verbosity(0)
    try:
        with pysam.VariantFile(str(path)) as file:
            annotation = annotation_of(path.name, file.header)
            samples = tuple(str(each) for each in file.header.samples)
            if not samples or "GT" not in file.header.formats:
                raise IntakeError(
                    f"'{path.name}' names no genotypes, expected samples with a GT declared in "
                    "##FORMAT: mutations cannot be told from wild type without them"
                )
            rows = [row for record in file for row in _calls(record, annotation, counted, skipped)]
            has_fractions = any(key in file.header.formats for key in ("AD", "AF"))
            said = [(str(each.key), str(each.value)) for each in file.header.records]
    finally:
        pysam.set_verbosity(verbosity)
    calls = pd.DataFrame(rows, columns=["sample", "gene", "effect", "fraction"])
    return VcfCalls(
        samples,
        frozenset(value for key, value in said if key == "tumor_sample"),
        frozenset(value for key, value in said if key == "normal_sample"),
        calls.astype({"fraction": "float64"}),
        has_fractions,
        skipped,
    )


def _pysam() -> ModuleType:
    try:
        import pysam
    except ModuleNotFoundError as missing:
        raise IntakeError(
            "VCF files are read with pysam, which is not installed: "
            "pip install 'omics-twin[genomics]'"
        ) from missing
    return pysam


def annotation_of(name: str, header: Any) -> Annotation:
    """Return where a file names genes, from the description of its annotation.

    Raises
    ------
    IntakeError
        If the file is not annotated, or not in a way that names genes.
    """
    for key, wanted in _ANNOTATIONS.items():
        if key not in header.info:
            continue
        described = str(header.info[key].description or "")
        # VEP: "… Format: Allele|…"; SnpEff: "Functional annotations: 'Allele | … '".
        names = re.search(r"\w+\s*\|.*", described)
        listed = [each.strip(" '") for each in (names[0] if names else "").split("|")]
        if all(field in listed for field in wanted):
            allele, gene, consequence = (listed.index(field) for field in wanted)
            number = listed.index("ALLELE_NUM") if "ALLELE_NUM" in listed else None
            return Annotation(key, allele, gene, consequence, number)
    raise IntakeError(
        f"'{name}' names no genes, expected VEP's CSQ or SnpEff's ANN in INFO with a gene symbol: "
        "annotate it first"
    )


def _calls(
    record: Any,
    annotation: Annotation,
    counted: Collection[str],
    skipped: Counter[str],
) -> Iterator[tuple[str, str, str, float]]:
    """Yield sample, gene, effect and allele fraction of each call of a record."""
    failed = [each for each in record.filter if each != "PASS"]
    if failed:
        skipped[f"records with filter '{failed[0]}'"] += 1
        return
    genes = _genes(record, annotation, counted, skipped)
    if not genes:
        return
    for name, sample in record.samples.items():
        alleles = sample.get("GT") or (None,)
        changed = set()
        for number in sorted({each for each in alleles if each}):
            for gene, effect in genes.get(number, {}).items():
                changed.add(gene)
                yield str(name), gene, effect, _fraction(sample, number)
        if None in alleles:
            listed = dict.fromkeys(gene for named in genes.values() for gene in named)
            for gene in listed:
                if gene not in changed:
                    yield str(name), gene, NOT_CALLED, float("nan")


def _genes(
    record: Any,
    annotation: Annotation,
    counted: Collection[str],
    skipped: Counter[str],
) -> Mapping[int, Mapping[str, str]]:
    """Return number of the ALT allele -> gene that it changes -> the gravest counted effect."""
    alternates = list(record.alts or ())
    entries = record.info.get(annotation.key) or ()
    found: dict[int, dict[str, str]] = {}
    unnamed = True
    for entry in [entries] if isinstance(entries, str) else entries:
        fields = str(entry).split("|")
        if len(fields) <= max(annotation.allele, annotation.gene, annotation.consequence):
            raise IntakeError(
                f"{record.contig}:{record.pos}: INFO {annotation.key} holds {len(fields)} fields "
                f"between '|', fewer than its ##INFO line describes: annotate the file again"
            )
        gene = fields[annotation.gene]
        terms = fields[annotation.consequence].split("&")
        number = _number(fields, annotation, record.ref, alternates)
        if not gene or number is None:
            continue
        unnamed = False
        known = found.get(number, {}).get(gene)
        candidates = [*([known] if known else []), *(term for term in terms if term in counted)]
        if candidates:
            found.setdefault(number, {})[gene] = min(candidates, key=_gravity)
    if unnamed and alternates:
        skipped["records without a gene"] += 1
    elif not found:
        skipped["records without a counted consequence"] += 1
    return found


@cache
def _gravity(term: str) -> int:
    """Return the place of a term's class among all, the gravest first, the unknown last."""
    known = consequence_of(term)
    return len(CLASSES) if known is None else CLASSES.index(known)


def _number(
    fields: list[str], annotation: Annotation, reference: str, alternates: list[str]
) -> int | None:
    """Return which ALT allele an annotation is about, from 1."""
    if annotation.number is not None and annotation.number < len(fields):
        written = fields[annotation.number]
        return int(written) if written.isdecimal() else None
    if len(alternates) == 1:
        return 1
    allele = fields[annotation.allele]
    if allele in alternates:
        return alternates.index(allele) + 1
    # VEP writes indels without the base before them where all alleles share it.
    alike = {each[:1] for each in (reference, *alternates)}
    shortened = [each[1:] or "-" for each in alternates] if len(alike) == 1 else []
    return shortened.index(allele) + 1 if allele in shortened else None


def _fraction(sample: Any, number: int) -> float:
    """Return the allele fraction: reads of the allele, else the caller's own estimate."""
    depths = sample.get("AD")
    if depths and len(depths) > number and None not in depths and sum(depths) > 0:
        return float(depths[number] / sum(depths))
    estimates = sample.get("AF")
    listed = estimates if isinstance(estimates, tuple) else (estimates,)
    value = listed[number - 1] if len(listed) >= number else None
    return float("nan") if value is None else float(value)
