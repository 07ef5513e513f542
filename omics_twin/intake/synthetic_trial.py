"""Which synthetic trial is asked for, and which settings are refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum

from omics_twin.errors import ConfigError, quoted


class Assignment(Enum):
    """How patients come to their regimen: by lot, or by what their physicians see."""

    RANDOMISED = "randomised"
    CONFOUNDED = "confounded"


_RANGES: dict[str, tuple[float, float]] = {
    "patients": (50, 1_000_000),
    "genes": (200, 20_000),
    "seed": (0, 2**32 - 1),
    "missing_modality": (0.0, 0.9),
    "missing_value": (0.0, 0.9),
    "sites": (1, 100),
    "batch_effect": (0.0, 5.0),
    "heterogeneity": (0.0, 5.0),
    "chunk": (50, 100_000),
}


@dataclass
class SyntheticTrial:
    """Settings of a neoadjuvant platform trial whose truth is known.

    Attributes
    ----------
    patients, genes
        Number of patients and of expressed genes.
    seed
        The trial is a function of its settings; patients differ between seeds and between values
        of ``chunk``, and do not depend on how many patients there are.
    assignment
        Randomised, or confounded by measured receptors, stage, age and mutations.
    missing_modality
        Share of patients who lack genomics, and so for transcriptomics and radiomics.
    missing_value
        Share of cells not measured in the tables a patient does have. Receptors, site, day of
        enrolment, therapy and outcomes are always there.
    sites, batch_effect
        Number of hospitals and standard deviation of a gene's shift between them [log2_tpm].
    heterogeneity
        Factor on how much the agents' effects differ between patients; at 0 a regimen moves
        everybody's log-odds of response alike.
    chunk
        Patients held in memory and written at once.

    Raises
    ------
    ConfigError
        If a setting is out of range.

    Examples
    --------
    >>> SyntheticTrial(patients=200).genes
    1000
    """

    patients: int = 3000
    genes: int = 1000
    seed: int = 0
    assignment: Assignment = Assignment.RANDOMISED
    missing_modality: float = 0.1
    missing_value: float = 0.02
    sites: int = 6
    batch_effect: float = 0.3
    heterogeneity: float = 1.0
    chunk: int = 5000

    def __post_init__(self) -> None:
        """Refuse settings that no trial can be made of."""
        for setting in fields(SyntheticTrial):
            found = getattr(self, setting.name)
            if setting.name == "assignment":
                _check_assignment(found)
            else:
                _check_number(setting.name, found, whole=setting.type == "int")

    def settings(self) -> dict[str, str | int | float]:
        """Return the settings as plain values, for a file or for comparison."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(SyntheticTrial)}
        return values | {"assignment": self.assignment.value}


def _check_assignment(found: object) -> None:
    if not isinstance(found, Assignment):
        raise ConfigError(
            f"synthetic trial: 'assignment' is {found!r}, expected an Assignment: "
            f"choose one of {quoted(each.value for each in Assignment)}"
        )


def _check_number(name: str, found: object, *, whole: bool) -> None:
    low, high = _RANGES[name]
    wanted = f"a {'whole ' if whole else ''}number from {low:,} to {high:,}"
    if isinstance(found, int | float) and not isinstance(found, bool):
        right = isinstance(found, int) or not whole
        if right and not math.isnan(found) and low <= found <= high:
            return
    raise ConfigError(f"synthetic trial: '{name}' is {found!r}, expected {wanted}: correct it")
