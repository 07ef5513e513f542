"""Patients with many visits: a recurrent twin, judged from landmarks on, beside Cox models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.answers import received_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import NEVER_HELD_OUT
from omics_twin.config import Config, digest
from omics_twin.errors import CohortError, TrainingError, about, nearest
from omics_twin.evaluate.baselines import fit_baseline
from omics_twin.evaluate.concordance import concordance
from omics_twin.evaluate.design import Design, Outcome
from omics_twin.evaluate.fairness import Measure, enough
from omics_twin.evaluate.forecast import coverage, crps, held
from omics_twin.evaluate.forecast_plots import landmark_figure
from omics_twin.evaluate.influence import (
    Estimate,
    averaged,
    joined,
    mean_of,
    share_inside,
    survival_gap_of,
    uno_c_of,
)
from omics_twin.evaluate.metrics import brier, log_loss
from omics_twin.evaluate.survival import (
    StepFunction,
    brier_at,
    brier_errors,
    censoring_survival,
)
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.living import LivingModel
from omics_twin.models.build import OutcomeTensors, build_head
from omics_twin.models.heads import HazardHead
from omics_twin.models.visits import VisitNetwork
from omics_twin.progression import in_cells, provenance_of, treatment
from omics_twin.report.console import Console
from omics_twin.report.words import name_in_words
from omics_twin.tasks import folds_of
from omics_twin.tensors.history import Histories, histories_of
from omics_twin.tensors.members import MemberPlan, check_converged, planned, spread_of
from omics_twin.tracking import commit
from omics_twin.twin.draws import select, weighted_mean, with_draws
from omics_twin.twin.neural import Membership
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import NO_INTERVENTION, Endpoint, Observation, TwinState

Array = np.ndarray
# Beside the event, what is measured next is learned with this weight.
_SHARE = 0.3
_LANDMARK, _FIRST = ("elastic_net_cox", "ridge_cox"), "ridge_cox"
_GRID = 9
_FEWEST = 20
_TOWARDS_DIAGONAL = 0.1


@dataclass(frozen=True)
class Followed:
    """Patients with visits and a known end of follow-up.

    Attributes
    ----------
    rows
        Positions in the cohort, (patient,).
    log
        Which features are taken as logarithms, (feature,).
    binary
        Which are signs scored yes (1) or no (0), (feature,).
    arms
        What each received, in the order of the histories' patients.
    target
        Day of the event or of the end of follow-up, and 1 for an event, (patient, 2).
    """

    histories: Histories
    rows: Array
    log: Bool[Tensor, " feature"]
    binary: Bool[Tensor, " feature"]
    arms: tuple[str | None, ...]
    outcome: str
    target: Float[Tensor, "patient 2"]

    @property
    def logged(self) -> Float[Tensor, "patient visit feature"]:
        """What was measured, logarithms where taken."""
        values = self.histories.values
        return torch.where(self.log, torch.log1p(values.clamp(min=0.0)), values)

    @property
    def agents(self) -> tuple[str, ...]:
        """The therapies that were received."""
        return tuple(sorted({arm for arm in self.arms if arm is not None}))

    @property
    def multi_hot(self) -> Float[Tensor, "patient agent"]:
        """1 for what each received."""
        return torch.tensor([[float(a == arm) for a in self.agents] for arm in self.arms])


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


def followed_of(cohort: Cohort, config: Config, console: Console) -> Followed:
    """Return who has visits and is known to have been followed beyond the first.

    Raises
    ------
    CohortError
        If the cohort has no such outcome or too few such patients.
    """
    name, asked = config.dynamics.outcome, config.dynamics.modality
    if name not in cohort.outcomes:
        raise CohortError(
            f"cohort '{cohort.name}' has no outcome '{name}'{nearest(name, cohort.outcomes)}"
        )
    outcome = cohort.outcomes[name]
    if outcome.kind is not OutcomeKind.TIME_TO_EVENT or outcome.events is None:
        raise CohortError(f"outcome '{name}' is no time to an event: set dynamics.outcome")
    if outcome.competing is not None:
        raise CohortError(
            f"outcome '{name}' has competing events, which a twin of many visits does not know: "
            "set dynamics.outcome to one without"
        )
    histories = histories_of(cohort, asked)
    days, values = histories.days, histories.values
    later = days > torch.from_numpy(outcome.values)[:, None]
    if bool(later.any()):
        patient = histories.patient_ids[int(torch.nonzero(later)[0, 0])]
        told = f"visits after the end of follow-up are not used, such as of patient '{patient}'"
        console.warn(about(told, patient))
        histories = Histories(
            histories.patient_ids,
            histories.modality,
            torch.where(later, torch.nan, days),
            torch.where(later.unsqueeze(-1), torch.nan, values),
        )
    known = np.isfinite(outcome.values) & (histories.visits.numpy() > 0)
    rows = np.flatnonzero(known)
    if len(rows) < _FEWEST:
        raise CohortError(
            f"{len(rows)} patients have visits '{asked}' and a known '{name}', expected {_FEWEST}"
        )
    features = histories.modality.features
    if config.dynamics.watched not in features:
        watched = config.dynamics.watched
        raise CohortError(f"'{asked}' has no feature '{watched}'{nearest(watched, features)}")
    received, columns = received_of(cohort), cohort.repeated[asked].var
    if columns["kind"].iloc[features.index(config.dynamics.watched)] == "binary":
        raise CohortError(
            f"'{config.dynamics.watched}' is scored yes or no, expected a number to hold forecasts "
            "against: set dynamics.watched"
        )
    return Followed(
        histories=histories.select(torch.from_numpy(rows)),
        rows=rows,
        log=torch.tensor(columns["log"].to_numpy(dtype=bool)),
        binary=torch.tensor((columns["kind"] == "binary").to_numpy()),
        arms=tuple(received[row] for row in rows),
        outcome=name,
        target=torch.tensor(
            np.column_stack([outcome.values[rows], outcome.events[rows]]), dtype=torch.float32
        ),
    )


def held_out_of(cohort: Cohort, followed: Followed, config: Config) -> Array:
    """Return the fold in which each patient is held out, (repeat, patient).

    Raises
    ------
    CohortError
        If the split cannot be made, or somebody would never be held out.
    """
    found = folds_of(cohort, config, followed.outcome)[:, followed.rows]
    # Every patient is judged, and those in training always would be judged in-sample.
    if (found == NEVER_HELD_OUT).any():
        raise CohortError(
            "some patients are in training always: hold everyone out in turn, split.by=PATIENT"
        )
    return found


def fit(
    followed: Followed, held_out: Array, config: Config, folder: Path, console: Console
) -> tuple[VisitTwin, MemberPlan]:
    """Train all members in one pass, from the last checkpoint if there is one.

    Raises
    ------
    TrainingError
        If training diverges.
    """
    from omics_twin.models.training import trained
    from omics_twin.models.visit_module import VisitModule, VisitTensors

    plan = planned(held_out, config.split)
    network = untrained(followed, plan, config)
    histories = followed.histories
    tensors = VisitTensors(
        days=histories.days,
        values=histories.values.float(),
        agents=followed.multi_hot,
        target=followed.target,
        training=plan.training,
        stopping=plan.stopping,
    )
    module = VisitModule(network, tensors, config.trainer, _SHARE)
    _, diverged = trained(module, config.trainer, folder, console.say)
    check_converged(diverged)
    twin = VisitTwin(
        name=config.name,
        network=network.cpu().eval().requires_grad_(requires_grad=False),
        modality=histories.modality,
        watched=config.dynamics.watched,
        outcome=followed.outcome,
        agents=followed.agents,
        membership=Membership.of(
            histories.patient_ids,
            plan.seen,
            digest(config, commit()),
            spread=spread_of(plan, config.split, new=False),
            spread_new=spread_of(plan, config.split, new=True),
        ),
    )
    return twin, plan


def untrained(followed: Followed, plan: MemberPlan, config: Config) -> VisitNetwork:
    """Return the network of planned members, its statistics from each one's own patients."""
    days, values = followed.histories.days, followed.histories.values
    logged = followed.logged
    location, scale, spread, range_ = (
        torch.stack(each).float()
        for each in zip(*(_statistics(logged[own > 0]) for own in plan.training), strict=True)
    )
    patient, visit = torch.nonzero(torch.isfinite(days), as_tuple=True)
    ahead = followed.target[patient, 0] - days[patient, visit].float()
    fields = torch.stack([ahead, followed.target[patient, 1]], dim=1)
    head = build_head(
        OutcomeTensors(followed.outcome, OutcomeKind.TIME_TO_EVENT.value, "1", fields),
        plan.training[:, patient],
        config.model,
    )
    if not isinstance(head, HazardHead):
        raise TrainingError("visits are learned with hazards: use model.survival_head=HAZARD")
    unchanged = (values.isnan() | (values == values[:, :1])).flatten(0, 1)
    return VisitNetwork(
        followed.log,
        followed.binary,
        unchanged.all(dim=0),
        location,
        scale,
        spread,
        range_,
        head,
        len(followed.agents),
        config.model.latent,
        torch.Generator().manual_seed(config.trainer.seed),
    )


