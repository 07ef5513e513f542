"""How good are predicted incidences of every cause of an event? Beside cause-specific ridge Cox."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from omics_twin.answers.beliefs import incidences
from omics_twin.config import Config
from omics_twin.evaluate.causes import judged_by_cause
from omics_twin.evaluate.score import score
from omics_twin.judged.asking import held_out_beliefs
from omics_twin.judged.judging import over_repeats
from omics_twin.judged.predictions import BY_CAUSE, Predictions
from omics_twin.tensors.members import MemberPlan
from omics_twin.tracking import TrainedModel
from omics_twin.training.tasks import Task
from omics_twin.twin.draws import select


def held_out_incidences(
    task: Task, model: TrainedModel, plan: MemberPlan, config: Config
) -> Float[ndarray, "cause repeat patient time"]:
    """Return the twin's incidence of each cause at the grid, under the therapy received."""
    days = task.outcome.followed[1]
    found = np.full((len(task.outcome.causes), *task.held_out.shape, len(days)), np.nan)
    plans = task.catalogue.interventions()
    for repeat, rows, state in held_out_beliefs(task, model, plan, config.twin):
        for arm in np.unique(task.arms[rows]):
            own = np.flatnonzero(task.arms[rows] == arm)
            some = select(state, torch.from_numpy(own))
            found[:, repeat, rows[own]] = incidences(model, some, plans[arm], days)
    return found


def judged(
    task: Task,
    twin: Float[ndarray, "cause repeat patient time"],
    baselines: dict[str, Predictions],
) -> dict[str, Any]:
    """Return the metrics of the predicted incidence of every cause, twin and baseline alike.

    The other causes compete with it: c, AUC and Brier score are those that know of them.
    """
    learners = {"model": twin, BY_CAUSE: baselines[BY_CAUSE].by_cause}
    found: dict[str, Any] = {}
    for index, cause in enumerate(task.outcome.causes):
        outcome = judged_by_cause(task.outcome, index + 1, task.cohort.patient_ids)
        scores = {
            name: over_repeats([score(outcome, 1.0 - each) for each in incidences[index]])
            for name, incidences in learners.items()
            if incidences is not None
        }
        events = int(outcome.followed[0].sum())
        found[cause] = {"events": events, "model": scores.pop("model"), "baselines": scores}
    return found
