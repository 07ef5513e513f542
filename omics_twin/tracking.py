"""Runs and models: MLflow where it is wanted, plain folders always."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from omics_twin.errors import ModelError
from omics_twin.evaluate.own_values import OwnValues
from omics_twin.files import MANIFEST, sha256
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
from omics_twin.visits.living import LivingModel, is_living

MODEL_FOLDER = "model"

EXPERIMENT = "omics_twin"

_PUBLISHED = "published:"


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
    own_values
        Of a graded outcome, where patients' own values lie about what is expected.
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
    own_values: OwnValues = OwnValues()

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
            "own_values": asdict(self.own_values),
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
            own_values=_own_values(record.get("own_values", {})),
        )


def _own_values(stored: Mapping[str, Any]) -> OwnValues:
    return OwnValues(**{**stored, "errors": tuple(stored.get("errors", ()))})


AnyModel = TrainedModel | LivingModel
"""A twin that ranks therapies, or one that learns from visit to visit."""


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


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def load_any(uri: str, settings: TrackingSettings) -> AnyModel:
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


def load_folder(folder: Path) -> AnyModel:
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
        raise ModelError(f"cannot fetch the model '{uri}': {first_line(error)}") from error


def tracking_uri(settings: TrackingSettings) -> str:
    """Return the tracking server's address; SQLite below ``mlruns/`` unless another is set."""
    if settings.uri:
        return settings.uri
    folder = Path("mlruns").resolve()
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


def commit() -> str:
    """Return the commit of the checkout, or ``"unknown"`` outside one."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"
