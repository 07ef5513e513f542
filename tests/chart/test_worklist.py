"""Who comes first on the worklist, and what is said of those who do not permit it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest

from omics_twin.chart.accounts import Account, Role, account, set_account, signed_in
from omics_twin.chart.store import Chart
from omics_twin.chart.stored import StoredBelief, StoredRanking
from omics_twin.chart.worklist import worklist
from omics_twin.errors import ChartError
from omics_twin.told import RecordedVisit
from omics_twin.trust.consent import Decision, Entry

BY = "dr nora"
PASSWORD = "a long password"


@pytest.fixture
def chart(place: str) -> Iterator[Chart]:
    with closing(Chart.open(place)) as opened:
        yield opened


def admitted(chart: Chart, patient: str, *, consent: bool = True) -> int:
    chart.add_patient(patient, by=BY)
    if consent:
        day = date(2026, 1, 1)
        chart.add_consent(Entry(patient, Decision.GRANT, "scoring", day), by=BY)
    visit = RecordedVisit(values={"clinical": {"age_years": 60}})
    return chart.add_visit(patient, visit, key="first", by=BY)


def test_alerts_come_first_then_who_waits_then_who_was_decided(chart: Chart) -> None:
    decided = admitted(chart, "a decided")
    admitted(chart, "b waits")
    admitted(chart, "c alerted")
    admitted(chart, "d refuses", consent=False)
    belief = StoredBelief("a decided", "0f" * 32, 8, 0, {}, (decided,))
    ranking = StoredRanking(belief, 0.9, 0.6, [{"intervention": "x"}])
    chart.add_decision(chart.add_ranking(ranking, by=BY), "x", by=BY)
    alerts = [("change", "larger than foreseen")]
    later = RecordedVisit(day=21.0, under="x")
    chart.add_visit("c alerted", later, key="second", by=BY, alerts=alerts)
    lines, total = worklist(chart)
    assert [each.patient_id for each in lines] == ["c alerted", "d refuses", "b waits", "a decided"]
    assert total == 4
    assert lines[0].alerts == ("larger than foreseen",)
    assert (lines[0].visits, lines[0].last_day) == (2, 21.0)
    assert [each.decided for each in lines] == [False, False, False, True]
    refused = lines[1]
    assert "no consent for scoring" in refused.refused
    assert (refused.visits, refused.last_day, refused.alerts) == (0, None, ())
    chart.close_alert("c alerted", chart.alerts("c alerted")[0].number, "seen", by=BY)
    assert worklist(chart)[0][0].alerts == ()


def test_a_part_of_the_list_is_found_by_name(chart: Chart) -> None:
    for name in ("p1%", "p12", "q1"):
        admitted(chart, name)
    lines, total = worklist(chart, named="1", start=1, most=1)
    assert (len(lines), total) == (1, 3)
    assert [each.patient_id for each in worklist(chart, named="%")[0]] == ["p1%"]


def test_who_has_the_password_is_signed_in_until_the_account_is_closed(chart: Chart) -> None:
    set_account(chart, "nora", "clinician", PASSWORD, by="admin")
    assert signed_in(chart, "nora", PASSWORD) == Account("nora", Role.CLINICIAN)
    assert signed_in(chart, "nora", PASSWORD + "x") is None
    assert signed_in(chart, "Nora", PASSWORD) is None
    set_account(chart, "nora", "auditor", PASSWORD, by="admin")
    assert account(chart, "nora") == Account("nora", Role.AUDITOR)
    set_account(chart, "nora", None, "", by="admin")
    assert account(chart, "nora") is None
    assert signed_in(chart, "nora", PASSWORD) is None


def test_an_account_without_a_role_or_password_is_refused(chart: Chart) -> None:
    with pytest.raises(ChartError, match="did you mean 'clinician'"):
        set_account(chart, "nora", "clinican", PASSWORD, by="admin")
    with pytest.raises(ChartError, match="has 5 characters, expected 12 to 200"):
        set_account(chart, "nora", "clinician", "short", by="admin")
    with pytest.raises(ChartError, match="name of the account"):
        set_account(chart, " ", "clinician", PASSWORD, by="admin")
