"""The question asked; ``conf/endpoint``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from omics_twin.settings.ranges import require


class Reading(Enum):
    """How one number is read from a trajectory."""

    VALUE_AT_HORIZON = "value_at_horizon"
    MEAN_UP_TO_HORIZON = "mean_up_to_horizon"


@dataclass
class EndpointSettings:
    """The question asked; ``conf/endpoint``.

    Attributes
    ----------
    name, outcome
        The endpoint and the cohort's outcome it is learned from.
    title
        What a person calls the number.
    horizon_days
        Day at which, or up to which, it is read [day].
    higher_is_better
        Direction of merit.
    reading
        ``VALUE_AT_HORIZON`` or ``MEAN_UP_TO_HORIZON``.
    """

    name: str = ""
    outcome: str = ""
    title: str = ""
    horizon_days: float = 180.0
    higher_is_better: bool = True
    reading: Reading = Reading.VALUE_AT_HORIZON

    def __post_init__(self) -> None:
        """Refuse a horizon in the past."""
        require("endpoint.horizon_days", self.horizon_days, 0.5)
