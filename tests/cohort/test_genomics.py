"""Mutation calls become one row per assayed patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.genomics import mutation_matrix
from omics_twin.errors import CohortError
from omics_twin.intake.channels import Variants
from omics_twin.intake.declaration import Kind


def calls(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["patient_id", "gene", "fraction"])


def test_an_assayed_patient_without_a_call_is_wild_type() -> None:
    found = calls(("a", "TP53", 0.2), ("a", "TP53", 0.4), ("c", "KRAS", 0.1))
    channel = mutation_matrix(Variants("genomics", ("a", "b", "c"), found, True, 0.1))
    expected = pd.DataFrame(
        {
            "KRAS": [0.0, 0.0, 1.0],
            "TP53": [1.0, 0.0, 0.0],
            "mutation_count": [2.0, 0.0, 1.0],
            "highest_allele_fraction": [0.4, np.nan, 0.1],
        },
        index=pd.Index(["a", "b", "c"], name="patient_id"),
    )
    pd.testing.assert_frame_equal(channel.values, expected)
    assert channel.columns["KRAS"].kind is Kind.BINARY
    assert channel.columns["mutation_count"].unit == "count"


def test_a_gene_off_a_patients_panel_is_not_measured() -> None:
    found = calls(("a", "TP53", 0.2), ("b", "KRAS", 0.1), ("b", "EGFR", 0.1))
    panels = {"broad": ("TP53", "KRAS", "MET"), "narrow": ("KRAS",)}
    on = {"a": "broad", "b": "narrow"}
    channel = mutation_matrix(Variants("g", ("a", "b", "c"), found, False, 0.0, on, panels))
    expected = pd.DataFrame(
        {
            "EGFR": [np.nan, 1.0, 0.0],
            "KRAS": [0.0, 1.0, 0.0],
            "MET": [0.0, np.nan, 0.0],
            "TP53": [1.0, np.nan, 0.0],
            "mutation_count": [1.0, 2.0, 0.0],
        },
        index=pd.Index(["a", "b", "c"], name="patient_id"),
    )
    pd.testing.assert_frame_equal(channel.values, expected)
    assert np.isnan(channel.absent_value)


def test_patients_without_any_call_are_still_measured() -> None:
    channel = mutation_matrix(Variants("genomics", ("a", "b"), calls(), False, 0.0))
    assert channel.values["mutation_count"].tolist() == [0.0, 0.0]
    assert list(channel.columns) == ["mutation_count"]


def test_a_gene_with_the_name_of_an_added_feature_is_refused() -> None:
    with pytest.raises(CohortError, match="genes named 'mutation_count'"):
        mutation_matrix(Variants("g", ("a",), calls(("a", "mutation_count", 0.1)), False, 0.0))


def told_apart(*rows: tuple[str, str, str]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["patient_id", "gene", "consequence"])
    return found.assign(fraction=np.nan)


def test_truncated_genes_are_told_apart_and_each_class_is_counted() -> None:
    found = told_apart(
        ("a", "TP53", "truncating"),
        ("a", "TP53", "missense"),
        ("c", "TP53", "missense"),
        ("c", "KRAS", "missense"),
    )
    classes = ("truncating", "splice", "missense")
    channel = mutation_matrix(Variants("g", ("a", "b", "c"), found, False, 0.1, classes=classes))
    expected = pd.DataFrame(
        {
            "KRAS": [0.0, 0.0, 1.0],
            "TP53": [1.0, 0.0, 1.0],
            "TP53:truncating": [1.0, 0.0, 0.0],
            "mutation_count": [2.0, 0.0, 2.0],
            "truncating_count": [1.0, 0.0, 0.0],
            "splice_count": [0.0, 0.0, 0.0],
            "missense_count": [1.0, 0.0, 2.0],
        },
        index=pd.Index(["a", "b", "c"], name="patient_id"),
    )
    pd.testing.assert_frame_equal(channel.values, expected)
    assert list(channel.columns) == list(expected)
    assert channel.columns["TP53:truncating"].kind is Kind.BINARY
    assert channel.minimum_frequency == 0.1


def test_a_gene_off_the_panel_is_not_known_to_be_truncated() -> None:
    found = told_apart(("a", "TP53", "truncating"))
    channel = mutation_matrix(
        Variants(
            "g",
            ("a", "b", "c"),
            found,
            False,
            0.0,
            {"a": "broad", "b": "narrow"},
            {"broad": ("TP53", "KRAS"), "narrow": ("KRAS",)},
            classes=("truncating",),
        )
    )
    np.testing.assert_equal(channel.values["TP53:truncating"].to_numpy(), [1.0, np.nan, 0.0])
    np.testing.assert_equal(channel.values["KRAS:truncating"].to_numpy(), [0.0, 0.0, 0.0])


def test_the_burden_is_per_megabase_where_the_size_covered_is_known() -> None:
    found = calls(("a", "TP53", 0.2), ("a", "KRAS", 0.4), ("c", "KRAS", 0.1))
    channel = mutation_matrix(
        Variants("g", ("a", "b", "c"), found, False, 0.0, covered_megabases=0.5)
    )
    assert channel.values["mutations_per_megabase"].tolist() == [4.0, 0.0, 2.0]
    assert channel.columns["mutations_per_megabase"].unit == "1/Mb"
    assert "mutation_count" not in channel.values
