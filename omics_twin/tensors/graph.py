"""The graph of a cohort's genes: who interacts with whom, and which sets they belong to.

There is one graph, whatever the number of patients and ensemble members. A message that every
patient would pass along its edges is passed once, by the gene sets that pool it: propagation is
linear and symmetric, so pooling what was propagated is propagating what pools.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from omics_twin.errors import CohortError
from omics_twin.intake.knowledge import Knowledge
from omics_twin.tensors.design import Design

# A modality names genes where at least this share of its columns are genes that are known.
_NAMED = 0.5
_STEPS = 10


@dataclass(frozen=True)
class GeneGraph:
    """Genes, the edges between them and the sets they are in.

    Attributes
    ----------
    genes, pathways
        In the order of their axes.
    edge_index, edge_weight
        Every edge in both directions and every gene's edge to itself, with the weights of the
        symmetrically normalised adjacency, (2, edge) and (edge,).
    incidence
        Gene and set of each membership, (2, membership).
    channels
        Channels that name genes.
    fingerprint
        Of the files it was made from.
    """

    genes: tuple[str, ...]
    pathways: tuple[str, ...]
    edge_index: Int[Tensor, "2 edge"]
    edge_weight: Float[Tensor, " edge"]
    incidence: Int[Tensor, "2 membership"]
    channels: tuple[str, ...]
    fingerprint: str

    def pooling(self, features: Sequence[str]) -> Float[Tensor, "feature pathway"]:
        """Return what makes scores of gene sets from some features: the mean of a set's own."""
        return _mean(self._of(features, self._members()))

    def propagated(
        self, features: Sequence[str], *, teleport: float
    ) -> Float[Tensor, "feature pathway"]:
        """Return what makes scores of gene sets, each with its neighbourhood in the graph.

        Parameters
        ----------
        teleport
            Share of a gene's own value that each step over the graph brings back.

        References
        ----------
        Gasteiger, Bojchevski & Guennemann 2019, Predict then propagate: graph neural networks meet
        personalized PageRank (arXiv:1810.05997).
        """
        with _library_warnings():
            from torch_geometric.nn import APPNP
        spread = APPNP(K=_STEPS, alpha=teleport, add_self_loops=False, normalize=False)
        return _mean(self._of(features, spread(self._members(), self.edge_index, self.edge_weight)))

    def _members(self) -> Float[Tensor, "gene pathway"]:
        members = torch.zeros(len(self.genes), len(self.pathways))
        members[self.incidence[0], self.incidence[1]] = 1.0
        return members

    def _of(self, features: Sequence[str], values: Tensor) -> Tensor:
        """Return the rows of features; a feature that is no gene of the graph has zeros."""
        place = {gene: row for row, gene in enumerate(self.genes)}
        rows = torch.tensor([place.get(feature, len(place)) for feature in features])
        return torch.cat([values, torch.zeros(1, values.shape[1])])[rows]


def gene_graph(
    design: Design, knowledge: Knowledge, *, smallest_set: int, most_alike: float
) -> GeneGraph:
    """Return the graph of the genes that a design's modalities name.

    Parameters
    ----------
    smallest_set
        Sets with fewer of these genes are not used.
    most_alike
        Of two sets that share more than this of the genes they have together, the smaller is not
        used.

    Raises
    ------
    CohortError
        If no modality names genes, or no set has enough of them.
    """
    channels = gene_channels(design, knowledge)
    if not channels:
        raise CohortError(
            f"none of the {len(design.channels)} modalities names genes that are known, expected "
            "one whose columns are gene symbols: use model.gene_encoder=COMPONENTS"
        )
    named = {gene for genes in channels.values() for gene in genes}
    genes = sorted(named & knowledge.genes)
    measured = set(genes)
    within = {name: measured.intersection(each) for name, each in knowledge.sets.items()}
    sets = _distinct({k: v for k, v in within.items() if len(v) >= smallest_set}, most_alike)
    if not sets:
        raise CohortError(
            f"no gene set has {smallest_set} of the {len(genes)} known genes that were measured: "
            "lower knowledge.smallest_set, or use model.gene_encoder=COMPONENTS"
        )
    place = {gene: row for row, gene in enumerate(genes)}
    memberships = [
        (place[gene], column) for column, each in enumerate(sets.values()) for gene in sorted(each)
    ]
    edge_index, edge_weight = _edges(place, knowledge)
    return GeneGraph(
        genes=tuple(genes),
        pathways=tuple(sets),
        edge_index=edge_index,
        edge_weight=edge_weight,
        incidence=torch.tensor(memberships).T,
        channels=tuple(channels),
        fingerprint=knowledge.fingerprint,
    )


