"""Volumes of real xenografts, when OMICS_TWIN_DATA says where they are."""

from __future__ import annotations

import os

import pytest

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import load
from omics_twin.intake.tables import read_tables
from omics_twin.report.console import Console
from omics_twin.trust.consent import permit
from omics_twin.visits.dose_groups import cross_validated, dosed_of, held_out_of, judged


def test_a_dose_group_never_seen_is_forecast_better_than_by_any_baseline() -> None:
    if not os.environ.get("OMICS_TWIN_DATA"):
        pytest.skip("OMICS_TWIN_DATA is not set: real cohorts not read")
    asked = ["experiment=xenograft", "split.only=[medium]", "dynamics.iterations=30"]
    config = load("train", asked)
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    dosed, plasma = (dosed_of(cohort, name) for name in ("tumour", "plasma"))
    held_out = held_out_of(dosed, config)
    assert (held_out == 0).sum() == 8
    found = judged(
        cross_validated(dosed, plasma, held_out, config, Console(quiet=True)), dosed, held_out
    )
    score = found["model"]["crps_cm3"]["mean"]
    assert all(score < each["crps_cm3"]["mean"] for each in found["baselines"].values())
    assert found["model"]["interval_90_holds"]["mean"] > 0.8
