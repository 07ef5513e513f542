"""How far a twin's draws are moved apart, and its probabilities drawn in, so that both hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    """What was learned on a simulated copy of the training cohort; see ``judged/holding.py``.

    Attributes
    ----------
    level
        Share of the belief inside the interval that was calibrated.
    spread
        Factor on the distance of every draw from the mean, beyond the twin's own.
    by_stratum
        The same for a stratum with enough patients of its own.
    power
        Exponent on the probabilities of being best; below 1 they are drawn together.
    arms
        Share of an interval's half-width that is kept under one arm: differences between arms need
        draws farther apart than the arms themselves.
    fitted
        Whether anything was calibrated: without it, every number is the twin's own.
    arms_by_stratum
        ``arms`` of a stratum with enough patients of its own.
    """

    level: float = 0.9
    spread: float = 1.0
    by_stratum: Mapping[str, float] = field(default_factory=dict)
    power: float = 1.0
    arms: float = 1.0
    fitted: bool = False
    arms_by_stratum: Mapping[str, float] = field(default_factory=dict)

    def spread_of(self, strata: Sequence[str]) -> Float[Tensor, " patient"]:
        """Return the factor of each patient by stratum.

        Examples
        --------
        >>> Calibration(spread=2.0, by_stratum={"hr 1": 1.5}).spread_of(["hr 1", "hr 0"]).tolist()
        [1.5, 2.0]
        """
        return torch.tensor([self.by_stratum.get(each, self.spread) for each in strata])

    def arms_of(self, strata: Sequence[str]) -> Float[Tensor, " patient"]:
        """Return the share of the half-width that is kept under one arm, by stratum.

        Examples
        --------
        >>> Calibration(arms=0.75, arms_by_stratum={"hr 1": 0.5}).arms_of(["hr 1", "hr 0"]).tolist()
        [0.5, 0.75]
        """
        return torch.tensor([self.arms_by_stratum.get(each, self.arms) for each in strata])

    def moved_apart(self, strata: Sequence[str]) -> Float[Tensor, " patient"] | None:
        """Return the factor of each patient, ``None`` where nothing was calibrated."""
        return self.spread_of(strata) if self.fitted else None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "level": self.level,
            "spread": self.spread,
            "by_stratum": dict(self.by_stratum),
            "power": self.power,
            "arms": self.arms,
            "fitted": self.fitted,
            "arms_by_stratum": dict(self.arms_by_stratum),
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Calibration:
        """Return the calibration stored by :meth:`to_json`."""
        return Calibration(**stored)


def sharpened(
    probability: Float[Tensor, "patient option"], power: float
) -> Float[Tensor, "patient option"]:
    """Return probabilities to a power, so that those of a patient sum to one again; NaN stays.

    Examples
    --------
    >>> sharpened(torch.tensor([[0.8, 0.2]]), 0.5).round(decimals=3).tolist()
    [[0.6669999957084656, 0.3330000042915344]]

    References
    ----------
    Temperature scaling: Guo et al. 2017, arXiv:1706.04599.
    """
    raised = probability**power
    return raised / raised.nansum(dim=1, keepdim=True).clamp(min=1e-12)
