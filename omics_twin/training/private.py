"""From a task to a twin that no patient can change by much: differentially private training.

Everything the twin keeps from patients is learned with noise from one budget: what standardises
measurements, whom a comparison rests on, and the effects. What cannot be is left out: visits under
therapy, wide modalities, early stopping, calibration on a simulated copy, what training patients
look like, and who they were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.answers.beliefs import received_of, strata_keys
from omics_twin.config import Config, plain
from omics_twin.errors import TrainingError, quoted
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.models import private_build, private_statistics
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.private_budget import Mechanism, epsilon_of, noise_for
from omics_twin.models.private_build import PrivateInputs
from omics_twin.models.private_descent import Descent
from omics_twin.models.private_noise import NoiseSource
from omics_twin.report.console import Console
from omics_twin.settings import CalibrationBy, PrivacySettings, PrivateModel
from omics_twin.tensors.design import Design
from omics_twin.tensors.members import MemberPlan
from omics_twin.therapy.support import Support, stratum_key, stratum_values
from omics_twin.tracking import TrainedModel, commit
from omics_twin.training.learning import Fitted
from omics_twin.training.tasks import Task
from omics_twin.twin.neural import Membership, NeuralTwin

SHARES = {"standards": 0.15, "support": 0.05, "effects": 0.8}
"""What each part may use of the budget."""
# A count below this many standard deviations of its noise is taken for nobody.
_TOLD = 1.5
_RELEASED = 1_000_000

COVERED = (
    "what standardises measurements",
    "patients by stratum and arm",
    "effects of measurements and agents",
)
OUTSIDE = (
    "names of columns, their declared ranges, category levels, strata and arms: taken for public",
    "the choice of settings, if it was made by looking at these patients",
    "performance and attack: rounded totals over the training patients, from fits that are not "
    "released",
    "all files of the run beside the model's folder",
)


@dataclass(frozen=True)
class PrivateFit:
    """Members learned with noise.

    Attributes
    ----------
    network
        ``members`` iterates after another for every fit.
    counts
        Noisy patients by stratum and arm, (fit, cell).
    """

    network: MultimodalNetwork
    counts: Float[Tensor, "fit cell"]


def is_private(config: Config) -> bool:
    """Return whether training keeps to a privacy budget."""
    return config.trainer.privacy.epsilon is not None


def check_not_asked(config: Config, learned: str) -> None:
    """Refuse what hides patients where it would be passed over.

    Raises
    ------
    TrainingError
        If a budget or secret weights are asked for.
    """
    asked = config.trainer.privacy
    for name in ("epsilon", "secret_weights"):
        if getattr(asked, name):
            raise TrainingError(
                f"trainer.privacy.{name} is {getattr(asked, name):g}, which {learned} does not "
                "keep to: leave it out"
            )


def prepared(task: Task, config: Config, console: Console) -> tuple[Task, Config]:
    """Return what is left of a task and its settings under a privacy budget; unchanged without.

    Raises
    ------
    TrainingError
        If the outcome is no yes or no, the delta is too large, nothing narrow was measured before
        treatment, or training goes on from a twin.
    """
    asked = config.trainer.privacy
    if asked.epsilon is None:
        return task, config
    patients = len(task.cohort.patient_ids)
    if task.outcome.kind is not OutcomeKind.BINARY:
        raise TrainingError(
            f"trainer.privacy learns a yes or no, outcome '{task.outcome_name}' is "
            f"{task.outcome.kind.value}: choose another endpoint"
        )
    if asked.delta * patients >= 1.0:
        raise TrainingError(
            f"trainer.privacy.delta is {asked.delta:g}, expected less than one in the number of "
            f"patients ({patients}): at that much, one of them could be published"
        )
    if task.started is not None:
        raise TrainingError("trainer.start_from cannot be used with trainer.privacy: leave it out")
    kept, left = _kept(task.design, config.model.wide_features)
    if not kept.channels:
        raise TrainingError(
            f"no modality before treatment has at most {config.model.wide_features} features, "
            "which trainer.privacy needs: summarise one, or raise model.wide_features"
        )
    if left:
        console.note(f"left out under a privacy budget: {quoted(left)}")
    names = {channel.name for channel in kept.channels}
    matrices = replace(
        task.matrices,
        values={name: each for name, each in task.matrices.values.items() if name in names},
        days={name: each for name, each in task.matrices.days.items() if name in names},
    )
    if config.twin.calibration is not CalibrationBy.NONE:
        console.note("intervals are not calibrated: a simulated copy would be of the patients")
        config = replace(config, twin=replace(config.twin, calibration=CalibrationBy.NONE))
    return replace(task, design=kept, matrices=matrices), config


def _kept(design: Design, widest: int) -> tuple[Design, list[str]]:
    kept = [each for each in design.channels if not each.follow_up and len(each.features) <= widest]
    left = [each.name for each in design.channels if each not in kept]
    return Design(tuple(kept)), left


def mechanisms_of(settings: PrivacySettings) -> dict[str, Mechanism]:
    """Return the noise of each part of what one fit releases."""
    epsilon = float(settings.epsilon or 0.0)
    return dict(_mechanisms(epsilon, settings.delta, settings.sample_rate, settings.steps))


@cache
def _mechanisms(
    epsilon: float, delta: float, sample_rate: float, steps: int
) -> tuple[tuple[str, Mechanism], ...]:
    asked = {
        "standards": Mechanism(0.0, steps=private_statistics.RELEASES),
        "support": Mechanism(0.0),
        "effects": Mechanism(0.0, sample_rate, steps),
    }
    return tuple(noise_for(epsilon, delta, asked, SHARES).items())


def held_out_plan(held_out: np.ndarray, members: int) -> MemberPlan:
    """Return the plan of fits that each leave out one fold of one repeat; nobody stops them."""
    training, repeats, folds = [], [], []
    for repeat, fold_of in enumerate(held_out):
        for fold in range(int(fold_of.max()) + 1):
            training += [torch.tensor(fold_of != fold)] * members
            repeats += [repeat] * members
            folds += [fold] * members
    weights = torch.stack(training).float()
    return MemberPlan(
        weights, torch.zeros_like(weights), torch.tensor(repeats), torch.tensor(folds)
    )


def fit_held_out(task: Task, config: Config) -> Fitted:
    """Train one fit without each fold of each repeat, as the released one is: to judge it by."""
    asked = config.trainer.privacy
    plan = held_out_plan(task.held_out, asked.members)
    noise = NoiseSource.of(asked.noise_seed)
    found = fit(task, config, plan.training[:: asked.members], mechanisms_of(asked), noise)
    return Fitted(_Judged(found.network), plan, 0, torch.zeros(len(plan.fold), dtype=torch.bool))


@dataclass(frozen=True)
class _Judged:
    """Fits that are judged and not released; their curves would be of the patients."""

    network: MultimodalNetwork
    curves: tuple[Mapping[str, float], ...] = ()


def fit(
    task: Task,
    config: Config,
    training: Float[Tensor, "fit patient"],
    mechanisms: Mapping[str, Mechanism],
    noise: NoiseSource,
) -> PrivateFit:
    """Learn from patients with noise; each row of ``training`` is a fit with its own budget."""
    asked = config.trainer.privacy
    cells = torch.tensor(_cells(task)[1])
    counts = private_statistics.private_counts(
        cells, training, mechanisms["support"].noise_multiplier, noise
    )
    inputs = _inputs(task, training, mechanisms["standards"].noise_multiplier, noise)
    descent = Descent(
        mechanisms["effects"],
        asked.max_grad_norm,
        asked.learning_rate,
        asked.shrinkage,
        asked.members,
    )
    sizes = counts.sum(dim=1).clamp(min=1.0)
    outcome, settings, seed = task.outcome_name, config.model, config.trainer.seed
    if asked.learns is PrivateModel.LINEAR:
        parameters, loss, patients = private_build.linear_start(inputs)
        found = descent.iterates(loss, parameters, patients, training, sizes, noise)
        return PrivateFit(private_build.linear_network(inputs, found, outcome), counts)
    parameters, loss, patients = private_build.network_start(inputs, settings, outcome, seed=seed)
    found = descent.iterates(loss, parameters, patients, training, sizes, noise)
    network = private_build.trained_network(inputs, found, settings, outcome, seed=seed)
    return PrivateFit(network, counts)


def _inputs(
    task: Task, training: Tensor, noise_multiplier: float, noise: NoiseSource
) -> PrivateInputs:
    """Return the patients with what standardises their channels, all counted at once."""
    channels = task.design.channels
    binary = [torch.tensor([each.binary for each in c.features]) for c in channels]
    values = [task.matrices.values[channel.name] for channel in channels]
    standards = private_statistics.private_standards(
        torch.cat(values, dim=1),
        torch.cat(binary),
        training,
        noise_multiplier,
        noise,
        _limits(task.design),
    )
    sizes = [len(channel.features) for channel in channels]
    scales, offsets = standards.scale.split(sizes, dim=1), standards.offset.split(sizes, dim=1)
    names = [channel.name for channel in channels]
    agents = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    return PrivateInputs(
        values=dict(zip(names, values, strict=True)),
        standards={
            name: private_statistics.Standards(scale, offset)
            for name, scale, offset in zip(names, scales, offsets, strict=True)
        },
        binary=dict(zip(names, binary, strict=True)),
        agents=agents[torch.tensor(task.arms)],
        targets=torch.tensor(task.outcome.values, dtype=torch.float32),
    )


def _limits(design: Design) -> Float[Tensor, "two feature"]:
    """Return the declared range of every feature as the twin sees it, NaN where there is none."""
    found = []
    for feature in (each for channel in design.channels for each in channel.features):
        ends = [feature.minimum, feature.maximum]
        known = [torch.nan if end is None else end for end in ends]
        found.append([math.log1p(end) for end in known] if feature.log else known)
    return torch.tensor(found).T


def _cells(task: Task) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Return every stratum and arm there could be, and which of them each patient is in."""
    columns = tuple(task.cohort.strata.columns)
    keys = strata_keys(columns, task.cohort)
    values = [stratum_values(columns, each) for each in sorted(set(keys))]
    levels = [sorted({each[column] for each in values}) for column in columns]
    strata = [stratum_key(columns, each) for each in product(*levels)]
    cells = [(stratum, arm) for stratum in strata for arm in task.catalogue.arms]
    place = {cell: index for index, cell in enumerate(cells)}
    received = [str(arm) for arm in received_of(task.cohort)]
    hot = np.zeros((len(keys), len(cells)), dtype=np.float32)
    for row, cell in enumerate(zip(keys, received, strict=True)):
        hot[row, place[cell]] = 1.0
    return cells, hot


