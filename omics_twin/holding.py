"""Do intervals and probabilities hold? Calibrated on a simulated copy, reported on the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.optimize import minimize_scalar

from omics_twin.answers import beliefs_of, endpoint_values, outcome_values, received_of, strata_keys
from omics_twin.asking import held_out_beliefs
from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability_slope
from omics_twin.evaluate.conformal import (
    conformal_quantile,
    group_rates,
    mondrian_quantiles,
    nonconformity,
    venn_abers_by_group,
)
from omics_twin.evaluate.score import calibration_bins
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.learning import Fitted, model_of
from omics_twin.report.console import Console
from omics_twin.simulated import first_repeat, fit_copy, simulated_copy
from omics_twin.tasks import Task
from omics_twin.tensors.members import MemberPlan
from omics_twin.therapy.rank import first_and_usual, superiority
from omics_twin.tracking import TrainedModel
from omics_twin.twin.calibration import Calibration, sharpened
from omics_twin.twin.draws import probability_best, weighted_mean, weighted_quantile
from omics_twin.types import TwinState

NARROWEST, WIDEST = 0.5, 6.0
"""Factors on the spread are kept in between."""
_LEAST_KEPT = 0.1

_ROUNDS = 3
CONFIDENCES = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Held:
    """The beliefs about patients by members that never saw them, from the first repeat.

    Attributes
    ----------
    parts
        Patients of the cohort, (part,), and the belief about them.
    opened, support
        What is open to each patient, and the patients of the stratum who received it.
    """

    task: Task
    model: TrainedModel
    parts: tuple[tuple[ndarray, TwinState], ...]
    strata: tuple[str, ...]
    opened: Bool[ndarray, "patient arm"]
    support: Float[ndarray, "patient arm"]
    level: float


@dataclass(frozen=True)
class Answers:
    """What is said of each patient; NaN where an arm is not open, or nothing is said.

    Attributes
    ----------
    benefit, benefit_lower, benefit_upper
        Of the first arm of a pair over the second, as merit, for each pair once.
    best
        Probability of being best, before any power.
    first, usual
        Arm expected to be best, and the one that most of the stratum received.
    belief
        That the first is better than the usual one.
    """

    expected: Float[ndarray, "patient arm"]
    lower: Float[ndarray, "patient arm"]
    upper: Float[ndarray, "patient arm"]
    benefit: Float[ndarray, "patient pair"]
    benefit_lower: Float[ndarray, "patient pair"]
    benefit_upper: Float[ndarray, "patient pair"]
    best: Float[ndarray, "patient arm"]
    first: ndarray
    usual: ndarray
    belief: Float[ndarray, " patient"]


@dataclass(frozen=True)
class Inside:
    """Whether each interval holds the truth: 1 or 0, NaN where nothing was said.

    Attributes
    ----------
    expected, benefit
        Of what is expected under each arm, and of the benefit of one arm over another.
    """

    expected: Float[ndarray, "patient arm"]
    benefit: Float[ndarray, "patient pair"]


def held_of(task: Task, model: TrainedModel, plan: MemberPlan, config: Config) -> Held:
    """Return the held-out beliefs of the first repeat, before any calibration."""
    one = first_repeat(task)
    bare = replace(model, calibration=Calibration())
    strata = strata_keys(model.support.columns, task.cohort)
    told = beliefs_of(bare, task.matrices, received_of(task.cohort), config.twin, strata=strata)
    parts = [
        (belief.rows[rows], state)
        for belief in told
        for _, rows, state in held_out_beliefs(one, belief, plan)
    ]
    opened, support, _ = model.support.judge(task.catalogue, strata)
    return Held(
        one,
        bare,
        tuple(parts),
        tuple(strata),
        opened.numpy(),
        support.numpy(),
        config.twin.interval,
    )


def answers_of(held: Held, spread: Float[ndarray, " patient"] | None = None) -> Answers:
    """Return what is said of each patient with draws moved apart by a factor."""
    patients, arms = held.opened.shape
    pairs = pairs_of(arms)
    sizes = [arms] * 3 + [len(pairs)] * 3 + [arms, 1, 1, 1]
    found = [np.full((patients, size), np.nan) for size in sizes]
    for rows, state in held.parts:
        if spread is not None:
            state = replace(state, spread=torch.tensor(spread[rows], dtype=torch.float32))
        for array, part in zip(found, _part(held, rows, state, pairs), strict=True):
            array[rows] = part
    return Answers(*found[:7], *(each[:, 0] for each in found[7:]))


def pairs_of(arms: int) -> list[tuple[int, int]]:
    """Return every pair of arms once.

    Examples
    --------
    >>> pairs_of(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return [(one, other) for one in range(arms) for other in range(one + 1, arms)]


def _part(
    held: Held, rows: ndarray, state: TwinState, pairs: Sequence[tuple[int, int]]
) -> list[ndarray]:
    """Return what is said of a few patients, in the order of :class:`Answers`."""
    plans = held.task.catalogue.interventions()
    values = torch.stack([endpoint_values(held.model, state, each) for each in plans], dim=2)
    weights, opened = state.log_weights, torch.tensor(held.opened[rows])
    sign = 1.0 if held.task.endpoint.higher_is_better else -1.0
    expected = weighted_mean(values, weights)
    both = torch.stack([opened[:, a] & opened[:, b] for a, b in pairs] or [opened[:, 0]], dim=1)
    gains = torch.stack(
        [sign * (values[..., a] - values[..., b]) for a, b in pairs] or [values[..., 0]], dim=2
    )
    support = torch.tensor(held.support[rows])
    first, usual = first_and_usual(sign * expected, opened, support)
    belief = superiority(sign * values, weights, first, usual)
    told = [*_interval(values, weights, opened, held.level)]
    told += [each[:, : len(pairs)] for each in _interval(gains, weights, both, held.level)]
    told += [probability_best(sign * values, weights, opened)]
    told += [each.double()[:, None] for each in (first, usual, belief)]
    return [each.numpy() for each in told]


def _interval(
    values: torch.Tensor, weights: torch.Tensor, told: torch.Tensor, level: float
) -> list[torch.Tensor]:
    tail = (1.0 - level) / 2.0
    ends = [
        torch.stack(
            [weighted_quantile(each, weights, share) for each in values.unbind(dim=2)], dim=1
        )
        for share in (tail, 1.0 - tail)
    ]
    found = [weighted_mean(values, weights), *ends]
    return [torch.where(told, each, torch.nan) for each in found]


def benefits(
    truth: Float[ndarray, "patient arm"], *, sign: float
) -> Float[ndarray, "patient pair"]:
    """Return the true benefit of the first arm of each pair over the second."""
    pairs = pairs_of(truth.shape[1])
    columns = [sign * (truth[:, a] - truth[:, b]) for a, b in pairs]
    return np.stack(columns, axis=1) if columns else np.zeros((len(truth), 0))


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
    copy = simulated_copy(task, *one_draw(believed, config.twin.seed), config.twin.seed)
    fitted = fit_copy(copy, config, folder, console)
    held = held_of(copy.task, twin_of(copy.task, fitted, config), fitted.plan, config)
    before = answers_of(held)
    found, after = fitted_factors(held, copy.truth, before)
    told = {
        "before": coverage_of(held, before, copy.truth, 1.0),
        "after": coverage_of(held, after, copy.truth, found.power),
    }
    return found, told, inside_of(held, after, copy.truth)


def inside_of(held: Held, answers: Answers, truth: Float[ndarray, "patient arm"]) -> Inside:
    """Return whether the intervals of each patient hold the truth."""
    true = benefits(truth, sign=_sign(held))
    return Inside(
        _inside(truth, answers.lower, answers.upper),
        _inside(true, answers.benefit_lower, answers.benefit_upper),
    )


def one_draw(held: Held, seed: int) -> tuple[ndarray, ndarray]:
    """Return one draw of the outcome under each arm, and the mean, (patient, arm) or by time.

    Patients who are held out together are answered by one member, as if it were the truth: the
    same one at all sites that learn together.
    """
    outcome = held.task.outcome
    generator = np.random.default_rng([seed, 31, held.task.total.place])
    size = 1 if outcome.grid_days is None else len(outcome.grid_days)
    drawn, mean = (np.full((*held.opened.shape, size), np.nan) for _ in range(2))
    for rows, state in held.parts:
        member = state.draws[0, :, 0].long().numpy()
        shared = np.random.default_rng([seed, 37, int(member.min())])
        chosen = int(shared.choice(np.unique(member)))
        picks = torch.tensor(generator.choice(np.flatnonzero(member == chosen), size=len(rows)))
        for index, therapy in enumerate(held.task.catalogue.interventions()):
            values = outcome_values(held.model, state, therapy, outcome)
            drawn[rows, index] = values[torch.arange(len(rows)), picks].numpy()
            mean[rows, index] = weighted_mean(values, state.log_weights).numpy()
    if outcome.grid_days is None:
        return drawn[..., 0], mean[..., 0]
    return drawn, mean


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


def narrowed(held: Held, answers: Answers, found: Calibration) -> Answers:
    """Return the answers with a share of the intervals' half-width under each arm."""
    expected, kept = answers.expected, found.arms_of(held.strata).numpy()[:, None]
    lower, upper = (expected + kept * (end - expected) for end in (answers.lower, answers.upper))
    return replace(answers, lower=lower, upper=upper)


def _part_kept(share: float) -> float:
    return float(np.clip(share, _LEAST_KEPT, 1.0))


def _kept(factor: float) -> float:
    return float(np.clip(factor, NARROWEST, WIDEST))


def _scores(held: Held, answers: Answers, truth: ndarray) -> list[Float[ndarray, "patient each"]]:
    """Return how far the truth is out, of expectations and of benefits."""
    true = benefits(truth, sign=_sign(held))
    found = [
        nonconformity(truth, answers.expected, answers.lower, answers.upper),
        nonconformity(true, answers.benefit, answers.benefit_lower, answers.benefit_upper),
    ]
    known = torch.tensor([float(np.isfinite(each).sum()) for each in found])
    (known,) = held.task.total("known scores", known)
    return [each for each, number in zip(found, known.tolist(), strict=True) if number]


def _sign(held: Held) -> float:
    return 1.0 if held.task.endpoint.higher_is_better else -1.0


def _compared(held: Held, answers: Answers, truth: ndarray) -> tuple[ndarray, ndarray]:
    """Return the probabilities of being best, and which arm truly is, of who has a choice."""
    rows = (held.opened.sum(axis=1) > 1) & np.isfinite(truth).all(axis=1)
    rows &= np.isfinite(answers.belief)
    merit = np.where(held.opened[rows], _sign(held) * truth[rows], -np.inf)
    best = np.arange(truth.shape[1]) == merit.argmax(axis=1)[:, None]
    return np.where(held.opened[rows], answers.best[rows], np.nan), best


def _power(held: Held, answers: Answers, truth: ndarray) -> float:
    """Return the exponent under which the truly best arms are likeliest."""
    probability, best = _compared(held, answers, truth)
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


def coverage_of(held: Held, answers: Answers, truth: ndarray, power: float) -> dict[str, Any]:
    """Return how often intervals hold the truth, and whether probabilities of being best do.

    Parameters
    ----------
    truth
        Endpoint under each arm.
    power
        Exponent on the probabilities of being best.
    """
    holds = inside_of(held, answers, truth)
    inside = {"expected": holds.expected, "benefit": holds.benefit}
    found: dict[str, Any] = {
        name: {
            "coverage": _mean(each),
            "width": _mean(upper - lower),
            "by_stratum": {
                stratum: _mean(each[np.array(held.strata) == stratum])
                for stratum in sorted(set(held.strata))
            },
        }
        for (name, each), lower, upper in zip(
            inside.items(),
            (answers.lower, answers.benefit_lower),
            (answers.upper, answers.benefit_upper),
            strict=True,
        )
    }
    return found | {"probability_best": _reliability(held, answers, truth, power)}


def _inside(truth: ndarray, lower: ndarray, upper: ndarray) -> Float[ndarray, "patient each"]:
    known = np.isfinite(truth) & np.isfinite(lower)
    return np.where(known, (lower <= truth) & (truth <= upper), np.nan)


def _mean(values: ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _reliability(held: Held, answers: Answers, truth: ndarray, power: float) -> dict[str, Any]:
    """Return the reliability of the probabilities of being best, of all open arms together."""
    probability, best = _compared(held, answers, truth)
    asked = np.isfinite(probability)
    shown = np.clip(sharpened(torch.tensor(probability), power).numpy()[asked], 0.0, 1.0)
    try:
        slope: float | None = reliability_slope(shown, best[asked].astype(float))
    except CohortError:
        slope = None
    first = np.nanargmax(probability, axis=1) if len(probability) else np.zeros(0, dtype=int)
    return {
        "patients": len(probability),
        "slope": slope,
        "largest": float(np.nanmax(sharpened(torch.tensor(probability), power), axis=1).mean())
        if len(probability)
        else None,
        "largest_is_best": float(best[np.arange(len(first)), first].mean()) if len(first) else None,
    }


def abstention_of(
    held: Held, answers: Answers, confidence: float, truth: ndarray | None
) -> dict[str, Any]:
    """Return how many get no recommendation and, where it is known, what the others gain.

    Returns
    -------
    dict
        ``curve`` has, for several confidences, the share of patients to whom an arm is recommended
        and the true mean outcome if they got it and the others the arm usual in their stratum.
    """
    row = np.arange(len(held.opened))
    known = np.isfinite(answers.belief)
    first, usual = (np.nan_to_num(each).astype(int) for each in (answers.first, answers.usual))
    thin = held.support[row, first] < held.task.catalogue.thin_support

    def unsure(least: float) -> ndarray:
        return np.asarray((first != usual) & (answers.belief < least))

    curve = []
    for least in CONFIDENCES:
        follow = ~thin & ~unsure(least)
        told: dict[str, float] = {"confidence": least, "recommended": float(follow[known].mean())}
        if truth is not None:
            chosen = truth[row, np.where(follow, first, usual)]
            told["truth"] = float(chosen[known].mean())
        curve.append(told)
    return {
        "confidence": confidence,
        "thin": float(thin[known].mean()),
        "unsure": float((~thin & unsure(confidence))[known].mean()),
        "recommended": float((~thin & ~unsure(confidence))[known].mean()),
        "curve": curve,
    }


def response_of(task: Task, received: Float[ndarray, "repeat patient"]) -> dict[str, Any] | None:
    """Return held-out chances of response with Venn-Abers intervals; None for other outcomes."""
    if task.outcome.kind is not OutcomeKind.BINARY:
        return None
    rows = np.isfinite(received[0])
    strata = np.array(strata_keys(tuple(task.cohort.strata.columns), task.cohort))[rows].tolist()
    outcome, given = task.outcome.values[rows], received[0][rows].astype(np.float64)
    found = venn_abers_by_group(given, outcome, task.held_out[0][rows], strata)
    by_stratum = group_rates(found, outcome, strata)
    bins = calibration_bins(len(outcome))
    return {
        "patients": len(outcome),
        "width": float((found.upper - found.lower).mean()),
        "covered": float(np.mean([each["covered"] for each in by_stratum.values()])),
        "slope": _slope(given, outcome, bins),
        "slope_calibrated": _slope(found.probability, outcome, bins),
        "by_stratum": by_stratum,
    }


def _slope(probability: ndarray, outcome: ndarray, bins: int) -> float | None:
    try:
        return reliability_slope(probability, outcome, bins)
    except CohortError:
        return None


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
