"""Studies and mutation files that others wrote are judged as they judge them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omics_twin.intake.cbioportal import check_study
from omics_twin.intake.maf import check_maf

REFUSED = {
    "absence_custom_annotation_columns_when_custom_values_columns",
    "absence_custom_values_columns_when_custom_annotation_columns",
    "custom_tiers_column_more_than_50_characters",
    "invalid_utf8",
    "invalid_variant_classification",
    "missing_aa_change_column",
    "more_than_80_characters_in_custom_annotation_columns",
    "not_supported_custom_driver_annotation_values",
    "test_variant_types",
    "too_long_hgvsp_short",
    "wrong_gene_position",
}


@pytest.fixture
def corpora() -> Path:
    root = os.environ.get("OMICS_TWIN_DATA")
    folder = Path(root or ".").parent / "corpora" / "cbioportal"
    if not root or not folder.is_dir():
        pytest.skip("OMICS_TWIN_DATA has no corpora beside it: files of others not checked")
    return folder


def test_the_portals_own_study_passes(corpora: Path) -> None:
    report = check_study(corpora / "study_es_0")
    assert report.errors == ()
    assert report.counted["patients"] == 841


def test_a_folder_that_only_adds_to_a_study_is_not_a_study(corpora: Path) -> None:
    assert (
        "no meta file names a study" in check_study(corpora / "study_es_0_inc").errors[0].sentence
    )


def test_mutation_files_are_refused_by_what_their_names_say(corpora: Path) -> None:
    files = sorted((corpora / "mutations").glob("*.maf"))
    refused = {
        path.stem.removeprefix("data_mutations_") for path in files if check_maf(path).errors
    }
    assert refused == REFUSED


def test_metabric_lacks_two_data_files_and_writes_survival_as_before(corpora: Path) -> None:
    report = check_study(corpora.parents[1] / "data" / "metabric_cbioportal")
    told = [each.sentence for each in report.errors]
    assert sum("is not in the folder" in each for each in told) == 2
    assert any("OS_STATUS is 'LIVING'" in each for each in told)
    assert any("'brca_metabric_mrna' is no profile" in each for each in told)
