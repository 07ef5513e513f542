"""What a call does to the protein is known by any of the names in use."""

from __future__ import annotations

import pytest

from omics_twin.intake.consequences import CLASSES, consequence_of
from omics_twin.intake.maf import CLASSIFICATIONS
from omics_twin.intake.vcf_calls import PROTEIN_CHANGING


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ("Frame_Shift_Del", "truncating"),
        ("NONSENSE_MUTATION", "truncating"),
        ("splice_donor_variant", "splice"),
        ("In_Frame_Ins", "inframe"),
        ("missense", "missense"),
        ("Silent", "silent"),
        ("5'UTR", "other"),
        ("missense_variant&splice_region_variant", "missense"),
        ("splice_acceptor_variant,frameshift_variant", "truncating"),
        ("a_new_name", None),
    ],
)
def test_an_effect_has_a_class(effect: str, expected: str | None) -> None:
    assert consequence_of(effect) == expected


@pytest.mark.parametrize("effect", [*CLASSIFICATIONS, *sorted(PROTEIN_CHANGING)])
def test_every_effect_of_a_maf_and_a_vcf_has_one(effect: str) -> None:
    assert consequence_of(effect) in CLASSES


def test_a_cohort_can_mean_it_otherwise() -> None:
    assert consequence_of("Splice_Site", {"Splice_Site": "truncating"}) == "truncating"
