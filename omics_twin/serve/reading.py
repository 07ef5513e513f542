"""What may be asked: JSON read strictly, records checked against the model, mistakes told."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from omics_twin.bedside.record import check_record, strata_in
from omics_twin.errors import OmicsTwinError, TwinError
from omics_twin.files import json_of
from omics_twin.tensors.design import Feature
from omics_twin.told import PatientRecord, record_of, without
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Permission

Permits = Callable[[Sequence[str]], Permission]

_KEY = "inputs"
LATEST_DAY = 36_500.0
"""No visit is further from the index date [day]."""


class RefusedError(Exception):
    """A request that is not answered: its status and one sentence that repeats nothing of it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def parsed(body: bytes) -> Any:
    """Return what a body of strict JSON holds.

    Raises
    ------
    RefusedError
        If it is no UTF-8, no JSON, holds a key twice or a number that is not finite, or is nested
        too deeply.

    Examples
    --------
    >>> parsed(b'{"inputs": []}')
    {'inputs': []}
    """
    try:
        # A file may begin with a mark of its encoding, what is sent may not.
        if not body.startswith(BOM_UTF8):
            return json_of(body)
        sentence = "the body begins with a mark of its encoding: leave it out"
    except UnicodeError:
        sentence = "the body is not UTF-8 text: send UTF-8"
    except json.JSONDecodeError:
        sentence = "the body is not JSON: send one JSON object"
    except ValueError as error:
        sentence = f"the body is not strict JSON ({error}): send each key once, and finite numbers"
    raise RefusedError(400, sentence)


def records_in(model: TrainedModel, body: bytes, most_patients: int) -> list[PatientRecord]:
    """Return the records of a request, each one that the model can answer.

    Raises
    ------
    RefusedError
        At the first thing that is not as it should be.
    """
    asked = parsed(body)
    if not isinstance(asked, dict) or set(asked) != {_KEY} or not isinstance(asked[_KEY], list):
        raise RefusedError(400, 'the body is not {"inputs": [record, …]}: send that alone')
    given = asked[_KEY]
    if not given:
        raise RefusedError(400, "'inputs' holds no record: send at least one")
    if len(given) > most_patients:
        raise RefusedError(
            413, f"'inputs' holds {len(given)} records, expected at most {most_patients}: send less"
        )
    records = [_checked(model, each, place) for place, each in enumerate(given)]
    if len({record.patient_id for record in records}) < len(records):
        raise RefusedError(400, "a patient is asked about twice: send each patient once")
    return records


def permitted(records: Sequence[PatientRecord], permits: Permits) -> list[PatientRecord]:
    """Return the records without what their patients withhold.

    Raises
    ------
    RefusedError
        If one of the patients does not permit scoring, or it cannot be found out.
    """
    try:
        found = permits([each.patient_id for each in records])
    except OmicsTwinError:
        sentence = "the consents cannot be read: nobody is scored until they can"
        raise RefusedError(503, sentence) from None
    for place, record in enumerate(records):
        if record.patient_id in found.refused:
            raise RefusedError(
                403, f"record {place} of 'inputs': {found.refused[record.patient_id]}"
            )
    return [without(each, found.withheld.get(each.patient_id, ())) for each in records]


def _checked(model: TrainedModel, given: Any, place: int) -> PatientRecord:
    try:
        record = record_of(given)
        check_record(model, record)
        # A record that is made here may leave out day 0; who sends one may have forgotten another.
        if any("day" not in told.model_fields_set for told in record.visits):
            raise TwinError("a visit does not say its day: add 'day', 0 where treatment began")
        if any(abs(told.day) > LATEST_DAY for told in record.visits):
            raise TwinError(f"a visit is more than {LATEST_DAY:g} days from the index date")
    except OmicsTwinError as error:
        sentence = str(error)
        # A name that the model does not know is the client's own text: it is not repeated.
        known = _names(model)
        if any(f"'{text}'" in sentence for text in _texts(given) if text not in known):
            sentence = (
                "it names a modality, column, level, stratum or arm that the model does not know: "
                "GET /schema lists those it knows"
            )
        raise RefusedError(400, f"record {place} of 'inputs': {sentence}") from None
    return record


def _texts(given: Any) -> Iterable[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, dict):
        for key, value in given.items():
            yield key
            yield from _texts(value)
    elif isinstance(given, list):
        for value in given:
            yield from _texts(value)


def _names(model: TrainedModel) -> set[str]:
    """Return every name that a record of this model may hold."""
    found = {*PatientRecord.model_fields, "day", "values", "under", *model.support.columns}
    found |= set(model.catalogue.arms)
    for channel in model.twin.design.channels:
        found |= {channel.modality, channel.name}
        for feature in channel.features:
            found |= {feature.column} if feature.level is None else {feature.column, feature.level}
    return found


def schema_of(model: TrainedModel) -> dict[str, Any]:
    """Return what a record may hold: modalities with their columns, strata, arms."""
    modalities: dict[str, dict[str, Any]] = {}
    for channel in model.twin.design.channels:
        known = modalities.setdefault(channel.modality, {"scheduled": [], "columns": {}})
        known["scheduled"].append({"day": channel.visit_day, "within_days": channel.window_days})
        for feature in channel.features:
            column = known["columns"].setdefault(feature.column, _column(feature))
            if feature.level is not None and feature.level not in column["levels"]:
                column["levels"].append(feature.level)
    return {
        "endpoint": model.endpoint.name,
        "title": model.title,
        "modalities": modalities,
        "stratum": strata_in(model),
        "arms": dict(zip(model.catalogue.arms, model.catalogue.labels, strict=True)),
    }


def _column(feature: Feature) -> dict[str, Any]:
    if feature.level is not None:
        return {"levels": []}
    if feature.binary:
        return {"levels": [0, 1]}
    ends = {"minimum": feature.minimum, "maximum": feature.maximum}
    return {"unit": feature.unit} | {name: end for name, end in ends.items() if end is not None}
