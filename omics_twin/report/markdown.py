"""Text, tables and nested numbers as lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MOST_ROWS, _MOST_COLUMNS = 60, 8


def plain(text: object) -> str:
    r"""Return text that Markdown shows as it is, on one line.

    Examples
    --------
    >>> print(plain("a|b <c>"))
    a\|b &lt;c>
    """
    line = " ".join(str(text).split())
    for sign, written in (("\\", "\\\\"), ("<", "&lt;"), ("|", "\\|"), ("`", "\\`"), ("*", "\\*")):
        line = line.replace(sign, written)
    return line


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table; the cells are Markdown already.

    Examples
    --------
    >>> table(["rule", "value"], [["a", "1"]])
    ['| rule | value |', '|---|---|', '| a | 1 |', '']
    """
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


def numbers(found: Mapping[str, Any]) -> list[str]:
    """Return nested numbers as tables, one for each set of columns; bare lists stay in the file."""
    rows = list(_leaves(found, ""))
    if len(rows) > _MOST_ROWS:
        return [f"{len(rows)} rows: see the run's metrics.json.", ""]
    lines = []
    for header in dict.fromkeys(tuple(each) for _, each in rows):
        cells = [
            [plain(name or "overall"), *map(text_of, each.values())]
            for name, each in rows
            if tuple(each) == header
        ]
        lines += table(["", *map(_words, header)], cells)
    return lines


def _leaves(found: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is no mapping, with the path to it; many names are rows and not columns."""
    own = {k: v for k, v in found.items() if v is None or isinstance(v, bool | int | float | str)}
    if len(own) > _MOST_COLUMNS:
        yield from ((_below(path, key), {"value": value}) for key, value in own.items())
    elif own:
        yield path, own
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, _below(path, key))
        elif key == "curve" and all(isinstance(each, Mapping) for each in value):
            for each in value:
                yield from _leaves(each, path)


def _below(path: str, key: str) -> str:
    return ", ".join(each for each in (path, key.replace("_", " ")) if each)


def text_of(value: object) -> str:
    """Return one value as a cell holds it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if 0.01 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"
    return plain(value)


def _words(key: str) -> str:
    return plain(key.replace("_", " "))


def as_sentence(line: str) -> str:
    """Return a line that ends as a sentence does.

    Examples
    --------
    >>> as_sentence("truth: known")
    'Truth: known.'
    """
    return line[:1].upper() + line[1:].rstrip(".") + "."
