"""Write down who asked what of whom before it is answered, so that no change goes unnoticed.

A log is one file of JSON lines. Each line ends with a seal: HMAC-SHA-256 of the seal of the line
before and of the line itself. An edited, removed, moved or added line breaks the chain; a log cut
at its end is told by an anchor, the count and the last seal, kept in another folder.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from omics_twin.errors import AuditError
from omics_twin.files import flush, json_of, sha256, write_json
from omics_twin.trust.event import Action, Event, Outcome, canonical

_BEGINNING = "0" * 64
_HEAD = re.compile(r"[0-9a-f]{64}")
_OWNER_ONLY = 0o600
_SEALED = b',"seal":"%b"}\n'
_SEAL_BYTES = len(_SEALED % _BEGINNING.encode())
_LONGEST_LINE = 8_192  # two names of 200 characters, written as escapes, are the most of it
_SELF = "omics_twin"
# Events that one wait for the disk may write, so as many as a crash leaves before the anchor moves.
_AT_ONCE = 1_000


@dataclass(frozen=True)
class Anchor:
    """How many events a log held, and the seal of the last of them."""

    count: int
    head: str


@dataclass(frozen=True)
class Verified:
    """A log that is as it was written.

    Attributes
    ----------
    count, head
        Events, and the seal of the last.
    first, last
        When the first and the last were recorded, by the clock of the writer.
    torn_bytes
        What a crash left of an event that was never acknowledged; the next writer sets it aside.
    """

    count: int
    head: str
    first: datetime | None
    last: datetime | None
    torn_bytes: int


@dataclass(frozen=True)
class Recorded:
    """An event with its place in the log."""

    number: int
    at: datetime
    event: Event
    seal: str


@dataclass(frozen=True)
class _Tail:
    """The last line, where it ends, and what a crash left after it."""

    number: int = 0
    seal: str = _BEGINNING
    end: int = 0
    torn: bytes = b""


@dataclass(frozen=True)
class AuditLog:
    """A log that is only ever added to, by any number of threads and processes of one machine."""

    path: Path
    key: bytes = field(repr=False)
    anchor: Path | None = None

    @classmethod
    def open(cls, path: Path, key: bytes, anchor: Path | None = None) -> AuditLog:
        """Return the log of a file, which is made where there is none.

        Parameters
        ----------
        key
            As of :func:`omics_twin.trust.audit_key.audit_key`.
        anchor
            A file in another folder, at best on another machine, that every event moves on. Without
            one, a log cut at its end passes for whole.

        Raises
        ------
        AuditError
            If the file cannot be written, the key is another, or the log and its anchor disagree.
        """
        if anchor is not None and anchor.resolve().parent == path.resolve().parent:
            raise AuditError(
                f"anchor '{anchor}' lies in the folder of the log, expected it apart: move it"
            )
        log = cls(path, key, anchor)
        with log._locked(os.O_CREAT) as descriptor:
            log._ready(descriptor)
        return log

    def append(self, *events: Event) -> int:
        """Write events and return the number of the last; when it returns, all are on disk.

        Raises
        ------
        AuditError
            If they cannot be written, or the end of the log is not as it was written. Whoever asked
            must not get an answer then.
        """
        with self._locked() as descriptor:
            tail = self._ready(descriptor)
            for begun in range(0, len(events), _AT_ONCE):
                tail = self._add(descriptor, tail, *events[begun : begun + _AT_ONCE])
            return tail.number

    def pseudonym(self, patient_id: str) -> str:
        """Return what stands for a patient in this log; who has not the key cannot tell whom.

        Examples
        --------
        >>> log = AuditLog(Path("audit.jsonl"), bytes(32))
        >>> log.pseudonym("ada") == log.pseudonym("ada") != log.pseudonym("bob")
        True
        """
        return hmac.digest(_derived(self.key, b"pseudonym"), patient_id.encode(), "sha256").hex()

    @contextmanager
    def _locked(self, also: int = 0) -> Iterator[int]:
        # A descriptor of its own for every event: threads, too, wait for each other.
        try:
            descriptor = os.open(self.path, os.O_RDWR | also, _OWNER_ONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield descriptor
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child holds the descriptor too
                os.close(descriptor)
        except OSError as error:
            raise AuditError(
                f"audit log '{self.path}' or its anchor cannot be written ({error.strerror}): "
                "nothing is released until it can be"
            ) from error

    def _ready(self, descriptor: int) -> _Tail:
        """Return the tail, checked; what a crash left of an event is set aside."""
        tail = _tail(descriptor, self.path, self.key)
        if tail.number == 0:
            flush(self.path.parent)
        self._check_anchor(tail)
        if not tail.torn:
            return tail
        aside = self.path.with_name(f"{self.path.name}.torn")
        kept = os.open(aside, os.O_CREAT | os.O_WRONLY, _OWNER_ONLY)
        try:
            _write(kept, tail.torn + b"\n", os.fstat(kept).st_size)
        finally:
            os.close(kept)
        found = sha256(tail.torn)
        event = Event(_SELF, "service", Action.SET_ASIDE, Outcome.FAILED, data=found)
        return self._add(descriptor, tail, event)

    def _check_anchor(self, tail: _Tail) -> None:
        if self.anchor is None:
            return
        there = self.anchor.exists()
        anchor = _expected(self.anchor if there else None)
        if there and anchor == Anchor(tail.number, tail.seal):
            return
        if there and 0 < tail.number - anchor.count <= _AT_ONCE:
            # A crash came between events and their anchor.
            for _ in _lines(self.path, tail.end, self.key, anchor):
                pass
        elif there or tail.number > 0:
            raise AuditError(
                f"audit log '{self.path.name}' holds {tail.number} events and its anchor knows "
                f"{anchor.count}, or they differ: the log was cut or replaced, or the anchor is an "
                "old one; keep both as evidence, and write an anchor anew once it is known why"
            )
        self._move_anchor(tail)

    def _add(self, descriptor: int, tail: _Tail, *events: Event) -> _Tail:
        chain, seal, lines = _derived(self.key, b"chain"), tail.seal, []
        for number, event in enumerate(events, tail.number + 1):
            body = {
                "at": datetime.now(UTC).isoformat(timespec="microseconds"),
                "event": event.as_record(),
                "number": number,
            }
            # The seal is the last of the keys in order, and closes the line.
            lines.append(_sealed(chain, seal, canonical(body)[:-1]))
            seal = _seal_of(lines[-1])
        written = b"".join(lines)
        _write(descriptor, written, tail.end)
        added = _Tail(tail.number + len(lines), seal, tail.end + len(written))
        self._move_anchor(added)
        return added

    def _move_anchor(self, tail: _Tail) -> None:
        if self.anchor is not None:
            write_anchor(self.anchor, Anchor(tail.number, tail.seal))
            flush(self.anchor.parent)


def verify(path: Path, key: bytes, anchor: Path | None = None) -> Verified:
    """Return what a log holds, if it is as it was written to the last byte.

    Raises
    ------
    AuditError
        At the first line that is wrong: changed, removed, moved, put in, or, by the anchor, cut
        off.
    """
    expected = _expected(anchor)
    end, torn = _extent(path)
    count, first, last = 0, b"", b""
    for line in _lines(path, end, key, expected):
        count += 1
        first = first or line
        last = line
    if not count:
        return Verified(0, _BEGINNING, None, None, torn)
    return Verified(count, _seal_of(last), _parsed(path, first).at, _parsed(path, last).at, torn)


def read_events(path: Path, key: bytes, anchor: Path | None = None) -> list[Recorded]:
    """Return the events of a log that is as it was written.

    Raises
    ------
    AuditError
        As :func:`verify`.
    """
    expected = _expected(anchor)
    end, _ = _extent(path)
    return [_parsed(path, line) for line in _lines(path, end, key, expected)]


def write_anchor(path: Path, anchor: Anchor) -> None:
    """Write an anchor, whole or not at all."""
    write_json(path, asdict(anchor))


def _extent(path: Path) -> tuple[int, int]:
    """Return where the last whole line ends, and how many bytes come after it."""
    try:
        with path.open("rb") as stream:
            # What is there once nobody writes stays as it is; the rest is read without a lock.
            fcntl.flock(stream, fcntl.LOCK_SH)
            *lines, torn = _end_of(stream.fileno())
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise AuditError(f"audit log '{path}' cannot be read ({error.strerror})") from error
    if not lines and size > len(torn):
        raise _strange(path)
    return size - len(torn), len(torn)


def _expected(anchor: Path | None) -> Anchor:
    """Return what a log must hold; read before the log, so that no writer comes in between."""
    return Anchor(0, _BEGINNING) if anchor is None else _read_anchor(anchor)


def _lines(path: Path, end: int, key: bytes, expected: Anchor) -> Iterator[bytes]:
    """Yield every line up to a place, each checked before it is yielded."""
    chain = _derived(key, b"chain")
    number, seal, place = 0, _BEGINNING, 0
    with path.open("rb") as stream:
        while place < end:
            line = stream.readline()
            place += len(line)
            number += 1
            if not _follows(chain, seal, line):
                raise _wrong(path, number)
            seal = _seal_of(line)
            if number == expected.count and seal != expected.head:
                raise AuditError(
                    f"line {number} of audit log '{path.name}' is not the one its anchor knows: "
                    "find the anchor of this log"
                )
            yield line
    if number < expected.count:
        raise AuditError(
            f"line {number + 1} of audit log '{path.name}' is missing: it holds {number} events, "
            f"its anchor knows {expected.count}; keep the file as evidence, restore it from a copy"
        )


def _wrong(path: Path, number: int) -> AuditError:
    key = ", or the key is another" if number == 1 else ""
    return AuditError(
        f"line {number} of audit log '{path.name}' is not what was written there (changed, put in, "
        f"or a line before it moved or removed{key}): keep the file as evidence, restore it from "
        "a copy"
    )


def _strange(path: Path) -> AuditError:
    return AuditError(
        f"the end of audit log '{path.name}' is not what was written there, or the key is another: "
        "verify the log with its key, keep it as evidence"
    )


def _parsed(path: Path, line: bytes) -> Recorded:
    try:
        record = json.loads(line)
        at = datetime.fromisoformat(record["at"])
        return Recorded(record["number"], at, Event.from_record(record["event"]), record["seal"])
    except (KeyError, TypeError, ValueError) as error:
        raise AuditError(
            f"audit log '{path.name}' holds an event this version does not know ({error}): install "
            "the version that wrote it"
        ) from error


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"omics_twin audit " + purpose, "sha256")


def _sealed(chain: bytes, previous: str, body: bytes) -> bytes:
    """Close a line: its seal is over the seal before it and everything in front of its own."""
    seal = hmac.digest(chain, previous.encode() + body, "sha256").hex()
    return body + _SEALED % seal.encode()


def _follows(chain: bytes, previous: str, line: bytes) -> bool:
    return hmac.compare_digest(_sealed(chain, previous, line[:-_SEAL_BYTES]), line)


def _seal_of(line: bytes) -> str:
    end = len(line) - len(b'"}\n')
    return line[max(0, end - len(_BEGINNING)) : end].decode("ascii", errors="replace")


def _end_of(descriptor: int) -> list[bytes]:
    """Return the last lines of a file without their ends; the last of all is what has no end."""
    size = os.fstat(descriptor).st_size
    begun = max(0, size - 3 * _LONGEST_LINE)
    return os.pread(descriptor, size - begun, begun).split(b"\n")


def _tail(descriptor: int, path: Path, key: bytes) -> _Tail:
    """Read the end of a log, however long it is, and check its last line."""
    *lines, torn = _end_of(descriptor)
    end = os.fstat(descriptor).st_size - len(torn)
    if end == 0:
        return _Tail(torn=torn)
    before, last = (b"", b"", *lines)[-2:]
    previous = _seal_of(before + b"\n") if before else _BEGINNING
    if not _follows(_derived(key, b"chain"), previous, last + b"\n"):
        raise _strange(path)
    number = json.loads(last)["number"]
    return _Tail(number, _seal_of(last + b"\n"), end, torn)


def _read_anchor(path: Path) -> Anchor:
    try:
        record = json_of(path.read_bytes())
        count, head = record["count"], record["head"]
        if type(count) is not int or count < 0 or not isinstance(head, str) or len(record) != 2:
            raise ValueError("no count and head")
        if not _HEAD.fullmatch(head) or (count == 0) != (head == _BEGINNING):
            raise ValueError("no head")
        return Anchor(count, head)
    except OSError as error:
        raise AuditError(f"anchor '{path}' cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError) as error:
        raise AuditError(
            f"anchor '{path}' is damaged, expected a count and a head: restore it from a copy"
        ) from error


def _write(descriptor: int, content: bytes, place: int) -> None:
    """Write and wait for the disk; what does not fit is taken back."""
    size = os.fstat(descriptor).st_size
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], place + written)
        os.ftruncate(descriptor, place + len(content))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, size)
        raise
