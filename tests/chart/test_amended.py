"""What is put right in a chart holds from then on; what had been written stays in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest

from omics_twin.chart.amended import amend_stratum, amended_strata, amended_visits
from omics_twin.chart.doses import add_dose, amended_doses, doses_of
from omics_twin.chart.given import give, replayed
from omics_twin.chart.store import Chart
from omics_twin.chart.worklist import worklist
from omics_twin.errors import ChartError, TwinError
from omics_twin.settings import TwinSettings
from omics_twin.told import RecordedDose, RecordedVisit, dose_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Decision, Entry
from tests.conftest import SmallRun

BY = "dr nora"
SETTINGS = TwinSettings(draws=16)
DAILY = RecordedDose(drug="sunitinib", amount=50.0, interval_days=1.0, repeat=28)


@pytest.fixture
def chart(place: str) -> Iterator[Chart]:
    with closing(Chart.open(place)) as opened:
        opened.add_patient("ada", by=BY, stratum={"hr_positive": "1", "her2_positive": "0"})
        opened.add_consent(Entry("ada", Decision.GRANT, "scoring", date(2026, 1, 1)), by=BY)
        values = {"clinical": {"age_years": 51, "stage": "II"}}
        opened.add_visit("ada", RecordedVisit(values=values), key="first", by=BY)
        yield opened


def test_a_wrong_stratum_is_amended_and_what_was_told_before_is_told_again(
    chart: Chart, small_run: SmallRun
) -> None:
    model = TrainedModel.load(small_run.model)
    before = give(chart, model, "ada", SETTINGS, by=BY)
    chart.add_decision(before.number, before.lines[0]["intervention"], by=BY)
    assert worklist(chart)[0][0].decided
    right = {"hr_positive": "1", "her2_positive": "1"}
    for stratum, reason, told in ((right, " ", "say why"), (before.record.stratum, "x", "already")):
        with pytest.raises(ChartError, match=told):
            amend_stratum(chart, "ada", stratum, reason=reason, by=BY)
    amend_stratum(chart, "ada", right, reason="wrong biopsy", by=BY)
    after = give(chart, model, "ada", SETTINGS, by=BY)
    assert after.record.stratum == right
    assert after.lines != before.lines
    assert not worklist(chart)[0][0].decided
    chart.add_decision(after.number, after.lines[0]["intervention"], by=BY)
    assert worklist(chart)[0][0].decided
    assert replayed(chart, model, before.number) == before.lines
    assert replayed(chart, model, after.number) == after.lines
    (kept,) = amended_strata(chart, "ada")
    assert (kept.before, kept.after, kept.reason) == (before.record.stratum, right, "wrong biopsy")


def test_an_amended_visit_is_told_with_what_it_said_before(chart: Chart) -> None:
    (first,) = chart.visits("ada")
    right = RecordedVisit(values={"clinical": {"age_years": 15}})
    chart.add_visit("ada", right, key="b", by=BY, amends=first, reason="digits swapped")
    (told,) = amended_visits(chart, "ada")
    assert (told.before.values["clinical"]["age_years"], told.reason) == (51, "digits swapped")
    assert told.after == right
    (told,) = amended_visits(chart, "ada", withheld=["clinical"])
    assert told.before.values == told.after.values == {}


def test_doses_are_kept_once_and_put_right(chart: Chart) -> None:
    first = add_dose(chart, "ada", DAILY, key="a", by=BY)
    assert add_dose(chart, "ada", DAILY, key="a", by=BY) == first
    planned = RecordedDose(drug="sunitinib", amount=37.5, start_days=42.0, planned=True)
    add_dose(chart, "ada", planned, key="b", by=BY)
    right = DAILY.model_copy(update={"amount": 25.0})
    with pytest.raises(ChartError, match="say why"):
        add_dose(chart, "ada", right, key="c", by=BY, amends=first)
    add_dose(chart, "ada", right, key="c", by=BY, amends=first, reason="half tablets")
    assert [each.dose for each in doses_of(chart, "ada")] == [right, planned]
    assert doses_of(chart, "ada", [first])[0].dose == DAILY
    ((wrong, held),) = amended_doses(chart, "ada")
    assert (wrong.number, held.dose, held.reason) == (first, right, "half tablets")
    for key, amends, told in (("a", None, "something else"), ("d", first, "amended before")):
        with pytest.raises(ChartError, match=told):
            add_dose(chart, "ada", planned, key=key, by=BY, amends=amends, reason="x")
    with pytest.raises(ChartError, match="not of this patient"):
        doses_of(chart, "ada", [99])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"amount": -1.0}, "'amount' of a dose"),
        ({"amount": float("nan")}, "'amount' of a dose"),
        ({"unit": "mg/m2"}, "'unit' of a dose"),
        ({"repeat": 28, "interval_days": 0.0}, "add 'interval_days'"),
        ({"repeat": 0}, "'repeat' of a dose"),
        ({"colour": "x"}, "a dose is not as it should be"),
    ],
)
def test_a_dose_that_is_none_gets_a_sentence(changed: dict[str, object], told: str) -> None:
    with pytest.raises(TwinError, match=told):
        dose_of({"drug": "sunitinib", "amount": 50.0, **changed})
