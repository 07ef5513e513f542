"""The belief about a patient; ``conf/twin``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings.ranges import require


class CalibrationBy(Enum):
    """What makes the intervals of a belief hold."""

    SIMULATED_COPY = "simulated_copy"
    NONE = "none"


@dataclass
class TwinSettings:
    """The belief about a patient; ``conf/twin``.

    Attributes
    ----------
    draws
        Draws per patient; at least one per ensemble member is taken.
    seed
        Of the draws.
    interval
        Share of the belief inside the interval that is shown.
    confidence
        A therapy other than the one usual in the stratum is recommended where the belief that it
        is better is at least this.
    calibration
        ``SIMULATED_COPY``: training is repeated on a copy of the cohort whose truth is known, and
        draws are moved apart until intervals hold there; ``NONE``: intervals are the twin's own.
    least_benefit
        Lack of benefit is told where the belief that the present therapy is better, than none or
        than another one that is open, is below this: the share of such alerts that may be false.
    benefit_margin
        Another therapy has to be better by at least this, in units of the endpoint.
    """

    draws: int = 800
    seed: int = 0
    interval: float = 0.9
    confidence: float = 0.6
    calibration: CalibrationBy = CalibrationBy.SIMULATED_COPY
    least_benefit: float = 0.2
    benefit_margin: float = 0.1

    def __post_init__(self) -> None:
        """Refuse beliefs that cannot be held."""
        require("twin.draws", self.draws, 1, 1_000_000)
        require("twin.seed", self.seed, 0, 2**31 - 1)
        require("twin.interval", self.interval, 0.01, 0.999)
        require("twin.confidence", self.confidence, 0.0, 1.0)
        require("twin.least_benefit", self.least_benefit, 0.0, 1.0)
        require("twin.benefit_margin", self.benefit_margin, 0.0)
