"""One figure of every measure of every group, with intervals, beside that of everyone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omics_twin.evaluate.fairness import EVERYONE
from omics_twin.evaluate.plots import BLUE, GREY, ORANGE

TITLES = {
    "auc": "AUC",
    "uno_c": "Uno's c",
    "rmse": "Root mean squared error",
    "observed_less_predicted": "Observed less predicted",
    "calibration_slope": "Calibration slope",
    "policy_value": "Value of following\nthe ranking",
    "policy_gain": "Gain over the\ntherapies received",
    "coverage_expected": "Coverage of\nexpected values",
    "coverage_benefit": "Coverage of\nbenefits",
}
_LONGEST = 34
_PROMISED = {"observed_less_predicted": 0.0, "calibration_slope": 1.0}
_CALLED = 0.05


def subgroup_figure(rows: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> Figure:
    """Draw a panel for each measure and a line for each group that is shown.

    A dashed line is the number of everyone; a dotted one is what was promised: 0 where observed
    and predicted agree, a slope of 1, the nominal coverage. A gap to the others that is shown
    after correction is orange; a group too small to be tested is hollow.

    Parameters
    ----------
    rows
        From :func:`omics_twin.evaluate.fairness.subgroup_rows`.
    told
        ``coverage`` of :func:`omics_twin.evaluate.fairness.coverage_by_group`.

    Examples
    --------
    >>> cell = {"value": 0.8, "lower": 0.7, "upper": 0.9}
    >>> row = {"attribute": "everyone", "group": "all", "patients": 90, "suppressed": False,
    ...        "measures": {"auc": cell}, "gaps": {}}
    >>> len(subgroup_figure([row], {"coverage": {}}).axes)
    1
    """
    shown = [row for row in rows if not row["suppressed"]]
    names = list(dict.fromkeys(name for row in shown for name in row["measures"]))
    figure = Figure(
        figsize=(3.6 + 1.75 * max(len(names), 1), 1.6 + 0.23 * len(shown)),
        dpi=150,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, max(len(names), 1), sharey=True, squeeze=False)[0]
    promised = {name: each["nominal"] for name, each in told["coverage"].items()} | _PROMISED
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, shown, name, promised.get(name))
    panels[0].set_yticks(range(len(shown)), [_label(row) for row in shown], fontsize=7)
    panels[0].set_ylim(len(shown) - 0.5, -0.5)
    figure.suptitle("Each group of patients: number and 95 % interval", fontsize=11)
    return figure


def _panel(
    axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, promised: float | None
) -> None:
    for place, row in enumerate(rows):
        cell = row["measures"].get(name)
        if cell is None:
            continue
        gap = row["gaps"].get(name)
        colour = ORANGE if gap is not None and gap["adjusted_p"] < _CALLED else BLUE
        tested = gap is not None or row["attribute"] == EVERYONE
        axes.plot([cell["lower"], cell["upper"]], [place, place], color=colour, linewidth=1)
        axes.plot(
            cell["value"],
            place,
            "o",
            markersize=4,
            color=colour,
            markerfacecolor=colour if tested else "white",
        )
    everyone = next((row for row in rows if row["attribute"] == EVERYONE), None)
    if everyone is not None and name in everyone["measures"]:
        axes.axvline(everyone["measures"][name]["value"], color=GREY, linestyle="--", linewidth=1)
    if promised is not None:
        axes.axvline(promised, color=GREY, linestyle=":", linewidth=1)
    for place in _first_rows(rows):
        axes.axhline(place - 0.5, color=GREY, linewidth=0.4)
    axes.set_xlim(*_range([row["measures"][name] for row in rows if name in row["measures"]]))
    axes.set_title(TITLES.get(name, name.replace("_", " ")), fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)


def _range(cells: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return where an axis ends: a small group's wide interval may leave it."""
    ends = np.array([[cell["lower"], cell["upper"]] for cell in cells])
    values = np.array([cell["value"] for cell in cells])
    reach = 2.0 * float(np.median(ends[:, 1] - ends[:, 0])) + 1e-3
    low, high = float(values.min()), float(values.max())
    return max(low - reach, float(ends[:, 0].min()) - 0.02), min(
        high + reach, float(ends[:, 1].max()) + 0.02
    )


def _first_rows(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the lines at which another attribute begins."""
    return [
        place
        for place in range(1, len(rows))
        if rows[place]["attribute"] != rows[place - 1]["attribute"]
    ]


def _label(row: Mapping[str, Any]) -> str:
    name = (
        "everyone"
        if row["attribute"] == EVERYONE
        else f"{row['attribute'].replace('_', ' ')}: {row['group']}"
    )
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return f"{short} ({row['patients']})"