def _statistics(logged: Float[Tensor, "patient visit feature"]) -> tuple[Tensor, ...]:
    """Return mean, deviation and range of all visits, the covariance of standardised first ones."""
    flat = logged.flatten(0, 1)
    lowest = torch.nan_to_num(flat, nan=torch.inf).amin(dim=0)
    highest = torch.nan_to_num(flat, nan=-torch.inf).amax(dim=0)
    location = torch.nan_to_num(flat.nanmean(dim=0))
    off = torch.nan_to_num(flat - location)
    seen = (~torch.isnan(flat)).double()
    scale = (off.square().sum(dim=0) / seen.sum(dim=0).clamp(min=1.0)).sqrt()
    scale = torch.where(scale > 1e-6, scale, 1.0)
    first = (logged[:, 0] - location) / scale
    there = (~torch.isnan(first)).double()
    first = torch.nan_to_num(first)
    both = (there.T @ there).clamp(min=1.0)
    covariance = first.T @ first / both
    diagonal = torch.diag(covariance.diagonal())
    covariance = (1 - _TOWARDS_DIAGONAL) * covariance + _TOWARDS_DIAGONAL * diagonal
    # Covariances of pairs measured in different patients may not fit together.
    values, vectors = torch.linalg.eigh(covariance)
    spread = vectors @ torch.diag(values.clamp(min=1e-3)) @ vectors.T
    return location, scale, spread, torch.stack([lowest, highest])


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
        if Foreseen(landmark, rows, ahead, {}).events(asked.horizon_days) < _FEWEST:
            console.warn(f"fewer than {_FEWEST} events after day {landmark:g}: not judged there")
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


