"""Volumes under known doses: a twin judged on dose groups it never saw, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omics_twin.answers.beliefs import received_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.cohort.split import NEVER_HELD_OUT, arms_held_out
from omics_twin.config import Config
from omics_twin.dynamics.exposure import Exposure, fit_exposure
from omics_twin.dynamics.pharmacology import COMPARTMENTS
from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.settings import DynamicsSettings, Equations, Kinetics
from omics_twin.errors import CohortError, ConfigError
from omics_twin.evaluate.fairness import Measure
from omics_twin.evaluate.forecast import crps, probability_integral
from omics_twin.evaluate.forecast_baselines import BASELINES, Scans
from omics_twin.evaluate.forecast_plots import shares_figure
from omics_twin.report.console import Console
from omics_twin.settings import SplitBy
from omics_twin.tensors.history import Histories, given_of, histories_of
from omics_twin.twin.cohort_prior import Seen
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.volume import learn_volume
from omics_twin.types import RADIOTHERAPY, Dose, Endpoint, Intervention, TwinState
from omics_twin.visits.living import LivingModel
from omics_twin.visits.progression import (
    Forecasts,
    alike_draws,
    folds_of,
    joined,
    measures_of,
    provenance_of,
    scores,
)

Array = np.ndarray
EXPONENTIAL = "exponential growth"
# Where no concentration was measured, amounts act as they are: per litre of one litre.
_AS_GIVEN = {"distribution_l": 1.0, "absorbed": 1.0}
_DRAWS = 400
_UNIT = "cm3"


@dataclass(frozen=True)
class Dosed:
    """Patients whose doses are known, with repeated measurements of one kind.

    ``arms`` and ``given`` are in the order of the histories' patients.
    """

    histories: Histories
    arms: tuple[str | None, ...]
    given: tuple[Intervention, ...]

    def at(self, rows: Array) -> Dosed:
        """Return some of the patients."""
        return Dosed(
            self.histories.select(torch.from_numpy(rows)),
            tuple(self.arms[int(row)] for row in rows),
            tuple(self.given[int(row)] for row in rows),
        )

    @property
    def seen(self) -> Seen:
        """What a twin learns from."""
        plans = [plan_of([], [], each) for each in self.given]
        return Seen(self.histories.days, self.histories.values, plans)


@dataclass(frozen=True)
class Followed:
    """Forecasts of each model by name: from the first volume alone, and one volume ahead."""

    unseen: dict[str, Forecasts]
    ahead: dict[str, Forecasts]


def dosed_of(cohort: Cohort, modality: str) -> Dosed:
    """Return who has measurements of a modality.

    Raises
    ------
    CohortError
        If the cohort does not know doses, or nobody was measured.
    """
    histories = histories_of(cohort, modality)
    rows = np.flatnonzero(histories.visits.numpy() > 0)
    if not len(rows):
        raise CohortError(f"nobody of cohort '{cohort.name}' has '{modality}': choose another one")
    return Dosed(histories, tuple(received_of(cohort)), tuple(given_of(cohort))).at(rows)


def held_out_of(dosed: Dosed, config: Config) -> Array:
    """Return the fold in which each patient is held out, -1 for never, (patient,)."""
    asked = config.split
    if asked.by is SplitBy.THERAPY:
        return arms_held_out(dosed.histories.patient_ids, dosed.arms, asked.only)[0]
    if asked.by is SplitBy.PATIENT:
        return folds_of(dosed.histories, asked)
    raise ConfigError(
        f"split.by is {asked.by.name}, expected THERAPY or PATIENT for volumes: set split.by"
    )


def learned(
    dosed: Dosed, plasma: Dosed | None, name: str, config: Config, *, exponential: bool = False
) -> MechanisticTwin:
    """Return the twin of some training patients and, where there are, measured concentrations."""
    asked = config.dynamics
    known = {} if plasma is None else exposure_of(plasma, asked.kinetics).shared
    return learn_volume(
        dosed.seen,
        dosed.histories.modality,
        _drug_of((*dosed.given, *(() if plasma is None else plasma.given))),
        {**_AS_GIVEN, **known, **asked.held},
        name=name,
        equations=asked.equations,
        kinetics=asked.kinetics,
        exponential=exponential,
        iterations=asked.iterations,
        seed=config.twin.seed,
    )


def exposure_of(plasma: Dosed, kinetics: Kinetics) -> Exposure:
    """Return how the drug comes and goes in those in whom it was measured."""
    seen = plasma.seen
    return fit_exposure(seen.days.numpy(), seen.values[..., 0].numpy(), seen.plans, kinetics)


def _drug_of(given: Sequence[Intervention]) -> str:
    drugs = sorted({drug for each in given for drug in each.drugs} - {RADIOTHERAPY})
    if len(drugs) != 1:
        raise CohortError(
            f"{len(drugs)} drugs were given ({', '.join(drugs)}), expected one: declare 'doses'"
        )
    return drugs[0]


def plasma_of(cohort: Cohort, config: Config) -> Dosed | None:
    """Return in whom the drug's concentration was measured, ``None`` where it is in nobody."""
    asked = config.dynamics.concentration
    return dosed_of(cohort, asked) if asked else None


