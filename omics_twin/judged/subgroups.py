"""Is a group of patients served worse than others? Every measure of a run by group."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.evaluate import influence
from omics_twin.evaluate.attributes import AGE, ages_of, attributes_of, bands_of
from omics_twin.evaluate.fairness import (
    EVERYONE,
    Measure,
    coverage_by_group,
    enough,
    shown_gaps,
    subgroup_rows,
)
from omics_twin.evaluate.fairness_plot import subgroup_figure
from omics_twin.evaluate.influence import Estimate, averaged
from omics_twin.evaluate.survival import censoring_survival
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.groups import FOLD
from omics_twin.judged.following import RECEIVED, TWIN, Judgement, plain_name
from omics_twin.judged.interval_coverage import Inside
from omics_twin.training.tasks import Task

COVERAGE = ("coverage_expected", "coverage_benefit")
# Groups are not told from the order of enrolment, nor from the folds.
_NO_GROUPS = (FOLD, "enrolled")

_Row = Int[ndarray, " row"]


def judged(
    task: Task,
    received: Float[ndarray, "repeat patient *time"],
    config: Config,
    found: Judgement | None,
    inside: Inside | None,
) -> dict[str, Any]:
    """Return the measures of every group and what they come to.

    Parameters
    ----------
    received
        Held-out predictions of the twin under the therapy received.
    found
        The value of following the ranking; None where it was not judged.
    inside
        Whose intervals hold the truth on the simulated copy; None where none was made.

    Returns
    -------
    dict
        ``subgroups``: see :func:`omics_twin.evaluate.fairness.subgroup_rows`; ``fairness``: how
        many gaps were tested, those that were shown, and how far coverage is from what was
        promised in the groups that were tested.
    """
    measures = [
        *_predicted(task, received),
        *(_followed(task, found) if found is not None else []),
        *(_covered(task, inside) if inside is not None else []),
    ]
    attributes, edges = groups_in(task, config)
    return compared(
        attributes, edges, measures, config, {each: config.twin.interval for each in COVERAGE}
    )


def compared(
    attributes: Mapping[str, Sequence[str | None]],
    edges: Sequence[float],
    measures: Sequence[Measure],
    config: Config,
    promised: Mapping[str, float],
) -> dict[str, Any]:
    """Return every measure of every group and what they come to, see :func:`judged`.

    Parameters
    ----------
    edges
        Of the bands of age [year].
    promised
        Which measures are coverage, and what was promised of each.
    """
    asked = config.fairness
    rows = subgroup_rows(
        attributes, measures, least_shown=asked.least_shown, least_tested=asked.least_tested
    )
    return {
        "subgroups": rows,
        "fairness": {
            "least_shown": asked.least_shown,
            "least_tested": asked.least_tested,
            "age_edges": list(edges),
            "tests": sum(len(row["gaps"]) for row in rows),
            "correction": "Benjamini-Hochberg",
            "shown": shown_gaps(rows),
            "coverage": coverage_by_group(rows, promised, asked.least_tested),
        },
    }


def groups_in(
    task: Task, config: Config
) -> tuple[dict[str, Sequence[str | None]], tuple[float, ...]]:
    """Return the group of each patient by attribute, and the edges of the bands of age.

    Declared groups come in the spelling that a measured category gives them; then the columns of
    the strata, and what is told from the measurements: age, and what was measured.
    """
    values = {name: each.numpy() for name, each in task.matrices.values.items()}
    asked, ages = config.fairness, ages_of(task.design, values)
    edges: tuple[float, ...] = ()
    if ages is not None:
        edges = bands_of(ages, asked.age_edges, asked.least_tested)
    told = attributes_of(task.design, values, config.cohort.group_columns, edges)
    found: dict[str, Sequence[str | None]] = {}
    for name, groups in declared_in(task.cohort).items():
        found[name] = told.pop(name, groups)
    vary = [name for name in told if name.startswith("measured_") and len(set(told[name])) > 1]
    if len(vary) < 2:
        # With one modality in question, how many were measured says the same once more.
        told.pop("modalities_measured", None)
    return {**({AGE: told.pop(AGE)} if AGE in told else {}), **found, **told}, edges


def declared_in(cohort: Cohort) -> dict[str, Sequence[str | None]]:
    """Return the group of each patient by what the cohort declares: roles, then strata."""
    found: dict[str, Sequence[str | None]] = {}
    for table in (cohort.groups, cohort.strata):
        for name in table:
            if name not in _NO_GROUPS and name not in found:
                text = table[name].astype(object)
                found[str(name)] = text.where(text.notna(), None).tolist()
    return found


def _predicted(task: Task, received: Float[ndarray, "repeat patient *time"]) -> list[Measure]:
    """Return discrimination and calibration of the held-out predictions."""
    outcome = task.outcome
    said = np.isfinite(received).reshape(*received.shape[:2], -1).all(axis=(0, 2))
    known = said & np.isfinite(outcome.values)
    given, truth = received.astype(np.float64), outcome.values

    def measure(name: str, one: Callable[[ndarray, _Row], Estimate]) -> Measure:
        return Measure(
            name, known, lambda rows: averaged([one(each[rows], rows) for each in given])
        )

    if outcome.kind is OutcomeKind.TIME_TO_EVENT:
        return _survival(task, known, measure)
    gap = measure("observed_less_predicted", lambda p, rows: influence.mean_of(truth[rows] - p))
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return [measure("rmse", lambda p, rows: influence.rmse_of(p, truth[rows])), gap]

    def auc(predicted: ndarray, rows: _Row) -> Estimate:
        enough(truth[rows] == 1.0)
        return influence.auc_of(predicted, truth[rows])

    def slope(predicted: ndarray, rows: _Row) -> Estimate:
        enough(truth[rows] == 1.0)
        return influence.slope_of(predicted, truth[rows])

    return [measure("auc", auc), gap, measure("calibration_slope", slope)]


def _survival(
    task: Task, known: ndarray, measure: Callable[[str, Callable[..., Estimate]], Measure]
) -> list[Measure]:
    """Return Uno's c and observed less predicted survival, both at the horizon."""
    event, days = task.outcome.followed
    time, ended, horizon = task.outcome.values, event.astype(np.float64), float(days[-1])
    censoring = censoring_survival(time[known], ended[known])

    def uno_c(curves: ndarray, rows: _Row) -> Estimate:
        enough((ended[rows] == 1.0) & (time[rows] < horizon))
        risk = -np.trapezoid(curves, days, axis=1)
        return influence.uno_c_of(risk, time[rows], ended[rows], censoring, horizon)

    def gap(curves: ndarray, rows: _Row) -> Estimate:
        return influence.survival_gap_of(curves[:, -1], time[rows], ended[rows], horizon)

    return [measure("uno_c", uno_c), measure("observed_less_predicted", gap)]


