"""A search, whole and killed: every finished trial is kept, none is repeated, the answer is one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omics_twin.cli import main

SETTINGS = [
    "experiment=synthetic_response",
    "intake.patients=100",
    "intake.genes=200",
    "~cohort.modalities.transcriptomics",
    "~cohort.modalities.genomics",
    "model=small",
    "model.linear_effects=false",
    "split.replicas=1",
    "search.outer_folds=2",
    "search.inner_folds=2",
    "search.replicas=1",
    "search.trials=3",
    "search.batch=2",
    "search.space.model.hidden=4,8",
    "trainer.max_epochs=3",
    "twin.calibration=NONE",
    "trainer.device=CPU",
    "tracking=off",
]


def arguments(folder: Path, trial: Path) -> list[str]:
    return [*SETTINGS, f"synthetic_root={trial}", f"output_root={folder}"]


def outcome(folder: Path) -> dict:
    latest = json.loads((folder / "synthetic_response" / "latest-search.json").read_text())
    return json.loads((Path(latest["run_folder"]) / "search.json").read_text())


def finished(folder: Path) -> int:
    """Return how many trials the studies of a running search have finished."""
    [*paths] = folder.glob("synthetic_response/search-*/search.db")
    if not paths:
        return 0
    with sqlite3.connect(f"file:{paths[0]}?mode=ro", uri=True) as connection:
        try:
            query = "select count(*) from trials where state in ('COMPLETE', 'PRUNED')"
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folder of a search that nobody disturbed, and the trial it searched on."""
    folder = tmp_path_factory.mktemp("search")
    trial = folder / "trial"
    assert main(["search", *arguments(folder / "whole", trial)]) == 0
    return folder / "whole", trial


def test_a_search_is_judged_on_patients_it_did_not_see(whole: tuple[Path, Path]) -> None:
    found = outcome(whole[0])
    assert set(found["trials"]) == {"outer-0", "outer-1", "final"}
    for trials in found["trials"].values():
        assert len(trials) == 3
        assert {each["state"] for each in trials} <= {"COMPLETE", "PRUNED"}
        assert {each["values"]["model.hidden"] for each in trials} <= {4, 8}
    assert found["nested"]["outer_folds"] == 2
    assert {"auc", "log_loss"} <= set(found["nested"]["searched"])
    assert len(found["chosen_by_outer_fold"]) == 2
    assert found["chosen_loss"] <= found["default_loss"]


def test_the_choice_is_the_next_commands_settings(whole: tuple[Path, Path]) -> None:
    folder, trial = whole
    [best] = folder.glob("synthetic_response/search-*/best.yaml")
    more = ["split.folds=2", "split.repeats=1", "verb=x"]
    assert main(["train", *arguments(folder, trial), f"@{best}", *more]) == 1
    assert main(["train", *arguments(folder, trial), f"@{best}", *more[:-1]]) == 0
    latest = json.loads((folder / "synthetic_response" / "latest.json").read_text())
    config = json.loads((Path(latest["run_folder"]) / "config.json").read_text())
    for key, value in outcome(folder)["chosen"].items():
        room, name = key.split(".")
        assert config[room][name] == value


def test_more_trials_go_on_where_the_search_was(whole: tuple[Path, Path]) -> None:
    folder, trial = whole
    before = outcome(folder)["trials"]["final"]
    more = [each for each in arguments(folder, trial) if each != "search.trials=3"]
    assert main(["search", *more, "search.trials=4"]) == 0
    after = outcome(folder)["trials"]["final"]
    assert after[:3] == before
    assert len(after) == 4


def test_a_killed_search_ends_as_one_that_was_not(whole: tuple[Path, Path], tmp_path: Path) -> None:
    expected, trial = whole
    stored = json.loads(next(expected.glob("synthetic_response/search-*/search.json")).read_text())
    command = [sys.executable, "-m", "omics_twin", "search", *arguments(tmp_path, trial)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for reached in (1, 5):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        deadline = time.monotonic() + 240
        while finished(tmp_path) < reached and process.poll() is None:
            assert time.monotonic() < deadline, "no trial was finished in four minutes"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    last = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert last.returncode == 0, last.stderr
    found = outcome(tmp_path)
    for name, trials in found["trials"].items():
        assert len({each["number"] for each in trials}) == len(trials)
        assert len(trials) >= 3
        assert trials[0]["values"] == stored["trials"][name][0]["values"]
