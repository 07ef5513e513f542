"""What a privacy budget costs and what it hides, beside logistic regression on the same folds.

    python scripts/studies/privacy.py experiment=ispy2_response

Writes one line for each budget and for logistic regression: held-out AUC, log loss and calibration
error with their spread over repeats, and the advantage of an attack on membership. Any setting of
``train`` may follow; several seeds of the noise are averaged over with ``seeds=3``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from omics_twin import config
from omics_twin.asked import read_cohort
from omics_twin.attacks import ensemble
from omics_twin.evaluate.baselines import fit_baseline
from omics_twin.evaluate.membership import Answered, attacked, fit_of_response, lines
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.score import score
from omics_twin.judged.predictions import baseline_design, held_out_predictions
from omics_twin.report.console import Console
from omics_twin.tracking import TrainedModel
from omics_twin.training import learning, private, tasks
from omics_twin.trust.consent import Purpose

_NAMES = ("auc", "log_loss", "ece")


def main(arguments: list[str]) -> None:
    own = {key: value for key, _, value in (each.partition("=") for each in arguments)}
    seeds, budgets = int(own.pop("seeds", "3")), own.pop("budgets", "100,8,4,2,1").split(",")
    console = Console()
    settings = [f"{key}={value}" for key, value in own.items()]
    asked = config.load("train", [*settings, "trainer.privacy.epsilon=1", "tracking=off"])
    cohort = read_cohort(asked, console, Purpose.TRAINING)
    task, asked = private.prepared(tasks.task_of(cohort, asked, console), asked, console)
    for name in ("logistic", "logistic_interactions"):
        received, attack = _baseline(name, task)
        print(_line(name, task, received), *lines(attack), flush=True)
    for budget in budgets:
        received, attacks = [], []
        for seed in range(seeds):
            privacy = replace(asked.trainer.privacy, epsilon=float(budget), noise_seed=seed)
            run = replace(asked, trainer=replace(asked.trainer, privacy=privacy))
            fitted = private.fit_held_out(task, run)
            model: TrainedModel = learning.model_of(task, fitted, run)
            told = held_out_predictions(task, model, fitted.plan, run, every_arm=False)
            received += list(told.received)
            if seed == 0:
                attacks.append(ensemble.membership_attack(task, model, fitted.plan, run))
        print(_line(f"epsilon {budget}", task, received), *lines(attacks[0]), flush=True)


def _baseline(name: str, task: tasks.Task) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Return a baseline's held-out answers, and how far the same attack gets on its fits."""
    design, outcome = baseline_design(task), task.outcome
    received = np.full(task.held_out.shape, np.nan)
    signal, inside, group = [], [], []
    for repeat, fold_of in enumerate(task.held_out):
        for fold in range(int(fold_of.max()) + 1):
            seen = fold_of != fold
            fitted = fit_baseline(name, design, outcome, np.flatnonzero(seen), seed=0)
            told = fitted.predict(design.values, task.arms)
            received[repeat, ~seen] = told[~seen]
            signal.append(fit_of_response(told, outcome.values))
            inside.append(seen)
            group.append(repeat)
    answered = Answered(np.array(signal), np.array(inside), np.array(group))
    return list(received), attacked(answered, seed=0)


def _line(name: str, task: tasks.Task, received: list[np.ndarray]) -> str:
    found = summarise([score(task.outcome, each) for each in received])
    told = [f"{key} {found[key]['mean']:.3f} ± {found[key]['sd']:.3f}" for key in _NAMES]
    return f"{name}: {', '.join(told)}"


if __name__ == "__main__":
    main(sys.argv[1:])
