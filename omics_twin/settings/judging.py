"""How a twin is judged: by its policy, by group, by attack and on later patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from omics_twin.errors import ConfigError
from omics_twin.settings.ranges import require, require_named


@dataclass
class PolicySettings:
    """How the value of following the ranking is judged.

    Attributes
    ----------
    horizon_days
        Times to event are judged by their mean up to this day; null: the endpoint's [day].
    control
        The arm that others are compared with; null: the one that most patients received.
    """

    horizon_days: float | None = None
    control: str | None = None

    def __post_init__(self) -> None:
        """Refuse a horizon in the past and a control without a name."""
        if self.horizon_days is not None:
            require("policy.horizon_days", self.horizon_days, 0.5)
        require_named("policy.control", self.control)


@dataclass
class FairnessSettings:
    """How groups of patients are compared.

    Attributes
    ----------
    least_shown
        Patients of a group whose numbers are shown; of a smaller one nothing is said.
    least_tested
        Patients of a group that is tested against all others.
    age_edges
        Lower edges of the bands of age, rising; empty: age makes no groups [year].
    """

    least_shown: int = 10
    least_tested: int = 50
    age_edges: list[float] = field(default_factory=lambda: [40.0, 50.0, 65.0, 75.0])

    def __post_init__(self) -> None:
        """Refuse groups of nobody and edges that do not rise."""
        require("fairness.least_shown", self.least_shown, 2)
        require("fairness.least_tested", self.least_tested, self.least_shown)
        if any(low >= high for low, high in zip(self.age_edges, self.age_edges[1:], strict=False)):
            raise ConfigError(
                f"fairness.age_edges is {self.age_edges}, expected rising ages such as [50, 65]"
            )


@dataclass
class AttackSettings:
    """How training patients are told from others, to see whether they can be.

    Attributes
    ----------
    folds, repeats
        Whole ensembles that are trained and attacked: in every repeat each leaves out one fold.
    """

    folds: int = 5
    repeats: int = 3

    def __post_init__(self) -> None:
        """Refuse attacks without patients or twins to compare with."""
        require("attack.folds", self.folds, 2, 1000)
        require("attack.repeats", self.repeats, 2, 1000)


@dataclass
class MonitorSettings:
    """When later patients raise an alarm.

    Attributes
    ----------
    level
        Share of the rounds in which an alarm is raised though nothing has changed, at most.
    least_stability
        Smaller shifts of a feature (population stability index) raise none, however sure.
    least_missing
        Nor do smaller changes of the share of patients in whom something is measured,
    least_bias
        nor smaller changes of the mean residual, in its standard deviations.
    least_coverage
        nor smaller changes of the share of intervals that hold.
    fewest
        Fewer patients, or outcomes, are not judged.
    since
        Of a chart: only patients who were admitted on this day (UTC) or later; null: all.
    """

    level: float = 0.05
    least_stability: float = 0.1
    least_missing: float = 0.05
    least_bias: float = 0.1
    least_coverage: float = 0.03
    fewest: int = 20
    since: str | None = None

    def __post_init__(self) -> None:
        """Refuse levels that always or never raise an alarm, and a day that is none."""
        require("monitor.level", self.level, 1e-6, 0.5)
        for name in ("least_stability", "least_missing", "least_bias", "least_coverage"):
            require(f"monitor.{name}", getattr(self, name), 0.0, 10.0)
        require("monitor.fewest", self.fewest, 10, 1_000_000)
        _ = self.since_day

    @property
    def since_day(self) -> date | None:
        """The day of ``since``."""
        try:
            return None if self.since is None else date.fromisoformat(self.since)
        except ValueError as error:
            raise ConfigError(
                f"'monitor.since' is '{self.since}', expected a date such as 2027-01-31"
            ) from error
