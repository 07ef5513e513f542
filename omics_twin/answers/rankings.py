"""A cohort's therapies ranked by a trained model, and a ranking's lines for a file."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from omics_twin.answers.beliefs import Belief, beliefs, strata_keys
from omics_twin.cohort.cohort import Cohort
from omics_twin.files import write_csv, write_whole
from omics_twin.lifecycle.validity import governed, unlike_them
from omics_twin.report.console import Console
from omics_twin.settings import TwinSettings
from omics_twin.therapy.rank import order, rank_therapies
from omics_twin.tracking import TrainedModel
from omics_twin.types import Ranking, TwinState

RANKING_COLUMNS = (
    "patient_id",
    "rank",
    "intervention",
    "expected",
    "lower",
    "upper",
    "probability_best",
    "support",
    "eligible",
    "reason",
    "recommended",
    "abstention",
    "likeness",
    "unlike",
)


def ranking_of(
    model: TrainedModel, cohort: Cohort, belief: Belief, settings: TwinSettings
) -> Ranking:
    """Return the catalogue's therapies compared for the patients of a belief."""
    keys = strata_keys(model.support.columns, cohort)
    found = ranking_in(model, belief.state, [keys[row] for row in belief.rows], settings)
    return governed(model, found, belief.likeness) if belief.likeness else found


def ranking_in(
    model: TrainedModel,
    state: TwinState,
    strata: Sequence[str],
    settings: TwinSettings,
    among: Collection[str] = (),
) -> Ranking:
    """Return the catalogue's therapies compared for patients of known strata.

    Parameters
    ----------
    among
        Arms to compare; none: all.
    """
    eligible, support, reasons = model.support.judge(model.catalogue, strata)
    if among:
        eligible = eligible & torch.tensor([arm in among for arm in model.catalogue.arms])
    return rank_therapies(
        model.twin,
        state,
        model.catalogue.interventions(),
        model.endpoint,
        eligible=eligible,
        support=support,
        reasons=reasons,
        interval=settings.interval,
        thin_support=model.catalogue.thin_support,
        confidence=settings.confidence,
        power=model.calibration.power,
        arms=model.calibration.arms_of(strata)[:, None],
    )


def cohort_lines(
    model: TrainedModel,
    cohort: Cohort,
    settings: TwinSettings,
    console: Console,
    *,
    excluded: bool,
    as_of_days: float = 0.0,
) -> list[dict[str, Any]]:
    """Return the lines of every patient's ranking, see :func:`ranking_lines`."""
    lines: dict[int, list[dict[str, Any]]] = {}
    for belief in beliefs(model, cohort, settings, console, as_of_days=as_of_days):
        ranking = ranking_of(model, cohort, belief, settings)
        for patient, row in enumerate(belief.rows):
            lines[row] = ranking_lines(ranking, patient, excluded=excluded)
    return [line for row in sorted(lines) for line in lines[row]]


def write_ranking(
    model: TrainedModel, lines: list[dict[str, Any]], settings: TwinSettings, output: Path
) -> None:
    """Write a ranking as CSV or JSON, by the output's ending."""
    if output.suffix == ".json":
        content = {
            "endpoint": model.endpoint.name,
            "title": model.title,
            "higher_is_better": model.endpoint.higher_is_better,
            "interval": settings.interval,
            "confidence": settings.confidence,
            "ranking": lines,
        }
        write_whole(output, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
        return
    write_csv(output, RANKING_COLUMNS, [[line[c] for c in RANKING_COLUMNS] for line in lines])


def ranking_lines(ranking: Ranking, patient: int, *, excluded: bool) -> list[dict[str, Any]]:
    """Return a patient's lines: what is open, best first; then, if asked, what is not and why.

    A patient to whom nothing is open always gets the reasons: nobody leaves in silence.
    """
    best_first = order(ranking, patient)
    chosen = list(enumerate(best_first, start=1))
    if excluded or not best_first:
        closed = set(range(len(ranking.interventions))) - set(best_first)
        chosen += [(0, option) for option in sorted(closed)]
    return [_ranking_line(ranking, patient, option, place) for place, option in chosen]


def _ranking_line(ranking: Ranking, patient: int, option: int, place: int) -> dict[str, Any]:
    numbers = (ranking.expected, ranking.lower, ranking.upper, ranking.probability_best)
    expected, lower, upper, best = (float(each[patient, option]) for each in numbers)
    opened = place > 0
    share = ranking.likeness[patient] if ranking.likeness else None
    return {
        "patient_id": ranking.patient_ids[patient],
        "rank": place if opened else None,
        "intervention": ranking.interventions[option],
        "expected": expected if opened else None,
        "lower": lower if opened else None,
        "upper": upper if opened else None,
        "probability_best": best if opened else None,
        "support": int(ranking.support[patient, option]),
        "eligible": opened,
        "reason": ranking.reasons[patient][option],
        "recommended": place == 1 and not bool(ranking.abstained[patient]),
        "abstention": ranking.abstention[patient] if place <= 1 else "",
        "likeness": share,
        "unlike": unlike_them(share),
    }
