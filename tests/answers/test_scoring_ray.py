"""Real workers of Ray on loopback give the bytes that this process gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omics_twin.answers.scoring import in_this_process, rows_of_file, score
from omics_twin.answers.scoring_ray import by_workers
from omics_twin.errors import TrainingError
from omics_twin.settings import ScoreSettings, TwinSettings
from omics_twin.tracking import TrainedModel
from tests.answers.test_scoring import written
from tests.conftest import SmallRun

pytest.importorskip("ray", reason="Ray is not installed: pip install 'omics-twin[ray]'")


@pytest.mark.filterwarnings("default")
def test_workers_of_ray_give_the_same_bytes(small_run: SmallRun, tmp_path: Path) -> None:
    model = TrainedModel.load(small_run.model)
    visit = {"day": 0, "values": {"clinical": {"age_years": 51}}}
    rows = [(f"p{each}", json.dumps({"visits": [visit] * (each % 2)})) for each in range(7)]
    path = written(tmp_path / "in.parquet", rows)
    settings = TwinSettings(draws=8 * model.twin.network.members)
    for name, by in (("here", in_this_process), ("ray", by_workers)):
        try:
            with by(model, settings, ScoreSettings(workers=1), excluded=False) as answering:
                score(
                    model,
                    rows_of_file(path),
                    answering,
                    tmp_path / name,
                    settings,
                    size=3,
                    excluded=False,
                    permits=None,
                    noted=lambda *_, **__: None,
                    progress=lambda *_: None,
                )
        except TrainingError as error:
            pytest.skip(str(error))
    parts = sorted((tmp_path / "here").glob("*.parquet"))
    assert len(parts) == 3
    for part in parts:
        assert part.read_bytes() == (tmp_path / "ray" / part.name).read_bytes()
