"""How often intervals hold in every group of patients, on copies they were not calibrated on.

A run calibrates its intervals on one simulated copy of its cohort, and the truth of patients who
are held out together is one member's: one copy tells little about a group. Here the calibration of
each of several copies is judged on the next two.

Usage: python scripts/studies/coverage_by_group.py RUN COPIES FOLDER [setting ...]
RUN is a finished run's folder, FOLDER keeps the copies' checkpoints, and the settings are those of
the run, as in experiment=ispy2_response.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from omics_twin.asked import read_cohort
from omics_twin.config import Config, load
from omics_twin.evaluate.attributes import NOT_KNOWN
from omics_twin.evaluate.fairness import THREE_POINTS
from omics_twin.judged import holding, interval_coverage, subgroups
from omics_twin.judged.held_answers import Held, answers_of, held_of, narrowed
from omics_twin.judged.simulated import fit_copy, simulated_copy
from omics_twin.report.console import Console
from omics_twin.tracking import MODEL_FOLDER, TrainedModel
from omics_twin.training import learning, tasks
from omics_twin.training.tasks import Task
from omics_twin.trust.consent import Purpose

_NEXT = 2


def copies_of(
    task: Task, run: Path, copies: int, folder: Path, config: Config, console: Console
) -> list[tuple[Held, np.ndarray]]:
    """Return the held-out beliefs of a twin trained on each copy, and the copy's truth."""
    model, plan = TrainedModel.load(run / MODEL_FOLDER), learning.plan_of(task, config)
    believed = held_of(task, model, plan, config)
    found = []
    for number in range(copies):
        seed = config.twin.seed + number
        copy = simulated_copy(task, holding.one_draw(believed, seed), seed)
        fitted = fit_copy(copy, config, folder / f"ck{number}", console)
        trained = learning.model_of(copy.task, fitted, config)
        found.append((held_of(copy.task, trained, fitted.plan, config), copy.truth))
        print(f"copy {number} trained", file=sys.stderr, flush=True)
    return found


def judged(copies: list[tuple[Held, np.ndarray]]) -> list[interval_coverage.Inside]:
    """Return whose intervals hold on copies that they were not calibrated on."""
    found = []
    for number, (held, truth) in enumerate(copies):
        calibration, _ = holding.fitted_factors(held, truth, answers_of(held))
        for ahead in range(1, min(_NEXT, len(copies) - 1) + 1):
            other, true = copies[(number + ahead) % len(copies)]
            spread = calibration.spread_of(other.strata).numpy()
            answers = narrowed(other, answers_of(other, spread), calibration)
            found.append(interval_coverage.inside_of(other, answers, true))
        print(f"calibration of copy {number} judged", file=sys.stderr, flush=True)
    return found


def main(run: Path, copies: int, folder: Path, settings: list[str]) -> None:
    """Print the coverage of every group that is large enough to be tested."""
    config, console = load("train", settings), Console(quiet=True)
    task = tasks.task_of(read_cohort(config, console, Purpose.TRAINING), config, console)
    groups, _ = subgroups.groups_in(task, config)
    found = judged(copies_of(task, run, copies, folder, config, console))
    everyone = np.ones(len(task.arms), dtype=bool)
    rows = [("everyone", "all", everyone)]
    for attribute, labels in groups.items():
        named = np.array([NOT_KNOWN if each is None else each for each in labels], dtype=str)
        rows += [(attribute, str(name), named == name) for name in np.unique(named)]
    print("| group | patients | expected values | differences |\n|---|---|---|---|")
    for attribute, group, inside in rows:
        alone = attribute != "everyone" and inside.all()
        if alone or inside.sum() < config.fairness.least_tested:
            continue
        cells = []
        for kind in ("expected", "benefit"):
            shares = np.array([np.nanmean(getattr(each, kind)[inside]) for each in found])
            away = abs(shares.mean() - config.twin.interval) > THREE_POINTS
            cells.append(f"{shares.mean():.3f} ± {shares.std(ddof=1):.3f}" + (" *" if away else ""))
        print(f"| {attribute}: {group} | {int(inside.sum())} | {' | '.join(cells)} |")
    print(f"mean ± standard deviation over {len(found)} pairs of copies; * more than 3 points away")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
