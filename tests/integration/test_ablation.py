"""What each modality adds, end to end, for every kind of outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.searches.ablation import ALL, questions

SETTINGS = [
    "intake.patients=120",
    "intake.genes=200",
    "~cohort.modalities.radiomics",
    "model=small",
    "split.folds=2",
    "split.repeats=1",
    "split.replicas=1",
    "trainer.max_epochs=2",
    "model.linear_effects=false",
    "twin.calibration=NONE",
    "trainer.device=CPU",
    "twin.draws=100",
    "tracking=off",
]
VARIANTS = {each.name for each in questions(["clinical", "genomics", "transcriptomics"])}


def arguments(folder: Path, *more: str, companion: str = "NONE") -> list[str]:
    beside = f"model.companion={companion}"
    return ["experiment=synthetic_response", *SETTINGS, beside, *more, f"output_root={folder}"]


def table(folder: Path) -> tuple[Path, dict]:
    latest = json.loads((folder / "synthetic_response" / "latest-ablation.json").read_text())
    run = Path(latest["run_folder"])
    return run, json.loads((run / "ablation.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    assert main(["ablate", *arguments(folder)]) == 0
    return folder


def test_every_subset_is_compared_with_all(folder: Path) -> None:
    run, found = table(folder)
    assert set(found["variants"]) == VARIANTS
    for name, each in found["variants"].items():
        assert {"auc", "brier"} <= set(each["metrics"])
        if name != ALL:
            difference = each["difference_to_all"]
            assert difference["lower"] <= difference["mean"] <= difference["upper"]
            gap = each["metrics"]["auc"]["mean"] - found["variants"][ALL]["metrics"]["auc"]["mean"]
            assert difference["mean"] == pytest.approx(gap, abs=1e-9)
    assert {"ablation.csv", "ablation.md", "ablation.png"} <= {each.name for each in run.iterdir()}
    assert (run / "ablation.md").read_text().count("\n| ") == len(VARIANTS) + 1
    assert found["measured_patients"]["clinical"] == 120


def test_all_modalities_are_the_run_that_training_makes(folder: Path) -> None:
    assert main(["train", *arguments(folder)]) == 0
    latest = json.loads((folder / "synthetic_response" / "latest.json").read_text())
    metrics = json.loads((Path(latest["run_folder"]) / "metrics.json").read_text())
    mine = table(folder)[1]["variants"][ALL]["metrics"]
    for name, each in metrics["model"].items():
        assert mine[name]["mean"] == pytest.approx(each["mean"], abs=2e-3)


def test_what_is_finished_is_not_done_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, found = table(folder)
    (run / "tracking.json").unlink()
    (run / "ablation.json").unlink()
    missing = run / "predictions" / "therapy_only.safetensors"
    content = missing.read_bytes()
    kept = run / "predictions" / "all.safetensors"
    before = kept.stat().st_mtime_ns
    assert main(["ablate", *arguments(folder)]) == 0
    assert kept.stat().st_mtime_ns == before
    assert table(folder)[1] == found
    missing.unlink()
    (run / "tracking.json").unlink()
    assert main(["ablate", *arguments(folder)]) == 0
    assert missing.read_bytes() == content


def test_survival_is_asked_the_same_way(tmp_path: Path, folder: Path) -> None:
    more = ["endpoint=progression_free_survival", "~cohort.modalities.genomics"]
    assert main(["ablate", *arguments(tmp_path, *more, companion="TREES")]) == 0
    found = table(tmp_path)[1]
    assert found["headline"] == "c_index"
    assert set(found["variants"]) == {
        each.name for each in questions(["clinical", "transcriptomics"])
    }
