"""A tumour's size as it was and as it would be under each plan, on one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import torch
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from omics_twin.bedside import Compared
from omics_twin.belief import KeptBelief
from omics_twin.dynamics.plan import administrations, plan_of
from omics_twin.evaluate.plots import BLUE, GREEN, GREY, ORANGE, blank
from omics_twin.files import write_whole
from omics_twin.living import LivingModel
from omics_twin.therapy.rank import order

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
_STYLES = ("-", "--", ":", "-.", "-", "--")
_MOST = 6
_SIZES = {"size_mm": "Sum of longest diameters (mm)", "volume_cm3": "Volume (cm³)"}


def plans_figure(model: LivingModel, kept: KeptBelief, found: Compared) -> Figure:
    """Draw bands of the size under the first plans, what was measured, and RECIST's lines."""
    diameters, is_size = found.quantity == "size_mm", found.quantity in _SIZES
    figure, axes = blank(
        "Size of the tumour under each plan" if is_size else "What would happen under each plan",
        "Days since the index date",
        _SIZES.get(found.quantity, f"Probability of '{found.quantity}'"),
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
    days, sizes = _measured(model, kept) if is_size else ([], [])
    if not is_size:
        axes.set_ylim(0.0, 1.02)
    if len(sizes):
        axes.plot(days, sizes, "o", color="black", label="measured", zorder=5)
        lowest = min(sizes)
        worse = max(1.2 * lowest, lowest + 5.0)
        lines = ((worse, "progression"), (0.7 * sizes[0], "partial response"))
        for size, what in lines if diameters else ():
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
        given = [visit.under for visit in kept.visits]
        seen = [float(visit.observation.days[0]) for visit in kept.visits]
        plan = plan_of(seen, given, found.plans[option])
        days = [day for day, _ in administrations(plan) if day <= found.days[-1]]
        axes.plot(  # type: ignore[attr-defined]
            days,
            [-0.1 - 0.025 * place] * len(days),
            "|",
            color=_COLOURS[place],
            transform=axes.get_xaxis_transform(),  # type: ignore[attr-defined]
            clip_on=False,
        )


def _measured(model: LivingModel, kept: KeptBelief) -> tuple[list[float], list[float]]:
    days, sizes = [], []
    for visit in kept.visits:
        values = visit.observation.values.get(model.twin.modality.name)
        if values is not None and not bool(torch.isnan(values).all()):
            days.append(float(visit.observation.days[0]))
            sizes.append(float(model.twin.sizes(values)[0]))
    return days, sizes


def write_plans(output: Path, model: LivingModel, kept: KeptBelief, found: Compared) -> None:
    """Write the page, whole or not at all."""
    picture = io.BytesIO()
    plans_figure(model, kept, found).savefig(picture, format="png", dpi=130)
    ranking = found.ranking
    lines = [
        {
            "name": ranking.interventions[option],
            "expected": f"{float(ranking.expected[0, option]):.2f}",
            "interval": f"{float(ranking.lower[0, option]):.2f} to "
            f"{float(ranking.upper[0, option]):.2f}",
            "best": f"{float(ranking.probability_best[0, option]):.2f}",
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
        described="Curves with bands under each plan, and what was measured",
        picture=base64.b64encode(picture.getvalue()).decode(),
        interval=f"{100 * ranking.interval:.0f} %",
        lines=lines,
        twin=model.twin.name,
        patients=model.provenance["patients"],
        cohort=model.provenance["cohort"],
        visits=len(kept.visits),
    )
    write_whole(output, page.encode() + b"\n")
