"""Open the database of a chart: SQLite or PostgreSQL, brought to the form this version writes."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, OperationalError

from omics_twin.chart.sealed import chart_key, sqlite_of, unlock
from omics_twin.errors import ChartError, OmicsTwinError

_KINDS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
_EXPECTED = (
    "expected sqlite:///chart.db or postgresql://user@host/database: write the place as one of them"
)
_OWNER_ONLY = 0o600
# Any number: those who open a chart at once wait for each other under it.
_LOCK = 7_114_208
_PATIENCE_SECONDS = 60


def open_database(place: str) -> Engine:
    """Return the database of a chart; made where there is none, and brought to this version.

    Parameters
    ----------
    place
        ``sqlite:///file`` or ``postgresql://…``. A file is readable by its owner alone.

    Raises
    ------
    ChartError
        If the place is none, cannot be reached, is no database, or was written by a later version.
    """
    url = _url(place)
    engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
    try:
        _bring_up_to_date(engine)
    except ChartError:
        engine.dispose()
        raise
    return engine


def _bring_up_to_date(engine: Engine) -> None:
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        try:
            command.upgrade(_steps(connection), "head")
        except CommandError as error:
            raise ChartError(
                f"the chart was written by a later version of omics_twin ({error}): install it"
            ) from error


@contextmanager
def transaction(engine: Engine, *, reads: bool = False) -> Iterator[Connection]:
    """Write all or nothing; what the database refuses is told without a patient's data.

    Raises
    ------
    ChartError
        If the database does not answer, is damaged, or refuses.
    """
    try:
        with engine.execution_options(reads=reads).begin() as connection:
            yield connection
    except DBAPIError as error:
        # What is said of the database is told; what is said of a row may hold the row itself.
        about_itself = type(error) in (DatabaseError, OperationalError)
        told = str(error.orig).partition("\n")[0] if about_itself else type(error.orig).__name__
        raise ChartError(f"the chart's database refused ({told}): nothing was written") from error
    except OmicsTwinError:
        raise
    except ValueError as error:
        # No JSON, or no time, where one was written.
        raise ChartError(
            "the chart's database holds what was never written there: restore it from a copy"
        ) from error


def _url(place: str) -> URL:
    try:
        url = make_url(place)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise ChartError(f"the chart's place is no address of a database; {_EXPECTED}") from error
    if kind not in _KINDS:
        raise ChartError(f"the chart's place is a database of kind '{kind}'; {_EXPECTED}")
    if kind == "sqlite" and url.database in (None, "", ":memory:"):
        raise ChartError(f"the chart's place names no file; {_EXPECTED}")
    return url.set(drivername=_KINDS[kind])


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    _make_file(path)
    sealed, library = chart_key(path), sqlite_of(path)
    engine = create_engine(
        url, **_options(), module=library, connect_args={"timeout": _PATIENCE_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: Any) -> None:
        if sealed is not None:
            unlock(connection, sealed)
        # Transactions begin where we say, not before the first change: no writer reads what
        # another is about to change.
        connection.isolation_level = None
        _write_ahead(connection, library)
        for pragma in ("foreign_keys=on", "synchronous=full"):
            connection.execute(f"pragma {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads")
        connection.exec_driver_sql("begin" if reads else "begin immediate")

    return engine


def _make_file(path: Path) -> None:
    """Make the file where there is none; one that is there is left to SQLite.

    Closing a file drops every lock that the process has on it: another process would then take the
    log of a chart that is open here for one that nobody needs, and remove it with what it holds.
    """
    try:
        if not path.exists():
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _OWNER_ONLY))
        elif path.is_dir() or not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ChartError(
            f"the chart's file '{path}' cannot be written ({error.strerror}): choose another place"
        ) from error


def _write_ahead(connection: Any, library: Any) -> None:
    """Write ahead; here SQLite itself does not wait for others who open the file."""
    latest = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            connection.execute("pragma journal_mode=wal").close()
        except library.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > latest:
                raise
            time.sleep(0.01)
        else:
            return


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, **_options())
    except ModuleNotFoundError as error:
        raise ChartError(
            "a chart in PostgreSQL needs psycopg: pip install 'omics-twin[postgresql]'"
        ) from error


def _options() -> dict[str, Any]:
    return {
        "hide_parameters": True,  # no error or log holds a patient's data
        "json_serializer": lambda given: json.dumps(given, allow_nan=False),
        "pool_pre_ping": True,
    }


def _steps(connection: Connection) -> Config:
    steps = Config()
    steps.set_main_option("script_location", "omics_twin.chart:migrations")
    steps.set_main_option("path_separator", "os")
    steps.attributes["connection"] = connection
    return steps
