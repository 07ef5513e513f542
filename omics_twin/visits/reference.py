"""What the patients of a twin of visits were like at first, and how what came next fell.

Kept with the twin, so that a new patient is compared with them, and later patients are monitored.
What came is read as its place in the forecast: the share of the forecast below it, 1/2 on average.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from omics_twin.bedside.belief import Beliefs, KeptBelief
from omics_twin.bedside.watching import watched_ahead
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError, TherapyError, TwinError
from omics_twin.evaluate.forecast import mean_by_patient, probability_integral
from omics_twin.lifecycle.questions import Later
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings
from omics_twin.tensors.history import Histories, histories_of
from omics_twin.twin.likeness import Likeness, fit_likeness
from omics_twin.twin.reference import fit_reference
from omics_twin.types import Observation, Visit
from omics_twin.visits.groups import PROMISED
from omics_twin.visits.landmarks import NextValues
from omics_twin.visits.living import LivingModel
from omics_twin.visits.progression import Forecasts, given_in, visits_of
from omics_twin.visits.scheduled import is_scheduled, scheduled_visits

# How unusual a training patient was is kept rounded up: of a single size it would be the size.
_STEP = 0.25


def remembering(
    model: LivingModel, histories: Histories, forecasts: Forecasts | NextValues
) -> LivingModel:
    """Return the twin with what it remembers of its training patients: summaries and counts.

    Parameters
    ----------
    histories
        Of whoever was forecast, in the order of the forecasts' patients.
    forecasts
        Of the next visit, by twins that had not seen the patient.
    """
    trained = np.array([bool(model.learned_from(each)) for each in histories.patient_ids])
    values = model.at_first(histories.values[torch.from_numpy(trained)])
    weights = np.full(forecasts.draws.shape, 1.0 / forecasts.draws.shape[1])
    came = _by_patient(
        model, forecasts.patient, forecasts.draws, weights, forecasts.found, len(trained)
    )
    expected, residual, inside = (torch.tensor(each) for each in came)
    return replace(
        model,
        likeness=_rounded(fit_likeness(values)),
        reference=fit_reference(values, expected, residual, inside),
    )


def _rounded(found: Likeness | None) -> Likeness | None:
    if found is None:
        return None
    return replace(found, calibration=torch.ceil(found.calibration / _STEP) * _STEP)


def _by_patient(
    model: LivingModel,
    patient: Int[ndarray, " forecast"],
    draws: Float[ndarray, "forecast draw"],
    weights: Float[ndarray, "forecast draw"],
    found: Float[ndarray, " forecast"],
    patients: int,
) -> tuple[Float[ndarray, " patient"], ...]:
    """Return what was expected of each patient's second visit, and how all later ones fell.

    Forecasts of a patient are in time order; NaN for who has none.
    """
    share = probability_integral(draws, found, weights) - 0.5
    # Sizes are read in whole millimetres: the draws are read so, too.
    whole = "size_mm" in model.twin.quantities
    read, came = (np.round(each) if whole else each for each in (draws, found))
    place = probability_integral(read, came, weights)
    # Of n draws there are n + 1 places for what comes: few are no narrower than many.
    number = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    chance = np.random.default_rng(1).uniform(size=len(place))
    place = (place * number + chance) / (number + 1.0) - 0.5
    inside = (np.abs(place) <= PROMISED / 2.0).astype(float)
    mean = (draws * weights).sum(axis=1) / weights.sum(axis=1)
    of, first = np.unique(patient.astype(int), return_index=True)
    expected = np.full(patients, np.nan)
    expected[of] = mean[first]
    return expected, *(mean_by_patient(each, patient, patients) for each in (share, inside))


def _beliefs_in(model: LivingModel, cohort: Cohort, settings: TwinSettings) -> list[KeptBelief]:
    """Return the beliefs that a cohort's visits lead to, of whoever has one."""
    if is_scheduled(model):
        every = scheduled_visits(model, cohort)
    else:
        seen = histories_of(cohort, model.twin.modality.name)
        every = [
            visits_of(seen.select(torch.tensor([row])), under, np.inf)
            for row, under in enumerate(given_in(cohort))
        ]
    made = (model.digest, settings.draws, settings.seed)
    return [
        KeptBelief(patient, *made, tuple(visits))
        for patient, visits in zip(cohort.patient_ids, every, strict=True)
        if visits
    ]


