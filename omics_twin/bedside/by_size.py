"""What RECIST 1.1 would say of a plan, where sizes are sums of diameters: by size alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omics_twin.dynamics.recist import SCAN_DAYS, Response, best_response, progression_day
from omics_twin.report.words import name_in_words
from omics_twin.types import Intervention, Twin, TwinState


@dataclass(frozen=True)
class BySize:
    """What scans every eight weeks would come to, those before counted as they were measured.

    Attributes
    ----------
    best
        Category of the best overall response -> its probability.
    progression_days
        Lower, median and upper day of the scan at which progression is first seen; infinity: not
        up to the last one [day].
    last_day
        Of the last scan [day].
    """

    best: Mapping[str, float]
    progression_days: tuple[float, float, float]
    last_day: float

    def __str__(self) -> str:
        """Return what a person is told."""
        lower, median, upper = (
            f"after {self.last_day:.0f}" if math.isinf(each) else f"{each:.0f}"
            for each in self.progression_days
        )
        likely = ", ".join(
            f"{name_in_words(name)} {share:.2f}"
            for name, share in self.best.items()
            if share >= 0.005
        )
        return f"best response {likely}; day of progression {median} ({lower} to {upper})"

    def as_record(self) -> dict[str, Any]:
        """Return plain values; a day that is not reached is None."""
        days = (None if math.isinf(each) else each for each in self.progression_days)
        return {
            "best_response": dict(self.best),
            "progression_days": dict(zip(("lower", "median", "upper"), days, strict=True)),
        }


def by_size(
    twin: Twin,
    state: TwinState,
    plan: Intervention,
    measured: tuple[Sequence[float], Sequence[float]],
    horizon_days: float,
    interval: float,
) -> BySize:
    """Return what scans of the only patient would come to under a plan.

    Parameters
    ----------
    measured
        Days and sizes of the scans so far, the first of which is the baseline; without one it is
        the size that each draw has now [day], [mm].
    horizon_days
        Up to which there are scans, from the last visit on [day].
    """
    days, sizes = (torch.tensor(each, dtype=torch.float64) for each in measured)
    now = float(state.days[0])
    ahead = now + torch.arange(0.0, horizon_days + 1e-9, SCAN_DAYS, dtype=torch.float64)
    ahead = ahead[1:] if len(days) else ahead
    weights = state.log_weights.exp()[0].double()
    path = twin.simulate(state, plan, ahead).values[0, :, :, 0].double()
    path = torch.cat([sizes.expand(len(path), -1), path], dim=1)
    best = best_response(path)
    seen = progression_day(path, torch.cat([days, ahead]).expand_as(path))
    categories = sorted(Response, reverse=True)
    tail = (1.0 - interval) / 2.0
    return BySize(
        {each.name.lower(): float(weights[best == each].sum()) for each in categories},
        (
            _earliest(seen, weights, tail),
            _earliest(seen, weights, 0.5),
            _earliest(seen, weights, 1.0 - tail),
        ),
        float(torch.cat([days, ahead])[-1]),
    )


def _earliest(days: Tensor, weights: Tensor, share: float) -> float:
    """Return the day by which a share of the draws has progressed."""
    ordered, order = days.sort()
    reached = weights[order].cumsum(0) >= share - 1e-9
    return float(ordered[reached][0]) if bool(reached.any()) else math.inf
