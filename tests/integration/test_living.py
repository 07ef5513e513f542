"""A twin of tumour size, from a table of scans to a watched, updated belief and plans compared."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from omics_twin.chart.lived import live, relived
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.recording import CARD, RunRecord, record_run
from omics_twin.report.model_card import PAGE, problems_of, read_card, write_card
from omics_twin.settings import TrackingSettings, TwinSettings
from omics_twin.tracking import load_any
from omics_twin.visits.living import LivingModel

FEATURE = "target_lesion_long_diameter_mm"


def write_scans(folder: Path, patients: int = 60) -> None:
    rng = np.random.default_rng(0)
    lines = [f"patient_id,day,{FEATURE},arm,study"]
    for patient in range(patients):
        size, slope = rng.uniform(15, 80), rng.normal(-0.001, 0.002)
        for visit in range(5):
            day = 50 * visit - 3
            read = size * np.exp(slope * day + rng.normal(0, 0.08))
            cell = "TOO SMALL TO MEASURE" if read < 8 else f"{read:.0f}"
            lines.append(f"p{patient},{day},{cell},arm_{patient % 2},one")
    folder.mkdir(parents=True)
    (folder / "measurements.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("living")
    write_scans(folder / "tumour_size")
    assert main(["train", "experiment=tumour_size", "split.folds=2", *asked(folder)]) == 0
    return folder


def asked(folder: Path) -> list[str]:
    return [
        f"data_root={folder}",
        f"output_root={folder / 'out'}",
        f"tracking.uri=sqlite:///{folder / 'mlflow.db'}",
        "twin.draws=200",
    ]


def run_of(folder: Path) -> Path:
    return run_in(folder / "out")


def run_in(output: Path) -> Path:
    latest = json.loads((output / "tumour_size" / "latest.json").read_text())
    return Path(latest["run_folder"])


def model(folder: Path) -> list[str]:
    return [f"model_uri={run_of(folder)}", "cohort=tumour_size", *asked(folder)]


def test_the_twin_stands_beside_its_baselines(folder: Path) -> None:
    found = json.loads((run_of(folder) / "metrics.json").read_text())
    assert found["n"] == 60
    assert set(found["baselines"]) == {
        "log-linear mixed model",
        "persistence",
        "population",
        "exponential fit",
    }
    assert found["model"]["crps_mm"]["mean"] < found["baselines"]["population"]["crps_mm"]["mean"]
    for name in ("forecast_calibration.png", "forecast_by_visit.png"):
        assert (run_of(folder) / name).stat().st_size > 5000


def test_a_finished_run_is_not_repeated(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "experiment=tumour_size", "split.folds=2", *asked(folder)]) == 0
    assert "already done" in capsys.readouterr().out


def test_a_belief_learns_from_every_scan_and_is_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [f"beliefs={tmp_path}", "patient=one/arm_1/p1"]
    assert main(["update", *model(folder), *kept, "as_of_days=60"]) == 0
    told = capsys.readouterr().out
    assert told.count("day ") >= 2
    assert "inhibition [% in 28 days]:" in told
    visit = tmp_path / "visit.json"
    values = {"tumour": {FEATURE: 300.0}}
    visit.write_text(json.dumps({"day": 90, "values": values, "under": "arm_1"}))
    assert main(["update", *model(folder), *kept, f"observation={visit}"]) == 0
    told = capsys.readouterr().out
    assert "a surprise: 100 % of the forecast lay below" in told
    assert "ALERT" in told
    (belief,) = tmp_path.glob("*.json") if not visit.unlink() else ()
    assert len(json.loads(belief.read_text())["visits"]) == 3
    # Another cohort's patient of the same name is not taken for this one.
    other, table = tmp_path / "other", "measurements.csv"
    other.mkdir()
    rows = (folder / "tumour_size" / table).read_text().replace("p1,-3,", "p1,-3,1")
    (other / table).write_text(rows)
    assert main(["update", *model(folder), *kept, f"cohort.root={other}"]) == 1
    assert "was shown other values of this patient" in capsys.readouterr().err
    (other / table).write_text(rows.replace("p1,-3,1", "p1,-4,"))
    assert main(["update", *model(folder), *kept, f"cohort.root={other}"]) == 0
    assert "not shown, since it was told of later days before: 1 visit" in capsys.readouterr().err


def test_plans_are_compared_on_a_page_and_as_numbers(folder: Path, tmp_path: Path) -> None:
    plans = tmp_path / "plans.json"
    plans.write_text(json.dumps(["arm_0", {"name": "stop"}]))
    for name, more in (("a.html", []), ("b.json", [f"intervention={plans}"])):
        output = tmp_path / name
        given = [f"output={output}", "patient=one/arm_0/p0", "as_of_days=60", *more]
        assert main(["simulate", *model(folder), *given]) == 0
    page = (tmp_path / "a.html").read_text()
    assert "go on with arm_0" in page
    assert "not a medical device" in page
    assert "Best response " in page
    assert "day of progression" in page
    found = json.loads((tmp_path / "b.json").read_text())
    assert {plan["name"] for plan in found["plans"]} == {"arm_0", "stop"}
    total = sum(plan["probability_best"] for plan in found["plans"])
    assert total == pytest.approx(1.0, abs=1e-6)
    for plan in found["plans"]:
        assert sum(plan["best_response"].values()) == pytest.approx(1.0)
        assert set(plan["progression_days"]) == {"lower", "median", "upper"}


def test_two_clones_learn_from_the_same_scans_and_answer_the_same_questions(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [f"data_root={folder}", f"output_root={tmp_path}", "tracking=off", "twin.draws=50"]
    given = ["split.folds=2", "dynamics.iterations=20", *own]
    train = ["train", "experiment=tumour_size", *given]
    assert main([*train, "dynamics.equations=CHEMORADIOTHERAPY"]) == 1
    assert "is of volumes under known doses" in capsys.readouterr().err
    assert main([*train, "dynamics.equations=TWO_CLONES"]) == 0
    run = run_in(tmp_path)
    found = json.loads((run / "metrics.json").read_text())
    assert found["model"]["crps_mm"]["mean"] < found["baselines"]["population"]["crps_mm"]["mean"]
    asked_of = [f"model_uri={run}", "cohort=tumour_size", *own, "patient=one/arm_1/p1"]
    capsys.readouterr()
    assert main(["update", *asked_of, "as_of_days=60"]) == 0
    assert "resistant_share: " in capsys.readouterr().out
    output = tmp_path / "plans.json"
    assert main(["simulate", *asked_of, f"output={output}"]) == 0
    plans = json.loads(output.read_text())["plans"]
    assert {plan["name"] for plan in plans} == {"go on with arm_1", "no intervention"}
    assert "a sensitive clone that is killed" in (run / PAGE).read_text()


def test_a_chart_is_filled_with_scans_and_tells_what_simulate_tells(
    folder: Path, tmp_path: Path
) -> None:
    place, patient = f"sqlite:///{tmp_path / 'chart.db'}", "one/arm_0/p0"
    for _ in range(2):
        asked_for = [f"chart={place}", f"patient={patient}", "as_of_days=60"]
        assert main(["admit", *model(folder), *asked_for]) == 0
    learned = LivingModel.load(run_of(folder) / "model")
    output = tmp_path / "plans.json"
    given = [f"output={output}", f"patient={patient}", "as_of_days=60"]
    assert main(["simulate", *model(folder), *given]) == 0
    with closing(Chart.open(place)) as chart:
        assert [each.day for each in chart.record(patient).visits] == [-3.0, 47.0]
        told = live(chart, learned, patient, TwinSettings(draws=200), by="test")
        assert relived(chart, learned, told.number) == told.lines
    plans = json.loads(output.read_text())["plans"]
    assert [(e["intervention"], e["expected"]) for e in told.lines] == [
        (each["name"], each["expected"]) for each in plans
    ]


@pytest.mark.parametrize(
    ("verb", "more", "sentence"),
    [
        ("update", ["patient=nobody"], "patient '…' is not in cohort 'tumour_size'"),
        ("update", ["patient=one/arm_0/p0", "observation={bad}"], "is not JSON"),
        ("simulate", ["patient=one/arm_0/p0", "output=a.txt"], "expected a name that ends in"),
        (
            "simulate",
            ["patient=one/arm_0/p0", "output={out}/a.json", "intervention=arm_9"],
            "unknown therapy 'arm_9': did you mean",
        ),
        ("rank", ["output={out}/r.csv"], "learns from visit to visit: use 'update' or 'simulate'"),
        ("attack", ["experiment=tumour_size"], "'attack' is for twins that rank"),
        (
            "federate",
            ["experiment=tumour_size", "trainer=federated", "output={out}/job"],
            "'federate' is for twins that",
        ),
    ],
)
def test_a_mistake_is_answered_by_one_sentence(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    more: list[str],
    sentence: str,
) -> None:
    (tmp_path / "bad.json").write_text("{")
    given = [each.format(bad=tmp_path / "bad.json", out=tmp_path) for each in more]
    assert main([verb, *model(folder), f"beliefs={tmp_path}", *given]) == 1
    assert sentence in capsys.readouterr().err


def test_a_model_that_was_changed_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = run_of(folder) / "model" / "twin.json"
    before = changed.read_bytes()
    changed.write_bytes(before.replace(b'"arms"', b'"armz"'))
    try:
        assert main(["update", *model(folder), "patient=one/arm_0/p0"]) == 1
    finally:
        changed.write_bytes(before)
    assert "was changed after it was saved" in capsys.readouterr().err


def test_a_withdrawal_closes_the_twin_and_names_the_models_that_learned_from_the_patient(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = f"sqlite:///{tmp_path / 'chart.db'}"
    patient, asking = "one/arm_1/p1", [*model(folder), f"beliefs={tmp_path / 'beliefs'}"]
    with closing(Chart.open(chart)) as opened:
        for each in (patient, "stranger"):
            opened.add_patient(each, by="test")
    decided = ["consent", f"chart={chart}", f"patient={patient}", *asked(folder)]
    assert main([*decided, "decision=grant"]) == 0
    assert "scoring: permitted" in capsys.readouterr().out
    under = [f"patient={patient}", f"trust.ledger={chart}"]
    assert main(["update", *asking, *under]) == 0
    assert main([*decided, "decision=withdraw", "modality=tumour"]) == 0
    assert "training: permitted, without tumour" in capsys.readouterr().out
    assert main(["update", *asking, *under]) == 1
    assert "withholds 'tumour', all that the twin is shown" in capsys.readouterr().err
    assert main([*decided, "decision=withdraw"]) == 0
    told = capsys.readouterr().out
    assert "scoring: consent for all withdrawn on" in told
    (learned,) = [line for line in told.splitlines() if "learned from the patient" in line]
    assert learned.startswith("model models:/tumour_size/1 ")
    plans = f"output={tmp_path / 'plans.html'}"
    assert main(["simulate", *asking, *under, plans]) == 1
    assert "withdrawn" in capsys.readouterr().err
    assert main(["consent", f"chart={chart}", "patient=stranger", *asked(folder)]) == 0
    told = capsys.readouterr().out
    assert "training: no consent for training is recorded" in told
    assert "none of the 1 that are recorded learned from the patient" in told


def test_a_model_from_before_the_site_had_a_key_is_named_too(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = tmp_path / "consent.csv"
    ledger.write_text("patient_id,decision,purpose,recorded_on\n")
    monkeypatch.setenv("OMICS_TWIN_SITE_KEY", "5a" * 32)
    asking = ["consent", f"trust.ledger={ledger}", "patient=one/arm_1/p1", *asked(folder)]
    assert main(asking) == 0
    assert "learned from the patient: train it again" in capsys.readouterr().out


def test_a_ledger_that_is_a_file_is_not_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = tmp_path / "consent.csv"
    ledger.write_text("patient_id,decision,purpose,recorded_on\n")
    asking = ["consent", f"trust.ledger={ledger}", "patient=ada", *asked(folder)]
    assert main([*asking, "decision=withdraw", "purpose=training"]) == 1
    assert f"add the line ada,withdraw,training,{date.today()},all,," in capsys.readouterr().err
    assert main([*asking, "decision=perhaps"]) == 1
    assert main([*asking, "decision=grant", "valid_until=soon"]) == 1
    assert main(["consent", "patient=ada", *asked(folder)]) == 1
    assert capsys.readouterr().err.count("omics-twin: ") == 3


def test_the_card_is_whole_with_intervals_and_groups(folder: Path) -> None:
    card = read_card(run_of(folder) / CARD)
    twin = LivingModel.load(run_of(folder) / "model")
    assert problems_of(card, twin.digest) == []
    tables = {each["title"]: each["tables"] for each in card["sections"]}
    assert len(tables["Performance"]) == 3
    groups = [row[0] for row in tables["Subgroups"][0]["rows"]]
    assert groups == ["everyone: all", "therapy: arm_0", "therapy: arm_1"]
    assert "<img alt=" in (run_of(folder) / PAGE).read_text()
    text = json.dumps(card)
    for patient in ("one/arm_0/p0", "p17"):
        assert patient not in text


def version(folder: Path, place: Path, *, crps: list[float]) -> str:
    """Register a twin whose folds went otherwise; return its address."""
    twin = LivingModel.load(run_of(folder) / "model")
    performance = {**twin.provenance["performance"], "by_fold": {"crps_mm": crps}}
    twin = replace(twin, provenance={**twin.provenance, "performance": performance})
    twin.save(place / "model")
    write_card(LivingModel.load(place / "model"), place)
    told = RunRecord("again", {}, {}, {}, (), place, served=False, registered_as="tumour_size")
    settings = TrackingSettings(uri=f"sqlite:///{folder / 'mlflow.db'}")
    return record_run(told, settings)["model_uri"]


def test_versions_are_promoted_compared_and_rolled_back(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    own = asked(folder)
    assert main(["promote", "model_uri=models:/tumour_size/1", *own]) == 0
    first = version(folder, tmp_path / "a", crps=[3.0, 3.2, 3.1])
    assert main(["promote", f"model_uri={first}", *own]) == 1
    assert "cannot be compared with the champion" in capsys.readouterr().err
    assert main(["promote", f"model_uri={first}", "force=true", *own]) == 0
    worse = version(folder, tmp_path / "b", crps=[3.5, 3.7, 3.61])
    assert main(["promote", f"model_uri={worse}", *own]) == 1
    assert "is worse than the champion, version 2: crps_mm +0.50" in capsys.readouterr().err
    better = version(folder, tmp_path / "c", crps=[2.5, 2.7, 2.61])
    assert main(["promote", f"model_uri={better}", *own]) == 0
    assert "over 3 folds" in capsys.readouterr().out
    assert main(["rollback", "name=tumour_size", *own]) == 0
    assert "version 2 again; version 4 is the previous one" in capsys.readouterr().out
    champion = load_any(
        "models:/tumour_size@champion", TrackingSettings(uri=own[2].split("=", 1)[1])
    )
    assert isinstance(champion, LivingModel)


def test_who_is_unlike_the_training_patients_is_told_or_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = LivingModel.load(run_of(folder) / "model")
    assert twin.likeness is not None
    # Among 60 patients nobody can be more unusual than 99 % of them.
    many = twin.likeness.calibration.repeat_interleave(3)
    replace(twin, likeness=replace(twin.likeness, calibration=many)).save(tmp_path / "model")
    visit, page = tmp_path / "visit.json", tmp_path / "plans.html"
    values = {"tumour": {FEATURE: 900.0}}
    visit.write_text(json.dumps({"day": 0, "values": values, "under": "arm_1"}))
    given = [f"model_uri={tmp_path / 'model'}", *asked(folder), f"beliefs={tmp_path / 'b'}"]
    given += ["patient=new"]
    assert main(["update", *given, f"observation={visit}", "trust.unlike=REFUSE"]) == 1
    assert "check what the first visit measured" in capsys.readouterr().err
    assert main(["update", *given, f"observation={visit}"]) == 0
    assert "more unusual than 99% of them" in capsys.readouterr().out
    assert main(["simulate", *given, f"output={page}"]) == 0
    assert "is unlike the training patients" in " ".join(page.read_text().split())
    numbers = tmp_path / "plans.json"
    assert main(["simulate", *given, f"output={numbers}"]) == 0
    assert json.loads(numbers.read_text())["unlike"] is True
    assert main(["simulate", *given, f"output={numbers}", "trust.unlike=REFUSE"]) == 1
    assert "900" not in capsys.readouterr().err


def test_no_size_of_a_training_patient_is_read_from_what_the_twin_remembers(folder: Path) -> None:
    twin = LivingModel.load(run_of(folder) / "model")
    assert twin.likeness is not None
    assert twin.reference is not None
    steps = 4.0 * twin.likeness.calibration
    assert bool((steps == steps.round()).all())
    (kept,) = twin.reference.channels.values()
    assert float(kept.counts[kept.counts > 0].min()) >= 10


def test_later_patients_are_monitored_from_files_and_from_a_chart(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "m.json"
    quick = [*model(folder), "tracking=off"]
    assert main(["monitor", *quick, f"output={record}"]) == 0
    found = json.loads(record.read_text())
    names = ["features", "missing", "unlike", "expected", "calibration", "coverage"]
    assert [each["name"] for each in found["questions"]] == names
    assert all(each["p"] is not None for each in found["questions"])
    assert (found["patients"], found["outcomes"]) == (60, 60)
    # Scans of which everybody's are read in centimetres, and grow where nobody's did.
    write_scans(tmp_path / "other" / "tumour_size", patients=30)
    table = tmp_path / "other" / "tumour_size" / "measurements.csv"
    lines = table.read_text().replace("TOO SMALL TO MEASURE", "5").splitlines()
    cells = [each.split(",") for each in lines[1:]]
    grown = [[p, d, f"{float(s) * (0.1 + int(d) / 100):.1f}", *r] for p, d, s, *r in cells]
    table.write_text("\n".join([lines[0], *map(",".join, grown)]) + "\n")
    quick[2] = f"data_root={tmp_path / 'other'}"
    assert main(["monitor", *quick, f"output={record}"]) == 2
    found = json.loads(record.read_text())
    assert {"features", "coverage"} <= set(found["alarms"])
    assert "Retrain" in found["proposal"][0]
    capsys.readouterr()
    assert main(["monitor", *quick, "monitor.fewest=31", f"output={record}"]) == 1
    refused = capsys.readouterr()
    assert "30 patients are to be monitored, expected at least 31" in refused.err
    assert "replayed" not in refused.out
    place = f"chart=sqlite:///{tmp_path / 'chart.db'}"
    assert main(["admit", *quick, place]) == 0
    assert main(["monitor", *quick, place, f"output={record}"]) == 2
    charted = json.loads(record.read_text())
    assert charted["features"] == found["features"]
    assert charted["patients"] == 30
    assert "30 of 30 patients" in capsys.readouterr().out


def test_a_privacy_budget_that_would_not_be_kept_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = ["experiment=tumour_size", "trainer.privacy.epsilon=4", *asked(folder)]
    assert main(["train", *private]) == 1
    assert "which a twin of visits does not keep to" in capsys.readouterr().err


def test_sizes_in_another_unit_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    column = "cohort.modalities.tumour.columns.target_lesion_long_diameter_mm"
    assert main(["train", "experiment=tumour_size", f"{column}.unit=cm", *asked(folder)]) == 1
    assert "'tumour' is in cm, expected diameters in mm" in capsys.readouterr().err