def rewired(graph: GeneGraph, seed: int) -> GeneGraph:
    """Return the graph with its edges exchanged at random; every gene keeps its degree.

    What a model gains with the graph, and does not gain with this one, is owed to who interacts
    with whom and not to how many partners a gene has.

    References
    ----------
    Maslov & Sneppen 2002, Specificity and stability in topology of protein networks
    (doi:10.1126/science.1065103).
    """
    import networkx

    first, second = graph.edge_index
    pairs = graph.edge_index[:, first < second].T.tolist()
    other = networkx.Graph(pairs)
    swaps = 10 * len(pairs)
    networkx.double_edge_swap(other, nswap=swaps, max_tries=100 * swaps, seed=seed)
    index = torch.tensor(sorted(sorted(pair) for pair in other.edges)).T
    edge_index, edge_weight = _normalised(index, torch.ones(index.shape[1]), len(graph.genes))
    return GeneGraph(
        graph.genes,
        graph.pathways,
        edge_index,
        edge_weight,
        graph.incidence,
        graph.channels,
        graph.fingerprint,
    )


def gene_channels(design: Design, knowledge: Knowledge) -> dict[str, tuple[str, ...]]:
    """Return the channels that name genes, each with its columns."""
    known = knowledge.genes
    found = {}
    for channel in design.channels:
        columns = tuple(feature.column for feature in channel.features)
        if sum(column in known for column in columns) >= _NAMED * len(columns):
            found[channel.name] = columns
    return found


def _distinct(sets: Mapping[str, set[str]], most_alike: float) -> dict[str, set[str]]:
    """Return the sets in the order of their names, less those much like a larger one."""
    kept: dict[str, set[str]] = {}
    for name in sorted(sets, key=lambda each: (-len(sets[each]), each)):
        own = sets[name]
        if all(len(own & other) <= most_alike * len(own | other) for other in kept.values()):
            kept[name] = own
    return {name: kept[name] for name in sorted(kept)}


def _edges(place: Mapping[str, int], knowledge: Knowledge) -> tuple[Tensor, Tensor]:
    inside = np.isin(knowledge.pairs, list(place)).all(axis=1)
    ends: Iterable[list[str]] = knowledge.pairs[inside].tolist()
    index = torch.tensor([[place[a], place[b]] for a, b in ends], dtype=torch.long).view(-1, 2).T
    weight = torch.tensor(knowledge.scores[inside], dtype=torch.float32)
    return _normalised(index, weight, len(place))


def _normalised(
    index: Int[Tensor, "2 pair"], weight: Float[Tensor, " pair"], genes: int
) -> tuple[Int[Tensor, "2 edge"], Float[Tensor, " edge"]]:
    """Return the symmetrically normalised adjacency with every gene's edge to itself."""
    with _library_warnings():
        from torch_geometric.utils import add_self_loops, scatter, to_undirected
    index, weight = to_undirected(index, weight, num_nodes=genes)
    index, weight = add_self_loops(index, weight, fill_value=1.0, num_nodes=genes)
    root = scatter(weight, index[0], dim_size=genes).rsqrt()
    return index, root[index[0]] * weight * root[index[1]]


def _mean(members: Float[Tensor, "feature pathway"]) -> Float[Tensor, "feature used"]:
    """Return columns that each sum to 1, less those without any feature."""
    total = members.sum(dim=0)
    return (members / total.clamp(min=1e-12))[:, total > 1e-6]


@contextmanager
def _library_warnings() -> Iterator[None]:
    """Quieten torch_geometric's own use of PyTorch while it is imported."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield
