"""Ways to spoil a file: blind ones for any bytes, and ones that know rows, cells or JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

# What has deceived readers before: numbers of no size, look-alikes, what cannot be seen, codes.
NASTY = (
    *("", " ", "NaN", "nan", "inf", "-inf", "1e999", "-1", "1e308", "0x10", "1_000", "1,5", "+5"),
    *("--5", "1e-400", "-0", "5.", ".5", "0.1.2", "1" + "0" * 30, "9" * 400, "9" * 5000, "1e5"),
    *("\u0663", "\uff11\uff12", "\u00a0", "\u200b", "\u202e", "\ufeff", "\x00", "\x1b[2J", "\x7f"),
    *("\t", "\n", "\r", "\u2028", "\x85", '"', '""', "'", "\\", ",", ";", "#", "=1+1", "${x}"),
    *("NULL", "N/A", "none", "true", "TRUE", "\u0420\u0031", "e\u0301", "\u00e9", "\U0001f600"),
    *("2024-02-30", "0000-00-00", "20240131", "2024-W05-3", "\uff12\uff10\uff12\uff14-01-01"),
    *("9999-12-31", "2024-01-31T00:00:00Z", "<script>", "../../x", "P1", "1", "0", "x" * 70_000),
)
ODD_BYTES = (b"\x00", b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\n", b"\r", b'"', b"\\")


def flip(content: bytes, dice: Random) -> bytes:
    """Flip one bit."""
    if not content:
        return b"\x01"
    changed = bytearray(content)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def cut(content: bytes, dice: Random) -> bytes:
    """Cut the end off."""
    return content[: dice.randrange(len(content) + 1)]


def remove(content: bytes, dice: Random) -> bytes:
    """Remove a few bytes."""
    at = dice.randrange(len(content) + 1)
    return content[:at] + content[at + dice.randrange(1, 9) :]


def insert(content: bytes, dice: Random) -> bytes:
    """Put odd bytes in."""
    at = dice.randrange(len(content) + 1)
    return content[:at] + dice.choice(ODD_BYTES) * dice.choice((1, 1, 1, 40)) + content[at:]


def repeat(content: bytes, dice: Random) -> bytes:
    """Write a part twice."""
    at = dice.randrange(len(content) + 1)
    end = at + dice.randrange(1, 200)
    return content[:end] + content[at:end] + content[end:]


def encoded(content: bytes, dice: Random) -> bytes:
    """Save the text in another encoding, or with a byte order mark."""
    text = content.decode("utf-8", errors="replace")
    how = dice.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp1252", "utf-7"))
    return text.encode(how, errors="replace")


def ends(content: bytes, dice: Random) -> bytes:
    """End lines as another system does, or one line alone."""
    end = dice.choice((b"\r\n", b"\r", b"\n\n", b"\x0b", b"\x0c", b"\xe2\x80\xa8", b""))
    return content.replace(b"\n", end, dice.choice((-1, 1, 2)))


def compressed(content: bytes, dice: Random) -> bytes:
    """Compress, whole or cut short, once or twice."""
    packed = gzip.compress(content, mtime=0)
    return dice.choice((packed, cut(packed, dice), flip(packed, dice), packed + packed))


BYTES: tuple[Mutation, ...] = (flip, cut, remove, insert, repeat)
TEXT: tuple[Mutation, ...] = (*BYTES, encoded, ends, compressed)


def _lines(content: bytes) -> list[bytes]:
    return content.split(b"\n")


def line_twice(content: bytes, dice: Random) -> bytes:
    """Write a line twice."""
    lines = _lines(content)
    place = dice.randrange(len(lines))
    lines.insert(dice.randrange(len(lines) + 1), lines[place])
    return b"\n".join(lines)


def line_gone(content: bytes, dice: Random) -> bytes:
    """Leave a line out."""
    lines = _lines(content)
    del lines[dice.randrange(len(lines))]
    return b"\n".join(lines)


def lines_swapped(content: bytes, dice: Random) -> bytes:
    """Swap two lines."""
    lines = _lines(content)
    one, other = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def delimited(separator: str, words: Sequence[str] = ()) -> tuple[Mutation, ...]:
    """Return ways to spoil cells and columns, beside those for any text.

    ``words`` are cells that mean something in this kind of file.
    """
    mark = separator.encode()
    nasty = (*NASTY, *words)

    def cells(content: bytes, dice: Random) -> tuple[list[bytes], int, list[bytes]]:
        lines = _lines(content)
        place = dice.randrange(len(lines))
        return lines, place, lines[place].split(mark)

    def cell(content: bytes, dice: Random) -> bytes:
        lines, place, row = cells(content, dice)
        row[dice.randrange(len(row))] = dice.choice(nasty).encode()
        lines[place] = mark.join(row)
        return b"\n".join(lines)

    def cell_around(content: bytes, dice: Random) -> bytes:
        lines, place, row = cells(content, dice)
        at, odd = dice.randrange(len(row)), dice.choice(nasty).encode()
        row[at] = dice.choice((odd + row[at], row[at] + odd, b'"' + row[at] + b'"', row[at] * 2))
        lines[place] = mark.join(row)
        return b"\n".join(lines)

    def cells_swapped(content: bytes, dice: Random) -> bytes:
        lines, place, row = cells(content, dice)
        one, other = dice.randrange(len(row)), dice.randrange(len(row))
        row[one], row[other] = row[other], row[one]
        lines[place] = mark.join(row)
        return b"\n".join(lines)

    def column(content: bytes, dice: Random) -> bytes:
        rows = [line.split(mark) for line in _lines(content)]
        width = max(len(row) for row in rows)
        one, other = dice.randrange(width), dice.randrange(width)
        how = dice.choice(("twice", "gone", "swapped"))
        for row in (row for row in rows if len(row) == width):
            if how == "twice":
                row.append(row[one])
            elif how == "gone":
                del row[one]
            else:
                row[one], row[other] = row[other], row[one]
        return b"\n".join(mark.join(row) for row in rows)

    def copied(content: bytes, dice: Random) -> bytes:
        """Copy a cell of another row: a value that is valid, elsewhere."""
        lines, place, row = cells(content, dice)
        other = dice.choice(lines).split(mark)
        row[dice.randrange(len(row))] = dice.choice(other)
        lines[place] = mark.join(row)
        return b"\n".join(lines)

    own = (cell, cell, cell, cell_around, cells_swapped, column, copied)
    return (*own, line_twice, line_gone, lines_swapped, *TEXT)


def replaced(pairs: Sequence[tuple[str, str]]) -> Mutation:
    """Return a change that puts one known text in place of another."""

    def change(content: bytes, dice: Random) -> bytes:
        old, new = dice.choice(pairs)
        return content.replace(old.encode(), new.encode(), 1)

    return change


_JSON_NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 10**400, "", [], {}, [[]], [{}], {"": 0}, {"a": {}}, 1.5),
    *("NaN", float("nan"), float("inf"), "1", "x" * 300, "\u0000", "\u200b", "\ud800", "../../x"),
)


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """List every container with every key of it."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            _places(value[key], found)
    return found


