"""Do intervals hold the truth, and do probabilities of being best come true? How often each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability_slope
from omics_twin.judged.held_answers import Answers, Held, benefits, sign_of
from omics_twin.twin.calibration import sharpened


@dataclass(frozen=True)
class Inside:
    """Whether each interval holds the truth: 1 or 0, NaN where nothing was said.

    Attributes
    ----------
    expected, benefit
        Of what is expected under each arm, and of the benefit of one arm over another.
    """

    expected: Float[ndarray, "patient arm"]
    benefit: Float[ndarray, "patient pair"]


def inside_of(held: Held, answers: Answers, truth: Float[ndarray, "patient arm"]) -> Inside:
    """Return whether the intervals of each patient hold the truth."""
    true = benefits(truth, sign=sign_of(held))
    return Inside(
        _inside(truth, answers.lower, answers.upper),
        _inside(true, answers.benefit_lower, answers.benefit_upper),
    )


def best_compared(held: Held, answers: Answers, truth: ndarray) -> tuple[ndarray, ndarray]:
    """Return the probabilities of being best, and which arm truly is, of who has a choice."""
    rows = (held.opened.sum(axis=1) > 1) & np.isfinite(truth).all(axis=1)
    rows &= np.isfinite(answers.belief)
    merit = np.where(held.opened[rows], sign_of(held) * truth[rows], -np.inf)
    best = np.arange(truth.shape[1]) == merit.argmax(axis=1)[:, None]
    return np.where(held.opened[rows], answers.best[rows], np.nan), best


def coverage_of(held: Held, answers: Answers, truth: ndarray, power: float) -> dict[str, Any]:
    """Return how often intervals hold the truth, and whether probabilities of being best do.

    Parameters
    ----------
    truth
        Endpoint under each arm.
    power
        Exponent on the probabilities of being best.
    """
    holds = inside_of(held, answers, truth)
    inside = {"expected": holds.expected, "benefit": holds.benefit}
    found: dict[str, Any] = {
        name: {
            "coverage": _mean(each),
            "width": _mean(upper - lower),
            "by_stratum": {
                stratum: _mean(each[np.array(held.strata) == stratum])
                for stratum in sorted(set(held.strata))
            },
        }
        for (name, each), lower, upper in zip(
            inside.items(),
            (answers.lower, answers.benefit_lower),
            (answers.upper, answers.benefit_upper),
            strict=True,
        )
    }
    return found | {"probability_best": _reliability(held, answers, truth, power)}


def _inside(truth: ndarray, lower: ndarray, upper: ndarray) -> Float[ndarray, "patient each"]:
    known = np.isfinite(truth) & np.isfinite(lower)
    return np.where(known, (lower <= truth) & (truth <= upper), np.nan)


def _mean(values: ndarray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def _reliability(held: Held, answers: Answers, truth: ndarray, power: float) -> dict[str, Any]:
    """Return the reliability of the probabilities of being best, of all open arms together."""
    probability, best = best_compared(held, answers, truth)
    asked = np.isfinite(probability)
    shown = np.clip(sharpened(torch.tensor(probability), power).numpy()[asked], 0.0, 1.0)
    try:
        slope: float | None = reliability_slope(shown, best[asked].astype(float))
    except CohortError:
        slope = None
    first = np.nanargmax(probability, axis=1) if len(probability) else np.zeros(0, dtype=int)
    return {
        "patients": len(probability),
        "slope": slope,
        "largest": float(np.nanmax(sharpened(torch.tensor(probability), power), axis=1).mean())
        if len(probability)
        else None,
        "largest_is_best": float(best[np.arange(len(first)), first].mean()) if len(first) else None,
    }
