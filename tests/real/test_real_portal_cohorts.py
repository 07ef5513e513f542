"""Studies in cBioPortal's format become cohorts, when OMICS_TWIN_DATA says where they are."""

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


def cohort_of(name: str, root: Path) -> Cohort:
    if not root.is_dir():
        pytest.skip(f"{root.name} is not there: OMICS_TWIN_DATA is not set or lacks it")
    loaded = OmegaConf.load(CONF / f"{name}.yaml")
    loaded["root"] = str(root)
    schema = OmegaConf.structured(CohortDeclaration)
    tables = read_tables(OmegaConf.to_object(OmegaConf.merge(schema, loaded)))
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))


@pytest.fixture
def data() -> Path:
    return Path(os.environ.get("OMICS_TWIN_DATA") or "not set")


def test_metabric_has_2509_patients_of_whom_1980_have_survival(data: Path) -> None:
    cohort = cohort_of("metabric", data / "metabric_cbioportal")
    assert len(cohort.patient_ids) == 2509
    survival = cohort.outcomes["os"]
    assert np.isfinite(survival.values).sum() == 1980
    assert survival.events is not None
    assert survival.events.sum() == 1143
    clinical = cohort.measurements["clinical"]
    # Without the 529 patients of whom nothing but the sample's type is known.
    assert clinical.n_obs == 1980
    assert clinical.uns["categories"] == [
        "INTCLUST",
        "CELLULARITY",
        "CLAUDIN_SUBTYPE",
        "HISTOLOGICAL_SUBTYPE",
    ]
    assert "CHEMOTHERAPY" not in clinical.var_names
    calls = cohort.measurements["mutations"]
    assert calls.n_vars == 173 + 1
    assert not np.isnan(calls.X).any()
    assert np.nanmean(calls[:, "PIK3CA"].X) == pytest.approx(0.395, abs=0.03)
    assert not any("unknown level" in note for note in cohort.notes)


def test_the_portals_own_study_is_a_cohort(data: Path) -> None:
    cohort = cohort_of("cbioportal", data.parent / "corpora" / "cbioportal" / "study_es_0")
    assert len(cohort.patient_ids) + len(cohort.left_out) == 841
    assert cohort.measurements["copy_number"].n_vars == 8
    calls = cohort.measurements["mutations"]
    patient = calls["TCGA-A1-A0SB"].to_df().iloc[0]
    # On TESTPANEL1, which lists TP53 and not PIEZO1.
    assert patient["BRCA2"] in (0.0, 1.0)
    assert np.isnan(patient["FGFR3"])
