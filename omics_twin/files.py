"""Files written whole or not at all, and checked before they are read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from omics_twin.errors import ModelError, quoted

MANIFEST = "manifest.json"


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


def write_json(path: Path, content: Any) -> None:
    """Write JSON; NaN and infinity are not JSON and are refused."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(path, text.encode() + b"\n")


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the digests of every file in a folder; the last file to be written."""
    files = sorted(each for each in folder.iterdir() if each.is_file() and each.name != MANIFEST)
    write_json(folder / MANIFEST, {each.name: sha256(each.read_bytes()) for each in files})


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
        expected = json.loads(manifest.read_bytes())
        items = sorted(expected.items())
    except (ValueError, AttributeError) as error:
        raise ModelError(f"'{manifest}' is damaged: restore the model from its run") from error
    found = {each.name for each in folder.iterdir() if each.is_file()} - {MANIFEST}
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