def judged(
    found: Sequence[Foreseen],
    ahead: Mapping[str, NextValues],
    followed: Followed,
    held_out: Array,
    config: Config,
) -> dict[str, Any]:
    """Return the scores of what was foreseen from each landmark on, and of the next visit."""
    asked = config.dynamics
    by_landmark: dict[str, dict[str, Any]] = {}
    for landmark in found:
        scored = {
            name: _scored(each, landmark.ahead, asked.horizon_days)
            for name, each in landmark.free.items()
        }
        by_landmark[f"day {landmark.day:g}"] = {
            "n": len(landmark.rows),
            "events": landmark.events(asked.horizon_days),
            "model": scored.pop("omics_twin"),
            "baselines": scored,
        }
    return {
        "endpoint": (
            f"'{followed.outcome}' {asked.horizon_days:g} days after a landmark, mean of landmarks"
        ),
        "n": len(followed.rows),
        "folds": int(held_out.max()) + 1,
        "repeats": len(held_out),
        "model": _mean([each["model"] for each in by_landmark.values()]),
        "baselines": {
            name: _mean([each["baselines"][name] for each in by_landmark.values()])
            for name in next(iter(by_landmark.values()))["baselines"]
        },
        "by_landmark": by_landmark,
        "next_visit": _next_scores(ahead),
    }


def measures_by_learner(
    found: Sequence[Foreseen],
    ahead: Mapping[str, NextValues],
    patients: int,
    horizon_days: float,
) -> dict[str, list[Measure]]:
    """Return what can be asked of every group: mean over the landmarks, and of the next visit."""
    told = {name: _event_measures(found, name, patients, horizon_days) for name in found[0].free}
    numbers = [each for each in ahead.values() if not each.binary]
    if numbers:
        cells = np.concatenate(
            [
                in_cells(each.patient, held(each.draws, each.found).astype(float), patients)
                for each in numbers
            ],
            axis=1,
        )
        known = np.isfinite(cells).any(axis=1)
        name = "next_interval_90_holds"
        told["omics_twin"].append(Measure(name, known, lambda rows: share_inside(cells[rows])))
    return told


