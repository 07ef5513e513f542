"""One patient over HTTP: the gate beside a bare endpoint of the same network: RUN [seconds].

Without seconds (0) only what each way adds to the model's own answer, asked in turns.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from mlflow.pyfunc import scoring_server

from omics_twin.serve.gate import Gate
from omics_twin.serve.pyfunc import rank_record
from omics_twin.serve.reading import schema_of
from omics_twin.serve.server import scorer_of
from omics_twin.settings import ServeSettings, TrackingSettings
from omics_twin.told import record_of

CLIENTS = (1, 8, 32)
IN_TURNS = 80


def listening(app: Any) -> int:
    """Serve an app from a thread and return its port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="critical"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return int(listener.getsockname()[1])


def record_for(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a record with every column that is measured before treatment."""
    values = {
        name: {
            column: told["levels"][0] if "levels" in told else told.get("minimum", 0.0) + 1e-3
            for column, told in modality["columns"].items()
        }
        for name, modality in schema["modalities"].items()
        if modality["scheduled"][0]["day"] <= 0
    }
    stratum = {column: known[0] for column, known in schema["stratum"].items()}
    return {"patient_id": "p", "stratum": stratum, "visits": [{"day": 0, "values": values}]}


def waited(port: int, path: str, body: bytes, seconds: float) -> list[float]:
    """Return how long each answer of one client took [ms]."""
    connection = connected(port)
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        posted(connection, path, body)
        found.append(1000 * (time.perf_counter() - begun))
    return found


def posted(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    """Send a body and read the answer."""
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}")


def connected(port: int) -> http.client.HTTPConnection:
    """Return a connection that sends at once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def in_turns(asked: dict[str, Callable[[], object]]) -> None:
    """Print what each way takes, one after the other so that all meet the same machine."""
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(IN_TURNS):
        for name, ask in asked.items():
            begun = time.perf_counter()
            ask()
            took[name].append(1000 * (time.perf_counter() - begun))
    first: list[float] = []
    for name, each in took.items():
        least, tenth, middle = np.quantile(each, [0.0, 0.1, 0.5])
        first = first or [least, tenth, middle]
        added = [now - then for now, then in zip((least, tenth, middle), first, strict=True)]
        print(
            f"{name:<14} least {least:6.1f} ms ({added[0]:+.1f}), tenth part {tenth:6.1f} "
            f"({added[1]:+.1f}), p50 {middle:6.1f} ({added[2]:+.1f})"
        )


def main(run: str, seconds: float = 5.0) -> None:
    scorer = scorer_of(run, TrackingSettings(enabled=False))
    record = record_for(schema_of(scorer.model))
    bare = FastAPI()

    @bare.post("/rank")
    def rank(told: dict[str, Any]) -> list[dict[str, Any]]:
        return rank_record(scorer.model, record_of(told))

    app = scoring_server.init(scorer.scored)
    servers = {
        "bare endpoint": (listening(bare), "/rank", json.dumps(record).encode()),
        "scoring app": (listening(app), "/invocations", json.dumps({"inputs": [record]}).encode()),
        "gate": (
            listening(Gate(app, scorer.scored, scorer.model, ServeSettings())),
            "/invocations",
            json.dumps({"inputs": [record]}).encode(),
        ),
    }
    columns = sum(len(each) for each in record["visits"][0]["values"].values())
    told = record_of(record)
    ways: dict[str, Callable[[], object]] = {"in process": lambda: rank_record(scorer.model, told)}
    for name, (port, path, body) in servers.items():
        ways[name] = partial(posted, connected(port), path, body)
    print(
        f"{columns} columns, {len(json.dumps(record))} bytes; what is added to the model's answer:"
    )
    in_turns(ways)
    for clients in CLIENTS if seconds else ():
        first = 0.0
        for name, (port, path, body) in servers.items():
            waited(port, path, body, 0.5)
            with ThreadPoolExecutor(clients) as pool:
                parts = pool.map(
                    waited, *zip(*[(port, path, body, seconds)] * clients, strict=True)
                )
                took = np.concatenate(list(parts))
            middle, high = np.quantile(took, [0.5, 0.99])
            first = first or middle
            print(
                f"{clients:>2} clients, {name:<14} p50 {middle:7.1f} ms ({middle / first:.2f}), "
                f"p99 {high:7.1f} ms, {len(took) / seconds:6.1f} a second"
            )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory at most {memory:.0f} MiB, clients included")


if __name__ == "__main__":
    main(sys.argv[1], *(float(each) for each in sys.argv[2:]))
