"""What a twin of visits, and Cox models, foresee from landmarks on and one visit ahead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate.baselines import fit_baseline
from omics_twin.evaluate.design import Design, Outcome
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.report.console import Console
from omics_twin.tensors.members import MemberPlan
from omics_twin.twin.draws import select, weighted_mean, with_draws
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import NO_INTERVENTION, Observation, TwinState
from omics_twin.visits.learning import FEWEST, Array, Followed
from omics_twin.visits.progression import treatment

_LANDMARK, _FIRST = ("elastic_net_cox", "ridge_cox"), "ridge_cox"

_GRID = 9


@dataclass(frozen=True)
class Foreseen:
    """What each learner foresees from one landmark on, of those who are event-free there.

    Attributes
    ----------
    rows
        Their positions among all who are followed, (patient,).
    ahead
        Days from the landmark to the event or the end of follow-up, and 1 for an event,
        (patient, 2).
    free
        By learner: probability of no event by the horizon, (repeat, patient).
    """

    day: float
    rows: Array
    ahead: Array
    free: Mapping[str, Array]

    def events(self, horizon_days: float) -> int:
        """Return how many have the event by the horizon."""
        return int(self.ahead[self.ahead[:, 0] <= horizon_days, 1].sum())


@dataclass(frozen=True)
class NextValues:
    """One measurement as it was foreseen one visit ahead, and as it came.

    Attributes
    ----------
    binary
        Whether it is a yes or no.
    patient
        Positions among all who are followed, (forecast,).
    draws, found, before
        What was foreseen, (forecast, draw), what came, and the last value before, (forecast,).
    """

    binary: bool
    patient: Array
    draws: Array
    found: Array
    before: Array


def beliefs_at(
    twin: VisitTwin, followed: Followed, rows: Array, landmark_days: float, config: Config
) -> TwinState:
    """Return the beliefs about some patients who are event-free on a day, all visits until then."""
    some = followed.histories.select(torch.from_numpy(rows)).up_to(landmark_days)
    state = twin.start(some.patient_ids, draws=_draws(twin, config), seed=config.twin.seed)
    for visit in range(int(some.visits.max())):
        state = twin.observe(state, some.observation(visit))
    day = torch.full((len(rows),), landmark_days, dtype=torch.float64)
    blank = torch.full_like(some.values[:, 0], torch.nan)
    return twin.observe(state, Observation(some.patient_ids, day, {some.modality.name: blank}))


def _draws(twin: VisitTwin, config: Config) -> int:
    return max(config.twin.draws, twin.network.members)


def _by_repeat(state: TwinState, plan: MemberPlan, repeats: int) -> Iterator[TwinState]:
    """Yield the belief as the members of each repeat hold it."""
    member = state.draws[0, :, 0].long()
    for repeat in range(repeats):
        yield with_draws(state, torch.nonzero(plan.repeat[member] == repeat)[:, 0])


def foreseen(
    twin: VisitTwin,
    plan: MemberPlan,
    followed: Followed,
    held_out: Array,
    config: Config,
    console: Console,
) -> list[Foreseen]:
    """Return what the twin and Cox models foresee from each landmark on.

    Raises
    ------
    CohortError
        If no landmark has enough events after it.
    """
    asked, found = config.dynamics, []
    step = console.progress("landmarks")
    for done, landmark in enumerate(asked.landmarks_days, start=1):
        rows = np.flatnonzero(followed.target[:, 0].numpy() > landmark)
        ahead = followed.target[rows].numpy().astype(np.float64) - [landmark, 0.0]
        if Foreseen(landmark, rows, ahead, {}).events(asked.horizon_days) < FEWEST:
            console.warn(f"fewer than {FEWEST} events after day {landmark:g}: not judged there")
            continue
        free = {
            "omics_twin": _twin_curves(twin, plan, followed, rows, landmark, config),
            **_cox_curves(followed, rows, held_out[:, rows], landmark, config),
        }
        found.append(Foreseen(landmark, rows, ahead, free))
        step(done, len(asked.landmarks_days))
    if not found:
        raise CohortError("no landmark has enough events after it: set dynamics.landmarks_days")
    return found


def _twin_curves(
    twin: VisitTwin,
    plan: MemberPlan,
    followed: Followed,
    rows: Array,
    landmark_days: float,
    config: Config,
) -> Float[Array, "repeat patient"]:
    """Return the probability of no event by the horizon, by members that never saw the patient."""
    state = beliefs_at(twin, followed, rows, landmark_days, config)
    found = np.empty((int(plan.repeat.max()) + 1, len(rows)))
    day = landmark_days + config.dynamics.horizon_days
    for repeat, belief in enumerate(_by_repeat(state, plan, len(found))):
        free = event_free(twin, belief, followed, rows, day)
        found[repeat] = weighted_mean(free, belief.log_weights).numpy()
    return found


def event_free(
    twin: VisitTwin, state: TwinState, followed: Followed, rows: Array, day: float
) -> Float[Tensor, "patient draw"]:
    """Return how likely no event is by a day in each draw, under what each patient received."""
    arms = np.array([str(followed.arms[row]) for row in rows])
    found = torch.empty(state.log_weights.shape)
    for arm in np.unique(arms):
        own = torch.from_numpy(np.flatnonzero(arms == arm))
        under = treatment(arm) if arm in twin.agents else NO_INTERVENTION
        ahead = twin.simulate(select(state, own), under, torch.tensor([day], dtype=torch.float64))
        found[own] = ahead.values[:, :, 0, 0]
    return found


def _cox_curves(
    followed: Followed, rows: Array, held_out: Array, landmark_days: float, config: Config
) -> dict[str, Float[Array, "repeat patient"]]:
    """Return the same by Cox models of those at risk, on their last and on their first values."""
    target = followed.target[rows].numpy().astype(np.float64)
    outcome = Outcome(
        OutcomeKind.TIME_TO_EVENT,
        target[:, 0] - landmark_days,
        target[:, 1] > 0,
        np.linspace(0.0, config.dynamics.horizon_days, _GRID)[1:],
    )
    last, first = (_carried(followed, rows, day) for day in (landmark_days, -np.inf))
    asked = {f"landmark {name}": (name, last) for name in _LANDMARK}
    asked["first visit alone, " + _FIRST] = (_FIRST, first)
    return {
        label: np.stack([_cox(name, values, followed, rows, outcome, folds) for folds in held_out])
        for label, (name, values) in asked.items()
    }


def _cox(
    name: str, values: Array, followed: Followed, rows: Array, outcome: Outcome, folds: Array
) -> Float[Array, " patient"]:
    names, agents = followed.histories.modality.features, followed.agents
    arms = np.array(
        [agents.index(a) if (a := followed.arms[row]) in agents else -1 for row in rows]
    )
    design = Design(
        values,
        tuple(names),
        (followed.histories.modality.name,) * len(names),
        followed.binary.numpy(),
        arms,
        agents,
        np.eye(len(agents)),
        agents,
    )
    found = np.empty(len(rows))
    for fold in np.unique(folds):
        model = fit_baseline(name, design, outcome, np.flatnonzero(folds != fold), seed=0)
        own = np.flatnonzero(folds == fold)
        found[own] = model.predict(values[own], arms[own])[:, -1]
    return found


def _carried(followed: Followed, rows: Array, until_days: float) -> Float[Array, "patient feature"]:
    """Return each patient's last values by a day, or of the first visit before any day."""
    known = followed.histories.days.numpy()[rows] <= until_days
    # The first visit is there whatever the day.
    known[:, 0] = True
    return _last(np.where(known[..., None], followed.logged.numpy()[rows], np.nan))


