"""A strict gate before a scoring app: what passes is answered, what does not gets one sentence.

MLflow's scoring app takes bodies of any size, keys that are there twice, numbers that are not
finite and values out of range, and repeats a patient's row in its errors. Nothing reaches its model
here that the model's own record does not allow, and none of its errors reaches a client. Records
go to the model as they were checked: the app itself would read the body twice more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager, suppress
from io import StringIO
from typing import Any

from mlflow.pyfunc.scoring_server import predictions_to_json

from omics_twin.errors import AuditError
from omics_twin.serve.reading import (
    Permits,
    RefusedError,
    permitted,
    records_in,
    schema_of,
)
from omics_twin.serve.request_schema import request_schema
from omics_twin.settings import ServeSettings
from omics_twin.told import PatientRecord
from omics_twin.tracking import TrainedModel

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Noted = Callable[[Sequence[PatientRecord], bytes], None]

_LOG = logging.getLogger("omics_twin.serve")
_SCORE, _SCHEMA = "/invocations", "/schema"
PATHS = {"/ping": "GET", "/health": "GET", "/version": "GET", _SCHEMA: "GET", _SCORE: "POST"}
# Of a refused body so many times the limit is taken and thrown away, for so long.
_DISCARDED, _PATIENCE_SECONDS = 8, 2.0
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]


class _Incoming:
    """A body as it arrives."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.whole = False

    async def more(self) -> bytes:
        """Return the next part."""
        message = await self._receive()
        self.whole = not message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the client went away before the body was whole")
        return bytes(message.get("body", b""))

    async def discard(self, most: int) -> None:
        """Take what is still being sent, within reason."""
        taken = 0
        with suppress(TimeoutError, RefusedError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while not self.whole and taken <= most:
                    taken += len(await self.more())


class Gate:
    """An ASGI app around another one.

    Parameters
    ----------
    app
        MLflow's scoring app of the model; asked how it is, and which version it has.
    scored
        The model as MLflow's scoring app asks it.
    model
        What the app answers with; it says what a record may hold.
    limits
        Sizes, times and how many requests are answered at once.
    permits
        Asked about every patient before the app is; None: there is no ledger.
    noted
        Told the records and the answer before it is sent; None: there is no audit log.
    """

    def __init__(
        self,
        app: App,
        scored: Any,
        model: TrainedModel,
        limits: ServeSettings,
        permits: Permits | None = None,
        noted: Noted | None = None,
    ) -> None:
        self.app, self.scored, self.model = app, scored, model
        self.limits, self.permits, self.noted = limits, permits, noted
        request = request_schema(model, limits.most_patients)
        self._schema = json.dumps({**schema_of(model), "request": request}).encode()
        self._places = asyncio.Semaphore(limits.at_once)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        begun, incoming = time.monotonic(), _Incoming(receive)
        try:
            status, body = await self._answer(scope, incoming)
        except RefusedError as refused:
            status, body = refused.status, json.dumps({"error": refused.sentence}).encode()
            # Who is still sending would find the connection broken instead of the sentence.
            await incoming.discard(_DISCARDED * self.limits.most_bytes)
        # Never a path or a body: they may hold what is a patient's.
        took = 1000 * (time.monotonic() - begun)
        path = scope["path"] if scope["path"] in PATHS else "another path"
        _LOG.info("%s %d %d bytes %.1f ms", path, status, len(body), took)
        headers = [*_HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, incoming: _Incoming) -> tuple[int, bytes]:
        path, method = scope["path"], scope["method"]
        if path not in PATHS:
            raise RefusedError(404, f"nothing is here: ask {', '.join(PATHS)}")
        if method != PATHS[path]:
            raise RefusedError(405, f"{path} is asked by {PATHS[path]}: send that")
        if scope["query_string"]:
            raise RefusedError(400, "a query is not read: leave out what follows '?'")
        if path == _SCHEMA:
            return 200, self._schema
        if path != _SCORE:
            return await self._within(scope)
        self._check_headers(scope)
        body = await self._body(incoming)
        # Waiting for a place counts: who waits for long has gone away.
        async with self._in_time(), self._places:
            return 200, await asyncio.to_thread(lambda: self._scored(self._checked(body)))

    def _checked(self, body: bytes) -> list[PatientRecord]:
        records = records_in(self.model, body, self.limits.most_patients)
        return records if self.permits is None else permitted(records, self.permits)

    def _scored(self, records: list[PatientRecord]) -> bytes:
        """Return what MLflow's scoring app answers."""
        told = StringIO()
        try:
            predictions_to_json(self.scored.unwrap_python_model().lines(records), told)
        except Exception as error:
            # Whatever it is, it may hold what is a patient's: its kind alone is told.
            _LOG.error("the model gave no answer: %s", type(error).__name__)
            raise RefusedError(
                503,
                "the model gave no answer to records that are as they should be: try again, and "
                "tell who runs this server",
            ) from error
        answer = told.getvalue().encode()
        if self.noted is not None:
            try:
                self.noted(records, answer)
            except AuditError as error:
                _LOG.error("%s", error)
                raise RefusedError(
                    503, "the log of who asked what cannot be written: tell who runs this server"
                ) from error
        return answer

    def _check_headers(self, scope: Message) -> None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if headers.get(b"content-type", b"").strip().lower() not in _JSON:
            raise RefusedError(415, "the body is not declared as JSON: send application/json")
        if b"content-encoding" in headers:
            raise RefusedError(415, "the body is encoded: send it as it is")
        if (length := headers.get(b"content-length", b"0")).isdigit():
            self._check_size(int(length))

    def _check_size(self, size: int) -> None:
        if size > self.limits.most_bytes:
            raise RefusedError(
                413, f"the body is larger than {self.limits.most_bytes} bytes: send less at once"
            )

    async def _body(self, incoming: _Incoming) -> bytes:
        found = bytearray()
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                while not incoming.whole:
                    found += await incoming.more()
                    self._check_size(len(found))
            return bytes(found)
        except TimeoutError:
            incoming.whole = True
            raise RefusedError(408, "the body did not arrive in time: send it again") from None

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                yield
        except TimeoutError:
            raise RefusedError(
                503, "the model did not answer in time: ask again later, or about fewer patients"
            ) from None

    async def _within(self, scope: Message) -> tuple[int, bytes]:
        """Return status and body of the inner app's answer."""
        sent: list[Message] = []
        left = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            if left:
                return left.pop()
            await asyncio.sleep(self.limits.timeout_seconds)
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        async with self._in_time():
            await self.app({**scope, "headers": []}, receive, send)
        status = next(each["status"] for each in sent if each["type"] == "http.response.start")
        return status, b"".join(each.get("body", b"") for each in sent)
