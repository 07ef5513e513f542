"""A cohort of two folders is learned as one, judged folder by folder, and asked about one alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from omics_twin.cli import main
from tests.conftest import SmallRun


def _part(trial: Path, root: Path, number: int) -> str:
    """Write every second patient of a trial, without its truth; the second part lacks a gene."""
    root.mkdir()
    for path in trial.glob("*.parquet"):
        table = pd.read_parquet(path)
        mine = table["patient_id"].str[-1].astype(int) % 2 == number
        genes = list(table.columns[1:2]) if path.stem == "transcriptomics" and number else []
        table[mine].drop(columns=genes).to_parquet(root / path.name, index=False)
    return str(root)


def test_a_cohort_of_two_folders_is_judged_folder_by_folder(
    small_run: SmallRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {name: _part(small_run.trial, tmp_path / name, i) for i, name in enumerate("ab")}

    def asked(*names: str) -> list[str]:
        folders = ", ".join(f"{name}: '{parts[name]}'" for name in names)
        cohort = ["cohort.name=both", "cohort.root=''", f"cohort.parts={{{folders}}}"]
        untreated = ["therapy=none", "cohort.therapy=null", "cohort.part_column=place"]
        return [*cohort, *untreated, *small_run.settings]

    more = ["experiment=synthetic_response", "name=parts", f"output_root={tmp_path}"]
    assert main(["train", *more, *asked("a", "b")]) == 0
    assert "auc within each part" in capsys.readouterr().out
    run = Path(json.loads((tmp_path / "parts" / "latest.json").read_text())["run_folder"])
    found = json.loads((run / "metrics.json").read_text())
    by_part = found["by_part"]
    assert list(by_part["parts"]) == ["a", "b"]
    assert sum(each["n"] for each in by_part["parts"].values()) == found["n"]
    assert set(by_part["mean"]["baselines"]) == set(found["baselines"])
    both = [each["model"]["mean"] for each in by_part["parts"].values()]
    assert by_part["mean"]["model"]["mean"] == pytest.approx(sum(both) / 2)
    output = tmp_path / "predictions.csv"
    answer = [f"model_uri={run}", "cohort=synthetic", "intervention=as_treated", *asked("b")]
    assert main(["predict", *answer, f"output={output}"]) == 0
    assert "which not every part of the training cohort had" in capsys.readouterr().out
    asked_about = {row["patient_id"] for row in csv.DictReader(output.read_text().splitlines())}
    assert len(asked_about) == by_part["parts"]["b"]["n"]
