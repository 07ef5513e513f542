"""What a baseline may see: a plain numpy design and an outcome, and how features are made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError, quoted
from omics_twin.intake.declaration import OutcomeKind

WIDE_MODALITY = 100
WIDE_DESIGN = 200
COMPONENTS = 20


@dataclass(frozen=True)
class Design:
    """Measurements and therapies of a cohort as plain arrays.

    Attributes
    ----------
    values
        Shape (patient, feature); NaN: not measured.
    names, modality
        Name and modality of each feature.
    binary
        Shape (feature,), whether a feature takes two values only.
    arms
        Shape (patient,), index into ``arm_names``; -1: not known.
    agents
        Shape (arm, agent), 1 where the arm contains the agent; may have no agent.
    """

    values: Float[ndarray, "patient feature"]
    names: tuple[str, ...]
    modality: tuple[str, ...]
    binary: Bool[ndarray, " feature"]
    arms: Int[ndarray, " patient"]
    arm_names: tuple[str, ...]
    agents: Float[ndarray, "arm agent"]
    agent_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        patients, features = self.values.shape
        lengths = {
            "names": (len(self.names), features),
            "modality": (len(self.modality), features),
            "binary": (len(self.binary), features),
            "arms": (len(self.arms), patients),
            "agents": (len(self.agents), len(self.arm_names)),
            "agent_names": (len(self.agent_names), self.agents.shape[1]),
        }
        for name, (found, expected) in lengths.items():
            if found != expected:
                raise CohortError(f"design.{name} has length {found}, expected {expected}")
        if patients and not -1 <= self.arms.min() <= self.arms.max() < len(self.arm_names):
            raise CohortError(
                f"design.arms holds indices from {self.arms.min()} to {self.arms.max()}, "
                f"expected -1 (not known) to {len(self.arm_names) - 1}"
            )
        if np.isinf(self.values).any():
            infinite = np.asarray(self.names)[np.isinf(self.values).any(axis=0)]
            raise CohortError(
                f"features {quoted(infinite)} hold infinite values; use NaN for not measured"
            )


@dataclass(frozen=True)
class Outcome:
    """What was observed; a patient whose value is NaN is predicted but never trained on.

    Attributes
    ----------
    values
        Shape (patient,): 0/1, a number, or the time to event or censoring [day].
    event
        Time to event only: shape (patient,), True where the event was seen.
    grid_days
        Time to event only: shape (time,), days at which survival is predicted [day].
    first_days, cause
        Competing events only, shape (patient,): the day on which the first event of any kind came
        or follow-up ended [day]; 0 for censored, 1 for the event, 2 for another. Survival is then
        of not having had the event, and ``values`` and ``event`` are as
        :func:`omics_twin.evaluate.competing.followed_on` makes them.
    by_cause, causes
        Time to event only, where the kinds of the event are told apart and all of them count:
        shape (patient,), 0 for no event, 1 for the first of ``causes`` and so on; their names.
    """

    kind: OutcomeKind
    values: Float[ndarray, " patient"]
    event: Bool[ndarray, " patient"] | None = None
    grid_days: Float[ndarray, " time"] | None = None
    first_days: Float[ndarray, " patient"] | None = None
    cause: Int[ndarray, " patient"] | None = None
    by_cause: Int[ndarray, " patient"] | None = None
    causes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the values are those of the kind."""
        seen = self.values[np.isfinite(self.values)]
        if self.kind is OutcomeKind.BINARY and not np.isin(seen, (0.0, 1.0)).all():
            odd = seen[~np.isin(seen, (0.0, 1.0))][0]
            raise CohortError(f"a binary outcome holds {odd:g}, expected 0, 1 or NaN")
        if self.kind is not OutcomeKind.TIME_TO_EVENT:
            return
        if self.event is None or self.grid_days is None or len(self.grid_days) == 0:
            raise CohortError("a time-to-event outcome needs 'event' and at least one 'grid_days'")
        if len(self.event) != len(self.values):
            raise CohortError(
                f"outcome.event has {len(self.event)} patients, values has {len(self.values)}"
            )
        if self.by_cause is not None and (self.event != (self.by_cause > 0)).any():
            raise CohortError(
                "outcome.by_cause names a cause where 'event' has no event, or none where it has "
                "one: give every event its cause"
            )
        if seen.size and seen.min() < 0:
            raise CohortError(f"a time to event is {seen.min():g} days, expected 0 or more")

    def at(self, rows: Bool[ndarray, " patient"] | Int[ndarray, " chosen"]) -> Outcome:
        """Return the outcome of some of the patients."""
        of_patients = ("values", "event", "first_days", "cause", "by_cause")
        held = {name: getattr(self, name) for name in of_patients}
        return replace(self, **{n: each[rows] for n, each in held.items() if each is not None})

    @property
    def first(self) -> tuple[Float[ndarray, " patient"], Int[ndarray, " patient"]] | None:
        """Day and cause of the first event of any kind; None where no other can come first."""
        if self.first_days is None or self.cause is None:
            return None
        return self.first_days, self.cause

    @property
    def followed(self) -> tuple[Bool[ndarray, " patient"], Float[ndarray, " time"]]:
        """The events and the grid of a time-to-event outcome.

        Raises
        ------
        CohortError
            If the outcome is of another kind.
        """
        if self.event is None or self.grid_days is None:
            raise CohortError(f"a {self.kind.value} outcome has no events and no 'grid_days'")
        return self.event, self.grid_days


