"""From a task to a trained model: the steps of training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omics_twin.config import Config, digest, recorded
from omics_twin.errors import TrainingError, quoted
from omics_twin.intake.channels import BATCH
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.companion import Companion, fit_companion
from omics_twin.models.layers import Copies
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import MemberSettings, Variant, copied, set_out
from omics_twin.report.console import Console
from omics_twin.settings import CompanionKind, FollowUp, GeneEncoder, NetworkSettings
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.design import ChannelDesign, Design
from omics_twin.tensors.graph import GeneGraph
from omics_twin.tensors.members import MemberPlan, check_converged, planned, spread_of
from omics_twin.tensors.sums import here
from omics_twin.tracking import TrainedModel, commit
from omics_twin.training.secret_weights import weighed
from omics_twin.training.starting import check_unseen
from omics_twin.training.tasks import ON_A_GRAPH, Task, support_of
from omics_twin.trust.privacy import site_mark
from omics_twin.twin.course_fit import fit_course
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.twin.likeness import fit_likeness
from omics_twin.twin.neural import Membership, NeuralTwin

# Visits of fewer patients than this are left to the network: a course has a dozen columns.
_ENOUGH_FOLLOWED = 100


@dataclass(frozen=True)
class Fitted:
    """Trained weights, how members were planned, and the curves of training.

    Attributes
    ----------
    diverged
        Which members did not learn, (member,).
    """

    module: Any
    plan: MemberPlan
    resumed_at_epoch: int
    diverged: torch.Tensor

    def at(self, members: torch.Tensor) -> Fitted:
        """Return some of the members, for example those of one variant."""
        network = copied(self.module.network, Copies(len(self.diverged), members))
        network.eval().requires_grad_(requires_grad=False)
        part = _Part(network, self.module.curves)
        return Fitted(part, self.plan.at(members), self.resumed_at_epoch, self.diverged[members])


@dataclass(frozen=True)
class _Part:
    """Some members of a trained module."""

    network: MultimodalNetwork
    curves: list[dict[str, float]]


def fitted_of(
    network: MultimodalNetwork, plan: MemberPlan, curves: list[dict[str, float]]
) -> Fitted:
    """Return a network that was trained elsewhere, none of whose members diverged."""
    diverged = torch.zeros(network.members, dtype=torch.bool)
    return Fitted(_Part(network, curves), plan, 0, diverged)


def fit(task: Task, config: Config, folder: Path, console: Console) -> Fitted:
    """Train all members in one pass, from the last checkpoint if there is one.

    Raises
    ------
    TrainingError
        If a GPU is asked for and there is none, or training diverges.
    """
    fitted = fit_members(task, config, plan_of(task, config), folder, console)
    check_converged(fitted.diverged)
    return fitted


def plan_of(task: Task, config: Config) -> MemberPlan:
    """Return which patients each member of a run trains on, stops on and never sees."""
    return weighed(planned(task.held_out, config.split), task, config)


def fit_members(
    task: Task,
    config: Config,
    plan: MemberPlan,
    folder: Path,
    console: Console,
    variants: Sequence[Variant] | None = None,
    planned: MultimodalNetwork | None = None,
) -> Fitted:
    """Train planned members in one pass; with variants, each one's members under its settings.

    Members that diverge are told of in the answer, not refused.

    Parameters
    ----------
    planned
        What :func:`untrained_network` made of the plan, where batches share it.

    Raises
    ------
    TrainingError
        If a GPU is asked for and there is none.
    """
    network = untrained_network(task, config, plan) if planned is None else planned
    own = None
    if variants is not None:
        own = MemberSettings.of(variants, len(plan.fold), list(network.channels))
        network, plan = set_out(network, own), plan.at(own.copies.of)
    return _trained(task, config, network, plan, own, folder, console)


def untrained_network(task: Task, config: Config, plan: MemberPlan) -> MultimodalNetwork:
    """Return the network of planned members, its statistics from each member's own patients.

    Where training goes on from a twin, the network and its statistics are that twin's.

    Raises
    ------
    TrainingError
        If a member of that twin has seen a patient whom the plan holds out for it.
    """
    # Asked first: what a network needs and is not there is told of a started one too.
    channels, outcome = _untrained(task, config)
    if task.started is not None:
        check_unseen(task.started, task.cohort.patient_ids, plan)
        if task.started.design != network_design(task, config):
            raise TrainingError(
                "trainer.start_from was trained with another model.follow_up: set it as there"
            )
        network = copy.deepcopy(task.started.network)
        network.begin_again()
        return network
    return build_network(
        channels,
        outcome,
        len(task.catalogue.known_agents),
        plan.training,
        config.model,
        seed=config.trainer.seed,
        total=task.total,
    )


def _trained(
    task: Task,
    config: Config,
    network: MultimodalNetwork,
    plan: MemberPlan,
    own: MemberSettings | None,
    folder: Path,
    console: Console,
) -> Fitted:
    from omics_twin.models.checkpoint import last_checkpoint
    from omics_twin.models.effects import learn_effects
    from omics_twin.models.shared_module import module_of
    from omics_twin.models.training import accelerator_of, trained

    # Asked before minutes are spent on what comes first.
    accelerator_of(config.trainer.device)
    tensors = _tensors(task, plan, config)
    if config.model.linear_effects and last_checkpoint(folder) is None:
        console.say("effects of the measurements, linear")
        learn_effects(
            network,
            tensors,
            _alike(plan, own),
            planned=torch.arange(len(plan.fold)) if own is None else own.copies.of,
            shown=None if own is None else own.shown,
        )
    module = module_of(network, tensors, config.trainer, own)
    resumed_at, diverged = trained(module, config.trainer, folder, console.say)
    module.settle_baselines()
    network.cpu().eval().requires_grad_(requires_grad=False)
    return Fitted(module, plan, resumed_at, diverged)


def _alike(plan: MemberPlan, own: MemberSettings | None) -> torch.Tensor:
    """Return which members are replicas of one fold that are shown the same, (member,)."""
    columns = [plan.repeat, plan.fold]
    if own is not None:
        columns += [each.long() for each in own.shown.values()]
    return torch.unique(torch.stack(columns, dim=1), dim=0, return_inverse=True)[1]


def _untrained(task: Task, config: Config) -> tuple[dict[str, ChannelTensors], OutcomeTensors]:
    """Return what a network is built from: its channels and its outcome."""
    channels = {
        channel.name: ChannelTensors(
            values=task.matrices.values[channel.name],
            binary=torch.tensor([feature.binary for feature in channel.features]),
            minimum_frequency=channel.minimum_frequency,
            follow_up=channel.follow_up,
            structure=_structure(task.graph, channel, config.model),
            batch=tuple(i for i, each in enumerate(channel.features) if each.column == BATCH),
        )
        for channel in network_design(task, config).channels
    }
    unit = task.cohort.outcomes[task.outcome_name].unit
    kind = task.outcome.kind.value
    causes = task.outcome.causes
    return channels, OutcomeTensors(task.outcome_name, kind, unit, _targets(task), causes)


def _targets(task: Task) -> torch.Tensor:
    """Return the value of each patient's outcome and whether there was an event, (patient, 2).

    Where causes are told apart, the time and whether the event came of the cause, for each.
    """
    value = torch.tensor(task.outcome.values, dtype=torch.float32)
    if task.outcome.by_cause is not None:
        came = torch.tensor(task.outcome.by_cause)
        which = range(1, len(task.outcome.causes) + 1)
        return torch.stack([each for k in which for each in (value, (came == k).float())], dim=1)
    event = torch.zeros_like(value)
    if task.outcome.event is not None:
        event = torch.tensor(task.outcome.event, dtype=torch.float32)
    return torch.stack([value, event], dim=1)


def _tensors(task: Task, plan: MemberPlan, config: Config) -> TrainingTensors:
    """Return the training patients as the network takes them."""
    channels = network_design(task, config).channels
    agents = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    return TrainingTensors(
        channels={channel.name: task.matrices.values[channel.name] for channel in channels},
        visit_days={channel.name: channel.visit_day for channel in channels},
        agents=agents[torch.tensor(task.arms)],
        targets=_targets(task),
        training=plan.training,
        stopping=plan.stopping,
        total=task.total,
    )


def _structure(
    graph: GeneGraph | None, channel: ChannelDesign, settings: NetworkSettings
) -> torch.Tensor | None:
    """Return what makes scores of gene sets from a channel's features, if it names genes."""
    if settings.gene_encoder not in ON_A_GRAPH:
        return None
    if graph is None:
        raise TrainingError(
            f"model.gene_encoder is {settings.gene_encoder.name}, but the run began with one that "
            "needs no gene graph: set it for the whole run"
        )
    if channel.name not in graph.channels:
        return None
    genes = [feature.column for feature in channel.features]
    if settings.gene_encoder is GeneEncoder.GENE_GRAPH:
        return graph.propagated(genes, teleport=settings.teleport)
    return graph.pooling(genes)