def _last(values: Float[Array, "patient visit *feature"]) -> Float[Array, " patient *feature"]:
    """Return the last that was measured, NaN where nothing was."""
    found = values[:, 0]
    for visit in range(1, values.shape[1]):
        found = np.where(np.isfinite(values[:, visit]), values[:, visit], found)
    return found


def next_values(twin: VisitTwin, followed: Followed, config: Config) -> dict[str, NextValues]:
    """Return each measurement as members that never saw the patient foresee it a visit ahead."""
    histories = followed.histories
    values = histories.values.numpy()
    state = twin.start(histories.patient_ids, draws=_draws(twin, config), seed=config.twin.seed)
    generator = np.random.default_rng(config.twin.seed)
    parts: dict[str, list[tuple[Array, ...]]] = {}
    for visit in range(values.shape[1]):
        observation = histories.observation(visit)
        rows = np.flatnonzero(np.isfinite(values[:, visit]).any(axis=1))
        if visit and len(rows):
            part = select(state, torch.from_numpy(rows))
            ahead = twin.forecast(part, observation.days[rows]).numpy()
            weights = part.log_weights.exp().numpy()
            kept = np.stack([generator.choice(len(w), 200, p=w / w.sum()) for w in weights])
            draws = np.take_along_axis(ahead, kept[:, :, None], axis=1)
            for k in np.flatnonzero(~twin.network.fixed.numpy()):
                name = histories.modality.features[k]
                there = np.isfinite(values[rows, visit, k])
                before = _last(values[rows, :visit, k])
                there &= np.isfinite(before)
                parts.setdefault(name, []).append(
                    (rows[there], draws[there, :, k], values[rows[there], visit, k], before[there])
                )
        state = twin.observe(state, observation)
    binary = dict(zip(histories.modality.features, followed.binary.tolist(), strict=True))
    found = {
        name: NextValues(binary[name], *(np.concatenate(some) for some in zip(*each, strict=True)))
        for name, each in parts.items()
    }
    return {name: each for name, each in found.items() if len(each.found)}
