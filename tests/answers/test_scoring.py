"""A cohort scored block by block: the answers of a ranking, whatever was interrupted or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omics_twin.answers.scoring import (
    SUMMARY,
    Scored,
    in_this_process,
    rows_of_cohort,
    rows_of_file,
    score,
)
from omics_twin.answers.together import Answering, Block
from omics_twin.asked import read_cohort
from omics_twin.cli import main
from omics_twin.config import load
from omics_twin.errors import ConfigError, IntakeError
from omics_twin.report.console import Console
from omics_twin.serve.pyfunc import rank_record
from omics_twin.settings import ScoreSettings, TwinSettings
from omics_twin.told import record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Decision, Entry, Ledger, Permission, Purpose, judged
from omics_twin.trust.privacy import Pseudonyms
from tests.conftest import SmallRun

PATIENTS, SIZE = 10, 4


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture(scope="module")
def records(small_run: SmallRun, model: TrainedModel) -> list[tuple[str, str]]:
    """Return patients' records, with what was measured under therapy too."""
    config = load("score", ["cohort=synthetic", f"synthetic_root={small_run.trial}"])
    cohort = read_cohort(config, Console(quiet=True), Purpose.SCORING)
    _, rows = rows_of_cohort(model, cohort.select(cohort.patient_ids[:PATIENTS]), 30.0)
    return list(rows)


def written(path: Path, rows: Sequence[tuple[str, str]]) -> Path:
    ids, texts = zip(*rows, strict=True)
    pq.write_table(pa.table({"patient_id": list(ids), "record": list(texts)}), path)
    return path


def settings_of(model: TrainedModel) -> TwinSettings:
    return TwinSettings(draws=8 * model.twin.network.members)


def scored(
    model: TrainedModel, path: Path, folder: Path, answering: Answering | None = None, **more: Any
) -> Scored:
    settings = settings_of(model)
    asked = {"size": SIZE, "excluded": False, "permits": None, **more}
    asked |= {"noted": lambda *_, **__: None, "progress": lambda *_: None}
    with in_this_process(model, settings, ScoreSettings(), excluded=False) as own:
        return score(model, rows_of_file(path), answering or own, folder, settings, **asked)


def lines_in(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder).to_pylist())


def test_every_patient_gets_the_answer_that_the_server_gives(
    model: TrainedModel, records: list[tuple[str, str]], tmp_path: Path
) -> None:
    found = scored(model, written(tmp_path / "in.parquet", records), tmp_path / "out")
    assert (found.patients, found.unanswered, found.parts) == (PATIENTS, 0, 3)
    lines = lines_in(tmp_path / "out")
    for patient, text in records:
        expected = rank_record(model, record_of(json.loads(text)))
        own = [each for each in lines if each["patient_id"] == patient]
        assert [each["intervention"] for each in own] == [each["intervention"] for each in expected]
        for mine, theirs in zip(own, expected, strict=True):
            numbers = {name: value for name, value in theirs.items() if type(value) is float}
            assert {name: mine[name] for name in numbers} == pytest.approx(numbers, abs=1e-5)
            assert {name: mine[name] for name in theirs if name not in numbers} == {
                name: value for name, value in theirs.items() if name not in numbers
            }


