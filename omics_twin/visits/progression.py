"""A tumour's size from scan to scan: the twin learned, judged one scan ahead, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.answers.beliefs import received_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, digest, recorded
from omics_twin.dynamics.plan import Plan, plan_of
from omics_twin.dynamics.settings import Equations
from omics_twin.errors import CohortError, ConfigError
from omics_twin.evaluate.fairness import Measure
from omics_twin.evaluate.forecast import (
    coverage,
    crps,
    held,
    kolmogorov_smirnov,
    probability_integral,
)
from omics_twin.evaluate.forecast_baselines import BASELINES, Scans
from omics_twin.evaluate.forecast_plots import by_visit_figure, shares_figure
from omics_twin.evaluate.influence import Estimate, mean_of_cells, share_inside
from omics_twin.report.console import Console
from omics_twin.settings import SplitBy, SplitSettings
from omics_twin.tensors.history import Histories, given_of
from omics_twin.tracking import commit
from omics_twin.trust.privacy import site_mark
from omics_twin.trust.roster import Roster
from omics_twin.twin.clones import learn_clones
from omics_twin.twin.cohort_prior import Seen
from omics_twin.twin.growth_belief import GrowthPopulation, scaled_sizes
from omics_twin.twin.growth_fit import fit_growth
from omics_twin.twin.growth_process import GrowthProcessTwin
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.smc import systematic
from omics_twin.types import Dose, Endpoint, Intervention, TwinState, Visit
from omics_twin.visits.living import LivingModel

Array = np.ndarray
MIXED = "log-linear mixed model"
_DRAWS = 400


@dataclass(frozen=True)
class Forecasts:
    """Every next scan as it was forecast from those before it, and as it came.

    Attributes
    ----------
    patient, before
        Position of the patient, and how many scans were known, (forecast,).
    found
        What was measured [mm], (forecast,).
    draws
        (forecast, draw) [mm].
    """

    patient: Array
    before: Array
    found: Array
    draws: Array


def treatment(arm: str | None) -> Intervention:
    """Return an arm whose doses are not known: its standard treatment, from day 0 on."""
    name = arm or "treatment"
    return Intervention(name, (Dose(name),))


def given_in(cohort: Cohort) -> list[Intervention]:
    """Return what each patient was given: dose by dose where it is known, else the arm."""
    if cohort.doses is not None:
        return given_of(cohort)
    return [treatment(arm) for arm in received_of(cohort)]


def check_in_mm(cohort: Cohort, modality: str) -> None:
    """Refuse sizes that are no diameters in mm.

    Raises
    ------
    CohortError
        If they are in another unit.
    """
    unit = str(cohort.repeated[modality].var["unit"].iloc[0])
    if unit != "mm":
        raise CohortError(
            f"'{modality}' is in {unit}, expected diameters in mm: declare the column with "
            "convert_to: mm, or choose dynamics=tumour_volume"
        )


def learned(
    histories: Histories, arms: Sequence[str | None], name: str, config: Config
) -> GrowthProcessTwin | MechanisticTwin:
    """Return the twin of some training patients.

    Raises
    ------
    ConfigError
        If the equations are of volumes.
    """
    asked = config.dynamics
    if asked.equations is Equations.TWO_CLONES:
        return learn_clones(
            Seen(histories.days, histories.values, _plans(histories, arms)),
            histories.modality,
            name=name,
            iterations=asked.iterations,
            seed=config.twin.seed,
        )
    if asked.equations is not Equations.INHIBITION:
        raise ConfigError(
            f"dynamics.equations={asked.equations.name} is of volumes under known doses: choose "
            "dynamics=tumour_volume, or INHIBITION or TWO_CLONES"
        )
    population = fit_growth(histories.days, histories.values, _plans(histories, arms))
    return GrowthProcessTwin(name, histories.modality, population)


def _plans(histories: Histories, arms: Sequence[str | None]) -> list[Plan]:
    return [plan_of([], [], treatment(arm)) for arm in arms]


def folds_of(histories: Histories, asked: SplitSettings) -> Array:
    """Return the fold in which each patient is held out, (patient,).

    Raises
    ------
    ConfigError
        If others than single patients are to be held out.
    CohortError
        If there are fewer patients than folds.
    """
    if asked.by is not SplitBy.PATIENT:
        raise ConfigError(
            f"split.by is {asked.by.name}, expected PATIENT for tumour sizes: set split.by"
        )
    patients = len(histories.patient_ids)
    if patients < asked.folds:
        raise CohortError(
            f"{patients} patients cannot be divided into {asked.folds} folds: set split.folds"
        )
    return np.random.default_rng(asked.seed).permutation(patients) % asked.folds


def model_of(
    cohort: Cohort,
    histories: Histories,
    arms: Sequence[str | None],
    config: Config,
    metrics: Mapping[str, Any],
) -> LivingModel:
    """Return the twin of all patients with the question it answers."""
    asked = config.dynamics
    endpoint = Endpoint("progression-free", "progression_free", asked.horizon_days)
    return LivingModel(
        twin=learned(histories, arms, config.name, config),
        endpoint=endpoint,
        title=f"Free of progression by size at {asked.horizon_days / 7:.0f} weeks",
        arms=tuple(sorted({arm for arm in arms if arm is not None})),
        false_alarms=asked.false_alarms,
        provenance=provenance_of(cohort, histories.patient_ids, config, metrics),
    )


def provenance_of(
    cohort: Cohort, patient_ids: Sequence[str], config: Config, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a twin comes from: its patients, what was measured of it, code and settings."""
    return {
        "cohort": cohort.name,
        "cohort_title": config.cohort.title,
        "fingerprint": cohort.fingerprint,
        "roster": Roster.of(patient_ids, digest(config, cohort.fingerprint)).to_json(),
        "patients": len(patient_ids),
        "permission": cohort.permission.basis,
        "pseudonyms": site_mark(wanted=config.trust.pseudonyms),
        "commit": commit(),
        "trained_on": date.today().isoformat(),
        "config": recorded(config),
        "performance": dict(metrics),
    }


