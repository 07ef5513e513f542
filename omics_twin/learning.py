"""From a cohort to a trained model and its held-out metrics: the steps of training."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omics_twin.answers import received_of, strata_keys
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import declared_folds, joint_labels, last_held_out, repeated_folds
from omics_twin.config import Config, digest, plain
from omics_twin.errors import CohortError, TrainingError, nearest
from omics_twin.evaluate.design import Outcome
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.groups import FOLD
from omics_twin.intake.knowledge import read_knowledge
from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.layers import Copies
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import MemberSettings, Variant, copied, set_out
from omics_twin.report.console import Console
from omics_twin.settings import Device, GeneEncoder, NetworkSettings, SplitBy
from omics_twin.starting import check_unseen, started_from
from omics_twin.tensors import transforms
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.design import ChannelDesign, Design
from omics_twin.tensors.graph import GeneGraph, gene_graph
from omics_twin.tensors.members import MemberPlan, jackknife_spread, plan_members
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.tracking import TrainedModel, commit
from omics_twin.twin.neural import Membership, NeuralTwin
from omics_twin.types import Endpoint

# Losses are about 0.5 to 1 before training; a member whose best is this many times that is lost.
_DIVERGED = 10.0
_ON_A_GRAPH = (GeneEncoder.GENE_GRAPH, GeneEncoder.PATHWAYS)


@dataclass(frozen=True)
class Task:
    """What is learned, from whom and for which question.

    Attributes
    ----------
    arms
        Index of the arm received in the catalogue, (patient,).
    held_out
        Fold in which each patient is held out, (repeat, patient).
    outcome
        As the metrics take it.
    graph
        Of the genes, where ``model.gene_encoder`` needs one.
    started
        The twin of a larger cohort that training goes on from.
    """

    cohort: Cohort
    catalogue: Catalogue
    endpoint: Endpoint
    title: str
    design: Design
    matrices: transforms.DesignMatrices
    arms: np.ndarray
    held_out: np.ndarray
    outcome: Outcome
    outcome_name: str
    graph: GeneGraph | None = None
    started: NeuralTwin | None = None

    @property
    def fingerprint(self) -> str:
        """Of the patients' files, and of those of what is known of genes where they are read."""
        parts = (self.cohort.fingerprint, "" if self.graph is None else self.graph.fingerprint)
        return " ".join(part for part in parts if part)


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


def task_of(cohort: Cohort, config: Config, console: Console) -> Task:
    """Return the task of a cohort and a configuration, everything checked before training.

    Raises
    ------
    CohortError
        If therapy or outcome are absent, or too few patients have them.
    """
    asked = config.endpoint
    if asked.outcome not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{asked.outcome}'"
            f"{nearest(asked.outcome, cohort.outcomes)}"
        )
    catalogue = Catalogue.declared(config.therapy)
    cohort = _with_received(cohort, catalogue)
    received = received_of(cohort)
    catalogue.check_received({arm for arm in received if arm is not None})
    treated = np.array([arm is not None for arm in received])
    usable = treated & np.isfinite(cohort.outcomes[asked.outcome].values)
    if not usable.all():
        console.warn(
            f"{int((~usable).sum())} patients have no known therapy or outcome '{asked.outcome}' "
            "and are not trained on"
        )
        cohort = cohort.select([p for p, u in zip(cohort.patient_ids, usable, strict=True) if u])
    for note in support_of(cohort).check_declared(catalogue):
        console.warn(note)
    endpoint = Endpoint(
        asked.name, asked.outcome, asked.horizon_days, asked.higher_is_better, asked.reading
    )
    started = started_from(config, catalogue)
    design = transforms.design_of(cohort) if started is None else started.twin.design
    matrices = transforms.apply(design, cohort)
    if started is not None:
        for note in matrices.notes:
            console.note(note)
    _check_outcome(asked.outcome, cohort)
    return Task(
        cohort=cohort,
        catalogue=catalogue,
        endpoint=endpoint,
        title=asked.title or asked.name,
        design=design,
        matrices=matrices,
        arms=np.array([catalogue.arms.index(arm) for arm in received_of(cohort) if arm]),
        held_out=folds_of(cohort, config, asked.outcome),
        outcome=outcome_of(cohort, asked.outcome, endpoint),
        outcome_name=asked.outcome,
        graph=_graph_of(design, config, console),
        started=None if started is None else started.twin,
    )


