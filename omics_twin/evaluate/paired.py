"""Is one learner better than another on the same patients? Paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate.competing import (
    brier_competing_errors,
    censoring_of,
    risk_concordance,
)
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.metrics import r2, roc_auc
from omics_twin.evaluate.survival import brier_errors, censoring_survival
from omics_twin.intake.declaration import OutcomeKind

LOSS = {
    OutcomeKind.BINARY: "brier",
    OutcomeKind.TIME_TO_EVENT: "integrated_brier",
    OutcomeKind.CONTINUOUS: "rmse",
}
"""What :func:`paired_loss` compares; lower is better."""


@dataclass(frozen=True)
class Difference:
    """A difference of a metric, first minus second, mean over repeats.

    Attributes
    ----------
    lower, upper
        Percentile bounds over resamples of the patients (Efron & Tibshirani 1993,
        doi:10.1201/9780429246593). What another training sample would have led to is not in it.
    """

    mean: float
    lower: float
    upper: float


def headline(outcome: Outcome, predicted: Float[ndarray, " patient *time"]) -> float:
    """Return the metric that a kind of outcome is first judged by; higher is better.

    Parameters
    ----------
    predicted
        Probability, value, or survival at ``outcome.grid_days``.
    """
    if outcome.kind is OutcomeKind.BINARY:
        return roc_auc(predicted, outcome.values)
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return r2(predicted, outcome.values)
    return risk_concordance(outcome, -np.trapezoid(predicted, outcome.followed[1], axis=1))


def paired_difference(
    outcome: Outcome,
    first: Float[ndarray, "repeat patient *time"],
    second: Float[ndarray, "repeat patient *time"],
    *,
    resamples: int = 300,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return how much better the first predictions are than the second, patient by patient.

    Each resample draws the same patients for both and for every repeat.

    Raises
    ------
    CohortError
        If fewer than two patients have both predictions.

    Examples
    --------
    >>> truth = np.array([0.0, 1.0] * 20)
    >>> good, poor = truth[None] * 0.8, np.full((1, 40), 0.5)
    >>> paired_difference(Outcome(OutcomeKind.BINARY, truth), good, poor)
    Difference(mean=0.5, lower=0.5, upper=0.5)
    """
    rows = _judged(outcome, first, second)
    again = _resampled(outcome, rows, resamples, seed)
    if outcome.kind is OutcomeKind.BINARY:
        drawn = np.mean(
            [
                _resampled_auc(a, outcome.values, again) - _resampled_auc(b, outcome.values, again)
                for a, b in zip(first, second, strict=True)
            ],
            axis=0,
        )
    else:
        drawn = np.array([_difference(outcome, first, second, each) for each in again])
    return _with_bounds(_difference(outcome, first, second, rows), drawn, level)


