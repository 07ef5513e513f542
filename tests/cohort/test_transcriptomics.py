"""Read counts are normalised within each patient and fit nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.transcriptomics import normalise_counts
from omics_twin.errors import CohortError
from omics_twin.intake.channels import Channel
from omics_twin.intake.declaration import ColumnDeclaration

COUNTS = np.array([[10.0, 30.0, 60.0], [0.0, 5.0, 5.0]])


def channel(counts: np.ndarray, patients: tuple[str, ...] = ("a", "b")) -> Channel:
    index = pd.Index(patients, name="patient_id")
    values = pd.DataFrame(counts, index=index, columns=["G1", "G2", "G3"])
    values["age"] = 50.0
    columns = {gene: ColumnDeclaration(unit="counts", log=True) for gene in ("G1", "G2", "G3")}
    columns["age"] = ColumnDeclaration(unit="year")
    return Channel("rna", "rna", 0.0, values, columns, pd.Series(0.0, index=index))


def test_counts_become_log_counts_per_million() -> None:
    answer = normalise_counts(channel(COUNTS))
    expected = np.log1p(COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e6)
    np.testing.assert_allclose(answer.values[["G1", "G2", "G3"]], expected, rtol=1e-6)
    assert (answer.columns["G1"].unit, answer.columns["G1"].log) == ("log1p_cpm", False)
    assert answer.values["age"].tolist() == [50.0, 50.0]
    assert answer.columns["age"].unit == "year"


def test_a_patient_alone_gets_the_same_numbers() -> None:
    together = normalise_counts(channel(COUNTS)).values.loc["b"]
    alone = normalise_counts(channel(COUNTS[1:], ("b",))).values.loc["b"]
    np.testing.assert_array_equal(together, alone)


def test_the_counts_given_are_not_changed() -> None:
    given = channel(COUNTS.copy())
    normalise_counts(given)
    np.testing.assert_array_equal(given.values[["G1", "G2", "G3"]], COUNTS)


def test_a_patient_without_counts_stays_not_measured() -> None:
    counts = COUNTS.copy()
    counts[0] = np.nan
    answer = normalise_counts(channel(counts)).values
    assert answer.loc["a", ["G1", "G2", "G3"]].isna().all()
    assert answer.loc["b", "G2"] > 0


def test_other_channels_are_returned_as_they_are() -> None:
    given = channel(COUNTS)
    given = replace(given, columns=dict.fromkeys(given.columns, ColumnDeclaration()))
    assert normalise_counts(given) is given


@pytest.mark.parametrize(
    ("row", "fragment"),
    [
        ([1.0, np.nan, 2.0], "patients 'a' have only part of the read counts"),
        ([1.0, -1.0, 2.0], "patients 'a' have a negative read count"),
        ([0.0, 0.0, 0.0], "patients 'a' have no read at all"),
    ],
)
def test_impossible_counts_are_refused_by_patient(row: list[float], fragment: str) -> None:
    with pytest.raises(CohortError, match=fragment):
        normalise_counts(channel(np.array([row, COUNTS[1]])))
