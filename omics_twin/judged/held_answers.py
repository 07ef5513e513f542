"""What is said of patients by members that never saw them, before and after calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from omics_twin.answers.beliefs import endpoints_under, strata_keys
from omics_twin.config import Config
from omics_twin.judged.asking import held_out_beliefs
from omics_twin.judged.simulated import first_repeat
from omics_twin.tensors.members import MemberPlan
from omics_twin.therapy.rank import first_and_usual, superiority
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.calibration import Calibration
from omics_twin.twin.draws import probability_best, weighted_mean, weighted_quantile
from omics_twin.types import TwinState


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


def held_of(task: Task, model: TrainedModel, plan: MemberPlan, config: Config) -> Held:
    """Return the held-out beliefs of the first repeat, before any calibration."""
    one = first_repeat(task)
    bare = replace(model, calibration=Calibration())
    strata = strata_keys(model.support.columns, task.cohort)
    told = held_out_beliefs(one, bare, plan, config.twin)
    parts = tuple((rows, state) for _, rows, state in told)
    opened, support, _ = model.support.judge(task.catalogue, strata)
    return Held(
        one,
        bare,
        parts,
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
    values = torch.stack([*endpoints_under(held.model, state, plans)], dim=2)
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


def narrowed(held: Held, answers: Answers, found: Calibration) -> Answers:
    """Return the answers with a share of the intervals' half-width under each arm."""
    expected, kept = answers.expected, found.arms_of(held.strata).numpy()[:, None]
    lower, upper = (expected + kept * (end - expected) for end in (answers.lower, answers.upper))
    return replace(answers, lower=lower, upper=upper)


def sign_of(held: Held) -> float:
    """Return 1 where a higher endpoint is better, -1 where a lower one is."""
    return 1.0 if held.task.endpoint.higher_is_better else -1.0
