"""Training that goes on from another twin: shrunk towards it, and never judged on what it saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omics_twin.cli import main
from tests.conftest import SmallRun


def arguments(small_run: SmallRun, folder: Path, *more: str) -> list[str]:
    start = f"trainer.start_from={small_run.run}"
    asked = ["experiment=synthetic_response", *small_run.settings, f"output_root={folder}"]
    return ["train", *asked, start, *more]


def test_a_run_goes_on_from_the_effects_of_another(small_run: SmallRun, tmp_path: Path) -> None:
    assert main(arguments(small_run, tmp_path)) == 0
    latest = json.loads((tmp_path / "synthetic_response" / "latest.json").read_text())
    found = json.loads((Path(latest["run_folder"]) / "metrics.json").read_text())
    before = json.loads((small_run.run / "metrics.json").read_text())
    # It has seen the same patients, so it is about as good, and no worse for having begun there.
    loss = found["model"]["log_loss"]["mean"]
    assert loss < before["model"]["log_loss"]["mean"] + 0.05


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("split.seed=1",), "whom its members are now to be judged on"),
        (("split.repeats=2",), "has 4 members, the run plans 8"),
        (("endpoint=progression_free_survival",), "predicts 'pcr', the endpoint asks for 'pfs'"),
    ],
)
def test_a_start_that_would_leak_or_does_not_fit_is_refused(
    small_run: SmallRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    told: str,
) -> None:
    settings = tuple(each for each in small_run.settings if each.split("=")[0] not in str(more))
    run = SmallRun(small_run.trial, small_run.run, settings)
    assert main(arguments(run, tmp_path, *more)) == 1
    assert told in capsys.readouterr().err
