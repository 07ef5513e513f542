"""What is known of an agent is checked, and what agents share is a number."""

from __future__ import annotations

import pytest
import torch

from omics_twin.errors import TherapyError
from omics_twin.settings import AgentDeclaration
from omics_twin.therapy.agents import Agent, agent_features, target_incidence


def agent(*targets: str) -> Agent:
    return Agent.declared("x", AgentDeclaration("", "class", "mechanism", list(targets)))


@pytest.mark.parametrize("symbol", ["ERBB2", "HLA-A", "C1orf112", "MT-CO1", "H2AC18", "CD274"])
def test_an_approved_symbol_is_taken(symbol: str) -> None:
    assert agent(symbol).targets == (symbol,)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HER2", "ERBB2"),
        ("HER-2", "ERBB2"),
        ("PD-1", "PDCD1"),
        ("PD-L1", "CD274"),
        ("pd-l1", "CD274"),
        ("hsp90", "HSP90AA1"),
        ("egfr", "EGFR"),
        ("igf-1r", "IGF1R"),
        ("Brca1", "BRCA1"),
    ],
)
def test_a_name_that_is_no_symbol_is_answered_with_the_symbol(written: str, meant: str) -> None:
    with pytest.raises(TherapyError, match=rf"target '{written}', .* did you mean '{meant}'\?"):
        agent(written)


def test_an_agent_without_a_protein_target_is_like_its_class_alone() -> None:
    names, rows = agent_features([agent(), agent("ERBB2")])
    assert names == ("class class", "target ERBB2")
    assert rows.tolist() == [[1.0, 0.0], [1.0, 1.0]]


def test_a_family_of_targets_weighs_no_more_than_one() -> None:
    family, one = Agent("a", "A", "", "", ("TUBB", "TUBB3", "TUBB6", "TUBB8")), agent("ERBB2")
    _, rows = agent_features([family, one, Agent("b", "B", "", "", ("TUBB",))])
    alike = rows @ rows.T
    assert float(alike[0, 0]) == pytest.approx(1.0)
    assert float(alike[0, 2]) == pytest.approx(0.5)
    assert float(alike[1, 1]) == pytest.approx(2.0)


def test_agents_of_which_nothing_is_declared_are_like_no_other() -> None:
    names, rows = agent_features([Agent("a", "A"), Agent("b", "B")])
    assert names == ()
    assert rows.shape == (2, 0)


def test_no_agents_make_an_empty_table() -> None:
    genes, incidence = target_incidence([])
    assert genes == ()
    torch.testing.assert_close(incidence, torch.zeros(0, 0))
