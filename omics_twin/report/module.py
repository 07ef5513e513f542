"""A picture of the connected genes that move a patient's answer most."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from omics_twin.report.words import visible
from omics_twin.twin.genes import GeneModule

_LEFT, _RIGHT = 9.0, 91.0
_TOP, _BOTTOM = 48.0, 318.0
_HEIGHT = 346
_SMALLEST, _LARGEST = 4.0, 18.0
# Between a dot and its name [px].
_GAP = 5.0


@dataclass(frozen=True)
class Dot:
    """A gene as drawn.

    Attributes
    ----------
    favours
        Whether it speaks for a better outcome.
    clear
        Whether the members agree on that.
    across, down
        Where it lies [% of the width] and [px].
    radius
        Of the dot, whose area is how much the gene moves the answer [px].
    text_y
        Where its name lies [px].
    """

    gene: str
    favours: bool
    clear: bool
    across: float
    down: float
    radius: float
    text_y: float


@dataclass(frozen=True)
class ModulePlot:
    """What the template draws: genes as dots, interactions as lines between two of them."""

    dots: tuple[Dot, ...]
    lines: tuple[tuple[Dot, Dot], ...]
    height: int


def module_plot(module: GeneModule, agreed: Collection[str]) -> ModulePlot:
    """Return the picture of a module; genes lie as far apart as there are interactions between.

    Parameters
    ----------
    agreed
        Genes on whose direction the members agree.

    Examples
    --------
    >>> import torch
    >>> module = GeneModule(("A", "B"), torch.tensor([0.2, -0.1]), (("A", "B"),))
    >>> [(dot.gene, dot.favours, dot.clear) for dot in module_plot(module, {"A"}).dots]
    [('A', True, True), ('B', False, False)]

    References
    ----------
    Kamada & Kawai 1989, An algorithm for drawing general undirected graphs
    (doi:10.1016/0020-0190(89)90102-6).
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(module.genes)
    graph.add_edges_from(module.edges)
    places = networkx.kamada_kawai_layout(graph)
    across = _spread([float(places[gene][0]) for gene in module.genes], _LEFT, _RIGHT)
    down = _spread([float(places[gene][1]) for gene in module.genes], _TOP, _BOTTOM)
    largest = float(module.mean.abs().max()) or 1.0
    dots = {}
    for gene, x, y, mean in zip(module.genes, across, down, module.mean.tolist(), strict=True):
        radius = max(_SMALLEST, round(_LARGEST * math.sqrt(abs(mean) / largest), 1))
        name_y = round(y - radius - _GAP, 1)
        dots[gene] = Dot(visible(gene), mean > 0, gene in agreed, x, y, radius, name_y)
    lines = tuple((dots[first], dots[second]) for first, second in module.edges)
    return ModulePlot(tuple(dots.values()), lines, _HEIGHT)


def _spread(places: list[float], least: float, most: float) -> list[float]:
    """Return places stretched over what there is; in the middle where all are the same."""
    low, width = min(places), max(places) - min(places)
    if width < 1e-9:
        return [(least + most) / 2.0] * len(places)
    return [round(least + (each - low) / width * (most - least), 1) for each in places]
