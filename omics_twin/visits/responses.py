"""A tumour's volume and the response from one state: learned, and judged visit by visit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, digest
from omics_twin.dynamics.rates import ScheduledRates
from omics_twin.dynamics.settings import PriorKind
from omics_twin.errors import CohortError
from omics_twin.evaluate.forecast import coverage, crps, probability_integral
from omics_twin.evaluate.forecast_baselines import BASELINES, Scans
from omics_twin.evaluate.forecast_plots import shares_figure
from omics_twin.evaluate.metrics import log_loss, roc_auc
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.judged import comparing
from omics_twin.judged.predictions import baseline_design
from omics_twin.models.prior_network import PriorNetwork
from omics_twin.models.prior_training import PriorTensors, fit_prior
from omics_twin.report.console import Console
from omics_twin.tensors import transforms
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tensors.history import Histories
from omics_twin.tensors.members import MemberPlan, planned
from omics_twin.tracking import commit
from omics_twin.training.tasks import Task, task_of
from omics_twin.twin.draws import some_of, weighted_mean
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.neural import Membership
from omics_twin.twin.neural_prior import Inputs, NeuralPrior
from omics_twin.twin.response import OFFSET_CM3, VOLUME, MeasuredNumbers, prior_of, response_twin
from omics_twin.types import NO_INTERVENTION
from omics_twin.visits.living import LivingModel
from omics_twin.visits.progression import Forecasts, joined, provenance_of, scores

Array = np.ndarray
TWIN, LAST = "omics_twin", "persistence"
NETWORK, POPULATION = "network's prior", "population prior"
_DRAWS, _FEWEST, _UNIT = 200, 100, "cm3"


@dataclass(frozen=True)
class Followed:
    """Patients of a task with a volume at scheduled visits.

    Attributes
    ----------
    visits
        The channels of the modality that is followed, in order; its first feature is a volume.
    values
        What was measured in its own unit, (patient, visit, feature); NaN: not measured.
    """

    task: Task
    visits: tuple[ChannelDesign, ...]
    values: Float[Tensor, "patient visit feature"]

    @property
    def measured(self) -> Array:
        """Who has a volume at two visits or more, (patient,)."""
        return np.isfinite(self.observed).sum(axis=1) > 1

    @property
    def observed(self) -> Array:
        """Volumes [cm3], (patient, visit)."""
        return self.values[..., 0].numpy()


@dataclass(frozen=True)
class Foreseen:
    """What each learner foresaw of patients it never saw.

    Attributes
    ----------
    forecasts
        Of every next volume from all visits before; ``before`` counts these.
    response
        Probability of a response after each visit, (visit, repeat, patient).
    """

    forecasts: dict[str, Forecasts]
    response: dict[str, Array]


def followed_of(cohort: Cohort, config: Config, console: Console) -> Followed:
    """Return the patients whose volume is followed, with therapy and outcome.

    Raises
    ------
    CohortError
        If the outcome is no yes or no, the first feature no volume, or too few are followed.
    """
    task = task_of(cohort, config, console)
    if task.outcome.kind is not OutcomeKind.BINARY:
        raise CohortError(
            f"outcome '{task.outcome_name}' is {task.outcome.kind.value}, expected a yes or no: "
            "choose another endpoint"
        )
    name = config.dynamics.modality
    visits = tuple(each for each in task.design.channels if each.modality == name)
    if len(visits) < 2 or visits[0].features[0].unit != _UNIT:
        raise CohortError(
            f"'{name}' has {len(visits)} scheduled visits, expected two or more whose first column "
            f"is a volume [{_UNIT}]: set dynamics.modality"
        )
    every = transforms.observations_in_units(task.design, task.matrices, (name,))
    values = torch.stack([v for each in every for v in each.values.values()], dim=1)
    followed = Followed(task, visits, values)
    count = int(followed.measured.sum())
    if count < _FEWEST:
        raise CohortError(
            f"{count} patients have '{name}' at two visits or more, expected {_FEWEST}"
        )
    return followed


def histories_of(followed: Followed) -> Histories:
    """Return the scheduled visits of what is followed, on the days they came."""
    task = followed.task
    days = torch.stack([task.matrices.days[each.name] for each in followed.visits], dim=1)
    ids, modality = task.cohort.patient_ids, followed.visits[0].quantities
    return Histories(ids, modality, days.double(), followed.values.double())


def fit(followed: Followed, config: Config) -> tuple[dict[str, MechanisticTwin], MemberPlan]:
    """Return the twin whose prior a network proposes, and the one of the population alone.

    The one that ``dynamics.prior`` asks for is the twin, the other stands beside it.
    """
    task = followed.task
    plan = planned(task.held_out, config.split)
    features = followed.visits[0].features
    log = tuple(feature.log for feature in features)
    offset = tuple(OFFSET_CM3 if k == 0 else float(flag) for k, flag in enumerate(log))
    log = (True, *log[1:])
    agents = [task.catalogue.multi_hot(arm) for arm in task.catalogue.arms]
    before = task.design.before_treatment().channels
    told = [task.matrices.values[channel.name].float() for channel in before]
    inputs = Inputs.fitted(task.design, told, plan.training)
    modality = followed.visits[0].quantities
    observed = MeasuredNumbers(modality, log, offset, (1.0,) * len(log))
    steady = observed.steady(followed.values)
    location, scale = _standard(steady, plan.training)
    seen = (steady - location[:, None]) / scale[:, None, None]
    networks = fit_prior(
        PriorTensors(
            known=inputs(told),
            agents=torch.tensor(agents)[torch.as_tensor(task.arms)],
            seen=seen.flatten(2).float(),
            responded=torch.tensor(task.outcome.values).float(),
            training=plan.training,
            stopping=plan.stopping,
        ),
        len(log),
        seed=config.trainer.seed,
    )
    dynamics = ScheduledRates(
        tuple(f"log {n}" if own else n for n, own in zip(modality.features, log, strict=True)),
        tuple(channel.visit_day for channel in followed.visits),
        task.catalogue.known_agents,
    )
    membership = Membership.of(task.cohort.patient_ids, plan.seen, digest(config, commit()))

    def twin_of(network: PriorNetwork) -> MechanisticTwin:
        begin, unit = (each.repeat(2, 1) for each in _natural(location, scale, dynamics))
        both = network.beside(networks[1])
        prior = NeuralPrior(dynamics.parameters, both, inputs, begin, unit, membership)
        # What measures is the same for every member.
        error = (network.error.exp() * scale).mean(dim=0).tolist()
        own = replace(observed, error=tuple(error))
        return response_twin(config.name, prior, dynamics, own, task.outcome_name)

    neural = config.dynamics.prior is PriorKind.NEURAL
    names = (TWIN, POPULATION) if neural else (NETWORK, TWIN)
    return dict(zip(names, map(twin_of, networks), strict=True)), plan


def _standard(
    steady: Float[Tensor, "patient visit feature"], training: Float[Tensor, "member patient"]
) -> tuple[Float[Tensor, "member visit feature"], Float[Tensor, "member feature"]]:
    """Return means by visit, and the spread over all visits, of each member's own patients."""
    location, scale = [], []
    for own in training > 0:
        inside = steady[own]
        location.append(torch.nan_to_num(inside.nanmean(dim=0)))
        flat = inside.flatten(0, 1)
        off = flat - flat.nanmean(dim=0)
        scale.append(off.square().nanmean(dim=0).sqrt().clamp(min=1e-6))
    return torch.stack(location), torch.nan_to_num(torch.stack(scale), nan=1.0)