def _without(plasma: Dosed | None, away: set[str]) -> Dosed | None:
    if plasma is None:
        return None
    known = [patient not in away for patient in plasma.histories.patient_ids]
    return plasma.at(np.flatnonzero(known))


def cross_validated(
    dosed: Dosed, plasma: Dosed | None, held_out: Array, config: Config, console: Console
) -> Followed:
    """Return the forecasts of the twin and of every baseline for whoever is held out.

    Neither volumes nor concentrations of patients held out are learned from.
    """
    folds = np.unique(held_out[held_out != NEVER_HELD_OUT])
    step = console.progress("folds")
    unseen: dict[str, list[Forecasts]] = {}
    ahead: dict[str, list[Forecasts]] = {}
    for done, fold in enumerate(folds, start=1):
        rows = np.flatnonzero(held_out == fold)
        training, some = dosed.at(np.flatnonzero(held_out != fold)), dosed.at(rows)
        tested = _without(plasma, set(some.histories.patient_ids))
        found = _models(training, tested, some, config)
        for parts, each in ((unseen, found.unseen), (ahead, found.ahead)):
            for name, forecasts in each.items():
                own = rows[forecasts.patient.astype(int)]
                parts.setdefault(name, []).append(replace(forecasts, patient=own))
        step(done, len(folds))
    return Followed(
        {name: joined(each) for name, each in unseen.items()},
        {name: joined(each) for name, each in ahead.items()},
    )


def _models(training: Dosed, plasma: Dosed | None, some: Dosed, config: Config) -> Followed:
    unseen: dict[str, Forecasts] = {}
    ahead: dict[str, Forecasts] = {}
    models = {"omics_twin": config}
    # Exponential growth knows a drug, but no radiotherapy.
    if config.dynamics.equations is not Equations.CHEMORADIOTHERAPY:
        models[EXPONENTIAL] = replace(config, dynamics=_inhibited(config.dynamics))
    for name, each in models.items():
        twin = learned(training, plasma, name, each, exponential=name == EXPONENTIAL)
        unseen[name], ahead[name] = followed(twin, some, config.twin.seed)
    unseen["growth of other groups"] = _as_others(training.histories, some.histories)
    scans = [
        Scans(each.days.numpy(), np.log(each.values[..., 0].numpy()))
        for each in (training.histories, some.histories)
    ]
    for name in ("persistence", "exponential fit"):
        spread = np.exp(BASELINES[name](*scans))
        ahead[name] = _forecasts(some.histories, partial(_at, spread))
    return Followed(unseen, ahead)


def _inhibited(asked: DynamicsSettings) -> DynamicsSettings:
    """Return the default equations, under a drug that comes and goes alike."""
    kinetics = COMPARTMENTS[asked.kinetics]("").parameters
    held = {name: value for name, value in asked.held.items() if name in kinetics}
    return replace(asked, equations=Equations.INHIBITION, held=held)


