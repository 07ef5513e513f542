"""The folder of a run: where it is, whether it is finished, what is recorded and told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omics_twin import recording, tracking
from omics_twin.answers.patients import Patients
from omics_twin.bedside.belief import Beliefs
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, digest, recorded
from omics_twin.federated import compare as federated
from omics_twin.files import read_json, write_json
from omics_twin.judged import finished
from omics_twin.report.console import Console


@dataclass(frozen=True)
class Trained:
    """Where a training run left what it made, and what it measured."""

    folder: Path
    metrics: dict[str, Any]


def folder_of(config: Config, kind: str, fingerprint: str, also: str = "") -> Path:
    """Return the folder of a run that is not a training, with its settings in it."""
    told_apart = digest(config, f"{fingerprint} {tracking.commit()} {also}".strip())
    run = Path(config.output_root) / config.name / f"{kind}-{told_apart}"
    run.mkdir(parents=True, exist_ok=True)
    write_json(run / "config.json", recorded(config))
    write_json(run.parent / f"latest-{kind}.json", {"run_folder": str(run)})
    return run


def record(
    cohort: Cohort | Patients | Beliefs,
    config: Config,
    run: Path,
    kind: str,
    metrics: dict[str, float],
    console: Console,
    curves: Sequence[Mapping[str, float]] = (),
    fingerprint: str = "",
) -> None:
    """Hand a finished run that leaves no model that ranks to the tracker.

    A twin of visits that it leaves becomes a version of the model of the experiment's name.
    """
    told = recording.RunRecord(
        name=f"{config.name} {kind}",
        parameters=finished.flattened(recorded(config)),
        tags={
            "kind": kind,
            "commit": tracking.commit(),
            "data_fingerprint": fingerprint or cohort.fingerprint,
            "cohort": cohort.name,
        },
        metrics={name: value for name, value in metrics.items() if value is not None},
        curves=curves,
        folder=run,
        served=False,
        registered_as=config.name,
    )
    where = recording.record_run(told, config.tracking)
    if where:
        console.say(f"MLflow run {where['run_id']} at {where['tracking_uri']}")
        if "model_uri" in where:
            console.say(f"model: {where['model_uri']}")
    write_json(run / "tracking.json", where)


def is_finished(run: Path, config: Config) -> bool:
    """Return whether a run was recorded, or asked for no record."""
    where = run / "tracking.json"
    if not where.is_file():
        return False
    return bool(read_json(where)) or not config.tracking.enabled


def reported(trained: Trained, console: Console) -> Trained:
    """Say what a run measured, and make it the newest of its experiment."""
    write_json(trained.folder.parent / "latest.json", {"run_folder": str(trained.folder)})
    console.metrics(trained.metrics)
    for line in federated.lines(trained.metrics.get("federation") or {}):
        console.say(line)
    console.say(f"run folder: {trained.folder}")
    return trained
