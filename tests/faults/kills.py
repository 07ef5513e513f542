"""Processes killed at random moments: what they acknowledged is there, and work goes on."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import torch

from omics_twin.bedside.belief import KeptBelief, read_belief, write_belief
from omics_twin.chart.store import Chart
from omics_twin.told import RecordedVisit
from omics_twin.trust.audit import AuditLog, read_events
from omics_twin.trust.event import Action, Event
from omics_twin.types import Modality, Observation, Visit
from tests.faults.rows import Row

KEY = bytes(range(32))
Say = Callable[[object], None]


def _started(work: Callable[[Say], None]) -> tuple[int, int]:
    """Start work in a child; what it says comes through a pipe."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.close(reading)
        work(lambda told: os.write(writing, f"{told}\n".encode()))
        status = 0
    except SystemExit as ended:
        status = int(str(ended.code or 0))
    except BaseException:  # noqa: BLE001  a child tells of everything, then ends
        traceback.print_exc()
    finally:
        os._exit(status)


def killed(work: Callable[[Say], None], first: int, seconds: float) -> list[str]:
    """Kill work some time after it has said a few things; return everything it said."""
    child, reading = _started(work)
    with os.fdopen(reading) as stream:
        said = [stream.readline() for _ in range(first)]
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said += stream.readlines()
    # A line that was cut off was not said.
    return [line.strip() for line in said if line.endswith("\n")]


def finished(*works: Callable[[Say], None]) -> int:
    """Let work come to its end, several at once; return the worst exit status."""
    children = [_started(work) for work in works]
    statuses = []
    for child, reading in children:
        with os.fdopen(reading) as stream:
            stream.read()
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return max(statuses, key=abs)


def of_the_audit_log(folder: Path, kills: int, dice: Random) -> Row:
    """Kill writers of one audit log."""
    row = Row("kill -9", "audit log")
    (folder / "log").mkdir(parents=True)
    path, anchor = folder / "log" / "audit.jsonl", folder / "anchor.json"

    def work(say: Say) -> None:
        log = AuditLog.open(path, KEY, anchor)
        for _ in range(10_000):
            say(log.append(Event("writer", "service", Action.SCORE)))

    acknowledged: set[int] = set()
    for _ in range(kills):
        said = killed(work, dice.randrange(1, 4), dice.uniform(0, 0.02))
        with row.trial("audit log after a kill"):
            AuditLog.open(path, KEY, anchor)
            acknowledged |= {int(each) for each in said}
            held = {each.number for each in read_events(path, KEY, anchor)}
            row.missing(len(acknowledged - held), "events of the audit log")
            row.right(held == set(range(1, len(held) + 1)), "numbers of events have a gap")
    return row


def of_the_chart(place: str, kills: int, dice: Random) -> Row:
    """Kill writers of one chart, who then begin anew."""
    row = Row("kill -9", f"chart in {place.partition(':')[0]}")
    with closing(Chart.open(place)) as chart:
        chart.add_patient("p1", by="nora")

    def work(round_: int) -> Callable[[Say], None]:
        def write(say: Say) -> None:
            with closing(Chart.open(place)) as own:
                for each in range(10_000):
                    day = round_ * 10_000.0 + each
                    visit = RecordedVisit(day=day, values={"tumour": {"sld_mm": day}})
                    say(own.add_visit("p1", visit, key=f"{round_}-{each}", by="writer"))

        return write

    acknowledged: set[int] = set()
    for round_ in range(kills):
        said = killed(work(round_), dice.randrange(1, 3), dice.uniform(0, 0.05))
        with row.trial("chart after a kill"), closing(Chart.open(place)) as chart:
            acknowledged |= {int(each) for each in said}
            held = chart.visits("p1")
            row.missing(len(acknowledged - set(held)), "visits of the chart")
            told = chart.record("p1").visits
            right = all(v.values["tumour"]["sld_mm"] == v.day for v in told)
            row.right(right and len(told) == len(held), "a visit is not as it was sent")
    return row


def visit_on(day: float) -> Visit:
    """Return a visit whose size is its day."""
    values = torch.tensor([[day, torch.nan]], dtype=torch.float64)
    return Visit(Observation(("p1",), torch.tensor([day], dtype=torch.float64), {"size": values}))


SIZE = Modality("size", "mm", ("size_mm", "new_lesions"))


def of_a_belief(folder: Path, kills: int, dice: Random) -> Row:
    """Kill who shows visits to a twin and keeps its belief."""
    row = Row("kill -9", "belief kept between visits")
    path = folder / "belief.json"
    write_belief(path, KeptBelief("p1", "a" * 64, 10, 1), [SIZE])

    def work(say: Say) -> None:
        kept = read_belief(path, [SIZE])
        for _ in range(10_000):
            kept = kept.seen(visit_on(float(len(kept.visits))))
            write_belief(path, kept, [SIZE])
            say(len(kept.visits))

    acknowledged = 0
    for _ in range(kills):
        said = killed(work, dice.randrange(1, 3), dice.uniform(0, 0.01))
        acknowledged = max([acknowledged, *map(int, said)])
        with row.trial("belief after a kill"):
            held = read_belief(path, [SIZE])
            row.missing(max(0, acknowledged - len(held.visits)), "visits of a belief")
            days = [float(each.observation.days[0]) for each in held.visits]
            row.right(days == list(map(float, range(len(days)))), "a belief has other visits")
        if acknowledged > 60:
            write_belief(path, KeptBelief("p1", "a" * 64, 10, 1), [SIZE])
            acknowledged = 0
    return row


def train(settings: Sequence[str], output: Path) -> Callable[[Say], None]:
    """Return a training in a folder; what it prints goes beside the folder."""

    def work(say: Say) -> None:
        from omics_twin.cli import main

        with (output.parent / f"{output.name}.txt").open("a") as told:
            os.dup2(told.fileno(), sys.stdout.fileno())
            os.dup2(told.fileno(), sys.stderr.fileno())
            say("begun")
            status = main(["train", *settings, f"output_root={output}"])
            sys.stdout.flush()
        if status:
            raise SystemExit(status)

    return work


def results_of(output: Path) -> dict[str, bytes]:
    """Return what a finished training leaves that depends on nothing but its settings."""
    [path] = output.glob("*/*/model/weights.safetensors")
    return {"weights": path.read_bytes()}


def of_training(folder: Path, settings: Sequence[str], kills: int, dice: Random) -> Iterator[Row]:
    """Kill a training anywhere between its first and last second; yield the row as it grows."""
    row = Row("kill -9", "training, then resumed to the end")
    begun = time.monotonic()
    assert finished(train(settings, folder / "whole")) == 0
    whole, seconds = results_of(folder / "whole"), time.monotonic() - begun
    broken, number = folder / "broken 0", 0
    for kill in range(kills):
        killed(train(settings, broken), 1, dice.uniform(0, seconds))
        row.right(_is_sound(broken), f"{broken} is left in a state that is no run")
        # Every few kills the training is let go to its end, and another one begins.
        if kill % 5 == 4 or kill == kills - 1:
            status = finished(train(settings, broken))
            told = f"{broken}: status {status}, or other weights than without a kill"
            row.right(status == 0 and results_of(broken) == whole, told)
            number += 1
            broken = folder / f"broken {number}"
        yield row


def _is_sound(output: Path) -> bool:
    """Return whether every file that is there under its name is whole."""
    for path in output.glob("*/*/**/*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_bytes())
    return True
