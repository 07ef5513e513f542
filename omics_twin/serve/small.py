"""Refuse a body that is larger than any form of the page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from omics_twin.serve.cds_hooks import PREFIX

_MOST_BYTES = 200_000
_Message = MutableMapping[str, Any]


class _TooLarge(Exception):
    """More arrived than a form can be."""


class SmallBodies:
    """An ASGI app around another one."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: _Message, receive: Any, send: Any) -> None:
        """Pass a request on as long as its body is small."""
        # What a hospital system sends is larger, and limited where it is read.
        if scope["type"] != "http" or scope["path"].startswith(PREFIX):
            await self.app(scope, receive, send)
            return
        taken, begun = 0, False

        async def counted() -> _Message:
            nonlocal taken
            message: _Message = await receive()
            taken += len(message.get("body", b""))
            if taken > _MOST_BYTES:
                raise _TooLarge
            return message

        async def sent(message: _Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, counted, sent)
        except _TooLarge:
            if begun:
                raise
            headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 413, "headers": headers})
            told = f"more than {_MOST_BYTES} bytes: no form is as large\n".encode()
            await send({"type": "http.response.body", "body": told})
