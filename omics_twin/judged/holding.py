"""Do intervals and probabilities hold? Calibrated on a simulated copy, reported on the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize_scalar

from omics_twin.answers.beliefs import outcomes_under
from omics_twin.config import Config
from omics_twin.evaluate.conformal import conformal_quantile, mondrian_quantiles, nonconformity
from omics_twin.judged.abstaining import abstention_of
from omics_twin.judged.held_answers import (
    Answers,
    Held,
    answers_of,
    benefits,
    held_of,
    narrowed,
    sign_of,
)
from omics_twin.judged.interval_coverage import Inside, best_compared, coverage_of, inside_of
from omics_twin.judged.simulated import OneDraw, fit_copy, simulated_copy
from omics_twin.report.console import Console
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.learning import Fitted, model_of
from omics_twin.training.tasks import Task
from omics_twin.twin.calibration import Calibration, sharpened
from omics_twin.twin.draws import weighted_mean

NARROWEST, WIDEST = 0.5, 6.0
"""Factors on the spread are kept in between."""

_LEAST_KEPT = 0.1

_ROUNDS = 3


def calibrate(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    folder: Path,
    console: Console,
    *,
    twin_of: Callable[[Task, Fitted, Config], TrainedModel] = model_of,
) -> tuple[Calibration, dict[str, Any], Inside]:
    """Return what makes beliefs hold on a simulated copy, and how and for whom they hold there.

    Where several sites learn together each simulates its own patients, and the factors are those
    of all; how they hold is told of the patients who are here.

    Parameters
    ----------
    folder
        Of the checkpoints of training on the copy.
    twin_of
        Makes the twin of a copy from what was trained on it.
    """
    believed = held_of(task, model, plan, config)
    copy = simulated_copy(task, one_draw(believed, config.twin.seed), config.twin.seed)
    fitted = fit_copy(copy, config, folder, console)
    held = held_of(copy.task, twin_of(copy.task, fitted, config), fitted.plan, config)
    before = answers_of(held)
    found, after = fitted_factors(held, copy.truth, before)
    told = {
        "before": coverage_of(held, before, copy.truth, 1.0),
        "after": coverage_of(held, after, copy.truth, found.power),
    }
    return found, told, inside_of(held, after, copy.truth)


def one_draw(held: Held, seed: int) -> OneDraw:
    """Return one draw of the outcome under each arm, and the mean.

    Patients who are held out together are answered by one member, as if it were the truth: the
    same one at all sites that learn together.
    """
    outcome = held.task.outcome
    generator = np.random.default_rng([seed, 31, held.task.total.place])
    size = 1 if outcome.grid_days is None else len(outcome.grid_days)
    drawn, mean = (np.full((*held.opened.shape, size), np.nan) for _ in range(2))
    incidence = np.full((len(outcome.causes), *drawn.shape), np.nan)
    arms = held.task.catalogue.interventions()
    for rows, state in held.parts:
        member = state.draws[0, :, 0].long().numpy()
        shared = np.random.default_rng([seed, 37, int(member.min())])
        chosen = int(shared.choice(np.unique(member)))
        picks = torch.tensor(generator.choice(np.flatnonzero(member == chosen), size=len(rows)))
        every = torch.arange(len(rows))
        for index, values in enumerate(outcomes_under(held.model, state, arms, outcome)):
            drawn[rows, index] = values[every, picks].numpy()
            mean[rows, index] = weighted_mean(values, state.log_weights).numpy()
        if len(incidence):
            days = torch.tensor(outcome.followed[1])
            for index, told in enumerate(held.model.twin.simulate_each(state, arms, days)):
                incidence[:, rows, index] = told.values[every, picks, :, 1:].movedim(-1, 0).numpy()
    if outcome.grid_days is None:
        return OneDraw(drawn[..., 0], mean[..., 0])
    return OneDraw(drawn, mean, incidence)


def fitted_factors(held: Held, truth: ndarray, answers: Answers) -> tuple[Calibration, Answers]:
    """Return the factors with which intervals hold, and what is said with them.

    Moving draws apart changes intervals of probabilities by less than the factor, so the conformal
    quantile is taken again with the factors found so far until it is 1.

    Parameters
    ----------
    answers
        What is said without any factor.
    """
    found = Calibration(held.level)
    for _ in range(_ROUNDS):
        spread = found.spread_of(held.strata).numpy().astype(np.float64)
        needed = [each * spread[:, None] for each in _scores(held, answers, truth)]
        factors = [_by_stratum(held, each) for each in needed]
        pooled = max(_quantile(held, each) for each in needed)
        shared = set.intersection(*(set(each) for each in factors))
        by_stratum = {name: _kept(max(each[name] for each in factors)) for name in sorted(shared)}
        found = replace(found, spread=_kept(pooled), by_stratum=by_stratum, fitted=True)
        answers = answers_of(held, found.spread_of(held.strata).numpy())
    out = nonconformity(truth, answers.expected, answers.lower, answers.upper)
    own = _by_stratum(held, out)
    found = replace(
        found,
        power=_power(held, answers, truth),
        arms=_part_kept(_quantile(held, out)),
        arms_by_stratum={name: _part_kept(each) for name, each in own.items()},
    )
    return found, narrowed(held, answers, found)


def _quantile(held: Held, scores: ndarray) -> float:
    return conformal_quantile(scores, held.level, total=held.task.total)


def _by_stratum(held: Held, scores: ndarray) -> dict[str, float]:
    every, total = list(held.model.support.counts), held.task.total
    return mondrian_quantiles(scores, held.strata, held.level, every=every, total=total)


def _part_kept(share: float) -> float:
    return float(np.clip(share, _LEAST_KEPT, 1.0))


def _kept(factor: float) -> float:
    return float(np.clip(factor, NARROWEST, WIDEST))


def _scores(held: Held, answers: Answers, truth: ndarray) -> list[Float[ndarray, "patient each"]]:
    """Return how far the truth is out, of expectations and of benefits."""
    true = benefits(truth, sign=sign_of(held))
    found = [
        nonconformity(truth, answers.expected, answers.lower, answers.upper),
        nonconformity(true, answers.benefit, answers.benefit_lower, answers.benefit_upper),
    ]
    known = torch.tensor([float(np.isfinite(each).sum()) for each in found])
    (known,) = held.task.total("known scores", known)
    return [each for each, number in zip(found, known.tolist(), strict=True) if number]


def _power(held: Held, answers: Answers, truth: ndarray) -> float:
    """Return the exponent under which the truly best arms are likeliest."""
    probability, best = best_compared(held, answers, truth)
    known, total = torch.tensor(probability), held.task.total
    (patients,) = total("patients with a choice", torch.tensor(float(len(known))))
    if not patients:
        return 1.0

    def surprise(log_power: float) -> float:
        found = sharpened(known, float(np.exp(log_power))).numpy()
        # A finite number of draws never says that an arm cannot be the best.
        lost = -np.log(np.maximum(found[best], 1e-3)).sum(dtype=np.float64)
        return float(total("surprise", torch.tensor(lost))[0] / patients)

    return float(np.exp(minimize_scalar(surprise, bounds=(-2.3, 1.1), method="bounded").x))


def held_up(
    task: Task,
    model: TrainedModel,
    plan: MemberPlan,
    config: Config,
    truth: Float[ndarray, "patient arm"] | None,
) -> dict[str, Any]:
    """Return abstention and, where the truth is known, whether the answers hold against it."""
    if len(task.catalogue.arms) == 1 and truth is None:
        return {}
    held = held_of(task, model, plan, config)
    fitted = model.calibration
    spread = fitted.spread_of(held.strata).numpy() if fitted.fitted else None
    answers = narrowed(held, answers_of(held, spread), fitted)
    told = {"abstention": abstention_of(held, answers, config.twin.confidence, truth)}
    if truth is None:
        return told
    before = answers_of(held) if fitted.fitted else answers
    found = {"before": coverage_of(held, before, truth, 1.0)}
    if fitted.fitted:
        found["after"] = coverage_of(held, answers, truth, fitted.power)
    return told | {"truth": found}


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that a tracker keeps, by dotted name."""
    flat: dict[str, float | None] = {
        f"calibration.{key}": found.get(key) for key in ("spread", "power")
    }
    for place in ("copy", "truth"):
        for when, each in (found.get(place) or {}).items():
            name = f"calibration.{place}.{when}"
            flat[f"{name}.expected"] = each["expected"]["coverage"]
            flat[f"{name}.benefit"] = each["benefit"]["coverage"]
            flat[f"{name}.probability_best_slope"] = each["probability_best"]["slope"]
    for key in ("recommended", "thin", "unsure"):
        flat[f"calibration.{key}"] = (found.get("abstention") or {}).get(key)
    response = found.get("response") or {}
    for key in ("width", "covered", "slope", "slope_calibrated"):
        flat[f"calibration.response.{key}"] = response.get(key)
    return {name: float(value) for name, value in flat.items() if value is not None}
