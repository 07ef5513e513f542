"""Many visits on any days, from a table to events foreseen, an updated belief and plans."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from omics_twin.cli import main

FEATURES = [
    "serBilir",
    "albumin",
    "prothrombin",
    "platelets",
    "SGOT",
    "alkaline",
    "serChol",
    "histologic",
    "ascites",
    "hepatomegaly",
    "spiders",
    "edema",
    "age",
    "sex",
]


def write_visits(folder: Path, patients: int = 160) -> None:
    """Write patients whose bilirubin rises before they die; weeks, and blank cells."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with (folder / "pbc2_cleaned.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["id", "tte", "times", "label", "drug", *FEATURES])
        for patient in range(patients):
            level, slope = rng.normal(0.5, 0.5), rng.normal(0.3, 0.4)
            days, death = np.arange(0, 500, 30) + rng.integers(0, 5), 500.0
            for week in range(500):
                hazard = 0.004 * np.exp(0.8 * (level + slope * week / 52) - 1.0)
                if rng.uniform() < hazard:
                    death = float(week + 6)
                    break
            label = 0 if death == 500.0 else 1 + int(rng.uniform() < 0.2)
            age, sex = f"{rng.uniform(30, 70):.1f}", int(rng.uniform() < 0.2)
            for week in np.r_[0, days[1:]]:
                if week >= death:
                    break
                bilirubin = np.exp(level + slope * week / 52 + rng.normal(0, 0.1))
                row = [f"{bilirubin:.2f}", f"{rng.normal(3.5, 0.3):.2f}", *["10"] * 4]
                row += ["" if rng.uniform() < 0.4 else "300", 3, 0, 1, 0, 0, age, sex]
                table.writerow([patient, death, week, label, patient % 2, *row])


def asked(folder: Path) -> list[str]:
    return [
        f"data_root={folder}",
        f"output_root={folder / 'out'}",
        "tracking=off",
        "twin.draws=40",
        "model=small",
        "dynamics.landmarks_days=[365]",
        "split.folds=2",
        "split.repeats=1",
        "split.replicas=2",
        "trainer.max_epochs=25",
        "trainer.device=CPU",
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visits")
    write_visits(folder / "pbc2")
    assert main(["train", "experiment=pbc2", *asked(folder)]) == 0
    return folder


def run_of(folder: Path) -> Path:
    latest = json.loads((folder / "out" / "pbc2" / "latest.json").read_text())
    return Path(latest["run_folder"])


def model(folder: Path) -> list[str]:
    return [f"model_uri={run_of(folder)}", "cohort=pbc2", *asked(folder)]


def test_events_are_foreseen_from_a_landmark_beside_cox_models(folder: Path) -> None:
    found = json.loads((run_of(folder) / "metrics.json").read_text())
    assert found["n"] == 160
    assert set(found["by_landmark"]) == {"day 365"}
    at = found["by_landmark"]["day 365"]
    assert at["events"] >= 20
    assert at["model"]["c_index"]["mean"] > 0.6
    first = at["baselines"]["first visit alone, ridge_cox"]
    assert at["model"]["c_index"]["mean"] > first["c_index"]["mean"]
    assert set(found["next_visit"]).isdisjoint({"age", "sex"})
    assert 0.6 < found["next_visit"]["serBilir"]["interval_90_holds"] <= 1.0
    assert (run_of(folder) / "landmarks.png").is_file()


def test_every_visit_moves_what_is_foreseen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["update", *model(folder), "patient=3"]) == 0
    told = capsys.readouterr().out
    assert "serBilir" in told
    assert "event_free_2_years" in told
    page = folder / "plans.html"
    assert main(["simulate", *model(folder), "patient=3", f"output={page}"]) == 0
    assert "<img" in page.read_text()
    answer = folder / "plans.json"
    assert main(["simulate", *model(folder), "patient=3", f"output={answer}"]) == 0
    plans = json.loads(answer.read_text())["plans"]
    assert {each["name"] for each in plans} == {"0", "1"}


def test_a_visit_told_again_with_a_column_less_is_nothing_new(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = [f"beliefs={tmp_path / 'kept'}", "patient=3"]
    assert main(["update", *model(folder), *kept]) == 0
    table = tmp_path / "other" / "pbc2_cleaned.csv"
    table.parent.mkdir()
    with (folder / "pbc2" / table.name).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for value, code in (("", 0), ("9.99", 1)):
        with table.open("w", newline="") as stream:
            told = csv.DictWriter(stream, list(rows[0]))
            told.writeheader()
            told.writerows({**row, "albumin": value} for row in rows)
        of = [f"cohort.root={table.parent}", *kept]
        assert main(["update", *model(folder), *of]) == code
    assert "was shown other values" in capsys.readouterr().err


def test_who_is_never_held_out_is_not_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = ["split.by=TIME", "+cohort.group_columns.enrolled=age"]
    assert main(["train", "experiment=pbc2", *asked(folder), *later]) == 1
    assert "some patients are in training always" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "fragment"),
    [
        ("dynamics.outcome=event_fre", "has no outcome 'event_fre': did you mean 'event_free'?"),
        ("dynamics.watched=serBili", "has no feature 'serBili': did you mean 'serBilir'?"),
        ("dynamics.modality=labs", "has no repeated measurements 'labs'"),
        ("dynamics.landmarks_days=[4000]", "no landmark has enough events"),
        ("model.survival_head=COX", "use model.survival_head=HAZARD"),
        ("cohort.outcomes.event_free.also_events=['0']", "as both event and censored"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], setting: str, fragment: str
) -> None:
    given = [each for each in asked(folder) if each.split("=")[0] != setting.split("=")[0]]
    quick = [each for each in given if "max_epochs" not in each] + ["trainer.max_epochs=1"]
    assert main(["train", "experiment=pbc2", *quick, setting]) == 1
    errors = capsys.readouterr().err
    assert fragment in errors
    assert "Traceback" not in errors
