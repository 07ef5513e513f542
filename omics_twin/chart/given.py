"""Rank a patient's therapies from the chart, keep what was told, and tell it again bit for bit."""

from __future__ import annotations

from typing import Any

from omics_twin.answers import draws_of, ranking_lines
from omics_twin.chart.store import Chart, StoredBelief, StoredRanking
from omics_twin.errors import ChartError
from omics_twin.record import ranked
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose


def give(
    chart: Chart, model: TrainedModel, patient_id: str, settings: TwinSettings, *, by: str
) -> tuple[int, list[dict[str, Any]]]:
    """Return a ranking's number in the chart and its lines; kept before it is returned.

    Raises
    ------
    ConsentError
        If the patient's chart does not permit scoring.
    ChartError
        If the patient has no chart.
    OmicsTwinError
        If the model cannot be shown what the chart holds.
    """
    chart.check_consent(patient_id, Purpose.SCORING)
    visits = chart.visits(patient_id)
    record = chart.record(patient_id, visits)
    start = (patient_id, model.digest, draws_of(model, settings), settings.seed, record.stratum)
    lines = _lines(model, record, settings)
    belief = StoredBelief(*start, visits)
    told = StoredRanking(belief, settings.interval, settings.confidence, lines)
    return chart.add_ranking(told, by=by), lines


def replayed(chart: Chart, model: TrainedModel, number: int) -> list[dict[str, Any]]:
    """Return a ranking's lines made anew from the visits it was made from.

    Raises
    ------
    ChartError
        If another model gave it, or the lines are not the same to the last bit.
    """
    told = chart.ranking(number)
    belief = told.belief
    if belief.model != model.digest:
        raise ChartError(
            f"ranking {number} was given by model {belief.model[:12]}, not {model.digest[:12]}: "
            "load the model that gave it"
        )
    record = chart.record(belief.patient_id, belief.visits)
    record = record.model_copy(update={"stratum": dict(belief.stratum)})
    settings = TwinSettings(belief.draws, belief.seed, told.interval, told.confidence)
    lines = _lines(model, record, settings)
    if lines != told.lines:
        raise ChartError(
            f"ranking {number} comes out another way than it was given: the chart, the model or "
            "the libraries are not those that gave it"
        )
    return lines


def _lines(
    model: TrainedModel, record: PatientRecord, settings: TwinSettings
) -> list[dict[str, Any]]:
    _, ranking = ranked(model, record, settings)
    return ranking_lines(ranking, 0, excluded=True)
