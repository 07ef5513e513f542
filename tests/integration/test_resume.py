"""Killed at random moments, training resumes and ends with the very same weights."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

# More by OMICS_TWIN_KILLS=20, for example.
KILLS = int(os.environ.get("OMICS_TWIN_KILLS", "2"))
EPOCHS = 60
PATIENCE_SECONDS = 300
SETTINGS = [
    "experiment=synthetic_response",
    "intake.patients=120",
    "intake.genes=200",
    "~cohort.modalities.transcriptomics",
    "~cohort.modalities.genomics",
    "model=small",
    "split.folds=2",
    "split.repeats=1",
    "split.replicas=2",
    f"trainer.max_epochs={EPOCHS}",
    "twin.calibration=NONE",
    f"trainer.patience={EPOCHS}",
    "trainer.batch_size=16",
    "trainer.checkpoint_every_epochs=2",
    "tracking=off",
]
RESUMED = re.compile(r"resuming after epoch (\d+)")


def start(folder: Path) -> subprocess.Popen[str]:
    """Start training in a process of its own."""
    command = [sys.executable, "-m", "omics_twin", "train", *SETTINGS, f"output_root={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def epochs_completed(folder: Path) -> int:
    """Return the epoch of the checkpoint that counts, 0 where there is none."""
    found = list(folder.glob("synthetic_response/*/checkpoints/last.json"))
    return json.loads(found[0].read_text())["epochs_completed"] if found else 0


def kill_after_progress(process: subprocess.Popen[str], folder: Path, wait: float) -> str:
    """Kill a run some time after it has written a new checkpoint; return what it printed."""
    reached = epochs_completed(folder)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while epochs_completed(folder) <= reached:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no new checkpoint in time"
        time.sleep(0.01)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    return process.communicate()[0]


def weights(folder: Path) -> bytes:
    """Return the weights of the run's model."""
    [path] = folder.glob("synthetic_response/*/model/weights.safetensors")
    return path.read_bytes()


def test_kills_change_nothing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    uninterrupted = start(whole)
    moments = random.Random(20261122)
    killed = 0
    resumed = []
    while killed < KILLS:
        process = start(broken)
        printed = kill_after_progress(process, broken, moments.uniform(0.0, 0.15))
        resumed += [int(epoch) for epoch in RESUMED.findall(printed)]
        assert process.returncode == -signal.SIGKILL
        killed += 1
    assert epochs_completed(broken) < EPOCHS, "the last kill came too late to prove anything"
    last = start(broken)
    printed = last.communicate(timeout=PATIENCE_SECONDS)[0]
    assert last.returncode == 0, printed
    resumed += [int(epoch) for epoch in RESUMED.findall(printed)]
    assert len(resumed) == KILLS
    assert resumed == sorted(resumed)
    assert resumed[0] > 0
    assert resumed[-1] < EPOCHS
    assert uninterrupted.communicate(timeout=PATIENCE_SECONDS)[0]
    assert uninterrupted.returncode == 0
    assert weights(broken) == weights(whole)
