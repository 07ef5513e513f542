"""Are the calls of a mutation annotation file (MAF) as a study needs them? Column by column.

Columns, vocabularies and limits are those of the public format description
(https://docs.cbioportal.org/file-formats/#mutation-data).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from omics_twin.errors import quoted, shown
from omics_twin.intake.cbioportal_format import GENE_COLUMNS
from omics_twin.intake.cbioportal_text import Mistakes, Sheet, is_whole, read_sheet, require_columns
from omics_twin.intake.findings import CheckReport
from omics_twin.intake.maf_alleles import ALLELE_COLUMNS, check_alleles
from omics_twin.intake.maf_drivers import check_driver_columns

CLASSIFICATIONS = (
    "Frame_Shift_Del",
    "Frame_Shift_Ins",
    "In_Frame_Del",
    "In_Frame_Ins",
    "Missense_Mutation",
    "Nonsense_Mutation",
    "Silent",
    "Splice_Site",
    "Translation_Start_Site",
    "Nonstop_Mutation",
    "3'UTR",
    "3'Flank",
    "5'UTR",
    "5'Flank",
    "IGR",
    "Intron",
    "RNA",
    "Targeted_Region",
    "De_novo_Start_InFrame",
    "De_novo_Start_OutOfFrame",
    "Splice_Region",
    "Unknown",
)
NOT_LOADED = ("Silent", "Intron", "3'UTR", "3'Flank", "5'UTR", "5'Flank", "IGR", "RNA")
NOT_SOMATIC = ("none", "loh", "wildtype")
PROTEIN_CHANGES = ("HGVSp_Short", "Amino_Acid_Change")
_ALLELES = ("Reference_Allele", "Tumor_Seq_Allele2")
_RECOMMENDED = ("Chromosome", "Start_Position", "End_Position", *_ALLELES)
_COUNTS = ("t_alt_count", "t_ref_count", "n_alt_count", "n_ref_count")
_VOCABULARIES = {
    "Verification_Status": ("verified", "unknown", "na"),
    "Validation_Status": (
        "valid",
        "invalid",
        "untested",
        "inconclusive",
        "redacted",
        "unknown",
        "na",
    ),
    "Mutation_Status": (
        *NOT_SOMATIC,
        "germline",
        "somatic",
        "post-transcriptional modification",
        "unknown",
        "na",
    ),
}
_LONGEST_PROTEIN_CHANGE = 255
_LAST_POSITION = 2**31 - 1
_ACCESSION = re.compile(
    r"[OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2}", re.ASCII
)
_ENTRY_NAME = re.compile(r"[A-Z0-9]{1,10}_[A-Z0-9]{1,5}", re.ASCII)
ABSENT = frozenset({"", "na", "nan", "null", "."})
_READ = (
    *GENE_COLUMNS,
    "Variant_Classification",
    "Mutation_Status",
    *PROTEIN_CHANGES,
    "SWISSPROT",
    "Matched_Norm_Sample_Barcode",
    "NCBI_Build",
    *ALLELE_COLUMNS,
)
_FILLED = ("Tumor_Sample_Barcode", "Variant_Classification", "Start_Position", "End_Position")
_CODES = {"37": "GRCh37", "hg19": "GRCh37", "38": "GRCh38", "hg38": "GRCh38", "mm10": "GRCm38"}


@dataclass(frozen=True)
class Calling:
    """What a study says about its calls.

    Attributes
    ----------
    fields
        Those of the meta file; empty where a file is checked alone.
    build
        Genome build that is expected, such as ``GRCh37``; empty: any.
    alone
        No meta file says how proteins are named.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    build: str = ""
    alone: bool = False

    @property
    def not_loaded(self) -> tuple[str, ...]:
        """Classifications whose calls are not loaded."""
        filtered = self.fields.get("variant_classification_filter")
        if filtered is None:
            return NOT_LOADED
        return tuple(each.strip() for each in filtered.split(",") if each.strip())


def check_maf(path: Path) -> CheckReport:
    """Return everything that is wrong with one file of calls."""
    mistakes = Mistakes()
    sheet = read_sheet(path.parent, path.name, mistakes)
    calls = 0
    if sheet is not None:
        check_calls(sheet, Calling(alone=True), mistakes)
        calls = sum(1 for _ in sheet.rows())
    return CheckReport(str(path), {"calls": calls}, mistakes.findings())


