"""A twin whose visits under therapy are read by a course does the main job end to end."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import mlflow
import pytest

from omics_twin.cli import main
from tests.conftest import SmallRun

COURSE = "model.follow_up=COURSE"
VISITS = ["day 21", "day 84", "day 168"]


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"tracking.uri=sqlite:///{tmp_path_factory.mktemp('course') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def run(small_run: SmallRun, tracked: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course_runs")
    settings = [each for each in small_run.settings if each != "tracking=off"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        request = ["train", "experiment=synthetic_response", *settings, COURSE, tracked]
        assert main([*request, f"output_root={folder}"]) == 0
    latest = json.loads((folder / "synthetic_response" / "latest.json").read_text())
    return Path(latest["run_folder"])


def test_every_follow_up_visit_is_foreseen_beside_simple_forecasts(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())["course"]
    assert found
    for visits in found.values():
        assert list(visits) == VISITS
        for scores in visits.values():
            assert set(scores) == {"omics_twin", "last value", "ridge regression"}
            assert 0.5 < scores["omics_twin"]["interval_90_holds"]["mean"] <= 1.0


def test_a_visit_under_therapy_moves_the_ranking_and_the_report_tells_it(
    run: Path, small_run: SmallRun, tmp_path: Path
) -> None:
    asked = [f"model_uri={run}", "cohort=synthetic", *small_run.settings, "patient=SYN0000001"]
    expected = []
    for day in (0, 200):
        output = tmp_path / f"{day}.csv"
        assert main(["rank", *asked, f"as_of_days={day}", f"output={output}"]) == 0
        lines = list(csv.DictReader(output.read_text().splitlines()))
        expected.append({line["intervention"]: float(line["expected"]) for line in lines})
    assert expected[0].keys() == expected[1].keys()
    assert expected[0] != expected[1]
    page = tmp_path / "report.html"
    assert main(["report", *asked, "as_of_days=200", f"output={page}"]) == 0
    assert "course of radiomics" in page.read_text()


def test_the_served_model_answers_before_treatment(run: Path, tracked: str) -> None:
    mlflow.set_tracking_uri(tracked.partition("=")[2])
    where = json.loads((run / "tracking.json").read_text())
    record = {
        "patient_id": "new",
        "measurements": {"clinical": {"age_years": 51.0}, "radiomics": {"sphericity": 0.6}},
        "stratum": {"hr_positive": "1", "her2_positive": "0"},
    }
    answer = mlflow.pyfunc.load_model(where["model_uri"]).predict([record])
    assert [line["rank"] for line in answer] == list(range(1, 9))


def test_another_reading_of_visits_starts_from_no_such_model(
    run: Path, small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ["train", "experiment=synthetic_response", *small_run.settings]
    more = [f"trainer.start_from={run}", f"output_root={tmp_path}"]
    assert main([*request, *more]) == 1
    assert "another model.follow_up" in capsys.readouterr().err