def structured(words: Sequence[Any] = ()) -> tuple[Mutation, ...]:
    """Return ways to spoil JSON, beside those for any text."""
    nasty = (*_JSON_NASTY, *(text for text in NASTY if len(text) < 500), *words)

    def changed(content: bytes, dice: Random, change: Callable[[Any, Any], None]) -> bytes:
        try:
            value = json.loads(content)
            places = _places(value, [])
        except (ValueError, RecursionError, TypeError):
            return insert(content, dice)
        if places:
            change(*dice.choice(places))
        return json.dumps(value).encode()

    def value(content: bytes, dice: Random) -> bytes:
        odd = dice.choice(nasty)
        return changed(content, dice, lambda held, key: held.__setitem__(key, odd))

    def gone(content: bytes, dice: Random) -> bytes:
        return changed(content, dice, lambda held, key: held.__delitem__(key))

    def renamed(content: bytes, dice: Random) -> bytes:
        odd = str(dice.choice(nasty))

        def change(held: Any, key: Any) -> None:
            if isinstance(held, dict):
                held[odd] = held.pop(key)

        return changed(content, dice, change)

    def twice(content: bytes, dice: Random) -> bytes:
        """Write a key twice in one object, with another value."""
        marks = [at for at in range(len(content)) if content[at : at + 1] == b"{"]
        if not marks:
            return content
        at = dice.choice(marks) + 1
        end = content.find(b":", at)
        odd = json.dumps(dice.choice(nasty)).encode()
        return content[:at] + content[at:end] + b": " + odd + b"," + content[at:]

    def nested(content: bytes, dice: Random) -> bytes:
        deep = dice.choice((50, 5_000, 100_000))
        opened, closed = dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
        at = content.find(b":") + 1
        return content[:at] + opened * deep + b"1" + closed * deep + content[at:]

    return (value, value, value, value, gone, renamed, twice, nested, *TEXT)


def mutated(content: bytes, mutations: Sequence[Mutation], dice: Random) -> bytes:
    """Apply one to three mutations; one alone is not hidden by what another spoils."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        content = dice.choice(mutations)(content, dice)
    return content
