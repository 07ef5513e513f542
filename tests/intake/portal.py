"""A small study in cBioPortal's format, without a mistake, and how one is put into it."""

from __future__ import annotations

from pathlib import Path

STUDY = {
    "meta_study.txt": """type_of_cancer: brca
cancer_study_identifier: small
name: Small
description: A study of four patients
add_global_case_list: true
""",
    "meta_patients.txt": """cancer_study_identifier: small
genetic_alteration_type: CLINICAL
datatype: PATIENT_ATTRIBUTES
data_filename: data_patients.txt
""",
    "data_patients.txt": """#Patient\tAge\tSex\tStatus\tMonths\tFree\tMonths free\tSmoker
#Patient\tAge\tSex\tStatus\tMonths\tFree\tMonths free\tSmoker
#STRING\tNUMBER\tSTRING\tSTRING\tNUMBER\tSTRING\tNUMBER\tBOOLEAN
#1\t1\t1\t1\t1\t1\t1\t1
PATIENT_ID\tAGE\tSEX\tOS_STATUS\tOS_MONTHS\tDFS_STATUS\tDFS_MONTHS\tSMOKER
P1\t50\tFemale\t0:LIVING\t12\t0:DiseaseFree\t12\tTRUE
P2\t61.5\tMale\t1:DECEASED\t6\t1:Recurred/Progressed\t3\tFALSE
P3\tNA\tFemale\t[Not Available]\t\t1:Recurred/Progressed\t[Not Available]\tTRUE
P4\t44\tMale\t0:LIVING\t24\t0:DiseaseFree\t24\tFALSE
""",
    "meta_samples.txt": """cancer_study_identifier: small
genetic_alteration_type: CLINICAL
datatype: SAMPLE_ATTRIBUTES
data_filename: data_samples.txt
""",
    "data_samples.txt": """#Patient\tSample\tKind\tGrade
#Patient\tSample\tKind\tGrade
#STRING\tSTRING\tSTRING\tSTRING
#1\t1\t1\t1
PATIENT_ID\tSAMPLE_ID\tSAMPLE_TYPE\tGRADE
P1\tS1-met\tMetastasis\thigh
P1\tS1\tPrimary\tlow
P2\tS2\tPrimary\thigh
P3\tS3\tPrimary\tlow
P4\tS4\tPrimary\tlow
""",
    "meta_mutations.txt": """cancer_study_identifier: small
genetic_alteration_type: MUTATION_EXTENDED
datatype: MAF
stable_id: mutations
show_profile_in_analysis_tab: true
profile_name: Mutations
profile_description: Panel sequencing
data_filename: data_mutations.txt
swissprot_identifier: name
""",
    "data_mutations.txt": "\t".join(
        (
            "Hugo_Symbol",
            "Entrez_Gene_Id",
            "NCBI_Build",
            "Chromosome",
            "Start_Position",
            "End_Position",
            "Variant_Classification",
            "Variant_Type",
            "Reference_Allele",
            "Tumor_Seq_Allele1",
            "Tumor_Seq_Allele2",
            "Tumor_Sample_Barcode",
            "HGVSp_Short",
            "SWISSPROT",
            "t_alt_count",
            "t_ref_count",
        )
    )
    + "\nTP53\t7157\tGRCh37\t17\t7578253\t7578253\tMissense_Mutation\tSNP\tC\tC\tA\tS1\tp.G199V"
    "\tP53_HUMAN\t20\t80"
    "\nKRAS\t3845\tGRCh37\t12\t25398284\t25398284\tMissense_Mutation\tSNP\tC\tC\tT\tS2\tp.G12D"
    "\tRASK_HUMAN\t30\t30"
    "\nERBB2\t2064\tGRCh37\t17\t37880220\t37880220\tMissense_Mutation\tSNP\tT\tT\tC\tS1-met"
    "\tp.L755S\tERBB2_HUMAN\t30\t30\n",
    "meta_cna.txt": """cancer_study_identifier: small
genetic_alteration_type: COPY_NUMBER_ALTERATION
datatype: DISCRETE
stable_id: gistic
show_profile_in_analysis_tab: true
profile_name: Copy numbers
profile_description: GISTIC
data_filename: data_cna.txt
""",
    "data_cna.txt": """Hugo_Symbol\tEntrez_Gene_Id\tS1\tS2\tS1-met
TP53\t7157\t-1\t0\t-2
ERBB2\t2064\t2\tNA\t0
""",
    "meta_expression.txt": """cancer_study_identifier: small
genetic_alteration_type: MRNA_EXPRESSION
datatype: CONTINUOUS
stable_id: rna_seq_v2_mrna
show_profile_in_analysis_tab: false
profile_name: Expression
profile_description: RSEM
data_filename: data_expression.txt
""",
    "data_expression.txt": """Hugo_Symbol\tEntrez_Gene_Id\tS1\tS2\tS3
TP53\t7157\t1200\t800.5\tNA
ERBB2\t2064\t100\t0\t9000
""",
    "meta_expression_zscores.txt": """cancer_study_identifier: small
genetic_alteration_type: MRNA_EXPRESSION
datatype: Z-SCORE
stable_id: rna_seq_v2_mrna_median_Zscores
show_profile_in_analysis_tab: true
profile_name: Expression, z
profile_description: RSEM, z
data_filename: data_expression_zscores.txt
""",
    "data_expression_zscores.txt": """Hugo_Symbol\tEntrez_Gene_Id\tS1\tS2
TP53\t7157\t1.5\t-0.25
""",
    "meta_panels.txt": """cancer_study_identifier: small
genetic_alteration_type: GENE_PANEL_MATRIX
datatype: GENE_PANEL_MATRIX
data_filename: data_panels.txt
""",
    "data_panels.txt": """SAMPLE_ID\tmutations
S1\tBROAD
S2\tNARROW
S3\tNA
S1-met\tBROAD
""",
    "data_gene_panel_broad.txt": """stable_id: BROAD
description: Three genes
gene_list: TP53\tKRAS\tERBB2
""",
    "data_gene_panel_narrow.txt": """stable_id: NARROW
description: One gene
gene_list: KRAS
""",
    "meta_seg.txt": """cancer_study_identifier: small
genetic_alteration_type: COPY_NUMBER_ALTERATION
datatype: SEG
reference_genome_id: hg19
description: Segments
data_filename: data.seg
""",
    "data.seg": """ID\tchrom\tloc.start\tloc.end\tnum.mark\tseg.mean
S1\t21\t1000\t48129895\t3\t-0.5
""",
    "meta_timeline.txt": """cancer_study_identifier: small
genetic_alteration_type: CLINICAL
datatype: TIMELINE
data_filename: data_timeline.txt
""",
    "data_timeline.txt": """PATIENT_ID\tSTART_DATE\tSTOP_DATE\tEVENT_TYPE\tAGENT
P1\t10\t100\tTREATMENT\tTamoxifen
P2\t5\t\tSTATUS\t
""",
    "case_lists/cases_sequenced.txt": """cancer_study_identifier: small
stable_id: small_sequenced
case_list_name: Sequenced
case_list_description: Sequenced samples
case_list_ids: S1\tS2\tS3\tS1-met
""",
    "case_lists/cases_cna.txt": """cancer_study_identifier: small
stable_id: small_cna
case_list_name: Copy numbers
case_list_description: Samples with copy numbers
case_list_ids: S1\tS2\tS1-met
""",
}


def write_study(root: Path) -> Path:
    """Write the study and return its folder."""
    for name, text in STUDY.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def change(root: Path, file: str, old: str, new: str) -> None:
    """Put a mistake into a file."""
    path = root / file
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"'{old}' is not in {file}")
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
