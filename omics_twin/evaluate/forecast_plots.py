"""Draw forecasts beside what came, and whether they get better with every visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from omics_twin.evaluate.plots import BLUE, GREEN, GREY, ORANGE, blank

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9")
_BINS = 20


def shares_figure(shares: ArrayLike, name: str) -> Figure:
    """Draw where measurements fell in their forecasts; even bars are a calibrated twin.

    Examples
    --------
    >>> len(shares_figure([0.1, 0.9], "size").axes)
    1
    """
    values = np.asarray(shares, dtype=float)
    figure, axes = blank(
        f"Where the {name} fell in its forecast",
        "Share of the forecast below what came",
        "Forecasts",
    )
    axes.hist(values, bins=_BINS, range=(0.0, 1.0), color=BLUE, edgecolor="white")
    even = len(values) / _BINS
    axes.axhline(even, color=GREY, linestyle="--", linewidth=1, label="Calibrated")
    margin = 1.96 * np.sqrt(even * (1 - 1 / _BINS))
    axes.axhspan(even - margin, even + margin, color=GREY, alpha=0.2, linewidth=0)
    axes.set_xlim(0.0, 1.0)
    axes.legend(frameon=False)
    return figure


def by_visit_figure(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the mean score of each forecaster by how many visits were known.

    Parameters
    ----------
    scores
        Number of visits -> forecaster -> mean score, lower is better.
    """
    figure, axes = blank(
        "Does the twin learn from every scan?",
        "Scans known before the forecast",
        "Mean CRPS of the next size (mm)",
    )
    numbers = sorted(scores, key=int)
    names = list(dict.fromkeys(name for each in numbers for name in scores[each]))
    for place, name in enumerate(names):
        known = [each for each in numbers if name in scores[each]]
        axes.plot(
            [int(each) for each in known],
            [scores[each][name] for each in known],
            color=_COLOURS[place % len(_COLOURS)],
            marker="o",
            linewidth=2 if place == 0 else 1,
            label=name,
        )
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False)
    return figure


def landmark_figure(scores: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draw how well patients are ordered from each landmark on, by the twin and by baselines.

    Parameters
    ----------
    scores
        Landmark -> ``model`` and ``baselines``, each with ``c_index``: mean and sd.
    """
    figure, axes = blank(
        "Events foreseen from each landmark on", "Landmark", "Concordance up to the horizon"
    )
    names = ["omics_twin", *next(iter(scores.values()))["baselines"]]
    for place, name in enumerate(names):
        told = [
            each["model"] if name == "omics_twin" else each["baselines"][name]
            for each in scores.values()
        ]
        axes.errorbar(
            np.arange(len(told)) + 0.06 * (place - (len(names) - 1) / 2),
            [each["c_index"]["mean"] for each in told],
            yerr=[each["c_index"]["sd"] or 0.0 for each in told],
            color=_COLOURS[place % len(_COLOURS)],
            marker="o",
            linewidth=2 if place == 0 else 1,
            label=name,
        )
    axes.set_xticks(range(len(scores)), list(scores))
    axes.legend(frameon=False)
    return figure
