"""One figure of what raises or lowers the benefit of each arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omics_twin.errors import CohortError
from omics_twin.evaluate.plots import BLUE, GREY, ORANGE

_LARGEST = 260.0
_LONGEST = 26


def effect_figure(summary: Mapping[str, Any], features: int = 16) -> Figure:
    """Draw the measurements that move the benefit of the arms most, as dots by arm.

    The area of a dot is how much a measurement moves the benefit on average; its colour says in
    which direction more of it does; it is hollow where the members disagree on the direction.

    Parameters
    ----------
    summary
        From :func:`omics_twin.report.effects.effect_summary`.
    features
        How many measurements are drawn: those with the largest size in any arm.

    Raises
    ------
    CohortError
        If the summary says nothing about any arm.

    Examples
    --------
    >>> one = {"channel": "c", "label": "ESR1", "slope": 0.1, "slope_spread": 0.01, "size": 0.1}
    >>> figure = effect_figure({"title": "response", "arms": [{"label": "A", "features": [one]}]})
    >>> [each.get_text() for each in figure.axes[0].get_yticklabels()]
    ['ESR1']
    """
    arms = [each for each in summary["arms"] if each["features"]]
    if not arms:
        raise CohortError("the summary holds no arm with a measurement: there is nothing to draw")
    rows = _rows(arms, features)
    figure = Figure(
        figsize=(3.6 + 0.62 * len(arms), 2.6 + 0.3 * len(rows)), dpi=150, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    largest = max(max(sizes.values()) for sizes, _ in rows.values()) or 1.0
    for row, (sizes, found) in enumerate(rows.values()):
        for column, each in found.items():
            clear = abs(each["slope"]) > 1.645 * each["slope_spread"]
            colour = BLUE if each["slope"] > 0 else ORANGE
            axes.scatter(
                column,
                row,
                s=_LARGEST * sizes[column] / largest,
                facecolors=colour if clear else "none",
                edgecolors=colour,
                linewidths=1.0,
            )
    axes.set_xticks(range(len(arms)), [_short(each["label"]) for each in arms], rotation=50,
                    ha="right", rotation_mode="anchor")  # fmt: skip
    axes.set_yticks(range(len(rows)), [_short(label) for _, label in rows])
    axes.set_xlim(-0.6, len(arms) - 0.4)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"What moves the benefit of each arm: {summary['title']}", fontsize=11, wrap=True
    )
    for colour, words in ((BLUE, "more of it speaks for the arm"), (ORANGE, "against it")):
        axes.scatter([], [], s=60, color=colour, label=words)
    axes.scatter([], [], s=60, facecolors="none", edgecolors=GREY, label="direction not clear")
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8)
    return figure


def _rows(arms: list[Any], features: int) -> dict[tuple[str, str], tuple[dict[int, float], Any]]:
    """Return the measurements drawn, the largest first: sizes and numbers by arm."""
    found: dict[tuple[str, str], tuple[dict[int, float], dict[int, Any]]] = {}
    for column, arm in enumerate(arms):
        for each in arm["features"]:
            sizes, numbers = found.setdefault((each["channel"], each["label"]), ({}, {}))
            sizes[column], numbers[column] = float(each["size"]), each
    largest = sorted(found, key=lambda key: -max(found[key][0].values()))[:features]
    return {key: found[key] for key in largest}


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST else label[: _LONGEST - 1].rstrip() + "…"
