"""What a graph adds where a module of genes decides, and that only the right graph adds it."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.effects import learn_effects
from omics_twin.settings import GeneEncoder, NetworkSettings
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.graph import rewired
from tests.genes import GENES, Planted, graph_of_genes, planted

PATIENTS, MEMBERS = 200, 2


def discrimination(cohort: Planted, structure: torch.Tensor | None, encoder: GeneEncoder) -> float:
    """Return the AUC of the linear effects in 1,000 new patients."""
    fields = torch.stack([cohort.response, torch.zeros(PATIENTS)], dim=1)
    stopping = torch.stack(
        [torch.arange(PATIENTS) % 4 == member for member in range(MEMBERS)]
    ).float()
    network = build_network(
        {
            "expression": ChannelTensors(
                cohort.values, torch.zeros(len(GENES), dtype=torch.bool), 0.0, False, structure
            )
        },
        OutcomeTensors("pcr", "binary", "1", fields),
        1,
        1.0 - stopping,
        NetworkSettings(latent=2, hidden=2, gene_encoder=encoder),
        seed=0,
    )
    tensors = TrainingTensors(
        {"expression": cohort.values},
        {"expression": 0.0},
        torch.ones(PATIENTS, 1),
        fields,
        1.0 - stopping,
        stopping,
    )
    group = torch.zeros(MEMBERS, dtype=torch.long)
    learn_effects(network, tensors, group, planned=torch.arange(MEMBERS))
    new = planted(1000, seed=99)
    with torch.no_grad():
        score = network.encoders[0].added(new.values).sum(dim=2).mean(dim=0)
    return float(roc_auc_score(new.response, score))


@pytest.fixture(scope="module")
def cohorts() -> list[Planted]:
    return [planted(PATIENTS, seed=seed) for seed in range(2)]


def mean_discrimination(
    cohorts: list[Planted], structure: torch.Tensor | None, encoder: GeneEncoder
) -> float:
    return sum(discrimination(each, structure, encoder) for each in cohorts) / len(cohorts)


def test_the_graph_finds_the_module_and_a_rewired_graph_does_not(cohorts: list[Planted]) -> None:
    graph = graph_of_genes()
    other = rewired(graph, seed=0)
    right, wrong = (each.propagated(GENES, teleport=0.3) for each in (graph, other))
    found = {
        "components": mean_discrimination(cohorts, None, GeneEncoder.COMPONENTS),
        "graph": mean_discrimination(cohorts, right, GeneEncoder.GENE_GRAPH),
        "rewired": mean_discrimination(cohorts, wrong, GeneEncoder.GENE_GRAPH),
        "sets": mean_discrimination(cohorts, graph.pooling(GENES), GeneEncoder.PATHWAYS),
    }
    # Standard error of an AUC in 1,000 patients: 0.013; the mean of two trainings, less.
    assert found["graph"] > found["components"] + 0.02
    assert found["graph"] > found["rewired"] + 0.06
    assert found["rewired"] == pytest.approx(found["sets"], abs=0.03)


def test_without_a_relation_there_is_nothing_to_find(cohorts: list[Planted]) -> None:
    structure = graph_of_genes().propagated(GENES, teleport=0.3)
    order = torch.randperm(PATIENTS, generator=torch.Generator().manual_seed(0))
    shuffled = [Planted(each.values, each.response[order]) for each in cohorts]
    found = mean_discrimination(shuffled, structure, GeneEncoder.GENE_GRAPH)
    # A score without a relation still points somewhere among 32 components of which one decides.
    assert found == pytest.approx(0.5, abs=0.12)
