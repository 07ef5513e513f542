"""How fast an audit log is written and verified: python -m scripts.bench.audit [folder]."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from omics_twin.trust.audit import AuditLog, verify
from omics_twin.trust.event import Action, Event, digest_of

KEY = bytes(range(32))
DURABLE, QUICK = 1_000, 100_000


@contextmanager
def no_disk() -> Iterator[None]:
    with patch("os.fsync"):
        yield


def rate(log: AuditLog, events: int) -> float:
    digest = digest_of("lines")
    patient = log.pseudonym("p1")
    event = Event("dr nora", "clinician", Action.RANK, patient=patient, seed=1, answer=digest)
    begun = time.perf_counter()
    for _ in range(events):
        log.append(event)
    return events / (time.perf_counter() - begun)


def main() -> None:
    above = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=above) as folder:
        (Path(folder) / "log").mkdir()
        path, anchor = Path(folder) / "log" / "audit.jsonl", Path(folder) / "anchor.json"
        print(f"on disk, with anchor: {rate(AuditLog.open(path, KEY, anchor), DURABLE):,.0f}/s")
        alone = AuditLog.open(path, KEY)
        print(f"on disk, no anchor: {rate(alone, DURABLE):,.0f}/s")
        with no_disk():
            print(f"not waiting for the disk, no anchor: {rate(alone, QUICK):,.0f}/s")
        begun = time.perf_counter()
        found = verify(path, KEY)
        seconds = time.perf_counter() - begun
        print(
            f"verified: {found.count:,} events in {seconds:.2f} s, {found.count / seconds:,.0f}/s"
        )


if __name__ == "__main__":
    main()