@dataclass(frozen=True)
class Recipe:
    """How a design becomes a matrix; fitted on training patients only.

    Attributes
    ----------
    median, centre, scale
        Each (feature,): imputation and standardisation. Binary features are multiplied by two
        and not divided by their spread, so that rare mutations are not blown up (Gelman 2008).
    wide
        Shape (feature,), whether a feature's modality has more than a hundred features.
    indicators
        Features whose missingness becomes a column; one for each distinct pattern.
    loadings
        Wide modality -> (feature indices, components (feature, component) of unit-variance scores).
    """

    median: Float[ndarray, " feature"]
    centre: Float[ndarray, " feature"]
    scale: Float[ndarray, " feature"]
    wide: Bool[ndarray, " feature"]
    indicators: Int[ndarray, " indicator"]
    indicator_centre: Float[ndarray, " indicator"]
    arm_share: Float[ndarray, " arm"]
    therapy: Float[ndarray, "arm therapy"]
    therapy_share: Float[ndarray, " therapy"]
    loadings: dict[str, tuple[ndarray, ndarray]] = field(default_factory=dict)

    def standardised(self, values: Float[ndarray, "patient feature"]) -> ndarray:
        """Return imputed, centred and scaled features (patient, feature)."""
        filled = np.where(np.isnan(values), self.median, values)
        return (filled - self.centre) / self.scale

    def missing(self, values: Float[ndarray, "patient feature"]) -> ndarray:
        """Return centred missing indicators (patient, indicator)."""
        return 2.0 * (np.isnan(values[:, self.indicators]) - self.indicator_centre)

    def arms(self, arms: Int[ndarray, " patient"]) -> Float[ndarray, "patient arm"]:
        """Return centred arm columns; a patient whose arm is not known is an average one."""
        return 2.0 * _centred_rows(np.eye(len(self.arm_share)), self.arm_share, arms)

    def therapies(self, arms: Int[ndarray, " patient"]) -> Float[ndarray, "patient therapy"]:
        """Return centred columns of what differs between arms: agents, or arms without agents."""
        return 2.0 * _centred_rows(self.therapy, self.therapy_share, arms)

    def markers(
        self, standard: Float[ndarray, "patient feature"], components: int = COMPONENTS
    ) -> ndarray:
        """Return features of narrow modalities and the first component scores of wide ones."""
        narrow = np.ones(standard.shape[1], dtype=bool)
        scores = []
        for columns, loading in self.loadings.values():
            narrow[columns] = False
            scores.append(standard[:, columns] @ loading[:, :components])
        return np.hstack([standard[:, narrow], *scores])


