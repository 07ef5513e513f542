"""What genes, gene sets and a connected module move a patient's answer."""

from __future__ import annotations

import pytest
import torch

from omics_twin.errors import TwinError
from omics_twin.twin.attribution import Attributions
from omics_twin.twin.genes import NO_SET, NamedParts, gene_parts, pathway_parts, top_module
from tests.genes import GENES, MODULE, design_of_genes, graph_of_genes

MEMBERS, PATIENTS = 3, 2


def attributions() -> Attributions:
    generator = torch.Generator().manual_seed(0)
    values = {
        channel.name: torch.randn(1, MEMBERS, PATIENTS, len(channel.features), generator=generator)
        for channel in design_of_genes().channels
    }
    blank = torch.zeros(1, MEMBERS, PATIENTS)
    return Attributions(values, blank, blank, {})


def test_a_gene_has_what_all_its_modalities_move_and_nothing_is_lost() -> None:
    found, graph = attributions(), graph_of_genes()
    genes = gene_parts(found, design_of_genes(), graph, intervention=0, patient=1)
    expected = found.values["expression"][0, :, 1, 3] + found.values["mutations"][0, :, 1, 3]
    torch.testing.assert_close(genes.values[:, genes.names.index(GENES[3])], expected)
    whole = sum(found.values[name][0, :, 1].sum(dim=1) for name in ("expression", "mutations"))
    torch.testing.assert_close(genes.values.sum(dim=1), whole)
    sets = pathway_parts(genes, graph)
    torch.testing.assert_close(sets.values.sum(dim=1), whole, atol=1e-4, rtol=1e-4)
    assert sets.names[-1] == NO_SET


def test_a_gene_in_several_sets_gives_each_an_equal_share() -> None:
    graph = graph_of_genes()
    sets_of = torch.bincount(graph.incidence[0], minlength=len(graph.genes))
    gene = int(sets_of.argmax())
    values = torch.zeros(1, len(graph.genes))
    values[0, gene] = 1.0
    sets = pathway_parts(NamedParts(graph.genes, values), graph)
    given = sets.values[0][sets.values[0] > 0]
    torch.testing.assert_close(given, torch.full((int(sets_of[gene]),), 1.0 / int(sets_of[gene])))


def test_the_planted_module_is_the_top_module_and_it_is_connected() -> None:
    graph = graph_of_genes()
    generator = torch.Generator().manual_seed(1)
    values = 0.05 * torch.randn(MEMBERS, len(GENES), generator=generator)
    values[:, :10] += torch.tensor([1.0, -1.0]).repeat(5)
    module = top_module(NamedParts(GENES, values), graph, most=8)
    assert len(module.genes) == 8
    assert set(module.genes) <= set(MODULE)
    reached = {module.genes[0]}
    for _ in module.genes:
        reached |= {b for pair in module.edges for b in pair if reached & set(pair)}
    assert reached == set(module.genes)
    signs = {gene: value > 0 for gene, value in zip(module.genes, module.mean, strict=True)}
    assert all(signs[gene] == (GENES.index(gene) % 2 == 0) for gene in module.genes)


def test_where_no_gene_moves_the_answer_it_is_said() -> None:
    graph = graph_of_genes()
    with pytest.raises(TwinError, match="no gene of the graph moves the answer"):
        top_module(NamedParts(GENES, torch.zeros(1, len(GENES))), graph)
    found = attributions()
    clinical = Attributions({"clinical": found.values["clinical"]}, found.start, found.end, {})
    with pytest.raises(TwinError, match="no modality that names genes was shown"):
        gene_parts(clinical, design_of_genes(), graph, intervention=0, patient=0)
