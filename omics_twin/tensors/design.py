"""What a model expects to be shown: channels and their features, in order; stored with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from types import NoneType
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from torch import Tensor

from omics_twin.errors import ModelError, nearest
from omics_twin.types import Modality

# No measurement is as large in its unit; tensors of 32 bits still hold it.
_BEYOND_ANY = 1e12


@dataclass(frozen=True)
class Feature:
    """One column of a design matrix.

    Attributes
    ----------
    name
        ``column`` or, for a category, ``column=level``.
    column, level
        The column it is made from; the level it indicates, else null.
    unit
        Unit of the column.
    binary, log
        Whether it takes only 0 and 1; whether log1p is taken.
    may_be_absent
        Whether a cohort without the column is read as not measured: not every part of the
        training cohort had it.
    minimum, maximum
        What the column may be, in its unit; ``None``: no end is declared.
    """

    name: str
    column: str
    level: str | None
    unit: str
    binary: bool
    log: bool
    may_be_absent: bool = False
    minimum: float | None = None
    maximum: float | None = None

    @property
    def quantity(self) -> str:
        """What a forecast of the feature, in its unit, is called."""
        return self.column if self.level is None else self.name

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest that its number may be; of a category none is between."""
        if self.level is not None:
            return math.inf, -math.inf
        least, most = (0.0, 1.0) if self.binary else (-_BEYOND_ANY, _BEYOND_ANY)
        low = least if self.minimum is None else max(self.minimum, least)
        high = most if self.maximum is None else min(self.maximum, most)
        return max(low, 0.0) if self.log else low, high


@dataclass(frozen=True)
class ChannelDesign:
    """One modality at one scheduled visit.

    Attributes
    ----------
    name, modality
        ``modality`` or ``modality@day``.
    visit_day, window_days
        Scheduled day and how far from it a visit may lie [day].
    minimum_frequency
        Binary features rarer than this share of the training patients are not used.
    absent_is_zero
        Whether a feature without a column is 0 in a patient who was measured (a gene without a
        mutation call) rather than a mistake.
    features
        In the order of the feature axis.
    """

    name: str
    modality: str
    visit_day: float
    window_days: float
    minimum_frequency: float
    absent_is_zero: bool
    features: tuple[Feature, ...]

    @property
    def follow_up(self) -> bool:
        """Whether the channel is measured under therapy."""
        return self.visit_day > 0

    @property
    def unit(self) -> str:
        """The unit of all features, ``"mixed"`` where they differ."""
        units = {feature.unit for feature in self.features}
        return units.pop() if len(units) == 1 else "mixed"

    @property
    def quantities(self) -> Modality:
        """What is measured, each number by its name and in its own unit."""
        names = tuple(feature.quantity for feature in self.features)
        return Modality(self.modality, self.unit, names)

    def natural(self, values: Float[Tensor, "*rest feature"]) -> Float[Tensor, "*rest feature"]:
        """Return values in their own units, where the design takes logarithms."""
        log = torch.tensor([feature.log for feature in self.features])
        return torch.where(log, torch.expm1(values), values)

    @cached_property
    def columns(self) -> dict[str, list[str | None]]:
        """The columns in order, and what each may be where it is a category."""
        found: dict[str, list[str | None]] = {}
        for feature in self.features:
            found.setdefault(feature.column, []).append(feature.level)
        return found

    @cached_property
    def ends(self) -> tuple[Float[ndarray, " feature"], Float[ndarray, " feature"]]:
        """The least and the largest that each feature's number may be; none of a category."""
        found = [each.ends for each in self.features]
        return np.array([low for low, _ in found]), np.array([high for _, high in found])

    @cached_property
    def _kinds(self) -> dict[str, Bool[ndarray, " feature"]]:
        """Of which features log1p is taken, which are 0 or 1, and which are 0 where not given."""
        log = np.array([each.log for each in self.features], dtype=bool)
        binary = np.array([each.binary for each in self.features], dtype=bool)
        return {"log": log, "binary": binary, "zero": binary & self.absent_is_zero}

    def numbers(self, given: Sequence[object]) -> Float[ndarray, " feature"] | None:
        """Return numbers as :func:`encoded` does; None: one is no number, or none that may be.

        Thousands of them are read for every answer.
        """
        if not set(map(type, given)) <= {float, int, NoneType}:
            return None
        row = np.array(given, dtype=np.float64)
        missing = np.isnan(row)
        low, high = self.ends
        fits = (low <= row) & (row <= high) & ~(self._kinds["binary"] & (row != np.floor(row)))
        if fits.sum() + given.count(None) < len(row):
            return None
        log = self._kinds["log"]
        row[log] = np.log1p(row[log])
        row[missing & self._kinds["zero"]] = 0.0
        return row


