"""No event is lost once acknowledged, and no change to a log goes unnoticed."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from omics_twin.cli import main
from omics_twin.errors import AuditError
from omics_twin.trust.audit import Anchor, AuditLog, read_events, verify, write_anchor
from omics_twin.trust.audit_key import VARIABLE, audit_key
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Event, Outcome, digest_of
from tests.trust.audit_writers import KEY, started

CANARY = "KANARIE4711"
TRIALS = 1_000
EVENT = Event("dr nora", "clinician", Action.RANK, purpose=Purpose.SCORING, seed=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path / "log" / "audit.jsonl"


@pytest.fixture
def anchor(tmp_path: Path) -> Path:
    return tmp_path / "anchor.json"


@pytest.fixture
def log(path: Path, anchor: Path) -> AuditLog:
    return AuditLog.open(path, KEY, anchor)


def filled(log: AuditLog, events: int = 20) -> list[bytes]:
    """Append events, no two alike, and return the lines of the log."""
    for each in range(events):
        log.append(replace(EVENT, seed=each, patient=log.pseudonym(f"p{each % 3}")))
    return log.path.read_bytes().splitlines(keepends=True)


def test_an_event_comes_back_as_it_was_written(log: AuditLog, path: Path, anchor: Path) -> None:
    answer = digest_of([{"rank": 1, "intervention": "control"}])
    shown = replace(EVENT, patient=log.pseudonym(CANARY), answer=answer, model="a" * 64)
    refused = Event("ä", "guest", Action.SIGN_IN_REFUSED, Outcome.REFUSED)
    assert [log.append(shown), log.append(refused)] == [1, 2]
    told = read_events(path, KEY, anchor)
    assert [each.event for each in told] == [shown, refused]
    assert [each.number for each in told] == [1, 2]
    found = verify(path, KEY, anchor)
    assert (found.count, found.head, found.torn_bytes) == (2, told[1].seal, 0)
    assert (found.first, found.last) == (told[0].at, told[1].at)
    assert CANARY not in path.read_text()


def test_each_line_is_json_with_its_keys_in_order(log: AuditLog) -> None:
    for line in filled(log, 3):
        told = json.loads(line)
        assert list(told) == sorted(told)
        assert line == json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_only_its_owner_reads_a_log(log: AuditLog, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_pseudonym_depends_on_the_key(log: AuditLog, path: Path) -> None:
    other = AuditLog(path, bytes(32))
    assert log.pseudonym("ada") == log.pseudonym("ada")
    assert len({log.pseudonym("ada"), log.pseudonym("bob"), other.pseudonym("ada")}) == 3


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [
        ({"who": ""}, "'who' of an event"),
        ({"role": "a\nb"}, "expected 1 to 200 characters"),
        ({"who": "x" * 201}, "expected 1 to 200 characters"),
        ({"patient": CANARY}, "expected a digest of 64"),
        ({"answer": "A" * 64}, "expected a digest of 64"),
        ({"seed": 2**63}, "'seed' of an event"),
    ],
)
def test_an_event_holds_names_and_digests_alone(changed: dict[str, str], fragment: str) -> None:
    with pytest.raises(AuditError, match=fragment) as refused:
        replace(EVENT, **changed)
    assert CANARY not in str(refused.value)


def edited(lines: list[bytes], dice: random.Random) -> list[bytes]:
    text = bytearray(b"".join(lines))
    text[dice.randrange(len(text))] ^= dice.randrange(1, 256)
    return [bytes(text)]


def removed(lines: list[bytes], dice: random.Random) -> list[bytes]:
    place = dice.randrange(len(lines))
    return lines[:place] + lines[place + 1 :]


def swapped(lines: list[bytes], dice: random.Random) -> list[bytes]:
    one, other = dice.sample(range(len(lines)), 2)
    changed = list(lines)
    changed[one], changed[other] = changed[other], changed[one]
    return changed


def put_in(lines: list[bytes], dice: random.Random) -> list[bytes]:
    place = dice.randrange(len(lines) + 1)
    return [*lines[:place], dice.choice(lines), *lines[place:]]


def cut(lines: list[bytes], dice: random.Random) -> list[bytes]:
    text = b"".join(lines)
    return [text[: dice.randrange(len(text))]]


@pytest.mark.parametrize("tampered", [edited, removed, swapped, put_in, cut])
def test_no_tampering_goes_unnoticed(
    log: AuditLog,
    path: Path,
    anchor: Path,
    tampered: Callable[[list[bytes], random.Random], list[bytes]],
) -> None:
    lines, dice, undetected = filled(log), random.Random(1), 0
    for _ in range(TRIALS):
        path.write_bytes(b"".join(tampered(lines, dice)))
        try:
            verify(path, KEY, anchor)
            undetected += 1
        except AuditError:
            pass
    assert undetected == 0
    path.write_bytes(b"".join(lines))
    assert verify(path, KEY, anchor).count == len(lines)


def test_the_first_wrong_line_is_named(log: AuditLog, path: Path, anchor: Path) -> None:
    lines = filled(log)
    for text, number in [
        (b"".join(lines).replace(b'"seed":6', b'"seed":7'), 7),
        (b"".join(lines[:4] + lines[5:]), 5),
        (b"".join([*lines[:2], lines[3], lines[2], *lines[4:]]), 3),
        (b"".join([*lines, lines[-1]]), 21),
        (b"".join(lines[:12]), 13),
    ]:
        path.write_bytes(text)
        with pytest.raises(AuditError, match=f"line {number} of audit log"):
            verify(path, KEY, anchor)


def test_nothing_is_added_to_a_log_that_was_cut(log: AuditLog, path: Path, anchor: Path) -> None:
    lines = filled(log)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(AuditError, match="holds 19 events and its anchor knows 20"):
        log.append(EVENT)
    path.unlink()
    with pytest.raises(AuditError, match="cannot be written"):
        log.append(EVENT)
    with pytest.raises(AuditError, match="holds 0 events and its anchor knows 20"):
        AuditLog.open(path, KEY, anchor)


def test_nothing_is_added_after_a_line_that_is_wrong(log: AuditLog, path: Path) -> None:
    text = b"".join(filled(log))
    for wrong in (text[:-100] + b"x" + text[-99:], text + b"\n", b"x" * 50_000):
        path.write_bytes(wrong)
        with pytest.raises(AuditError, match="is not what was written there"):
            log.append(EVENT)
        assert path.read_bytes() == wrong


def test_another_log_of_the_same_key_is_told_by_the_anchor(
    log: AuditLog, tmp_path: Path, anchor: Path
) -> None:
    filled(log)
    other = AuditLog.open(tmp_path / "log" / "other.jsonl", KEY)
    filled(other)
    with pytest.raises(AuditError, match="not the one its anchor knows"):
        verify(other.path, KEY, anchor)
    assert verify(other.path, KEY).count == 20


def test_an_anchor_of_earlier_holds_for_what_came_before(log: AuditLog, path: Path) -> None:
    filled(log, 3)
    found = verify(path, KEY)
    earlier = path.parents[1] / "earlier.json"
    write_anchor(earlier, Anchor(found.count, found.head))
    lines = filled(log, 3)
    assert verify(path, KEY, earlier).count == 6
    path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(AuditError, match="line 3 of audit log 'audit.jsonl' is missing"):
        verify(path, KEY, earlier)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"count":"1","head":"0"}', "\xff"])
def test_a_damaged_anchor_stops_the_log(log: AuditLog, path: Path, anchor: Path, text: str) -> None:
    filled(log, 1)
    anchor.write_bytes(text.encode("latin-1"))
    with pytest.raises(AuditError, match="is damaged"):
        log.append(EVENT)
    with pytest.raises(AuditError, match="is damaged"):
        verify(path, KEY, anchor)


def test_a_crash_between_event_and_anchor_is_made_good(
    log: AuditLog, path: Path, anchor: Path
) -> None:
    filled(log, 3)
    before = anchor.read_bytes()
    log.append(EVENT)
    anchor.write_bytes(before)
    assert log.append(EVENT) == 5
    assert verify(path, KEY, anchor).count == 5


def test_events_at_once_are_one_chain_and_a_crash_among_them_is_made_good(
    log: AuditLog, path: Path, anchor: Path
) -> None:
    filled(log, 2)
    before = anchor.read_bytes()
    assert log.append(*(replace(EVENT, seed=each) for each in range(30))) == 32
    assert log.append() == 32
    assert verify(path, KEY, anchor).count == 32
    # As a crash leaves it that came while the thirty were written.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]) + lines[20][:40])
    anchor.write_bytes(before)
    assert log.append(EVENT) == 22
    assert [each.event.action for each in read_events(path, KEY, anchor)[-2:]] == [
        Action.SET_ASIDE,
        Action.RANK,
    ]
    # Further ahead of its anchor than any crash leaves it.
    log.append(*(replace(EVENT, seed=each) for each in range(1_001)))
    anchor.write_bytes(before)
    with pytest.raises(AuditError, match="or the anchor is an old one"):
        log.append(EVENT)
    anchor.unlink()
    with pytest.raises(AuditError, match="its anchor knows 0"):
        log.append(EVENT)


def test_log_and_anchor_lie_apart(path: Path) -> None:
    with pytest.raises(AuditError, match="expected it apart"):
        AuditLog.open(path, KEY, path.with_name("anchor.json"))


def test_what_a_crash_left_is_set_aside_and_written_down(
    log: AuditLog, path: Path, anchor: Path
) -> None:
    lines = filled(log, 3)
    torn = lines[1][:-1]
    for left in (torn[:1], torn):
        with path.open("ab") as stream:
            stream.write(left)
    left = torn[:1] + torn
    assert verify(path, KEY, anchor).torn_bytes == len(left)
    assert log.append(EVENT) == 5
    set_aside, added = read_events(path, KEY, anchor)[-2:]
    assert set_aside.event.action is Action.SET_ASIDE
    assert set_aside.event.outcome is Outcome.FAILED
    assert added.event == EVENT
    assert path.with_name("audit.jsonl.torn").read_bytes() == left + b"\n"
    assert verify(path, KEY, anchor).torn_bytes == 0


def test_more_than_an_event_left_by_a_crash_is_set_aside_whole(log: AuditLog, path: Path) -> None:
    filled(log, 2)
    left = b"x" * 5_000
    with path.open("ab") as stream:
        stream.write(left)
    assert log.append(EVENT) == 4
    assert verify(path, KEY).torn_bytes == 0
    assert path.with_name("audit.jsonl.torn").read_bytes() == left + b"\n"


def test_another_key_neither_reads_nor_writes(log: AuditLog, path: Path, anchor: Path) -> None:
    filled(log, 2)
    other = bytes(32)
    with pytest.raises(AuditError, match="line 1 of audit log .* or the key is another"):
        verify(path, other)
    with pytest.raises(AuditError, match="or the key is another"):
        AuditLog.open(path, other, anchor)
    assert other.hex() not in repr(AuditLog(path, other))


def test_threads_wait_for_each_other(log: AuditLog, path: Path, anchor: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: log.append(EVENT), range(80)))
    assert sorted(numbers) == list(range(1, 81))
    assert verify(path, KEY, anchor).count == 80


def test_two_processes_lose_nothing(tmp_path: Path, path: Path, anchor: Path) -> None:
    writers = [started(tmp_path, name, 500) for name in ("one", "other")]
    told = [[int(each) for each in writer.communicate()[0].split()] for writer in writers]
    assert sorted(told[0] + told[1]) == list(range(1, 1_001))
    names = {each.number: each.event.who for each in read_events(path, KEY, anchor)}
    assert [names[each] for each in told[0] + told[1]] == ["one"] * 500 + ["other"] * 500


def test_a_log_is_whole_while_others_write(
    log: AuditLog, path: Path, anchor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(log, 3)
    read, waiting = Path.read_bytes, [EVENT]

    def read_while_one_is_written(self: Path) -> bytes:
        if waiting:
            log.append(waiting.pop())
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", read_while_one_is_written)
    assert verify(path, KEY, anchor).count == 4
    assert not waiting


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, path: Path, anchor: Path) -> None:
    dice, acknowledged = random.Random(1), []
    for round_ in range(8):
        writer = started(tmp_path, f"writer {round_}", 100_000)
        for _ in range(dice.randrange(1, 20)):
            acknowledged.append(int(writer.stdout.readline()))
        writer.kill()
        # The last line may be cut off, and was then not acknowledged.
        rest = writer.communicate()[0].rpartition("\n")[0]
        acknowledged += [int(each) for each in rest.split()]
    AuditLog.open(path, KEY, anchor)
    held = {each.number for each in read_events(path, KEY, anchor)}
    assert len(acknowledged) == len(set(acknowledged))
    assert set(acknowledged) <= held


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_releases_nothing(log: AuditLog, path: Path, anchor: Path) -> None:
    filled(log, 5)
    before = path.read_bytes()
    for room in (0, 1, 100):
        full = pytest.raises(AuditError, match="cannot be written .* nothing is released")
        with files_up_to(len(before) + room), full:
            log.append(EVENT)
        assert path.read_bytes() == before
    assert log.append(EVENT) == 6
    assert verify(path, KEY, anchor).count == 6


def test_what_the_disk_does_not_confirm_is_not_acknowledged(
    log: AuditLog, path: Path, anchor: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(log, 3)
    before = path.read_bytes()

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(AuditError, match="cannot be written .Input/output error"):
            log.append(EVENT)
    assert path.read_bytes() == before
    assert verify(path, KEY, anchor).count == 3


def test_a_full_disk_hides_nothing_that_a_crash_left(log: AuditLog, path: Path) -> None:
    whole = b"".join(filled(log, 5))
    path.write_bytes(whole + b'{"at":')
    with files_up_to(len(whole) + 50), pytest.raises(AuditError, match="cannot be written"):
        log.append(EVENT)
    assert log.append(EVENT) == 7
    assert read_events(path, KEY)[5].event.action is Action.SET_ASIDE
    assert b'{"at":\n' in path.with_name("audit.jsonl.torn").read_bytes()


def test_a_missing_log_is_no_empty_log(path: Path) -> None:
    with pytest.raises(AuditError, match="cannot be read"):
        verify(path, KEY)


def test_a_log_without_events_holds_none(log: AuditLog, path: Path) -> None:
    found = verify(path, KEY)
    assert (found.count, found.first, found.last) == (0, None, None)


def test_an_event_of_a_later_version_is_not_guessed(
    log: AuditLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {**EVENT.as_record(), "action": "dream"}
    monkeypatch.setattr(Event, "as_record", lambda _: record)
    log.append(EVENT)
    with pytest.raises(AuditError, match="does not know .*'dream'.*: install"):
        read_events(path, KEY)


def test_the_command_says_whether_a_log_is_whole(
    log: AuditLog,
    path: Path,
    anchor: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = filled(log)
    monkeypatch.setenv(VARIABLE, KEY.hex())
    assert main(["audit", f"log={path}", f"anchor={anchor}"]) == 0
    told = capsys.readouterr()
    assert "20 events" in told.out
    assert verify(path, KEY).head in told.out
    assert told.err == ""
    path.write_bytes(b"".join(lines[:-1]))
    assert main(["audit", f"log={path}"]) == 0
    assert "no anchor was named" in capsys.readouterr().err
    assert main(["audit", f"log={path}", f"anchor={anchor}"]) == 1
    assert capsys.readouterr().err.startswith("omics-twin: line 20 of audit log")


def test_the_command_writes_an_anchor_to_begin_with(
    tmp_path: Path, path: Path, anchor: Path
) -> None:
    place = tmp_path / "audit.key"
    key = audit_key(place, log=path, create=True)
    filled(AuditLog.open(path, key))
    with pytest.raises(AuditError, match="holds 20 events and its anchor knows 0"):
        AuditLog.open(path, key, anchor)
    assert main(["audit", f"log={path}", f"key={place}", f"output={anchor}"]) == 0
    assert AuditLog.open(path, key, anchor).append(EVENT) == 21
