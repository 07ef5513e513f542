"""A disk that is full, or cannot be written: an error in words, and what was there stays."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from omics_twin.bedside.belief import KeptBelief, write_belief
from omics_twin.chart.store import Chart
from omics_twin.cli import main
from omics_twin.files import write_json
from omics_twin.told import RecordedVisit
from omics_twin.tracking import TrainedModel
from omics_twin.trust.audit import AuditLog, read_events
from omics_twin.trust.audit_key import audit_key
from omics_twin.trust.event import Action, Event
from tests.faults.kills import KEY, SIZE, visit_on
from tests.faults.rows import Row

_BLOCK = 4096


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path | None]:
    """Mount a disk of some size; None where nobody may."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nobody write to a disk."""
    gc.collect()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True, capture_output=True)


@contextmanager
def filled(disk: Path, left: int) -> Iterator[None]:
    """Fill a disk but for some bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        with contextlib.suppress(OSError):
            while True:
                stream.write(bytes(_BLOCK))
        size = stream.tell()
        stream.truncate(max(0, (size // _BLOCK) * _BLOCK - left))
    try:
        yield
    finally:
        ballast.unlink()


@dataclass(frozen=True)
class Site:
    """Something that writes.

    Attributes
    ----------
    write
        Writes below a folder; called again and again.
    holds
        What the folder holds of it; must be the same after a write that failed.
    steps
        Bytes that are left on the disk in turn.
    """

    name: str
    write: Callable[[Path], object]
    holds: Callable[[Path], object]
    steps: tuple[int, ...] = (0, _BLOCK, 2 * _BLOCK)


def _asked(*request: str) -> None:
    """Ask by the command line, which must answer in words."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        status = main(list(request))
    if status:
        sentences = told.getvalue()
        if "Traceback" in sentences or not sentences.strip():
            raise AssertionError(f"{request[0]}: {sentences}")
        raise OSError(sentences)


def _bytes(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).read_bytes() if (folder / name).exists() else None


def _tree(name: str) -> Callable[[Path], object]:
    def held(folder: Path) -> object:
        root = folder / name
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    return held


def sites(model: Path, trial: Path, *, fit: tuple[str, ...] = ()) -> list[Site]:
    """Return what writes: files, databases, and the command line's answers."""
    trained = TrainedModel.load(model)
    number = iter(range(1_000_000))
    cohort = ["cohort=synthetic", f"synthetic_root={trial}", f"model_uri={model}"]
    patient = "patient=SYN0000002"

    def belief(folder: Path) -> None:
        kept = KeptBelief("p1", "a" * 64, 10, next(number), (visit_on(1.0),) * 60)
        write_belief(folder / "belief.json", kept, [SIZE])

    acknowledged: list[Path] = []

    def audit(folder: Path) -> None:
        (folder / "log").mkdir(exist_ok=True)
        log = AuditLog.open(folder / "log" / "a.jsonl", KEY, folder / "anchor.json")
        for _ in range(12):
            log.append(Event("nora", "clinician", Action.RANK, seed=next(number)))
            acknowledged.append(folder)

    def events(folder: Path) -> object:
        path, anchor = folder / "log" / "a.jsonl", folder / "anchor.json"
        found = len(read_events(path, KEY, anchor)) if path.exists() and anchor.exists() else 0
        # Those that were written before the disk was full are acknowledged, and stay.
        return found >= len(acknowledged)

    def chart(folder: Path) -> None:
        with closing(Chart.open(f"sqlite:///{folder / 'chart.db'}")) as own:
            if not own.has("p1"):
                own.add_patient("p1", by="nora")
            for _ in range(12):
                day = float(next(number))
                visit = RecordedVisit(day=day, values={"tumour": {"sld_mm": day}})
                own.add_visit("p1", visit, key=f"k{day}", by="nora")

    def visits(folder: Path) -> object:
        if not (folder / "chart.db").exists():
            return True
        with closing(Chart.open(f"sqlite:///{folder / 'chart.db'}")) as own:
            if not own.has("p1"):
                return True
            return all(v.values["tumour"]["sld_mm"] == v.day for v in own.record("p1").visits)

    def key(folder: Path) -> None:
        place = folder / "key" / "audit.key"
        place.unlink(missing_ok=True)
        audit_key(place, log=folder / "log" / "a.jsonl", create=True)

    def answers(verb: str, name: str, *more: str) -> Site:
        request = (verb, *cohort, *more)
        return Site(
            f"{verb}, {name}", lambda f: _asked(*request, f"output={f / name}"), _bytes(name)
        )

    found = [
        Site("JSON", lambda f: write_json(f / "a.json", [next(number)] * 4000), _bytes("a.json")),
        Site("model", lambda f: trained.save(f / "m"), _tree("m"), (0, 100_000, 300_000)),
        Site("belief", belief, _bytes("belief.json")),
        Site("audit log", audit, events, (0, _BLOCK, 2 * _BLOCK, 3 * _BLOCK)),
        Site("audit key", key, lambda f: None, (0,)),
        Site("chart", chart, visits, (0, _BLOCK, 4 * _BLOCK, 16 * _BLOCK, 40 * _BLOCK)),
        answers("rank", "r.csv", patient),
        answers("rank", "r.json", patient),
        answers("predict", "p.csv"),
        answers("evaluate", "e.json"),
        answers("report", "r.html", patient),
        answers("simulate", "s.html", patient),
        Site(
            "update",
            lambda f: _asked("update", *cohort, patient, f"beliefs={f / 'b'}"),
            _tree("b"),
        ),
        Site(
            "synthesise",
            lambda f: _asked("synthesise", "intake.patients=50", f"output={f / 't'}"),
            _tree("t"),
            (0, _BLOCK, 50_000, 200_000),
        ),
    ]
    if fit:
        request = ("train", *fit, f"synthetic_root={trial}")
        found.append(
            Site(
                "train",
                lambda f: _asked(*request, f"output_root={f / 'runs'}"),
                lambda f: None,
                (0, 20_000, 200_000, 500_000, 800_000, 1_200_000, 1_600_000),
            )
        )
    return found


def of_a_site(site: Site, disk: Path) -> Row:
    """Let something write to a disk that is full, then cannot be written, then can."""
    row = Row("full or read-only disk", site.name)
    for left in site.steps:
        before = site.holds(disk)
        with filled(disk, left):
            told = f"{site.name}, {left} bytes left"
            failed = _failed(row, site, disk, told)
        _check_kept(row, site, disk, before, failed, told)
    before = site.holds(disk)
    with read_only(disk):
        failed = _failed(row, site, disk, f"{site.name}, read-only")
    _check_kept(row, site, disk, before, failed, f"{site.name}, read-only")
    # Once there is room, it is as if nothing had been.
    told = f"{site.name}, with room again"
    if _failed(row, site, disk, told):
        row.crashed += 1
        row.told.append(f"{told}: it is still refused")
    if row.refused and site.name != "train":
        left_over = [str(p) for p in disk.rglob(".*") if p.is_file()]
        if left_over:
            row.silent += 1
            row.told.append(f"{site.name}: half-written files were left: {left_over}")
    return row


def _failed(row: Row, site: Site, disk: Path, told: str) -> bool:
    """Return whether a write was refused."""
    before = row.accepted
    with row.trial(told):
        site.write(disk)
        row.right(True, "")
    return row.accepted == before


def _check_kept(row: Row, site: Site, disk: Path, before: object, failed: bool, told: str) -> None:
    if failed and site.holds(disk) != before:
        row.lost += 1
        row.told.append(f"{told}: what was there before is not there any more")
