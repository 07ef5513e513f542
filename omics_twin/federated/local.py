"""All sites on this machine, for a federation to be tried: a folder and a process for each."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from omics_twin import consenting
from omics_twin.config import Config
from omics_twin.errors import TrainingError, quoted
from omics_twin.federated.site import CURVES
from omics_twin.intake.shares import write_share
from omics_twin.report.console import Console
from omics_twin.tracking import MODEL_FOLDER, TrainedModel

_SIMULATOR = "nvflare.private.fed.app.simulator.simulator"
_ENDED = "federation ended:"
# What the simulator writes of a site's process that is gone.
_DIED = re.compile(r"(?:Subprocess died for|Communication error with) client ([\w-]+)")
_TOLD = ("epoch ", "effects of ")
_GRACE_SECONDS = 20.0


def check_installed() -> None:
    """Refuse to begin without the framework.

    Raises
    ------
    TrainingError
        If NVFlare is not installed.
    """
    if find_spec("nvflare") is None:
        raise TrainingError(
            "trainer=federated needs NVIDIA FLARE, which is not installed: "
            "pip install 'omics-twin[federated]'"
        )


def write_job_of_sites(config: Config, folder: Path) -> Path:
    """Write the job for sites on machines of their own, and return its folder.

    Raises
    ------
    TrainingError
        If NVFlare is not installed, no sites are asked for, or the folder holds a job.
    """
    check_installed()
    from omics_twin.federated.flare import JOB, write_job

    sites = [f"site-{number + 1}" for number in range(config.trainer.federation.sites)]
    if not sites:
        raise TrainingError(
            "trainer.federation.sites is 0, expected the number of sites: use trainer=federated"
        )
    if (folder / JOB).exists():
        raise TrainingError(f"'{folder / JOB}' is there already: name another folder")
    return write_job(folder, config, sites)


def run_sites(
    config: Config, patients: Mapping[str, Sequence[str]], folder: Path, console: Console
) -> tuple[TrainedModel, list[dict[str, float]]]:
    """Train one twin in a process per site, and return it with the curves of its training.

    Parameters
    ----------
    patients
        Who is at each site.
    folder
        Where each site's tables, its twin and FLARE's own files go.

    Raises
    ------
    TrainingError
        If a site does not finish.
    """
    check_installed()
    from omics_twin.federated.flare import write_job

    places = {}
    for site, ids in patients.items():
        root = folder / site / "cohort"
        write_share(config.cohort, ids, root, consenting.names_of(config))
        place = {"cohort_root": str(root.resolve()), "output": str((folder / site).resolve())}
        places[site] = place
    job = write_job(folder / "job", config, list(patients), places)
    reason = _simulated(job, list(patients), folder, console)
    unfinished = [site for site in patients if not (folder / site / CURVES).is_file()]
    if reason or unfinished:
        raise TrainingError(
            reason or f"{quoted(unfinished)} did not finish: read '{folder / 'log.txt'}'"
        )
    first = folder / next(iter(patients))
    curves = json.loads((first / CURVES).read_text())["curves"]
    return TrainedModel.load(first / MODEL_FOLDER), curves


def _simulated(job: Path, sites: list[str], folder: Path, console: Console) -> str:
    """Run FLARE until it ends; return why it ended early, empty where it did not."""
    command = [sys.executable, "-m", _SIMULATOR, str(job), "-w", str(folder / "flare")]
    command += ["-c", ",".join(sites), "-t", str(len(sites))]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
    )
    reason = ""
    try:
        for line in _lines(process, folder / "log.txt"):
            if line.startswith(_TOLD):
                console.note(line.strip())
            if _ENDED in line and not reason:
                reason = line.split(_ENDED, 1)[1].strip()
            if (died := _DIED.search(line)) and not reason:
                reason = (
                    f"the process of '{died[1]}' died, and no sum is whole without it: begin again"
                )
            if reason:
                break
        process.wait(_GRACE_SECONDS if reason else None)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _stopped(process)
    return reason


def _lines(process: subprocess.Popen[str], log: Path) -> Iterator[str]:
    """Yield what FLARE and the sites write, all of which the log keeps; what repeats, once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before: set[str] = set()
    with log.open("w", encoding="utf-8") as kept:
        for line in process.stdout or ():
            kept.write(line)
            kept.flush()
            if line not in before:
                before.add(line)
                yield line


def _stopped(process: subprocess.Popen[str]) -> None:
    """End the processes that were started here, if they still run."""
    if process.poll() is None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(process.pid, number)
            try:
                process.wait(_GRACE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
    if process.stdout is not None:
        process.stdout.close()
