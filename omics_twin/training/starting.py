"""Where training begins: from nothing, or from a larger cohort's twin with the same folds."""

from __future__ import annotations

from collections.abc import Sequence

from omics_twin.config import Config
from omics_twin.errors import TrainingError, quoted
from omics_twin.tensors.members import MemberPlan
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.tracking import TrainedModel, load_model
from omics_twin.twin.neural import NeuralTwin


def started_from(
    config: Config, catalogue: Catalogue, causes: tuple[str, ...]
) -> TrainedModel | None:
    """Return the model that training goes on from, if one is asked for.

    Its effects, and the network behind them, were learned on a larger cohort; what is learned now
    is added to them, shrunk towards nothing. A feature that only one of the cohorts has stays as
    it was, and is not learned.

    Parameters
    ----------
    causes
        Of the event, that the cohort tells apart.

    Raises
    ------
    TrainingError
        If the model answers another question, or knows other agents.
    ModelError
        If there is no such model.
    """
    if config.trainer.start_from is None:
        return None
    model = load_model(config.trainer.start_from, config.tracking)
    asked = config.endpoint.outcome
    if model.outcome != asked:
        raise TrainingError(
            f"'{config.trainer.start_from}' predicts '{model.outcome}', the endpoint asks for "
            f"'{asked}': start from a model of the same outcome"
        )
    known = model.twin.network.outcome.causes
    if known != causes:
        raise TrainingError(
            f"'{config.trainer.start_from}' tells the causes {quoted(known) or 'none'} of "
            f"'{asked}' apart, the cohort {quoted(causes) or 'none'}: declare the same in the same "
            "order"
        )
    if model.twin.agents != catalogue.known_agents:
        raise TrainingError(
            f"'{config.trainer.start_from}' knows the agents {quoted(model.twin.agents) or 'none'}"
            f", the catalogue {quoted(catalogue.known_agents) or 'none'}: use the same catalogue"
        )
    return model


def check_unseen(twin: NeuralTwin, patient_ids: Sequence[str], plan: MemberPlan) -> None:
    """Refuse a start from members that have learned from whom they are to be judged on.

    Raises
    ------
    TrainingError
        If the members differ in number, or one has seen a patient whom it now holds out.
    """
    members, planned = twin.network.members, len(plan.fold)
    if members != planned:
        raise TrainingError(
            f"the model to start from has {members} members, the run plans {planned}: use the "
            "folds, repeats and replicas that it was trained with"
        )
    unseen = twin.membership.unseen(patient_ids)
    told = (~unseen & ~plan.seen.T).any(dim=1).nonzero()[:, 0].tolist()
    if told:
        raise TrainingError(
            f"the model to start from has learned from {len(told)} patients whom its members are "
            "now to be judged on: use the same declared folds"
        )
