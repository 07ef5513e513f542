"""Three real processes on loopback train one twin, and none reads another's patients."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from omics_twin.config import load
from omics_twin.federated.compare import fit_together
from omics_twin.federated.site import cohort_of_site
from omics_twin.federated.sites import sites_of
from omics_twin.intake.synthetic import generate
from omics_twin.report.console import Console
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import task_of

pytest.importorskip("nvflare", reason="NVIDIA FLARE is not installed: pip install '.[federated]'")

SETTINGS = (
    "experiment=synthetic_response",
    "trainer=federated",
    "trainer.max_epochs=1",
    "trainer.device=CPU",
    "trainer.federation.fewest=10",
    "model=small",
    "model.linear_effects=false",
    "model.follow_up=NETWORK",
    "intake.patients=150",
    "intake.genes=200",
    "split.folds=2",
    "split.repeats=1",
    "split.replicas=1",
    "twin.draws=80",
)

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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load("train", [*SETTINGS, f"synthetic_root={tmp_path / 'trial'}"])
    generate(config.intake, tmp_path / "trial", progress=lambda done, total: None)
    task = task_of(cohort_of_site(config), config, Console(quiet=True))
    sites = sites_of(task, config)
    log = tmp_path / "watched.txt"
    watched(tmp_path, log, monkeypatch)
    fitted, model = fit_together(sites, config, tmp_path / "run", Console())
    names = list(sites.own)
    models = [TrainedModel.load(tmp_path / "run" / site / "model") for site in names]
    assert model.provenance["sites"] == 3
    assert model.provenance["patients"] == len(task.arms)
    assert len(fitted.module.curves) == 1
    # Each patient is answered by the members that the patient's own site held the patient out of.
    unseen = model.twin.membership.unseen(task.cohort.patient_ids)
    assert unseen.T.equal(~sites.plan.seen)
    assert model.calibration.fitted
    assert all(each.calibration == model.calibration for each in models)
    weights = [each.twin.network.state_dict() for each in models]
    for name, value in weights[0].items():
        assert all(value.equal(each[name]) for each in weights[1:])

    opened = [line.split("\t") for line in log.read_text().splitlines()]
    assert not [each for each in opened if each[0] == "pickle.find_class"]
    patients: list[set[str]] = []
    for site in names:
        mine = {told for _, process, told in opened if f"--client {site}" in process}
        cohort = {each for each in mine if "/cohort/" in each or "/trial/" in each}
        assert cohort
        assert all(f"/{site}/cohort/" in each for each in cohort)
        patients.append(_patients(tmp_path / "run" / site / "cohort" / "clinical.parquet"))
    assert not patients[0] & patients[1]
    assert not (patients[0] | patients[1]) & patients[2]


def _patients(table: Path) -> set[str]:
    import pyarrow.parquet

    return set(pyarrow.parquet.read_table(table).column("patient_id").to_pylist())
