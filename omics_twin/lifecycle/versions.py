"""Which registered version of a model is in use? Champion, challenger and previous, as aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omics_twin import recording, tracking
from omics_twin.errors import ConfigError, ModelError, TrackingError
from omics_twin.logs import quiet
from omics_twin.settings import TrackingSettings

CHAMPION, CHALLENGER, PREVIOUS = "champion", recording.CHALLENGER, "previous"
_ADDRESS = re.compile(r"models:/([^/@]+)(?:/([0-9]+)|@([^/@]+))")


@dataclass(frozen=True)
class Version:
    """A registered version of a model.

    Attributes
    ----------
    tags
        As the registry holds them, of which the artefacts know nothing.
    """

    name: str
    number: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Where the version is loaded from."""
        return f"models:/{self.name}/{self.number}"


def version_of(uri: str, settings: TrackingSettings) -> Version:
    """Return the registered version at ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

    Raises
    ------
    ConfigError
        If the address is of no registered version.
    ModelError
        If there is no such version.
    """
    found = _ADDRESS.fullmatch(uri)
    if found is None:
        raise ConfigError(
            f"model_uri is '{uri}', expected a registered version such as models:/NAME/3"
        )
    name, number, alias = found.groups()
    with _client(settings) as client:
        missing = ModelError(
            f"the registry has no '{uri}': train with tracking.register=true, and name a version "
            "that is there"
        )
        try:
            known = (
                client.get_model_version_by_alias(name, alias)
                if alias
                else client.get_model_version(name, number)
            )
        except tracking.tracker().exceptions.MlflowException as error:
            raise missing from error
    return Version(name, str(known.version), dict(known.tags))


def aliased(name: str, alias: str, settings: TrackingSettings) -> Version | None:
    """Return the version that has an alias; None where none has."""
    with _client(settings) as client:
        number = dict(_registered(client, name).aliases).get(alias)
    return None if number is None else version_of(f"models:/{name}/{number}", settings)


def set_aliases(name: str, aliases: Mapping[str, str], settings: TrackingSettings) -> None:
    """Give aliases to versions, one after the other, in the order of the mapping."""
    with _client(settings) as client:
        for alias, number in aliases.items():
            client.set_registered_model_alias(name, alias, number)


def drop_alias(name: str, alias: str, settings: TrackingSettings) -> None:
    """Take an alias away from whichever version has it."""
    with _client(settings) as client:
        client.delete_registered_model_alias(name, alias)


def tag(version: Version, tags: Mapping[str, str], settings: TrackingSettings) -> None:
    """Write tags on a version."""
    with _client(settings) as client:
        for name, value in tags.items():
            client.set_model_version_tag(version.name, version.number, name, value[:5000])


def fetched(version: Version, settings: TrackingSettings) -> Path:
    """Return a folder with the version's files.

    Raises
    ------
    ModelError
        If they cannot be fetched.
    """
    mlflow = tracking.tracker()
    try:
        with quiet("mlflow", "alembic"):
            mlflow.set_tracking_uri(tracking.tracking_uri(settings))
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=version.uri))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelError(
            f"cannot fetch the files of '{version.uri}': restore them from the run"
        ) from error


def _registered(client: Any, name: str) -> Any:
    try:
        return client.get_registered_model(name)
    except tracking.tracker().exceptions.MlflowException as error:
        raise ModelError(
            f"the registry has no model '{name}': name one that was trained and registered"
        ) from error


@contextmanager
def _client(settings: TrackingSettings) -> Iterator[Any]:
    """Give a client of the registry.

    Raises
    ------
    TrackingError
        If tracking is off, or the registry cannot be reached or refuses.
    """
    if not settings.enabled:
        raise TrackingError("versions are kept in the registry: leave tracking=off out")
    mlflow, uri = tracking.tracker(), tracking.tracking_uri(settings)
    try:
        with quiet("mlflow", "alembic"):
            mlflow.set_tracking_uri(uri)
            yield mlflow.MlflowClient()
    except (mlflow.exceptions.MlflowException, OSError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise TrackingError(f"the registry at '{uri}' does not answer ({told})") from error