def _graph_of(design: Design, config: Config, console: Console) -> GeneGraph | None:
    """Return the graph of the measured genes where the gene encoder needs one."""
    if config.model.gene_encoder not in _ON_A_GRAPH:
        return None
    asked = config.knowledge
    graph = gene_graph(
        design,
        read_knowledge(asked),
        smallest_set=asked.smallest_set,
        most_alike=asked.most_alike,
    )
    pairs = (graph.edge_index.shape[1] - len(graph.genes)) // 2
    console.say(
        f"gene graph: {len(graph.genes)} genes, {pairs} interactions, {len(graph.pathways)} sets"
    )
    return graph


def _with_received(cohort: Cohort, catalogue: Catalogue) -> Cohort:
    """Return the cohort with everyone's therapy: where no table says, the catalogue's only arm."""
    if cohort.received is not None:
        return cohort
    if len(catalogue.arms) > 1:
        raise CohortError(
            f"cohort '{cohort.name}' has no therapy table, and catalogue '{catalogue.name}' "
            f"compares {len(catalogue.arms)} arms: declare the table, or choose therapy=none"
        )
    return cohort.all_received(catalogue.arms[0])


def support_of(cohort: Cohort) -> Support:
    """Return who received what, by stratum; everyone's therapy is known."""
    columns = tuple(cohort.strata.columns)
    received = [str(arm) for arm in received_of(cohort)]
    return Support.of(columns, strata_keys(columns, cohort), received)


def _check_outcome(name: str, cohort: Cohort) -> None:
    """Refuse an outcome from which nothing can be learned."""
    outcome = cohort.outcomes[name]
    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        if outcome.events is None or not outcome.events.any():
            raise CohortError(
                f"outcome '{name}' has no event in {len(outcome.values)} patients: "
                "choose an outcome that some of them had"
            )
    elif len(np.unique(outcome.values)) < 2:
        shown = ", ".join(f"{each:g}" for each in np.unique(outcome.values)) or "not known"
        raise CohortError(
            f"outcome '{name}' is {shown} in all {len(outcome.values)} patients: "
            "there is nothing to tell apart"
        )


def outcome_of(cohort: Cohort, name: str, endpoint: Endpoint) -> Outcome:
    """Return an outcome as the metrics take it; survival is judged up to the horizon."""
    found = cohort.outcomes[name]
    grid = None
    if found.kind is OutcomeKind.TIME_TO_EVENT:
        # The first day of the grid is not 0, where every model is certain.
        grid = np.linspace(0.0, endpoint.horizon_days, 25)[1:]
    return Outcome(found.kind, found.values, found.events, grid)


def folds_of(cohort: Cohort, config: Config, name: str) -> np.ndarray:
    """Return the fold in which each patient is held out, balanced on an outcome, (repeat, patient).

    Raises
    ------
    CohortError
        If the cohort does not record what is to be held out together.
    """
    asked, outcome = config.split, cohort.outcomes[name]
    roles = {SplitBy.SITE: "site", SplitBy.TIME: "enrolled", SplitBy.DECLARED: FOLD}
    role = roles.get(asked.by)
    if role is not None and role not in cohort.groups:
        raise CohortError(f"cohort '{cohort.name}' does not record '{role}': use split.by=PATIENT")
    if asked.by is SplitBy.TIME:
        enrolled = cohort.groups["enrolled"].astype(float).to_numpy()
        return last_held_out(cohort.patient_ids, enrolled, share=1.0 / asked.folds)
    if asked.by is SplitBy.DECLARED:
        folds = cohort.groups[FOLD].astype(object)
        return declared_folds(cohort.patient_ids, folds.where(folds.notna(), None).tolist())
    labels = None
    if outcome.kind is OutcomeKind.BINARY:
        labels = joint_labels(outcome.values, received_of(cohort), folds=asked.folds)
    elif outcome.kind is OutcomeKind.TIME_TO_EVENT and outcome.events is not None:
        labels = joint_labels(outcome.events, received_of(cohort), folds=asked.folds)
    groups = None
    if asked.by is SplitBy.SITE:
        labels, groups = None, cohort.groups["site"].fillna("not recorded").tolist()
    return repeated_folds(
        cohort.patient_ids,
        labels,
        groups,
        folds=asked.folds,
        repeats=asked.repeats,
        seed=asked.seed,
    )


