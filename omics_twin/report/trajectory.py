"""A tumour's size as it was and as it would be under each plan, on one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from omics_twin.bedside.belief import KeptBelief
from omics_twin.bedside.plans import dosed_days
from omics_twin.bedside.watching import Compared
from omics_twin.dynamics.recist import response_lines
from omics_twin.evaluate.plots import BLUE, GREEN, GREY, ORANGE, blank
from omics_twin.files import write_whole
from omics_twin.lifecycle.validity import unlike_them
from omics_twin.therapy.rank import order
from omics_twin.tracking import AnyModel
from omics_twin.visits.living import LivingModel

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
_STYLES = ("-", "--", ":", "-.", "-", "--")
_MOST = 6
_DIAMETERS = "size_mm"


def plans_figure(kept: KeptBelief, found: Compared) -> Figure:
    """Draw bands under the first plans, what was measured, and RECIST's lines."""
    diameters = found.quantity == _DIAMETERS
    figure, axes = blank(
        "What would happen under each plan",
        "Days since the index date",
        found.axis,
        height=5.2,
        width=8.4,
    )
    now = float(kept.visits[-1].observation.days[0]) if kept.visits else 0.0
    ahead = found.days >= now
    first, rest = order(found.ranking, 0)[:1], order(found.ranking, 0)[1:_MOST]
    for place, option in enumerate([*first, *rest]):
        lower, middle, upper = found.sizes[option]
        colour = _COLOURS[place]
        shown = np.ones_like(ahead) if place == 0 else ahead
        axes.plot(
            found.days[shown],
            middle[shown],
            _STYLES[place],
            color=colour,
            label=found.plans[option].name,
        )
        axes.fill_between(found.days[shown], lower[shown], upper[shown], color=colour, alpha=0.15)
    days, sizes = found.measured
    if found.axis.startswith("Probability"):
        axes.set_ylim(0.0, 1.02)
    if len(sizes):
        axes.plot(days, sizes, "o", color="black", label="measured", zorder=5)
        for what, size in response_lines(sizes) if diameters else ():
            axes.axhline(size, color=GREY, linewidth=1, linestyle=":")
            axes.annotate(what, (found.days[-1], size), ha="right", va="bottom", fontsize=8)
        median = max(float(found.sizes[option][1].max()) for option in [*first, *rest])
        axes.set_ylim(0.0, max(1.6 * max(sizes), 1.2 * median) + (5.0 if diameters else 0.0))
    axes.axvline(now, color=GREY, linewidth=1)
    axes.xaxis.labelpad = 14.0 * (1 + len(rest))
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    _schedules(axes, kept, found)
    return figure


def _schedules(axes: object, kept: KeptBelief, found: Compared) -> None:
    """Mark the days of doses below the curves, a row for each plan."""
    for place, option in enumerate(order(found.ranking, 0)[:_MOST]):
        days = dosed_days(kept, found.plans[option], float(found.days[-1]))
        axes.plot(  # type: ignore[attr-defined]
            days,
            [-0.1 - 0.025 * place] * len(days),
            "|",
            color=_COLOURS[place],
            transform=axes.get_xaxis_transform(),  # type: ignore[attr-defined]
            clip_on=False,
        )


def _answers_figure(found: Compared, title: str) -> Figure:
    """Draw the answer under each plan with its interval, best above."""
    ranking, best_first = found.ranking, order(found.ranking, 0)
    height = 1.6 + 0.42 * len(best_first)
    figure, axes = blank("Under each plan", title, "", height=height, width=8.4)
    expected, lower, upper = (
        [float(each[0, option]) for option in best_first]
        for each in (ranking.expected, ranking.lower, ranking.upper)
    )
    places = range(len(best_first), 0, -1)
    axes.hlines(places, lower, upper, color=BLUE, linewidth=2)
    axes.plot(expected, places, "o", color=BLUE)
    axes.set_yticks(list(places), [ranking.interventions[option] for option in best_first])
    return figure


def write_plans(output: Path, model: AnyModel, kept: KeptBelief, found: Compared) -> None:
    """Write the page, whole or not at all."""
    picture, curves = io.BytesIO(), found.sizes.shape[-1] > 0
    figure = plans_figure(kept, found) if curves else _answers_figure(found, model.title)
    figure.savefig(picture, format="png", dpi=130, bbox_inches="tight")
    ranking = found.ranking
    lines = [
        {
            "name": ranking.interventions[option],
            "expected": f"{float(ranking.expected[0, option]):.2f}",
            "interval": f"{float(ranking.lower[0, option]):.2f} to "
            f"{float(ranking.upper[0, option]):.2f}",
            "best": f"{float(ranking.probability_best[0, option]):.2f}",
            "by_size": str(found.by_size[option]).capitalize() if found.by_size else "",
        }
        for option in order(ranking, 0)
    ]
    folder = Path(__file__).parent
    style = (folder / "patient.css").read_text(encoding="utf-8")
    template = (folder / "plans.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        style=Markup(style),
        title=model.title,
        horizon=f"{model.endpoint.horizon_days:g}",
        since="the last scan" if isinstance(model, LivingModel) else "the index date",
        described="Curves with bands under each plan, and what was measured"
        if curves
        else "The answer under each plan with its interval",
        heading=found.axis or model.title,
        unlike=unlike_them(ranking.likeness[0] if ranking.likeness else None),
        picture=base64.b64encode(picture.getvalue()).decode(),
        interval=f"{100 * ranking.interval:.0f} %",
        lines=lines,
        twin=model.twin.name,
        patients=model.provenance.get("patients", "not recorded"),
        cohort=model.provenance.get("cohort", "not recorded"),
        visits=len(kept.visits),
    )
    write_whole(output, page.encode() + b"\n")