def check_calls(sheet: Sheet, calling: Calling, mistakes: Mistakes) -> None:
    """Note everything that is wrong with the columns and rows of a file of calls."""
    _check_columns(sheet, calling, mistakes)
    drivers = check_driver_columns(sheet, mistakes)
    checks = [
        (position, name, check)
        for position, name in enumerate(sheet.header)
        if (check := _CHECKS.get(name)) is not None
    ]
    read = [(name, sheet.header.index(name)) for name in _READ if name in sheet.header]
    protein = _protein_check(sheet, calling)
    for line, cells in sheet.rows(mistakes):
        values = dict.fromkeys(_READ, "") | {name: cells[at].strip() for name, at in read}
        row = _Row(sheet, line, values, mistakes)
        for position, name, check in checks:
            cell = cells[position].strip()
            if cell or name in _FILLED:
                check(row, name, cell)
        _check_row(row, calling)
        protein(row)
        drivers.check_row(line, cells, mistakes)
    drivers.check_tiers(mistakes)


@dataclass(frozen=True)
class _Row:
    sheet: Sheet
    line: int
    values: Mapping[str, str]
    mistakes: Mistakes

    def error(self, sentence: str) -> None:
        self.mistakes.error(self.sheet.file, self.line, sentence)

    def warning(self, sentence: str) -> None:
        self.mistakes.warning(self.sheet.file, self.line, sentence)


def _check_columns(sheet: Sheet, calling: Calling, mistakes: Mistakes) -> None:
    line = sheet.header_line
    require_columns(sheet, ("Tumor_Sample_Barcode", "Variant_Classification"), mistakes)
    for needed in (GENE_COLUMNS, PROTEIN_CHANGES):
        if not set(needed) & set(sheet.header):
            mistakes.error(
                sheet.file, line, f"there is no column {quoted(needed)}: at least one is needed"
            )
    missing = [name for name in _RECOMMENDED if name not in sheet.header]
    if missing:
        mistakes.warning(
            sheet.file,
            line,
            f"there are no columns {quoted(missing)}, so positions and alleles are not checked",
        )
    known = {name.lower(): name for name in (*_CHECKS, *_RECOMMENDED)}
    for name in sheet.header:
        right = known.get(name.lower(), name)
        if right != name:
            mistakes.warning(
                sheet.file, line, f"column '{name}' is not read: it is spelt '{right}'"
            )
    _check_protein_columns(sheet, calling, mistakes)
    for namespace in filter(None, calling.fields.get("namespaces", "").split(",")):
        prefix = f"{namespace.strip().lower()}."
        if not any(name.lower().startswith(prefix) for name in sheet.header):
            mistakes.warning(
                sheet.file, line, f"there is no column of the declared namespace '{namespace}'"
            )


def _check_protein_columns(sheet: Sheet, calling: Calling, mistakes: Mistakes) -> None:
    if "SWISSPROT" not in sheet.header:
        mistakes.warning(
            sheet.file,
            sheet.header_line,
            "there is no column 'SWISSPROT', so the protein is guessed from the gene: add it",
        )
    elif "swissprot_identifier" not in calling.fields and not calling.alone:
        mistakes.warning(
            sheet.file,
            sheet.header_line,
            "column 'SWISSPROT' is taken to hold names, since the meta file has no "
            "'swissprot_identifier': add it",
        )


def _protein_check(sheet: Sheet, calling: Calling) -> Callable[[_Row], None]:
    """Return the check of the SWISSPROT column, by name or accession as declared."""
    wanted = calling.fields.get("swissprot_identifier", "either" if calling.alone else "name")
    allowed = {"name": (_ENTRY_NAME,), "accession": (_ACCESSION,)}.get(
        wanted, (_ENTRY_NAME, _ACCESSION)
    )
    what = wanted if len(allowed) == 1 else "name or accession"

    def check(row: _Row) -> None:
        found = row.values["SWISSPROT"]
        if found.lower() in ABSENT or any(each.fullmatch(found) for each in allowed):
            return
        row.warning(f"SWISSPROT is '{found}', expected one UniProtKB {what}")

    return check


