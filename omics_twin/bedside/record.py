"""What a client tells of a patient, in the order and units of a model; what follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from omics_twin.answers.beliefs import draws_of
from omics_twin.answers.patients import Patients
from omics_twin.answers.rankings import ranking_in
from omics_twin.bedside.belief import KeptBelief, read_told, replay, states
from omics_twin.errors import TwinError, nearest, quoted
from omics_twin.lifecycle.validity import governed, shares_of_visits
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import ChannelDesign, encoded
from omics_twin.tensors.transforms import DesignMatrices
from omics_twin.therapy.support import stratum_key, stratum_values
from omics_twin.told import PatientRecord, RecordedVisit, record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.privacy import Pseudonyms
from omics_twin.types import NO_INTERVENTION, Intervention, Observation, Ranking, TwinState, Visit

NOT_MEASURED = "not measured"


def visits_of(model: TrainedModel, record: PatientRecord) -> tuple[Visit, ...]:
    """Return a record's visits in the order and units of a model's design.

    Raises
    ------
    TwinError
        If a modality is unknown, a visit under therapy does not say under which, or visits are
        not in order, far from every scheduled one, or shown twice.
    ModelError
        If a column or a category is unknown, or a number is none or out of the declared range.
    TherapyError
        If an arm is not known.
    """
    found: list[Visit] = []
    for place, (told, rows) in enumerate(_read(model, record)):
        values = {channel.modality: torch.from_numpy(row)[None] for channel, row in rows}
        day = torch.tensor([told.day], dtype=torch.float64)
        observation = Observation((record.patient_id,), day, values)
        found.append(Visit(observation, _under(model, told, place)))
    return tuple(found)


def check_record(model: TrainedModel, record: PatientRecord) -> None:
    """Refuse a record that a model cannot be asked about, see :func:`visits_of`, `stratum_of`."""
    for place, (told, _) in enumerate(_read(model, record)):
        _under(model, told, place)
    stratum_of(model, record)


def patients_told(
    model: TrainedModel, record: PatientRecord, *, source: str, basis: str
) -> Patients:
    """Return a record's one patient as a model is asked about, see :func:`visits_of`.

    Parameters
    ----------
    source, basis
        Where the record comes from, and on what basis it may be asked about.
    """
    values = {
        channel.name: torch.full((1, len(channel.features)), torch.nan)
        for channel in model.twin.design.channels
    }
    days = {name: torch.full((1,), torch.nan, dtype=torch.float64) for name in values}
    given = set()
    for place, (told, rows) in enumerate(_read(model, record)):
        under = _under(model, told, place)
        given |= {under.name} if under != NO_INTERVENTION else set()
        for channel, row in rows:
            values[channel.name] = torch.from_numpy(row)[None].float()
            days[channel.name] = torch.tensor([told.day], dtype=torch.float64)
    stratum_of(model, record)
    stratum = {each: record.stratum.get(each, NOT_MEASURED) for each in strata_in(model)}
    return Patients(
        matrices=DesignMatrices((record.patient_id,), values, days, ()),
        received=(given.pop() if len(given) == 1 else None,),
        strata=(stratum,),
        source=source,
        fingerprint=hashlib.sha256(record.model_dump_json().encode()).hexdigest(),
        basis=basis,
    )


def modalities_of(model: TrainedModel) -> tuple[str, ...]:
    """Return the modalities that a record of this model may hold."""
    return tuple(dict.fromkeys(channel.modality for channel in model.twin.design.channels))


def channels_shown(model: TrainedModel, record: PatientRecord) -> set[str]:
    """Return the scheduled visits that a record has something of."""
    return {channel.name for each in channels_by_visit(model, record) for channel in each}


def channels_by_visit(model: TrainedModel, record: PatientRecord) -> list[list[ChannelDesign]]:
    """Return the scheduled visits that each visit of a record has something of."""
    return [[channel for channel, _ in rows] for _, rows in _read(model, record)]


def _read(
    model: TrainedModel, record: PatientRecord
) -> Iterator[tuple[RecordedVisit, list[tuple[ChannelDesign, Float[ndarray, " feature"]]]]]:
    """Yield each visit with what was measured, channel by channel."""
    seen: set[str] = set()
    before = float("-inf")
    for place, told in enumerate(record.visits):
        if told.day < before:
            raise TwinError(
                f"visit {place} of the record is before the one ahead of it: order visits by day"
            )
        before = told.day
        rows = []
        for modality, columns in told.values.items():
            channel = _channel(model, modality, told.day, place)
            row = encoded(channel, columns)
            if np.isnan(row).all():
                continue
            if channel.name in seen:
                raise TwinError(
                    f"visit {place} of the record shows '{channel.name}' a second time: expected "
                    "each scheduled visit once"
                )
            seen.add(channel.name)
            rows.append((channel, row))
        yield told, rows


def _channel(model: TrainedModel, modality: str, day: float, place: int) -> ChannelDesign:
    """Return the scheduled visit that is nearest to a day."""
    channels = model.twin.design.channels
    own = [channel for channel in channels if channel.modality == modality]
    if not own:
        known = modalities_of(model)
        raise TwinError(f"unknown modality '{modality}'{nearest(modality, known)}")
    # What is measured before treatment is a baseline value however long before.
    asked = max(day, 0.0)
    chosen = min(own, key=lambda channel: abs(asked - channel.visit_day))
    if abs(asked - chosen.visit_day) > chosen.window_days:
        days = ", ".join(f"{channel.visit_day:g}" for channel in own)
        raise TwinError(
            f"visit {place} of the record measured '{modality}' more than {chosen.window_days:g} "
            f"days from every scheduled visit (days {days}): leave it out"
        )
    return chosen


def _under(model: TrainedModel, told: RecordedVisit, place: int) -> Intervention:
    if told.under is not None:
        return model.catalogue.intervention(told.under)
    if told.day > 0 and len(model.catalogue.arms) > 1:
        raise TwinError(
            f"visit {place} of the record does not say what was given: add 'under', one of "
            f"{', '.join(model.catalogue.arms)}"
        )
    return NO_INTERVENTION if told.day <= 0 else model.catalogue.interventions()[0]


def stratum_of(model: TrainedModel, record: PatientRecord) -> str:
    """Return the key of a record's stratum; what is not given is not measured.

    Raises
    ------
    TwinError
        If a column is no part of the stratum, or its value was never seen.
    """
    known = strata_in(model)
    for column, value in record.stratum.items():
        if column not in known:
            raise TwinError(f"unknown stratum column '{column}'{nearest(column, known)}")
        if value not in known[column]:
            raise TwinError(
                f"'{column}' of the stratum is none of {quoted(known[column])}: send one of them, "
                "or leave it out where it was not measured"
            )
    return stratum_key(list(known), [record.stratum.get(each, NOT_MEASURED) for each in known])


def strata_in(model: TrainedModel) -> dict[str, list[str]]:
    """Return what a record may say of each column that makes a stratum."""
    found: dict[str, set[str]] = {column: {NOT_MEASURED} for column in model.support.columns}
    for key in model.support.counts:
        for column, value in stratum_values(model.support.columns, key).items():
            found[column].add(value)
    return {column: sorted(values) for column, values in found.items()}


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


def beliefs_in(model: TrainedModel, kept: KeptBelief) -> Iterator[TwinState]:
    """Yield the belief before any visit and after each, as far apart as the stratum asks for."""
    return states(model.twin, kept, model.calibration.moved_apart([kept.stratum]))


def belief_in(model: TrainedModel, kept: KeptBelief) -> TwinState:
    """Return the belief after the last visit."""
    return replay(model.twin, kept, model.calibration.moved_apart([kept.stratum]))


def ranking_of(
    model: TrainedModel,
    kept: KeptBelief,
    state: TwinState,
    settings: TwinSettings,
    among: Collection[str] = (),
) -> Ranking:
    """Return the catalogue's therapies compared, under the policy for who is unlike the others.

    Parameters
    ----------
    kept, state
        What makes the belief, and the belief.
    among
        Arms to compare; none: all.
    """
    found = ranking_in(model, state, [kept.stratum], settings, among=among)
    return governed(model, found, shares_of_visits(model, kept.visits))


def ranked(
    model: TrainedModel, record: PatientRecord, settings: TwinSettings
) -> tuple[TwinState, Ranking]:
    """Return the belief about a record's patient, and the catalogue's therapies compared."""
    kept = kept_of(model, record, settings)
    state = belief_in(model, kept)
    return state, ranking_of(model, kept, state, settings)


def read_record(path: Path, patient_id: str, names: Pseudonyms | None = None) -> PatientRecord:
    """Return what a JSON file tells of a patient: a visit, a list of visits or a whole record.

    Raises
    ------
    TwinError
        If the file is no JSON, not as it should be, or of another patient.
    """
    told = read_told(path, "a visit as an object")
    if isinstance(told, dict) and "visits" in told:
        told = {"patient_id": patient_id, **told}
    else:
        visits = told if isinstance(told, list) else [told]
        told = {"patient_id": patient_id, "visits": visits}
    record = record_of(told)
    if names is not None:
        record = record.model_copy(update={"patient_id": names.of(record.patient_id)})
    if record.patient_id != patient_id:
        raise TwinError(
            f"'{path}' is of another patient than the one asked for: name the patient of the file"
        )
    return record
