"""The long version of the faults: scripts/faults [part …] [n=100000] [times=50] [seed=1]."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

from omics_twin.files import write_json, write_whole
from tests.faults.examining import Tally, inputs
from tests.faults.rows import Row
from tests.faults.suite import faults, readers, trained

OUTPUT = Path("outputs") / "faults"
_STEP = 500


def _asked(arguments: Sequence[str]) -> tuple[list[str], int, int, int]:
    numbers = {"n": 100_000, "times": 50, "seed": 1}
    parts = []
    for each in arguments:
        name, equals, value = each.partition("=")
        if equals and name in numbers and value.isdecimal():
            numbers[name] = int(value)
        elif equals:
            raise SystemExit(f"faults: unknown '{each}', expected n=…, times=… or seed=…")
        else:
            parts.append(each)
    return parts, numbers["n"], numbers["times"], numbers["seed"]


def _row_of(name: str, tally: Tally) -> Row:
    kinds = [fault.kind for fault in tally.faults]
    silent = kinds.count("silent acceptance")
    told = [f"{f.kind}: {f.told[:500]} | {f.content[:300]!r}" for f in tally.faults[:20]]
    crashed = len(kinds) - silent
    counts = (tally.tried, tally.refused, tally.accepted, silent, 0, crashed)
    return Row("fuzzing", name, *counts, told)


def fuzz(folder: Path, model: Path, wanted: list[str], n: int, seed: int) -> list[Row]:
    """Show every reader its share of inputs; what was shown before is not shown again."""
    rows = []
    for name, (make, share) in readers(folder, model).items():
        if wanted and not any(each in f"fuzzing {name}" for each in wanted):
            continue
        total, place = max(1, round(n * share)), OUTPUT / "state" / f"{seed} {_file(name)}.json"
        row = Row(**json.loads(place.read_text())) if place.is_file() else Row("fuzzing", name)
        reader = make()
        while row.tried < total:
            tally = Tally()
            for content in inputs(reader, seed, row.tried, min(total, row.tried + _STEP)):
                tally.show(reader, content)
            row = _sum(row, _row_of(name, tally))
            write_json(place, asdict(row))
            _say(f"  {name}: {row.tried:,} of {total:,}, {row.silent + row.crashed} faults")
        rows.append(row)
        _tell(row)
    return rows


def _sum(one: Row, other: Row) -> Row:
    names = ("tried", "refused", "accepted", "silent", "lost", "crashed")
    counts = {name: getattr(one, name) + getattr(other, name) for name in names}
    return Row(one.part, one.what, **counts, told=[*one.told, *other.told][:50])


def _file(name: str) -> str:
    return name.replace("/", " ")


def _say(line: str) -> None:
    print(line, flush=True)


def _tell(row: Row) -> None:
    _say(
        f"{row.part}, {row.what}: tried {row.tried:,}, refused {row.refused:,}, silent "
        f"{row.silent}, lost {row.lost}, crashed {row.crashed}"
    )
    for line in row.told[:3]:
        _say(f"    {line[:600]}")


def table(rows: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    head = (
        "| what | tried | refused in a sentence | as it should be | silent acceptances | lost "
        "| tracebacks, hangs |\n|---|---|---|---|---|---|---|\n"
    )
    lines = [
        f"| {r.part}: {r.what} | {r.tried:,} | {r.refused:,} | {r.accepted:,} | {r.silent} "
        f"| {r.lost} | {r.crashed} |"
        for r in rows
    ]
    fuzzed = sum(row.tried for row in rows if row.part == "fuzzing")
    rest = sum(row.tried for row in rows) - fuzzed
    return f"{head}{chr(10).join(lines)}\n\n{fuzzed:,} inputs, {rest:,} faults.\n"


def main(arguments: Sequence[str]) -> int:
    """Try everything, or the parts that are named; return whether anything went wrong."""
    wanted, n, times, seed = _asked(arguments)
    begun, rows = time.monotonic(), []
    place = OUTPUT / "small"
    place.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "training.txt").open("w") as told, contextlib.redirect_stdout(told):
        small = trained(place)
    with tempfile.TemporaryDirectory() as folder:
        rows += fuzz(Path(folder) / "readers", small.model, wanted, n, seed)
        for name, tries in faults(Path(folder), small, times, Random(seed)):
            if wanted and not any(each in f"faults {name}" for each in wanted):
                continue
            found = tries()
            rows += found
            for row in found:
                _tell(row)
    text = table(rows)
    write_whole(OUTPUT / "table.md", text.encode())
    write_json(OUTPUT / "table.json", [asdict(row) for row in rows])
    _say(f"\n{text}\n{time.monotonic() - begun:.0f} s; {OUTPUT / 'table.md'}")
    failed = [row for row in rows if not row.passed]
    for row in failed:
        _say(f"failed: {row.part}, {row.what}")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
