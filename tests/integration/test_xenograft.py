"""A twin of volumes under known doses, from files of dose groups to plans compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omics_twin.cli import main

HEAD = "ID,Time,Time unit,Observable,Value,Observable unit"
FILES = {
    "control": ("lxf_control_growth.csv", 0.0),
    "low": ("lxf_low_erlotinib_dose.csv", 0.2),
    "high": ("lxf_high_erlotinib_dose.csv", 1.0),
}


def write_mice(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for place, (name, dose) in enumerate(FILES.values()):
        lines = [HEAD + (",Dose,Dose unit,Duration" if dose else "")]
        more = ",,," if dose else ""
        for mouse in range(6):
            who, first, rate = 100 * place + mouse, rng.lognormal(-2.2, 0.3), rng.normal(0.08, 0.02)
            for day in (0, 4, 8, 12, 16, 20):
                kill = 0.05 * dose * min(max(day - 3, 0), 10)
                volume = first * np.exp(rate * day - kill + rng.normal(0, 0.07))
                lines.append(f"{who},{day},d,Tumour volume,{volume:.4f},cm^3{more}")
                lines.append(f"{who},{day},d,Body weight,25,g{more}")
            if dose:
                lines += [f"{who},{day},d,,,,{dose},mg," for day in range(3, 13)]
        (folder / name).write_text("\n".join(lines) + "\n")
    single = [HEAD + ",Dose,Dose unit,Duration"]
    for mouse in range(12):
        day = (0.05, 0.2, 0.5, 1.0)[mouse % 4]
        read = 1.5 / 0.4 * np.exp(-1.4 * day + rng.normal(0, 0.1))
        single.append(f"{900 + mouse},{day},d,Plasma concentration,{read:.4f},ng/mL,,,")
        single.append(f"{900 + mouse},0,d,Body weight,25,g,1.5,mg,")
    (folder / "lxf_single_erlotinib_dose.csv").write_text("\n".join(single) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    write_mice(folder / "xenograft_lxf")
    given = ["split.only=[high]", "dynamics.iterations=20", *asked(folder)]
    assert main(["train", "experiment=xenograft", *given]) == 0
    return folder


def asked(folder: Path) -> list[str]:
    return [
        f"data_root={folder}",
        f"output_root={folder / 'out'}",
        "tracking.enabled=false",
        "twin.draws=100",
    ]


def run_of(folder: Path) -> Path:
    latest = json.loads((folder / "out" / "xenograft" / "latest.json").read_text())
    return Path(latest["run_folder"])


def test_a_group_put_aside_is_forecast_beside_baselines(folder: Path) -> None:
    found = json.loads((run_of(folder) / "metrics.json").read_text())
    assert found["n"] == 6
    assert set(found["baselines"]) == {"exponential growth", "growth of other groups"}
    assert set(found["one_ahead"]["baselines"]) == {
        "exponential growth",
        "persistence",
        "exponential fit",
    }
    assert set(found["by_group"]["from the first volume"]) == {"high"}
    for each in (found, found["one_ahead"]):
        assert 0.0 < each["model"]["crps_cm3"]["mean"] < 0.5
        assert 0.5 < each["model"]["interval_90_holds"]["mean"] <= 1.0
    unseen = found["baselines"]["growth of other groups"]["crps_cm3"]["mean"]
    assert found["model"]["crps_cm3"]["mean"] < unseen


def test_the_twin_of_the_others_never_saw_the_group(folder: Path) -> None:
    stored = json.loads((run_of(folder) / "model" / "twin.json").read_text())
    assert stored["provenance"]["patients"] == 12
    assert stored["arms"] == ["control", "low"]
    assert stored["plans"]["control"]["doses"] == []
    assert [each["amount"] for each in stored["plans"]["low"]["doses"]] == [0.2] * 10


def test_other_doses_are_simulated_from_the_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = [f"model_uri={run_of(folder)}", "cohort=xenograft_lxf", *asked(folder)]
    plans = tmp_path / "plans.json"
    record = {"amounts": {"erlotinib": [0.2, 2.0]}, "schedules": ["daily"], "days": 14}
    plans.write_text(json.dumps(record))
    output = [f"beliefs={tmp_path / 'kept'}", "patient=203", "as_of_days=8"]
    given = [*output, f"output={tmp_path / 'a.json'}", f"intervention={plans}"]
    assert main(["simulate", *model, *given]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["plans"][0]["name"].startswith("erlotinib 2")
    assert found["plans"][-1]["name"] == "no intervention"
    assert len(found["plans"][0]["volume_cm3"]["median"]) == len(found["days"])
    assert main(["simulate", *model, *output, f"output={tmp_path / 'a.html'}"]) == 0
    assert "go on with high" in (tmp_path / "a.html").read_text()
    capsys.readouterr()
    assert main(["update", *model, *output]) == 0
    assert "cm3, expected" in capsys.readouterr().out


def test_a_group_that_is_not_there_is_not_held_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["split.only=[medium]", *asked(folder)]
    assert main(["train", "experiment=xenograft", *given]) == 1
    assert "nobody to hold out received 'medium'" in capsys.readouterr().err


def test_volumes_are_held_out_by_arm_or_by_patient_only(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "experiment=xenograft", "split.by=SITE", *asked(folder)]) == 1
    assert "split.by is SITE, expected THERAPY or PATIENT" in capsys.readouterr().err


def test_chemo_and_radiotherapy_are_learned_from_together_and_ranked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "xenograft_lxf"
    write_mice(data)
    for name, _ in FILES.values():
        head, *rows = (data / name).read_text().splitlines()
        width = head.count(",")
        irradiated = sorted({row.split(",")[0] for row in rows})[::2]
        blank = "," * (width - 2)
        rows += [f"{who},{day},d{blank},2" for who in irradiated for day in (5, 6, 7, 8, 9)]
        lines = [row if row.endswith(",2") else f"{row}," for row in rows]
        (data / name).write_text("\n".join([f"{head},Gray", *lines]) + "\n")
    of = [*asked(tmp_path), "+cohort.doses.gray_column=Gray"]
    equations = ["dynamics.equations=CHEMORADIOTHERAPY", "dynamics.iterations=20"]
    given = ["train", "experiment=xenograft", "split.only=[high]", *equations, *of]
    assert main([*given, "dynamics.concentration="]) == 1
    told = capsys.readouterr().err
    assert "nothing tells 'elimination_per_day' of 'erlotinib': measure its concentration" in told
    held = ["dynamics.concentration=", "dynamics.held={elimination_per_day: 1.4}"]
    assert main([*given, *held]) == 0
    found = json.loads((run_of(tmp_path) / "metrics.json").read_text())
    assert "exponential growth" not in found["baselines"]
    stored = json.loads((run_of(tmp_path) / "model" / "twin.json").read_text())
    assert "alpha_per_gy" in stored["twin"]["prior"]["names"]
    plans = tmp_path / "plans.json"
    grid = {"erlotinib": [0.2], "radiotherapy": [1.0, 2.0]}
    record = {"amounts": grid, "schedules": ["weekdays"], "days": 14, "together": True}
    plans.write_text(json.dumps(record))
    more = ["patient=200", "as_of_days=4", f"beliefs={tmp_path}", f"output={tmp_path / 'a.json'}"]
    model = [f"model_uri={run_of(tmp_path)}", "cohort=xenograft_lxf", f"intervention={plans}"]
    assert main(["simulate", *model, *more, *of]) == 0
    ranked = json.loads((tmp_path / "a.json").read_text())["plans"]
    assert len(ranked) == 6
    assert ranked[0]["name"] == "erlotinib 0.2 mg + radiotherapy 2 Gy weekdays"
    assert ranked[-1]["name"] == "no intervention"
