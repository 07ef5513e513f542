"""MLflow's scoring app of a model, behind the gate, on a port of this machine."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from mlflow.pyfunc import scoring_server

from omics_twin.errors import ModelError, TrackingError
from omics_twin.logs import quiet
from omics_twin.serve.gate import Gate
from omics_twin.settings import ServeSettings, TrackingSettings
from omics_twin.tracking import MODEL_FOLDER, TrainedModel, load_model, tracker, tracking_uri

_CONNECTIONS = 256


@dataclass(frozen=True)
class Scorer:
    """A model as MLflow scores with it, and the same model as itself."""

    scored: Any
    model: TrainedModel


def scorer_of(uri: str, settings: TrackingSettings) -> Scorer:
    """Return a model by its address: a run's folder, or a logged or registered model.

    Raises
    ------
    ModelError
        If there is no model that ranks.
    """
    mlflow = tracker()
    with quiet("mlflow", "alembic"):
        if uri.startswith(("models:/", "runs:/")):
            mlflow.set_tracking_uri(tracking_uri(settings))
            try:
                scored = mlflow.pyfunc.load_model(uri)
            except (mlflow.exceptions.MlflowException, OSError) as error:
                first = str(error).splitlines()[0]
                raise ModelError(f"cannot fetch the model '{uri}': {first}") from error
        else:
            scored = _packed(mlflow, load_model(uri, settings))
    found = scored.unwrap_python_model().model
    if not isinstance(found, TrainedModel):
        raise ModelError(f"'{uri}' is no model that ranks: name one that 'train' logged")
    return Scorer(scored, found)


def _packed(mlflow: Any, model: TrainedModel) -> Any:
    """Return the model as MLflow loads it, as if it had been logged."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / MODEL_FOLDER)
        place = Path(folder) / "packed"
        mlflow.pyfunc.save_model(
            path=str(place),
            python_model=str(Path(__file__).parent / "pyfunc.py"),
            artifacts={MODEL_FOLDER: str(Path(folder) / MODEL_FOLDER)},
            pip_requirements=["omics-twin"],
        )
        return mlflow.pyfunc.load_model(str(place))


def listen(scorer: Scorer, settings: ServeSettings, say: Callable[[str], None]) -> None:
    """Answer until interrupted.

    Raises
    ------
    TrackingError
        If the port is taken, or is not this machine's.
    """
    gate = Gate(scoring_server.init(scorer.scored), scorer.model, settings)
    # Without the protocol asyncio would leave Nagle's algorithm on: 40 ms for every answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise TrackingError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): name another "
            "serve.port"
        ) from error
    # From here on who connects waits for the server instead of being turned away.
    listener.listen()
    host, port = listener.getsockname()[:2]
    say(f"model {scorer.model.twin.name}: http://{host}:{port}/invocations, and /schema")
    server = uvicorn.Server(
        uvicorn.Config(
            gate,
            access_log=False,
            log_level="warning",
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=5,
            h11_max_incomplete_event_size=16_384,
        )
    )
    with listener:
        server.run(sockets=[listener])
