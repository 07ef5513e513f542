"""What did a round of monitoring find? A page with plots, and the same as JSON."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from omics_twin.evaluate.plots import BLUE, GREY, ORANGE
from omics_twin.files import write_json, write_whole
from omics_twin.report.patient import environment, template_text
from omics_twin.report.words import name_in_words, visible

_TITLES = {
    "features": "What is measured",
    "missing": "What is missing",
    "unlike": "Who is outside the domain of validity",
    "expected": "What is predicted",
    "calibration": "Whether predictions are calibrated",
    "discrimination": "Whether patients are told apart",
    "coverage": "Whether intervals of the next visit hold",
}
_LISTED, _DRAWN = 20, 6


def write_drift(found: dict[str, Any], folder: Path, stem: str = "monitor") -> tuple[Path, Path]:
    """Write what was found as JSON and as a page; return where."""
    record, page = folder / f"{stem}.json", folder / f"{stem}.html"
    write_json(record, {**found, "features": found["features"][:_LISTED]})
    write_whole(page, render(found).encode())
    return record, page


def record_of(
    monitored: Any, *, proposal: Sequence[str], model: dict[str, str], cohort: dict[str, str]
) -> dict[str, Any]:
    """Return a round of monitoring as JSON holds it.

    Parameters
    ----------
    monitored
        A :class:`omics_twin.lifecycle.monitoring.Monitored`.
    model, cohort
        Which model, and which patients; no patient's row.
    """
    return {
        "model": model,
        "cohort": cohort,
        "proposal": list(proposal),
        **asdict(monitored),
    }


def render(found: dict[str, Any]) -> str:
    """Return the page as HTML that loads nothing and runs nothing."""
    style = template_text("patient.css") + template_text("model_card.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    pictures = [("What is predicted, training and later patients", _expected(found["expected"]))]
    if found["features"]:
        pictures.append(("The features that shifted most", _features(found["features"][:_DRAWN])))
    if found["observed"]:
        pictures.append(("Expected and observed by fifth", _observed(found["observed"])))
    questions = [
        {**each, "title": _TITLES[each["name"]], "alarm": each["name"] in found["alarms"]}
        for each in found["questions"]
    ]
    template = environment(template_text).get_template("drift.html.j2")
    return (
        template.render(
            found=found,
            questions=questions,
            features=[
                {**each, "words": visible(name_in_words(each["feature"]))}
                for each in found["features"][:_LISTED]
            ],
            pictures=[(title, _png(figure)) for title, figure in pictures],
            style=Markup(style),
            style_digest=digest,
        )
        + "\n"
    )


def _png(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _bars(axes: Any, before: Sequence[float], later: Sequence[float]) -> None:
    shares = [np.asarray(each, dtype=float) for each in (before, later)]
    used = np.flatnonzero(sum(shares) > 0)
    places = np.arange(len(used))
    for offset, each, colour, label in (
        (-0.2, shares[0], GREY, "training"),
        (0.2, shares[1], ORANGE, "later"),
    ):
        axes.bar(places + offset, each[used] / max(each.sum(), 1.0), 0.4, color=colour, label=label)
    axes.set_xticks([])


def _told_apart(figure: Figure, axes: Any) -> None:
    """Name the colours beside the axes: a place among the bars would first have to be found."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False)


def _expected(bins: dict[str, list[float]]) -> Figure:
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    _bars(axes, bins["before"], bins["later"])
    axes.set_xlabel("Bins of the expected endpoint, low to high")
    axes.set_ylabel("Share of patients")
    _told_apart(figure, axes)
    return figure


def _features(lines: Sequence[dict[str, Any]]) -> Figure:
    rows = -(-len(lines) // 3)
    figure = Figure(figsize=(9, 2.4 * rows), layout="constrained")
    for place, line in enumerate(lines, start=1):
        axes = figure.add_subplot(rows, 3, place)
        _bars(axes, line["before"], line["later"])
        axes.set_title(visible(name_in_words(line["feature"]))[:32], fontsize=9)
        if place == 1:
            _told_apart(figure, axes)
    return figure


def _observed(lines: Sequence[dict[str, float]]) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    expected, observed = ([each[key] for each in lines] for key in ("expected", "observed"))
    ends = [min([*expected, *observed]), max([*expected, *observed])]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.plot(expected, observed, "o-", color=BLUE)
    axes.set_xlabel("Expected, mean of a fifth of the patients")
    axes.set_ylabel("Observed")
    return figure
