"""Patients scored by workers of Ray, on this machine or on those of a cluster.

One process reads the patients, asks for consent and writes; a worker holds the model and answers a
block at a time. Workers need omics_twin and nothing else: the model's files travel to them, and
nothing that they share has to be a disk. Ray Data would cut blocks of its own, of another size each
time, and a block is what an answer can be given again of.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from omics_twin.answers.together import Answering, Block, answers_to
from omics_twin.errors import ConfigError, TrainingError
from omics_twin.settings import ScoreSettings, TwinSettings
from omics_twin.tracking import TrainedModel

# A worker or machine that is lost is replaced, and its block answered again.
_LOST = {"max_restarts": 3, "max_task_retries": 3}


class _Worker:
    """Holds the model in a process of its own."""

    def __init__(
        self, files: Sequence[Any], settings: TwinSettings, excluded: bool, threads: int
    ) -> None:
        import ray

        # As many as where the patients are read: sums of another order end in other bits.
        torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in ray.get(files[0]).items():
                (Path(folder) / name).write_bytes(content)
            self._model = TrainedModel.load(Path(folder))
        self._settings, self._excluded = settings, excluded

    def answer(self, block: Block) -> tuple[int, pa.Table]:
        return block.number, answers_to(self._model, block, self._settings, excluded=self._excluded)


@contextmanager
def by_workers(
    model: TrainedModel, settings: TwinSettings, asked: ScoreSettings, *, excluded: bool
) -> Iterator[Answering]:
    """Yield what answers blocks by as many workers as asked for, each block as soon as it can.

    The cluster is the one that ``RAY_ADDRESS`` names; otherwise one is started here, on loopback.

    Raises
    ------
    ConfigError
        If Ray is not installed, or the cluster does not answer.
    TrainingError
        If a worker is lost again and again.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.util import ActorPool
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"score=ray needs {missing.name}, which is not installed: pip install 'omics-twin[ray]'"
        ) from missing
    threads = torch.get_num_threads()
    here = {
        "num_cpus": asked.workers * threads,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    named = "RAY_ADDRESS" in os.environ
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", **({} if named else here))
    except ConnectionError as error:
        raise ConfigError(
            "the Ray cluster of RAY_ADDRESS does not answer: start it, or unset RAY_ADDRESS"
        ) from error
    except Exception as error:
        # Ray itself has no narrower one for a machine on which its processes come up too late.
        raise TrainingError(
            f"Ray did not start ({error}): leave score=ray out, or name a cluster by RAY_ADDRESS"
        ) from error
    try:
        # A worker that is replaced asks for the files again: they are held here.
        files = [ray.put(_files_of(model))]
        hired = ray.remote(num_cpus=threads, **_LOST)(_Worker)
        workers = [hired.remote(files, settings, excluded, threads) for _ in range(asked.workers)]
        yield lambda blocks: _answered(ActorPool(workers), blocks)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise TrainingError(
            f"the workers were lost ({type(error).__name__}): start again to go on"
        ) from error
    finally:
        ray.shutdown()


def _files_of(model: TrainedModel) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        model.save(saved)
        return {each.name: each.read_bytes() for each in saved.iterdir()}


def _answered(pool: Any, blocks: Iterable[Block]) -> Iterator[tuple[int, pa.Table]]:
    """Yield answers as they come; a block is read when a worker is free for it."""
    for block in blocks:
        if not pool.has_free():
            yield pool.get_next_unordered()
        pool.submit(lambda worker, each: worker.answer.remote(each), block)
    while pool.has_next():
        yield pool.get_next_unordered()
