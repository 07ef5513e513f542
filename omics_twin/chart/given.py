"""Rank a patient's therapies from the chart, keep what was told, and tell it again bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from omics_twin.answers.rankings import ranking_lines
from omics_twin.bedside.belief import KeptBelief
from omics_twin.bedside.record import belief_in, kept_of, modalities_of, ranked, ranking_of
from omics_twin.chart.replay import as_given, ranking_by
from omics_twin.chart.store import Chart
from omics_twin.chart.stored import StoredBelief, StoredRanking
from omics_twin.lifecycle.validity import REFUSED, refused, under
from omics_twin.settings import TwinSettings, Unlike
from omics_twin.told import PatientRecord
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from omics_twin.types import TwinState


@dataclass(frozen=True)
class Given:
    """A ranking as it was given.

    Attributes
    ----------
    number
        Its number in the chart.
    lines
        As of :func:`omics_twin.answers.rankings.ranking_lines`.
    record, kept
        What the chart held, and what makes the belief.
    visits, withheld
        Numbers of the record's visits in the chart, and modalities that were not to be used.
    """

    number: int
    lines: list[dict[str, Any]]
    record: PatientRecord
    kept: KeptBelief
    visits: tuple[int, ...]
    withheld: tuple[str, ...]
    model: TrainedModel = field(repr=False)

    @cached_property
    def state(self) -> TwinState:
        """The belief that the ranking was read from."""
        return belief_in(self.model, self.kept)


def give(
    chart: Chart, model: TrainedModel, patient_id: str, settings: TwinSettings, *, by: str
) -> Given:
    """Return a ranking from the chart, kept there before it is returned.

    Where the patient's last ranking was made from the same, it is that one again.

    Raises
    ------
    ConsentError
        If the patient's chart does not permit scoring.
    ChartError
        If the patient has no chart.
    OmicsTwinError
        If the model cannot be shown what the chart holds.
    """
    withheld = chart.check_consent(patient_id, Purpose.SCORING, modalities_of(model))
    visits = chart.visits(patient_id)
    record = chart.record(patient_id, visits, withheld=withheld)
    kept = kept_of(model, record, settings)
    start = (patient_id, model.digest, kept.draws, kept.seed, record.stratum)
    told = StoredRanking(
        StoredBelief(*start, visits, withheld), settings.interval, settings.confidence, []
    )
    before = chart.last_ranking(patient_id)
    # Under another policy the same visits have another answer.
    if (
        before is not None
        and replace(before[1], lines=[]) == told
        and refused(model, kept.visits) == _refused(before[1])
    ):
        return Given(before[0], before[1].lines, record, kept, visits, withheld, model)
    state = belief_in(model, kept)
    lines = ranking_lines(ranking_of(model, kept, state, settings), 0, excluded=True)
    number = chart.add_ranking(replace(told, lines=lines), by=by)
    return Given(number, lines, record, kept, visits, withheld, model)


def replayed(chart: Chart, model: TrainedModel, number: int) -> list[dict[str, Any]]:
    """Return a ranking's lines made anew from the visits it was made from.

    Raises
    ------
    ChartError
        If another model gave it, or the lines are not the same to the last bit.
    """
    told = ranking_by(chart, model.digest, number)
    belief = told.belief
    record = chart.record(belief.patient_id, belief.visits, withheld=belief.withheld)
    record = record.model_copy(update={"stratum": dict(belief.stratum)})
    settings = TwinSettings(belief.draws, belief.seed, told.interval, told.confidence)
    policy = Unlike.REFUSE if _refused(told) else Unlike.WARN
    _, ranking = ranked(under(model, policy), record, settings)
    lines = ranking_lines(ranking, 0, excluded=True)
    return as_given(lines, told.lines, number)


def _refused(told: StoredRanking) -> bool:
    """Whether the patient got no answer, as such patients were refused one."""
    return any(line["reason"] == REFUSED for line in told.lines)
