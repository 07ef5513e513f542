"""Intervals that keep their coverage where forecasts drift: adaptive conformal inference."""

from __future__ import annotations

from dataclasses import dataclass, replace

_LEAST, _MOST = 1e-4, 1.0 - 1e-4


@dataclass(frozen=True)
class AdaptiveLevel:
    """The level at which a forecast's intervals are read, moved by whether they held.

    Attributes
    ----------
    wanted
        Share of intervals that shall not hold.
    step
        How far a miss moves the level.
    level
        Share outside at which the next interval is read; below 0, everything is inside.

    References
    ----------
    Gibbs & Candes 2021, arXiv:2106.00170.

    Examples
    --------
    >>> AdaptiveLevel(0.1).after(missed=True).level < 0.1
    True
    """

    wanted: float = 0.1
    step: float = 0.02
    level: float = 0.1

    @property
    def tails(self) -> tuple[float, float]:
        """Return the shares of the forecast at which the next interval begins and ends."""
        outside = min(max(self.level, _LEAST), _MOST)
        return outside / 2.0, 1.0 - outside / 2.0

    def after(self, *, missed: bool) -> AdaptiveLevel:
        """Return the level after an interval that held, or did not."""
        return replace(self, level=self.level + self.step * (self.wanted - float(missed)))
