"""Find the key that seals an audit log, and refuse one that others can read."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from omics_twin.errors import AuditError

VARIABLE = "OMICS_TWIN_AUDIT_KEY"
_FEWEST_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_EXPECTED = f"{2 * _FEWEST_BYTES} or more hexadecimal digits"


def audit_key(path: Path | None, *, log: Path, create: bool = False) -> bytes:
    """Return the key of a log.

    Parameters
    ----------
    path
        A file with the key in hexadecimal that its owner alone can read, in another folder than the
        log: who can change the log should not find the key beside it. ``None``: the environment
        variable ``OMICS_TWIN_AUDIT_KEY`` holds the key.
    create
        Whether to make a key where the file is missing.

    Raises
    ------
    AuditError
        If there is no key, it is too short, or others than its owner can read it.
    """
    if path is None:
        text = os.environ.get(VARIABLE)
        if text is None:
            raise AuditError(
                f"the audit log has no key: name its file with key=FILE or set {VARIABLE}"
            )
        return _bytes_of(text, VARIABLE)
    if path.resolve().parent == log.resolve().parent:
        raise AuditError(
            f"audit key '{path}' lies in the folder of the log, expected it apart: move it"
        )
    if create and not path.exists():
        _create(path)
    return _bytes_of(_read(path), f"audit key '{path}'")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read()
    except OSError as error:
        raise AuditError(
            f"audit key '{path}' cannot be read ({error.strerror}): nothing is released until it "
            "can be"
        ) from error
    if mode & _OTHERS:
        raise AuditError(
            f"audit key '{path}' has mode {stat.S_IMODE(mode):04o}, expected 0600: others could "
            "have read it; make a new key, or run chmod 600 if nobody did"
        )
    return content.decode("ascii", errors="replace")


def _bytes_of(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise AuditError(f"{where} is not hexadecimal, expected {_EXPECTED}") from None
    if len(key) < _FEWEST_BYTES:
        raise AuditError(f"{where} holds {len(key)} bytes, expected {_EXPECTED}")
    return key


def _create(path: Path) -> None:
    """Make a key; of several who make it at once, the first one's stands."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(secrets.token_hex(_FEWEST_BYTES) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        return
    except OSError as error:
        raise AuditError(f"audit key '{path}' cannot be made ({error.strerror})") from error
