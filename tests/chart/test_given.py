"""A ranking from the chart is the one a client would get, and comes out the same for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
import torch

from omics_twin.chart.given import give, replayed
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError, ConsentError
from omics_twin.record import ranked
from omics_twin.settings import TwinSettings
from omics_twin.told import record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Decision, Entry
from tests.conftest import SmallRun

BY = "dr nora"
TOLD = {
    "patient_id": "ada",
    "stratum": {"hr_positive": "1", "her2_positive": "0"},
    "visits": [{"day": 0, "values": {"clinical": {"age_years": 51, "stage": "II"}}}],
}
SETTINGS = TwinSettings(draws=64, seed=3, interval=0.8)


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture
def chart(place: str) -> Iterator[Chart]:
    with closing(Chart.open(place)) as opened:
        record = record_of(TOLD)
        opened.add_patient("ada", by=BY, stratum=record.stratum)
        opened.add_visit("ada", record.visits[0], key="first", by=BY)
        yield opened


def decided(decision: Decision, day: int) -> Entry:
    return Entry("ada", decision, "scoring", date(2026, 1, day))


def test_a_ranking_given_is_told_again_bit_for_bit(chart: Chart, model: TrainedModel) -> None:
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    given = give(chart, model, "ada", SETTINGS, by=BY)
    number, lines = given.number, given.lines
    assert lines[0]["rank"] == 1
    assert give(chart, model, "ada", SETTINGS, by=BY).number == number
    corrected = record_of({**TOLD, "visits": [{"values": {"clinical": {"age_years": 71}}}]})
    first = chart.visits("ada")[0]
    chart.add_visit("ada", corrected.visits[0], key="corrected", by=BY, amends=first)
    again = give(chart, model, "ada", SETTINGS, by=BY)
    later, others = again.number, again.lines
    assert others != lines
    assert replayed(chart, model, number) == lines
    assert replayed(chart, model, later) == others


def test_the_belief_from_the_chart_is_the_one_from_the_record(
    chart: Chart, model: TrainedModel
) -> None:
    record = chart.record("ada")
    assert record == record_of(TOLD)
    state, _ = ranked(model, record, SETTINGS)
    told, _ = ranked(model, record_of(TOLD), SETTINGS)
    assert torch.equal(state.draws, told.draws)
    assert torch.equal(state.log_weights, told.log_weights)


def test_who_did_not_consent_or_withdrew_is_not_ranked(chart: Chart, model: TrainedModel) -> None:
    with pytest.raises(ConsentError, match="no consent for scoring"):
        give(chart, model, "ada", SETTINGS, by=BY)
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    give(chart, model, "ada", SETTINGS, by=BY)
    chart.add_consent(decided(Decision.WITHDRAW, 2), by=BY)
    with pytest.raises(ConsentError, match="withdrawn"):
        give(chart, model, "ada", SETTINGS, by=BY)


def test_another_model_cannot_replay_a_ranking(chart: Chart, model: TrainedModel) -> None:
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    number = give(chart, model, "ada", SETTINGS, by=BY).number
    with pytest.raises(ChartError, match="load the model that gave it"):
        replayed(chart, replace(model, digest="0" * 64), number)
