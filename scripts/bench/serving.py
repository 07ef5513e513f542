"""One patient over HTTP: the gate beside the same network behind a bare endpoint: RUN [seconds]."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}")
        found.append(1000 * (time.perf_counter() - begun))
    return found


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
    begun = time.perf_counter()
    for _ in range(20):
        rank_record(scorer.model, record_of(record))
    inside = 50 * (time.perf_counter() - begun)
    print(f"{columns} columns; in process {inside:.1f} ms")
    for clients in CLIENTS:
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
