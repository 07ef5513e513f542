"""A trained model asked about a cohort: what it believes, in chunks of patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError
from omics_twin.evaluate.design import Outcome
from omics_twin.lifecycle.validity import shares_of
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings
from omics_twin.tensors import transforms
from omics_twin.tensors.transforms import DesignMatrices
from omics_twin.therapy.catalogue import Catalogue
from omics_twin.therapy.support import stratum_key
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import some_of, weighted_mean, with_draws
from omics_twin.types import NO_INTERVENTION, Intervention, Observation, TwinState, Visit

_CHUNK = 512


@dataclass(frozen=True)
class Belief:
    """What the twin believes about some patients, and what that rests on.

    Attributes
    ----------
    rows
        Position of each patient in the cohort, (patient,).
    shown
        Channels the twin was shown, by patient.
    likeness
        Share of the training patients who are at least as unusual; empty where it was not asked.
    """

    rows: np.ndarray
    state: TwinState
    shown: tuple[tuple[str, ...], ...]
    likeness: tuple[float | None, ...] = ()


def draws_of(model: TrainedModel, settings: TwinSettings) -> int:
    """Return a number of draws that every member has an equal share of."""
    members = model.twin.network.members
    return members * max(1, -(-settings.draws // members))


def beliefs(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    console: Console,
    *,
    as_of_days: float = 0.0,
) -> Iterator[Belief]:
    """Yield the belief about the cohort's patients, some at a time.

    Parameters
    ----------
    as_of_days
        Later visits are not shown [day].
    """
    matrices = transforms.apply(model.twin.design, cohort)
    for note in matrices.notes:
        console.note(note)
    strata = strata_keys(model.support.columns, cohort)
    yield from beliefs_of(
        model,
        matrices,
        received_of(cohort, model.catalogue),
        settings,
        strata=strata,
        as_of_days=as_of_days,
    )


def received_of(cohort: Cohort, catalogue: Catalogue | None = None) -> list[str | None]:
    """Return the arm each patient received, None where it is not known.

    Parameters
    ----------
    catalogue
        Where the cohort has no therapy table and this compares nothing, its one arm is meant.
    """
    if cohort.received is None:
        only = catalogue.arms[0] if catalogue is not None and len(catalogue.arms) == 1 else None
        return [only] * len(cohort.patient_ids)
    known = cohort.received.notna()
    return [
        str(arm) if is_known else None for arm, is_known in zip(cohort.received, known, strict=True)
    ]


def beliefs_of(
    model: TrainedModel,
    matrices: DesignMatrices,
    received: Sequence[str | None],
    settings: TwinSettings,
    *,
    strata: Sequence[str],
    as_of_days: float = 0.0,
    asked: Int[ndarray, " row"] | None = None,
    members: Int[Tensor, " chosen"] | None = None,
) -> Iterator[Belief]:
    """Yield the belief about patients whose values are in the order of the design.

    Some at a time; where follow-ups are shown, those who received the same therapy together.

    Parameters
    ----------
    strata
        Stratum of each patient, which says how far the draws are moved apart.
    as_of_days
        Later visits are not shown [day].
    asked, members
        Patients and members of the ensemble that are asked; None: all.
    """
    visits = transforms.observations(model.twin.design, matrices)
    arms = [arm if arm in model.catalogue.arms and as_of_days > 0 else None for arm in received]
    for arm, chosen in _together(arms, np.arange(len(arms)) if asked is None else asked):
        rows = torch.from_numpy(chosen)
        ids = tuple(matrices.patient_ids[row] for row in chosen)
        state = model.twin.start(ids, draws=draws_of(model, settings), seed=settings.seed)
        if members is not None:
            own = torch.isin(state.draws[0, :, 0].long(), members)
            state = with_draws(state, torch.nonzero(own)[:, 0])
        state = calibrated(model, state, [strata[row] for row in chosen])
        for visit in visits:
            state = _observe(model, state, some_of(visit, rows), arm, as_of_days)
        shown = shown_in(model, state)
        values = {name: each[rows] for name, each in matrices.values.items()}
        yield Belief(chosen, state, shown, shares_of(model, values))


def _together(
    arms: Sequence[str | None], asked: Int[ndarray, " row"]
) -> Iterator[tuple[str | None, Int[ndarray, " row"]]]:
    """Yield the patients of each arm, some at a time."""
    for arm in dict.fromkeys(arms[row] for row in asked):
        own = np.array([row for row in asked if arms[row] == arm])
        for start in range(0, len(own), _CHUNK):
            yield arm, own[start : start + _CHUNK]


def visits_of(model: TrainedModel, cohort: Cohort, *, as_of_days: float) -> list[Visit]:
    """Return what was measured in a cohort's only patient, up to a day, in time order.

    A visit under a therapy that the model does not know is not shown.
    """
    matrices = transforms.apply(model.twin.design, cohort)
    arm = received_of(cohort)[0]
    found = []
    for visit in transforms.observations(model.twin.design, matrices):
        values = {
            name: each for name, each in visit.values.items() if not bool(torch.isnan(each).all())
        }
        day = float(visit.days[0])
        if not values or day > as_of_days or (day > 0 and arm not in model.catalogue.arms):
            continue
        under = model.catalogue.intervention(arm) if day > 0 and arm else NO_INTERVENTION
        found.append(Visit(Observation(visit.patient_ids, visit.days, values), under))
    return found


def calibrated(model: TrainedModel, state: TwinState, strata: Sequence[str]) -> TwinState:
    """Return a belief whose draws are moved apart as far as the patients' strata ask for."""
    return replace(state, spread=model.calibration.moved_apart(strata))


