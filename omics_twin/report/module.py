"""One figure of the connected genes that move a patient's answer most."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omics_twin.evaluate.plots import BLUE, GREY, ORANGE
from omics_twin.twin.genes import GeneModule

_LARGEST = 900.0
_CLEAR = 1.645


def module_figure(module: GeneModule, title: str) -> Figure:
    """Draw a module: genes as dots, interactions as lines.

    The area of a dot is how much a gene moves the answer; blue raises it, orange lowers it; it is
    hollow where the members disagree on the direction.

    Parameters
    ----------
    title
        What the answer is, in words.

    Examples
    --------
    >>> import torch
    >>> module = GeneModule(("A", "B"), torch.tensor([0.2, -0.1]), torch.tensor([0.0, 0.3]),
    ...                     (("A", "B"),))
    >>> sorted(text.get_text() for text in module_figure(module, "response").axes[0].texts)
    ['A', 'B']
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(module.genes)
    graph.add_edges_from(module.edges)
    places = networkx.kamada_kawai_layout(graph) if len(graph) > 1 else {module.genes[0]: (0, 0)}
    figure = Figure(figsize=(5.6, 4.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for first, second in module.edges:
        ends = [places[first], places[second]]
        axes.plot(*zip(*ends, strict=True), color=GREY, linewidth=0.8, zorder=1)
    largest = float(module.mean.abs().max()) or 1.0
    parts = zip(module.genes, module.mean.tolist(), module.deviation.tolist(), strict=True)
    for gene, mean, deviation in parts:
        colour = BLUE if mean > 0 else ORANGE
        across, up = places[gene]
        axes.scatter(
            across,
            up,
            s=_LARGEST * abs(mean) / largest,
            facecolor=colour if abs(mean) > _CLEAR * deviation else "white",
            edgecolor=colour,
            zorder=2,
        )
        axes.annotate(gene, (across, up), (0, 13), textcoords="offset points", ha="center")
    axes.margins(0.15)
    axes.set_axis_off()
    axes.set_title(title, loc="left", fontsize=10)
    return figure