def wide_features(design: Design) -> Bool[ndarray, " feature"]:
    """Return whether each feature's modality has more than a hundred features."""
    size = Counter(design.modality)
    return np.array([size[name] > WIDE_MODALITY for name in design.modality], dtype=bool)


def fit_recipe(design: Design, train: Int[ndarray, " train"], *, components: int) -> Recipe:
    """Fit imputation, scaling and some components of each wide modality on ``train``.

    Examples
    --------
    >>> design = Design(np.array([[1.0], [3.0]]), ("a",), ("m",), np.array([False]),
    ...                 np.array([0, 0]), ("x",), np.zeros((1, 0)), ())
    >>> fit_recipe(design, np.array([0, 1]), components=0).centre
    array([2.])

    References
    ----------
    Scaling of binary features: Gelman 2008, Statistics in Medicine, doi:10.1002/sim.3107.
    """
    values = design.values[train]
    absent = np.isnan(values)
    never = absent.all(axis=0)
    median = np.zeros(values.shape[1])
    median[~never] = np.nanmedian(values[:, ~never], axis=0)
    filled = np.where(absent, median, values)
    centre = filled.mean(axis=0)
    spread = filled.std(axis=0)
    scale = np.where(design.binary, 0.5, np.where(spread > 1e-12, spread, 1.0))
    partly = np.flatnonzero(absent.any(axis=0) & ~never)
    _, first = np.unique(absent[:, partly], axis=1, return_index=True)
    indicators = partly[np.sort(first)]
    known = design.arms[train][design.arms[train] >= 0]
    therapy = _therapy_columns(design)
    arm_share = np.bincount(known, minlength=len(design.arm_names)) / max(len(known), 1)
    standard = (filled - centre) / scale
    wide = wide_features(design)
    return Recipe(
        median=median,
        centre=centre,
        scale=scale,
        wide=wide,
        indicators=indicators,
        indicator_centre=absent[:, indicators].mean(axis=0),
        arm_share=arm_share,
        therapy=therapy,
        therapy_share=arm_share @ therapy,
        loadings=_wide_loadings(design, standard, wide, components) if components else {},
    )


def _centred_rows(
    rows: Float[ndarray, "arm column"],
    share: Float[ndarray, " column"],
    arms: Int[ndarray, " patient"],
) -> Float[ndarray, "patient column"]:
    return np.where(arms[:, None] >= 0, rows[arms] - share, 0.0)


def _therapy_columns(design: Design) -> Float[ndarray, "arm therapy"]:
    varies = design.agents.min(axis=0, initial=1.0) != design.agents.max(axis=0, initial=0.0)
    return design.agents[:, varies] if varies.any() else np.eye(len(design.arm_names))


def _wide_loadings(
    design: Design, standard: ndarray, wide: Bool[ndarray, " feature"], components: int
) -> dict[str, tuple[ndarray, ndarray]]:
    loadings = {}
    modality = np.asarray(design.modality)
    for name in dict.fromkeys(modality[wide].tolist()):
        columns = np.flatnonzero(modality == name)
        block = standard[:, columns]
        if len(block) < len(columns):
            _, vectors = np.linalg.eigh(block @ block.T)
            vectors = block.T @ vectors[:, ::-1][:, :components]
        else:
            _, vectors = np.linalg.eigh(block.T @ block)
            vectors = vectors[:, ::-1][:, :components]
        spread = (block @ vectors).std(axis=0)
        kept = spread > 1e-9 * max(spread.max(initial=0.0), 1e-300)
        loadings[name] = (columns, vectors[:, kept] / spread[kept])
    return loadings
