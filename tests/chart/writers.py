"""Writers of one chart, each a process of its own, killed half-way and begun anew."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from omics_twin.chart.store import Chart
from omics_twin.told import RecordedVisit

ROOT = Path(__file__).parents[2]
BY = "dr nora"


def write(place: str, writer: int, visits: int) -> None:
    """Print the number of each visit once it is acknowledged."""
    chart = Chart.open(place)
    print("open", flush=True)
    sys.stdin.readline()
    for each in range(visits):
        value = writer * 1000 + each + 0.1
        visit = RecordedVisit(day=float(each), values={"tumour": {"sld_mm": value}})
        patient = f"p{each % 4}"
        print(chart.add_visit(patient, visit, key=f"w{writer}-{each}", by=f"writer {writer}"))
        sys.stdout.flush()


def killed_writers(place: str, *, writers: int, visits: int, seed: int) -> tuple[int, int]:
    """Kill writers half-way, let them begin anew, and return acknowledged lost and all written."""
    chart = Chart.open(place)
    for each in range(4):
        chart.add_patient(f"p{each}", by=BY)
    first = _started(place, writers, visits)
    generator = random.Random(seed)
    acknowledged: list[int] = []
    for writer in first:
        for _ in range(generator.randrange(1, visits // 2)):
            acknowledged.append(int(writer.stdout.readline()))
        writer.kill()
    for writer in first:
        # The last line may be cut off, and was then not acknowledged.
        rest = writer.communicate()[0].rpartition("\n")[0]
        acknowledged += [int(each) for each in rest.split()]
    again = _started(place, writers, visits)
    for writer in again:
        acknowledged += [int(each) for each in writer.communicate()[0].split()]
        assert writer.returncode == 0
    held = [number for each in range(4) for number in chart.visits(f"p{each}")]
    told = sorted(
        value
        for each in range(4)
        for seen in chart.record(f"p{each}").visits
        for value in seen.values["tumour"].values()
    )
    wanted = sorted(w * 1000 + each + 0.1 for w in range(writers) for each in range(visits))
    chart.close()
    assert told == wanted
    return len(set(acknowledged) - set(held)), len(held)


def _started(place: str, writers: int, visits: int) -> list[subprocess.Popen[str]]:
    program = [sys.executable, __file__, place]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([*program, str(each), str(visits)], env=environment, **pipes)
        for each in range(writers)
    ]
    for writer in started:
        assert writer.stdout.readline() == "open\n"
    for writer in started:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return started


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
