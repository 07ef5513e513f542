"""Take one meta-information line apart: ``##key=value``, ``##key=<ID=…,…>``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from omics_twin.errors import IntakeError, shown

_FIELD = re.compile(
    r'(?P<key>[^\s=,<>"]+)='
    r'(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<list>\[[^\[\]<>"]*\])|(?P<plain>[^,"<>]+))'
)
_HOST = re.compile(
    r"(?:[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?\.)*[A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?\.?"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\]"
)
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?:[^\s@/]*@)?(?P<host>[^\s:/?#\[\]]*|\[[^\s\]]*\])"
    r"(?P<port>:[0-9]*)?)?(?P<rest>[/?#]?[^\s<>]*)"
)


@dataclass(frozen=True)
class Entry:
    """A structured meta-information line.

    Attributes
    ----------
    kind
        Such as ``INFO``.
    values
        Its fields in order, without quotation marks.
    quoted
        Names of those that had quotation marks.
    """

    kind: str
    values: Mapping[str, str]
    quoted: frozenset[str]


def key_and_value(line: str) -> tuple[str, str]:
    """Return both sides of a meta-information line.

    Raises
    ------
    IntakeError
        If it is not ``##key=value``.
    """
    key, equals, value = line[2:].partition("=")
    if not equals or not key or re.search(r"\s", key):
        raise IntakeError(f"the line is {shown(line)}, expected '##key=value'")
    if not value.strip():
        raise IntakeError(f"'##{key}=' has no value, expected '##{key}=value'")
    return key, value


def entry(kind: str, value: str) -> Entry:
    r"""Return the fields of a structured line.

    Examples
    --------
    >>> read = entry("FILTER", '<ID=q10,Description="Quality \\"below\\" 10">')
    >>> dict(read.values)
    {'ID': 'q10', 'Description': 'Quality \\"below\\" 10'}

    Raises
    ------
    IntakeError
        If it is not ``<key=value,key="value">``.
    """
    form = f"##{kind}"
    if not value.startswith("<") or not value.endswith(">"):
        raise IntakeError(f"{form} is {shown(value)}, expected fields between '<' and '>'")
    inner, at = value[1:-1], 0
    values: dict[str, str] = {}
    quoted = set()
    while True:
        field = _FIELD.match(inner, at)
        end = field.end() if field else at
        if field is None or (end < len(inner) and inner[end] != ","):
            raise IntakeError(
                f"{form} cannot be read at {shown(inner[end:])}: expected key=value or "
                'key="value" between commas, quotation marks inside values written as \\"'
            )
        if field["key"] in values:
            raise IntakeError(f"{form} names '{field['key']}' twice, expected it once")
        if field["text"] is not None:
            quoted.add(field["key"])
        values[field["key"]] = next(
            each for each in (field["text"], field["list"], field["plain"]) if each is not None
        )
        if end == len(inner):
            return Entry(kind, values, frozenset(quoted))
        at = end + 1


def is_url(text: str) -> bool:
    """Return whether text is a URL whose host can exist.

    Examples
    --------
    >>> is_url("ftp://user@host:8080/file"), is_url("ftp://8080:8080/file")
    (True, False)

    References
    ----------
    RFC 3986, section 3; RFC 1123, section 2.1: the last label of a host begins with a letter.
    """
    url = _URL.fullmatch(text) if len(text) < 10_000 else None
    if url is None:
        return False
    if url["host"]:
        return _HOST.fullmatch(url["host"]) is not None
    return bool(url["rest"]) and (url["scheme"].lower() == "file" or url["host"] is None)
