"""A twin whose visits under therapy are read by a course does the main job end to end."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import torch

from omics_twin.answers.beliefs import beliefs, draws_of, strata_keys, visits_of
from omics_twin.asked import read_cohort
from omics_twin.bedside.belief import KeptBelief
from omics_twin.bedside.record import belief_in
from omics_twin.cli import main
from omics_twin.config import load
from omics_twin.report.console import Console
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from omics_twin.twin.calibration import Calibration
from tests.conftest import SmallRun

COURSE = "model.follow_up=COURSE"
VOLUME = "tumour_volume_cm3"
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


def test_the_served_model_learns_from_the_visits_of_a_record(run: Path, tracked: str) -> None:
    mlflow.set_tracking_uri(tracked.partition("=")[2])
    where = json.loads((run / "tracking.json").read_text())
    served = mlflow.pyfunc.load_model(where["model_uri"])
    first = {"day": 0, "values": {"clinical": {"age_years": 51.0}, "radiomics": {VOLUME: 30.0}}}
    record = {
        "patient_id": "new",
        "visits": [first],
        "stratum": {"hr_positive": "1", "her2_positive": "0"},
    }
    before = served.predict([record])
    assert [line["rank"] for line in before] == list(range(1, 9))
    arm = before[0]["intervention"]
    scan = {"day": 84, "values": {"radiomics": {VOLUME: 0.4}}, "under": arm}
    after = served.predict([{**record, "visits": [first, scan]}])
    answers = [
        {line["intervention"]: line["expected"] for line in each} for each in (before, after)
    ]
    assert answers[1][arm] > answers[0][arm]
    with pytest.raises(mlflow.exceptions.MlflowException, match="Extra inputs are not permitted"):
        served.predict([{**record, "name": "Ada"}])


def test_a_belief_learns_from_each_visit_and_what_changed_is_told(
    run: Path, small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [f"model_uri={run}", f"beliefs={tmp_path / 'beliefs'}"]
    cohort = ["cohort=synthetic", *small_run.settings, "patient=SYN0000001"]
    suspicious = ["twin.least_benefit=1", "twin.benefit_margin=0"]
    assert main(["update", *asked, *cohort, "as_of_days=30", *suspicious]) == 0
    told = capsys.readouterr().out
    assert told.count("ALERT, lack of benefit: the belief that the present therapy is better") == 1
    assert "% of the forecast lay below" in told
    assert told.count("ranking now") == 2
    assert main(["update", *asked, *cohort]) == 0
    assert "belief after 4 visits" in capsys.readouterr().out
    for name in ("plans.html", "plans.json"):
        assert main(["simulate", *asked, *cohort, f"output={tmp_path / name}"]) == 0
    plans = json.loads((tmp_path / "plans.json").read_text())["plans"]
    ranked = tmp_path / "rank.json"
    assert main(["rank", f"model_uri={run}", *cohort, "as_of_days=200", f"output={ranked}"]) == 0
    lines = json.loads(ranked.read_text())["ranking"]
    assert [each["name"] for each in plans] == [each["intervention"] for each in lines]
    for plan, line in zip(plans, lines, strict=True):
        assert plan["expected"] == pytest.approx(line["expected"], abs=1e-5)
        assert len(plan[VOLUME]["median"]) > 10
    assert "not a medical device" in (tmp_path / "plans.html").read_text()


def test_a_calibrated_belief_is_that_of_the_rank_pipeline_bit_for_bit(
    run: Path, small_run: SmallRun
) -> None:
    trained = TrainedModel.load(run / "model")
    model = replace(trained, calibration=Calibration(spread=2.0, fitted=True))
    config = load("rank", ["cohort=synthetic", *small_run.settings])
    cohort = read_cohort(config, Console(quiet=True), Purpose.SCORING).select(["SYN0000001"])
    quiet = Console(quiet=True)
    expected = next(beliefs(model, cohort, config.twin, quiet, as_of_days=200)).state
    kept = KeptBelief(
        "SYN0000001",
        model.digest,
        draws_of(model, config.twin),
        config.twin.seed,
        tuple(visits_of(model, cohort, as_of_days=200)),
        strata_keys(model.support.columns, cohort)[0],
    )
    found = belief_in(model, kept)
    assert len(kept.visits) == 4
    assert torch.equal(found.log_weights, expected.log_weights)
    assert torch.equal(found.spread, expected.spread)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"day": 21, "values": {"radiomics": {VOLUME: 3.0}}}, "does not say what was given"),
        ({"day": "21"}, "'visits.0.day' is not as it should be"),
        ({"day": 0, "values": {"radiomics": {VOLUME: -3.0}}}, "is below 0 cm3"),
        ({"day": 0, "values": {"radiology": {}}}, "unknown modality 'radiology'"),
        ({"day": 0, "under": "asprin"}, "asprin"),
    ],
)
def test_a_visit_that_cannot_be_shown_is_refused_and_nothing_kept(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    told: dict[str, object],
    sentence: str,
) -> None:
    visit = tmp_path / "visit.json"
    visit.write_text(json.dumps(told))
    asked = [f"model_uri={run}", f"beliefs={tmp_path / 'beliefs'}", "patient=new"]
    assert main(["update", *asked, f"observation={visit}"]) == 1
    assert sentence in capsys.readouterr().err
    assert not list((tmp_path / "beliefs").glob("*.json"))


def test_another_reading_of_visits_starts_from_no_such_model(
    run: Path, small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ["train", "experiment=synthetic_response", *small_run.settings]
    more = [f"trainer.start_from={run}", f"output_root={tmp_path}"]
    assert main([*request, *more]) == 1
    assert "another model.follow_up" in capsys.readouterr().err
