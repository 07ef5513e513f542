"""Processes that append to one audit log; as a program, one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from omics_twin.trust.audit import AuditLog
from omics_twin.trust.event import Action, Event

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))


def write(folder: Path, name: str, events: int) -> None:
    """Append events, and say each number once it is acknowledged."""
    log = AuditLog.open(folder / "log" / "audit.jsonl", KEY, folder / "anchor.json")
    print("open", flush=True)
    for _ in range(events):
        print(log.append(Event(name, "service", Action.SCORE)), flush=True)


def started(folder: Path, name: str, events: int) -> subprocess.Popen[str]:
    """Return a writer that has opened the log in ``folder/log``; its anchor is in ``folder``."""
    (folder / "log").mkdir(exist_ok=True)
    program = [sys.executable, __file__, str(folder), name, str(events)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writer = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    return writer


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
