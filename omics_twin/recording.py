"""A finished run recorded in MLflow, its model registered with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omics_twin.answers.example import example_record
from omics_twin.errors import TrackingError
from omics_twin.files import sha256
from omics_twin.logs import quiet
from omics_twin.settings import TrackingSettings
from omics_twin.tracking import (
    EXPERIMENT,
    MODEL_FOLDER,
    TrainedModel,
    first_line,
    tracker,
    tracking_uri,
)

CARD = "model_card.json"

_CARD_PAGE = "model_card.html"

CHALLENGER = "challenger"


@dataclass
class RunRecord:
    """What a finished run hands to the tracker; everything is logged in batches.

    Attributes
    ----------
    parameters, tags
        Flat name -> value.
    metrics
        Final numbers by name.
    curves
        One mapping per epoch; ``epoch`` is the step.
    folder
        Its files become artefacts.
    served
        Whether the model is logged as one that ranks patients' records; if not, as its files.
    registered_as
        Name of the model whose version it becomes; empty: the run's.
    """

    name: str
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Sequence[Mapping[str, float]]
    folder: Path
    served: bool = True
    registered_as: str = ""

    @property
    def model_name(self) -> str:
        """Name of the registered model."""
        return self.registered_as or self.name


def record_run(run: RunRecord, settings: TrackingSettings) -> dict[str, str]:
    """Log a finished run and register its model; return where they are.

    Returns
    -------
    dict
        ``run_id``, ``tracking_uri`` and, where registered, ``model_uri``; empty when tracking is
        off.

    Raises
    ------
    TrackingError
        If the server cannot be reached or refuses the run, which is kept in its folder.
    """
    if not settings.enabled:
        return {}
    mlflow = tracker()
    uri = tracking_uri(settings)
    try:
        return _recorded(mlflow, run, settings, uri)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise TrackingError(
            f"the run is complete in '{run.folder}' but could not be recorded at '{uri}' "
            f"({first_line(error)}): start again to record it, or add tracking=off"
        ) from error


def _recorded(mlflow: Any, run: RunRecord, settings: TrackingSettings, uri: str) -> dict[str, str]:
    from mlflow.entities import Metric, Param, RunTag

    mlflow.set_tracking_uri(uri)
    with (
        quiet("mlflow", "alembic"),
        mlflow.start_run(experiment_id=_experiment(mlflow, settings), run_name=run.name) as active,
    ):
        client = mlflow.MlflowClient()
        metrics = [Metric(k, float(v), 0, 0) for k, v in run.metrics.items()]
        metrics += [
            Metric(name, value, int(curve["epoch"]), int(curve["epoch"]))
            for curve in run.curves
            for name, value in curve.items()
            if name != "epoch"
        ]
        parameters = [Param(k, str(v)[:6000]) for k, v in run.parameters.items()]
        tags = [RunTag(k, v[:8000]) for k, v in run.tags.items()]
        for start in range(0, max(len(metrics), len(parameters), 1), 100):
            client.log_batch(
                active.info.run_id,
                metrics=metrics[start : start + 100],
                params=parameters[start : start + 100],
                tags=tags if start == 0 else (),
            )
        for path in sorted(run.folder.iterdir()):
            if path.is_file():
                mlflow.log_artifact(str(path))
        found = {"run_id": active.info.run_id, "tracking_uri": uri}
        with_model = (run.folder / MODEL_FOLDER).is_dir()
        if with_model and not run.served:
            mlflow.log_artifacts(str(run.folder / MODEL_FOLDER), MODEL_FOLDER)
            return found | _register_files(mlflow, run, settings, active.info)
        logged = _log_model(mlflow, run, settings) if with_model else {}
        return found | logged


def _experiment(mlflow: Any, settings: TrackingSettings) -> str:
    known = mlflow.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    artefacts = None if settings.uri else (Path("mlruns").resolve() / "artifacts").as_uri()
    return str(mlflow.create_experiment(EXPERIMENT, artifact_location=artefacts))


def packing(model: Path) -> dict[str, Any]:
    """Return what MLflow is told of a model's folder: code and artefacts, no pickle on disk.

    The example is the record of nobody.
    """
    loaded = TrainedModel.load(model)
    return {
        "input_example": [example_record(loaded.twin.design, loaded.support)],
        "python_model": str(Path(__file__).parent / "serve" / "packed.py"),
        "artifacts": {MODEL_FOLDER: str(model)}
        | {each: str(model.parent / each) for each in _cards_beside(model)},
        "pip_requirements": ["omics-twin"],
    }


def _cards_beside(model: Path) -> list[str]:
    return [each for each in (CARD, _CARD_PAGE) if (model.parent / each).is_file()]


def _log_model(mlflow: Any, run: RunRecord, settings: TrackingSettings) -> dict[str, str]:
    """Log the model as one that ranks patients' records."""
    logged = mlflow.pyfunc.log_model(
        name=MODEL_FOLDER,
        registered_model_name=run.model_name if settings.register else None,
        **packing(run.folder / MODEL_FOLDER),
    )
    if settings.register:
        version = str(logged.registered_model_version)
        _describe(mlflow, run, version)
        return {"model_uri": f"models:/{run.model_name}/{version}"}
    return {"model_uri": logged.model_uri}


def _register_files(
    mlflow: Any, run: RunRecord, settings: TrackingSettings, recorded: Any
) -> dict[str, str]:
    """Register the run's files, with its model and card, as a version; no server answers with it.

    Parameters
    ----------
    recorded
        What MLflow knows of the run: its number and where its files are.
    """
    if not settings.register:
        return {"model_uri": f"runs:/{recorded.run_id}/{MODEL_FOLDER}"}
    client, name = mlflow.MlflowClient(), run.model_name
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, recorded.artifact_uri, run_id=recorded.run_id)
    _describe(mlflow, run, str(made.version))
    return {"model_uri": f"models:/{name}/{made.version}"}


def _describe(mlflow: Any, run: RunRecord, version: str) -> None:
    """Write the card in short on a registered version, and make it the challenger."""
    client, card = mlflow.MlflowClient(), run.folder / CARD
    if card.is_file():
        content = card.read_bytes()
        told = json.loads(content)
        client.update_model_version(run.model_name, version, description=told["summary"][:5000])
        tags = {"model_digest": told["model"]["digest"], "card_digest": sha256(content)}
        for name, value in tags.items():
            client.set_model_version_tag(run.model_name, version, name, value)
    client.set_registered_model_alias(run.model_name, CHALLENGER, version)
