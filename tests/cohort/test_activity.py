"""The activity of gene sets is by ranks within a patient, whoever else is in the cohort."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omics_twin.cohort.activity import activity_channel, set_activity, with_activity
from omics_twin.errors import CohortError
from omics_twin.intake.channels import Channel
from omics_twin.intake.declaration import ColumnDeclaration

GENES = tuple(f"G{number:02d}" for number in range(40))
SETS = {"UP": GENES[:8], "OTHER": (*GENES[5:12], "UNHEARD_OF"), "SMALL": GENES[:4]}


def expression(values: np.ndarray, **changed: object) -> Channel:
    index = pd.Index([f"p{row}" for row in range(len(values))], name="patient_id")
    frame = pd.DataFrame(np.column_stack([np.ones(len(values)), values]), index=index)
    frame.columns = ["purity", *GENES]
    columns = {name: ColumnDeclaration(unit="score") for name in frame}
    days = pd.Series(0.0, index=index)
    channel = Channel("rna", "rna", 0.0, frame, columns, days, genes=GENES, sets=SETS)
    return replace(channel, **changed)


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, len(GENES)))


def scores(channel: Channel) -> pd.DataFrame:
    found = activity_channel(channel)
    assert found is not None
    return found.values


def test_a_score_is_the_published_one_of_each_patient_and_set(values: np.ndarray) -> None:
    values[2, [0, 9, 30]] = np.nan
    found = scores(expression(values))
    for row, name in [(0, "UP"), (2, "UP"), (2, "OTHER")]:
        measured = [g for g, v in zip(GENES, values[row], strict=True) if not np.isnan(v)]
        ranked = pd.Series(values[row], index=GENES)[measured].rank()
        inside = [gene for gene in SETS[name] if gene in measured]
        # Equations 1 and 2 of Foroutan et al. 2018, centred as in their package.
        lowest = (len(inside) + 1) / 2
        highest = (2 * len(measured) - len(inside) + 1) / 2
        expected = (ranked[inside].mean() - lowest) / (highest - lowest) - 0.5
        assert found.loc[f"p{row}", name] == pytest.approx(expected)


def test_a_patient_alone_scores_as_within_a_cohort(values: np.ndarray) -> None:
    together = scores(expression(values))
    alone = scores(expression(values[3:4]))
    np.testing.assert_array_equal(alone.to_numpy()[0], together.to_numpy()[3])


def test_scores_do_not_know_the_scale(values: np.ndarray) -> None:
    pd.testing.assert_frame_equal(
        scores(expression(values)), scores(expression(np.exp(3.0 * values)))
    )


def test_the_lowest_and_highest_genes_score_half(values: np.ndarray) -> None:
    values[0, :8] -= 100.0
    values[1, :8] += 100.0
    assert scores(expression(values))["UP"].tolist()[:2] == [-0.5, 0.5]


def test_many_patients_are_scored_as_few() -> None:
    values = np.random.default_rng(1).normal(size=(1100, 12))
    members = sparse.csr_matrix((np.arange(12) < 6).astype(float)[:, None])
    np.testing.assert_array_equal(
        set_activity(values, members)[-5:], set_activity(values[-5:], members)
    )


def test_only_sets_with_enough_genes_become_columns(values: np.ndarray) -> None:
    found = activity_channel(expression(values, name="rna@21", visit_day=21.0))
    assert found is not None
    assert list(found.columns) == ["UP", "OTHER"]
    assert (found.name, found.modality, found.visit_day) == (
        "rna_activity@21",
        "rna_activity",
        21.0,
    )


def test_a_patient_with_too_few_genes_has_no_score(values: np.ndarray) -> None:
    values[4, :12] = np.nan
    assert "p4" not in scores(expression(values)).index


def test_sets_follow_the_genes_to_their_approved_symbols(values: np.ndarray) -> None:
    named = expression(values, aliases={f"OLD{gene}": gene for gene in GENES})
    old = {name: tuple(f"OLD{gene}" for gene in genes) for name, genes in SETS.items()}
    pd.testing.assert_frame_equal(scores(replace(named, sets=old)), scores(named))


def test_a_modality_without_sets_has_no_activity(values: np.ndarray) -> None:
    plain = expression(values, sets={})
    assert activity_channel(plain) is None
    assert len(with_activity([plain])) == 1


def test_sets_of_other_genes_and_a_taken_name_are_refused(values: np.ndarray) -> None:
    with pytest.raises(CohortError, match="fewer than 5 genes of each of the 1 gene sets"):
        activity_channel(expression(values, sets={"X": tuple("ABCDEFG")}))
    taken = expression(values, name="rna_activity", modality="rna_activity", sets={})
    with pytest.raises(CohortError, match="'rna_activity' has the name of the activity of 'rna'"):
        with_activity([expression(values), taken])
