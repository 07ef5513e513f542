"""Whether later patients are still those a model was trained on, and it still holds for them.

Six questions, of which the last two need outcomes: what was measured, what is missing, how many are
outside the domain of validity, what is predicted; whether predictions are calibrated, and whether
they tell patients apart as well as the model's card says. Of a twin that learns from visit to visit
the last two are whether forecasts of the next visit are calibrated, and how many intervals hold.
All are asked at one level together: with nothing changed, an alarm is raised in at most that share
of all rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from omics_twin.answers.beliefs import beliefs_of, outcome_values
from omics_twin.answers.patients import Patients, patients_in
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError, ModelError
from omics_twin.evaluate.design import Outcome
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.lifecycle.questions import (
    CALIBRATION,
    COVERAGE,
    DISCRIMINATION,
    EXPECTED,
    FEATURES,
    MISSING,
    UNLIKE_THEM,
    Later,
    Question,
    by_fifth,
    of_calibration,
    of_coverage,
    of_discrimination,
    of_expected,
    of_features,
    of_missing,
    of_unlike,
)
from omics_twin.lifecycle.trained_on import residual_of
from omics_twin.lifecycle.validity import AnyModel
from omics_twin.settings import MonitorSettings, TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.training import tasks
from omics_twin.twin.draws import weighted_mean


@dataclass(frozen=True)
class Monitored:
    """What a round of monitoring found; it holds no patient's row.

    Attributes
    ----------
    features, missing
        A line for each feature, the largest shift first, and for each channel.
    expected
        Training and later patients by bin of the expected endpoint, and the bins' edges.
    observed
        Expected and observed means by fifth of the expected, where outcomes are known.
    alarms
        Names of the questions whose answer is an alarm.
    """

    patients: int
    outcomes: int
    level: float
    questions: tuple[Question, ...]
    features: tuple[dict[str, Any], ...]
    missing: tuple[dict[str, Any], ...]
    expected: dict[str, list[float]]
    observed: tuple[dict[str, float], ...]
    alarms: tuple[str, ...]


def compared(model: AnyModel, later: Later, asked: MonitorSettings) -> Monitored:
    """Return how a cohort's, or a chart's, patients compare with those a model was trained on.

    Raises
    ------
    ModelError
        If the model does not know what its training patients were like.
    CohortError
        If the patients are too few to say anything.
    """
    reference, patients = model.reference, len(later.every_arm)
    if reference is None:
        raise ModelError(
            "the model keeps nothing of what its training patients were like: train it again with "
            "this version to monitor it"
        )
    check_enough(patients, asked)
    feature, features = of_features(model, reference, later, asked)
    missing, channels = of_missing(model, reference, later, asked)
    moved, bins = of_expected(reference.expected, later, asked)
    questions = [feature, missing, of_unlike(model, later), moved]
    observed: tuple[dict[str, float], ...] = ()
    residual, outcome = later.residual, later.outcome
    if outcome is not None and isinstance(model, TrainedModel):
        residual = residual_of(outcome, later.received)
        questions += [
            of_calibration(reference, residual, asked),
            of_discrimination(model, outcome, later),
        ]
        observed = by_fifth(outcome, later.received)
    elif residual is not None:
        questions.append(of_calibration(reference, residual, asked, "next visits above the middle"))
        questions.append(of_coverage(reference, later.inside, asked))
    known = 0 if residual is None else int(np.isfinite(residual).sum())
    level = asked.level / max(1, sum(each.p is not None for each in questions))
    alarms = [q.name for q in questions if q.p is not None and q.p <= level and q.large]
    return Monitored(
        patients=patients,
        outcomes=known,
        level=asked.level,
        questions=tuple(questions),
        features=features,
        missing=channels,
        expected=bins,
        observed=observed,
        alarms=tuple(alarms),
    )


def check_enough(patients: int, asked: MonitorSettings) -> None:
    """Refuse patients who are too few to say anything.

    Raises
    ------
    CohortError
        If they are.
    """
    if patients < asked.fewest:
        raise CohortError(
            f"{patients} patients are to be monitored, expected at least {asked.fewest}: wait for "
            "more"
        )


def later_of(model: TrainedModel, later: Cohort | Patients, settings: TwinSettings) -> Later:
    """Return patients as a model sees them before treatment, and what it says.

    Outcomes are those of a cohort; other patients have none.
    """
    outcome = None
    if isinstance(later, Cohort) and model.outcome in later.outcomes:
        outcome = tasks.outcome_of(later, model.outcome, model.endpoint)
    patients = patients_in(model, later) if isinstance(later, Cohort) else later
    matrices, arms = patients.matrices, patients.received
    strata, names = patients.keys, model.catalogue.arms
    judged = outcome if outcome is not None else _any_outcome(model)
    size = 1 if judged.grid_days is None else len(judged.grid_days)
    every = np.full((len(arms), len(names), size), np.nan)
    for belief in beliefs_of(model, matrices, arms, settings, strata=strata):
        for place, name in enumerate(names):
            plan = model.catalogue.intervention(name)
            values = outcome_values(model, belief.state, plan, judged)
            every[belief.rows, place] = weighted_mean(values, belief.state.log_weights).numpy()
    own = np.array([names.index(arm) if arm in names else -1 for arm in arms])
    received = np.where((own < 0)[:, None], np.nan, every[np.arange(len(arms)), own])
    if judged.grid_days is None:
        every, received = every[..., 0], received[:, 0]
    return Later(matrices.values, every, received, outcome)


def _any_outcome(model: TrainedModel) -> Outcome:
    """Return an outcome of nobody, which says on which days a model is asked."""
    kind, grid = OutcomeKind(model.outcome_kind), None
    if kind is OutcomeKind.TIME_TO_EVENT:
        grid = np.linspace(0.0, model.endpoint.horizon_days, 25)[1:]
    return Outcome(kind, np.zeros(0), None, grid)


def numbers(found: Monitored) -> dict[str, float]:
    """Return what a tracker keeps of a round."""
    told = {"monitor.alarms": float(len(found.alarms)), "monitor.patients": float(found.patients)}
    for each in found.questions:
        if each.p is not None:
            told[f"monitor.{each.name}.p"] = each.p
        told |= {f"monitor.{each.name}.{key}": value for key, value in each.numbers.items()}
    return told


def proposal(found: Monitored) -> tuple[str, ...]:
    """Return what should be done, with the reasons; a person decides.

    Examples
    --------
    >>> proposal(Monitored(9, 0, 0.05, (), (), (), {}, (), ()))
    ('Nothing has to be done: no alarm.',)
    """
    told: list[str] = []
    alarms: Sequence[str] = found.alarms
    if MISSING in alarms:
        told.append(
            "Look at how data come in first: what is measured has changed, and a new training "
            "cures no broken delivery."
        )
    if {DISCRIMINATION, CALIBRATION, COVERAGE} & set(alarms):
        told.append(
            "Retrain on a cohort with these patients in it, and compare it with the champion "
            "(omics-twin promote): predictions do not hold for them as the card says."
        )
    elif {FEATURES, UNLIKE_THEM, EXPECTED} & set(alarms):
        followed = any(each.name == COVERAGE and each.p is not None for each in found.questions)
        told.append(
            "Go on watching forecasts, which hold so far: these patients differ at first from "
            "those trained on. Retrain with them where forecasts no longer hold."
            if followed
            else "Gather outcomes of these patients and evaluate on them (omics-twin evaluate) "
            "before relying on the ranking: they differ from those trained on, and whether "
            "predictions still hold is not shown. Retrain if they do not."
        )
    return tuple(told) or ("Nothing has to be done: no alarm.",)