def visits_of(histories: Histories, under: Intervention, as_of_days: float) -> list[Visit]:
    """Return the visits of the only patient up to a day [day], each under what was given."""
    found = []
    for visit in range(int(histories.visits[0])):
        observation = histories.observation(visit)
        if float(observation.days[0]) <= as_of_days:
            found.append(Visit(observation, under))
    return found


def draw(forecasts: Mapping[str, Forecasts], metrics: Mapping[str, Any], run: Path) -> None:
    """Draw how forecasts fell, and how they get better with every visit."""
    twin = forecasts["omics_twin"]
    shares = probability_integral(twin.draws, twin.found)
    shares_figure(shares, "next size").savefig(run / "forecast_calibration.png", dpi=110)
    by_visit_figure(metrics["by_scans_known"]).savefig(run / "forecast_by_visit.png", dpi=110)


def one_ahead(
    twin: GrowthProcessTwin | MechanisticTwin,
    histories: Histories,
    arms: Sequence[str | None],
    seed: int,
) -> Forecasts:
    """Return each scan after the first as the twin forecast it, and show it the scan then."""
    parts = []
    for arm in dict.fromkeys(arms):
        rows = torch.tensor([row for row, each in enumerate(arms) if each == arm])
        parts.append(_of_arm(twin, histories.select(rows), rows, treatment(arm), seed))
    return Forecasts(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def _of_arm(
    twin: GrowthProcessTwin | MechanisticTwin,
    histories: Histories,
    rows: Tensor,
    under: Intervention,
    seed: int,
) -> tuple[Array, ...]:
    state = twin.start(histories.patient_ids, draws=_DRAWS, seed=seed)
    sizes = torch.stack([twin.sizes(each) for each in histories.values.unbind(dim=1)], dim=1)
    known = torch.isfinite(sizes)
    patient, before, found, draws = [], [], [], []
    for visit in range(sizes.shape[1]):
        observation = histories.observation(visit)
        asked = torch.nonzero(known[:, visit] & known[:, :visit].any(dim=1))[:, 0]
        if len(asked):
            ahead = alike_draws(twin.forecast(state, observation.days, under)[..., 0], state)
            patient.append(rows[asked].numpy())
            before.append(known[asked, :visit].sum(dim=1).numpy())
            found.append(sizes[asked, visit].numpy())
            draws.append(ahead[asked].numpy())
        state = twin.observe(state, observation, under=under)
    if not found:
        empty = np.zeros(0)
        return empty, empty, empty, np.zeros((0, _DRAWS))
    return tuple(np.concatenate(each) for each in (patient, before, found, draws))


def alike_draws(
    values: Float[Tensor, "patient draw"], state: TwinState
) -> Float[Tensor, "patient draw"]:
    """Return draws of equal weight of what each draw expects."""
    kept = systematic(state.log_weights, torch.full((len(values),), 0.5))
    return values.gather(1, kept)


def _sizes(population: GrowthPopulation, histories: Histories) -> Float[Tensor, "patient visit"]:
    return scaled_sizes(population, histories.values)


def cross_validated(
    histories: Histories,
    arms: Sequence[str | None],
    held_out: Array,
    config: Config,
    console: Console,
) -> dict[str, Forecasts]:
    """Return the forecasts of the twin and of every baseline, each patient held out once.

    Parameters
    ----------
    held_out
        Fold of each patient, (patient,).

    Raises
    ------
    CohortError
        If a patient's scans are too few to forecast any.
    """
    folds = np.unique(held_out)
    step = console.progress("folds")
    parts: dict[str, list[Forecasts]] = {}
    for done, fold in enumerate(folds, start=1):
        others = np.flatnonzero(held_out != fold)
        rows = np.flatnonzero(held_out == fold)
        some = histories.select(torch.from_numpy(rows))
        of_some = [arms[int(row)] for row in rows]
        of_training = [arms[int(row)] for row in others]
        seen = histories.select(torch.from_numpy(others))
        twin = learned(seen, of_training, "tumour size", config)
        population = fit_growth(seen.days, seen.values, _plans(seen, of_training), mixed_model=True)
        mixed = GrowthProcessTwin("tumour size", seen.modality, population)
        for name, each in (("omics_twin", twin), (MIXED, mixed)):
            found = one_ahead(each, some, of_some, config.twin.seed)
            own = rows[found.patient.astype(int)]
            parts.setdefault(name, []).append(replace(found, patient=own))
        for name, found in _baselines(population, seen, some).items():
            own = rows[found.patient.astype(int)]
            parts.setdefault(name, []).append(replace(found, patient=own))
        step(done, len(folds))
    found_by = {name: joined(each) for name, each in parts.items()}
    if not len(found_by["omics_twin"].found):
        raise CohortError("nobody has two scans: there is no next one to forecast")
    return found_by


def _baselines(
    population: GrowthPopulation, training: Histories, held_out: Histories
) -> dict[str, Forecasts]:
    seen, some = (
        Scans(each.days.numpy(), _sizes(population, each).numpy()) for each in (training, held_out)
    )
    asked = some.asked
    patient, visit = np.nonzero(asked)
    before = np.isfinite(some.sizes).cumsum(axis=1)[patient, visit] - 1
    found = population.size(torch.from_numpy(some.sizes[asked])).numpy()
    return {
        name: Forecasts(
            patient,
            before,
            found,
            population.size(torch.from_numpy(baseline(seen, some)[asked])).numpy(),
        )
        for name, baseline in BASELINES.items()
    }


def joined(parts: Sequence[Forecasts]) -> Forecasts:
    """Return forecasts of several folds as one."""
    draws = min(part.draws.shape[1] for part in parts)
    fields = [(each.patient, each.before, each.found, each.draws[:, :draws]) for each in parts]
    return Forecasts(*(np.concatenate(each) for each in zip(*fields, strict=True)))


def judged(forecasts: Mapping[str, Forecasts], held_out: Array) -> dict[str, Any]:
    """Return scores of the twin and the baselines, with their spread over the folds."""
    by_name = {name: scores(each, held_out, "mm", 1.0) for name, each in forecasts.items()}
    twin = forecasts["omics_twin"]
    uniform = probability_integral(twin.draws, twin.found)
    distance, _ = kolmogorov_smirnov(uniform)
    return {
        "endpoint": "next size [mm]",
        "n": len(np.unique(twin.patient)),
        "forecasts": len(twin.found),
        "model": by_name.pop("omics_twin"),
        "baselines": by_name,
        "calibration_of_forecasts": {"ks": distance},
        "by_scans_known": {
            str(number): {
                name: float(crps(each.draws[rows], each.found[rows]).mean())
                for name, each in forecasts.items()
                if (rows := each.before == number).sum() >= 20
            }
            for number in range(1, 9)
            if (twin.before == number).sum() >= 20
        },
    }


def in_cells(patient: Array, values: Array, patients: int) -> Array:
    """Return each patient's values side by side, NaN after the last, (patient, cell).

    Examples
    --------
    >>> in_cells(np.array([1, 0, 1]), np.array([3.0, 4.0, 5.0]), 2).tolist()
    [[4.0, nan], [3.0, 5.0]]
    """
    order = np.argsort(patient, kind="stable")
    of = patient[order].astype(int)
    place = np.arange(len(of)) - np.searchsorted(of, of)
    found = np.full((patients, int(place.max()) + 1), np.nan)
    found[of, place] = values[order]
    return found


def measures_of(
    forecasts: Forecasts, patients: int, unit: str, resolution: float, prefix: str = ""
) -> list[Measure]:
    """Return what can be asked of every group of patients, every forecast counted once.

    Parameters
    ----------
    patients
        How many there are, of whom some may have no forecast.
    prefix
        Of the measures' names, where there is more than one question.
    """
    order = np.lexsort((forecasts.before, forecasts.patient))
    patient, found, draws = forecasts.patient[order], forecasts.found[order], forecasts.draws[order]
    inside = held(draws, found, resolution=resolution).astype(float)
    asked: dict[str, tuple[Callable[[Array], Estimate], Array]] = {
        f"crps_{unit}": (mean_of_cells, crps(draws, found)),
        "interval_90_holds": (share_inside, inside),
        "observed_less_predicted": (mean_of_cells, found - draws.mean(axis=1)),
    }
    known = np.zeros(patients, dtype=bool)
    known[patient.astype(int)] = True

    def measure(name: str, of: Callable[[Array], Estimate], values: Array) -> Measure:
        cells = in_cells(patient, values, patients)
        return Measure(prefix + name, known, lambda rows: of(cells[rows]))

    return [measure(name, of, values) for name, (of, values) in asked.items()]


def scores(
    forecasts: Forecasts, held_out: Array, unit: str, resolution: float
) -> dict[str, dict[str, float]]:
    """Return scores of forecasts with their spread over the folds.

    Parameters
    ----------
    held_out
        Fold of each patient, (patient,).
    unit, resolution
        Of what was measured, and one step of the scale it was read from.
    """
    score = crps(forecasts.draws, forecasts.found)
    error = np.abs(np.median(forecasts.draws, axis=1) - forecasts.found)
    fold = held_out[forecasts.patient.astype(int)]
    folds = np.unique(fold)

    def held(rows: Array) -> float:
        draws, found = forecasts.draws[rows], forecasts.found[rows]
        return coverage(draws, found, resolution=resolution).share

    def spread(values: Sequence[float]) -> float:
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0

    def told(values: Array) -> dict[str, float]:
        means = [float(values[fold == each].mean()) for each in folds]
        return {"mean": float(values.mean()), "sd": spread(means)}

    inside = [held(fold == each) for each in folds]
    return {
        f"crps_{unit}": told(score),
        f"median_error_{unit}": told(error),
        "interval_90_holds": {"mean": held(np.ones(len(fold), dtype=bool)), "sd": spread(inside)},
    }
