"""Do a call's position, variant type and alleles say the same? What contradicts is noted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from omics_twin.intake.cbioportal_text import is_whole

_ALLELES = ("Reference_Allele", "Tumor_Seq_Allele1", "Tumor_Seq_Allele2")
ALLELE_COLUMNS = (
    *_ALLELES,
    "Start_Position",
    "End_Position",
    "Variant_Type",
    "Validation_Status",
    "Mutation_Status",
    *(f"{who}_Validation_Allele{n}" for who in ("Tumor", "Match_Norm") for n in (1, 2)),
)
_NUCLEOTIDES = re.compile(r"[ACGTNacgtn]+|-", re.ASCII)
_ABSENT = frozenset({"", "na", "nan", "null", "."})
_LENGTHS = {"SNP": 1, "DNP": 2, "TNP": 3}


def check_alleles(
    values: Mapping[str, str], error: Callable[[str], None], warning: Callable[[str], None]
) -> None:
    """Note where the columns of one call contradict each other.

    Parameters
    ----------
    values
        Cell of each of ``ALLELE_COLUMNS``, empty where there is none.
    error, warning
        Note a sentence about the call.
    """
    start, end = values["Start_Position"], values["End_Position"]
    known = is_whole(start) and is_whole(end)
    _check_validation(values, warning)
    if known and int(start) > int(end):
        error(f"Start_Position {start} lies behind End_Position {end}: swap or correct them")
    alleles = {name: values[name] for name in _ALLELES}
    for name, found in alleles.items():
        if found.lower() not in _ABSENT and not _NUCLEOTIDES.fullmatch(found):
            error(f"{name} is '{found}', expected nucleotides A, C, G, T, or '-'")
            return
    reference, first, second = (a if a.lower() not in _ABSENT else "" for a in alleles.values())
    variant = values["Variant_Type"]
    if not reference or not second:
        return
    if reference == second and first in ("", reference):
        warning(f"Reference_Allele and both Tumor_Seq_Alleles are '{reference}': nothing changed")
    elif variant in _LENGTHS or variant == "ONP":
        _check_substitution(variant, reference, first, second, warning)
    elif variant in ("INS", "DEL"):
        _check_indel(variant, reference, first, second, warning)
    if known and variant in ("INS", "DEL"):
        _check_span(variant, int(end) - int(start), reference, warning)


def _check_substitution(
    variant: str, reference: str, first: str, second: str, warning: Callable[[str], None]
) -> None:
    lengths = {len(each) for each in (reference, first, second) if each}
    dash = "-" in (reference, first, second)
    expected = f"{_LENGTHS[variant]}" if variant in _LENGTHS else "equal and more than 3"
    right = lengths == {_LENGTHS[variant]} if variant in _LENGTHS else min(lengths) > 3
    if dash or len(lengths) > 1 or not right:
        warning(
            f"Variant_Type is {variant}, but the alleles '{reference}', '{first}' and '{second}' "
            f"do not have {expected} nucleotides each"
        )


def _check_indel(
    variant: str, reference: str, first: str, second: str, warning: Callable[[str], None]
) -> None:
    dashes = "-" in (first, second)
    longest = max(len(each.replace("-", "")) for each in (first, second))
    length = len(reference.replace("-", ""))
    if variant == "DEL" and not dashes and longest >= length:
        warning(
            f"Variant_Type is DEL, but no Tumor_Seq_Allele is '-' or shorter than '{reference}'"
        )
    if variant == "INS" and reference != "-" and longest <= length:
        warning(f"Variant_Type is INS, but no Tumor_Seq_Allele is longer than '{reference}'")


def _check_span(variant: str, span: int, reference: str, warning: Callable[[str], None]) -> None:
    if variant == "INS" and reference == "-" and span != 1:
        warning("Variant_Type is INS, but End_Position is not one more than Start_Position")
    deleted = len(reference.replace("-", ""))
    if variant == "DEL" and deleted and span + 1 != deleted:
        warning(
            f"Variant_Type is DEL, but the positions span {span + 1} and Reference_Allele has "
            f"{deleted} nucleotides"
        )


def _check_validation(values: Mapping[str, str], warning: Callable[[str], None]) -> None:
    """Note a validated call whose validation alleles are absent or say otherwise (MAF 2.4)."""
    status = values["Validation_Status"].lower()
    if status not in ("valid", "invalid"):
        return
    tumour = [values[f"Tumor_Validation_Allele{n}"] for n in (1, 2)]
    normal = [values[f"Match_Norm_Validation_Allele{n}"] for n in (1, 2)]
    if any(each.lower() in _ABSENT for each in (*tumour, *normal)):
        warning(f"Validation_Status is {status}, but a validation allele is empty")
        return
    reference, origin = values["Reference_Allele"], values["Mutation_Status"].lower()
    if status == "invalid" and tumour != normal:
        warning(
            "Validation_Status is invalid, but the validation alleles of tumour and normal differ"
        )
    elif status == "valid" and origin == "germline" and tumour != normal:
        warning(
            "Mutation_Status is germline, but the validation alleles of tumour and normal differ"
        )
    elif (
        status == "valid"
        and origin == "somatic"
        and (set(normal) != {reference} or set(tumour) == {reference})
    ):
        warning("Mutation_Status is somatic, but the validation alleles do not show it")
