"""Eight writers of one chart killed half-way, in both databases: python -m scripts.bench.chart."""

from __future__ import annotations

import tempfile
import time

from tests.chart.servers import new_database, postgresql_server
from tests.chart.writers import killed_writers

WRITERS, VISITS = 8, 500


def measure(name: str, place: str) -> None:
    begun = time.perf_counter()
    lost, held = killed_writers(place, writers=WRITERS, visits=VISITS, seed=1)
    seconds = time.perf_counter() - begun
    print(f"{name}: {lost} acknowledged visits lost, {held} held, {seconds:.0f} s with restarts")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, postgresql_server() as server:
        measure("SQLite", f"sqlite:///{folder}/chart.db")
        if server is None:
            print("PostgreSQL: none is installed")
        else:
            measure("PostgreSQL", new_database(server))


if __name__ == "__main__":
    main()