def _followed(task: Task, found: Judgement) -> list[Measure]:
    """Return the value of following the ranking, and its gain over what was received."""
    sign = 1.0 if task.endpoint.higher_is_better else -1.0
    value, gain = (np.full(len(task.arms), np.nan) for _ in range(2))
    value[found.judged] = sign * found.followed[TWIN]
    gain[found.judged] = found.followed[TWIN] - found.followed[RECEIVED]
    return [
        Measure("policy_value", found.judged, lambda rows: influence.mean_of(value[rows])),
        Measure("policy_gain", found.judged, lambda rows: influence.mean_of(gain[rows])),
    ]


def _covered(task: Task, inside: Inside) -> list[Measure]:
    """Return how often the intervals hold the truth of the simulated copy.

    The truth of patients who are held out together is one member's, so they are one cluster.
    """
    folds = np.asarray(task.held_out[0], dtype=np.int64)
    return [
        Measure(name, np.isfinite(each).any(axis=1), partial(_share, each, folds))
        for name, each in zip(COVERAGE, (inside.expected, inside.benefit), strict=True)
        if np.isfinite(each).any()
    ]


def _share(inside: ndarray, folds: ndarray, rows: _Row) -> Estimate:
    return influence.share_inside(inside[rows], folds[rows])


def draw(found: Mapping[str, Any], folder: Path) -> None:
    """Write every measure of every group as a figure."""
    subgroup_figure(found["subgroups"], found["fairness"]).savefig(
        folder / "subgroups.png", dpi=150
    )


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return what a tracker keeps, by dotted name: every measure of every group that is shown.

    Examples
    --------
    >>> cell = {"value": 0.8, "lower": 0.7, "upper": 0.9}
    >>> row = {"attribute": "race", "group": "a b", "measures": {"auc": cell}, "gaps": {}}
    >>> numbers_of({"subgroups": [row]})["subgroups.race.a_b.auc"]
    0.8
    """
    numbers: dict[str, float] = {}
    for row in found.get("subgroups") or []:
        name = f"subgroups.{plain_name(row['attribute'])}.{plain_name(row['group'])}"
        numbers |= {f"{name}.{key}": cell["value"] for key, cell in row["measures"].items()}
        if row["attribute"] != EVERYONE:
            numbers |= {
                f"{name}.{key}.adjusted_p": gap["adjusted_p"] for key, gap in row["gaps"].items()
            }
    told = found.get("fairness") or {}
    if told:
        numbers["fairness.tests"] = float(told["tests"])
        numbers["fairness.shown"] = float(len(told["shown"]))
        for name, cover in told["coverage"].items():
            numbers[f"fairness.{name}.furthest"] = cover["furthest"]
            numbers[f"fairness.{name}.beyond"] = float(len(cover["beyond"]))
    return numbers
