"""Files damaged after they were written: read as they were, or refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from unittest import mock

import torch

from omics_twin.chart.store import Chart
from omics_twin.models.checkpoint import SafeCheckpoints, last_checkpoint
from omics_twin.told import RecordedVisit
from omics_twin.tracking import TrainedModel
from omics_twin.trust.keys import STORE
from tests.faults.mutations import cut, flip
from tests.faults.rows import Row


def _damaged(
    row: Row, path: Path, trials: int, dice: Random, read: Callable[[], object], whole: object
) -> None:
    """Damage one file again and again; what is read must be what was there before."""
    content = path.read_bytes()
    try:
        for trial in range(trials):
            damaged = dice.choice((flip, flip, cut))(content, dice)
            path.write_bytes(damaged)
            with row.trial(f"'{path.name}' damaged, trial {trial}"):
                found = read()
                row.right(found == whole, f"'{path.name}' damaged is read as something else")
    finally:
        path.write_bytes(content)


def of_checkpoints(run: Path, folder: Path, trials: int, dice: Random) -> list[Row]:
    """Damage the checkpoint of a run, and the pointer to it."""
    own = folder / "checkpoints"
    shutil.copytree(run / "checkpoints", own, dirs_exist_ok=True)

    def read() -> str:
        path = last_checkpoint(own)
        if path is None:
            return "none"
        return repr(_plain(SafeCheckpoints().load_checkpoint(path)))

    rows = []
    path = last_checkpoint(own)
    assert path is not None
    whole = read()
    for name in (path.name, "last.json"):
        row = Row("damaged file", f"checkpoint, {'tensors' if name != 'last.json' else 'pointer'}")
        _damaged(row, own / name, trials, dice, read, whole)
        rows.append(row)
    return rows


def _plain(value: object) -> object:
    """Return tensors as something that can be compared in full."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().contiguous().view(-1).numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def of_a_model(model: Path, folder: Path, trials: int, dice: Random) -> list[Row]:
    """Damage each file of a trained model."""
    own = folder / "model"
    shutil.copytree(model, own)

    def read() -> tuple[object, ...]:
        found = TrainedModel.load(own)
        weights = found.twin.network.state_dict() if hasattr(found.twin, "network") else {}
        return found.title, repr(_plain(dict(weights))), repr(found.provenance)

    rows = []
    for path in sorted(own.iterdir()):
        row = Row("damaged file", f"model, {path.name}")
        _damaged(row, path, trials, dice, read, read())
        rows.append(row)
    return rows


def of_a_sealed_chart(folder: Path, trials: int, dice: Random) -> Row:
    """Damage the file of a chart that is sealed, page by page."""
    with mock.patch.dict(os.environ, {STORE: "5a" * 32}):
        return of_the_chart(folder, trials, dice, "sealed chart in SQLite")


def of_the_chart(folder: Path, trials: int, dice: Random, what: str = "chart in SQLite") -> Row:
    """Damage the file of a chart."""
    path = folder / f"{what}.db"
    place = f"sqlite:///{path}"
    with closing(Chart.open(place)) as chart:
        for patient in ("p1", "p2", "p3"):
            chart.add_patient(patient, by="nora", stratum={"hr_positive": "1"})
            for day in range(20):
                visit = RecordedVisit(day=float(day), values={"tumour": {"sld_mm": 50.0 - day}})
                chart.add_visit(patient, visit, key=f"k{day}", by="nora")

    def read() -> object:
        for beside in ("-wal", "-shm"):
            Path(f"{path}{beside}").unlink(missing_ok=True)
        with closing(Chart.open(place)) as own:
            return [own.record(patient) for patient in ("p1", "p2", "p3")]

    row = Row("damaged file", what)
    whole = read()
    _damaged(row, path, trials, dice, read, whole)
    return row
