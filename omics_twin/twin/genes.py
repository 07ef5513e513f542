"""A patient's answer divided among genes, among gene sets, and within one connected module.

These are the reasons of the model, not causes in the patient. They come from
:mod:`omics_twin.twin.attribution` whatever the gene encoder; the graph only names and joins them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.tensors.design import Design
from omics_twin.tensors.graph import GeneGraph
from omics_twin.twin.attribution import Attributions

NO_SET = "in no gene set"
# A gene that moves the answer less than this share of the strongest gene is in no module.
_WEAKEST = 0.1
_STARTS = 20


@dataclass(frozen=True)
class NamedParts:
    """How much each of some names moves the answer, for each member by itself.

    Attributes
    ----------
    names
        Of genes or of gene sets.
    values
        In the unit of the endpoint, (member, name); they add up to what the modalities that name
        genes move it.
    """

    names: tuple[str, ...]
    values: Float[Tensor, "member name"]

    @property
    def mean(self) -> Float[Tensor, " name"]:
        """Mean over members."""
        return self.values.mean(dim=0)

    @property
    def deviation(self) -> Float[Tensor, " name"]:
        """Standard deviation over members; 0 of one member, which says nothing of others."""
        return self.values.std(dim=0, correction=0)

    def strongest(self, most: int) -> list[tuple[str, float, float]]:
        """Return the names that move the answer most: each with its mean and deviation.

        Examples
        --------
        >>> parts = NamedParts(("A", "B"), torch.tensor([[0.1, -0.4], [0.1, -0.2]]))
        >>> [(name, round(mean, 2), round(spread, 2)) for name, mean, spread in parts.strongest(1)]
        [('B', -0.3, 0.1)]
        """
        mean, deviation = self.mean, self.deviation
        order = mean.abs().argsort(descending=True, stable=True)[:most].tolist()
        return [(self.names[i], float(mean[i]), float(deviation[i])) for i in order]


@dataclass(frozen=True)
class GeneModule:
    """Genes that are connected in the graph and together move the answer most.

    Attributes
    ----------
    genes
        The strongest first.
    mean
        How much each moves the answer, over members, (gene,).
    edges
        Pairs of the genes that interact, each once.
    """

    genes: tuple[str, ...]
    mean: Float[Tensor, " gene"]
    edges: tuple[tuple[str, str], ...]


def gene_parts(
    found: Attributions, design: Design, graph: GeneGraph, *, intervention: int, patient: int
) -> NamedParts:
    """Return what each gene moves one patient's answer, over all that was measured of it.

    Parameters
    ----------
    intervention, patient
        Places on the axes of ``found``.

    Raises
    ------
    TwinError
        If nothing that names genes was shown.
    """
    shown = [c for c in design.channels if c.name in graph.channels and c.name in found.values]
    if not shown:
        raise TwinError(
            "no modality that names genes was shown: there is nothing to divide among genes"
        )
    names = tuple(dict.fromkeys(each.column for channel in shown for each in channel.features))
    place = {name: index for index, name in enumerate(names)}
    members = found.start.shape[1]
    total = torch.zeros(members, len(names))
    for channel in shown:
        columns = torch.tensor([place[each.column] for each in channel.features])
        total.index_add_(1, columns, found.values[channel.name][intervention, :, patient])
    return NamedParts(names, total)


def pathway_parts(genes: NamedParts, graph: GeneGraph) -> NamedParts:
    """Return what each gene set moves the answer; a gene in several gives each an equal share."""
    place = {name: index for index, name in enumerate(genes.names)}
    share = torch.zeros(len(genes.names), len(graph.pathways) + 1)
    for gene, pathway in graph.incidence.T.tolist():
        if graph.genes[gene] in place:
            share[place[graph.genes[gene]], pathway] = 1.0
    share[share.sum(dim=1) == 0, -1] = 1.0
    share = share / share.sum(dim=1, keepdim=True)
    return NamedParts((*graph.pathways, NO_SET), genes.values @ share)


def top_module(genes: NamedParts, graph: GeneGraph, *, most: int = 12) -> GeneModule:
    """Return the connected genes that together move the answer most.

    From each of the strongest genes a module grows by the strongest gene beside it; the one with
    the largest sum of sizes is kept. It is a good module, not proven to be the best one.

    Parameters
    ----------
    most
        Genes in the module.

    Raises
    ------
    TwinError
        If no gene of the graph moves the answer.
    """
    mean = dict(zip(genes.names, genes.mean.tolist(), strict=True))
    size = {gene: abs(mean[gene]) for gene in graph.genes if mean.get(gene)}
    if not size:
        raise TwinError("no gene of the graph moves the answer: there is no module to show")
    beside = _beside(graph, size)
    starts = sorted(size, key=lambda gene: (-size[gene], gene))[:_STARTS]
    weakest = _WEAKEST * size[starts[0]]
    modules = [_grown(start, beside, size, weakest, most) for start in starts]
    best = max(modules, key=lambda module: sum(size[gene] for gene in module))
    kept = sorted(best, key=lambda gene: (-size[gene], gene))
    rows = torch.tensor([genes.names.index(gene) for gene in kept])
    edges = [(a, b) for i, a in enumerate(kept) for b in kept[i + 1 :] if b in beside[a]]
    return GeneModule(tuple(kept), genes.mean[rows], tuple(edges))


def _beside(graph: GeneGraph, size: dict[str, float]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {gene: set() for gene in size}
    for first, second in graph.edge_index.T.tolist():
        a, b = graph.genes[first], graph.genes[second]
        if a != b and a in size and b in size:
            found[a].add(b)
    return found


def _grown(
    start: str, beside: dict[str, set[str]], size: dict[str, float], weakest: float, most: int
) -> list[str]:
    module = [start]
    border = set(beside[start])
    while border and len(module) < most:
        strongest = min(border, key=lambda gene: (-size[gene], gene))
        if size[strongest] < weakest:
            break
        module.append(strongest)
        border = (border | beside[strongest]) - set(module)
    return module