def fit(task: Task, config: Config, folder: Path, console: Console) -> Fitted:
    """Train all members in one pass, from the last checkpoint if there is one.

    Raises
    ------
    TrainingError
        If a GPU is asked for and there is none, or training diverges.
    """
    fitted = fit_members(task, config, plan_of(task, config), folder, console)
    check_converged(fitted)
    return fitted


def plan_of(task: Task, config: Config) -> MemberPlan:
    """Return which patients each member of a run trains on, stops on and never sees."""
    return plan_members(
        task.held_out,
        replicas=config.split.replicas,
        stopping_share=config.split.stopping_share,
        bayesian_bootstrap=config.split.bayesian_bootstrap,
        seed=config.split.seed,
    )


def check_converged(fitted: Fitted) -> None:
    """Refuse an ensemble with members that did not learn.

    Raises
    ------
    TrainingError
        If one diverged.
    """
    diverged = fitted.diverged
    if bool(diverged.any()):
        raise TrainingError(
            f"training diverged in {int(diverged.sum())} of {len(diverged)} members: "
            "lower trainer.learning_rate"
        )


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
    if task.started is not None:
        check_unseen(task.started, task.cohort.patient_ids, plan)
        network = copy.deepcopy(task.started.network)
        network.begin_again()
        return network
    channels, outcomes, _ = _tensors(task, plan, config)
    return build_network(
        channels,
        outcomes,
        len(task.catalogue.known_agents),
        plan.training,
        config.model,
        seed=config.trainer.seed,
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
    import lightning

    from omics_twin.models.checkpoint import EveryFewEpochs, SafeCheckpoints, last_checkpoint
    from omics_twin.models.effects import learn_effects
    from omics_twin.models.module import EnsembleModule, EpochLines

    tensors = _tensors(task, plan, config)[2]
    if config.model.linear_effects and last_checkpoint(folder) is None:
        console.say("effects of the measurements, linear")
        learn_effects(
            network,
            tensors,
            _alike(plan, own),
            planned=torch.arange(len(plan.fold)) if own is None else own.copies.of,
            shown=None if own is None else own.shown,
        )
    module = EnsembleModule(network, tensors, config.trainer, own)
    with torch.no_grad():
        untrained = module.stopping_loss()
    resume = last_checkpoint(folder)
    resumed_at = 0
    if resume is not None:
        resumed_at = int(resume.stem.removeprefix("epoch-"))
        console.say(f"resuming after epoch {resumed_at}")
    every = config.trainer.checkpoint_every_epochs
    with quiet("lightning.pytorch"), warnings.catch_warnings():
        # The loader hands out step numbers; more workers would only be in the way.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists.*")
        # Lightning's own use of PyTorch, not this project's.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        trainer = lightning.Trainer(
            max_epochs=config.trainer.max_epochs,
            accelerator=_accelerator(config.trainer.device),
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=True,
            callbacks=[EveryFewEpochs(folder, every), EpochLines(console.say)],
            plugins=[SafeCheckpoints()],
            default_root_dir=folder,
        )
        trainer.fit(module, ckpt_path=None if resume is None else str(resume))
    # A comparison with NaN is false, so a member that never had a loss has diverged too.
    diverged = ~(module.best_loss.cpu() <= _DIVERGED * untrained)
    module.restore_best()
    module.settle_baselines()
    network.cpu().eval().requires_grad_(requires_grad=False)
    return Fitted(module, plan, resumed_at, diverged)


