"""The metrics of one kind of outcome, the same for a twin and for its baselines."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.evaluate.concordance import concordance
from omics_twin.evaluate.design import Outcome
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
from omics_twin.intake.declaration import OutcomeKind

HEADLINE = {
    OutcomeKind.BINARY: "auc",
    OutcomeKind.TIME_TO_EVENT: "c_index",
    OutcomeKind.CONTINUOUS: "r2",
}
HIGHER_IS_BETTER = {
    "auc": True,
    "brier": False,
    "ece": False,
    "log_loss": False,
    "c_index": True,
    "integrated_brier": False,
    "rmse": False,
    "r2": True,
    "spearman": True,
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


def score(outcome: Outcome, predicted: Float[ndarray, "patient *time"]) -> dict[str, float]:
    """Return the metrics over the patients with a known outcome and a prediction.

    Parameters
    ----------
    predicted
        Probability, value, or survival at ``outcome.grid_days``.
    """
    known = np.isfinite(outcome.values) & np.isfinite(predicted).reshape(len(predicted), -1).all(1)
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
    if outcome.event is None or outcome.grid_days is None:
        raise TypeError("a time-to-event outcome has events and a grid")
    event, days = outcome.event[known], outcome.grid_days
    # Restricted mean survival over the grid orders patients when curves cross.
    restricted_mean = np.trapezoid(given, days, axis=1)
    return {
        "c_index": concordance(-restricted_mean, truth, event),
        "integrated_brier": integrated_brier(
            given, days, truth, event, censoring_survival(truth, event)
        ),
    }
