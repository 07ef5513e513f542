"""Do gene and patient graphs earn their place on real cohorts? Prints c-indices, asserts nothing.

Run: ``OMICS_TWIN_DATA=data python scripts/bench/graph_sanity.py tcga_kirc tcga_gbmlgg tcga_blca``.
For each cohort, on its own folds: every gene encoder and ridge Cox; then, of each encoder, what
is left when survival is shuffled over patients, and, of the encoders on a gene graph, when its
interactions are rewired with every gene's degree kept. ``--seeds`` repeats training.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from omics_twin.asked import read_cohort
from omics_twin.config import Config, load
from omics_twin.evaluate.baselines import fit_predict_folds
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.score import score
from omics_twin.judged import judging
from omics_twin.judged.predictions import baseline_design, held_out_predictions
from omics_twin.report.console import Console
from omics_twin.settings import GeneEncoder
from omics_twin.tensors.graph import rewired
from omics_twin.training import learning, tasks
from omics_twin.training.tasks import Task
from omics_twin.trust.consent import Purpose

CONSOLE = Console(quiet=True)


def settings(experiment: str, encoder: GeneEncoder, seed: int) -> Config:
    return load(
        "train",
        [
            f"experiment={experiment}",
            f"model.gene_encoder={encoder.name}",
            f"trainer.seed={seed}",
            "split.replicas=2",
            "twin.calibration=NONE",
            "tracking=off",
        ],
    )


def shuffled(task: Task, seed: int) -> Task:
    """Return the task with every patient's survival given to another patient."""
    order = np.random.default_rng(seed).permutation(len(task.arms))
    given = task.outcome
    event = None if given.event is None else given.event[order]
    return replace(task, outcome=replace(given, values=given.values[order], event=event))


def c_index(task: Task, config: Config) -> tuple[float, float]:
    """Return the held-out c-index, and how long training took [second]."""
    with TemporaryDirectory() as folder:
        start = perf_counter()
        fitted = learning.fit(task, config, Path(folder), CONSOLE)
        took = perf_counter() - start
    model = learning.model_of(task, fitted, config)
    predicted = held_out_predictions(task, model, fitted.plan, config)
    return judging.metrics(task, predicted, {})["model"]["c_index"]["mean"], took


def ridge_cox(task: Task, config: Config) -> tuple[float, float]:
    """Return the baseline's held-out c-index, and how long it took [second]."""
    start = perf_counter()
    design = baseline_design(task)
    fitted = fit_predict_folds(
        "ridge_cox", design, task.outcome, task.held_out, seed=config.split.seed
    )
    found = summarise([score(task.outcome, each) for each in fitted.received])
    return float(found["c_index"]["mean"]), perf_counter() - start


def told(name: str, found: Sequence[tuple[float, float]]) -> None:
    values, times = zip(*found, strict=True)
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    print(f"  {name:32} {mean(values):.3f}{spread}   {mean(times):5.1f} s", flush=True)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("experiments", nargs="+")
    asked.add_argument("--seeds", type=int, default=1)
    asked.add_argument("--checks", action="store_true", help="shuffled survival, rewired graphs")
    given = asked.parse_args()
    for experiment in given.experiments:
        config = settings(experiment, GeneEncoder.COMPONENTS, 0)
        cohort = read_cohort(config, CONSOLE, Purpose.TRAINING)
        print(f"{experiment}: {len(cohort.patient_ids)} patients, c-index, time of training")
        told("ridge_cox", [ridge_cox(tasks.task_of(cohort, config, CONSOLE), config)])
        for encoder in GeneEncoder:
            runs = [settings(experiment, encoder, seed) for seed in range(given.seeds)]
            task = tasks.task_of(cohort, runs[0], CONSOLE)
            told(encoder.name, [c_index(task, run) for run in runs])
            if not given.checks:
                continue
            if task.graph is not None and encoder is GeneEncoder.GENE_GRAPH:
                others = [replace(task, graph=rewired(task.graph, s)) for s in range(given.seeds)]
                pairs = zip(others, runs, strict=True)
                told(f"{encoder.name}, rewired", [c_index(*each) for each in pairs])
            others = [shuffled(task, seed) for seed in range(given.seeds)]
            pairs = zip(others, runs, strict=True)
            told(f"{encoder.name}, survival shuffled", [c_index(*each) for each in pairs])


if __name__ == "__main__":
    main()
