"""A chart's file sealed by SQLCipher: opened with the key of the store, and given another one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from omics_twin.errors import ChartError
from omics_twin.files import flush
from omics_twin.trust.keys import STORE
from omics_twin.trust.vault import derived, store_key

_BESIDE = ("-wal", "-shm", "-journal")


def sqlite_of(path: Path) -> Any:
    """Return the library that opens a chart's file: SQLite's own, or SQLCipher's with a key.

    Raises
    ------
    ChartError
        If the file is sealed and there is no key, the key is another, or a key is given and the
        file is not sealed.
    """
    key = chart_key(path)
    if key is None:
        if _is_sealed(path, sqlite3):
            told = f"the chart '{path}' is sealed, or not a database"
            raise ChartError(f"{told}: set {STORE} to its key, or name another file")
        return sqlite3
    library = _sqlcipher()
    if _is_sealed(path, library) is False:
        raise ChartError(
            f"the chart '{path}' is not sealed, and {STORE} is set: seal it by omics-twin rotate"
        )
    with closing(library.connect(str(path))) as connection:
        if not _opens(connection, library, key):
            raise ChartError(
                f"the chart '{path}' was sealed with another key, or is damaged: set {STORE} to "
                "the key it had"
            )
    return library


def chart_key(path: Path, store: bytes | None = None) -> bytes | None:
    """Return the key that SQLCipher is given for a chart; None where the store has no key."""
    store = store_key() if store is None else store
    return None if store is None else derived(store, "chart")


def unlock(connection: Any, key: bytes) -> None:
    """Give a new connection its key; the first thing that is said on it."""
    connection.execute(f"pragma key = \"x'{key.hex()}'\"").close()
    # What is wrong with a page is told by an error; SQLCipher would write it to the terminal too.
    connection.execute("pragma cipher_log_level = none").close()


def give_key(path: Path, old: bytes | None, new: bytes) -> bool:
    """Seal a chart's file with another key, or for the first time; False: it had that key already.

    The file is written anew beside the old one and takes its place at once: who is interrupted has
    the old chart, whole, and begins again.

    Parameters
    ----------
    old, new
        Keys of the store; ``None``: the file is not sealed.

    Raises
    ------
    ChartError
        If the old key is not the file's, or somebody has the chart open.
    """
    library = _sqlcipher()
    before, after = chart_key(path, old) if old else None, derived(new, "chart")
    partial = path.with_name(f".{path.name}.rotating")
    for each in ("", *_BESIDE):
        Path(f"{partial}{each}").unlink(missing_ok=True)
    if _is_sealed(path, library):
        with closing(library.connect(str(path))) as connection:
            if _opens(connection, library, after):
                return False
        if before is None:
            raise ChartError(f"the chart '{path}' is sealed: set {STORE} to the key it has")
    elif not path.is_file() or path.stat().st_size == 0:
        raise ChartError(f"there is no chart '{path}' to seal: name one")
    else:
        before = None
    with closing(library.connect(str(path), isolation_level=None, timeout=2)) as connection:
        if before is not None and not _opens(connection, library, before):
            raise ChartError(f"the chart '{path}' was sealed with another key than {STORE}")
        _copy_sealed(connection, library, partial, after, path)
        flush(partial)
        # Nobody writes to the old file meanwhile, and who waits for it finds no database.
        replaced = os.open(path, os.O_WRONLY)
        os.replace(partial, path)
        os.pwrite(replaced, b"moved".ljust(16), 0)
        os.close(replaced)
    flush(path.parent)
    return True


def _copy_sealed(connection: Any, library: Any, partial: Path, key: bytes, path: Path) -> None:
    os.close(os.open(partial, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        # SQLite leaves this to who is alone: nobody's changes go to the old file meanwhile.
        (mode,) = connection.execute("pragma journal_mode=delete").fetchone()
        if mode != "delete":
            raise ChartError(f"the chart '{path}' is open elsewhere: stop the server first")
        connection.execute("pragma locking_mode=exclusive").close()
        connection.execute(f"attach database ? as sealed key \"x'{key.hex()}'\"", (str(partial),))
        connection.execute("select sqlcipher_export('sealed')").fetchall()
        connection.execute("detach database sealed").close()
    except library.OperationalError as error:
        raise ChartError(
            f"the chart '{path}' could not be sealed anew ({error}): stop the server and try again"
        ) from error


def _opens(connection: Any, library: Any, key: bytes) -> bool:
    try:
        unlock(connection, key)
        connection.execute("select count(*) from sqlite_master").fetchone()
    except library.DatabaseError as error:
        if "locked" in str(error):
            raise ChartError(f"the chart's database refused ({error}): try again") from error
        return False
    return True


def _is_sealed(path: Path, library: Any) -> bool | None:
    """Whether a file is not plain SQLite; None where it holds nothing yet.

    The library itself looks: whoever opens and closes the file beside it drops its locks.
    """
    if not path.is_file() or path.stat().st_size == 0:
        return None
    with closing(library.connect(str(path))) as connection:
        try:
            connection.execute("select count(*) from sqlite_master").fetchone()
        except library.DatabaseError as error:
            if "locked" in str(error):
                raise ChartError(f"the chart's database refused ({error}): try again") from error
            return True
    return False


def _sqlcipher() -> Any:
    try:
        from sqlcipher3 import dbapi2
    except ModuleNotFoundError as error:
        raise ChartError(
            f"{STORE} is set, and a sealed chart needs SQLCipher: pip install 'omics-twin[sealed]'"
        ) from error
    return dbapi2
