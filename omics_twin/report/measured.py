"""What was measured in a patient, what the twin was shown of it, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from omics_twin.answers.patients import Patients
from omics_twin.report.words import day_in_words, name_in_words, visible
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tensors.transforms import DesignMatrices
from omics_twin.tracking import TrainedModel


@dataclass(frozen=True)
class Measured:
    """One modality at one visit.

    Attributes
    ----------
    name, planned, day
        In words; ``day`` is when it was measured, empty where it was not.
    found, expected
        Columns measured, and columns the model knows.
    missing
        Names of the columns not measured, where some were.
    shown
        Whether the answer rests on it.
    follow_up
        Whether it is measured under therapy.
    """

    name: str
    planned: str
    day: str
    found: int
    expected: int
    missing: tuple[str, ...]
    shown: bool
    follow_up: bool

    @property
    def status(self) -> str:
        """``missing``, ``unused``, ``partly`` or ``complete``."""
        if not self.found:
            return "missing"
        if not self.shown:
            return "unused"
        return "partly" if self.found < self.expected else "complete"

    @property
    def share(self) -> str:
        """Share of the columns measured; never rounded up to all of them."""
        whole = math.floor(100 * self.found / self.expected) if self.expected else 0
        return f"{'<1' if self.found and not whole else whole} %"


def measured_in(
    model: TrainedModel, patients: Patients, shown: Sequence[str]
) -> tuple[list[Measured], list[str]]:
    """Return what was measured in the only patient, and notes on the reading of it."""
    matrices = patients.matrices
    lines = [_measured(channel, matrices, shown) for channel in model.twin.design.channels]
    # What nobody was measured in is a line of the table already.
    notes = [visible(note) for note in matrices.notes if not note.startswith("nobody has")]
    return lines, notes


def _measured(channel: ChannelDesign, matrices: DesignMatrices, shown: Sequence[str]) -> Measured:
    known = ~torch.isnan(matrices.values[channel.name][0])
    columns: dict[str, bool] = {}
    for feature, present in zip(channel.features, known.tolist(), strict=True):
        columns[feature.column] = columns.get(feature.column, False) or present
    found = sum(columns.values())
    day = float(matrices.days[channel.name][0])
    missing = [visible(name_in_words(name)) for name, present in columns.items() if not present]
    return Measured(
        name=visible(name_in_words(channel.modality)),
        planned=day_in_words(channel.visit_day),
        day=day_in_words(day) if found and math.isfinite(day) else "",
        found=found,
        expected=len(columns),
        missing=tuple(missing) if found else (),
        shown=channel.name in shown,
        follow_up=channel.follow_up,
    )
