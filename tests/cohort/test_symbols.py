"""Genes are known by their approved symbols, and what was renamed is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omics_twin.cohort.renames import RENAMED
from omics_twin.cohort.symbols import approved, reconcile_calls, reconcile_channel
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.declaration import ColumnDeclaration, Kind


def channel(kind: Kind, aliases: dict[str, str] | None, **values: list[float]) -> Channel:
    frame = pd.DataFrame(values, index=pd.Index(["a", "b", "c"], name="patient_id"))
    columns = {name: ColumnDeclaration(kind=kind) for name in values}
    days = pd.Series(0.0, index=frame.index)
    genes = tuple(name for name in values if name != "purity")
    return Channel("dna", "dna", 0.0, frame, columns, days, genes=genes, aliases=aliases)


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("MLL2", "KMT2D"),
        (" c11orf30", "EMSY"),
        ("C1ORF112", "C1orf112"),
        ("Erbb2", "ERBB2"),
        ("9-Sep", "SEPTIN9"),
        ("Sep-09", "SEPTIN9"),
        ("3-Mar", "MARCHF3"),
        ("1-Dec", "DELEC1"),
        ("2-Mar", "2-Mar"),
        ("31-Dec", "31-Dec"),
        ("HLA-A", "HLA-A"),
        ("TP53_mutation", "TP53_mutation"),
        ("entrez_7157", "entrez_7157"),
        ("NKX2-1", "NKX2-1"),
    ],
)
def test_a_symbol_becomes_the_approved_one(written: str, symbol: str) -> None:
    assert approved(written) == symbol


def test_an_approved_symbol_stays() -> None:
    assert all(approved(symbol) == symbol for symbol in RENAMED.values())
    assert len(set(RENAMED.values())) == len(RENAMED)


def test_the_cohorts_own_aliases_go_first() -> None:
    assert approved("mll2", {"MLL2": "KMT2B"}) == "KMT2B"


def test_nothing_changes_unless_it_is_declared() -> None:
    as_written = channel(Kind.NUMBER, None, mll2=[1.0, 2.0, 3.0])
    assert reconcile_channel(as_written) == (as_written, [])
    calls = pd.DataFrame({"patient_id": ["a"], "gene": ["mll2"], "fraction": [np.nan]})
    variants = Variants("dna", ("a",), calls, False, 0.0)
    assert reconcile_calls(variants) == (variants, [])


def test_only_genes_are_renamed_and_the_number_is_told() -> None:
    found, notes = reconcile_channel(
        channel(Kind.NUMBER, {}, purity=[1.0, 2, 3], mll2=[4.0, 5, 6], TP53=[7.0, 8, 9])
    )
    assert list(found.values) == list(found.columns) == ["purity", "KMT2D", "TP53"]
    assert found.genes == ("KMT2D", "TP53")
    assert found.values["KMT2D"].tolist() == [4.0, 5.0, 6.0]
    assert notes == [
        "modality 'dna': 1 of 2 genes were renamed to approved symbols: 'mll2 to KMT2D'"
    ]


def test_a_binary_gene_of_two_names_is_there_where_either_says_so() -> None:
    nan = np.nan
    found, notes = reconcile_channel(
        channel(Kind.BINARY, {}, MLL2=[1.0, nan, nan], KMT2D=[0.0, 0.0, nan])
    )
    np.testing.assert_equal(found.values["KMT2D"].to_numpy(), [1.0, 0.0, nan])
    assert notes[-1] == "modality 'dna': 'KMT2D' is there where any of 'KMT2D', 'MLL2' is"


def test_of_two_scales_the_column_of_the_approved_name_is_kept() -> None:
    found, notes = reconcile_channel(
        channel(Kind.NUMBER, {}, MLL2=[1.0, 2.0, 3.0], KMT2D=[4.0, 5.0, np.nan])
    )
    np.testing.assert_equal(found.values["KMT2D"].to_numpy(), [4.0, 5.0, np.nan])
    assert notes[-1] == "modality 'dna': 'KMT2D' is column 'KMT2D', not used: 'MLL2'"


def test_a_date_that_may_be_either_of_two_genes_is_told() -> None:
    _, notes = reconcile_channel(channel(Kind.NUMBER, {}, **{"1-Mar": [1.0, 2.0, 3.0]}))
    assert len(notes) == 1
    assert "'1-Mar' are dates that a spreadsheet made" in notes[0]


def test_calls_and_panels_are_renamed_alike() -> None:
    calls = pd.DataFrame(
        {"patient_id": ["a", "b"], "gene": ["MLL2", "KMT2D"], "fraction": [np.nan, np.nan]}
    )
    panels = {"old": ("MLL2", "MLL3"), "both": ("MLL2", "KMT2D")}
    found, notes = reconcile_calls(
        Variants("dna", ("a", "b"), calls, False, 0.0, {"a": "old"}, panels, {})
    )
    assert found.calls["gene"].tolist() == ["KMT2D", "KMT2D"]
    assert found.panels == {"old": ("KMT2D", "KMT2C"), "both": ("KMT2D",)}
    assert "2 of 3 genes were renamed" in notes[0]
