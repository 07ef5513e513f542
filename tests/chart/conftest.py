"""The databases that a chart is tested in: a file of SQLite, and a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.servers import new_database, postgresql_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Yield the address of a server; its database is left open."""
    with postgresql_server() as server:
        if server is None:
            pytest.skip("no PostgreSQL is installed: the chart is tested in SQLite alone")
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the place of a chart that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'chart.db'}"
    return new_database(request.getfixturevalue("postgresql"))
