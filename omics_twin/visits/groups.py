"""Does a twin that learns from visit to visit serve every group? Its measures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.answers.beliefs import received_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config
from omics_twin.errors import CohortError
from omics_twin.evaluate.attributes import AGE, band_of, bands_of
from omics_twin.evaluate.fairness import Measure
from omics_twin.evaluate.influence import Estimate, less
from omics_twin.judged import subgroups

TWIN = "omics_twin"
PROMISED = 0.9
_COVERAGE = ("interval_90_holds", "next_interval_90_holds")
_LOSSES = ("crps", "brier")
_COMPARED = (*_LOSSES, "uno_c")


def judged(
    cohort: Cohort,
    patient_ids: Sequence[str],
    learners: Mapping[str, Sequence[Measure]],
    held_out: Int[ndarray, "*repeat patient"],
    config: Config,
) -> dict[str, Any]:
    """Return each learner's measures with intervals, beside the twin's, and the twin's by group.

    Parameters
    ----------
    patient_ids
        Whom the measures are of, in their order.
    learners
        Of the twin (``omics_twin``) and the baselines, on the same held-out forecasts.
    held_out
        Fold of each patient, -1 for never.

    Returns
    -------
    dict
        ``intervals`` and ``paired`` by learner, ``by_fold`` (the twin's losses), and what
        :func:`omics_twin.judged.subgroups.compared` returns.
    """
    twin = learners[TWIN]
    groups, edges = groups_of(cohort, patient_ids, config)
    promised = dict.fromkeys(_COVERAGE, PROMISED)
    return {
        "intervals": {
            "model" if name == TWIN else name: _with_bounds(measures)
            for name, measures in learners.items()
        },
        "paired": {
            name: _beside(twin, measures) for name, measures in learners.items() if name != TWIN
        },
        "by_fold": by_fold(twin, np.atleast_2d(held_out)[0]),
        **subgroups.compared(groups, edges, twin, config, promised),
    }


def _with_bounds(measures: Sequence[Measure]) -> dict[str, dict[str, float]]:
    found = {}
    for each in measures:
        estimate = _estimate(each, np.flatnonzero(each.known))
        if estimate is not None:
            found[each.name] = _told(estimate)
    return found


def _beside(twin: Sequence[Measure], other: Sequence[Measure]) -> dict[str, dict[str, float]]:
    """Return what the twin's loss and discrimination are, less those of a baseline."""
    found, own = {}, {each.name: each for each in twin}
    for each in other:
        same = own.get(each.name)
        if same is None or not any(name in each.name for name in _COMPARED):
            continue
        rows = np.flatnonzero(each.known & same.known)
        ours, theirs = _estimate(same, rows), _estimate(each, rows)
        if ours is not None and theirs is not None:
            found[each.name] = _told(less(ours, theirs))
    return found


def _estimate(measure: Measure, rows: Int[ndarray, " row"]) -> Estimate | None:
    try:
        estimate = measure.over(rows)
        estimate.interval()
    except CohortError:
        return None
    return estimate


def _told(estimate: Estimate) -> dict[str, float]:
    lower, upper = estimate.interval()
    return {"mean": estimate.value, "lower": lower, "upper": upper}


def by_fold(measures: Sequence[Measure], held_out: Int[ndarray, " patient"]) -> dict[str, Any]:
    """Return each loss over the patients of each fold; empty where one cannot be judged."""
    found = {}
    for each in measures:
        if not any(name in each.name for name in _LOSSES):
            continue
        folds = np.unique(held_out[each.known & (held_out >= 0)])
        try:
            found[each.name] = [
                each.over(np.flatnonzero(each.known & (held_out == fold))).value for fold in folds
            ]
        except CohortError:
            continue
    return found


def groups_of(
    cohort: Cohort, patient_ids: Sequence[str], config: Config
) -> tuple[dict[str, Sequence[str | None]], tuple[float, ...]]:
    """Return the group of each patient by attribute, and the edges of the bands of age.

    Attributes are what the cohort declares, the therapy received, and age where it is measured.
    """
    place = {patient: row for row, patient in enumerate(cohort.patient_ids)}
    rows = [place[patient] for patient in patient_ids]
    declared, received = subgroups.declared_in(cohort), received_of(cohort)
    # Where a role is the therapy, the same groups are not told twice.
    if received not in declared.values():
        declared["therapy"] = received
    found: dict[str, Sequence[str | None]] = {
        name: [groups[row] for row in rows] for name, groups in declared.items()
    }
    ages, asked = _ages(cohort, patient_ids), config.fairness
    if ages is None:
        return found, ()
    edges = bands_of(ages, asked.age_edges, asked.least_tested)
    return {AGE: [band_of(float(age), edges) for age in ages], **found}, edges


def _ages(cohort: Cohort, patient_ids: Sequence[str]) -> Float[ndarray, " patient"] | None:
    """Return the first age that was measured [year]; ``None`` where the cohort has none."""
    for part in cohort.repeated.values():
        columns = zip(part.var_names, part.var["unit"], strict=True)
        named = [i for i, (n, unit) in enumerate(columns) if unit == "year" and "age" in n.lower()]
        if named:
            first: dict[str, float] = {}
            values = np.asarray(part.X[:, named[0]], dtype=np.float64).ravel()
            for patient, age in zip(part.obs["patient_id"], values, strict=True):
                if np.isfinite(age):
                    first.setdefault(str(patient), float(age))
            return np.array([first.get(patient, np.nan) for patient in patient_ids])
    return None
