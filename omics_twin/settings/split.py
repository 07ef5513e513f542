"""Who is held out; ``conf/split``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omics_twin.settings.ranges import require


class SplitBy(Enum):
    """What is held out together."""

    PATIENT = "patient"
    SITE = "site"
    TIME = "time"
    DECLARED = "declared"
    THERAPY = "therapy"


@dataclass
class SplitSettings:
    """Who is held out, and how many members learn from the rest; ``conf/split``.

    Attributes
    ----------
    folds, repeats
        Every patient is held out once per repeat.
    by
        Whether patients, whole sites or later patients are held out, or the cohort's declared
        folds, once; or whole arms in turn, for twins that know doses.
    only
        Of arms held out in turn, only these; the twin of everybody then learns from the others
        alone. Empty: each.
    replicas
        Ensemble members per repeat and fold.
    stopping_share
        Share of a member's patients that decide when it stops.
    bayesian_bootstrap
        Whether members weigh their patients at random.
    seed
        Of the division.
    """

    folds: int = 5
    repeats: int = 5
    by: SplitBy = SplitBy.PATIENT
    only: list[str] = field(default_factory=list)
    replicas: int = 4
    stopping_share: float = 0.15
    bayesian_bootstrap: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse divisions that hold out nobody or everybody."""
        require("split.folds", self.folds, 2, 1000)
        require("split.repeats", self.repeats, 1, 1000)
        require("split.replicas", self.replicas, 1, 1000)
        require("split.stopping_share", self.stopping_share, 0.01, 0.9)
        require("split.seed", self.seed, 0, 2**31 - 1)
