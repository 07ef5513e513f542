"""A real PostgreSQL server of our own, on a socket alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_SERVERS = Path("/usr/lib/postgresql")
_NOBODY = 65534


@contextmanager
def postgresql_server() -> Iterator[str | None]:
    """Yield the address of a server with its database left open, or nothing where none is."""
    found = shutil.which("initdb") or next(map(str, _SERVERS.glob("*/bin/initdb")), None)
    if found is None:
        yield None
        return
    programs = Path(found).resolve().parent
    # PostgreSQL refuses to run as root.
    owner = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    # The path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
        if owner:
            os.chown(folder, _NOBODY, _NOBODY)
        cluster = f"{folder}/cluster"
        quiet = {"stdout": subprocess.DEVNULL, "check": True, "cwd": folder, **owner}
        made = ["--auth=trust", "--username=chart", "--encoding=UTF8", "--locale=C"]
        subprocess.run([programs / "initdb", "-D", cluster, *made], **quiet)
        heard = f"-k {folder} -c listen_addresses= -c max_connections=60"
        start = ["-D", cluster, "-l", f"{folder}/log", "-o", heard, "-w"]
        subprocess.run([programs / "pg_ctl", *start, "start"], **quiet)
        yield f"postgresql://chart@/{{database}}?host={folder}"
        subprocess.run([programs / "pg_ctl", "-D", cluster, "-m", "immediate", "stop"], **quiet)


def new_database(server: str) -> str:
    """Return the address of a database that is empty."""
    name = f"chart_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.format(database="postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.format(database=name)
