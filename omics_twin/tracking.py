"""Runs and models: MLflow where it is wanted, plain folders always."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omics_twin.errors import ModelError, TrackingError
from omics_twin.example import example_record
from omics_twin.files import MANIFEST, sha256
from omics_twin.living import LivingModel, is_living
from omics_twin.logs import quiet
from omics_twin.settings import Reading, TrackingSettings
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.twin.calibration import Calibration
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.likeness import Likeness
from omics_twin.twin.neural import NeuralTwin
from omics_twin.twin.reference import Reference
from omics_twin.twin.storage import load_twin, readable, save_twin
from omics_twin.types import Endpoint

MODEL_FOLDER = "model"
CARD = "model_card.json"
_CARD_PAGE = "model_card.html"
CHALLENGER = "challenger"
_EXPERIMENT = "omics_twin"
_PUBLISHED = "published:"
_MOST_VERSIONS = 10_000


@dataclass(frozen=True)
class TrainedModel:
    """A twin with what it needs to answer: its question, its therapies, what they rest on.

    Attributes
    ----------
    title
        What a person calls the endpoint's number.
    outcome, outcome_kind
        The outcome it was trained on.
    provenance
        Cohort, fingerprint of its files, patients, versions and settings.
    calibration
        What makes its intervals and its probabilities of being best hold.
    digest
        Of the files it was read from; empty where it was not.
    likeness
        What its training patients look like; None where it was not fitted.
    reference
        How often their features had which values, see :mod:`omics_twin.twin.reference`; None where
        it was not kept.
    """

    twin: NeuralTwin | HybridTwin
    endpoint: Endpoint
    title: str
    outcome: str
    outcome_kind: str
    catalogue: Catalogue
    support: Support
    provenance: Mapping[str, Any]
    calibration: Calibration = Calibration()
    digest: str = ""
    likeness: Likeness | None = None
    reference: Reference | None = None

    def learned_from(self, patient_id: str) -> bool | None:
        """Whether a patient is among those whom the twin was trained on; None: it does not say."""
        membership = self.twin.membership
        return membership.holds(patient_id) if len(membership.digests) else None

    def save(self, folder: Path) -> None:
        """Write the model, whole or not at all."""
        record = {
            "endpoint": asdict(self.endpoint) | {"reading": self.endpoint.reading.name},
            "title": self.title,
            "outcome": self.outcome,
            "outcome_kind": self.outcome_kind,
            "catalogue": self.catalogue.to_json(),
            "support": self.support.to_json(),
            "provenance": dict(self.provenance),
            "calibration": self.calibration.to_json(),
        }
        save_twin(folder, self.twin, record, self.likeness, self.reference)

    @staticmethod
    def load(folder: Path) -> TrainedModel:
        """Return the model of a folder, checked against its manifest.

        Raises
        ------
        ModelError
            If the folder holds no model or a damaged one.
        """
        twin, record, likeness, reference = load_twin(folder)
        with readable(folder):
            restored = TrainedModel._restored(twin, record, digest_of_folder(folder))
            return replace(restored, likeness=likeness, reference=reference)

    @staticmethod
    def _restored(
        twin: NeuralTwin | HybridTwin, record: Mapping[str, Any], digest: str
    ) -> TrainedModel:
        endpoint = record["endpoint"]
        return TrainedModel(
            twin=twin,
            endpoint=Endpoint(**{**endpoint, "reading": Reading[endpoint["reading"]]}),
            title=record["title"],
            outcome=record["outcome"],
            outcome_kind=record["outcome_kind"],
            catalogue=Catalogue.from_json(record["catalogue"]),
            support=Support.from_json(record["support"]),
            provenance=record["provenance"],
            calibration=Calibration.from_json(record["calibration"]),
            digest=digest,
        )


def digest_of_folder(folder: Path) -> str:
    """Return what tells a saved model from every other: the SHA-256 of its manifest."""
    return sha256((folder / MANIFEST).read_bytes())


def tracker() -> Any:
    """Return MLflow, quiet, kept from unpickling anything and from minutes with a dead server."""
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    return mlflow


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def load_any(uri: str, settings: TrackingSettings) -> TrainedModel | LivingModel:
    """Return a model of either kind, by its address; also ``published:NAME``.

    Raises
    ------
    ModelError
        If nothing is found there, or what is found was changed.
    """
    if uri.startswith(_PUBLISHED):
        return LivingModel.published(uri.removeprefix(_PUBLISHED))
    return load_folder(_local(uri, settings))


def living_model(uri: str, settings: TrackingSettings) -> LivingModel | None:
    """Return the twin of an address that learns from visit to visit; None where it ranks.

    Raises
    ------
    ModelError
        If nothing is found there, or what is found was changed.
    """
    if uri.startswith(_PUBLISHED):
        return LivingModel.published(uri.removeprefix(_PUBLISHED))
    folder = _local(uri, settings)
    return LivingModel.load(folder) if is_living(folder) else None


def load_folder(folder: Path) -> TrainedModel | LivingModel:
    """Return the model of a folder, of either kind.

    Raises
    ------
    ModelError
        If the folder holds no model or a damaged one.
    """
    return LivingModel.load(folder) if is_living(folder) else TrainedModel.load(folder)


def load_model(uri: str, settings: TrackingSettings) -> TrainedModel:
    """Return a model that ranks, by its address.

    Parameters
    ----------
    uri
        A run's output folder, a model's folder, ``models:/name/version`` or ``runs:/id/model``.

    Raises
    ------
    ModelError
        If nothing is found there, or what is found was changed.
    """
    published = uri.startswith(_PUBLISHED)
    folder = Path() if published else _local(uri, settings)
    if published or is_living(folder):
        raise ModelError(
            f"'{uri}' is a twin that learns from visit to visit: use 'update' or 'simulate'"
        )
    return TrainedModel.load(folder)


def _local(uri: str, settings: TrackingSettings) -> Path:
    if ":/" in uri and not uri.startswith("file:"):
        folder = _downloaded(uri, settings)
    else:
        folder = Path(uri.removeprefix("file://"))
    if not folder.is_dir():
        raise ModelError(f"no model at '{uri}': expected a run's folder or models:/name/version")
    places = [folder, folder / MODEL_FOLDER, folder / "artifacts" / MODEL_FOLDER]
    return next((each for each in places if (each / "twin.json").is_file()), folder)


def _downloaded(uri: str, settings: TrackingSettings) -> Path:
    mlflow = tracker()
    try:
        with quiet("mlflow", "alembic"):
            mlflow.set_tracking_uri(tracking_uri(settings))
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelError(f"cannot fetch the model '{uri}': {_first_line(error)}") from error


def tracking_uri(settings: TrackingSettings) -> str:
    """Return the tracking server's address; SQLite below ``mlruns/`` unless another is set."""
    if settings.uri:
        return settings.uri
    folder = Path("mlruns").resolve()
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


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
            f"({_first_line(error)}): start again to record it, or add tracking=off"
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
    known = mlflow.get_experiment_by_name(_EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    artefacts = None if settings.uri else (Path("mlruns").resolve() / "artifacts").as_uri()
    return str(mlflow.create_experiment(_EXPERIMENT, artifact_location=artefacts))


def packing(model: Path) -> dict[str, Any]:
    """Return what MLflow is told of a model's folder: code and artefacts, no pickle on disk.

    The example is the record of nobody.
    """
    loaded = TrainedModel.load(model)
    return {
        "input_example": [example_record(loaded.twin.design, loaded.support)],
        "python_model": str(Path(__file__).parent / "serve" / "pyfunc.py"),
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
        raise TrackingError(f"cannot read the runs at '{uri}': {_first_line(error)}") from error
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
            known = mlflow.get_experiment_by_name(_EXPERIMENT)
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
        raise TrackingError(f"cannot read the models at '{uri}': {_first_line(error)}") from error
    return found


def _newest(mlflow: Any, kinds: Collection[str], wanted: Collection[str]) -> list[StoredRun]:
    known = mlflow.get_experiment_by_name(_EXPERIMENT)
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


def commit() -> str:
    """Return the commit of the checkout, or ``"unknown"`` outside one."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