def _event_measures(
    found: Sequence[Foreseen], learner: str, patients: int, horizon_days: float
) -> list[Measure]:
    """Return discrimination, squared error and calibration at the horizon, mean of landmarks."""
    known = np.zeros(patients, dtype=bool)
    known[np.concatenate([each.rows for each in found])] = True
    censoring = [censoring_survival(*each.ahead.T) for each in found]

    def measure(name: str, one: Callable[..., Estimate]) -> Measure:
        def over(rows: Array) -> Estimate:
            parts, places = [], []
            for landmark, left in zip(found, censoring, strict=True):
                own = np.flatnonzero(np.isin(landmark.rows, rows))
                if not len(own):
                    raise CohortError(f"nobody of them is followed beyond day {landmark.day:g}")
                time, event = landmark.ahead[own].T
                some = (one(free[own], time, event, left) for free in landmark.free[learner])
                parts.append(averaged(list(some)))
                places.append(np.searchsorted(rows, landmark.rows[own]))
            return joined(parts, places, len(rows))

        return Measure(name, known, over)

    def uno_c(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        enough((event == 1.0) & (time < horizon_days))
        return uno_c_of(1.0 - free, time, event, left, horizon_days)

    def brier(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        return mean_of(brier_errors(free, time, event, horizon_days, left))

    def gap(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        return survival_gap_of(free, time, event, horizon_days)

    return [
        measure("uno_c", uno_c),
        measure("brier", brier),
        measure("observed_less_predicted", gap),
    ]


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


def _last(values: Float[Array, "patient visit *feature"]) -> Float[Array, "patient *feature"]:
    """Return the last that was measured, NaN where nothing was."""
    found = values[:, 0]
    for visit in range(1, values.shape[1]):
        found = np.where(np.isfinite(values[:, visit]), values[:, visit], found)
    return found


def _scored(
    free: Float[Array, "repeat patient"], ahead: Float[Array, "patient 2"], horizon_days: float
) -> dict[str, dict[str, float | None]]:
    time, event = ahead[:, 0], ahead[:, 1]
    # What happens beyond the horizon tells nothing of who was right within it.
    within, until = (
        event * (time <= horizon_days),
        np.minimum(time, np.nextafter(horizon_days, np.inf)),
    )
    censoring = censoring_survival(time, event)
    scores = [
        {
            "c_index": concordance(-each, until, within),
            "brier": brier_at(each, time, event, horizon_days, censoring),
        }
        for each in free
    ]
    return {name: _told([each[name] for each in scores]) for name in scores[0]}


def _told(values: list[float]) -> dict[str, float | None]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread}


def _mean(scores: list[dict[str, dict[str, float | None]]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"mean": float(np.mean([each[name]["mean"] for each in scores])), "sd": None}
        for name in scores[0]
    }


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


def _next_scores(ahead: Mapping[str, NextValues]) -> dict[str, Any]:
    """Return how each measurement was foreseen, beside its last value."""
    return {
        name: {
            "n": len(each.found),
            **(_of_sign if each.binary else _of_number)(each.draws, each.found, each.before),
        }
        for name, each in ahead.items()
    }


def _of_number(draws: Array, truth: Array, before: Array) -> dict[str, float]:
    return {
        "crps": float(crps(draws, truth).mean()),
        "median_error": float(np.abs(np.median(draws, axis=1) - truth).mean()),
        "last_value_error": float(np.abs(before - truth).mean()),
        "interval_90_holds": coverage(draws, truth).share,
    }


def _of_sign(draws: Array, truth: Array, before: Array) -> dict[str, float]:
    """Return scores of a probability, beside how often yes follows the last value in all."""
    probability = draws.mean(axis=1)
    yes = before > 0.5
    shares = [truth[same].mean() if same.any() else 0.5 for same in (~yes, yes)]
    return {
        "brier": brier(probability, truth),
        "last_value_brier": brier(np.where(yes, shares[1], shares[0]), truth),
        "log_loss": log_loss(probability, truth),
        "expected": float(probability.mean()),
        "observed": float(truth.mean()),
    }


def model_of(
    cohort: Cohort,
    followed: Followed,
    twin: VisitTwin,
    config: Config,
    metrics: Mapping[str, Any],
) -> LivingModel:
    """Return the twin with the question it answers."""
    asked = config.dynamics
    return LivingModel(
        twin=twin,
        endpoint=Endpoint(followed.outcome, followed.outcome, asked.horizon_days),
        title=f"{name_in_words(followed.outcome)} {asked.horizon_days:g} days later",
        arms=followed.agents,
        false_alarms=asked.false_alarms,
        provenance=provenance_of(cohort, followed.histories.patient_ids, config, metrics),
    )


def draw(metrics: Mapping[str, Any], run: Path) -> None:
    """Draw how well events are foreseen from each landmark on, beside Cox models."""
    landmark_figure(metrics["by_landmark"]).savefig(run / "landmarks.png", dpi=110)
