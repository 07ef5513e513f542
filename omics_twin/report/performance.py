"""Held-out performance as a table beside its baselines, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omics_twin.evaluate.score import HIGHER_IS_BETTER
from omics_twin.report.console import better_baseline
from omics_twin.report.policy import policy_sentence
from omics_twin.report.words import METRIC_NAMES, counted, mean_and_spread, name_in_words, visible
from omics_twin.tracking import TrainedModel

_MODEL = "this twin"


@dataclass(frozen=True)
class Performance:
    """Held-out performance as a table.

    Attributes
    ----------
    metrics
        Names with their direction.
    rows
        Name of a learner and its numbers.
    """

    caption: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    verdict: str


def performance_of(model: TrainedModel) -> Performance | None:
    """Return the held-out performance beside its baselines; None where it is not recorded."""
    found: Mapping[str, Any] | None = model.provenance.get("performance")
    if not found:
        return None
    rows = {_MODEL: found["model"], **found["baselines"]}
    names = list(dict.fromkeys(metric for each in rows.values() for metric in each))
    patients = counted(int(found["n"]), "patient")
    spread = ""
    if "repeats" in found:
        folds, repeats = counted(found["folds"], "fold"), counted(found["repeats"], "repeat")
        spread = f", each held out in one of {folds}; mean ± standard deviation over {repeats}"
    return Performance(
        caption=f"Held-out performance in {patients} of the training cohort{spread}",
        metrics=tuple(_metric_name(name) for name in names),
        rows=tuple(
            (_learner(row), tuple(mean_and_spread(each.get(name)) for name in names))
            for row, each in rows.items()
        ),
        verdict=" ".join(filter(None, [_verdict(rows), policy_sentence(found.get("policy"))])),
    )


def _learner(name: str) -> str:
    return "This twin" if name == _MODEL else f"Baseline: {visible(name_in_words(name))}"


def _metric_name(name: str) -> str:
    direction = {True: ", higher is better", False: ", lower is better", None: ""}
    return METRIC_NAMES.get(name, visible(name)) + direction[HIGHER_IS_BETTER.get(name)]


def _verdict(rows: Mapping[str, Mapping[str, Any]]) -> str:
    if len(rows) < 2:
        return "No baseline was compared."
    better = better_baseline(rows)
    if better is None:
        return "No baseline was better on the first measure. This says nothing of the ranking."
    headline, name, theirs, own = better
    return (
        f"A simple baseline, {visible(name_in_words(name))}, predicts better than this twin on "
        f"{headline.replace('_', '-').upper()}: {theirs:.3f} against {own:.3f}."
    )
