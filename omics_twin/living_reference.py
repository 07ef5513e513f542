"""What the patients of a twin of visits were like at first, and how what came next fell.

Kept with the twin, so that a new patient is compared with them, and later patients are monitored.
What came is read as its place in the forecast: the share of the forecast below it, 1/2 on average.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.bedside import foreseen
from omics_twin.belief import Beliefs, KeptBelief, states
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError, TherapyError, TwinError
from omics_twin.evaluate.forecast import held, probability_integral
from omics_twin.landmarks import NextValues
from omics_twin.living import GROWTH, LivingModel
from omics_twin.monitoring import Later
from omics_twin.progression import Forecasts, given_in, visits_of
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings
from omics_twin.tensors.history import Histories, histories_of
from omics_twin.twin.likeness import Likeness, fit_likeness
from omics_twin.twin.reference import fit_reference

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
    resolution = 1.0 if model.kind == GROWTH else 0.0
    share = probability_integral(draws, found, weights) - 0.5
    inside = held(draws, found, weights, resolution=resolution).astype(float)
    mean = (draws * weights).sum(axis=1) / weights.sum(axis=1)
    of, first = np.unique(patient.astype(int), return_index=True)
    told = [np.full(patients, np.nan) for _ in range(3)]
    told[0][of] = mean[first]
    for row, values in zip(told[1:], (share, inside), strict=True):
        sums = np.bincount(patient.astype(int), values, patients)
        row[of] = (sums / np.maximum(np.bincount(patient.astype(int), minlength=patients), 1))[of]
    return tuple(told)


def _beliefs_in(model: LivingModel, cohort: Cohort, settings: TwinSettings) -> list[KeptBelief]:
    """Return the beliefs that a cohort's visits lead to, of whoever has one."""
    seen = histories_of(cohort, model.twin.modality.name)
    found = []
    for row, under in enumerate(given_in(cohort)):
        one = seen.select(torch.tensor([row]))
        visits = tuple(visits_of(one, under, -np.inf, np.inf))
        start = (one.patient_ids[0], model.digest, settings.draws, settings.seed)
        found += [KeptBelief(*start, visits)] if visits else []
    return found


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
    for done, each in enumerate(asked, start=1):
        try:
            own = list(foreseen(model, each, states(model.twin, each)))
        except (TherapyError, TwinError):
            continue
        for _, state, ahead, measured in own:
            weights = state.log_weights[0].exp().double().numpy()
            parts.append((len(kept), ahead[0].double().numpy(), weights, measured))
        kept.append(each)
        step(done, len(asked))
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
