"""What a mechanistic twin is made of: dynamics, a prior, how they are measured, what is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.plan import Plan
from omics_twin.types import Modality, Observation, Visit


@runtime_checkable
class Dynamics(Protocol):
    """What changes in a patient, and how: equations and their solution, or a closed form."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """What differs between patients, on natural scales."""
        ...

    @property
    def states(self) -> tuple[str, ...]:
        """What changes."""
        ...

    @property
    def drugs(self) -> tuple[str, ...] | None:
        """What can be given; ``None``: anything."""
        ...

    def run(
        self,
        parameters: Float[Tensor, "patient draw parameter"],
        plans: Sequence[Plan],
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time state"]:
        """Return the states on some days since the index date, one plan for each patient."""
        ...


@runtime_checkable
class ObservationModel(Protocol):
    """How what is measured comes from the states."""

    @property
    def modality(self) -> Modality:
        """What is measured."""
        ...

    def log_likelihood(
        self,
        values: Float[Tensor, "patient visit feature"],
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> Float[Tensor, "patient draw visit"]:
        """Return how likely each draw makes what was measured; 0 where nothing was."""
        ...

    def sample(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
        noise: Float[Tensor, "patient draw visit feature"],
    ) -> Float[Tensor, "patient draw visit feature"]:
        """Return what would be measured, from standard normal noise."""
        ...


@runtime_checkable
class GaussianObservation(ObservationModel, Protocol):
    """Measurements whose errors are Gaussian and independent."""

    def moments(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> tuple[
        Float[Tensor, "patient draw visit feature"], Float[Tensor, "patient draw visit feature"]
    ]:
        """Return mean and standard deviation of what would be measured."""
        ...


@runtime_checkable
class Assimilation(Protocol):
    """How a visit is taken in where draws are moved and not weighed."""

    def taken_in(
        self, shown: Any, draws: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return the draws after the last visit of :class:`.mechanistic.Shown`."""
        ...


@runtime_checkable
class Prior(Protocol):
    """What is believed of a patient's parameters before any visit; columns are unbounded."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of each column."""
        ...

    @property
    def moved(self) -> int:
        """How many columns, the first, a sampler may move; the others follow from the patient."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the prior reads of a patient, for example omics before treatment."""
        ...

    def reads(self, observation: Observation) -> bool:
        """Whether a visit tells the prior anything."""
        ...

    def context(self, patient_ids: Sequence[str], history: Sequence[Visit]) -> Any:
        """Return what the prior has read of each patient."""
        ...

    def draw(
        self, patient_ids: Sequence[str], draws: int, seed: int, context: Any
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return draws that are a function of (seed, patient, context)."""
        ...

    def log_density(
        self, values: Float[Tensor, "patient draw parameter"], context: Any
    ) -> Float[Tensor, "patient draw"]:
        """Return the log density, up to a constant of each patient."""
        ...

    def natural(
        self, values: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw natural"]:
        """Return parameters of the dynamics on their natural scale."""
        ...


@dataclass(frozen=True)
class Readout:
    """One quantity of a trajectory.

    Attributes
    ----------
    read
        ``read(states (patient, draw, time, state), parameters (patient, draw, parameter),
        days (patient, time)) -> (patient, draw, time)``.
    every_days
        The quantity looks back on a grid of this width, such as visits at which a progression can
        be seen; ``None``: it depends on the day alone [day].
    """

    name: str
    unit: str
    read: Callable[[Tensor, Tensor, Tensor], Tensor]
    every_days: float | None = None
