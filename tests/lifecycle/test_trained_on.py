"""Where errors may not be kept of a graded outcome, its own values are not told, and why is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.evaluate.own_values import LEVELS
from omics_twin.lifecycle.trained_on import own_values_of
from omics_twin.report.console import Console
from tests.evaluate import trials
from tests.judged_tasks import judged_task


def test_errors_are_kept_of_patients_enough_and_where_they_may_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = trials.response(np.random.default_rng(2), 60, False)
    task, config = judged_task(tmp_path, made, kind="CONTINUOUS")
    received, console = np.zeros((2, 60)), Console()
    assert len(own_values_of(task, received, config, console).errors) == len(LEVELS)
    assert capsys.readouterr().out == ""

    values = np.where(np.arange(60) < 39, task.outcome.values, np.nan)
    few = replace(task, outcome=replace(task.outcome, values=values))
    # Two repeats of 39 patients are 39 patients.
    assert own_values_of(few, received, config, console).errors == ()
    assert "told by its mean alone: 39 patients have it" in capsys.readouterr().out

    privacy = replace(config.trainer.privacy, secret_weights=0.1)
    hidden = replace(config, trainer=replace(config.trainer, privacy=privacy))
    assert own_values_of(task, received, hidden, console).errors == ()
    assert "secret weights" in capsys.readouterr().out
