"""What a command answers of patients is in the audit log before it is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.files import sha256
from omics_twin.trust.audit import Recorded, read_events
from omics_twin.trust.audit_key import VARIABLE
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action
from tests.conftest import SmallRun
from tests.trust.audit_writers import KEY

PATIENT = "SYN0000003"


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Settings that name a log, whose key the environment holds."""
    monkeypatch.setenv(VARIABLE, KEY.hex())
    log, anchor = tmp_path / "log" / "audit.jsonl", tmp_path / "apart" / "anchor.json"
    return [f"log={log}", f"anchor={anchor}"]


@pytest.fixture
def asked(small_run: SmallRun, named: list[str], tmp_path: Path) -> list[str]:
    cohort = ["cohort=synthetic", f"synthetic_root={small_run.trial}", "tracking=off"]
    beliefs = f"beliefs={tmp_path / 'beliefs'}"
    return [f"model_uri={small_run.run}", *cohort, "twin.draws=40", beliefs, *named]


def events(named: list[str]) -> list[Recorded]:
    log, anchor = (Path(each.split("=")[1]) for each in named)
    return read_events(log, KEY, anchor)


def test_every_answer_is_written_down_for_each_patient_it_is_about(
    asked: list[str], named: list[str], tmp_path: Path
) -> None:
    ranking, predicted, page = (tmp_path / each for each in ("r.csv", "p.csv", "page.html"))
    plans, parts = tmp_path / "plans.json", tmp_path / "parts"
    one = f"patient={PATIENT}"
    assert main(["rank", *asked, f"output={ranking}"]) == 0
    assert main(["predict", *asked, f"output={predicted}"]) == 0
    assert main(["report", *asked, one, f"output={page}"]) == 0
    assert main(["simulate", *asked, one, f"output={plans}"]) == 0
    assert main(["update", *asked, one, "as_of_days=0"]) == 0
    assert main(["score", *asked, "score.block=100", f"output={parts}"]) == 0
    assert main(["evaluate", *asked]) == 0
    found = [each.event for each in events(named)]
    everybody = [Action.RANK] * 150 + [Action.SCORE] * 150
    alone = [Action.EXPORT, Action.SIMULATE, Action.ADD_VISIT]
    assert [each.action for each in found] == [
        *everybody,
        *alone,
        *[Action.SCORE] * 150,
        Action.EVALUATE,
    ]
    assert len({each.patient for each in found}) == 151
    assert len({each.patient for each in found if each.action in alone}) == 1
    answers = [sha256(each.read_bytes()) for each in (ranking, predicted, page, plans)]
    assert [found[place].answer for place in (0, 150, 300, 301)] == answers
    assert {each.purpose for each in found} == {Purpose.SCORING}
    assert len({each.model for each in found}) == 1
    assert all(each.data and each.answer and each.role == "command" for each in found)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    log = Path(named[0].split("=")[1])
    assert PATIENT not in log.read_text()


def test_what_cannot_be_written_down_is_not_released(
    asked: list[str], named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ranking = tmp_path / "r.csv"
    assert main(["rank", *asked, f"output={ranking}"]) == 0
    log = Path(named[0].split("=")[1])
    log.write_bytes(log.read_bytes()[:-200])
    before = ranking.read_bytes()
    capsys.readouterr()
    assert main(["rank", *asked, f"patient={PATIENT}", f"output={ranking}"]) == 1
    assert "the log was cut or replaced" in capsys.readouterr().err
    assert ranking.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["apart", "log", "r.csv"]
