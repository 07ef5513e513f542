"""What is surely answered, as JSON Schema: made of what the model declares.

A body that it allows is answered, if visits are in the order of their days, a scheduled visit is
there once, and so is each patient: JSON Schema has no words for these. The gate also takes some
that it does not allow, such as other letters in a patient's name.
"""

from __future__ import annotations

from typing import Any

from omics_twin.bedside.record import strata_in
from omics_twin.serve.reading import LATEST_DAY
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tracking import TrainedModel

_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"}
# Nearer to the scheduled visit than to any other.
_NEAR = 0.49


def request_schema(model: TrainedModel, most_patients: int) -> dict[str, Any]:
    """Return the JSON Schema of a request's body."""
    stratum = {column: {"enum": known} for column, known in strata_in(model).items()}
    visits = _visits(model)
    record = _object(
        {
            "patient_id": _NAME,
            "stratum": _object(stratum),
            "visits": {"type": "array", "maxItems": len(visits), "items": {"anyOf": visits}},
        },
        required=["patient_id"],
    )
    inputs = {"type": "array", "minItems": 1, "maxItems": most_patients, "items": record}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "description": "Visits in the order of days, each scheduled one once; each patient once.",
        **_object({"inputs": inputs}, required=["inputs"]),
    }


def _visits(model: TrainedModel) -> list[dict[str, Any]]:
    """Return what each scheduled visit may hold, in time order."""
    channels, arms = model.twin.design.channels, list(model.catalogue.arms)
    days = sorted({channel.visit_day for channel in channels if channel.follow_up})
    before = [each for each in channels if not each.follow_up]
    found = []
    if before:
        early = {"type": "number", "minimum": -LATEST_DAY, "maximum": 0.0}
        found.append(_visit(before, early, {"type": "null"}, required=["day"]))
    for place, day in enumerate(days):
        own = [each for each in channels if each.visit_day == day]
        others = [0.0, *days[:place], *days[place + 1 :]]
        gap = min(abs(day - each) for each in others)
        near = min(_NEAR * gap, *(each.window_days for each in own))
        between = {"type": "number", "minimum": day - near, "maximum": day + near}
        found.append(_visit(own, between, {"enum": arms}, required=["day", "under"]))
    return found


def _visit(
    channels: list[ChannelDesign], day: dict[str, Any], under: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    values = {each.modality: _object(_columns(each)) for each in channels}
    return _object({"day": day, "values": _object(values), "under": under}, required=required)


def _columns(channel: ChannelDesign) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for feature in channel.features:
        if feature.level is not None:
            found[feature.column] = {"enum": [*channel.columns[feature.column], None]}
        elif feature.binary:
            found[feature.column] = {"enum": [0, 1, None]}
        else:
            low, high = feature.ends
            ends = {"minimum": low, "maximum": high}
            found[feature.column] = {"type": ["number", "null"], **ends}
    return found


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    found = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})
