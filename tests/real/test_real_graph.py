"""The gene graph of a real cohort is as large as counted, when OMICS_TWIN_DATA says where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omics_twin.asked import read_cohort
from omics_twin.config import load
from omics_twin.intake.knowledge import Knowledge, read_knowledge
from omics_twin.report.console import Console
from omics_twin.tensors.graph import gene_graph
from omics_twin.tensors.transforms import design_of
from omics_twin.trust.consent import Purpose


@pytest.fixture
def knowledge() -> Knowledge:
    root = os.environ.get("OMICS_TWIN_DATA")
    if not root or not (Path(root) / "knowledge").is_dir():
        pytest.skip("OMICS_TWIN_DATA is not set, or holds no knowledge: gene graph not read")
    return read_knowledge(load("train", ["experiment=tcga_kirc"]).knowledge)


def test_interactions_of_high_confidence_and_both_collections_of_sets_are_read(
    knowledge: Knowledge,
) -> None:
    assert len(knowledge.sets) == 1498
    assert len(knowledge.pairs) == 131_520
    assert knowledge.scores.min() >= 0.7


def test_kidney_cancer_has_a_graph_of_its_three_modalities_that_name_genes(
    knowledge: Knowledge,
) -> None:
    config = load("train", ["experiment=tcga_kirc"])
    design = design_of(read_cohort(config, Console(quiet=True), Purpose.TRAINING))
    graph = gene_graph(design, knowledge, smallest_set=5, most_alike=0.5)
    assert graph.channels == ("expression", "copy_number", "mutations")
    assert len(graph.genes) == 1997
    assert len(graph.pathways) == 511
    assert (graph.edge_index.shape[1] - len(graph.genes)) // 2 == 5323
