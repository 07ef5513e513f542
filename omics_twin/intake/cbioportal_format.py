"""Which files may a cBioPortal study hold, and what must each say of itself? A table.

Facts of the public format description (https://docs.cbioportal.org/file-formats/).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STUDY_REQUIRED = ("type_of_cancer", "cancer_study_identifier", "name", "description")
STUDY_OPTIONAL = (
    "short_name",
    "citation",
    "pmid",
    "groups",
    "add_global_case_list",
    "tags_file",
    "reference_genome",
)
STUDY_LENGTHS = {
    "cancer_study_identifier": 255,
    "type_of_cancer": 63,
    "name": 255,
    "short_name": 64,
    "description": 1024,
}
GENOME_BUILDS = {"hg19": "GRCh37", "hg38": "GRCh38", "mm10": "GRCm38"}
RESOURCE_FIELDS = ("cancer_study_identifier", "resource_type", "data_filename")
RESOURCE_TYPES = ("DEFINITION", "SAMPLE", "PATIENT", "STUDY")
CASE_LIST_REQUIRED = (
    "cancer_study_identifier",
    "stable_id",
    "case_list_name",
    "case_list_description",
    "case_list_ids",
)
CASE_LIST_CATEGORIES = (
    "all_cases_in_study",
    "all_cases_with_mutation_data",
    "all_cases_with_cna_data",
    "all_cases_with_log2_cna_data",
    "all_cases_with_methylation_data",
    "all_cases_with_mrna_array_data",
    "all_cases_with_mrna_rnaseq_data",
    "all_cases_with_rppa_data",
    "all_cases_with_microrna_data",
    "all_cases_with_mutation_and_cna_data",
    "all_cases_with_mutation_and_cna_and_mrna_data",
    "all_cases_with_gsva_data",
    "all_cases_with_sv_data",
    "other",
)
CLINICAL_MISSING = frozenset(
    {
        "",
        "na",
        "[not applicable]",
        "[not available]",
        "[pending]",
        "[discrepancy]",
        "[completed]",
        "[null]",
        "[unknown]",
    }
)
DISCRETE_COPY_NUMBERS = ("-2", "-1.5", "-1", "0", "1", "2")
GENE_COLUMNS = ("Hugo_Symbol", "Entrez_Gene_Id")
# Leading columns of a matrix that are not samples.
MATRIX_COLUMNS = (*GENE_COLUMNS, "Composite.Element.REF", "Cytoband", "Locus ID", "Gene Symbol")

_FILE = ("cancer_study_identifier", "genetic_alteration_type", "datatype", "data_filename")
_PROFILE = (
    *_FILE,
    "stable_id",
    "show_profile_in_analysis_tab",
    "profile_name",
    "profile_description",
)
_SCORES = ("source_stable_id", "geneset_def_version")
_DISCRETE = ("gistic", "cna", "cna_rae", "cna_consensus")
_MRNA = (
    "mrna",
    "mrna_U133",
    "rna_seq_mrna",
    "rna_seq_v2_mrna",
    "rna_seq_mrna_capture",
    "mirna",
    "mrna_seq_cpm",
    "mrna_seq_tpm",
    "mrna_seq_fpkm",
    "mrna_seq_fpkm_capture",
    "mrna_seq_fpkm_polya",
    "mrna_seq_rpkm",
    "mrna_seq_v2_rsem",
)
_MRNA_SCORE = re.compile(
    rf"(({'|'.join(_MRNA)}|mrna_merged)"
    r"(_median)?(_all_sample|_normals?|_diploid)?(_ref_normal)?_Zscores|mrna_zbynorm)"
)


@dataclass(frozen=True)
class FileKind:
    """One combination of alteration type and datatype.

    Attributes
    ----------
    name
        The kind, which says how the data file is checked.
    required, optional
        Fields of its meta file.
    stable_ids
        Those allowed; empty: any, or as ``stable_pattern`` says.
    stable_pattern
        What a stable id must look like where there are too many to list.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    stable_ids: tuple[str, ...] = ()
    stable_pattern: re.Pattern[str] | None = None

    def allows(self, stable_id: str) -> bool:
        """Return whether a profile of this kind may have this stable id."""
        if self.stable_pattern is not None:
            return self.stable_pattern.fullmatch(stable_id) is not None
        return not self.stable_ids or stable_id in self.stable_ids


def _matrix(stable_ids: tuple[str, ...], *optional: str) -> FileKind:
    return FileKind("matrix", _PROFILE, ("gene_panel", *optional), stable_ids)


def _generic() -> FileKind:
    required = (*_PROFILE, "generic_assay_type", "generic_entity_meta_properties")
    shown = ("pivot_threshold_value", "value_sort_order", "patient_level", "gene_panel")
    pattern = re.compile(r"[A-Za-z0-9_-]+")
    return FileKind("generic", required, shown, stable_pattern=pattern)


