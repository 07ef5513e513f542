"""Files written whole or not at all, and checked before they are read."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omics_twin.errors import ModelError, TrainingError, quoted

MANIFEST = "manifest.json"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MOST_DIGITS = 300
# What may be no finite number, or one that is too long, once every digit is told as 0.
_LARGE = (b"0" * 200, b"e000", b"e+000", b"E000", b"E+000")
_TOLD_AS_0 = bytes.maketrans(b"123456789", b"000000000")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def flush(path: Path) -> None:
    """Put on disk what a file, or the list of names of a folder, holds."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a folder that one process at a time may hold; whoever is killed lets go of it.

    Parameters
    ----------
    wait
        Whether to wait for another holder, rather than to refuse.

    Raises
    ------
    TrainingError
        If another process holds it, and is not waited for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError as error:
        raise TrainingError(
            f"another process is at work in '{folder}': wait for it, or set another output_root"
        ) from error
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity are not JSON and are refused."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(path, text.encode() + b"\n")


def json_of(content: bytes) -> Any:
    """Return what strict JSON holds, as it was written and not as a reader would repair it.

    Raises
    ------
    ValueError
        If it is no UTF-8 or no JSON, holds a key twice, a number that is not finite or text that
        cannot be written, or is nested too deeply.

    Examples
    --------
    >>> json_of(b'{"day": 21}')
    {'day': 21}
    """
    try:
        text = content.decode("utf-8-sig")
        # Called for each number, which takes time, and of use for these alone.
        digits = content.translate(_TOLD_AS_0)
        large = any(each in digits for each in _LARGE)
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_finite,
            parse_float=_finite if large else None,
            parse_int=_whole if large else None,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _SURROGATE.search(content):
        json.dumps(found, ensure_ascii=False).encode()
    return found


def read_json(path: Path) -> Any:
    """Return what a file of a run holds.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    try:
        return json_of(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"'{path}' is damaged ({error}): remove it, and start again") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object holds a key twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(text)


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the digests of every file in a folder; the last file to be written."""
    files = sorted(each for each in folder.iterdir() if each.is_file() and each.name != MANIFEST)
    write_json(folder / MANIFEST, {each.name: sha256(each.read_bytes()) for each in files})


def write_csv(path: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a table, whole or not at all: numbers to six decimals, nothing for ``None``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(each) for each in line] for line in lines)
    write_whole(path, buffer.getvalue().encode())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def read_checked(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder that has a manifest.

    A flipped bit in a weights file otherwise loads in silence.

    Raises
    ------
    ModelError
        If the manifest is absent or unreadable, or a file is missing, added or changed.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ModelError(f"'{folder}' holds no model: expected a file '{MANIFEST}' in it")
    try:
        expected = json_of(manifest.read_bytes())
        items = sorted(expected.items())
    except (ValueError, AttributeError) as error:
        raise ModelError(f"'{manifest}' is damaged: restore the model from its run") from error
    found = {each.name for each in folder.iterdir() if each.is_file()} - {MANIFEST}
    links = sorted(each.name for each in folder.iterdir() if each.is_symlink())
    if links:
        raise ModelError(
            f"model '{folder}' holds links, {quoted(links)}, expected files: copy them there"
        )
    if found != set(expected):
        raise ModelError(
            f"model '{folder}' holds files {quoted(sorted(found))}, its manifest lists "
            f"{quoted(sorted(expected))}: restore the model from its run"
        )
    content = {name: (folder / name).read_bytes() for name, _ in items}
    for name, digest in items:
        if sha256(content[name]) != digest:
            raise ModelError(
                f"'{folder / name}' was changed after it was saved (SHA-256 differs): "
                "restore the model from its run"
            )
    return content