def paired_loss(
    outcome: Outcome,
    first: Float[ndarray, "repeat patient *time"],
    second: Float[ndarray, "repeat patient *time"],
    *,
    resamples: int = 300,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Return how much larger the loss of the first predictions is; below 0 they are better.

    The patients and the resamples are those of :func:`paired_difference`. The censoring that
    weights an integrated Brier score is estimated once, on all patients judged.

    Raises
    ------
    CohortError
        If fewer than two patients have both predictions.

    Examples
    --------
    >>> truth = np.array([0.0, 1.0] * 20)
    >>> good, poor = truth[None], np.full((1, 40), 0.5)
    >>> paired_loss(Outcome(OutcomeKind.BINARY, truth), good, poor)
    Difference(mean=-0.25, lower=-0.25, upper=-0.25)
    """
    rows = _judged(outcome, first, second)
    again = _resampled(outcome, rows, resamples, seed)
    errors = [_errors(outcome, each, rows) for each in (first, second)]
    place = np.full(len(outcome.values), -1)
    place[rows] = np.arange(len(rows))

    def loss(error: ndarray) -> ndarray:
        mean = error.mean(axis=-1)
        return np.sqrt(mean) if outcome.kind is OutcomeKind.CONTINUOUS else mean

    drawn = np.array(
        [np.mean(loss(errors[0][:, each]) - loss(errors[1][:, each])) for each in place[again]]
    )
    return _with_bounds(float(np.mean(loss(errors[0]) - loss(errors[1]))), drawn, level)


def with_interval(
    outcome: Outcome,
    predicted: Float[ndarray, "repeat patient *time"],
    *,
    resamples: int = 300,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Difference]:
    """Return the headline metric and the squared error of one learner, with intervals.

    The patients and the resamples are those of :func:`paired_difference`: what another training
    sample would have led to is not in the intervals.

    Raises
    ------
    CohortError
        If fewer than two patients have a prediction.

    Examples
    --------
    >>> truth = np.array([0.0, 1.0] * 20)
    >>> sorted(with_interval(Outcome(OutcomeKind.BINARY, truth), truth[None]))
    ['auc', 'brier']
    """
    rows = _judged(outcome, predicted, predicted)
    again = _resampled(outcome, rows, resamples, seed)
    if outcome.kind is OutcomeKind.BINARY:
        drawn = np.mean([_resampled_auc(each, outcome.values, again) for each in predicted], axis=0)
    else:
        drawn = np.array([_headline(outcome, predicted, each) for each in again])
    name = {OutcomeKind.BINARY: "auc", OutcomeKind.CONTINUOUS: "r2"}.get(outcome.kind, "c_index")
    place = np.full(len(outcome.values), -1)
    place[rows] = np.arange(len(rows))
    errors = _errors(outcome, predicted, rows)

    def loss(drawn_rows: ndarray) -> float:
        mean = errors[:, drawn_rows].mean(axis=1)
        return float(np.mean(np.sqrt(mean) if outcome.kind is OutcomeKind.CONTINUOUS else mean))

    losses = np.array([loss(each) for each in place[again]])
    return {
        name: _with_bounds(_headline(outcome, predicted, rows), drawn, level),
        LOSS[outcome.kind]: _with_bounds(loss(place[rows]), losses, level),
    }


def _headline(outcome: Outcome, predicted: ndarray, rows: Int[ndarray, " drawn"]) -> float:
    judged = outcome.at(rows)
    return float(np.mean([headline(judged, each[rows]) for each in predicted]))


def _judged(outcome: Outcome, first: ndarray, second: ndarray) -> Int[ndarray, " known"]:
    both = np.isfinite(first) & np.isfinite(second)
    known = both.reshape(*first.shape[:2], -1).all(axis=(0, 2)) & np.isfinite(outcome.values)
    rows = np.flatnonzero(known)
    if len(rows) < 2:
        raise CohortError(f"{len(rows)} patients have both predictions, expected at least 2")
    return rows


def _errors(
    outcome: Outcome, predicted: ndarray, rows: Int[ndarray, " known"]
) -> Float[ndarray, "repeat known"]:
    """Return each patient's squared error, for survival averaged over the grid."""
    truth, given = outcome.values[rows], predicted[:, rows].astype(np.float64)
    if outcome.kind is not OutcomeKind.TIME_TO_EVENT:
        return (given - truth) ** 2
    days = outcome.followed[1]
    judge = _errors_at(outcome.at(rows))
    at_day = [
        [judge(curve[:, column], float(day)) for column, day in enumerate(days)] for curve in given
    ]
    return np.trapezoid(np.array(at_day), days, axis=1) / (days[-1] - days[0])


def _errors_at(judged: Outcome) -> Callable[[ndarray, float], ndarray]:
    """Return what gives each patient's squared error of survival at a day."""
    if judged.first is not None:
        time, cause = judged.first
        censoring = censoring_of(time, cause)
        return lambda survival, day: brier_competing_errors(
            1.0 - survival, time, cause, day, censoring
        )
    event, _ = judged.followed
    weighted = censoring_survival(judged.values, event)
    return lambda survival, day: brier_errors(survival, judged.values, event, day, weighted)


def _with_bounds(mean: float, drawn: Float[ndarray, " resample"], level: float) -> Difference:
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(drawn, [tail, 1.0 - tail])
    return Difference(mean, float(lower), float(upper))


def _resampled(
    outcome: Outcome, rows: Int[ndarray, " known"], resamples: int, seed: int
) -> Int[ndarray, "resample known"]:
    """Draw patients with replacement; a draw on which no metric exists is drawn again."""
    generator = np.random.default_rng([seed, 31])
    drawn = []
    for _ in range(20 * resamples):
        again = generator.choice(rows, size=len(rows))
        if _can_be_judged(outcome, again):
            drawn.append(again)
        if len(drawn) == resamples:
            return np.array(drawn)
    raise CohortError(
        f"{len(rows)} patients hardly differ in their outcome, expected enough of each to resample"
    )


def _resampled_auc(
    predicted: Float[ndarray, " patient"],
    truth: Float[ndarray, " patient"],
    again: Int[ndarray, "resample drawn"],
) -> Float[ndarray, " resample"]:
    """Return the AUC of every resample: pairs are compared once, then counted as often as drawn."""
    count = np.stack([np.bincount(each, minlength=len(truth)) for each in again]).astype(float)
    positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
    above = predicted[positive, None] - predicted[None, negative]
    won = (above > 0) + 0.5 * (above == 0)
    # A patient without a prediction is never drawn; the comparison with NaN is false.
    wins = ((count[:, positive] @ won) * count[:, negative]).sum(axis=1)
    return wins / (count[:, positive].sum(axis=1) * count[:, negative].sum(axis=1))


def _can_be_judged(outcome: Outcome, rows: Int[ndarray, " drawn"]) -> bool:
    if outcome.event is not None:
        return bool(outcome.event[rows].sum() > 1)
    return len(np.unique(outcome.values[rows])) > 1


def _difference(
    outcome: Outcome, first: ndarray, second: ndarray, rows: Int[ndarray, " drawn"]
) -> float:
    judged = outcome.at(rows)
    pairs = zip(first[:, rows], second[:, rows], strict=True)
    return float(np.mean([headline(judged, a) - headline(judged, b) for a, b in pairs]))
