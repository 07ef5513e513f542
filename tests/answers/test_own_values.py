"""What is told of a patient's own value is kept with the model and told beside the mean."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.evaluate.own_values import OwnValues
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun


def test_own_values_are_kept_and_told(small_run: SmallRun, tmp_path: Path) -> None:
    own = OwnValues(tuple(each / 100 for each in range(-19, 20)), minimum=0.0)
    folder = tmp_path / "model"
    replace(TrainedModel.load(small_run.model), own_values=own).save(folder)
    assert TrainedModel.load(folder).own_values == own
    cohort = ["cohort=synthetic", f"synthetic_root={small_run.trial}", "twin.draws=40"]
    output = tmp_path / "p.csv"
    assert main(["predict", f"model_uri={folder}", *cohort, f"output={output}"]) == 0
    with output.open(newline="") as stream:
        lines = list(csv.DictReader(stream))
    for line in lines:
        expected = float(line["expected"])
        assert float(line["own_lower"]) == pytest.approx(max(0.0, expected - 0.18), abs=2e-6)
        assert float(line["own_upper"]) == pytest.approx(expected + 0.18, abs=2e-6)
    page = tmp_path / "page.html"
    asked = [f"model_uri={folder}", *cohort, f"patient={lines[0]['patient_id']}"]
    assert main(["report", *asked, f"output={page}"]) == 0
    assert "in patients who were held out" in page.read_text()
