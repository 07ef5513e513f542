"""What an event would come of: the expected incidence of every cause, for one patient's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.answers.beliefs import Belief
from omics_twin.report.bars import Curve, Curves, Tick, corners
from omics_twin.report.comparison import Comparison
from omics_twin.report.words import probability, visible, years_in_words
from omics_twin.settings import TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import weighted_mean, weighted_quantile

_POINTS = 41


@dataclass(frozen=True)
class CauseLine:
    """One cause, or none: its probability by the horizon, and the interval of the draws."""

    name: str
    expected: str
    interval: str


@dataclass(frozen=True)
class Causes:
    """What the page says of the causes under the first therapy of the list.

    Attributes
    ----------
    plot
        Incidences on top of each other over time, the last cause uppermost.
    """

    therapy: str
    horizon: str
    lines: tuple[CauseLine, ...]
    plot: Curves


def causes_in(
    model: TrainedModel, belief: Belief, comparison: Comparison, settings: TwinSettings
) -> Causes | None:
    """Return what the event would come of, None where causes are not told apart or none is open."""
    names = model.twin.network.outcome.causes
    if not names or not comparison.opened:
        return None
    first = comparison.opened[0]
    horizon = model.endpoint.horizon_days
    days = torch.linspace(0.0, horizon, _POINTS, dtype=torch.float64)
    found = model.twin.simulate(belief.state, model.catalogue.intervention(first.arm), days)
    incidence = found.values[0, ..., 1:]
    weights = belief.state.log_weights
    mean = (incidence * weights[0].exp().view(-1, 1, 1)).sum(dim=0)
    at_end = [*incidence[:, -1].unbind(dim=-1), 1.0 - incidence[:, -1].sum(dim=-1)]
    tail = (1.0 - settings.interval) / 2.0
    lines = [
        CauseLine(visible(name), *_told(each.unsqueeze(0), weights, tail))
        for name, each in zip([*names, "none of them"], at_end, strict=True)
    ]
    told = years_in_words(horizon)
    return Causes(
        first.label, told, tuple(lines), _stacked([visible(n) for n in names], mean, told)
    )


def _told(draws: Float[Tensor, "1 draw"], weights: Tensor, tail: float) -> tuple[str, str]:
    lower, upper = (
        probability(float(weighted_quantile(draws, weights, share))) for share in (tail, 1.0 - tail)
    )
    return probability(float(weighted_mean(draws, weights))), f"{lower} to {upper}"


def _stacked(names: Sequence[str], mean: Float[Tensor, "time cause"], horizon: str) -> Curves:
    """Return the areas of the causes on top of each other; places are percentages."""
    across = [100.0 * index / (len(mean) - 1) for index in range(len(mean))]
    tops = (100.0 - 100.0 * mean.cumsum(dim=1)).T.tolist()
    below = [100.0] * len(across)
    drawn = []
    for number, (name, top) in enumerate(zip(names, tops, strict=True)):
        line = [(x, round(y, 2)) for x, y in zip(across, top, strict=True)]
        back = [(x, round(y, 2)) for x, y in zip(across, below, strict=True)][::-1]
        drawn.append(Curve(name, number, corners(line), corners([*line, *back]), tuple(line)))
        below = top
    ticks = tuple(Tick(100.0 - share, f"{share} %") for share in (0, 25, 50, 75, 100))
    return Curves(tuple(drawn), (Tick(0.0, "now"), Tick(100.0, horizon)), ticks)
