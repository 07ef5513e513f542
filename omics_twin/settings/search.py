"""Which settings are tried; ``conf/search``."""

from __future__ import annotations

from dataclasses import dataclass, field

from omics_twin.settings.ranges import require


@dataclass
class SearchSettings:
    """Which settings are tried, and how they are judged; ``conf/search``.

    Attributes
    ----------
    trials, batch
        Settings tried for each choice to be made, and how many of them train as one batch.
    outer_folds, inner_folds
        Patients of an outer fold judge the choice that inner folds of all others led to.
    replicas
        Ensemble members per inner fold.
    timeout_minutes
        After this no further batch is started; null: no limit [minute].
    seed
        Of the proposals.
    space
        ``model`` or ``trainer`` -> setting -> values to try, in Hydra's grammar of sweeps:
        ``interval(0.1, 1)``, ``tag(log, interval(1e-3, 1))``, ``choice(8, 16)``, ``range(1, 5)``.
    """

    trials: int = 40
    batch: int = 8
    outer_folds: int = 5
    inner_folds: int = 3
    replicas: int = 2
    timeout_minutes: float | None = None
    seed: int = 0
    space: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a search that tries nothing or holds out nobody."""
        for name in ("trials", "batch", "replicas"):
            require(f"search.{name}", getattr(self, name), 1, 100_000)
        for name in ("outer_folds", "inner_folds"):
            require(f"search.{name}", getattr(self, name), 2, 1000)
        if self.timeout_minutes is not None:
            require("search.timeout_minutes", self.timeout_minutes, 0.0)
        require("search.seed", self.seed, 0, 2**31 - 1)
