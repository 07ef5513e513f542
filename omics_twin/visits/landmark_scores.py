"""Scores of what was foreseen from landmarks and one visit ahead, of all and of each group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate.concordance import concordance
from omics_twin.evaluate.fairness import Measure, enough
from omics_twin.evaluate.forecast import coverage, crps, held
from omics_twin.evaluate.forecast_plots import landmark_figure
from omics_twin.evaluate.influence import (
    Estimate,
    averaged,
    joined,
    mean_of,
    share_inside,
    survival_gap_of,
    uno_c_of,
)
from omics_twin.evaluate.metrics import brier, log_loss
from omics_twin.evaluate.survival import StepFunction, brier_at, brier_errors, censoring_survival
from omics_twin.visits.landmarks import Foreseen, NextValues
from omics_twin.visits.learning import Array, Followed
from omics_twin.visits.progression import in_cells


def judged(
    found: Sequence[Foreseen],
    ahead: Mapping[str, NextValues],
    followed: Followed,
    held_out: Array,
    config: Config,
) -> dict[str, Any]:
    """Return the scores of what was foreseen from each landmark on, and of the next visit."""
    asked = config.dynamics
    by_landmark: dict[str, dict[str, Any]] = {}
    for landmark in found:
        scored = {
            name: _scored(each, landmark.ahead, asked.horizon_days)
            for name, each in landmark.free.items()
        }
        by_landmark[f"day {landmark.day:g}"] = {
            "n": len(landmark.rows),
            "events": landmark.events(asked.horizon_days),
            "model": scored.pop("omics_twin"),
            "baselines": scored,
        }
    return {
        "endpoint": (
            f"'{followed.outcome}' {asked.horizon_days:g} days after a landmark, mean of landmarks"
        ),
        "n": len(followed.rows),
        "folds": int(held_out.max()) + 1,
        "repeats": len(held_out),
        "model": _mean([each["model"] for each in by_landmark.values()]),
        "baselines": {
            name: _mean([each["baselines"][name] for each in by_landmark.values()])
            for name in next(iter(by_landmark.values()))["baselines"]
        },
        "by_landmark": by_landmark,
        "next_visit": _next_scores(ahead),
    }


def measures_by_learner(
    found: Sequence[Foreseen],
    ahead: Mapping[str, NextValues],
    patients: int,
    horizon_days: float,
) -> dict[str, list[Measure]]:
    """Return what can be asked of every group: mean over the landmarks, and of the next visit."""
    told = {name: _event_measures(found, name, patients, horizon_days) for name in found[0].free}
    numbers = [each for each in ahead.values() if not each.binary]
    if numbers:
        cells = np.concatenate(
            [
                in_cells(each.patient, held(each.draws, each.found).astype(float), patients)
                for each in numbers
            ],
            axis=1,
        )
        known = np.isfinite(cells).any(axis=1)
        name = "next_interval_90_holds"
        told["omics_twin"].append(Measure(name, known, lambda rows: share_inside(cells[rows])))
    return told


def _event_measures(
    found: Sequence[Foreseen], learner: str, patients: int, horizon_days: float
) -> list[Measure]:
    """Return discrimination, squared error and calibration at the horizon, mean of landmarks."""
    known = np.zeros(patients, dtype=bool)
    known[np.concatenate([each.rows for each in found])] = True
    censoring = [censoring_survival(*each.ahead.T) for each in found]

    def measure(name: str, one: Callable[..., Estimate]) -> Measure:
        def over(rows: Array) -> Estimate:
            parts, places = [], []
            for landmark, left in zip(found, censoring, strict=True):
                own = np.flatnonzero(np.isin(landmark.rows, rows))
                if not len(own):
                    raise CohortError(f"nobody of them is followed beyond day {landmark.day:g}")
                time, event = landmark.ahead[own].T
                some = (one(free[own], time, event, left) for free in landmark.free[learner])
                parts.append(averaged(list(some)))
                places.append(np.searchsorted(rows, landmark.rows[own]))
            return joined(parts, places, len(rows))

        return Measure(name, known, over)

    def uno_c(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        enough((event == 1.0) & (time < horizon_days))
        return uno_c_of(1.0 - free, time, event, left, horizon_days)

    def brier(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        return mean_of(brier_errors(free, time, event, horizon_days, left))

    def gap(free: Array, time: Array, event: Array, left: StepFunction) -> Estimate:
        return survival_gap_of(free, time, event, horizon_days)

    return [
        measure("uno_c", uno_c),
        measure("brier", brier),
        measure("observed_less_predicted", gap),
    ]


def _scored(
    free: Float[Array, "repeat patient"], ahead: Float[Array, "patient 2"], horizon_days: float
) -> dict[str, dict[str, float | None]]:
    time, event = ahead[:, 0], ahead[:, 1]
    # What happens beyond the horizon tells nothing of who was right within it.
    within, until = (
        event * (time <= horizon_days),
        np.minimum(time, np.nextafter(horizon_days, np.inf)),
    )
    censoring = censoring_survival(time, event)
    scores = [
        {
            "c_index": concordance(-each, until, within),
            "brier": brier_at(each, time, event, horizon_days, censoring),
        }
        for each in free
    ]
    return {name: _told([each[name] for each in scores]) for name in scores[0]}


def _told(values: list[float]) -> dict[str, float | None]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread}


def _mean(scores: list[dict[str, dict[str, float | None]]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"mean": float(np.mean([each[name]["mean"] for each in scores])), "sd": None}
        for name in scores[0]
    }


def _next_scores(ahead: Mapping[str, NextValues]) -> dict[str, Any]:
    """Return how each measurement was foreseen, beside its last value."""
    return {
        name: {
            "n": len(each.found),
            **(_of_sign if each.binary else _of_number)(each.draws, each.found, each.before),
        }
        for name, each in ahead.items()
    }


def _of_number(draws: Array, truth: Array, before: Array) -> dict[str, float]:
    return {
        "crps": float(crps(draws, truth).mean()),
        "median_error": float(np.abs(np.median(draws, axis=1) - truth).mean()),
        "last_value_error": float(np.abs(before - truth).mean()),
        "interval_90_holds": coverage(draws, truth).share,
    }


def _of_sign(draws: Array, truth: Array, before: Array) -> dict[str, float]:
    """Return scores of a probability, beside how often yes follows the last value in all."""
    probability = draws.mean(axis=1)
    yes = before > 0.5
    shares = [truth[same].mean() if same.any() else 0.5 for same in (~yes, yes)]
    return {
        "brier": brier(probability, truth),
        "last_value_brier": brier(np.where(yes, shares[1], shares[0]), truth),
        "log_loss": log_loss(probability, truth),
        "expected": float(probability.mean()),
        "observed": float(truth.mean()),
    }


def draw(metrics: Mapping[str, Any], run: Path) -> None:
    """Draw how well events are foreseen from each landmark on, beside Cox models."""
    landmark_figure(metrics["by_landmark"]).savefig(run / "landmarks.png", dpi=110)