@dataclass(frozen=True)
class Design:
    """All channels in time order."""

    channels: tuple[ChannelDesign, ...]

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """The modalities, each with the features of its first channel."""
        found: dict[str, Modality] = {}
        for channel in self.channels:
            found.setdefault(
                channel.modality,
                Modality(
                    name=channel.modality,
                    unit=channel.unit,
                    features=tuple(feature.name for feature in channel.features),
                ),
            )
        return tuple(found.values())

    @property
    def visit_days(self) -> tuple[float, ...]:
        """The scheduled days of all channels, sorted [day]."""
        return tuple(sorted({channel.visit_day for channel in self.channels}))

    def before_treatment(self) -> Design:
        """Return the design without what is measured under therapy."""
        return Design(tuple(channel for channel in self.channels if not channel.follow_up))

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain lists and dictionaries."""
        return [asdict(channel) for channel in self.channels]

    @staticmethod
    def from_json(stored: list[dict[str, Any]]) -> Design:
        """Return the design stored by :meth:`to_json`."""
        return Design(
            tuple(
                ChannelDesign(
                    **{
                        **channel,
                        "features": tuple(Feature(**each) for each in channel["features"]),
                    }
                )
                for channel in stored
            )
        )


def encoded(channel: ChannelDesign, columns: Mapping[str, object]) -> Float[ndarray, " feature"]:
    """Return one patient's raw values in the order of a channel's features, NaN: not measured.

    Raises
    ------
    ModelError
        If a column or category level is unknown, or a number is not a finite number.
    """
    if not columns.keys() <= channel.columns.keys():
        column = next(each for each in columns if each not in channel.columns)
        raise ModelError(f"unknown column '{column}'{nearest(column, channel.columns)}")
    given = [columns.get(feature.column) for feature in channel.features]
    if (row := channel.numbers(given)) is not None:
        return row
    pairs = zip(channel.features, given, strict=True)
    return np.array([_encoded(channel, feature, value) for feature, value in pairs])


def _encoded(channel: ChannelDesign, feature: Feature, value: object) -> float:
    if value is None:
        return 0.0 if channel.absent_is_zero and feature.binary else math.nan
    if feature.level is not None:
        levels = channel.columns[feature.column]
        if value not in levels:
            raise ModelError(f"column '{feature.column}' has an unknown level; known: {levels}")
        return float(value == feature.level)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ModelError(f"column '{feature.column}' is not a finite number")
    if feature.binary and value not in (0, 1):
        raise ModelError(f"column '{feature.column}' is binary, expected 0 or 1")
    low, high = feature.ends
    if value > high:
        raise _beyond(feature, "above", high)
    if value < low:
        raise _beyond(feature, "below", low)
    return math.log1p(value) if feature.log else float(value)


def _beyond(feature: Feature, side: str, end: float) -> ModelError:
    # The value is a patient's: it is not repeated.
    return ModelError(
        f"column '{feature.column}' is {side} {end:g} {feature.unit}, where it must end: "
        "check the value and its unit"
    )