def model_of(task: Task, fitted: Fitted, config: Config) -> TrainedModel:
    """Return the trained ensemble with all it needs at the bedside."""
    cohort = task.cohort
    twin = NeuralTwin(
        name=config.name,
        network=fitted.module.network,
        design=network_design(task, config),
        agents=task.catalogue.known_agents,
        membership=Membership.of(
            cohort.patient_ids,
            fitted.plan.seen,
            salt=digest(config, task.fingerprint),
            spread=spread_of(fitted.plan, config.split, new=False),
            spread_new=spread_of(fitted.plan, config.split, new=True),
        ),
        companion=_companion(task, fitted, config),
    )
    return TrainedModel(
        twin=twin if twin.design == task.design else _hybrid(task, twin),
        endpoint=task.endpoint,
        title=task.title,
        outcome=task.outcome_name,
        outcome_kind=task.outcome.kind.value,
        catalogue=task.catalogue,
        support=support_of(cohort),
        likeness=fit_likeness(_before_treatment(task), task.total),
        provenance={
            "cohort": cohort.name,
            "cohort_title": config.cohort.title,
            "fingerprint": task.fingerprint,
            "patients": len(cohort.patient_ids),
            "members": fitted.module.network.members,
            "permission": cohort.permission.basis,
            "pseudonyms": site_mark(wanted=config.trust.pseudonyms),
            "commit": commit(),
            "trained_on": date.today().isoformat(),
            "config": recorded(config),
        },
    )


