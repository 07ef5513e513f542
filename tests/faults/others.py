"""Two at once, a clock that jumps, a tracking server that is gone and comes back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from unittest.mock import patch
from urllib.request import urlopen

from omics_twin.bedside.belief import KeptBelief, read_belief, write_belief
from omics_twin.files import alone
from omics_twin.trust import audit
from omics_twin.trust.audit import AuditLog, read_events, verify
from omics_twin.trust.event import Action, Event
from tests.faults.kills import KEY, SIZE, Say, finished, results_of, train, visit_on
from tests.faults.rows import Row


def of_two_beliefs(folder: Path, rounds: int) -> Row:
    """Let two processes show visits to one patient's twin at once."""
    row = Row("two at once", "visits shown to one twin")
    path = folder / "belief.json"

    def work(say: Say) -> None:
        for _ in range(20):
            with alone(folder, wait=True):
                kept = read_belief(path, [SIZE])
                write_belief(path, kept.seen(visit_on(float(len(kept.visits)))), [SIZE])
            say("shown")

    for _ in range(rounds):
        write_belief(path, KeptBelief("p1", "a" * 64, 10, 1), [SIZE])
        status = finished(work, work)
        held = len(read_belief(path, [SIZE]).visits)
        row.missing(40 - held, "visits that two processes showed")
        row.right(status == 0 and held == 40, f"{held} of 40 visits are held")
    return row


def of_two_trainings(folder: Path, settings: Sequence[str], rounds: int, dice: Random) -> Row:
    """Begin the same training twice in one folder."""
    row = Row("two at once", "trainings of one run")
    assert finished(train(settings, folder / "alone")) == 0
    whole = results_of(folder / "alone")
    for round_ in range(rounds):
        output = folder / f"both {round_}"
        wait = dice.uniform(0, 2)

        def late(say: Say, output: Path = output, wait: float = wait) -> None:
            time.sleep(wait)
            train(settings, output)(say)

        status = finished(train(settings, output), late)
        told = (folder / f"{output.name}.txt").read_text()
        refused = "another process is at work" in told
        row.tried += 1
        row.refused += refused
        if "Traceback" in told or results_of(output) != whole or (status != 0 and not refused):
            row.silent += 1
            row.told.append(f"{output}: status {status}, {told[-300:]}")
        else:
            row.accepted += not refused
    return row


def of_the_clock(folder: Path, jumps: int, dice: Random) -> Row:
    """Let the clock jump by years, forwards and backwards, between the events of an audit log."""
    row = Row("clock", "jumps between events of the audit log")
    (folder / "log").mkdir(parents=True)
    path, anchor = folder / "log" / "audit.jsonl", folder / "anchor.json"

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=dice.uniform(-20_000, 20_000))

    log = AuditLog.open(path, KEY, anchor)
    with patch.object(audit, "datetime", Jumping):
        for each in range(jumps):
            log.append(Event("nora", "clinician", Action.RANK, seed=each))
    seeds = [each.event.seed for each in read_events(path, KEY, anchor)]
    row.missing(jumps - len(seeds), "events written while the clock jumped")
    row.right(seeds == list(range(jumps)), "events are in another order than written")
    row.tried = row.accepted = jumps * (verify(path, KEY, anchor).count == jumps)
    return row


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def of_the_tracking_server(folder: Path, settings: Sequence[str], rounds: int) -> Row:
    """Finish trainings while the server is gone, and record them once it is back."""
    row = Row("MLflow server", "gone when a run ends, and back")
    folder.mkdir(parents=True, exist_ok=True)
    own = [each for each in settings if not each.startswith("tracking")]
    for round_ in range(rounds):
        port, output = _free_port(), folder / f"run {round_}"
        asked = [*own, f"tracking.uri=http://127.0.0.1:{port}", "tracking.register=false"]
        status = finished(train(asked, output))
        told = (folder / f"{output.name}.txt").read_text()
        right = status != 0 and "could not be recorded" in told and "Traceback" not in told
        row.right(right, f"without a server: {told[-300:]}")
        program = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        store = ["--backend-store-uri", f"sqlite:///{folder}/{round_}.db"]
        files = ["--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([*program, *store, *files], **quiet) as server:
            try:
                _wait_for(port)
                status = finished(train(asked, output))
                [recorded] = output.glob("*/*/tracking.json")
                held = json.loads(recorded.read_text()).get("run_id")
                row.right(status == 0 and bool(held), "the run is not recorded by the server")
            finally:
                server.terminate()
    return row


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError("no tracking server within two minutes")
