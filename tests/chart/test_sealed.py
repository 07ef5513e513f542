"""A sealed chart is opened by its key alone, and takes another key without losing a row."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from omics_twin.chart.sealed import give_key
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError

pytest.importorskip("sqlcipher3", reason="SQLCipher is not installed: no chart is sealed")

VARIABLE = "OMICS_TWIN_STORE_KEY"
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PATIENT = "Zqx-Chart-0001"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, KEY.hex())
    return tmp_path / "chart.db"


def patients(path: Path) -> bool:
    with closing(Chart.open(f"sqlite:///{path}")) as chart:
        return chart.has(PATIENT)


def filled(path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{path}")) as chart:
        chart.add_patient(PATIENT, by="test", stratum={"her2": "1"})


def test_nothing_can_be_read_in_the_file(path: Path) -> None:
    with closing(Chart.open(f"sqlite:///{path}")) as chart:
        chart.add_patient(PATIENT, by="test")
        content = b"".join(each.read_bytes() for each in path.parent.glob("chart.db*"))
    assert PATIENT.encode() not in content
    assert b"SQLite format 3" not in content
    assert b"create table" not in content.lower()
    assert patients(path)


def test_a_wrong_key_or_none_gets_one_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path)
    monkeypatch.setenv(VARIABLE, OTHER.hex())
    with pytest.raises(ChartError, match="sealed with another key"):
        patients(path)
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ChartError, match="is sealed, or not a database"):
        patients(path)
    monkeypatch.setenv(VARIABLE, KEY.hex())
    assert patients(path)


def test_a_plain_chart_is_not_opened_where_a_key_is_set_until_it_is_sealed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    filled(path)
    monkeypatch.setenv(VARIABLE, KEY.hex())
    with pytest.raises(ChartError, match="seal it by omics-twin rotate"):
        patients(path)
    with closing(sqlite3.connect(path)) as waiting:
        assert give_key(path, None, KEY)
        # Whoever opened the old file before it was sealed writes nothing into it that is lost.
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            waiting.execute("create table late (day)")
    assert patients(path)
    assert PATIENT.encode() not in path.read_bytes()


def test_another_key_is_given_once_and_not_while_somebody_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    with closing(Chart.open(f"sqlite:///{path}")) as chart:
        assert chart.has(PATIENT)
        with pytest.raises(ChartError, match="stop the server"):
            give_key(path, KEY, OTHER)
    assert give_key(path, KEY, OTHER)
    assert not give_key(path, KEY, OTHER)
    monkeypatch.setenv(VARIABLE, OTHER.hex())
    assert patients(path)
    assert sorted(each.name for each in path.parent.iterdir()) == ["chart.db"]


def test_who_is_killed_while_a_key_is_given_has_the_old_chart_or_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path)
    code = (
        "import sys; from pathlib import Path; from omics_twin.chart.sealed import give_key\n"
        "keys = [bytes(range(32)), bytes(range(1, 33))]\n"
        "print('ready', flush=True)\n"
        "for each in range(10_000):\n"
        "    give_key(Path(sys.argv[1]), keys[each % 2], keys[1 - each % 2])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, env={**os.environ}
    ) as rotating:
        assert rotating.stdout is not None
        rotating.stdout.readline()
        time.sleep(0.5)
        rotating.send_signal(signal.SIGKILL)
    answers = []
    for key in (KEY, OTHER):
        monkeypatch.setenv(VARIABLE, key.hex())
        try:
            answers.append(str(patients(path)))
        except ChartError as error:
            answers.append(str(error))
    told = sorted(answers)
    assert told[0] == "True"
    assert "another key" in told[1]
