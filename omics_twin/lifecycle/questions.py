"""The questions of monitoring, one by one: what was found of each, and how likely by chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from omics_twin.errors import CohortError
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.drift import (
    adjusted,
    means_differ,
    more_unusual,
    one_sided,
    shares_differ,
    shift,
)
from omics_twin.evaluate.paired import with_interval
from omics_twin.evaluate.score import HEADLINE
from omics_twin.lifecycle.trained_on import expected_of
from omics_twin.lifecycle.validity import UNLIKE, AnyModel
from omics_twin.settings import MonitorSettings
from omics_twin.tracking import TrainedModel
from omics_twin.twin.reference import Binned, Reference
from omics_twin.visits.living import LivingModel

FEATURES, MISSING, UNLIKE_THEM, EXPECTED, CALIBRATION, DISCRIMINATION, COVERAGE = (
    "features",
    "missing",
    "unlike",
    "expected",
    "calibration",
    "discrimination",
    "coverage",
)
_FEWEST_OF_EACH = 10
_NORMAL_95 = 3.92


@dataclass(frozen=True)
class Question:
    """One question and its answer.

    Attributes
    ----------
    p
        Corrected within the question; None where it could not be asked.
    large
        Whether what differs is large enough to matter, beside chance.
    sentence
        What was found, in words.
    numbers
        What a tracker keeps.
    """

    name: str
    p: float | None
    large: bool
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Later:
    """Later patients as a model sees them, and what it says of them.

    Attributes
    ----------
    values
        What was measured, by channel, (patient, feature).
    every_arm, received
        What is expected under each therapy, and under the one received.
    outcome
        What happened; None where the cohort does not hold the outcome.
    residual, inside
        Of who is followed from visit to visit: by how much what came next lay above the middle of
        its forecast, as a share of the forecast, and the share of the forecasts that held; None of
        others, NaN for who had one visit.
    """

    values: Mapping[str, torch.Tensor]
    every_arm: Float[ndarray, "patient arm *time"]
    received: Float[ndarray, " patient *time"]
    outcome: Outcome | None
    residual: Float[ndarray, " patient"] | None = None
    inside: Float[ndarray, " patient"] | None = None

    def at(self, rows: Bool[ndarray, " patient"]) -> Later:
        """Return some of the patients."""
        return Later(
            {name: each[torch.tensor(rows)] for name, each in self.values.items()},
            self.every_arm[rows],
            self.received[rows],
            None if self.outcome is None else self.outcome.at(rows),
            None if self.residual is None else self.residual[rows],
            None if self.inside is None else self.inside[rows],
        )


def _summarised(
    model: AnyModel, reference: Reference
) -> Iterator[tuple[str, tuple[str, ...], Binned]]:
    """Yield the channels of which a summary of the training patients was kept, with features."""
    if isinstance(model, LivingModel):
        named = {model.twin.modality.name: model.features_at_first}
    else:
        channels = model.twin.design.channels
        named = {each.name: tuple(f.name for f in each.features) for each in channels}
    for name, features in named.items():
        if name in reference.channels:
            yield name, features, reference.channels[name]


def of_features(
    model: AnyModel, reference: Reference, later: Later, asked: MonitorSettings
) -> tuple[Question, tuple[dict[str, Any], ...]]:
    """Return whether measurements are spread as they were, and a line for each feature."""
    lines: list[dict[str, Any]] = []
    for channel, features, kept in _summarised(model, reference):
        counts = kept.count(later.values[channel])
        found = shift(kept.counts.numpy(), counts.numpy())
        for place in np.flatnonzero(kept.compared.numpy() & (counts.sum(dim=1).numpy() > 0)):
            lines.append(
                {
                    "channel": channel,
                    "feature": features[place],
                    "distance": float(found.distance[place]),
                    "stability": float(found.stability[place]),
                    "p": float(found.p[place]),
                    "before": kept.counts[place].tolist(),
                    "later": counts[place].tolist(),
                }
            )
    if not lines:
        return Question(FEATURES, None, False, "No feature could be compared."), ()
    corrected = adjusted([each["p"] for each in lines])
    for line, each in zip(lines, corrected, strict=True):
        line["adjusted_p"] = float(each)
    lines.sort(key=lambda line: (line["adjusted_p"], -line["stability"]))
    far = [each for each in lines if each["stability"] >= asked.least_stability]
    worst = min((each["adjusted_p"] for each in far), default=1.0)
    moved = [each for each in far if each["adjusted_p"] <= asked.level]
    told = ", ".join(f"{each['feature']} ({each['channel']})" for each in moved[:5])
    sentence = f"{len(moved)} of {len(lines)} features shifted" + (f": {told}." if told else ".")
    numbers = {"compared": float(len(lines)), "shifted": float(len(moved))}
    return Question(FEATURES, worst, bool(far), sentence, numbers), tuple(lines)


def of_missing(
    model: AnyModel, reference: Reference, later: Later, asked: MonitorSettings
) -> tuple[Question, tuple[dict[str, Any], ...]]:
    """Return whether as much is missing as was, and a line for each channel."""
    lines: list[dict[str, Any]] = []
    for channel, features, kept in _summarised(model, reference):
        known = torch.isfinite(later.values[channel])
        before, size = (float(each) for each in kept.measured)
        seen = known.any(dim=1)
        lines.append(_share(channel, "", before, size, float(seen.sum()), len(known)))
        own = kept.counts.sum(dim=1)
        for place in range(known.shape[1]):
            now = float(known[:, place].sum())
            # Only what differs visibly within the patients measured is worth a line of its own.
            gap = abs(float(own[place]) / max(before, 1.0) - now / max(float(seen.sum()), 1.0))
            if float(seen.sum()) and gap >= asked.least_missing:
                lines.append(
                    _share(
                        channel, features[place], float(own[place]), before, now, float(seen.sum())
                    )
                )
    rows = [[each[key] for each in lines] for key in ("had", "of", "has", "of_later")]
    tests = len(lines) + sum(len(features) for _, features, _ in _summarised(model, reference))
    found = shares_differ(*rows)
    # Features that were not tested count as tests whose answer was 1.
    corrected = adjusted([*found, *np.ones(tests - len(lines))])[: len(lines)]
    for line, each in zip(lines, corrected, strict=True):
        line["adjusted_p"] = float(each)
    far = [each for each in lines if abs(each["change"]) >= asked.least_missing]
    worst = min((each["adjusted_p"] for each in far), default=1.0)
    moved = [each for each in far if each["adjusted_p"] <= asked.level]
    told = ", ".join(
        f"{each['feature'] or each['channel']} ({each['change']:+.0%})" for each in moved[:5]
    )
    sentence = f"Measured in another share of patients: {told or 'nothing'}."
    numbers = {"changed": float(len(moved))}
    kept_lines = [each for each in lines if not each["feature"]] + moved
    unique = {(e["channel"], e["feature"]): e for e in kept_lines}
    return Question(MISSING, worst, bool(far), sentence, numbers), tuple(unique.values())


def _share(
    channel: str, feature: str, had: float, of: float, has: float, of_later: float
) -> dict[str, Any]:
    before, now = had / max(of, 1.0), has / max(of_later, 1.0)
    return {
        "channel": channel,
        "feature": feature,
        "had": int(had),
        "of": int(of),
        "has": int(has),
        "of_later": int(of_later),
        "before": before,
        "later": now,
        "change": now - before,
    }


def of_unlike(model: AnyModel, later: Later) -> Question:
    """Return whether more patients are outside the domain of validity than should be."""
    if model.likeness is None:
        return Question(UNLIKE_THEM, None, False, "The domain of validity is not known.")
    score = model.likeness.unusual(later.values)
    known = score[torch.isfinite(score)]
    if not len(known):
        return Question(UNLIKE_THEM, None, False, "Nothing was measured that is compared.")
    shares = model.likeness.shares(score)[torch.isfinite(score)]
    outside = float((shares <= UNLIKE).double().mean())
    p = more_unusual(model.likeness.calibration.numpy(), known.numpy())
    sentence = (
        f"{outside:.1%} of the patients are outside the domain ({UNLIKE:.0%} is expected); the "
        f"middle one is as unusual as the training patient whom {float(shares.median()):.0%} "
        "exceed (50% is expected)."
    )
    return Question(UNLIKE_THEM, p, True, sentence, {"share": outside})


def of_expected(
    reference: Binned, later: Later, asked: MonitorSettings
) -> tuple[Question, dict[str, list[float]]]:
    """Return whether as much is expected of the patients, and their numbers by bin of it."""
    expected = torch.tensor(expected_of(later.every_arm))[:, None]
    counts = reference.count(expected)
    bins = {
        "edges": [float(each) for each in reference.edges[0] if np.isfinite(float(each))],
        "before": reference.counts[0].tolist(),
        "later": [float(each) for each in counts[0]],
    }
    if not bool(reference.compared.all()):
        return Question(EXPECTED, None, False, "What is predicted cannot be compared."), bins
    found = shift(reference.counts.numpy(), counts.numpy())
    large = float(found.stability[0]) >= asked.least_stability
    over = ", mean over the therapies," if later.every_arm.shape[1] > 1 else ""
    sentence = (
        f"What is predicted{over} "
        f"{'moved' if large else 'did not move much'} (stability index "
        f"{float(found.stability[0]):.2f})."
    )
    numbers = {"stability": float(found.stability[0]), "distance": float(found.distance[0])}
    return Question(EXPECTED, float(found.p[0]), large, sentence, numbers), bins


def of_calibration(
    reference: Reference,
    residual: Float[ndarray, " patient"],
    asked: MonitorSettings,
    what: str = "what happened less what was expected",
) -> Question:
    """Return whether what happened lies about what was expected as it did in training."""
    known = residual[np.isfinite(residual)]
    n, mean, spread = (float(each) for each in reference.residual)
    if len(known) < asked.fewest or n < asked.fewest or not spread > 0:
        return Question(CALIBRATION, None, False, "Too few outcomes to judge calibration.")
    change = float(known.mean()) - mean
    sentence = (
        f"{what.capitalize()}: {known.mean():+.3f} on average, {mean:+.3f} in training, over "
        f"{len(known)} patients."
    )
    numbers = {"residual": float(known.mean()), "residual_in_training": mean}
    large = abs(change) >= asked.least_bias * spread
    return Question(CALIBRATION, means_differ(mean, spread, n, known), large, sentence, numbers)


def of_coverage(
    reference: Reference, inside: Float[ndarray, " patient"] | None, asked: MonitorSettings
) -> Question:
    """Return whether as many intervals held what came next as did in training."""
    if inside is None or reference.inside is None:
        return Question(COVERAGE, None, False, "How often intervals held is not known.")
    known = inside[np.isfinite(inside)]
    n, mean, spread = (float(each) for each in reference.inside)
    # Where all intervals held there is no spread to test with.
    if len(known) < asked.fewest or n < asked.fewest or not spread + known.std() > 0:
        return Question(COVERAGE, None, False, "Too few next visits to judge intervals.")
    sentence = (
        f"Intervals of 90 % held {known.mean():.3f} of the next visits, {mean:.3f} in training, "
        f"over {len(known)} patients."
    )
    large = abs(float(known.mean()) - mean) >= asked.least_coverage
    p = means_differ(mean, spread, n, known)
    return Question(COVERAGE, p, large, sentence, {"share": float(known.mean())})


def of_discrimination(model: TrainedModel, outcome: Outcome, later: Later) -> Question:
    """Return whether patients are told apart as well as the model's card says."""
    name = HEADLINE[outcome.kind]
    performance = model.provenance.get("performance") or {}
    stated = ((performance.get("intervals") or {}).get("model") or {}).get(name)
    said = np.isfinite(later.received).reshape(len(later.received), -1).all(axis=1)
    known = np.isfinite(outcome.values) & said
    if stated is None or not _enough(outcome, known):
        return Question(
            DISCRIMINATION, None, False, "Too few outcomes to judge how patients are told apart."
        )
    try:
        found = with_interval(outcome, later.received[None], resamples=300)[name]
    except CohortError:
        return Question(DISCRIMINATION, None, False, "Outcomes hardly differ.")
    error = np.hypot(found.upper - found.lower, stated["upper"] - stated["lower"]) / _NORMAL_95
    difference = found.mean - stated["mean"]
    sentence = (
        f"{name} {found.mean:.3f} ({found.lower:.3f} to {found.upper:.3f}); the card says "
        f"{stated['mean']:.3f} ({stated['lower']:.3f} to {stated['upper']:.3f})."
    )
    numbers = {name: found.mean, f"{name}_stated": float(stated["mean"])}
    return Question(
        DISCRIMINATION, one_sided(difference, float(error)), difference < 0, sentence, numbers
    )


def _enough(outcome: Outcome, known: ndarray) -> bool:
    values = outcome.values[known]
    if outcome.event is not None:
        return bool(np.asarray(outcome.event)[known].sum() >= _FEWEST_OF_EACH)
    if HEADLINE[outcome.kind] == "auc":
        return min(int((values == 1).sum()), int((values == 0).sum())) >= _FEWEST_OF_EACH
    return len(values) >= 2 * _FEWEST_OF_EACH


def by_fifth(
    outcome: Outcome, received: Float[ndarray, " patient *time"]
) -> tuple[dict[str, float], ...]:
    """Return expected and observed means of fifths of the patients, in order of what is expected.

    For times to event nothing is told: who was censored has no observed value.
    """
    if outcome.grid_days is not None:
        return ()
    known = np.flatnonzero(np.isfinite(outcome.values) & np.isfinite(received))
    if len(known) < 10 * _FEWEST_OF_EACH // 2:
        return ()
    parts = np.array_split(known[np.argsort(received[known], kind="stable")], 5)
    return tuple(
        {
            "patients": float(len(rows)),
            "expected": float(received[rows].mean()),
            "observed": float(outcome.values[rows].mean()),
        }
        for rows in parts
    )
