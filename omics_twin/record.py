"""A patient as a client tells of one: what was measured at each visit, in its own units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from omics_twin.answers import calibrated, draws_of, ranking_in
from omics_twin.belief import KeptBelief, replay
from omics_twin.errors import TwinError, nearest
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import ChannelDesign, encoded
from omics_twin.therapy.support import stratum_key
from omics_twin.tracking import TrainedModel
from omics_twin.types import NO_INTERVENTION, Intervention, Observation, Ranking, TwinState, Visit

_STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
_Name = Annotated[str, Field(min_length=1, max_length=200)]
# A category's level, a call of 0 or 1, a number; left out or null: not measured.
_Value = int | FiniteFloat | str | None


class RecordedVisit(BaseModel):
    """One visit: modality -> column -> value, and the arm given since the visit before."""

    model_config = _STRICT

    day: FiniteFloat = 0.0
    values: dict[str, dict[str, _Value]] = {}
    under: str | None = None


class PatientRecord(BaseModel):
    """A patient: visits in time order, and the columns that make the patient's stratum."""

    model_config = _STRICT

    patient_id: _Name
    stratum: dict[str, str] = {}
    visits: list[RecordedVisit] = []


def record_of(given: Any) -> PatientRecord:
    """Return a record that is checked; the sentence of a mistake repeats no value.

    Raises
    ------
    TwinError
        If a field is missing, unknown or of another kind.

    Examples
    --------
    >>> record_of({"patient_id": "p1", "visits": [{"day": 21}]}).visits[0].day
    21.0
    """
    try:
        return PatientRecord.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        # What a client wrote as a name may be a patient's data: only our own fields are named.
        known = {"patient_id", "stratum", "visits", "day", "values", "under"}
        named = [str(each) for each in first["loc"] if isinstance(each, int) or each in known]
        place = ".".join(named) or "the record"
        # Of a union the first kind would be named alone.
        union = "int" in first["loc"]
        found = "a value is no finite number, text or null" if union else first["msg"].lower()
        raise TwinError(
            f"'{place}' is not as it should be ({found}): expected a record such "
            'as {"patient_id": "p1", "stratum": {column: "1"}, "visits": [{"day": 0, '
            '"values": {modality: {column: number}}}]}'
        ) from None


def visits_of(model: TrainedModel, record: PatientRecord) -> tuple[Visit, ...]:
    """Return a record's visits in the order and units of a model's design.

    Raises
    ------
    TwinError
        If a modality is unknown, or a visit under therapy does not say under which.
    ModelError
        If a column or a category is unknown, or a number is none or out of the declared range.
    TherapyError
        If an arm is not known.
    """
    return tuple(_visit(model, record.patient_id, each) for each in record.visits)


def _visit(model: TrainedModel, patient: str, told: RecordedVisit) -> Visit:
    design = model.twin.design
    known = list(dict.fromkeys(channel.modality for channel in design.channels))
    values = {}
    for modality, columns in told.values.items():
        if modality not in known:
            raise TwinError(f"unknown modality '{modality}'{nearest(modality, known)}")
        own = [channel for channel in design.channels if channel.modality == modality]
        row = encoded(min(own, key=lambda each: _apart(each, told.day)), columns)
        values[modality] = torch.tensor([row], dtype=torch.float64)
    day = torch.tensor([told.day], dtype=torch.float64)
    return Visit(Observation((patient,), day, values), _under(model, told))


def _apart(channel: ChannelDesign, day: float) -> float:
    return abs(max(day, 0.0) - channel.visit_day)


def _under(model: TrainedModel, told: RecordedVisit) -> Intervention:
    if told.under is not None:
        return model.catalogue.intervention(told.under)
    if told.day > 0 and len(model.catalogue.arms) > 1:
        raise TwinError(
            f"the visit on day {told.day:g} does not say what was given: add 'under', one of "
            f"{', '.join(model.catalogue.arms)}"
        )
    return NO_INTERVENTION if told.day <= 0 else model.catalogue.interventions()[0]


def stratum_of(model: TrainedModel, record: PatientRecord) -> str:
    """Return the key of a record's stratum; what is not given is not measured.

    Raises
    ------
    TwinError
        If a column is no part of the stratum.
    """
    columns = model.support.columns
    for column in record.stratum:
        if column not in columns:
            raise TwinError(f"unknown stratum column '{column}'{nearest(column, columns)}")
    return stratum_key(columns, [record.stratum.get(each, "not measured") for each in columns])


def kept_of(model: TrainedModel, record: PatientRecord, settings: TwinSettings) -> KeptBelief:
    """Return the belief that a record's visits lead to, as it is kept."""
    return KeptBelief(
        record.patient_id,
        model.digest,
        draws_of(model, settings),
        settings.seed,
        visits_of(model, record),
        stratum_of(model, record),
    )


def belief_in(model: TrainedModel, kept: KeptBelief) -> TwinState:
    """Return the belief about the patient, its draws as far apart as the stratum asks for."""
    return calibrated(model, replay(model.twin, kept), [kept.stratum])


def ranked(
    model: TrainedModel, record: PatientRecord, settings: TwinSettings
) -> tuple[TwinState, Ranking]:
    """Return the belief about a record's patient, and the catalogue's therapies compared."""
    kept = kept_of(model, record, settings)
    state = belief_in(model, kept)
    return state, ranking_in(model, state, [kept.stratum], settings)


def read_record(path: Path, patient_id: str) -> PatientRecord:
    """Return what a JSON file tells of a patient: a visit, a list of visits or a whole record.

    Raises
    ------
    TwinError
        If the file is no JSON, not as it should be, or of another patient.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise TwinError(f"'{path}' is not JSON ({error}): write a visit as an object") from error
    if isinstance(told, dict) and "visits" in told:
        told = {"patient_id": patient_id, **told}
    else:
        visits = told if isinstance(told, list) else [told]
        told = {"patient_id": patient_id, "visits": visits}
    record = record_of(told)
    if record.patient_id != patient_id:
        raise TwinError(
            f"'{path}' is of another patient than '{patient_id}': name the patient of the file"
        )
    return record
