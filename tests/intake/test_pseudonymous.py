"""Tables name nobody by an identifier, and everything else is as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import load
from omics_twin.errors import IntakeError
from omics_twin.intake.pseudonymous import pseudonymous
from omics_twin.intake.tables import Tables, read_tables
from omics_twin.trust.consent import Purpose, permit
from omics_twin.trust.privacy import Pseudonyms
from tests.conftest import SmallRun

NAMES = Pseudonyms(bytes(range(32)), window_days=30)


@pytest.fixture(scope="module")
def tables(small_run: SmallRun) -> Tables:
    config = load("rank", ["cohort=synthetic", f"synthetic_root={small_run.trial}"])
    return read_tables(config.cohort)


def test_a_cohort_of_pseudonyms_holds_the_same(tables: Tables) -> None:
    plain, called = (
        build_cohort(each, permit(each.patient_ids, ledger=None, purpose=Purpose.TRAINING))
        for each in (tables, pseudonymous(tables, NAMES))
    )
    assert called.patient_ids == tuple(map(NAMES.of, plain.patient_ids))
    for name, part in plain.measurements.mod.items():
        other = called.measurements.mod[name]
        assert list(other.obs_names) == [NAMES.of(each) for each in part.obs_names]
        assert np.array_equal(other.X, part.X, equal_nan=True)
    assert called.received is not None
    assert plain.received is not None
    assert list(called.received) == list(plain.received)
    assert not any("SYN" in str(each) for each in called.strata.index)


def test_enrolment_moves_by_as_much_as_every_other_date(tables: Tables) -> None:
    moved = pd.to_numeric(pseudonymous(tables, NAMES).groups["enrolled"]).to_numpy()
    before = pd.to_numeric(tables.groups["enrolled"]).to_numpy()
    shifts = [NAMES.shift_days(each) for each in tables.patient_ids]
    assert np.allclose(moved - before, shifts)


def test_one_patient_under_two_names_is_refused(tables: Tables) -> None:
    ids = ("SYN0000001", NAMES.of("SYN0000001"), *tables.patient_ids[2:])
    twice = Tables(**{**vars(tables), "patient_ids": ids})
    with pytest.raises(IntakeError, match="called the same"):
        pseudonymous(twice, NAMES)


def test_a_column_of_prose_is_refused(small_run: SmallRun, tmp_path: Path) -> None:
    for path in small_run.trial.glob("*.parquet"):
        table = pd.read_parquet(path)
        if path.name == "clinical.parquet":
            table["ward"] = "she came in on Monday and said that it hurts at night"
        table.to_parquet(tmp_path / path.name)
    asked = ["cohort=synthetic", f"cohort.root={tmp_path}", "cohort.name=x"]
    ward = "cohort.modalities.clinical.columns.ward={kind:CATEGORY}"
    with pytest.raises(Exception, match="expected the levels of a vocabulary"):
        read_tables(load("rank", [*asked, ward]).cohort)
