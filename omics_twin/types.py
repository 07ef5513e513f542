"""The vocabulary: what every room of the house says to every other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TwinError
from omics_twin.settings import Reading


@dataclass(frozen=True)
class Modality:
    """One kind of measurement.

    Attributes
    ----------
    name
        For example ``"expression"``.
    unit
        One unit for all features, or ``"mixed"`` where the features differ.
    features
        Names in the order of the feature axis.
    """

    name: str
    unit: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class Dose:
    """One drug as given.

    Attributes
    ----------
    drug
        International non-proprietary name, lower case.
    amount, unit
        Amount per administration; ``1.0 "standard"`` where the trial's own dose was given.
    start_days
        First administration, days since the index date.
    duration_days
        Length of one administration; 0 is a bolus.
    interval_days, repeat
        Days between administrations and how many there are.
    """

    drug: str
    amount: float = 1.0
    unit: str = "standard"
    start_days: float = 0.0
    duration_days: float = 0.0
    interval_days: float = 0.0
    repeat: int = 1


@dataclass(frozen=True)
class Intervention:
    """A plan: drugs and other settings under a name that a person would recognise."""

    name: str
    doses: tuple[Dose, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def drugs(self) -> tuple[str, ...]:
        """Names of the drugs, in the order given."""
        return tuple(dose.drug for dose in self.doses)


NO_INTERVENTION = Intervention(name="no intervention")

RADIOTHERAPY = "radiotherapy"
"""The drug of a dose that is a fraction of radiotherapy [Gy]."""

ACTIVITY = "_activity"
"""Ending of the modality that holds how active gene sets are, after that of their genes."""


@dataclass(frozen=True)
class Observation:
    """One visit of several patients.

    Attributes
    ----------
    patient_ids
        Length ``patient``.
    days
        Day of the visit since each patient's index date, shape (patient,) [day].
    values
        ``values[modality]`` has shape (patient, feature) in the modality's units. NaN: not
        measured. A modality that is absent was measured in nobody.
    """

    patient_ids: tuple[str, ...]
    days: Float[Tensor, " patient"]
    values: Mapping[str, Float[Tensor, "patient feature_"]]


@dataclass(frozen=True)
class Visit:
    """A visit as it was shown to a twin, and the therapy given up to it."""

    observation: Observation
    under: Intervention = NO_INTERVENTION


@dataclass(frozen=True)
class TwinState:
    """A belief about each patient as weighted draws; never changed in place.

    Attributes
    ----------
    draws
        Shape (patient, draw, state), one column for each of ``names``.
    log_weights
        Shape (patient, draw); normalised so that the weights of a patient sum to one.
    days
        Day up to which each patient has been carried forward, shape (patient,) [day].
    seed
        All randomness is a function of this seed, the patient and the step.
    spread
        Factor by which a simulation moves each patient's draws further from their mean, (patient,);
        None: by no more than the twin itself does.
    history
        The visits that made the belief, in the order shown, for twins that go back to them; every
        visit is of the same patients.
    """

    patient_ids: tuple[str, ...]
    days: Float[Tensor, " patient"]
    draws: Float[Tensor, "patient draw state"]
    log_weights: Float[Tensor, "patient draw"]
    names: tuple[str, ...]
    seed: int
    spread: Float[Tensor, " patient"] | None = None
    history: tuple[Visit, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    """What each draw does over time under one intervention.

    Attributes
    ----------
    days
        Shape (time,) since the index date [day].
    values
        Shape (patient, draw, time, quantity), one quantity for each of ``names``.
    log_weights
        Shape (patient, draw), as in the state that was simulated.
    """

    patient_ids: tuple[str, ...]
    days: Float[Tensor, " time"]
    values: Float[Tensor, "patient draw time quantity"]
    log_weights: Float[Tensor, "patient draw"]
    names: tuple[str, ...]
    units: tuple[str, ...]


@dataclass(frozen=True)
class Endpoint:
    """A question whose answer is one number per patient and draw.

    Attributes
    ----------
    name, quantity
        The endpoint's name and the trajectory quantity it reads.
    horizon_days
        Day at which, or up to which, the quantity is read [day].
    higher_is_better
        The direction of merit travels with the endpoint.
    reading
        ``MEAN_UP_TO_HORIZON`` of a survival curve is the restricted mean survival time as a
        fraction of the horizon.
    """

    name: str
    quantity: str
    horizon_days: float
    higher_is_better: bool = True
    reading: Reading = Reading.VALUE_AT_HORIZON

    def days(self, points: int = 25) -> Float[Tensor, " time"]:
        """Return the days at which a trajectory must be simulated to be read [day]."""
        if self.reading is Reading.VALUE_AT_HORIZON:
            return torch.tensor([self.horizon_days], dtype=torch.float64)
        return torch.linspace(0.0, self.horizon_days, points, dtype=torch.float64)

    def later(self, days: float) -> Endpoint:
        """Return the same question asked some days later."""
        return replace(self, horizon_days=self.horizon_days + days)

    def read(self, trajectory: Trajectory) -> Float[Tensor, "patient draw"]:
        """Return the endpoint of every draw.

        Raises
        ------
        TwinError
            If the trajectory does not hold the quantity.
        """
        if self.quantity not in trajectory.names:
            raise TwinError(
                f"endpoint '{self.name}' reads quantity '{self.quantity}', "
                f"but this twin simulates: {', '.join(trajectory.names)}"
            )
        values = trajectory.values[..., trajectory.names.index(self.quantity)]
        if self.reading is Reading.VALUE_AT_HORIZON:
            return values[..., -1]
        area = torch.trapezoid(values, trajectory.days.to(values), dim=-1)
        return area / self.horizon_days


@dataclass(frozen=True)
class Ranking:
    """Interventions compared on the same draws; every array is (patient, intervention).

    Attributes
    ----------
    expected, lower, upper
        Weighted mean of the endpoint and the bounds of its central interval.
    probability_best
        Share of the belief in which the intervention is the best of the eligible ones; ties are
        split; NaN where the intervention is not eligible. Rows sum to one.
    support
        Training patients of the same stratum who received the intervention.
    eligible, reasons
        Whether the intervention is open to the patient and, where it is not or where support is
        thin, why.
    abstained, abstention
        Whether no intervention is recommended to the patient, (patient,), and why: a clause,
        empty where one is.
    likeness
        Share of the training patients who are at least as unusual as each patient, None where that
        is not known; empty where it was not asked.
    """

    patient_ids: tuple[str, ...]
    interventions: tuple[str, ...]
    endpoint: Endpoint
    interval: float
    expected: Float[Tensor, "patient intervention"]
    lower: Float[Tensor, "patient intervention"]
    upper: Float[Tensor, "patient intervention"]
    probability_best: Float[Tensor, "patient intervention"]
    support: Float[Tensor, "patient intervention"]
    eligible: Bool[Tensor, "patient intervention"]
    reasons: tuple[tuple[str, ...], ...]
    abstained: Bool[Tensor, " patient"]
    abstention: tuple[str, ...]
    likeness: tuple[float | None, ...] = ()


@runtime_checkable
class Twin(Protocol):
    """What every twin can do; the contract suite in ``tests/contract`` says how."""

    @property
    def name(self) -> str:
        """A short name."""
        ...

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        ...

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet."""
        ...

    def observe(
        self,
        state: TwinState,
        observation: Observation,
        *,
        under: Intervention = NO_INTERVENTION,
    ) -> TwinState:
        """Carry the belief forward to the visit under a therapy, then condition on the visit."""
        ...

    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Push every draw forward under the intervention; the same state gives the same answer."""
        ...


@runtime_checkable
class SimulatesEach(Protocol):
    """A twin that compares interventions faster than by one simulation after the other."""

    def simulate_each(
        self,
        state: TwinState,
        interventions: Sequence[Intervention],
        days: Float[Tensor, " time"],
    ) -> Iterator[Trajectory]:
        """Yield the trajectory of each intervention."""
        ...