def _natural(
    location: Float[Tensor, "member visit feature"],
    scale: Float[Tensor, "member feature"],
    dynamics: ScheduledRates,
) -> tuple[Float[Tensor, "member parameter"], Float[Tensor, "member parameter"]]:
    """Return where parameters on the network's scale begin, and how long their units are."""
    lengths = torch.tensor(dynamics.schedule).double().diff()
    rates = location.diff(dim=1) / lengths[:, None]
    units = scale[:, None] / lengths[:, None]
    members = len(scale)
    return (
        torch.cat([location[:, 0], rates.flatten(1), torch.zeros(members, 1)], dim=1).double(),
        torch.cat([scale, units.flatten(1), torch.ones(members, 1)], dim=1).double(),
    )


def foreseen(
    twins: Mapping[str, MechanisticTwin],
    plan: MemberPlan,
    followed: Followed,
    config: Config,
    console: Console,
) -> Foreseen:
    """Return every next volume and the response, as members that never saw a patient foresee them.

    Beside the twin stand the other prior, and the last volume with the changes that training
    patients had from it.
    """
    task = followed.task
    forecasts: dict[str, list[Forecasts]] = {}
    response = {
        name: np.full((len(followed.visits), *task.held_out.shape), np.nan) for name in twins
    }
    step = console.progress("repeats")
    for repeat, folds in enumerate(task.held_out):
        members = torch.nonzero(plan.repeat == repeat)[:, 0]
        for name, twin in twins.items():
            own = replace(twin, prior=prior_of(twin).at(members))
            for rows, place, draws, chance in _by_arm(own, followed, folds, config.twin.seed):
                response[name][place, repeat, rows] = chance
                if draws is not None:
                    forecasts.setdefault(name, []).append(_came(followed, rows, place + 1, draws))
        forecasts.setdefault(LAST, []).extend(_last(followed, folds))
        step(repeat + 1, len(task.held_out))
    return Foreseen({name: joined(each) for name, each in forecasts.items()}, response)


