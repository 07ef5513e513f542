"""What is learned, from whom and for which question: all of it checked before training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from omics_twin.answers.beliefs import received_of, strata_keys
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import declared_folds, joint_labels, last_held_out, repeated_folds
from omics_twin.config import Config
from omics_twin.errors import CohortError, nearest
from omics_twin.evaluate.competing import followed_on
from omics_twin.evaluate.design import Outcome
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.groups import FOLD
from omics_twin.intake.knowledge import read_knowledge
from omics_twin.report.console import Console
from omics_twin.settings import GeneEncoder, SplitBy
from omics_twin.tensors import transforms
from omics_twin.tensors.design import Design
from omics_twin.tensors.graph import GeneGraph, gene_graph
from omics_twin.tensors.sums import Total, here
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import Support
from omics_twin.training.starting import started_from
from omics_twin.twin.neural import NeuralTwin
from omics_twin.types import Endpoint

ON_A_GRAPH = (GeneEncoder.GENE_GRAPH, GeneEncoder.PATHWAYS)

# Of fewer events of a cause nothing is learned in every fold.
_FEWEST_OF_A_CAUSE = 20


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
    total
        Completes sums over these patients where other sites learn with this one.
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
    total: Total = here

    @property
    def fingerprint(self) -> str:
        """Of the patients' files, and of those of what is known of genes where they are read."""
        parts = (self.cohort.fingerprint, "" if self.graph is None else self.graph.fingerprint)
        return " ".join(part for part in parts if part)


def task_of(
    cohort: Cohort,
    config: Config,
    console: Console,
    *,
    agreed: Callable[[Design], Design] | None = None,
    total: Total = here,
) -> Task:
    """Return the task of a cohort and a configuration, everything checked before training.

    Parameters
    ----------
    agreed
        Returns the design of all sites that learn together from this one's.
    total
        Completes sums over this cohort to those over all sites.

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
    started = started_from(config, catalogue, cohort.outcomes[asked.outcome].causes)
    design = transforms.design_of(cohort) if started is None else started.twin.design
    design = design if agreed is None else agreed(design)
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
        started=None if started is None else started.twin.proposal,
        total=total,
    )


def _graph_of(design: Design, config: Config, console: Console) -> GeneGraph | None:
    """Return the graph of the measured genes where the gene encoder needs one."""
    if config.model.gene_encoder not in ON_A_GRAPH:
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
        for which, cause in enumerate(outcome.causes, start=1):
            found = int((np.asarray(outcome.by_cause) == which).sum())
            if found < _FEWEST_OF_A_CAUSE:
                raise CohortError(
                    f"cause '{cause}' of outcome '{name}' has {found} events, expected at least "
                    f"{_FEWEST_OF_A_CAUSE}: declare it together with another"
                )
    elif len(np.unique(outcome.values)) < 2:
        shown = ", ".join(f"{each:g}" for each in np.unique(outcome.values)) or "not known"
        raise CohortError(
            f"outcome '{name}' is {shown} in all {len(outcome.values)} patients: "
            "there is nothing to tell apart"
        )


def outcome_of(cohort: Cohort, name: str, endpoint: Endpoint) -> Outcome:
    """Return an outcome as the metrics take it; survival is judged up to the horizon.

    Who had a competing event is followed on, see
    :func:`omics_twin.evaluate.competing.followed_on`.
    """
    found = cohort.outcomes[name]
    grid = None
    if found.kind is OutcomeKind.TIME_TO_EVENT:
        # The first day of the grid is not 0, where every model is certain.
        grid = np.linspace(0.0, endpoint.horizon_days, 25)[1:]
    judged = Outcome(
        found.kind,
        found.values,
        found.events,
        grid,
        by_cause=found.by_cause,
        causes=found.causes,
    )
    if found.cause is None:
        return judged
    values = followed_on(found.values, found.cause, cohort.patient_ids)
    return replace(judged, values=values, first_days=found.values, cause=found.cause)


def folds_of(cohort: Cohort, config: Config, name: str) -> np.ndarray:
    """Return the fold in which each patient is held out, balanced on an outcome, (repeat, patient).

    Raises
    ------
    CohortError
        If the cohort does not record what is to be held out together.
    """
    asked, outcome = config.split, cohort.outcomes[name]
    if asked.by is SplitBy.THERAPY:
        raise CohortError(
            "split.by is THERAPY, but a therapy that no training patient received is unknown to a "
            "neural twin: use split.by=PATIENT"
        )
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
