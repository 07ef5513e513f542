"""Read a FHIR file as JSON, strictly: what readers silently repair is a finding here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from omics_twin.errors import IntakeError
from omics_twin.intake.findings import Finding, error

LARGEST_FILE = 1 << 28


def read_json(path: Path) -> tuple[dict[str, object] | None, list[Finding]]:
    """Return the resource of a file, and what is wrong with its text.

    Parameters
    ----------
    path
        A JSON file with one resource; a Bundle holds several.
    """
    try:
        return _parsed(path)
    except IntakeError as mistake:
        return None, [error(path.name, None, str(mistake))]


def _parsed(path: Path) -> tuple[dict[str, object] | None, list[Finding]]:
    text = _text(path)
    repeated: list[str] = []

    def keep(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        repeated.extend(sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    def refuse(constant: str) -> object:
        raise IntakeError(f"'{constant}' stands as a number, which JSON does not know")

    try:
        read = json.loads(text, object_pairs_hook=keep, parse_float=Decimal, parse_constant=refuse)
    except json.JSONDecodeError as mistake:
        told = f"is not JSON in column {mistake.colno}: {mistake.msg}"
        return None, [error(path.name, mistake.lineno, told)]
    except RecursionError as mistake:
        raise IntakeError("is nested too deeply, expected a FHIR resource") from mistake
    except ValueError as mistake:
        if isinstance(mistake, IntakeError):
            raise
        raise IntakeError(f"holds a number that cannot be read ({mistake})") from mistake
    found = [
        error(path.name, None, f"an object holds '{name}' twice, expected each name once")
        for name in dict.fromkeys(repeated)
    ]
    if not isinstance(read, dict):
        raise IntakeError("is a JSON list or value, expected an object with 'resourceType'")
    return read, found


def _text(path: Path) -> str:
    if not path.is_file():
        raise IntakeError("is a folder or a device, expected a FHIR file: name the file")
    if path.stat().st_size > LARGEST_FILE:
        raise IntakeError(f"holds more than {LARGEST_FILE:,} bytes: split it into smaller Bundles")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as mistake:
        raise IntakeError(f"cannot be read ({mistake.strerror}): restore the file") from mistake
    except UnicodeDecodeError as mistake:
        raise IntakeError(f"byte {mistake.start + 1} is not UTF-8: save it as UTF-8") from mistake
    if not text.strip():
        raise IntakeError("is empty, expected a FHIR resource in JSON")
    if re.match(r"\s*<", text):
        raise IntakeError("is XML, and only JSON is read: convert it to JSON")
    return text


def objects(read: object, path: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every object with its path, such as ``Patient.name[0]``.

    Examples
    --------
    >>> [path for path, _ in objects({"resourceType": "Patient", "name": [{"use": "usual"}]})]
    ['Patient', 'Patient.name[0]']
    """
    waiting = [(path, read)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, dict):
            at = at or str(value.get("resourceType", ""))
            yield at, value
            waiting.extend((f"{at}.{key}", each) for key, each in reversed(value.items()))
        elif isinstance(value, list):
            waiting.extend(
                (f"{at}[{place}]", each) for place, each in reversed(list(enumerate(value)))
            )
