"""A trained ensemble attacked with itself: which patients its answers show it to have seen.

A cross-validated ensemble holds twins that never saw a fold: the members of one repeat that leave
out the same fold answer together as a twin trained on everyone else would. Each is attacked in
turn, with those of the other repeats in the attacker's hands. That costs no training. Of a
privately trained twin it is exact, since that is released as one such fit; of an ensemble it is a
first look at part of its members: see :mod:`omics_twin.attacks.whole` for the whole of it.

Patients are asked about as somebody new. An attacker who knows the pseudonym that a patient had in
training needs no attack: the twin answers a training patient by the members that never saw the
patient, so its answer differs between the pseudonym and a new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from omics_twin.answers.beliefs import beliefs_of, outcome_values, received_of, strata_keys
from omics_twin.config import Config
from omics_twin.evaluate.membership import Answered, attacked, fit_of_response
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.calibration import Calibration
from omics_twin.twin.draws import select
from omics_twin.twin.neural import Membership, NeuralTwin

_DRAWS, _MOST_DRAWS = 24, 2400


def membership_attack(
    task: Task, model: TrainedModel, plan: MemberPlan, config: Config
) -> dict[str, Any]:
    """Return how far an attack on membership gets; only the reason where none is made.

    Parameters
    ----------
    plan
        What each member of the model learned from.
    """
    if reason := untold(task, config):
        return {"not_attacked": reason}
    twins = torch.unique(torch.stack([plan.repeat, plan.fold], dim=1), dim=0)
    told = probabilities(task, model, config)
    signal, inside = [], []
    for repeat, fold in twins.tolist():
        own = ((plan.repeat == repeat) & (plan.fold == fold)).numpy()
        signal.append(fit_of_response(told[own].mean(axis=0), task.outcome.values))
        inside.append(task.held_out[repeat] != fold)
    answered = Answered(np.array(signal), np.array(inside), twins[:, 0].numpy())
    return attacked(answered, seed=config.split.seed)


def not_attacked(task: Task) -> str:
    """Return why a task's twins are not attacked; empty where they are."""
    if task.outcome.kind is not OutcomeKind.BINARY:
        return f"the outcome is {task.outcome.kind.value}, expected a yes or no"
    if bool((torch.from_numpy(task.held_out) < 0).any()):
        return "some patients are in training always: hold everyone out in turn"
    return ""


def untold(task: Task, config: Config) -> str:
    """Return why a task's members are not set on each other; empty where they are."""
    if config.trainer.privacy.secret_weights:
        return "its members share the secret weights of patients: use omics-twin attack"
    return not_attacked(task)


def probabilities(
    task: Task, model: TrainedModel, config: Config
) -> Float[np.ndarray, "member patient"]:
    """Return each member's answer under the therapy received, asked as about somebody new."""
    asked = replace(model, twin=_forgetful(model), calibration=Calibration())
    members = asked.twin.network.members
    # Few draws would hide a member's answer behind their own noise.
    settings = replace(config.twin, draws=members * max(1, min(_DRAWS, _MOST_DRAWS // members)))
    found = np.zeros((members, len(task.arms)))
    plans = task.catalogue.interventions()
    strata = strata_keys(model.support.columns, task.cohort)
    for belief in beliefs_of(
        asked, task.matrices, received_of(task.cohort), settings, strata=strata
    ):
        member = belief.state.draws[0, :, 0].long()
        each = torch.nn.functional.one_hot(member, members).double()
        each = each / each.sum(dim=0)
        for arm in np.unique(task.arms[belief.rows]):
            rows = np.flatnonzero(task.arms[belief.rows] == arm)
            state = select(belief.state, torch.tensor(rows))
            values = outcome_values(asked, state, plans[int(arm)], task.outcome)[..., 0]
            found[:, belief.rows[rows]] = (values.double() @ each).T.numpy()
    return found


def _forgetful(model: TrainedModel) -> NeuralTwin:
    """Return the twin that answers before treatment, all patients new to it."""
    twin = model.twin.proposal
    nobody = torch.zeros(twin.network.members, 0, dtype=torch.bool)
    return replace(twin, membership=Membership("", torch.zeros(0, dtype=torch.long), nobody))
