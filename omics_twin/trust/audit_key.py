"""Find the key that seals an audit log, and refuse one that others can read."""

from __future__ import annotations

import os
from pathlib import Path

from omics_twin.errors import AuditError
from omics_twin.trust.keys import bytes_of, make_key, read_key

VARIABLE = "OMICS_TWIN_AUDIT_KEY"


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
        return bytes_of(text, VARIABLE, AuditError)
    if path.resolve().parent == log.resolve().parent:
        raise AuditError(
            f"audit key '{path}' lies in the folder of the log, expected it apart: move it"
        )
    what = f"audit key '{path}'"
    if create and not path.exists():
        make_key(path, what, AuditError)
    return read_key(path, what, AuditError)
