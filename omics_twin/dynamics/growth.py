"""Tumour size in closed form: growth, inhibition that wears off, and simpler laws beside it.

Sizes are sums of longest diameters [mm]; rates are per day. Closed forms are exact, so they serve
both as fast dynamics and as what solvers are checked against.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.plan import Plan
from omics_twin.types import Dose

# More than a body holds.
LARGEST_MM = 500.0
_SLOW = 1e-9


@dataclass(frozen=True)
class GrowthInhibition:
    """Claret's model of growth inhibition under exposures that are constant for some time.

    ``d size / d day = (growth - kill E(day) exp(-resistance (day - first exposure))) size``.

    Attributes
    ----------
    exposure
        Exposure per unit of amount while a drug is in force; ``None``: any drug counts as its
        amount, so that a trial's standard dose is 1.

    References
    ----------
    Claret et al. 2009, doi:10.1200/JCO.2008.21.0807; Schindler et al. 2016,
    doi:10.1002/psp4.12057.

    Examples
    --------
    >>> model = GrowthInhibition()
    >>> unity = torch.tensor([[[50.0, 0.01, 0.0, 0.001]]], dtype=torch.float64)
    >>> float(model.run(unity, [()], torch.tensor([[100.0]], dtype=torch.float64)).log())
    4.912...
    """

    exposure: Mapping[str, float] | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """What differs between patients, on natural scales."""
        return ("size_mm", "growth_per_day", "kill_per_day", "resistance_per_day")

    @property
    def states(self) -> tuple[str, ...]:
        """What changes."""
        return ("size_mm",)

    @property
    def drugs(self) -> tuple[str, ...] | None:
        """What can be given; ``None``: anything."""
        return None if self.exposure is None else tuple(self.exposure)

    def run(
        self,
        parameters: Float[Tensor, "patient draw parameter"],
        plans: Sequence[Plan],
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time state"]:
        """Return the size on some days since the index date."""
        size, growth, kill, resistance = parameters.unsqueeze(2).unbind(-1)
        starts, ends, levels = (each.to(parameters) for each in intervals(plans, self.exposure))
        first = torch.where(levels > 0, starts, torch.inf).amin(dim=1)
        first = torch.where(torch.isfinite(first), first, 0.0)
        begin = (starts - first[:, None])[:, None, None, :]
        until = torch.minimum(ends[:, None, :], days.to(parameters)[..., None])
        until = torch.maximum(until, starts[:, None, :]) - first[:, None, None]
        slow = resistance.clamp(min=_SLOW)[..., None]
        faded = torch.exp(-slow * begin) - torch.exp(-slow * until[:, None])
        effect = (levels[:, None, None, :] * faded / slow).sum(dim=-1)
        log_size = torch.log(size) + growth * days.to(parameters)[:, None] - kill * effect
        return torch.exp(log_size).unsqueeze(-1)


@dataclass(frozen=True)
class TwoClones:
    """A sensitive clone that shrinks while a drug is in force, and a resistant one that does not.

    ``size^3`` is ``(1 - share) exp(3 (growth day - kill E)) + share exp(3 growth day)`` times that
    of the beginning, where E is the exposure up to the day; any drug counts as its amount. Under
    exposure 1 it is Stein and Fojo's generalised law of the volume.

    References
    ----------
    Chatterjee et al. 2017, doi:10.1002/psp4.12158.

    Examples
    --------
    >>> half = torch.tensor([[[50.0, 0.5, 0.0, 1.0]]])
    >>> from omics_twin.dynamics.plan import plan_of
    >>> from omics_twin.types import Intervention
    >>> ever = plan_of([], [], Intervention("a", (Dose("a"),)))
    >>> round(float(TwoClones().run(half, [ever], torch.tensor([[99.0]])) / 50.0) ** 3, 3)
    0.5
    """

    @property
    def parameters(self) -> tuple[str, ...]:
        """What differs between patients, on natural scales."""
        return ("size_mm", "resistant_share", "growth_per_day", "kill_per_day")

    @property
    def states(self) -> tuple[str, ...]:
        """What changes."""
        return ("size_mm",)

    @property
    def drugs(self) -> tuple[str, ...] | None:
        """What can be given: anything."""
        return None

    def run(
        self,
        parameters: Float[Tensor, "patient draw parameter"],
        plans: Sequence[Plan],
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time state"]:
        """Return the size on some days since the index date."""
        size, share, growth, kill = parameters.unsqueeze(2).unbind(-1)
        starts, ends, levels = (each.to(parameters)[:, None] for each in intervals(plans))
        until = torch.minimum(ends, days.to(parameters)[..., None])
        exposed = (levels * (until - starts).clamp(min=0.0)).sum(dim=-1)[:, None]
        left = (1.0 - share) * torch.exp(-3.0 * kill * exposed) + share
        grown = growth * days.to(parameters)[:, None] + torch.log(left) / 3.0
        log_size = torch.log(size) + grown
        return torch.exp(log_size.clamp(max=math.log(LARGEST_MM))).unsqueeze(-1)


def intervals(
    plans: Sequence[Plan], exposure: Mapping[str, float] | None = None
) -> tuple[Float[Tensor, "patient dose"], ...]:
    """Return from when to when each exposure holds and its level, padded with empty ones.

    Parameters
    ----------
    exposure
        Exposure per unit of amount while a drug is in force; ``None``: any counts as its amount.
    """
    found = [_of(plan, exposure) for plan in plans]
    width = max((len(each) for each in found), default=0) or 1
    rows = [each + [(0.0, 0.0, 0.0)] * (width - len(each)) for each in found]
    table = torch.tensor(rows, dtype=torch.float64).reshape(len(plans), width, 3)
    return table.unbind(-1)


def _of(plan: Plan, exposure: Mapping[str, float] | None) -> list[tuple[float, float, float]]:
    found = []
    for segment in plan:
        for dose in segment.intervention.doses:
            start, end = max(segment.start_days, dose.start_days, 0.0), segment.end_days
            end = min(end, _until(dose))
            scale = 1.0 if exposure is None else exposure[dose.drug]
            if end > start:
                found.append((start, min(end, 1e9), scale * dose.amount))
    return found


def _until(dose: Dose) -> float:
    """Return when a therapy is no longer in force; one without an end goes on."""
    if dose.interval_days > 0:
        return dose.start_days + dose.repeat * dose.interval_days
    return dose.start_days + dose.duration_days if dose.duration_days > 0 else float("inf")


def time_to_growth(
    growth: Float[Tensor, "..."], kill: Float[Tensor, "..."], resistance: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return when the size is smallest under constant exposure 1, 0 where it never shrinks.

    Examples
    --------
    >>> per_week = [torch.tensor(each) for each in (0.0104796, 0.0165971 * 50 / 32.819, 0.0200529)]
    >>> round(float(time_to_growth(*per_week)), 2)
    43.92
    """
    return (torch.log(kill / growth) / resistance).clamp(min=0.0)


