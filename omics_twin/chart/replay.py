"""What a ranking made anew is held against: what the chart says was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omics_twin.chart.store import Chart
from omics_twin.chart.stored import StoredRanking
from omics_twin.errors import ChartError


def ranking_by(chart: Chart, digest: str, number: int) -> StoredRanking:
    """Return a stored ranking of a model.

    Raises
    ------
    ChartError
        If another model gave it.
    """
    told = chart.ranking(number)
    model = told.belief.model
    if model != digest:
        raise ChartError(
            f"ranking {number} was given by model {model[:12]}, not {digest[:12]}: load the model "
            "that gave it"
        )
    return told


def as_given(
    lines: list[dict[str, Any]], told: Sequence[dict[str, Any]], number: int
) -> list[dict[str, Any]]:
    """Return lines made anew that are the same as were given, to the last bit.

    Raises
    ------
    ChartError
        If they are not.
    """
    if lines != told:
        raise ChartError(
            f"ranking {number} comes out another way than it was given: the chart, the model or "
            "the libraries are not those that gave it"
        )
    return lines
