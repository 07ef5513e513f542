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

from omics_twin.errors import TrackingError
from omics_twin.lifecycle.validity import governed_by
from omics_twin.logs import quiet
from omics_twin.recording import packing
from omics_twin.serve.gate import PATHS, App, Gate, Message, Noted, Receive, Send
from omics_twin.serve.reading import Permits
from omics_twin.settings import ServeSettings, TrackingSettings, Unlike
from omics_twin.tracking import MODEL_FOLDER, TrainedModel, load_model, tracker

_CONNECTIONS = 256


@dataclass(frozen=True)
class Scorer:
    """A model as MLflow scores with it, and the same model as itself."""

    scored: Any
    model: TrainedModel


def scorer_of(uri: str, settings: TrackingSettings, unlike: Unlike = Unlike.WARN) -> Scorer:
    """Return a model by its address: a run's folder, or a logged or registered model.

    Parameters
    ----------
    unlike
        What becomes of patients unlike the training patients, where the model is not stricter.

    Raises
    ------
    ModelError
        If there is no model that ranks.
    """
    model, mlflow = governed_by(load_model(uri, settings), unlike), tracker()
    with quiet("mlflow", "alembic"), tempfile.TemporaryDirectory() as folder:
        files, packed = Path(folder) / MODEL_FOLDER, Path(folder) / "packed"
        model.save(files)
        mlflow.pyfunc.save_model(path=str(packed), **packing(files))
        return Scorer(mlflow.pyfunc.load_model(str(packed)), model)


def listen(
    scorer: Scorer,
    settings: ServeSettings,
    say: Callable[[str], None],
    page: App | None = None,
    permits: Permits | None = None,
    noted: Noted | None = None,
) -> None:
    """Answer until interrupted.

    Parameters
    ----------
    page
        Answers what the scoring app is not asked; see :func:`omics_twin.serve.web.page_app`.
    permits
        Asked about every patient before the model is; None: there is no ledger.
    noted
        Told every answer before it is sent; None: there is no audit log.

    Raises
    ------
    TrackingError
        If the port is taken, or is not this machine's.
    """
    app = scoring_server.init(scorer.scored)
    gate = Gate(app, scorer.scored, scorer.model, settings, permits, noted)

    def told(at: str) -> None:
        say(f"model {scorer.model.twin.name}: {at}/invocations, and /schema")
        if page is not None:
            say(f"page: {at}/")

    listen_to(gate if page is None else _Beside(gate, page), settings, told)


def listen_to(app: App, settings: ServeSettings, told: Callable[[str], None]) -> None:
    """Let an app answer until interrupted.

    Parameters
    ----------
    told
        Called with the address once whoever connects is answered.

    Raises
    ------
    TrackingError
        If the port is taken, or is not this machine's.
    """
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
    told(f"http://{host}:{port}")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
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


class _Beside:
    """The page, and the scoring app under its own paths."""

    def __init__(self, gate: Gate, page: App) -> None:
        self.gate, self.page = gate, page

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on to whom it is for."""
        asked = scope["type"] == "lifespan" or scope.get("path") in PATHS
        await (self.gate if asked else self.page)(scope, receive, send)
