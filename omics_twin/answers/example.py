"""A patient whom nobody is: a record made of what a model declares, never of a patient's row."""

from __future__ import annotations

from typing import Any

from omics_twin.tensors.design import Design, Feature
from omics_twin.therapy.support import Support, stratum_values

_NAME, _SHOWN = "example", 5


def example_record(design: Design, support: Support, most: int = _SHOWN) -> dict[str, Any]:
    """Return a record of one visit before treatment, in the middle of the declared ranges.

    Parameters
    ----------
    most
        Columns of each modality that are shown.
    """
    values: dict[str, dict[str, Any]] = {}
    for channel in design.before_treatment().channels:
        columns = values.setdefault(channel.modality, {})
        for feature in channel.features:
            if feature.column not in columns and len(columns) < most:
                columns[feature.column] = _middle(feature)
    stratum = next(iter(sorted(support.counts)), None)
    told = {} if stratum is None else stratum_values(support.columns, stratum)
    return {"patient_id": _NAME, "stratum": told, "visits": [{"day": 0.0, "values": values}]}


def _middle(feature: Feature) -> str | int | float:
    if feature.level is not None:
        return feature.level
    if feature.binary:
        return 0
    ends = [each for each in (feature.minimum, feature.maximum) if each is not None]
    # Where one end is declared, or none, what is closest to it, or 0.
    return sum(ends) / len(ends) if ends else 0.0
