"""Every visit of real patients with liver disease, when OMICS_TWIN_DATA says where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import load
from omics_twin.intake.tables import read_tables
from omics_twin.report.console import Console
from omics_twin.trust.consent import permit
from omics_twin.visits import landmark_scores, landmarks, learning


def test_later_visits_foresee_events_better_than_the_first(tmp_path: Path) -> None:
    if not os.environ.get("OMICS_TWIN_DATA"):
        pytest.skip("OMICS_TWIN_DATA is not set: real cohorts not read")
    asked = ["split.repeats=1", "split.folds=2", "trainer.max_epochs=15", "twin.draws=40"]
    config = load("train", ["experiment=pbc2", *asked])
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    console = Console(quiet=True)
    followed = learning.followed_of(cohort, config, console)
    assert int(followed.target[:, 1].sum()) == 169
    held_out = learning.held_out_of(cohort, followed, config)
    twin, plan = learning.fit(followed, held_out, config, tmp_path, console)
    seen = landmarks.foreseen(twin, plan, followed, held_out, config, console)
    found = landmark_scores.judged(seen, {}, followed, held_out, config)
    first = found["baselines"]["first visit alone, ridge_cox"]
    assert found["model"]["c_index"]["mean"] > first["c_index"]["mean"] + 0.03
    assert found["model"]["brier"]["mean"] < first["brier"]["mean"]