def released(task: Task, config: Config, metrics: Mapping[str, Any]) -> TrainedModel:
    """Return the twin of everybody, which may leave the house: all of it within the budget."""
    asked = config.trainer.privacy
    mechanisms = mechanisms_of(asked)
    noise = NoiseSource.of(asked.noise_seed).at(_RELEASED)
    patients = len(task.cohort.patient_ids)
    found = fit(task, config, torch.ones(1, patients), mechanisms, noise)
    members = found.network.members
    nobody = Membership("", torch.zeros(0, dtype=torch.long), torch.zeros(members, 0).bool())
    deviation = mechanisms["support"].noise_multiplier
    return TrainedModel(
        twin=NeuralTwin(
            config.name, found.network, task.design, task.catalogue.known_agents, nobody
        ),
        endpoint=task.endpoint,
        title=task.title,
        outcome=task.outcome_name,
        outcome_kind=task.outcome.kind.value,
        catalogue=task.catalogue,
        support=_support(task, found.counts[0], deviation),
        provenance={
            "cohort": task.cohort.name,
            "cohort_title": config.cohort.title,
            "patients": max(0, round(float(found.counts.sum()))),
            "members": members,
            "permission": task.cohort.permission.basis,
            "commit": commit(),
            "trained_on": date.today().isoformat(),
            "config": plain(config),
            "performance": _rounded(
                {k: v for k, v in metrics.items() if k in _PERFORMANCE}, digits=2
            ),
            "privacy": guarantee(config, mechanisms)
            | {"attack": _rounded(metrics["privacy"]["attack"], digits=2)},
        },
    )