def _observe(
    model: TrainedModel,
    state: TwinState,
    visit: Observation,
    arm: str | None,
    as_of_days: float,
) -> TwinState:
    """Show a visit; after the index date, under the therapy the patients received."""
    before = visit.days <= min(as_of_days, 0.0)
    if bool(before.any()):
        state = model.twin.observe(state, _only(visit, before, state))
    after = (visit.days > 0) & (visit.days <= as_of_days)
    if arm and bool(after.any()):
        under = model.catalogue.intervention(arm)
        state = model.twin.observe(state, _only(visit, after, state), under=under)
    return state


def _only(visit: Observation, rows: Tensor, state: TwinState) -> Observation:
    """Return the visit as if the other patients had not come."""
    values = {
        name: torch.where(rows[:, None], each, torch.nan) for name, each in visit.values.items()
    }
    days = torch.where(rows, visit.days, state.days.to(visit.days))
    return Observation(visit.patient_ids, days, values)


def shown_in(model: TrainedModel, state: TwinState) -> tuple[tuple[str, ...], ...]:
    """Return the channels that the twin was shown, by patient."""
    flags = model.twin.shown(state)
    names = [channel.name for channel in model.twin.design.channels]
    return tuple(
        tuple(name for name, flag in zip(names, row, strict=True) if flag) for row in flags
    )


def strata_keys(model_columns: Sequence[str], cohort: Cohort) -> list[str]:
    """Return each patient's stratum; a marker that was not measured is part of the name."""
    return [
        stratum_key(model_columns, list(each.values())) for each in strata_of(model_columns, cohort)
    ]


def strata_of(model_columns: Sequence[str], cohort: Cohort) -> list[dict[str, str]]:
    """Return what each patient's stratum is made of: column -> value, or ``not measured``."""
    missing = [column for column in model_columns if column not in cohort.strata]
    if missing:
        raise CohortError(
            f"cohort '{cohort.name}' has no stratum column '{missing[0]}', which decides what is "
            "open to a patient: declare it under 'strata'"
        )
    table = cohort.strata[list(model_columns)].astype(object)
    table = table.where(table.notna(), "not measured")
    return [
        dict(zip(model_columns, map(str, row), strict=True)) for row in table.to_numpy().tolist()
    ]


def endpoints_under(
    model: TrainedModel, state: TwinState, interventions: Sequence[Intervention]
) -> Iterator[Float[Tensor, "patient draw"]]:
    """Yield the endpoint of every draw under each intervention."""
    for each in model.twin.simulate_each(state, interventions, model.endpoint.days()):
        yield model.endpoint.read(each)


def endpoint_values(
    model: TrainedModel, state: TwinState, intervention: Intervention
) -> Float[Tensor, "patient draw"]:
    """Return :func:`endpoints_under` one intervention."""
    return next(endpoints_under(model, state, [intervention]))


def outcomes_under(
    model: TrainedModel, state: TwinState, interventions: Sequence[Intervention], outcome: Outcome
) -> Iterator[Float[Tensor, "patient draw time"]]:
    """Yield what the metrics of an outcome are computed from, for every draw."""
    days = model.endpoint.days() if outcome.grid_days is None else torch.tensor(outcome.grid_days)
    for each in model.twin.simulate_each(state, interventions, days):
        values = each.values[..., each.names.index(model.outcome)]
        yield values[..., -1:] if outcome.grid_days is None else values


def outcome_values(
    model: TrainedModel, state: TwinState, intervention: Intervention, outcome: Outcome
) -> Float[Tensor, "patient draw time"]:
    """Return :func:`outcomes_under` one intervention."""
    return next(outcomes_under(model, state, [intervention], outcome))


def incidences(
    model: TrainedModel,
    state: TwinState,
    intervention: Intervention,
    days: Float[ndarray, " time"] | Sequence[float],
) -> Float[ndarray, "cause patient time"]:
    """Return the expected incidence of each cause by some days."""
    asked = torch.tensor(days, dtype=torch.float64)
    causes = model.twin.simulate(state, intervention, asked).values[..., 1:].unbind(dim=-1)
    return np.stack([weighted_mean(each, state.log_weights).numpy() for each in causes])


def by_received(
    arms: Sequence[str | None], belief: Belief, model: TrainedModel
) -> Iterator[tuple[Tensor, Intervention]]:
    """Yield the patients of a belief who received each arm, and the arm as a plan."""
    given = [arms[row] for row in belief.rows]
    model.catalogue.check_received({arm for arm in given if arm})
    for arm in sorted({arm for arm in given if arm}):
        rows = torch.tensor([index for index, each in enumerate(given) if each == arm])
        yield rows, model.catalogue.intervention(arm)
    unknown = torch.tensor([index for index, each in enumerate(given) if each is None]).long()
    if len(unknown):
        yield unknown, NO_INTERVENTION
