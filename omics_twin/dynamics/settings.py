"""Settings of twins that learn from visit to visit; ``conf/dynamics``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omics_twin.settings import require


class DynamicsKind(Enum):
    """What a twin that learns from visit to visit is made of; ``NONE``: it does not."""

    NONE = "none"
    TUMOUR_SIZE = "tumour_size"
    TUMOUR_VOLUME = "tumour_volume"
    TUMOUR_RESPONSE = "tumour_response"
    VISITS = "visits"


class Equations(Enum):
    """How a tumour changes in a mechanistic twin."""

    INHIBITION = "inhibition"
    TWO_CLONES = "two_clones"
    CHEMORADIOTHERAPY = "chemoradiotherapy"


class Kinetics(Enum):
    """How a drug whose doses are known comes and goes."""

    BOLUS = "bolus"
    ORAL = "oral"
    TWO_COMPARTMENTS = "two_compartments"


class PriorKind(Enum):
    """Who proposes a patient's parameters: a network, or the population alike for everybody."""

    NEURAL = "neural"
    POPULATION = "population"


@dataclass
class DynamicsSettings:
    """What changes in a patient, and which repeated measurements tell of it.

    Attributes
    ----------
    kind
        ``TUMOUR_SIZE``: a sum of diameters from scan to scan, in closed form.
        ``TUMOUR_VOLUME``: a volume under doses that are known, as equations.
        ``TUMOUR_RESPONSE``: a volume at scheduled visits and the endpoint's yes or no, from one
        state.
        ``VISITS``: a recurrent network of whatever is measured, and the risk of an event.
    modality
        Repeated measurements of the cohort; their first column is the sum of diameters [mm], or
        the volume [cm3].
    equations
        For sizes and volumes. ``INHIBITION``: a drug slows growth, of sizes less so with time,
        and volumes grow exponentially, then linearly. ``TWO_CLONES``: a sensitive clone is killed,
        a resistant one grows through. ``CHEMORADIOTHERAPY``, of volumes alone: growth as Gompertz
        says, and doses of ``radiotherapy`` [Gy] beside the drug.
    kinetics
        For volumes. ``BOLUS``: one compartment, which a dose reaches at once. ``ORAL``: behind
        absorption from the gut. ``TWO_COMPARTMENTS``: with a peripheral one.
    held
        For volumes: parameters of the equations that everybody has alike, by name.
    concentration
        For volumes: repeated measurements of the drug's concentration [mg/L]. Left out, ``held``
        says how the drug comes and goes.
    outcome
        For visits: the event that is foreseen, a time to event of the cohort.
    watched
        For visits: the feature whose forecasts are held against what came.
    landmarks_days
        For visits: days from which on forecasts are judged, in those who are event-free [day].
    horizon_days
        Up to which progression or an event, or at which the volume, is asked about [day].
    prior
        For a volume and a response: what proposes a patient's rates and propensity before any
        visit under therapy.
    iterations
        For volumes: of the stochastic EM that learns how patients differ.
    false_alarms
        Share of patients for whom a false alarm is ever raised, at most.
    """

    kind: DynamicsKind = DynamicsKind.NONE
    modality: str = ""
    equations: Equations = Equations.INHIBITION
    kinetics: Kinetics = Kinetics.BOLUS
    held: dict[str, float] = field(default_factory=dict)
    concentration: str = ""
    outcome: str = ""
    watched: str = ""
    landmarks_days: list[float] = field(default_factory=list)
    horizon_days: float = 182.0
    prior: PriorKind = PriorKind.NEURAL
    iterations: int = 200
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a horizon in the past and a share that is none."""
        require("dynamics.horizon_days", self.horizon_days, 1.0)
        for landmark in self.landmarks_days:
            require("dynamics.landmarks_days", landmark, 0.0)
        require("dynamics.iterations", self.iterations, 20, 100_000)
        require("dynamics.false_alarms", self.false_alarms, 1e-6, 0.5)
