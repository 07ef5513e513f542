"""The real cohorts are read as declared, when OMICS_TWIN_DATA says where they are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.intake.declaration import CohortDeclaration
from omics_twin.intake.tables import read_tables
from omics_twin.trust.consent import permit

CONF = Path(__file__).parents[2] / "conf" / "cohort"


def declaration(name: str, data_root: str) -> CohortDeclaration:
    parent = OmegaConf.create({"data_root": data_root, "cohort": {}})
    schema = OmegaConf.structured(CohortDeclaration)
    parent.cohort = OmegaConf.merge(schema, OmegaConf.load(CONF / f"{name}.yaml"))
    return OmegaConf.to_object(parent.cohort)


@pytest.fixture
def cohort(request: pytest.FixtureRequest) -> Cohort:
    root = os.environ.get("OMICS_TWIN_DATA")
    if not root:
        pytest.skip("OMICS_TWIN_DATA is not set: real cohorts not read")
    tables = read_tables(declaration(request.param, root))
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))


@pytest.mark.parametrize("name", ["ispy2", "transneo", "oak"])
def test_every_declaration_fits_its_schema_and_names_its_sources(name: str) -> None:
    read = declaration(name, "somewhere")
    assert read.root == f"somewhere/{name}"
    assert all(source.terms and source.citation for source in read.sources)
    assert read.sources


@pytest.mark.parametrize("cohort", ["ispy2"], indirect=True)
def test_ispy2_has_883_patients_and_344_with_four_mri_visits(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 883
    assert not cohort.left_out
    for day in (0, 21, 84, 168):
        assert cohort.measurements[f"mri@{day}"].n_obs == 344
    assert cohort.measurements["expression"].n_vars == 23
    assert cohort.measurements["phosphoprotein"].n_vars == 4
    assert cohort.received is not None
    assert cohort.received.nunique() == 10
    assert np.mean(cohort.outcomes["pcr"].values) == pytest.approx(0.32, abs=0.005)
    assert len(cohort.strata.drop_duplicates()) == 8
    assert not cohort.groups["site"].str.endswith(" ").any()
    assert not any("unknown level" in note for note in cohort.notes)


@pytest.mark.parametrize("cohort", ["transneo"], indirect=True)
def test_transneo_has_147_patients_in_four_combinations(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 147
    assert cohort.received is not None
    assert set(cohort.received) == {
        "taxane",
        "taxane + anthracycline",
        "taxane + anti-HER2",
        "taxane + anthracycline + anti-HER2",
    }
    assert np.isfinite(cohort.outcomes["rcb_score"].values).all()
    assert cohort.measurements["transcriptomics"].n_vars == 40


@pytest.mark.parametrize("cohort", ["oak"], indirect=True)
def test_oak_has_850_patients_of_whom_642_were_sequenced(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 850
    assert cohort.measurements["genomics"].n_obs == 642
    assert cohort.outcomes["os"].events is not None
    assert cohort.outcomes["os"].events.sum() == 569
    assert cohort.outcomes["os"].unit == "day"
    assert np.isnan(cohort.outcomes["response"].values).sum() == 104


@pytest.mark.parametrize("cohort", ["tcga"], indirect=True)
def test_a_cancer_of_tcga_is_read_with_its_folds(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 373
    assert set(cohort.measurements.mod) == {"clinical", "expression", "copy_number", "mutations"}
    assert sorted(cohort.groups["fold"].unique()) == ["0", "1", "2", "3", "4"]
    assert cohort.outcomes["os"].events is not None
    assert cohort.outcomes["os"].events.sum() == 169


@pytest.mark.parametrize("cohort", ["imvigor210"], indirect=True)
def test_imvigor210_joins_clinic_panel_and_expression(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 347
    assert np.isfinite(cohort.outcomes["response"].values).sum() == 298
    assert cohort.measurements["known_mutations"].n_obs == 274
    assert cohort.measurements["expression"].n_obs == 194
    assert any("only the first row was read of patients 'P10285'" in each for each in cohort.notes)


@pytest.mark.parametrize("cohort", ["loris"], indirect=True)
def test_loris_has_964_patients_of_whom_282_responded(cohort: Cohort) -> None:
    assert len(cohort.patient_ids) == 964
    assert cohort.outcomes["response"].values.sum() == 282