_PERFORMANCE = ("endpoint", "outcome", "cohort", "n", "folds", "repeats", "model", "baselines")


def guarantee(config: Config, mechanisms: Mapping[str, Mechanism] | None = None) -> dict[str, Any]:
    """Return what is promised of training patients, in numbers and words."""
    asked = config.trainer.privacy
    if asked.epsilon is None:
        none = {"mechanism": "none", "epsilon": None, "delta": None}
        return none | ({"secret_weights": w} if (w := asked.secret_weights) else {})
    mechanisms = mechanisms_of(asked) if mechanisms is None else mechanisms
    return {
        "mechanism": "Gaussian: noisy counts and noisy full gradients"
        if asked.sample_rate == 1.0
        else "Gaussian: noisy counts, and noisy gradients of patients sampled at random",
        "learns": asked.learns.value,
        "epsilon": epsilon_of(list(mechanisms.values()), asked.delta),
        "epsilon_asked": asked.epsilon,
        "delta": asked.delta,
        "adjacency": "adding or removing one patient",
        "accountant": "privacy loss distribution (Opacus, PRV)",
        "holds": asked.noise_seed is None,
        "max_grad_norm": asked.max_grad_norm,
        "noise": {
            name: {
                "multiplier": each.noise_multiplier,
                "sample_rate": each.sample_rate,
                "steps": each.steps,
            }
            for name, each in mechanisms.items()
        },
        "covered": list(COVERED),
        "outside": list(OUTSIDE),
    }


def _support(task: Task, counts: Tensor, deviation: float) -> Support:
    """Return who received what, as far as the noise lets it be told."""
    told: dict[str, dict[str, int]] = {}
    for (stratum, arm), count in zip(_cells(task)[0], counts.tolist(), strict=True):
        arms = told.setdefault(stratum, {})
        if count >= _TOLD * deviation:
            arms[arm] = round(count)
    return Support(tuple(task.cohort.strata.columns), told)


def _rounded(found: Any, *, digits: int) -> Any:
    """Return nested numbers rounded: the last digits of a total could give one patient away."""
    if isinstance(found, Mapping):
        return {name: _rounded(each, digits=digits) for name, each in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [_rounded(each, digits=digits) for each in found]
    return round(found, digits) if isinstance(found, float) else found
