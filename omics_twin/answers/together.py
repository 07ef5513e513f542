"""A block of many patients' records ranked at once, each as if alone; nobody leaves in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import torch

from omics_twin.answers.beliefs import calibrated, draws_of
from omics_twin.answers.rankings import ranking_in, ranking_lines
from omics_twin.bedside.record import stratum_of, visits_of
from omics_twin.errors import ConsentError, OmicsTwinError, TwinError
from omics_twin.files import json_of
from omics_twin.lifecycle.validity import governed, shares_of_visits
from omics_twin.settings import TwinSettings
from omics_twin.told import record_of, without
from omics_twin.tracking import TrainedModel
from omics_twin.types import Observation, Ranking, Visit

COLUMNS = pa.schema(
    [
        ("patient_id", pa.string()),
        ("rank", pa.int64()),
        ("intervention", pa.string()),
        ("expected", pa.float64()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("probability_best", pa.float64()),
        ("support", pa.int64()),
        ("eligible", pa.bool_()),
        ("reason", pa.string()),
        ("recommended", pa.bool_()),
        ("abstention", pa.string()),
        ("likeness", pa.float64()),
        ("unlike", pa.bool_()),
    ]
)
"""Of a ranking's lines; who is not answered has one line, with the reason and without a therapy."""


@dataclass(frozen=True)
class Block:
    """Some patients in the order of their file, and what they permit.

    Attributes
    ----------
    number
        Place of the block, from 0.
    patient_ids, records
        Each patient's record as JSON text, ``{"stratum": …, "visits": […]}``.
    refused, withheld
        Reason by patient who is not scored; modalities of the others that are not used.
    """

    number: int
    patient_ids: tuple[str, ...]
    records: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


Answering = Callable[[Iterable[Block]], Iterable[tuple[int, pa.Table]]]
"""Answers blocks, in any order: the number of each, and what :func:`answers_to` returns."""


@dataclass(frozen=True)
class _Told:
    """A patient as the model is shown one."""

    place: int
    patient_id: str
    visits: tuple[Visit, ...]
    stratum: str


def answers_to(
    model: TrainedModel, block: Block, settings: TwinSettings, *, excluded: bool = False
) -> pa.Table:
    """Return the lines of every patient's ranking in the order of the block; see :data:`COLUMNS`.

    Patients with visits alike are asked about together, so the last bits of a number depend on the
    block; the same block has the same answer, bit for bit, wherever processors are alike.

    Parameters
    ----------
    excluded
        Whether therapies that are not open to a patient are listed too.
    """
    lines: dict[int, list[dict[str, Any]]] = {}
    alike: dict[Any, list[_Told]] = {}
    times: Counter[str] = Counter()
    for place, patient in enumerate(block.patient_ids):
        try:
            told = _told(model, block, place)
        except OmicsTwinError as error:
            lines[place] = [_unanswered(patient, str(error))]
            continue
        shown = tuple((each.under.name, *sorted(each.observation.values)) for each in told.visits)
        # A patient who is there twice is asked about twice: no belief holds one patient twice.
        alike.setdefault((times[patient], shown), []).append(told)
        times[patient] += 1
    for group in alike.values():
        ranking = _ranked(model, group, settings)
        for row, told in enumerate(group):
            lines[told.place] = ranking_lines(ranking, row, excluded=excluded)
    found = [line for place in sorted(lines) for line in lines[place]]
    return pa.Table.from_pylist(found, schema=COLUMNS)


def _told(model: TrainedModel, block: Block, place: int) -> _Told:
    patient = block.patient_ids[place]
    if patient in block.refused:
        raise ConsentError(block.refused[patient])
    try:
        given = json_of(block.records[place].encode())
    except ValueError as error:
        raise TwinError(f"the record is not JSON ({error})") from error
    record = record_of({"patient_id": patient, **given} if isinstance(given, dict) else given)
    if record.patient_id != patient:
        raise TwinError("the record is of another patient than its row says")
    record = without(record, block.withheld.get(patient, ()))
    return _Told(place, patient, visits_of(model, record), stratum_of(model, record))


def _ranked(model: TrainedModel, group: Sequence[_Told], settings: TwinSettings) -> Ranking:
    """Return the ranking of patients who were shown alike: modalities, therapies, their order."""
    ids, strata = tuple(each.patient_id for each in group), [each.stratum for each in group]
    state = model.twin.start(ids, draws=draws_of(model, settings), seed=settings.seed)
    state = calibrated(model, state, strata)
    visits = []
    for alike in zip(*(each.visits for each in group), strict=True):
        seen = [each.observation for each in alike]
        values = {name: torch.cat([each.values[name] for each in seen]) for name in seen[0].values}
        days = torch.cat([each.days for each in seen])
        visits.append(Visit(Observation(ids, days, values), alike[0].under))
        state = model.twin.observe(state, visits[-1].observation, under=visits[-1].under)
    found = ranking_in(model, state, strata, settings)
    return governed(model, found, shares_of_visits(model, visits, len(ids)))


def _unanswered(patient: str, reason: str) -> dict[str, Any]:
    return {"patient_id": patient, "eligible": False, "reason": reason, "recommended": False}
