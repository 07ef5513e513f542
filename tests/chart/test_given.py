"""A ranking from the chart is the one a client would get, and comes out the same for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
import torch

from omics_twin.bedside.record import ranked
from omics_twin.chart.given import give, replayed
from omics_twin.chart.learned import learn
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError, ConsentError
from omics_twin.lifecycle.validity import governed_by
from omics_twin.settings import TwinSettings, Unlike
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


def test_a_stricter_policy_holds_for_what_was_told_before_it(
    chart: Chart, model: TrainedModel
) -> None:
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    assert model.likeness is not None
    ordinary = replace(model.likeness, calibration=model.likeness.calibration - 1e3)
    far = replace(model, likeness=ordinary)
    strict = governed_by(far, Unlike.REFUSE)
    warned = give(chart, far, "ada", SETTINGS, by=BY)
    barred = give(chart, strict, "ada", SETTINGS, by=BY)
    assert {line["expected"] for line in barred.lines} == {None}
    assert give(chart, strict, "ada", SETTINGS, by=BY).number == barred.number
    for given in (warned, barred):
        assert replayed(chart, strict, given.number) == given.lines
        assert replayed(chart, far, given.number) == given.lines


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


def test_a_modality_that_is_withdrawn_is_not_in_the_belief_and_not_on_the_page(
    chart: Chart, model: TrainedModel
) -> None:
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    before = give(chart, model, "ada", SETTINGS, by=BY)
    chart.add_consent(replace(decided(Decision.WITHDRAW, 2), modality="clinical"), by=BY)
    after = give(chart, model, "ada", SETTINGS, by=BY)
    assert after.number != before.number
    assert after.lines != before.lines
    assert after.record.visits[0].values == {}
    assert replayed(chart, model, before.number) == before.lines
    assert replayed(chart, model, after.number) == after.lines
    chart.add_consent(replace(decided(Decision.WITHDRAW, 3), modality="clinicla"), by=BY)
    with pytest.raises(ConsentError, match="'clinicla' may not be used and is not known here"):
        give(chart, model, "ada", SETTINGS, by=BY)


def test_a_visit_of_what_is_withheld_is_kept_and_teaches_the_twin_nothing(
    chart: Chart, model: TrainedModel
) -> None:
    chart.add_consent(decided(Decision.GRANT, 1), by=BY)
    chart.add_consent(replace(decided(Decision.WITHDRAW, 2), modality="radiomics"), by=BY)
    before = give(chart, model, "ada", SETTINGS, by=BY)
    told = {"day": 21, "under": model.catalogue.arms[0]}
    told["values"] = {"radiomics": {"tumour_volume_cm3": 12.0}}
    visit = record_of({"patient_id": "ada", "visits": [told]}).visits[0]
    learn(chart, model, "ada", visit, SETTINGS, key="late", by=BY)
    after = give(chart, model, "ada", SETTINGS, by=BY)
    assert len(chart.record("ada").visits) == 2
    assert [line["expected"] for line in after.lines] == [line["expected"] for line in before.lines]