def _alike(plan: MemberPlan, own: MemberSettings | None) -> torch.Tensor:
    """Return which members are replicas of one fold that are shown the same, (member,)."""
    columns = [plan.repeat, plan.fold]
    if own is not None:
        columns += [each.long() for each in own.shown.values()]
    return torch.unique(torch.stack(columns, dim=1), dim=0, return_inverse=True)[1]


def _accelerator(device: Device) -> str:
    if device is Device.GPU and not torch.cuda.is_available():
        raise TrainingError("trainer.device is GPU, but no GPU was found: use trainer.device=AUTO")
    return {Device.AUTO: "auto", Device.CPU: "cpu", Device.GPU: "gpu"}[device]


def _tensors(
    task: Task, plan: MemberPlan, config: Config
) -> tuple[dict[str, ChannelTensors], list[OutcomeTensors], TrainingTensors]:
    """Return the training patients as the network takes them."""
    channels = {
        channel.name: ChannelTensors(
            values=task.matrices.values[channel.name],
            binary=torch.tensor([feature.binary for feature in channel.features]),
            minimum_frequency=channel.minimum_frequency,
            follow_up=channel.follow_up,
            structure=_structure(task.graph, channel, config.model),
        )
        for channel in task.design.channels
    }
    value = torch.tensor(task.outcome.values, dtype=torch.float32)
    event = torch.zeros_like(value)
    if task.outcome.event is not None:
        event = torch.tensor(task.outcome.event, dtype=torch.float32)
    unit = task.cohort.outcomes[task.outcome_name].unit
    fields = torch.stack([value, event], dim=1)
    outcomes = [OutcomeTensors(task.outcome_name, task.outcome.kind.value, unit, fields)]
    agents = torch.tensor([task.catalogue.multi_hot(arm) for arm in task.catalogue.arms])
    tensors = TrainingTensors(
        channels=task.matrices.values,
        visit_days={channel.name: channel.visit_day for channel in task.design.channels},
        agents=agents[torch.tensor(task.arms)],
        targets=fields,
        training=plan.training,
        stopping=plan.stopping,
    )
    return channels, outcomes, tensors


def _structure(
    graph: GeneGraph | None, channel: ChannelDesign, settings: NetworkSettings
) -> torch.Tensor | None:
    """Return what makes scores of gene sets from a channel's features, if it names genes."""
    if settings.gene_encoder not in _ON_A_GRAPH:
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
        design=task.design,
        agents=task.catalogue.known_agents,
        membership=Membership.of(
            cohort.patient_ids,
            fitted.plan.seen,
            salt=digest(config, task.fingerprint),
            spread=_spread(fitted.plan, config, new=False),
            spread_new=_spread(fitted.plan, config, new=True),
        ),
    )
    return TrainedModel(
        twin=twin,
        endpoint=task.endpoint,
        title=task.title,
        outcome=task.outcome_name,
        outcome_kind=task.outcome.kind.value,
        catalogue=task.catalogue,
        support=support_of(cohort),
        provenance={
            "cohort": cohort.name,
            "cohort_title": config.cohort.title,
            "fingerprint": task.fingerprint,
            "patients": len(cohort.patient_ids),
            "members": fitted.module.network.members,
            "permission": cohort.permission.basis,
            "commit": commit(),
            "trained_on": date.today().isoformat(),
            "config": plain(config),
        },
    )


def _spread(plan: MemberPlan, config: Config, *, new: bool) -> float:
    """Return the spread of a new patient's draws, or of those of a training patient."""
    if config.split.bayesian_bootstrap:
        # Bootstrap members already differ as ensembles of other patients would.
        return 1.0
    answering = torch.ones_like(plan.fold, dtype=torch.bool) if new else plan.fold == 0
    return jackknife_spread(plan, answering)
