"""What does a mutation do to the protein? Names of effects, in six classes.

Names are those of mutation annotation files (MAF), of the Sequence Ontology as VEP and SnpEff
write them, and the plain words that tables use.

References
----------
McLaren et al. 2016, The Ensembl Variant Effect Predictor (doi:10.1186/s13059-016-0974-4); Mayakonda
et al. 2018, Maftools (doi:10.1101/gr.239244.118).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRUNCATING = "truncating"
OTHER = "other"
# Beside the effects of calls: the gene could not be read in the patient.
NOT_CALLED = "not_called"
# From the gravest: of several effects on one call, the first of these is meant.
CLASSES = (TRUNCATING, "splice", "inframe", "missense", "silent", OTHER)

_EFFECTS = {
    TRUNCATING: """Frame_Shift_Del Frame_Shift_Ins Nonsense_Mutation De_novo_Start_OutOfFrame
        Translation_Start_Site frameshift_variant stop_gained start_lost transcript_ablation
        frameshift nonsense truncating""",
    "splice": """Splice_Site splice_acceptor_variant splice_donor_variant splice splice_site""",
    "inframe": """In_Frame_Del In_Frame_Ins De_novo_Start_InFrame inframe_insertion
        inframe_deletion conservative_inframe_insertion conservative_inframe_deletion
        disruptive_inframe_insertion disruptive_inframe_deletion inframe""",
    "missense": "Missense_Mutation missense_variant missense",
    "silent": """Silent synonymous_variant stop_retained_variant start_retained_variant
        synonymous""",
    OTHER: """Nonstop_Mutation stop_lost protein_altering_variant Splice_Region
        splice_region_variant 3'UTR 3'Flank 5'UTR 5'Flank IGR Intron RNA Targeted_Region Unknown
        Promoter intron_variant intergenic_variant upstream_gene_variant downstream_gene_variant
        3_prime_UTR_variant 5_prime_UTR_variant non_coding_transcript_exon_variant
        coding_sequence_variant transcript_amplification other""",
}
_CLASS_OF = {name.lower(): each for each, names in _EFFECTS.items() for name in names.split()}
_SEVERAL = re.compile(r"[&,;]")


def consequence_of(effect: str, declared: Mapping[str, str] | None = None) -> str | None:
    """Return the class of an effect, ``None`` where it is not known.

    Parameters
    ----------
    effect
        A name, or several joined by ``&``, of which the gravest class is meant; upper and lower
        case are one.
    declared
        Effect -> class; goes before the names known here.

    Examples
    --------
    >>> consequence_of("Nonsense_Mutation"), consequence_of("missense_variant&stop_gained")
    ('truncating', 'truncating')
    >>> consequence_of("Splice_Site", {"Splice_Site": "truncating"})
    'truncating'
    """
    if declared and effect in declared:
        return declared[effect]
    found = {_CLASS_OF.get(each.strip().lower()) for each in _SEVERAL.split(effect)}
    return next((each for each in CLASSES if each in found), None)
