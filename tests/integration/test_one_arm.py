"""A cohort in which nothing is compared: outcomes are predicted, no therapy is recommended."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from omics_twin.cli import main
from tests.conftest import SmallRun


def test_a_cohort_without_therapies_is_learned_and_ranks_nothing(
    small_run: SmallRun, tmp_path: Path
) -> None:
    cohort = ["therapy=none", "cohort.therapy=null", *small_run.settings]
    cohort.append("~cohort.modalities.transcriptomics")
    more = ["experiment=synthetic_response", "name=one_arm", f"output_root={tmp_path}"]
    assert main(["train", *more, *cohort]) == 0
    run = Path(json.loads((tmp_path / "one_arm" / "latest.json").read_text())["run_folder"])
    found = json.loads((run / "metrics.json").read_text())
    assert "logistic_interactions" not in found["baselines"]
    assert found["policy"] == {}
    output = tmp_path / "ranking.csv"
    assert main(["rank", f"model_uri={run}", "cohort=synthetic", *cohort, f"output={output}"]) == 0
    rows = list(csv.DictReader(output.read_text().splitlines()))
    assert {row["intervention"] for row in rows} == {"as_treated"}
    assert {row["recommended"] for row in rows} == {"false"}
    output = tmp_path / "evaluated.json"
    asked = [f"model_uri={run}", "cohort=synthetic", *cohort]
    assert main(["evaluate", *asked, f"output={output}"]) == 0
    assert json.loads(output.read_text())["not_scored"] == 0
    output = tmp_path / "predictions.csv"
    assert main(["predict", *asked, f"output={output}"]) == 0
    assert all(row["expected"] for row in csv.DictReader(output.read_text().splitlines()))
