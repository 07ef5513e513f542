"""The metrics of one kind of outcome, the same for a twin and for its baselines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate.competing import (
    aalen_johansen,
    auc_competing,
    brier_competing,
    censoring_of,
    concordance_competing_weighted,
    risk_concordance,
)
from omics_twin.evaluate.concordance import concordance_uno
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.dynamic_auc import dynamic_auc
from omics_twin.evaluate.metrics import (
    brier,
    expected_calibration_error,
    log_loss,
    r2,
    rmse,
    roc_auc,
    spearman,
)
from omics_twin.evaluate.survival import censoring_survival, integrated_brier
from omics_twin.evaluate.survival_calibration import d_calibration, smooth_calibration
from omics_twin.intake.declaration import OutcomeKind

HEADLINE = {
    OutcomeKind.BINARY: "auc",
    OutcomeKind.TIME_TO_EVENT: "c_index",
    OutcomeKind.CONTINUOUS: "r2",
}
_FEWEST = 2
HIGHER_IS_BETTER: dict[str, bool | None] = {
    "auc": True,
    "brier": False,
    "ece": False,
    "log_loss": False,
    "c_index": True,
    "uno_c": True,
    "auc_at_horizon": True,
    "integrated_brier": False,
    "ici_at_horizon": False,
    "incidence_gap_at_horizon": None,
    # A large p-value is no merit: it may only say that there are few patients.
    "d_calibration_p": None,
    "rmse": False,
    "r2": True,
    "spearman": True,
    "crps": False,
    "crps_mm": False,
    "crps_cm3": False,
    "next_crps_cm3": False,
    "median_error": False,
    "median_error_mm": False,
    "median_error_cm3": False,
}


def calibration_bins(patients: int) -> int:
    """Return how many bins of at least 40 patients there are, at most ten and at least two.

    In smaller bins chance alone keeps even a perfectly calibrated model far from zero.

    Examples
    --------
    >>> calibration_bins(883), calibration_bins(147)
    (10, 3)
    """
    return min(10, max(2, patients // 40))


def score(outcome: Outcome, predicted: Float[ndarray, " patient *time"]) -> dict[str, float]:
    """Return the metrics over the patients with a known outcome and a prediction.

    Parameters
    ----------
    predicted
        Probability, value, or survival at ``outcome.grid_days``, of which the last is the horizon.

    Returns
    -------
    dict
        Metric -> value; NaN where the patients do not allow it. With competing events c, AUC and
        Brier score are those that know of them, and ``incidence_gap_at_horizon`` is the mean
        predicted incidence less Aalen and Johansen's.
    """
    known = _known(outcome, predicted)
    truth, given = outcome.values[known], predicted[known].astype(np.float64)
    if outcome.kind is OutcomeKind.BINARY:
        return {
            "auc": roc_auc(given, truth),
            "brier": brier(given, truth),
            "ece": expected_calibration_error(given, truth, calibration_bins(len(truth))),
            "log_loss": log_loss(given, truth),
        }
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return {
            "rmse": rmse(given, truth),
            "r2": r2(given, truth),
            "spearman": spearman(given, truth),
        }
    return _survival_score(outcome.at(known), given)


def headline(outcome: Outcome, predicted: Float[ndarray, " patient *time"]) -> float:
    """Return the headline metric of the outcome's kind alone, as :func:`score` gives it.

    NaN where the patients do not allow it: too few, or all with the same outcome.

    Parameters
    ----------
    predicted
        As for :func:`score`.
    """
    known = _known(outcome, predicted)
    truth, given = outcome.values[known], predicted[known].astype(np.float64)
    if len(truth) < _FEWEST:
        return float("nan")
    if outcome.kind is OutcomeKind.BINARY:
        return _where_known(lambda: roc_auc(given, truth))
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return _where_known(lambda: r2(given, truth))
    days = outcome.followed[1]
    return _where_known(lambda: risk_concordance(outcome.at(known), _risk(given, days)))


def _known(
    outcome: Outcome, predicted: Float[ndarray, " patient *time"]
) -> Bool[ndarray, " patient"]:
    """Return who has a known outcome and a prediction."""
    return np.isfinite(outcome.values) & np.isfinite(predicted).reshape(len(predicted), -1).all(1)


def _risk(
    given: Float[ndarray, "known time"], days: Float[ndarray, " time"]
) -> Float[ndarray, " known"]:
    """Return the restricted mean survival over the grid, negated: it orders curves that cross."""
    return -np.trapezoid(given, days, axis=1)


def _survival_score(outcome: Outcome, given: Float[ndarray, "known time"]) -> dict[str, float]:
    happened, days = outcome.followed
    time, event = outcome.values, happened.astype(np.float64)
    risk = _risk(given, days)
    horizon, at_horizon = float(days[-1]), given[:, -1]
    censoring = censoring_survival(time, event)
    until = np.minimum(time, horizon)
    seen = event * (time <= horizon)
    found = {
        "c_index": risk_concordance(outcome, risk),
        "uno_c": _where_known(lambda: concordance_uno(risk, time, event, censoring, horizon)),
        "auc_at_horizon": _where_known(
            lambda: dynamic_auc(-at_horizon, time, event, [horizon], censoring).mean
        ),
        "integrated_brier": _where_known(
            lambda: integrated_brier(given, days, time, event, censoring)
        ),
        "ici_at_horizon": _where_known(
            lambda: smooth_calibration(at_horizon, time, event, horizon).ici
        ),
        "d_calibration_p": d_calibration(at_days(given, days, until), seen).p_value,
    }
    if outcome.first is None:
        return found
    return found | _competing_score(*outcome.first, given, days)


def _competing_score(
    time: Float[ndarray, " known"],
    cause: Int[ndarray, " known"],
    given: Float[ndarray, "known time"],
    days: Float[ndarray, " time"],
) -> dict[str, float]:
    """Return what is judged otherwise where another kind of event can come first."""
    censoring, horizon = censoring_of(time, cause), float(days[-1])
    scores = [
        brier_competing(1.0 - given[:, column], time, cause, float(day), censoring)
        for column, day in enumerate(days)
    ]
    expected = float(np.mean(1.0 - given[:, -1]))
    return {
        "uno_c": _where_known(
            lambda: concordance_competing_weighted(
                _risk(given, days), time, cause, censoring, horizon
            )
        ),
        "auc_at_horizon": _where_known(
            lambda: auc_competing(-given[:, -1], time, cause, horizon, censoring)
        ),
        "integrated_brier": float(np.trapezoid(scores, days) / (days[-1] - days[0])),
        "incidence_gap_at_horizon": expected - float(aalen_johansen(time, cause).at(horizon)),
    }


def _where_known(metric: Callable[[], float]) -> float:
    """Return a metric, NaN where the patients do not allow it: nobody beyond the horizon, say."""
    try:
        return metric()
    except CohortError:
        return float("nan")


def at_days(
    survival: Float[ndarray, "patient time"],
    grid_days: Float[ndarray, " time"],
    asked: Float[ndarray, " patient"],
) -> Float[ndarray, " patient"]:
    """Return each patient's predicted survival at a day of their own, linear between grid days.

    Survival is 1 on day 0; no day may lie after the grid.

    Examples
    --------
    >>> at_days(np.array([[0.8, 0.4]]), np.array([10.0, 20.0]), np.array([15.0])).round(3).tolist()
    [0.6]
    """
    days = np.append(0.0, grid_days)
    curves = np.column_stack([np.ones(len(survival)), survival])
    right = np.clip(np.searchsorted(days, asked), 1, len(days) - 1)
    share = (asked - days[right - 1]) / (days[right] - days[right - 1])
    rows = np.arange(len(survival))
    return (1.0 - share) * curves[rows, right - 1] + share * curves[rows, right]
