"""Whom nothing is recommended to, and whether chances of response hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.answers.beliefs import strata_keys
from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability_slope
from omics_twin.evaluate.conformal import group_rates, venn_abers_by_group
from omics_twin.evaluate.score import calibration_bins
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.judged.held_answers import Answers, Held
from omics_twin.training.tasks import Task

CONFIDENCES = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0)


def abstention_of(
    held: Held, answers: Answers, confidence: float, truth: ndarray | None
) -> dict[str, Any]:
    """Return how many get no recommendation and, where it is known, what the others gain.

    Returns
    -------
    dict
        ``curve`` has, for several confidences, the share of patients to whom an arm is recommended
        and the true mean outcome if they got it and the others the arm usual in their stratum.
    """
    row = np.arange(len(held.opened))
    known = np.isfinite(answers.belief)
    first, usual = (np.nan_to_num(each).astype(int) for each in (answers.first, answers.usual))
    thin = held.support[row, first] < held.task.catalogue.thin_support

    def unsure(least: float) -> ndarray:
        return np.asarray((first != usual) & (answers.belief < least))

    curve = []
    for least in CONFIDENCES:
        follow = ~thin & ~unsure(least)
        told: dict[str, float] = {"confidence": least, "recommended": float(follow[known].mean())}
        if truth is not None:
            chosen = truth[row, np.where(follow, first, usual)]
            told["truth"] = float(chosen[known].mean())
        curve.append(told)
    return {
        "confidence": confidence,
        "thin": float(thin[known].mean()),
        "unsure": float((~thin & unsure(confidence))[known].mean()),
        "recommended": float((~thin & ~unsure(confidence))[known].mean()),
        "curve": curve,
    }


def response_of(
    task: Task, received: Float[ndarray, "repeat patient *time"]
) -> dict[str, Any] | None:
    """Return held-out chances of response with Venn-Abers intervals; None for other outcomes."""
    if task.outcome.kind is not OutcomeKind.BINARY:
        return None
    rows = np.isfinite(received[0])
    strata = np.array(strata_keys(tuple(task.cohort.strata.columns), task.cohort))[rows].tolist()
    outcome, given = task.outcome.values[rows], received[0][rows].astype(np.float64)
    found = venn_abers_by_group(given, outcome, task.held_out[0][rows], strata)
    by_stratum = group_rates(found, outcome, strata)
    bins = calibration_bins(len(outcome))
    return {
        "patients": len(outcome),
        "width": float((found.upper - found.lower).mean()),
        "covered": float(np.mean([each["covered"] for each in by_stratum.values()])),
        "slope": _slope(given, outcome, bins),
        "slope_calibrated": _slope(found.probability, outcome, bins),
        "by_stratum": by_stratum,
    }


def _slope(probability: ndarray, outcome: ndarray, bins: int) -> float | None:
    try:
        return reliability_slope(probability, outcome, bins)
    except CohortError:
        return None
