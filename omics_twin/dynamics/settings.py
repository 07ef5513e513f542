"""Settings of twins that learn from visit to visit; ``conf/dynamics``. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings import require


class DynamicsKind(Enum):
    """Which equations a twin is made of; ``NONE``: a neural twin, which learns them."""

    NONE = "none"
    TUMOUR_SIZE = "tumour_size"
    TUMOUR_VOLUME = "tumour_volume"


@dataclass
class DynamicsSettings:
    """What changes in a patient, and which repeated measurements tell of it.

    Attributes
    ----------
    kind
        ``TUMOUR_SIZE``: growth, inhibition that wears off and chance, in closed form.
        ``TUMOUR_VOLUME``: growth that becomes linear under doses that are known, as equations.
    modality
        Repeated measurements of the cohort; their first column is the sum of diameters [mm], or
        the volume [cm3].
    concentration
        For volumes: repeated measurements of the drug's concentration [mg/L].
    horizon_days
        Up to which progression, or at which the volume, is asked about [day].
    iterations
        For volumes: of the stochastic EM that learns how patients differ.
    false_alarms
        Share of patients for whom a false alarm is ever raised, at most.
    """

    kind: DynamicsKind = DynamicsKind.NONE
    modality: str = ""
    concentration: str = ""
    horizon_days: float = 182.0
    iterations: int = 200
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a horizon in the past and a share that is none."""
        require("dynamics.horizon_days", self.horizon_days, 1.0)
        require("dynamics.iterations", self.iterations, 20, 100_000)
        require("dynamics.false_alarms", self.false_alarms, 1e-6, 0.5)
