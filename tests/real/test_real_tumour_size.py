"""Scans of four real trials, when OMICS_TWIN_DATA says where they are."""

from __future__ import annotations

import os

import numpy as np
import pytest

from omics_twin.answers.beliefs import received_of
from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import load
from omics_twin.intake.tables import read_tables
from omics_twin.report.console import Console
from omics_twin.tensors.history import histories_of
from omics_twin.trust.consent import permit
from omics_twin.visits.progression import cross_validated, judged


def test_the_next_scan_is_forecast_better_than_by_any_baseline() -> None:
    if not os.environ.get("OMICS_TWIN_DATA"):
        pytest.skip("OMICS_TWIN_DATA is not set: real cohorts not read")
    config = load("train", ["experiment=tumour_size"])
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    histories = histories_of(cohort, "tumour")
    assert histories.visits.sum() == 4426
    held_out = np.random.default_rng(0).permutation(len(cohort.patient_ids)) % 3
    received = received_of(cohort)
    forecasts = cross_validated(histories, received, held_out, config, Console(quiet=True))
    found = judged(forecasts, held_out)
    score = found["model"]["crps_mm"]["mean"]
    assert all(score < each["crps_mm"]["mean"] for each in found["baselines"].values())
    assert 0.88 < found["model"]["interval_90_holds"]["mean"] < 0.92
    by_scans = found["by_scans_known"]
    assert by_scans["4"]["omics_twin"] < by_scans["2"]["omics_twin"] < by_scans["1"]["omics_twin"]
