"""Show a reader one input: it reads what is there, or refuses with a sentence, and soon."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType
from typing import Any

from omics_twin.errors import OmicsTwinError
from omics_twin.intake.findings import CheckReport
from omics_twin.serve.reading import RefusedError
from tests.faults.mutations import Mutation, mutated

SECONDS = 10.0
_REFUSALS = (OmicsTwinError, RefusedError)


@dataclass(frozen=True)
class Reader:
    """What is read, and what must be true of an input that was not refused.

    Attributes
    ----------
    seeds
        Inputs that are as they should be, and some that are not.
    read
        Returns what was read; raises an error of ours, or returns a report with errors, to refuse.
    wrong
        An independent strict reading of the same input: why it should have been refused, or how
        it differs from what was read; ``None`` where it does not.
    """

    name: str
    seeds: tuple[bytes, ...]
    mutations: tuple[Mutation, ...]
    read: Callable[[bytes], Any]
    wrong: Callable[[bytes, Any], str | None]


class Fault(AssertionError):
    """A reader that did what none may: its kind, and what the input was."""

    def __init__(self, reader: str, kind: str, told: str, content: bytes) -> None:
        super().__init__(f"{reader}: {kind}: {told}\ninput: {content[:2000]!r}")
        self.reader, self.kind, self.told, self.content = reader, kind, told, content


class _TooLong(BaseException):
    """Not an Exception, so that no reader takes it for a mistake of the file."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Stop what takes more time of the processor than this."""

    def stop(_: int, __: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def examine(reader: Reader, content: bytes) -> bool:
    """Return whether an input was accepted, as it then must be.

    Raises
    ------
    Fault
        For a traceback, a refusal without a sentence, an input that takes too long, and one that
        is accepted though an independent reading says otherwise.
    """
    try:
        with _within(SECONDS):
            found = reader.read(content)
    except _REFUSALS as refused:
        sentence = getattr(refused, "sentence", str(refused))
        if len(sentence) < 10 or "Traceback" in sentence:
            raise Fault(reader.name, "no sentence", repr(sentence), content) from refused
        return False
    except _TooLong:
        raise Fault(reader.name, "hang", f"more than {SECONDS:g} s", content) from None
    except Exception as error:
        told = "".join(traceback.format_exception(error)[-4:])
        raise Fault(reader.name, "traceback", told, content) from error
    if isinstance(found, CheckReport) and found.errors:
        return False
    wrong = reader.wrong(content, found)
    if wrong is not None:
        raise Fault(reader.name, "silent acceptance", wrong, content)
    return True


@dataclass
class Tally:
    """What became of many inputs."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    slowest_seconds: float = 0.0
    faults: list[Fault] = field(default_factory=list)

    def show(self, reader: Reader, content: bytes) -> None:
        """Show one input to a reader; a fault is kept."""
        begun = time.process_time()
        try:
            if examine(reader, content):
                self.accepted += 1
            else:
                self.refused += 1
        except Fault as fault:
            self.faults.append(fault)
        self.tried += 1
        self.slowest_seconds = max(self.slowest_seconds, time.process_time() - begun)


def inputs(reader: Reader, seed: int, begin: int, end: int) -> Iterator[bytes]:
    """Yield the inputs of these numbers; each follows from the seed and its number alone."""
    for number in range(begin, end):
        yield input_of(reader.seeds, reader.mutations, Random(f"{reader.name} {seed} {number}"))


def input_of(seeds: Sequence[bytes], mutations: Sequence[Mutation], dice: Random) -> bytes:
    """Return a spoilt copy of one of the seeds."""
    return mutated(dice.choice(seeds), mutations, dice)