def _by_arm(
    twin: MechanisticTwin, followed: Followed, folds: Array, seed: int
) -> Iterator[tuple[Array, int, Array | None, Array]]:
    """Yield, arm by arm and visit by visit, the next volumes and the chance of a response.

    Rows of the patients, the last visit shown, draws of the next volume (patient, draw) and the
    probability (patient,).
    """
    task = followed.task
    known = {each.name for each in twin.modalities}
    every = transforms.observations_in_units(task.design, task.matrices, known)
    schedule = [channel.visit_day for channel in followed.visits]
    surgery = torch.tensor([schedule[-1]], dtype=torch.float64)
    for arm, under in enumerate(task.catalogue.interventions()):
        # Whom no member holds out, all have learned from.
        asked = followed.measured & (folds >= 0)
        rows = np.flatnonzero((np.asarray(task.arms) == arm) & asked)
        if not len(rows):
            continue
        ids = [task.cohort.patient_ids[row] for row in rows]
        state = twin.start(ids, draws=_DRAWS, seed=seed)
        for day, visit in zip(task.design.visit_days, every, strict=True):
            some = some_of(visit, torch.from_numpy(rows))
            given = under if day > 0 else NO_INTERVENTION
            state = twin.observe(state, some, under=given)
            if day not in schedule:
                # Only something else was measured.
                continue
            place = schedule.index(day)
            answer = twin.simulate(state, under, surgery).values[:, :, 0, 1]
            chance = weighted_mean(answer, state.log_weights).numpy()
            ahead = None
            if place + 1 < len(schedule):
                days = every[task.design.visit_days.index(schedule[place + 1])].days[rows]
                ahead = twin.forecast(state, days, under)[..., 0].numpy()
            yield rows, place, ahead, chance


def _came(followed: Followed, rows: Array, visit: int, draws: Array) -> Forecasts:
    """Return forecasts of a visit beside what came, of those with a volume then and before."""
    known = np.isfinite(followed.observed[rows])
    before = known[:, :visit].sum(axis=1)
    asked = known[:, visit] & (before > 0)
    found = followed.observed[rows[asked], visit]
    return Forecasts(rows[asked], before[asked], found, draws[asked])


def _last(followed: Followed, folds: Array) -> Iterator[Forecasts]:
    """Yield the last volume with the changes of training patients, fold by fold."""
    days = np.array([[channel.visit_day for channel in followed.visits]])
    sizes = np.log1p(followed.observed)
    scans = Scans(np.broadcast_to(days, sizes.shape), sizes)
    for fold in np.unique(folds[folds >= 0]):
        rows = np.flatnonzero(folds == fold)
        draws = BASELINES[LAST](scans.at(np.flatnonzero(folds != fold)), scans.at(rows))
        for visit in range(1, sizes.shape[1]):
            yield _came(followed, rows, visit, np.expm1(draws[:, visit]).clip(min=0.0))


