"""A volume and a response from one state: trained, shown visits and asked what if, end to end."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from omics_twin.chart.lived import drugs_known, live, relived
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.settings import TwinSettings
from omics_twin.visits.living import LivingModel
from tests.conftest import SmallRun

KIND = ["dynamics=tumour_response", "dynamics.modality=radiomics"]


@pytest.fixture(scope="module")
def run(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("response_runs")
    request = ["train", "experiment=synthetic_response", *small_run.settings, *KIND]
    assert main([*request, f"output_root={folder}"]) == 0
    latest = json.loads((folder / "synthetic_response" / "latest.json").read_text())
    return Path(latest["run_folder"])


def test_volumes_and_responses_are_judged_beside_baselines_and_the_population(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())
    assert set(found["baselines"]) == {"population prior", "persistence"}
    assert list(found["course"]["volume_cm3"]) == ["day 21", "day 84", "day 168"]
    assert "population prior" in found["by_visit"]["day 84"]["baselines"]
    assert 0.5 < found["model"]["interval_90_holds"]["mean"] <= 1.0
    assert (run / "model_card.json").is_file()


def test_a_patient_is_shown_every_visit_and_asked_what_if(
    run: Path, small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    patient = LivingModel.load(run / "model")
    assert patient.twin.quantities[:2] == ("volume_cm3", "pcr")
    asked = [
        f"model_uri={run}",
        "patient=SYN0000001",
        f"beliefs={tmp_path / 'beliefs'}",
        "twin.draws=100",
        *small_run.settings,
    ]
    assert main(["update", *asked, "as_of_days=30"]) == 0
    told = capsys.readouterr().out
    assert "day 21: size" in told
    assert "cm3" in told
    # What would be without any of the therapies was never seen.
    assert "lack of benefit" not in told
    output = tmp_path / "plans.json"
    assert main(["simulate", *asked, f"output={output}"]) == 0
    plans = json.loads(output.read_text())["plans"]
    assert [each["name"].startswith("go on with") for each in plans] == [True]
    assert "volume_cm3" in plans[0]


def test_later_patients_are_monitored(
    run: Path, small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = LivingModel.load(run / "model")
    assert model.reference is not None
    asked = [f"model_uri={run}", "cohort=synthetic", "twin.draws=100", *small_run.settings]
    assert main(["monitor", *asked, f"output_root={tmp_path}"]) == 0
    assert "features: 0 of 1 features shifted" in capsys.readouterr().out


def test_a_chart_is_filled_and_says_nothing_until_a_therapy_is_known(
    run: Path, small_run: SmallRun, tmp_path: Path
) -> None:
    place, settings = f"sqlite:///{tmp_path / 'chart.db'}", TwinSettings(draws=20)
    model = LivingModel.load(run / "model")
    asked = [f"model_uri={run}", f"chart={place}", "patient=SYN0000001", "cohort=synthetic"]
    with closing(Chart.open(place)) as chart:
        for until, plans in ((0, 0), (30, 1)):
            # Days of the trial's visits, under the arm received.
            assert main(["admit", *asked, f"as_of_days={until}", *small_run.settings]) == 0
            told = live(chart, model, "SYN0000001", settings, by="test")
            assert len(told.lines) == plans
            assert relived(chart, model, told.number) == told.lines
        assert set(chart.record("SYN0000001").visits[0].values) >= {"clinical", "radiomics"}
    # Amounts move nothing in it, so nobody is asked for one.
    assert drugs_known(model) == ()
