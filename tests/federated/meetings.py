"""Sites as threads of one process: what is said and added up is what real processes say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from omics_twin.federated.exchange import Exchange
from omics_twin.federated.meeting import Meeting

Found = TypeVar("Found")


def together(
    sites: Sequence[str],
    work: Callable[[str, Exchange], Found],
    *,
    masked: bool = False,
    wait_seconds: float = 30.0,
) -> list[Found]:
    """Return what every site's work returns, in step with the others."""
    meeting = Meeting(sites, wait_seconds)

    def begun(site: str) -> Found:
        def send(number: int, kind: str, name: str, part: bytes) -> bytes:
            return meeting.answer(site, number, kind, name, part)

        try:
            return work(site, Exchange(site, sites, send, masked=masked))
        except BaseException as error:
            meeting.leave(site, str(error))
            raise

    with ThreadPoolExecutor(len(sites)) as pool:
        return [each.result() for each in [pool.submit(begun, site) for site in sites]]
