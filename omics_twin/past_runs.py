"""Which runs and models are recorded, the newest of each experiment first."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omics_twin.errors import TrackingError
from omics_twin.logs import quiet
from omics_twin.settings import TrackingSettings
from omics_twin.tracking import EXPERIMENT, MODEL_FOLDER, first_line, tracker, tracking_uri

_MOST_VERSIONS = 10_000


@dataclass(frozen=True)
class StoredRun:
    """A finished run as the tracker knows it.

    Attributes
    ----------
    experiment, kind
        The configuration's name, and ``train``, ``ablation`` or ``search``.
    finished_on
        Day on which it was recorded, in UTC.
    parameters, tags
        Flat name -> value.
    files
        Content of the artefacts that were asked for and are there, by name.
    """

    run_id: str
    experiment: str
    kind: str
    finished_on: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]


def newest_runs(
    settings: TrackingSettings, kinds: Collection[str], wanted: Collection[str]
) -> list[StoredRun]:
    """Return the newest finished run of every experiment and kind, ordered by both.

    Parameters
    ----------
    kinds
        Other kinds of runs are left out.
    wanted
        Names of the artefacts to read.

    Raises
    ------
    TrackingError
        If tracking is off, or the store cannot be read or holds no finished run.
    """
    if not settings.enabled:
        raise TrackingError("results are read from the tracked runs: leave tracking=off out")
    uri = settings.uri or f"sqlite:///{Path('mlruns').resolve() / 'mlflow.db'}"
    nothing = TrackingError(
        f"no finished run at '{uri}': train first, as in omics-twin train experiment=…"
    )
    # Opening a database that is not there would make an empty one.
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise nothing
    mlflow = tracker()
    try:
        with quiet("mlflow", "alembic"):
            mlflow.set_tracking_uri(uri)
            found = _newest(mlflow, kinds, wanted)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise TrackingError(f"cannot read the runs at '{uri}': {first_line(error)}") from error
    if not found:
        raise nothing
    return found


def recorded_models(settings: TrackingSettings) -> list[str]:
    """Return the addresses of the models that are recorded, registered or as a run's files.

    Raises
    ------
    TrackingError
        If the store cannot be read.
    """
    mlflow, uri = tracker(), tracking_uri(settings)
    try:
        with quiet("mlflow", "alembic"):
            mlflow.set_tracking_uri(uri)
            client = mlflow.MlflowClient()
            versions = client.search_model_versions(max_results=_MOST_VERSIONS)
            found = [f"models:/{each.name}/{each.version}" for each in versions]
            known = mlflow.get_experiment_by_name(EXPERIMENT)
            registered = {each.run_id for each in versions}
            runs = (
                []
                if known is None
                else mlflow.search_runs(
                    experiment_ids=[known.experiment_id],
                    filter_string="attributes.status = 'FINISHED'",
                    output_format="list",
                )
            )
            for run in runs:
                run_id = run.info.run_id
                if run_id not in registered and client.list_artifacts(run_id, MODEL_FOLDER):
                    found.append(f"runs:/{run_id}/{MODEL_FOLDER}")
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise TrackingError(f"cannot read the models at '{uri}': {first_line(error)}") from error
    return found


def _newest(mlflow: Any, kinds: Collection[str], wanted: Collection[str]) -> list[StoredRun]:
    known = mlflow.get_experiment_by_name(EXPERIMENT)
    if known is None:
        return []
    newest: dict[tuple[str, str], Any] = {}
    for run in mlflow.search_runs(
        experiment_ids=[known.experiment_id],
        filter_string="attributes.status = 'FINISHED'",
        order_by=["attributes.end_time DESC", "attributes.run_id ASC"],
        output_format="list",
    ):
        kind = run.data.tags.get("kind", "train")
        if kind in kinds:
            newest.setdefault((run.data.params.get("name", run.info.run_name), kind), run)
    return [_stored(mlflow, newest[key], *key, wanted) for key in sorted(newest)]


def _stored(
    mlflow: Any, run: Any, experiment: str, kind: str, wanted: Collection[str]
) -> StoredRun:
    run_id = run.info.run_id
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for each in mlflow.artifacts.list_artifacts(run_id=run_id):
            if each.path in wanted:
                place = mlflow.artifacts.download_artifacts(
                    run_id=run_id, artifact_path=each.path, dst_path=folder
                )
                files[each.path] = Path(place).read_bytes()
    return StoredRun(
        run_id=run_id,
        experiment=experiment,
        kind=kind,
        finished_on=datetime.fromtimestamp(run.info.end_time / 1000, UTC).date().isoformat(),
        parameters=run.data.params,
        tags=run.data.tags,
        files=files,
    )
