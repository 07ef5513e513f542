"""How close predictions are to what happened; the direction of merit travels with each metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.metrics import brier_score_loss, r2_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from omics_twin.errors import CohortError, quoted
from omics_twin.evaluate.checks import both_classes, paired, predicted_binary

BINS = 10
CLOSEST = 1e-12


class Metric(NamedTuple):
    """A metric and its direction of merit."""

    function: Callable[[ArrayLike, ArrayLike], float]
    higher_is_better: bool


def roc_auc(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Return the area under the ROC curve: how often an event is ranked above a non-event.

    It says nothing about whether the probabilities are right.

    Parameters
    ----------
    probability, outcome
        Shape (patient,); probabilities in [0, 1] and outcomes 0 or 1.

    Raises
    ------
    CohortError
        If only one class is present, or lengths, NaN or ranges are wrong.

    Examples
    --------
    >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75

    References
    ----------
    Hanley and McNeil 1982, Radiology, doi:10.1148/radiology.143.1.7063747.
    """
    probability, outcome = predicted_binary(probability, outcome)
    both_classes(outcome, "the ROC curve")
    return float(roc_auc_score(outcome, probability))


def brier(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Return the mean squared error of the probabilities.

    Examples
    --------
    >>> round(brier([0.1, 0.8], [0, 1]), 3)
    0.025

    References
    ----------
    Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    probability, outcome = predicted_binary(probability, outcome)
    return float(brier_score_loss(outcome, probability, pos_label=1))


def log_loss(probability: ArrayLike, outcome: ArrayLike) -> float:
    """Return the mean negative log likelihood [nat]; a certain error is kept finite.

    Examples
    --------
    >>> round(log_loss([0.5, 0.5], [0, 1]), 3)
    0.693

    References
    ----------
    Good 1952, doi:10.1111/j.2517-6161.1952.tb00104.x.
    """
    probability, outcome = predicted_binary(probability, outcome)
    return float(sklearn_log_loss(outcome, probability, labels=[0, 1]))


def expected_calibration_error(
    probability: ArrayLike, outcome: ArrayLike, bins: int = BINS
) -> float:
    """Return the mean gap between predicted and observed shares over bins of equal size.

    Patients are ordered by probability and cut into ``bins`` groups whose sizes differ by at
    most one; each gap counts by its group's size. With few patients the error of a perfectly
    calibrated model is above zero: compare it with a baseline on the same patients.

    Raises
    ------
    CohortError
        If there are fewer patients than bins.

    Examples
    --------
    >>> round(expected_calibration_error([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1], bins=2), 3)
    0.2

    References
    ----------
    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602; bins of equal size: Nixon et al. 2019.
    """
    probability, outcome = predicted_binary(probability, outcome)
    total = 0.0
    for group in equal_groups(probability, bins):
        total += len(group) * abs(probability[group].mean() - outcome[group].mean())
    return float(total / len(outcome))


def equal_groups(score: np.ndarray, groups: int) -> list[np.ndarray]:
    """Return patient indices in groups of equal size, in order of rising score.

    Raises
    ------
    CohortError
        If there are fewer patients than groups, or no group.

    Examples
    --------
    >>> [each.tolist() for each in equal_groups(np.array([0.9, 0.1, 0.5]), 3)]
    [[1], [2], [0]]
    """
    if not 1 <= groups <= len(score):
        raise CohortError(
            f"{len(score)} patients cannot be cut into {groups} groups; "
            f"expected 1 to {len(score)} groups"
        )
    return np.array_split(np.argsort(score, kind="stable"), groups)


def calibration_slope_intercept(probability: ArrayLike, outcome: ArrayLike) -> tuple[float, float]:
    """Return the logistic calibration slope and intercept; 1 and 0 are perfect.

    The slope is that of the outcome on the logit of the probability (below 1: predictions too
    extreme); the intercept is calibration-in-the-large, fitted with the slope held at 1
    (above 0: predictions too low). For description; nothing is recalibrated with it.

    Raises
    ------
    CohortError
        If only one class is present, all probabilities are the same, or they separate the
        classes so that no finite slope exists.

    Examples
    --------
    >>> slope, intercept = calibration_slope_intercept([0.2] * 5 + [0.8] * 5, [1] + [0] * 4
    ...                                                + [1] * 4 + [0])
    >>> round(slope, 6), round(abs(intercept), 6)
    (1.0, 0.0)

    References
    ----------
    Van Calster et al. 2019, BMC Medicine, doi:10.1186/s12916-019-1466-7.
    """
    probability, outcome = predicted_binary(probability, outcome)
    both_classes(outcome, "a calibration slope")
    score = logit(np.clip(probability, CLOSEST, 1.0 - CLOSEST))
    low, high = score[outcome == 1], score[outcome == 0]
    if score.min() == score.max() or low.min() >= high.max() or low.max() <= high.min():
        raise CohortError(
            "probabilities are all the same or separate the classes; no finite calibration "
            "slope exists, so judge more patients together"
        )
    slope = _logistic(np.column_stack([score, np.ones_like(score)]), 0.0 * score, outcome)[0]
    intercept = _logistic(np.ones((len(score), 1)), score, outcome)[0]
    return float(slope), float(intercept)


def _logistic(columns: np.ndarray, offset: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """Return unpenalised logistic coefficients by Newton's method with halved steps."""
    coefficients = np.zeros(columns.shape[1])

    def loss(each: np.ndarray) -> float:
        predictor = columns @ each + offset
        return float((np.logaddexp(0.0, predictor) - outcome * predictor).sum())

    for _ in range(100):
        fitted = expit(columns @ coefficients + offset)
        gradient = columns.T @ (fitted - outcome)
        curvature = columns.T @ (columns * (fitted * (1.0 - fitted))[:, None])
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        while loss(coefficients - step) > loss(coefficients) + 1e-12 and np.abs(step).max() > 1e-12:
            step = 0.5 * step
        coefficients = coefficients - step
        if np.abs(step).max() < 1e-10:
            break
    return coefficients


def rmse(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Return the root of the mean squared error, in the outcome's unit.

    Examples
    --------
    >>> rmse([1.0, 2.0], [1.0, 4.0])
    1.4142135623730951
    """
    predicted, outcome = paired(predicted=predicted, outcome=outcome)
    return float(np.sqrt(np.mean((predicted - outcome) ** 2)))


def r2(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Return the share of variance explained; negative where the mean would do better.

    Raises
    ------
    CohortError
        If the outcome does not vary.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    1.0
    """
    predicted, outcome = paired(predicted=predicted, outcome=outcome)
    _varies(outcome, "outcome")
    return float(r2_score(outcome, predicted))


def spearman(predicted: ArrayLike, outcome: ArrayLike) -> float:
    """Return Spearman's rank correlation.

    Raises
    ------
    CohortError
        If predictions or outcomes do not vary.

    Examples
    --------
    >>> round(spearman([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]), 9)
    1.0

    References
    ----------
    Spearman 1904, doi:10.2307/1412159.
    """
    predicted, outcome = paired(predicted=predicted, outcome=outcome)
    _varies(predicted, "predicted")
    _varies(outcome, "outcome")
    return float(spearmanr(predicted, outcome).statistic)


def _varies(values: np.ndarray, name: str) -> None:
    if values.min() == values.max():
        raise CohortError(
            f"all {len(values)} values of '{name}' are {values[0]:g}; "
            "the metric needs values that differ"
        )


BINARY_METRICS: Mapping[str, Metric] = {
    "auc": Metric(roc_auc, True),
    "brier": Metric(brier, False),
    "log_loss": Metric(log_loss, False),
    "ece": Metric(expected_calibration_error, False),
}
CONTINUOUS_METRICS: Mapping[str, Metric] = {
    "rmse": Metric(rmse, False),
    "r2": Metric(r2, True),
    "spearman": Metric(spearman, True),
}
METRICS: Mapping[str, Metric] = {**BINARY_METRICS, **CONTINUOUS_METRICS}


def summarise(per_repeat: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation of each metric over repeats.

    The standard deviation (n - 1) is the spread of one cohort cut differently, not a standard
    error over patients; it is NaN for a single repeat.

    Raises
    ------
    CohortError
        If there is no repeat or the repeats hold different metrics.

    Examples
    --------
    >>> summarise([{"auc": 0.7}, {"auc": 0.8}])["auc"]["mean"]
    0.75
    """
    if not per_repeat:
        raise CohortError("no repeat to summarise; expected at least one")
    names = list(per_repeat[0])
    for number, repeat in enumerate(per_repeat):
        if set(repeat) != set(names):
            raise CohortError(
                f"repeat {number} holds {quoted(repeat)}, the first holds {quoted(names)}"
            )
    table = {name: np.array([repeat[name] for repeat in per_repeat]) for name in names}
    several = len(per_repeat) > 1
    return {
        name: {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)) if several else float("nan"),
        }
        for name, values in table.items()
    }