def nadir(
    growth: Float[Tensor, "..."], kill: Float[Tensor, "..."], resistance: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Return the smallest size as a share of the first under constant exposure 1."""
    when = time_to_growth(growth, kill, resistance)
    return torch.exp(growth * when - kill * (1.0 - torch.exp(-resistance * when)) / resistance)


def stein_fojo(
    size: Float[Tensor, "..."],
    shrinkage: Float[Tensor, "..."],
    growth: Float[Tensor, "..."],
    days: Float[Tensor, "..."],
    sensitive: Float[Tensor, "..."] | float = 1.0,
) -> Float[Tensor, "..."]:
    """Return the size by Stein and Fojo's law, or its generalised form.

    Parameters
    ----------
    sensitive
        Share of the tumour that shrinks in the generalised form. 1: the original law, in which
        all of it shrinks and all of it grows.

    References
    ----------
    Stein et al. 2008, doi:10.1634/theoncologist.2008-0075; Chatterjee et al. 2017,
    doi:10.1002/psp4.12158 (generalised).

    Examples
    --------
    >>> one = torch.tensor(1.0)
    >>> float(stein_fojo(one, one, one, torch.tensor(0.0)))
    1.0
    """
    shrinking, growing = torch.exp(-shrinkage * days), torch.exp(growth * days)
    original = shrinking + growing - 1.0
    share = torch.as_tensor(sensitive)
    return size * torch.where(share >= 1.0, original, share * shrinking + (1 - share) * growing)


def stein_fojo_time_to_growth(
    shrinkage: Float[Tensor, "..."],
    growth: Float[Tensor, "..."],
    sensitive: Float[Tensor, "..."] | float = 1.0,
) -> Float[Tensor, "..."]:
    """Return when the size is smallest by Stein and Fojo's law, 0 where it never shrinks.

    Examples
    --------
    >>> float(stein_fojo_time_to_growth(torch.tensor(2.0), torch.tensor(1.0)).mul(3).exp())
    2.0
    """
    share = torch.as_tensor(sensitive)
    odds = torch.where(share >= 1.0, 1.0, share / (1.0 - share).clamp(min=1e-12))
    found = torch.log(shrinkage / growth * odds) / (shrinkage + growth)
    return found.clamp(min=0.0)


def wang(
    size: Float[Tensor, "..."],
    shrinkage: Float[Tensor, "..."],
    progression_mm_per_day: Float[Tensor, "..."],
    days: Float[Tensor, "..."],
) -> Float[Tensor, "..."]:
    """Return the size by Wang's law: exponential shrinkage and linear progression [mm].

    References
    ----------
    Wang et al. 2009, doi:10.1038/clpt.2009.64.

    Examples
    --------
    >>> float(wang(*(torch.tensor(each) for each in (50.0, 0.0, 0.5, 10.0))))
    55.0
    """
    return size * torch.exp(-shrinkage * days) + progression_mm_per_day * days