def judged(seen: Foreseen, followed: Followed, config: Config, console: Console) -> dict[str, Any]:
    """Return scores of the next volume and of the response, visit by visit, beside baselines."""
    task = followed.task
    told = {
        name: scores(each, task.held_out[0], _UNIT, 0.0) for name, each in seen.forecasts.items()
    }
    twin = seen.forecasts[TWIN]
    return {
        "endpoint": f"next volume [{_UNIT}]",
        "n": len(np.unique(twin.patient)),
        "folds": int(task.held_out.max()) + 1,
        "repeats": len(task.held_out),
        "forecasts": len(twin.found) // len(task.held_out),
        "model": told.pop(TWIN),
        "baselines": told,
        "by_visit": _responses(seen, followed, config, console),
        "course": {VOLUME: _volumes(seen, followed)},
    }


def _volumes(seen: Foreseen, followed: Followed) -> dict[str, dict[str, Any]]:
    """Return how each volume was foreseen from all before it, of whom all before are known."""
    found: dict[str, dict[str, Any]] = {}
    measured = np.isfinite(followed.observed)
    for number, channel in enumerate(followed.visits[1:], start=1):
        own = found.setdefault(f"day {channel.visit_day:g}", {})
        for name, each in seen.forecasts.items():
            # Who lacks a visit before it has as many before a later one.
            whole = measured[each.patient, : number + 1].all(axis=1)
            rows = (each.before == number) & whole
            if rows.any():
                draws, came = each.draws[rows], each.found[rows]
                held = coverage(draws, came).share
                score = float(crps(draws, came).mean())
                own[name] = {
                    "crps": {"mean": score, "sd": None},
                    "interval_90_holds": {"mean": held, "sd": None},
                }
    return found


def _responses(
    seen: Foreseen, followed: Followed, config: Config, console: Console
) -> dict[str, dict[str, Any]]:
    """Return how the response was foreseen after each visit, in patients who have all of them."""
    task, found = followed.task, {}
    complete = np.isfinite(followed.observed).all(axis=1)
    whole = complete & (task.held_out >= 0).all(axis=0)
    came = task.outcome.values[whole]
    for place, channel in enumerate(followed.visits):
        told = {name: each[place][:, whole] for name, each in seen.response.items()}
        design = baseline_design(task, _as_of(followed, place))
        try:
            seed = config.split.seed
            name, linear = comparing.linear_predictions(task, design, complete, seed=seed)
            told[name] = linear[:, whole]
        except CohortError as error:
            console.warn(f"no baseline up to day {channel.visit_day:g}: {error}")
        by_name = {name: _told(each, came) for name, each in told.items()}
        found[f"day {channel.visit_day:g}"] = {
            "n": int(whole.sum()),
            **by_name.pop(TWIN),
            "baselines": by_name,
        }
    return found


def _as_of(followed: Followed, place: int) -> float:
    """Return the day by which everybody was seen at a visit, before the next is due [day]."""
    channel, later = followed.visits[place], followed.visits[place + 1 :]
    last = float(np.nanmax(followed.task.matrices.days[channel.name].numpy()))
    due = later[0].visit_day - 0.5 if later else np.inf
    return min(max(last, channel.visit_day), due)


def _told(chance: Array, came: Array) -> dict[str, dict[str, float | None]]:
    def over(values: list[float]) -> dict[str, float | None]:
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return {"mean": float(np.mean(values)), "sd": spread}

    return {
        "auc": over([roc_auc(each, came) for each in chance]),
        "log_loss": over([log_loss(each, came) for each in chance]),
    }


def model_of(
    followed: Followed,
    twins: Mapping[str, MechanisticTwin],
    config: Config,
    metrics: Mapping[str, Any],
) -> LivingModel:
    """Return the twin with the question it answers."""
    task = followed.task
    return LivingModel(
        twin=twins[TWIN],
        endpoint=task.endpoint,
        title=task.title,
        arms=task.catalogue.arms,
        false_alarms=config.dynamics.false_alarms,
        provenance=provenance_of(task.cohort, task.cohort.patient_ids, config, metrics),
        plans={plan.name: plan for plan in task.catalogue.interventions()},
    )


def draw(seen: Foreseen, run: Path) -> None:
    """Draw how forecasts of the next volume fell."""
    twin = seen.forecasts[TWIN]
    shares = probability_integral(twin.draws, twin.found)
    shares_figure(shares, "next volume").savefig(run / "forecast_calibration.png", dpi=110)
