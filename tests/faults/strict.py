"""Strict readings of files, written anew for these tests: nothing here is shared with a reader."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Invalid(Exception):
    """An input that nobody should read."""


def text_of(content: bytes) -> str:
    """Return UTF-8 text, a byte order mark left out, without a NUL."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"no UTF-8: {error}") from error
    if "\0" in text:
        raise Invalid("a NUL")
    return text


def table_of(text: str, separator: str) -> list[list[str]]:
    """Return the cells of delimited text, character by character as RFC 4180 has it."""
    rows: list[list[str]] = [[]]
    cell, quoted, closed = "", False, False
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for place, letter in enumerate(text):
        if quoted:
            if letter != '"':
                cell += letter
            elif text[place + 1 : place + 2] == '"' and not closed:
                closed = True
            elif closed:
                cell, closed = cell + '"', False
            else:
                quoted, closed = False, True
        elif letter == '"' and not cell and not closed:
            quoted = True
        elif letter in (separator, "\n"):
            rows[-1].append(cell)
            cell, closed = "", False
            if letter == "\n":
                rows.append([])
        elif closed:
            raise Invalid("text behind a closing quotation mark")
        else:
            cell += letter
    if quoted:
        raise Invalid("a quotation mark that is not closed")
    if cell or rows[-1] or closed:
        rows[-1].append(cell)
    rows = [[each.strip() for each in row] for row in rows if row not in ([], [""])]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise Invalid("rows of different lengths")
    if len(set(rows[0])) < len(rows[0]):
        raise Invalid("a column twice")
    return rows


def records_of(content: bytes, separator: str = ",") -> list[dict[str, str]]:
    """Return the rows of a file by column name."""
    header, *rows = table_of(text_of(content), separator)
    return [dict(zip(header, row, strict=True)) for row in rows]


def name_of(text: str) -> str:
    """Return an identifier that can be seen as it is: another could pass for it otherwise."""
    if not text or not text.isprintable():
        raise Invalid(f"{text!r} is no name")
    return text


def number_of(text: str) -> float:
    """Return a finite number as a laboratory writes it; NaN for an empty cell."""
    if not text:
        return math.nan
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise Invalid(f"{text!r} is no number")
    return float(text)


def day_of(text: str) -> date:
    """Return a date that is written out."""
    if not _DAY.fullmatch(text):
        raise Invalid(f"{text!r} is no date")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no date") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise Invalid("a key twice")
    return dict(pairs)


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise Invalid("a number that is not finite")
    return float(text)


def json_of(content: bytes) -> Any:
    """Return JSON in which no key stands twice and every number is finite."""
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_once,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise Invalid(f"no JSON: {error}") from error


def same(read: object, told: object) -> bool:
    """Return whether two values are the same, NaN like NaN."""
    if isinstance(read, float) and isinstance(told, int | float):
        return read == told or (math.isnan(read) and math.isnan(told))
    if isinstance(read, Mapping) and isinstance(told, Mapping):
        return set(read) == set(told) and all(same(read[key], told[key]) for key in read)
    return read == told
