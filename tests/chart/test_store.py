"""A chart in both databases: nothing is lost, changed, or told to whom it does not concern."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text

from omics_twin.chart.database import open_database, transaction
from omics_twin.chart.store import Chart
from omics_twin.chart.stored import StoredBelief, StoredRanking
from omics_twin.chart.tables import METADATA, PATIENTS
from omics_twin.errors import ChartError, ConsentError, TwinError
from omics_twin.told import RecordedVisit
from omics_twin.trust.consent import Decision, Entry, Purpose
from tests.chart.writers import killed_writers

CANARY = "KANARIE4711"
BY = "dr nora"


def visit(day: float = 0.0, size: float | str | None = 31.5, under: str | None = None):
    return RecordedVisit(day=day, values={"tumour": {"sld_mm": size}}, under=under)


@pytest.fixture
def chart(place: str) -> Iterator[Chart]:
    with closing(Chart.open(place)) as opened:
        opened.add_patient("ada", by=BY, stratum={"hr_positive": "1"})
        yield opened


def test_a_record_is_what_was_told(chart: Chart) -> None:
    chart.add_visit("ada", visit(21, 0.1 + 0.2, under="taxane"), key="b", by=BY)
    chart.add_visit("ada", visit(0, 7), key="a", by=BY)
    record = chart.record("ada")
    assert [each.day for each in record.visits] == [0.0, 21.0]
    assert record.visits[1].values == {"tumour": {"sld_mm": 0.1 + 0.2}}
    assert record.visits[1].under == "taxane"
    assert isinstance(record.visits[0].values["tumour"]["sld_mm"], int)
    assert record.stratum == {"hr_positive": "1"}


def test_the_steps_lead_to_the_tables_the_code_knows(chart: Chart) -> None:
    with chart.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_visit_sent_twice_counts_once(chart: Chart) -> None:
    first = chart.add_visit("ada", visit(), key="k", by=BY)
    assert chart.add_visit("ada", visit(), key="k", by="someone else") == first
    assert len(chart.record("ada").visits) == 1
    with pytest.raises(ChartError, match="says something else"):
        chart.add_visit("ada", visit(size=32.0), key="k", by=BY)


def test_the_same_visit_from_many_threads_counts_once(chart: Chart) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(chart.add_visit, "ada", visit(), key="k", by=BY) for _ in range(40)]
        assert len({each.result() for each in asked}) == 1
    assert len(chart.visits("ada")) == 1


def test_a_correction_holds_and_what_it_corrects_stays(chart: Chart) -> None:
    wrong = chart.add_visit("ada", visit(size=315.0), key="wrong", by=BY)
    right = chart.add_visit("ada", visit(size=31.5), key="right", by=BY, amends=wrong)
    assert chart.visits("ada") == (right,)
    assert chart.record("ada", [wrong]).visits[0].values == {"tumour": {"sld_mm": 315.0}}
    with pytest.raises(ChartError, match="amended before"):
        chart.add_visit("ada", visit(), key="again", by=BY, amends=wrong)
    chart.add_patient("bob", by=BY)
    with pytest.raises(ChartError, match="not of this patient"):
        chart.add_visit("bob", visit(), key="other", by=BY, amends=right)
    with pytest.raises(ChartError, match="not of this patient"):
        chart.record("bob", [right])
    with pytest.raises(ChartError, match="no row 99"):
        chart.add_visit("ada", visit(), key="none", by=BY, amends=99)


def test_who_has_no_chart_gets_a_sentence(chart: Chart) -> None:
    with pytest.raises(ChartError, match="already has a chart"):
        chart.add_patient("ada", by=BY)
    for asked in (
        lambda: chart.add_visit(CANARY, visit(), key="k", by=BY),
        lambda: chart.record(CANARY),
        lambda: chart.add_consent(Entry(CANARY, Decision.GRANT, "all", date(2026, 1, 1)), by=BY),
    ):
        with pytest.raises(ChartError, match="has no chart") as refused:
            asked()
        assert CANARY not in str(refused.value)
    for none in ("", "ada\0", "a\nb"):
        with pytest.raises(TwinError, match="patient_id"):
            chart.add_patient(none, by=BY)
    with pytest.raises(ChartError, match="expected 1 to 64"):
        chart.add_visit("ada", visit(), key="", by=BY)


def test_sql_in_a_name_is_a_name(chart: Chart) -> None:
    name = "x'; drop table visits; --"
    chart.add_patient(name, by=BY)
    chart.add_visit(name, visit(), key=name, by=name)
    assert chart.record(name).patient_id == name


def test_consent_is_asked_as_of_now(chart: Chart) -> None:
    with pytest.raises(ConsentError, match="no consent for scoring"):
        chart.check_consent("ada", Purpose.SCORING)
    chart.add_consent(Entry("ada", Decision.GRANT, "all", date(2026, 1, 1)), by=BY)
    chart.check_consent("ada", Purpose.SCORING)
    chart.add_consent(Entry("ada", Decision.WITHDRAW, "scoring", date(2026, 2, 1)), by=BY)
    with pytest.raises(ConsentError, match="withdrawn on 2026-02-01"):
        chart.check_consent("ada", Purpose.SCORING)
    chart.check_consent("ada", Purpose.TRAINING)
    with pytest.raises(ConsentError, match="did you mean 'scoring'"):
        Entry("ada", Decision.WITHDRAW, "scorin", date(2026, 2, 1))


def test_a_ranking_its_decision_and_alerts_are_kept(chart: Chart) -> None:
    number = chart.add_visit("ada", visit(), key="k", by=BY)
    belief = StoredBelief("ada", "0f" * 32, 160, 0, {"hr_positive": "1"}, (number,))
    lines = [{"intervention": "a", "expected": 1 / 3}, {"intervention": "b", "expected": None}]
    told = StoredRanking(belief, 0.9, 0.6, lines)
    ranking = chart.add_ranking(told, by="service")
    assert chart.ranking(ranking) == told
    chart.add_decision(ranking, "a", by=BY)
    chart.add_decision(ranking, "b", by=BY, reason="neuropathy")
    with pytest.raises(ChartError, match="say why"):
        chart.add_decision(ranking, "b", by=BY, reason=" ")
    with pytest.raises(ChartError, match="none of the 2"):
        chart.add_decision(ranking, "c", by=BY, reason="none")
    with pytest.raises(ChartError, match="no row 7 in the chart's rankings"):
        chart.ranking(7)
    assert [each.intervention for each in chart.decisions("ada")] == ["a", "b"]
    assert chart.last_ranking("ada") == (ranking, told)
    assert chart.last_ranking("bob") is None


def test_a_visit_that_was_checked_beside_others_is_refused_where_more_came(chart: Chart) -> None:
    first = chart.add_visit("ada", visit(), key="k", by=BY)
    chart.add_visit("ada", visit(), key="l", by=BY, beside=[first])
    with pytest.raises(ChartError, match="another visit came in between"):
        chart.add_visit("ada", visit(), key="m", by=BY, beside=[first])
    assert len(chart.visits("ada")) == 2


def test_an_alert_is_kept_with_its_visit_and_closed_once(chart: Chart) -> None:
    raised = [("change", "growth faster than foreseen")]
    number = chart.add_visit("ada", visit(), key="k", by=BY, alerts=raised)
    assert chart.add_visit("ada", visit(), key="k", by=BY, alerts=raised) == number
    (alert,) = chart.alerts("ada")
    assert (alert.visit, alert.kind, alert.sentence) == (number, *raised[0])
    assert alert.closed_by == ""
    with pytest.raises(ChartError, match="say what was done"):
        chart.close_alert("ada", alert.number, " ", by=BY)
    with pytest.raises(ChartError, match="not of this patient"):
        chart.close_alert("ada", 99, "scan repeated", by=BY)
    chart.close_alert("ada", alert.number, "scan repeated", by=BY)
    assert chart.alerts("ada")[0].closed_by == BY
    with pytest.raises(ChartError, match="closed before"):
        chart.close_alert("ada", alert.number, "again", by=BY)


def test_a_refused_row_is_told_without_its_values(chart: Chart) -> None:
    row = {"patient_id": CANARY, "stratum": {}, "written_by": BY}
    with (
        pytest.raises(ChartError, match="nothing was written") as refused,
        transaction(chart.engine) as connection,
    ):
        connection.execute(insert(PATIENTS).values([row, row]))
    assert CANARY not in str(refused.value)
    with pytest.raises(ChartError, match="has no chart"):
        chart.record(CANARY)


def test_those_who_open_a_new_chart_at_once_all_get_it(place: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        opened = list(threads.map(lambda _: Chart.open(place), range(6)))
    opened[0].add_patient("ada", by=BY)
    assert all(each.visits("ada") == () for each in opened)
    for each in opened:
        each.close()


def test_nothing_is_lost_where_a_chart_is_opened_twice_and_elsewhere_closed(place: str) -> None:
    elsewhere = (
        "import sys; from omics_twin.chart.store import Chart; chart = Chart.open(sys.argv[1]); "
        "print([chart.has(each) for each in sys.argv[2:]]); chart.close()"
    )

    def known(*patients: str) -> str:
        asked = [sys.executable, "-c", elsewhere, place, *patients]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    with closing(Chart.open(place)) as first, closing(Chart.open(place)) as second:
        first.add_patient("ada", by=BY)
        assert known("ada") == "[True]"
        second.add_patient("bob", by=BY)
        first.add_patient("eve", by=BY)
        assert known("ada", "bob", "eve") == "[True, True, True]"


def test_a_chart_of_a_later_version_is_left_alone(chart: Chart, place: str) -> None:
    with chart.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(ChartError, match="later version"):
        open_database(place)


def test_a_place_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database " * 500)
    for place, told in {
        "chart.db": "no address of a database",
        "mysql://x/y": "kind 'mysql'",
        "sqlite://": "names no file",
        f"sqlite:///{tmp_path}/none/chart.db": "No such file",
        f"sqlite:///{broken}": "not a database",
        "postgresql://chart:geheim@127.0.0.1:9/x": "onnection",
    }.items():
        with pytest.raises(ChartError, match=told) as refused:
            open_database(place)
        assert "geheim" not in str(refused.value)
    assert broken.read_bytes() == b"no database " * 500


def test_a_file_is_its_owners_alone_and_checks_what_refers_to_what(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "chart.db"
    chart = Chart.open(f"sqlite:///{path}")
    chart.add_patient("ada", by=BY)
    request.addfinalizer(chart.close)
    for each in tmp_path.glob("chart.db*"):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
    with chart.engine.connect() as connection:
        assert connection.execute(text("pragma journal_mode")).scalar() == "wal"
        assert connection.execute(text("pragma foreign_keys")).scalar() == 1
        assert connection.execute(text("pragma integrity_check")).scalar() == "ok"


def test_what_was_acknowledged_survives_killed_writers(place: str, tmp_path: Path) -> None:
    """The long version, 8 writers of 500 visits each, is ``python -m scripts.bench.chart``."""
    lost, written = killed_writers(place, writers=4, visits=60, seed=0)
    assert lost == 0
    assert written == 4 * 60
