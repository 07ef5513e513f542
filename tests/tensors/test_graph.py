"""One graph of the genes a cohort names; what it pools does not depend on patients."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from omics_twin.errors import CohortError
from omics_twin.tensors.design import Design
from omics_twin.tensors.graph import GeneGraph, gene_graph, rewired
from tests.genes import GENES, MODULE, design_of_genes, graph_of_genes, known
from tests.twins import DESIGN


def dense(graph: GeneGraph) -> torch.Tensor:
    matrix = torch.zeros(len(graph.genes), len(graph.genes))
    matrix[graph.edge_index[0], graph.edge_index[1]] = graph.edge_weight
    return matrix


def test_the_graph_has_the_genes_of_all_modalities_that_name_genes() -> None:
    graph = graph_of_genes()
    assert graph.channels == ("expression", "mutations")
    assert set(graph.genes) <= set(GENES)
    assert "UNHEARD_OF" not in graph.genes
    assert "PLANTED" in graph.pathways


def test_edges_are_symmetric_and_normalised() -> None:
    matrix = dense(graph_of_genes())
    torch.testing.assert_close(matrix, matrix.T)
    # The largest eigenvalue of the normalised adjacency with self loops is 1.
    assert torch.linalg.eigvalsh(matrix).max() == pytest.approx(1.0, abs=1e-5)


def test_propagation_equals_stepping_every_patient_over_the_graph() -> None:
    graph, teleport = graph_of_genes(), 0.3
    patients = torch.randn(5, len(graph.genes), generator=torch.Generator().manual_seed(0))
    carried, adjacency = patients, dense(graph)
    for _ in range(10):
        carried = (1 - teleport) * carried @ adjacency + teleport * patients
    members = torch.zeros(len(graph.genes), len(graph.pathways))
    members[graph.incidence[0], graph.incidence[1]] = 1.0
    expected = carried @ members
    found = patients @ graph.propagated(graph.genes, teleport=teleport)
    scale = (expected / found).median(dim=0).values
    torch.testing.assert_close(found * scale, expected, atol=1e-4, rtol=1e-4)


def test_a_set_is_pooled_from_its_own_genes_and_propagated_from_its_neighbourhood() -> None:
    graph = graph_of_genes()
    column = graph.pathways.index("PLANTED")
    pooled = graph.pooling(GENES)[:, column]
    assert {GENES[row] for row in torch.nonzero(pooled)[:, 0]} == set(MODULE[:6])
    spread = graph.propagated(GENES, teleport=0.3)[:, column]
    assert spread[: len(MODULE)].sum() == pytest.approx(1.0, abs=1e-5)
    assert int((spread[: len(MODULE)] > 0).sum()) == len(MODULE)


def test_a_feature_that_is_no_gene_of_the_graph_is_in_no_set() -> None:
    pooled = graph_of_genes().pooling(["UNHEARD_OF", *GENES])
    assert float(pooled[0].abs().sum()) == 0.0


def test_of_two_sets_much_alike_the_larger_is_kept() -> None:
    base = known()
    twice = replace(base, sets={**base.sets, "AGAIN": MODULE[:7]})
    graph = gene_graph(design_of_genes(), twice, smallest_set=5, most_alike=0.5)
    assert "AGAIN" in graph.pathways
    assert "PLANTED" not in graph.pathways


def test_a_rewired_graph_keeps_every_degree_and_hardly_an_edge() -> None:
    graph = graph_of_genes()
    other = rewired(graph, seed=0)
    degrees = [Counter(each.edge_index[0].tolist()) for each in (graph, other)]
    assert degrees[0] == degrees[1]
    edges = [set(map(tuple, each.edge_index.T.tolist())) for each in (graph, other)]
    itself = len(graph.genes)
    assert len(edges[0] & edges[1]) - itself < 0.2 * (len(edges[0]) - itself)


def test_a_cohort_without_genes_or_without_a_set_of_them_is_refused() -> None:
    with pytest.raises(CohortError, match="none of the 4 modalities names genes"):
        gene_graph(DESIGN, known(), smallest_set=5, most_alike=0.5)
    few = Design(design_of_genes(GENES[100:103]).channels[:2])
    with pytest.raises(CohortError, match="no gene set has 5 of the 3 known genes"):
        gene_graph(few, known(), smallest_set=5, most_alike=0.5)