def _forecasts(histories: Histories, draws: Callable[[int, int], Array]) -> Forecasts:
    """Return the forecasts of every volume after a patient's first."""
    volumes = histories.values[..., 0].numpy()
    known = np.isfinite(volumes)
    before = np.cumsum(known, axis=1) - known
    patient, visit = np.nonzero(known & (before > 0))
    return Forecasts(
        patient,
        before[patient, visit],
        volumes[patient, visit],
        np.stack([draws(int(row), int(at)) for row, at in zip(patient, visit, strict=True)]),
    )


def _at(draws: Array | Mapping[tuple[int, int], Array], row: int, visit: int) -> Array:
    return np.asarray(draws[row, visit])


def _as_others(training: Histories, some: Histories) -> Forecasts:
    """Return each first volume times how training patients' had grown by about that day."""
    days, volumes = training.days.numpy(), training.values[..., 0].numpy()
    grown, on = volumes / volumes[:, :1], days - days[:, :1]
    rows = np.isfinite(volumes)

    def draws(row: int, visit: int) -> Array:
        day = float(some.days[row, visit] - some.days[row, 0])
        nearest = np.abs(on[rows] - day)
        same = grown[rows][nearest <= max(1.0, float(nearest.min()))]
        first = float(some.values[row, 0, 0])
        return np.asarray(first * np.quantile(same, (np.arange(199) + 0.5) / 199))

    return _forecasts(some, draws)


def followed(twin: MechanisticTwin, some: Dosed, seed: int) -> tuple[Forecasts, Forecasts]:
    """Return forecasts from the first volume alone, and from all volumes before each."""
    found: list[dict[tuple[int, int], Array]] = [{}, {}]
    for row, given in enumerate(some.given):
        one = some.histories.select(torch.tensor([row]))
        state = twin.start(one.patient_ids, draws=_DRAWS, seed=seed)
        first: TwinState | None = None
        for visit in range(int(one.visits[0])):
            observation = one.observation(visit)
            if first is not None:
                for kept, belief in zip(found, (first, state), strict=True):
                    values = twin.forecast(belief, observation.days, given)[..., 0]
                    kept[row, visit] = alike_draws(values, belief)[0].numpy()
            state = twin.observe(state, observation, under=given)
            first = first or state
    baseline, ahead = (_forecasts(some.histories, partial(_at, each)) for each in found)
    return baseline, ahead


def judged(followed: Followed, dosed: Dosed, held_out: Array) -> dict[str, Any]:
    """Return the scores of both questions apart, with their spread over the groups."""
    unseen, ahead = (_question(each, held_out) for each in (followed.unseen, followed.ahead))
    twin = followed.unseen["omics_twin"]
    return {
        "endpoint": f"volume of a group never seen, from the first alone [{_UNIT}]",
        "n": len(np.unique(twin.patient)),
        "forecasts": len(twin.found),
        "model": unseen.pop("omics_twin"),
        "baselines": unseen,
        "by_group": {
            "from the first volume": _by_group(followed.unseen, dosed),
            "one volume ahead": _by_group(followed.ahead, dosed),
        },
        "one_ahead": {
            "endpoint": f"next volume [{_UNIT}]",
            "n": len(np.unique(twin.patient)),
            "model": ahead.pop("omics_twin"),
            "baselines": ahead,
        },
    }


def _question(forecasts: Mapping[str, Forecasts], held_out: Array) -> dict[str, Any]:
    return {name: scores(each, held_out, _UNIT, 0.0) for name, each in forecasts.items()}


def measures_by_learner(followed: Followed, patients: int) -> dict[str, list[Measure]]:
    """Return what can be asked of every group: of the first volume alone, then of one ahead.

    A learner that was asked one of the two alone has the measures of that one.
    """
    found: dict[str, list[Measure]] = {}
    for prefix, question in (("", followed.unseen), ("next_", followed.ahead)):
        for name, each in question.items():
            found.setdefault(name, []).extend(measures_of(each, patients, _UNIT, 0.0, prefix))
    return found


