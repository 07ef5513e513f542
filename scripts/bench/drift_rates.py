"""Measure how often `omics-twin monitor` raises an alarm: without a change, and for planted ones.

One synthetic trial is cut in two. A twin is trained on the first part; rounds of patients are drawn
from the second, whom it has never seen.

    python scripts/bench/drift_rates.py --trained 600 --patients 200 --rounds 200
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from omics_twin.asked import read_cohort
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import load
from omics_twin.judged import judging
from omics_twin.judged.predictions import held_out_predictions
from omics_twin.lifecycle import trained_on
from omics_twin.lifecycle.monitoring import compared, later_of
from omics_twin.lifecycle.questions import Later
from omics_twin.report.console import Console
from omics_twin.settings import MonitorSettings
from omics_twin.tracking import AnyModel, TrainedModel
from omics_twin.training import learning, tasks
from omics_twin.trust.consent import Purpose


def trained(arguments: argparse.Namespace, folder: Path) -> tuple[TrainedModel, Cohort, object]:
    """Return a twin of some of a trial's patients, and the others."""
    config = load(
        "train",
        [
            "experiment=synthetic_response",
            f"intake.patients={arguments.trained + arguments.later}",
            "intake.genes=500",
            "model=small",
            "split.folds=5",
            "split.repeats=1",
            f"split.replicas={arguments.replicas}",
            f"trainer.max_epochs={arguments.epochs}",
            "trainer.device=CPU",
            "tracking=off",
            f"synthetic_root={folder / 'trial'}",
        ],
    )
    console = Console(quiet=True)
    cohort = read_cohort(config, console, Purpose.TRAINING)
    ids = np.array(cohort.patient_ids)
    order = np.random.default_rng(arguments.seed).permutation(len(ids))
    own, others = order[: arguments.trained], order[arguments.trained :]
    task = tasks.task_of(cohort.select(ids[np.sort(own)].tolist()), config, console)
    fitted = learning.fit(task, config, folder / "checkpoints", console)
    model = learning.model_of(task, fitted, config)
    found = held_out_predictions(task, model, fitted.plan, config)
    metrics = judging.metrics(task, found, {})
    metrics["intervals"] = judging.comparing.intervals(task, {"model": found.received})
    reference = trained_on.reference_of(task, found.received, found.every_arm)
    model = replace(
        model, reference=reference, provenance={**model.provenance, "performance": metrics}
    )
    return model, cohort.select(ids[np.sort(others)].tolist()), config


def _moved(modality: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Cohort], None]:
    def plant(cohort: Cohort) -> None:
        part = next(p for p in cohort.measurements.mod.values() if p.uns["modality"] == modality)
        part.X = change(np.array(part.X, dtype=float))

    return plant


def _expression_batch(values: np.ndarray) -> np.ndarray:
    return values + 0.5 * np.nanstd(values, axis=0)


def _one_gene(values: np.ndarray) -> np.ndarray:
    values[:, 0] += np.nanstd(values[:, 0])
    return values


def _millimetres(values: np.ndarray) -> np.ndarray:
    values[:, 0] *= 10.0
    return values


def _lost(values: np.ndarray) -> np.ndarray:
    values[np.random.default_rng(0).random(len(values)) < 0.3] = np.nan
    return values


PLANTED = {
    "every gene + 0.5 sd (another batch)": _moved("transcriptomics", _expression_batch),
    "one gene of 500 + 1 sd": _moved("transcriptomics", _one_gene),
    "first radiomic feature x 10 (unit)": _moved("radiomics", _millimetres),
    "transcriptomics lost in 30 %": _moved("transcriptomics", _lost),
}


def with_outcome(later: Later, change: Callable[[np.ndarray], np.ndarray]) -> Later:
    """Return later patients to whom something else happened."""
    assert later.outcome is not None
    return replace(later, outcome=replace(later.outcome, values=change(later.outcome.values)))


def fewer(values: np.ndarray) -> np.ndarray:
    """Turn every other response into none."""
    spared = np.random.default_rng(1).random(len(values)) < 0.5
    return np.where(spared, 0.0, values)


def shuffled(values: np.ndarray) -> np.ndarray:
    """Give every patient another one's outcome."""
    return np.random.default_rng(2).permutation(values)


def rates(model: AnyModel, later: Later, arguments: argparse.Namespace) -> Counter[str]:
    """Return in how many rounds each question, and any, raised an alarm."""
    counted: Counter[str] = Counter()
    generator = np.random.default_rng([arguments.seed, 7])
    for _ in range(arguments.rounds):
        order = generator.permutation(len(later.every_arm))
        found = compared(model, later.at(order < arguments.patients), MonitorSettings())
        counted.update(found.alarms)
        counted["any"] += bool(found.alarms)
    return counted


def told(counted: Counter[str], rounds: int) -> str:
    """Return the shares of the rounds in words."""
    return ", ".join(f"{key} {count / rounds:.3f}" for key, count in counted.most_common())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("trained", 600),
        ("later", 1400),
        ("patients", 200),
        ("rounds", 200),
        ("epochs", 40),
        ("replicas", 2),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, cohort, config = trained(arguments, Path(folder))
        settings = config.twin  # type: ignore[attr-defined]
        unchanged = later_of(model, cohort, settings)
        rounds = {"nothing changed": unchanged}
        for name, plant in PLANTED.items():
            changed = cohort.select(cohort.patient_ids)
            plant(changed)
            rounds[name] = later_of(model, changed, settings)
        rounds["half of the responses do not come"] = with_outcome(unchanged, fewer)
        rounds["outcomes shuffled"] = with_outcome(unchanged, shuffled)
        print(f"{arguments.rounds} rounds of {arguments.patients} patients: share with an alarm")
        for name, later in rounds.items():
            found = rates(model, later, arguments)
            print(f"{name:<40} {told(found, arguments.rounds)}", flush=True)


if __name__ == "__main__":
    main()
