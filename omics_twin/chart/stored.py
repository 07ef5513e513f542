"""Beliefs, rankings, alerts and decisions as a chart holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class StoredBelief:
    """What made a belief: the model, the start, and the visits by their numbers in the chart.

    Attributes
    ----------
    withheld
        Modalities of the visits that were not to be used.
    doses
        Numbers of the doses given that the twin was told of.
    """

    patient_id: str
    model: str
    draws: int
    seed: int
    stratum: Mapping[str, str]
    visits: tuple[int, ...]
    withheld: tuple[str, ...] = ()
    doses: tuple[int, ...] = ()


@dataclass(frozen=True)
class StoredRanking:
    """A ranking as it was given: its lines, the settings, and the belief it was read from."""

    belief: StoredBelief
    interval: float
    confidence: float
    lines: list[dict[str, Any]]


@dataclass(frozen=True)
class StoredAlert:
    """An alert, the visit that raised it, and who has dealt with it; empty where nobody has."""

    number: int
    visit: int
    day: float
    kind: str
    sentence: str
    closed_by: str
    note: str


@dataclass(frozen=True)
class StoredDecision:
    """Which therapy was chosen after a ranking, by whom and when."""

    ranking: int
    intervention: str
    reason: str
    by: str
    at: datetime