def companion_notes(config: Config) -> list[str]:
    """Return why trees that are asked for do not stand beside a network, if they do not."""
    reason = ""
    if config.trainer.federation.sites:
        reason = "sites that learn together send sums, and trees are not made of sums"
    if config.trainer.privacy.epsilon is not None:
        reason = "a leaf tells of a few patients, which no privacy budget allows"
    if config.trainer.privacy.secret_weights:
        reason = "a leaf tells of a few patients, whom secret weights are to hide"
    if not reason or config.model.companion is CompanionKind.NONE:
        return []
    return [f"no trees stand beside the network (model.companion): {reason}"]


def _companion(task: Task, fitted: Fitted, config: Config) -> Companion | None:
    """Return what stands beside the network, fitted to each member's own patients."""
    alone = config.model.companion is CompanionKind.NONE or task.total is not here
    if alone or companion_notes(config):
        return None
    arms = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    return fit_companion(
        fitted.module.network,
        _tensors(task, fitted.plan, config),
        _alike(fitted.plan, None),
        arms.mean(dim=0),
        seed=config.trainer.seed,
    )


def _before_treatment(task: Task) -> dict[str, torch.Tensor]:
    """Return what was measured before treatment, by channel."""
    names = [channel.name for channel in task.design.channels if not channel.follow_up]
    return {name: task.matrices.values[name] for name in names}


def network_design(task: Task, config: Config) -> Design:
    """Return what the network is shown: no visits under therapy where a course reads them.

    Raises
    ------
    TrainingError
        If a course is asked for, and the outcome or the visits do not allow one.
    """
    asked = config.model.follow_up
    if asked is FollowUp.NETWORK or task.design.visit_days[-1] <= 0:
        return task.design
    reason = _no_course(task)
    if reason and asked is FollowUp.COURSE:
        raise TrainingError(f"{reason}: use model.follow_up=NETWORK")
    if reason or (asked is FollowUp.AUTO and _followed(task) < _ENOUGH_FOLLOWED):
        return task.design
    return task.design.before_treatment()


def _no_course(task: Task) -> str:
    """Return why visits under therapy can be read by no course, empty where they can."""
    if task.outcome.kind is not OutcomeKind.BINARY:
        return f"outcome '{task.outcome_name}' is no yes or no, by which a course is told apart"
    names = sorted({channel.modality for channel in task.design.channels if channel.follow_up})
    if len(names) != 1 or _visits_of(task, names[0])[0].follow_up:
        return (
            f"{quoted(names)} measured under therapy, expected one modality that is measured "
            "before it too"
        )
    return ""


def _followed(task: Task) -> int:
    """Return from how many patients seen under therapy the members learn, at least."""
    names = [channel.name for channel in task.design.channels if channel.follow_up]
    seen = [torch.isfinite(task.matrices.values[name]).any(dim=1) for name in names]
    known = torch.stack(seen).any(dim=0).numpy() & np.isfinite(task.outcome.values)
    folds = [(each, fold) for each in task.held_out for fold in range(int(each.max()) + 1)]
    inside = torch.tensor([int((known & (each != fold)).sum()) for each, fold in folds])
    (followed,) = task.total("followed patients", inside.double())
    return int(followed.min())


def _visits_of(task: Task, modality: str) -> list[ChannelDesign]:
    """Return the scheduled visits of a modality, in order."""
    found = [channel for channel in task.design.channels if channel.modality == modality]
    return sorted(found, key=lambda channel: channel.visit_day)


def _hybrid(task: Task, twin: NeuralTwin) -> HybridTwin:
    """Return the twin with the course that each member learns from its own patients."""
    modality = next(c.modality for c in task.design.channels if c.follow_up)
    visits = _visits_of(task, modality)
    agents = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    course = fit_course(
        modality,
        torch.tensor([channel.visit_day for channel in visits], dtype=torch.float64),
        torch.stack([each.natural(task.matrices.values[each.name]) for each in visits], dim=1),
        torch.tensor(task.outcome.values, dtype=torch.float32),
        agents[torch.tensor(task.arms)],
        twin.membership.seen,
        task.total,
    )
    return HybridTwin(twin, course, task.design)
