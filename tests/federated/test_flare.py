"""Three real processes on loopback train one twin, and none reads another's patients."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun

pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed: pip install '.[federated]'")

# Python's own audit events, of every process: which files are opened, and what is unpickled.
WATCH = """
import os, sys, traceback
def heard(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        told = os.fsdecode(arguments[0])
        if not told.startswith({within!r}) or "watched" in told:
            return
    elif event == "pickle.find_class":
        stack = traceback.extract_stack()
        # How the simulator hands a process its arguments, before any message between sites.
        if any(each.filename.endswith("multiprocessing/connection.py") for each in stack):
            return
        told = "%s.%s" % tuple(arguments[:2])
    else:
        return
    with os.fdopen(os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as log:
        log.write("\\t".join([event, " ".join(sys.orig_argv), told]) + "\\n")
sys.addaudithook(heard)
"""


def watched(folder: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every process that starts from here on tell what it opens."""
    place = folder / "watching"
    place.mkdir()
    (place / "sitecustomize.py").write_text(WATCH.format(within=str(folder), log=str(log)))
    paths = [str(place), *(each for each in sys.path if each)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))


def test_three_processes_train_one_twin_and_none_opens_anothers_files(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "watched.txt"
    watched(tmp_path, log, monkeypatch)
    settings = [each for each in small_run.settings if not each.startswith("synthetic_root")]
    arguments = [
        *settings,
        "experiment=synthetic_response",
        "trainer=federated",
        "trainer.max_epochs=1",
        "trainer.federation.compare=false",
        "trainer.federation.fewest=10",
        "model.linear_effects=false",
        f"synthetic_root={tmp_path / 'trial'}",
        f"output_root={tmp_path / 'runs'}",
    ]
    assert main(["train", *arguments]) == 0
    latest = json.loads((tmp_path / "runs" / "synthetic_response" / "latest.json").read_text())
    run = Path(latest["run_folder"])
    sites = ["site-1", "site-2", "site-3"]
    models = [TrainedModel.load(run / "sites" / site / "model") for site in sites]
    assert models[0].provenance["sites"] == 3
    weights = [each.twin.network.state_dict() for each in models]
    for name, value in weights[0].items():
        assert all(value.equal(each[name]) for each in weights[1:])

    opened = [line.split("\t") for line in log.read_text().splitlines()]
    assert not [each for each in opened if each[0] == "pickle.find_class"]
    patients: list[set[str]] = []
    for site in sites:
        mine = {told for _, process, told in opened if f"--client {site}" in process}
        cohort = {each for each in mine if "/cohort/" in each or "/trial/" in each}
        assert cohort
        assert all(f"/{site}/cohort/" in each for each in cohort)
        patients.append(_patients(run / "sites" / site / "cohort" / "clinical.parquet"))
    assert not patients[0] & patients[1]
    assert not (patients[0] | patients[1]) & patients[2]


def _patients(table: Path) -> set[str]:
    import pyarrow.parquet

    return set(pyarrow.parquet.read_table(table).column("patient_id").to_pylist())