_CALLS = (
    "normal_samples_list",
    "swissprot_identifier",
    "gene_panel",
    "variant_classification_filter",
    "namespaces",
)
KINDS: dict[tuple[str, str], FileKind] = {
    ("CANCER_TYPE", "CANCER_TYPE"): FileKind(
        "cancer_type", _FILE[1:], ("cancer_study_identifier",)
    ),
    ("CLINICAL", "PATIENT_ATTRIBUTES"): FileKind("patients", _FILE),
    ("CLINICAL", "SAMPLE_ATTRIBUTES"): FileKind("samples", _FILE),
    ("CLINICAL", "TIMELINE"): FileKind("timeline", _FILE),
    ("COPY_NUMBER_ALTERATION", "DISCRETE"): FileKind(
        "discrete", _PROFILE, ("gene_panel", "pd_annotations_filename"), _DISCRETE
    ),
    ("COPY_NUMBER_ALTERATION", "DISCRETE_LONG"): FileKind(
        "discrete_long", _PROFILE, ("gene_panel", "namespaces"), _DISCRETE
    ),
    ("COPY_NUMBER_ALTERATION", "CONTINUOUS"): _matrix(("linear_CNA",)),
    ("COPY_NUMBER_ALTERATION", "LOG2-VALUE"): _matrix(("log2CNA",)),
    ("COPY_NUMBER_ALTERATION", "SEG"): FileKind(
        "segments", (*_FILE, "reference_genome_id", "description")
    ),
    ("MRNA_EXPRESSION", "CONTINUOUS"): _matrix(_MRNA, "source_stable_id"),
    ("MRNA_EXPRESSION", "DISCRETE"): _matrix(("mrna_outliers",), "source_stable_id"),
    ("MRNA_EXPRESSION", "Z-SCORE"): FileKind(
        "matrix", _PROFILE, ("gene_panel", "source_stable_id"), stable_pattern=_MRNA_SCORE
    ),
    ("METHYLATION", "CONTINUOUS"): _matrix(
        ("methylation_hm27", "methylation_hm450", "methylation_epic")
    ),
    ("PROTEIN_LEVEL", "LOG2-VALUE"): _matrix(("rppa", "protein_quantification")),
    ("PROTEIN_LEVEL", "CONTINUOUS"): _matrix(("rppa", "protein_quantification")),
    ("PROTEIN_LEVEL", "Z-SCORE"): _matrix(
        ("rppa_Zscores", "protein_quantification_Zscores", "protein_quantification_zscores")
    ),
    ("MUTATION_EXTENDED", "MAF"): FileKind("mutations", _PROFILE, _CALLS, ("mutations",)),
    ("MUTATION_UNCALLED", "MAF"): FileKind("mutations", _PROFILE, _CALLS, ("mutations_uncalled",)),
    ("STRUCTURAL_VARIANT", "SV"): FileKind(
        "structural", _PROFILE, ("gene_panel", "namespaces"), ("structural_variants",)
    ),
    ("GISTIC_GENES_AMP", "Q-VALUE"): FileKind("gistic", (*_FILE, "reference_genome_id")),
    ("GISTIC_GENES_DEL", "Q-VALUE"): FileKind("gistic", (*_FILE, "reference_genome_id")),
    ("MUTSIG", "Q-VALUE"): FileKind("significance", _FILE),
    ("GENE_PANEL_MATRIX", "GENE_PANEL_MATRIX"): FileKind("panels", _FILE),
    ("GENESET_SCORE", "GSVA-SCORE"): FileKind("geneset_scores", (*_PROFILE, *_SCORES)),
    ("GENESET_SCORE", "P-VALUE"): FileKind(
        "geneset_p_values",
        tuple(f for f in (*_PROFILE, *_SCORES) if f != "show_profile_in_analysis_tab"),
        ("show_profile_in_analysis_tab",),
    ),
    ("GENERIC_ASSAY", "LIMIT-VALUE"): _generic(),
    ("GENERIC_ASSAY", "CATEGORICAL"): _generic(),
    ("GENERIC_ASSAY", "BINARY"): _generic(),
}
# Length of each chromosome [base pair]; Genome Reference Consortium.
_AUTOSOMES = {
    "GRCh37": (
        249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022,
        141213431, 135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753,
        81195210, 78077248, 59128983, 63025520, 48129895, 51304566,
    ),
    "GRCh38": (
        248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636,
        138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345,
        83257441, 80373285, 58617616, 64444167, 46709983, 50818468,
    ),
}  # fmt: skip
_SEX_CHROMOSOMES = {"GRCh37": (155270560, 59373566), "GRCh38": (156040895, 57227415)}


def chromosome_lengths(build: str) -> dict[str, int]:
    """Return the length of each chromosome [base pair] by its name; nothing where not known.

    Examples
    --------
    >>> chromosome_lengths("GRCh37")["21"]
    48129895
    """
    if build not in _AUTOSOMES:
        return {}
    lengths = {str(n): each for n, each in enumerate(_AUTOSOMES[build], start=1)}
    for names, length in zip((("X", "23"), ("Y", "24")), _SEX_CHROMOSOMES[build], strict=True):
        lengths |= dict.fromkeys(names, length)
    return lengths
