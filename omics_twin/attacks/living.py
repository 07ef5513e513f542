"""An attack on membership of twins that learn from visit to visit.

The attacker holds a patient's visits and asks as about somebody new. Twins of visits are attacked
with themselves, as in :mod:`omics_twin.attacks.ensemble`: what they say of the event within the
horizon of the first landmark. A twin of sizes is one population, so a few are trained on halves of
the patients, which gives away more than one of all, and what they foresee of every next scan is
read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from omics_twin.config import Config
from omics_twin.evaluate.forecast import crps, mean_by_patient
from omics_twin.evaluate.membership import Answered, attacked, fit_of_response
from omics_twin.tensors.history import Histories
from omics_twin.tensors.members import MemberPlan
from omics_twin.twin.neural import Membership
from omics_twin.twin.visits import VisitTwin
from omics_twin.visits.landmarks import Followed, beliefs_at, event_free
from omics_twin.visits.progression import learned, one_ahead

_FEWEST, _MOST, _REPEATS = 100, 200, 2
TOO_FEW = {"not_attacked": f"fewer than {_FEWEST} patients could be asked about"}


def attack_on_sizes(
    histories: Histories, arms: Sequence[str | None], config: Config
) -> dict[str, Any]:
    """Return how far an attack on twins of halves of the patients gets."""
    patients, rng = len(arms), np.random.default_rng([config.split.seed, 83])
    scans = torch.isfinite(histories.values[..., 0]).sum(dim=1).numpy()
    asked = rng.permutation(np.flatnonzero(scans > 1))[:_MOST]
    if len(asked) < _FEWEST:
        return TOO_FEW
    some, of_some = histories.select(torch.from_numpy(asked)), [arms[int(row)] for row in asked]
    signal, inside, group = [], [], []
    for repeat in range(_REPEATS):
        half = rng.permutation(patients) % 2
        for each in (0, 1):
            own = np.flatnonzero(half == each)
            seen = histories.select(torch.from_numpy(own))
            twin = learned(seen, [arms[int(row)] for row in own], "attacked", config)
            found = one_ahead(twin, some, of_some, config.twin.seed)
            score = mean_by_patient(crps(found.draws, found.found), found.patient, len(asked))
            signal.append(-np.nan_to_num(score))
            inside.append(half[asked] == each)
            group.append(repeat)
    answered = Answered(np.array(signal), np.array(inside), np.array(group))
    return attacked(answered, seed=config.split.seed)


def attack_on_visits(
    twin: VisitTwin, plan: MemberPlan, followed: Followed, held_out: np.ndarray, config: Config
) -> dict[str, Any]:
    """Return how far an attack on parts of the ensemble gets, of whom the event is known."""
    day, horizon = config.dynamics.landmarks_days[0], config.dynamics.horizon_days
    time, event = followed.target.numpy().astype(np.float64).T
    happened = (event > 0) & (time <= day + horizon)
    rows = np.flatnonzero((time > day) & (happened | (time >= day + horizon)))
    if len(rows) < _FEWEST:
        return TOO_FEW
    members = twin.network.members
    nobody = torch.zeros(members, 0, dtype=torch.bool)
    new = Membership("", torch.zeros(0, dtype=torch.long), nobody)
    asked = replace(twin, membership=new)
    state = beliefs_at(asked, followed, rows, day, config)
    free = event_free(asked, state, followed, rows, day + horizon).numpy()
    member = state.draws[0, :, 0].long().numpy()
    told = np.stack([free[:, member == each].mean(axis=1) for each in range(members)])
    twins = torch.unique(torch.stack([plan.repeat, plan.fold], dim=1), dim=0)
    signal, inside = [], []
    for repeat, fold in twins.tolist():
        own = ((plan.repeat == repeat) & (plan.fold == fold)).numpy()
        signal.append(fit_of_response(1.0 - told[own].mean(axis=0), happened[rows].astype(float)))
        inside.append(held_out[repeat, rows] != fold)
    answered = Answered(np.array(signal), np.array(inside), twins[:, 0].numpy())
    return attacked(answered, seed=config.split.seed)