def _check_row(row: _Row, calling: Calling) -> None:
    """Note what two columns say together."""
    gene, entrez = row.values["Hugo_Symbol"], row.values["Entrez_Gene_Id"]
    effect = row.values["Variant_Classification"]
    if gene == "Unknown" and entrez in ("0", "") and effect != "IGR":
        row.warning("the gene is Unknown, so the call is read as intergenic and not loaded")
    elif not gene and entrez in ("", "NA"):
        row.error("names no gene: fill in Hugo_Symbol or Entrez_Gene_Id")
    status = row.values["Mutation_Status"].lower()
    promoter = gene == "TERT" and effect in ("5'Flank", "5'UTR")
    if effect in calling.not_loaded and not promoter:
        row.warning(f"the call is not loaded, since its Variant_Classification is {effect}")
    elif status in NOT_SOMATIC:
        row.warning(f"the call is not loaded, since its Mutation_Status is {status}")
    elif all(row.values[name].lower() in ABSENT for name in PROTEIN_CHANGES):
        row.warning("HGVSp_Short is empty, so the call is shown without its protein change")
    normals = calling.fields.get("normal_samples_list", "")
    normal = row.values["Matched_Norm_Sample_Barcode"]
    listed = {each.strip() for each in normals.split(",")}
    if normals and normal and normal not in listed:
        row.error(f"normal sample '{normal}' is not in the meta file's 'normal_samples_list'")
    build = row.values["NCBI_Build"]
    if build and calling.build and _CODES.get(build, build) != calling.build:
        row.error(f"NCBI_Build is '{build}', expected '{calling.build}', the study's")
    check_alleles(row.values, row.error, row.warning)


def _check_position(row: _Row, name: str, found: str) -> None:
    if not is_whole(found) or not 0 <= int(found) <= _LAST_POSITION:
        row.error(f"{name} is {shown(found)}, expected a whole number up to {_LAST_POSITION}")


def _check_count(row: _Row, name: str, found: str) -> None:
    if found.lower() not in ABSENT and not (is_whole(found) and int(found) >= 0):
        row.error(f"{name} is '{found}', expected a whole number of reads")


def _check_entrez(row: _Row, name: str, found: str) -> None:
    if found and found != "NA" and not is_whole(found):
        row.error(f"{name} is '{found}', expected a whole number")
    elif is_whole(found) and int(found) < 0:
        row.warning(f"{name} is '{found}', which is no gene: leave it empty")


def _check_symbol(row: _Row, name: str, found: str) -> None:
    if found[:1].isdigit():
        row.warning(f"{name} is '{found}', which starts with a digit as no gene symbol does")


def _check_filled(row: _Row, name: str, found: str) -> None:
    if not found:
        row.error(f"{name} is empty: fill it in, or remove the row")
    elif not found.isprintable():
        row.error(f"{name} is {found!r}, expected no characters that cannot be seen")


def _check_classification(row: _Row, name: str, found: str) -> None:
    if not found:
        row.error(f"{name} is empty: fill it in, or remove the row")
    elif found not in CLASSIFICATIONS:
        row.warning(f"{name} is '{found}', expected one of {quoted(CLASSIFICATIONS, 30)}")


def _check_protein_change(row: _Row, name: str, found: str) -> None:
    if len(found) > _LONGEST_PROTEIN_CHANGE:
        row.error(f"{name} has {len(found)} characters, expected {_LONGEST_PROTEIN_CHANGE} at most")
    elif found.count("p.") > 1 or any(each in found for each in ";[],"):
        row.warning(f"{name} is '{found}', expected one change such as p.V600E")


def _check_vocabulary(row: _Row, name: str, found: str) -> None:
    if found and found.lower() not in _VOCABULARIES[name]:
        row.warning(f"{name} is '{found}', expected one of {quoted(_VOCABULARIES[name], 20)}")


_CHECKS: dict[str, Callable[[_Row, str, str], None]] = {
    "Hugo_Symbol": _check_symbol,
    "Entrez_Gene_Id": _check_entrez,
    "Tumor_Sample_Barcode": _check_filled,
    "Variant_Classification": _check_classification,
    "Start_Position": _check_position,
    "End_Position": _check_position,
    **dict.fromkeys(_COUNTS, _check_count),
    **dict.fromkeys(_VOCABULARIES, _check_vocabulary),
    **dict.fromkeys(PROTEIN_CHANGES, _check_protein_change),
}