def test_who_starts_again_keeps_whole_parts_and_ends_with_the_same_bytes(
    model: TrainedModel, records: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = written(tmp_path / "in.parquet", records)
    scored(model, path, tmp_path / "whole")
    settings = settings_of(model)
    with in_this_process(model, settings, ScoreSettings(), excluded=False) as own:

        def killed(blocks: Iterable[Block]) -> Iterator[tuple[int, pa.Table]]:
            for number, table in own(blocks):
                if number == 2:
                    raise KeyboardInterrupt
                yield number, table

        with pytest.raises(KeyboardInterrupt):
            scored(model, path, tmp_path / "again", killed)
    assert not (tmp_path / "again" / SUMMARY).exists()
    (tmp_path / "again" / "part-000001.parquet").write_bytes(b"torn")
    assert scored(model, path, tmp_path / "again").kept == 1
    for part in (tmp_path / "whole").glob("*.parquet"):
        assert part.read_bytes() == (tmp_path / "again" / part.name).read_bytes()
    assert json.loads((tmp_path / "again" / SUMMARY).read_text())["patients"] == PATIENTS
    with pytest.raises(ConfigError, match="holds 'part-000002.parquet', which are not of these"):
        scored(model, written(path, records[:8]), tmp_path / "again")


def test_consent_is_asked_for_every_block_and_again_when_it_is_kept(
    model: TrainedModel, records: list[tuple[str, str]], tmp_path: Path
) -> None:
    path, day = written(tmp_path / "in.parquet", records), date(2026, 1, 1)
    entries = [Entry(each, Decision.GRANT, "scoring", day) for each, _ in records]
    first, second, last = records[0][0], records[1][0], records[-1][0]
    entries.append(Entry(first, Decision.WITHDRAW, "all", day))
    entries.append(Entry(second, Decision.WITHDRAW, "all", date(2026, 1, 2), "transcriptomics"))

    def permits(patient_ids: Sequence[str]) -> Permission:
        known = ["clinical", "transcriptomics"]
        return judged(patient_ids, Ledger("", tuple(entries)), Purpose.SCORING, known)

    found = scored(model, path, tmp_path / "out", permits=permits)
    assert (found.unanswered, found.kept) == (1, 0)
    lines = lines_in(tmp_path / "out")
    assert lines[0]["reason"].startswith("consent for all withdrawn")
    assert lines[0]["intervention"] is None
    told = json.loads(records[1][1])
    for visit in told["visits"]:
        visit["values"].pop("transcriptomics", None)
    expected = rank_record(model, record_of(told))[0]
    own = next(each for each in lines if each["patient_id"] == second)
    assert own["expected"] == pytest.approx(expected["expected"], abs=1e-5)
    entries.append(Entry(last, Decision.WITHDRAW, "scoring", date(2026, 1, 3)))
    found = scored(model, path, tmp_path / "out", permits=permits)
    assert (found.unanswered, found.kept) == (2, 2)
    assert lines_in(tmp_path / "out")[-1]["reason"].startswith("consent for scoring withdrawn")


def test_a_record_that_is_not_as_it_should_be_has_its_reason_and_the_others_their_answer(
    model: TrainedModel, records: list[tuple[str, str]], tmp_path: Path
) -> None:
    right, other = records[0], records[1][0]
    bad = [
        ("a", "{"),
        ("b", "[]"),
        ("c", '{"visits": [], "visits": []}'),
        ("d", '{"visits": [{"values": {"clinical": {"age_years": 999}}}]}'),
        ("", "{}"),
        (other, right[1]),
    ]
    found = scored(model, written(tmp_path / "in.parquet", [*bad, right, right]), tmp_path / "out")
    assert (found.patients, found.unanswered) == (8, 6)
    lines = lines_in(tmp_path / "out")
    reasons = ["not JSON", "not as it should be", "a key twice", "above 110 year"]
    reasons += ["not as it should be", "another patient"]
    for line, reason in zip(lines[:6], reasons, strict=True):
        assert reason in line["reason"]
    mine, again = ([each for each in lines[6:] if each["rank"] == place] for place in (1, 2))
    assert [each["patient_id"] for each in mine + again] == [right[0]] * 4
    assert mine[0] == mine[1]


def test_the_verb_scores_a_cohort_as_rank_does(small_run: SmallRun, tmp_path: Path) -> None:
    ranking = tmp_path / "ranking.json"
    asked = [f"model_uri={small_run.model}", "cohort=synthetic", "twin.draws=8"]
    asked += [f"synthetic_root={small_run.trial}"]
    assert main(["rank", *asked, f"output={ranking}"]) == 0
    assert main(["score", *asked, f"output={tmp_path / 'out'}"]) == 0
    expected, found = json.loads(ranking.read_text())["ranking"], lines_in(tmp_path / "out")
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["patient_id"] == theirs["patient_id"]
        assert mine["expected"] == pytest.approx(theirs["expected"], abs=1e-5)


def test_patients_of_a_file_are_called_as_at_this_site(
    records: list[tuple[str, str]], tmp_path: Path
) -> None:
    names, (patient, record) = Pseudonyms(bytes(32)), records[0]
    told = json.dumps({**json.loads(record), "patient_id": patient})
    path = written(tmp_path / "in.parquet", [(patient, told), (patient, "{"), ("", "[]")])
    _, rows = rows_of_file(path, names)
    first, torn, empty = rows
    assert first[0] == json.loads(first[1])["patient_id"] == names.of(patient) != patient
    assert json.loads(first[1])["visits"] == json.loads(record)["visits"]
    assert (torn, empty) == ((names.of(patient), "{"), ("", "[]"))


def test_a_file_that_holds_no_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="holds no file that ends in .parquet"):
        rows_of_file(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(IntakeError, match="is no Parquet file"):
        rows_of_file(tmp_path)
    pq.write_table(pa.table({"patient_id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(IntakeError, match="no column of text 'patient_id', 'record'"):
        rows_of_file(tmp_path)


def test_nobody_to_score_is_told(small_run: SmallRun, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", f"model_uri={small_run.model}", "output=out"]) == 1
    assert "'score' needs records=… or cohort=…, one of" in capsys.readouterr().err