def _alike(asked: Sequence[KeptBelief]) -> list[list[KeptBelief]]:
    """Return patients in groups who were given the same at as many visits: replayed together."""
    groups: dict[str, list[KeptBelief]] = {}
    for each in asked:
        groups.setdefault(repr([visit.under for visit in each.visits]), []).append(each)
    return list(groups.values())


_Came = tuple[int, ndarray, ndarray, float]


def _replayed(
    model: LivingModel, some: Sequence[KeptBelief]
) -> list[tuple[Sequence[KeptBelief], list[_Came]]]:
    """Return who could be shown their visits, and how each visit after the first fell.

    Of each: place in the group, forecast and its weights, and what came.
    """
    try:
        return [(some, list(_came(model, some)))]
    except (TherapyError, TwinError):
        # One visit that is not possible closes nobody else's.
        return [] if len(some) == 1 else [e for each in some for e in _replayed(model, [each])]


def _came(model: LivingModel, some: Sequence[KeptBelief]) -> Iterator[_Came]:
    ids = tuple(each.patient_id for each in some)
    name, first = model.twin.modality.name, some[0]
    sizes = {each.name: len(each.features) for each in model.twin.modalities}
    state = model.twin.start(ids, draws=first.draws, seed=first.seed)
    for place, told in enumerate(zip(*(each.visits for each in some), strict=True)):
        days = torch.cat([each.observation.days for each in told])
        values = {
            each: torch.cat([_measured(visit, each, size) for visit in told])
            for each, size in sizes.items()
        }
        came, under = model.twin.sizes(values[name]), told[0].under
        there = torch.isfinite(values[name]).any(dim=1) & torch.isfinite(came)
        if place and bool(there.any()):
            ahead = watched_ahead(model, state, days, under).double().numpy()
            weights = state.log_weights.exp().double().numpy()
            for row in torch.nonzero(there)[:, 0].tolist():
                yield row, ahead[row], weights[row], float(came[row])
        state = model.twin.observe(state, Observation(ids, days, values), under=under)


def _measured(visit: Visit, modality: str, size: int) -> Float[Tensor, "1 feature"]:
    blank = torch.full((1, size), torch.nan, dtype=torch.float64)
    return visit.observation.values.get(modality, blank).double()


def later_of(
    model: LivingModel, later: Cohort | Beliefs, settings: TwinSettings, console: Console
) -> Later:
    """Return later patients at their first visit, and how what came next fell in its forecasts.

    Whose visits the twin cannot be shown, as under an arm it never saw, is left out and counted.

    Raises
    ------
    CohortError
        If nobody is left.
    """
    asked = later.kept if isinstance(later, Beliefs) else _beliefs_in(model, later, settings)
    step = console.progress("patients replayed")
    kept: list[KeptBelief] = []
    parts: list[tuple[int, ndarray, ndarray, float]] = []
    for done, some in enumerate(groups := _alike(asked), start=1):
        for shown, told in _replayed(model, some):
            parts += [(len(kept) + row, draws, w, came) for row, draws, w, came in told]
            kept += shown
        step(done, len(groups))
    if len(kept) < len(asked):
        console.warn(f"{len(asked) - len(kept)} patients have visits that the twin cannot be shown")
    if not kept:
        raise CohortError(
            f"nobody of '{later.name}' has '{model.twin.modality.name}' that the twin can be shown"
        )
    name = model.twin.modality.name
    values = torch.cat([model.first_of(each.visits)[name] for each in kept]).float()
    expected, residual, inside = np.full((3, len(kept)), np.nan)
    if parts:
        patient, draws, weights, found = (np.array(e) for e in zip(*parts, strict=True))
        expected, residual, inside = _by_patient(model, patient, draws, weights, found, len(kept))
    return Later(
        values={name: values},
        every_arm=expected[:, None],
        received=np.full(len(kept), np.nan),
        outcome=None,
        residual=residual,
        inside=inside,
    )
