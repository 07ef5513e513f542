"""What every folder of tests may ask for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jaxtyping
import pytest

from omics_twin.cli import main
from omics_twin.files import alone

# Minutes each: begun first, no worker is left alone with one of them at the end.
_LONGEST = (
    "test_notebooks.py",
    "test_real_tumour_size.py",
    "test_resume.py",
    "test_planted_module.py",
    "test_search.py",
    "test_pipelines.py",
    "test_calibration.py",
    "test_ablation.py",
    "test_canaries.py",
    "test_start_from.py",
    "test_real_visits.py",
    "test_real_xenograft.py",
    "test_population.py",
    "test_course.py",
    "test_flare.py",
    "test_private_training.py",
    "test_response.py",
    "test_volume.py",
    "test_published.py",
)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what stands beside the tests: no examples, and imports that need not be there."""
    beside = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if beside else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; those of one worker stay together."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Hand over what the annotations forbid, as a caller without a type checker can."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@dataclass(frozen=True)
class SmallRun:
    """A run of a few seconds: what later tests read, and copy before they change it."""

    trial: Path
    run: Path
    settings: tuple[str, ...]

    @property
    def model(self) -> Path:
        return self.run / "model"


def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of this run of the tests: that of all workers, if there are any."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Train a small twin on a small synthetic trial, once for all tests of all workers."""
    folder = shared(tmp_path_factory) / "small_run"
    settings = (
        "intake.patients=150",
        "intake.genes=200",
        "model=small",
        "split.folds=2",
        "split.repeats=1",
        "split.replicas=2",
        "trainer.max_epochs=3",
        "trainer.checkpoint_every_epochs=1",
        "trainer.device=CPU",
        "tracking=off",
        "twin.calibration=NONE",
        f"synthetic_root={folder / 'trial'}",
    )
    arguments = ["experiment=synthetic_response", *settings, f"output_root={folder / 'runs'}"]
    latest = folder / "runs" / "synthetic_response" / "latest.json"
    # Whoever comes second waits for the first.
    with alone(folder, wait=True):
        if not latest.is_file():
            assert main(["train", *arguments]) == 0
    run = json.loads(latest.read_text())["run_folder"]
    return SmallRun(folder / "trial", Path(run), settings)