def _by_group(forecasts: Mapping[str, Forecasts], dosed: Dosed) -> dict[str, Any]:
    """Return, for each arm, the scores of every model with their spread over its patients."""
    arms = np.array([str(arm) for arm in dosed.arms])
    found: dict[str, Any] = {}
    for name, each in forecasts.items():
        of = arms[each.patient.astype(int)]
        for arm in np.unique(of):
            rows = of == arm
            some = Forecasts(
                each.patient[rows], each.before[rows], each.found[rows], each.draws[rows]
            )
            by_patient = np.arange(len(arms))
            found.setdefault(str(arm), {})[name] = scores(some, by_patient, _UNIT, 0.0)
    return found


def paired_lines(followed: Followed) -> list[str]:
    """Return how much lower the twin's score is than that of exponential growth, by patient."""
    lines = []
    for what, each in (("first volume alone", followed.unseen), ("one ahead", followed.ahead)):
        if EXPONENTIAL not in each:
            continue
        one, other = each["omics_twin"], each[EXPONENTIAL]
        gain = crps(other.draws, other.found) - crps(one.draws, one.found)
        patients = np.unique(one.patient)
        means = np.array([gain[one.patient == patient].mean() for patient in patients])
        error = means.std(ddof=1) / np.sqrt(len(means))
        lines.append(
            f"{what}: CRPS lower than {EXPONENTIAL} by {means.mean():.4f} ± {error:.4f} {_UNIT}, "
            f"in {int((means > 0).sum())} of {len(means)} patients"
        )
    return lines


def model_of(
    cohort: Cohort,
    dosed: Dosed,
    plasma: Dosed | None,
    held_out: Array,
    config: Config,
    metrics: Mapping[str, Any],
) -> LivingModel:
    """Return the twin with the question it answers.

    Arms that ``split.only`` names are put aside: the twin learns from the others alone.
    """
    rows = np.arange(len(dosed.arms))
    if config.split.only:
        rows = np.flatnonzero(held_out == NEVER_HELD_OUT)
    some = dosed.at(rows)
    away = set(dosed.histories.patient_ids) - set(some.histories.patient_ids)
    asked = config.dynamics
    return LivingModel(
        twin=learned(some, _without(plasma, away), config.name, config),
        endpoint=Endpoint("volume", "volume_cm3", asked.horizon_days, higher_is_better=False),
        title=f"Volume [{_UNIT}] {asked.horizon_days:g} days later",
        arms=tuple(sorted({arm for arm in some.arms if arm is not None})),
        plans=_typical(some),
        false_alarms=asked.false_alarms,
        provenance=provenance_of(cohort, some.histories.patient_ids, config, metrics),
    )


def _typical(dosed: Dosed) -> dict[str, Intervention]:
    """Return each arm as a plan: the days on which most of it was dosed, by the median amount."""
    found = {}
    for arm in sorted({arm for arm in dosed.arms if arm is not None}):
        own = [each for each, of in zip(dosed.given, dosed.arms, strict=True) if of == arm]
        by_day: dict[float, list[Dose]] = {}
        for dose in (dose for each in own for dose in each.doses):
            by_day.setdefault(dose.start_days, []).append(dose)
        doses = [
            replace(some[0], amount=float(np.median([each.amount for each in some])))
            for _, some in sorted(by_day.items())
            if 2 * len(some) >= len(own)
        ]
        found[arm] = Intervention(arm, tuple(doses))
    return found


def draw(followed: Followed, run: Path) -> None:
    """Draw how what came fell in the forecasts, for each question."""
    for name, each, what in (
        ("forecast_calibration", followed.ahead, "next volume"),
        ("unseen_calibration", followed.unseen, "volume of a group never seen"),
    ):
        twin = each["omics_twin"]
        shares = probability_integral(twin.draws, twin.found)
        shares_figure(shares, what).savefig(run / f"{name}.png", dpi=110)
