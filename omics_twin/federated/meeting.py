"""Where contributions of all sites become one answer: what the server does, whatever carries it.

Sites run the same program, so their messages come in the same order. The server waits until every
site has sent its part of a message, adds the parts up, and tells everybody the sum. It holds no
patients, no network and no settings.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from safetensors.numpy import load, save

from omics_twin.errors import TrainingError, quoted

SUM = "sum"
LIST = "list"


@dataclass
class _Message:
    """One message of which parts have come.

    Attributes
    ----------
    begun
        When the first part came [s].
    taken
        Sites that have the answer.
    """

    name: str
    kind: str
    begun: float
    parts: dict[str, bytes] = field(default_factory=dict)
    answer: bytes | None = None
    taken: int = 0


class Meeting:
    """What the server knows of a run: parts of messages, for as long as others are awaited.

    Parameters
    ----------
    sites
        Whose parts make a message whole.
    wait_seconds
        How long to wait for the last part after the first [s].
    """

    def __init__(self, sites: Sequence[str], wait_seconds: float) -> None:
        self._sites = tuple(sites)
        self._wait_seconds = wait_seconds
        self._messages: dict[int, _Message] = {}
        self._ended = ""
        self._change = threading.Condition()

    def answer(self, site: str, number: int, kind: str, name: str, part: bytes) -> bytes:
        """Return the answer to a message once every site has sent its part of it.

        Parameters
        ----------
        number
            Of the message, counted by each site from 0.
        kind
            ``sum``: parts are tensors and the answer their sum; ``list``: parts are JSON and the
            answer is a list of them, in the order of the sites.

        Raises
        ------
        TrainingError
            If a site is unknown, is out of step, did not send its part in time or has left.
        """
        with self._change:
            message = self._taking_part(site, number, kind, name, part)
            if len(message.parts) == len(self._sites):
                ordered = [message.parts[each] for each in self._sites]
                message.answer = summed(ordered) if kind == SUM else _listed(ordered)
                self._change.notify_all()
            while message.answer is None and not self._ended:
                left = message.begun + self._wait_seconds - time.monotonic()
                if left <= 0:
                    self._end(_late(self._sites, message, self._wait_seconds))
                else:
                    self._change.wait(left)
            if message.answer is None:
                raise TrainingError(self._ended)
            message.taken += 1
            if message.taken == len(self._sites):
                del self._messages[number]
            return message.answer

    def leave(self, site: str, reason: str) -> None:
        """End the run because a site cannot go on."""
        with self._change:
            self._end(f"{site}: {reason}")

    def _taking_part(self, site: str, number: int, kind: str, name: str, part: bytes) -> _Message:
        if site not in self._sites:
            raise TrainingError(f"unknown site '{site}', expected one of {quoted(self._sites)}")
        if self._ended:
            raise TrainingError(self._ended)
        message = self._messages.setdefault(number, _Message(name, kind, time.monotonic()))
        if (message.name, message.kind) != (name, kind) or site in message.parts:
            self._end(
                f"'{site}' is at '{name}' where another site is at '{message.name}': use one "
                "version of omics_twin and the same settings at every site"
            )
            raise TrainingError(self._ended)
        message.parts[site] = part
        return message

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        self._change.notify_all()


def _late(sites: Sequence[str], message: _Message, wait_seconds: float) -> str:
    late = [each for each in sites if each not in message.parts]
    return (
        f"{quoted(late)} did not send '{message.name}' within {wait_seconds:g} s: see whether the "
        "site still runs, and begin again"
    )


def summed(parts: Sequence[bytes]) -> bytes:
    """Return the sum of tensors; whole numbers are added as masked ones are, without overflow.

    Raises
    ------
    TrainingError
        If parts are not alike.
    """
    arrays = [load(each)["part"] for each in parts]
    if len({(each.shape, each.dtype) for each in arrays}) > 1:
        raise TrainingError(
            f"sites sent parts of {sorted({str(each.shape) for each in arrays})}, expected one "
            "size: use one version of omics_twin and the same settings at every site"
        )
    if arrays[0].dtype == np.uint64:
        return save({"part": reduce(np.add, arrays)})
    total = reduce(np.add, [each.astype(np.float64) for each in arrays])
    return save({"part": total.astype(arrays[0].dtype)})


def _listed(parts: Sequence[bytes]) -> bytes:
    return json.dumps([json.loads(each) for each in parts]).encode()
