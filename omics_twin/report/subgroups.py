"""What was measured in this patient's groups, where it is worse than in others or is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from omics_twin.answers.patients import Patients
from omics_twin.evaluate.attributes import attributes_of
from omics_twin.report.words import counted, listed, marker_in_words, percent
from omics_twin.tracking import TrainedModel

CALLED = 0.05
_INTERVALS = {
    "coverage_expected": "expected values",
    "coverage_benefit": "differences between two therapies",
}
# Measure -> whether a lower number is worse; None: any gap is; and what a gap then says.
_WORSE: dict[str, tuple[bool | None, str]] = {
    "auc": (True, "the twin tells those with and without the outcome apart less well (AUC {})"),
    "uno_c": (True, "the twin orders patients by their risk less well (Uno's c {})"),
    "rmse": (False, "the twin is further off (root mean squared error {})"),
    "observed_less_predicted": (None, "observed less predicted is {}"),
    "policy_gain": (True, "following the ranking was worth less over what was received ({})"),
}


def group_limits(model: TrainedModel, patients: Patients) -> list[str]:
    """Return where the twin serves the groups of the only patient worse, and where it is unknown.

    A gap is told where it is shown after correction for all gaps that were tested. Groups that a
    patient's record does not tell, such as the site, are not compared.
    """
    performance: Mapping[str, Any] = model.provenance.get("performance") or {}
    rows: Sequence[Mapping[str, Any]] = performance.get("subgroups") or []
    fairness = performance.get("fairness") or {}
    own = _groups_of(model, patients, fairness)
    found = [row for row in rows if own.get(row["attribute"]) == row["group"]]
    told = [_worse(row, fairness.get("coverage") or {}) for row in found]
    few = [_named(row) for row in found if not row["suppressed"] and not row["gaps"]]
    few += [_named({"attribute": each, "group": own[each]}) for each in _smaller(rows, own)]
    lines = [line for line in told if line]
    if few:
        lines.append(
            "Too few training patients are in this patient's "
            f"{'group' if len(few) == 1 else 'groups'} {listed(few)} to test whether the twin "
            "serves them as well as others."
        )
    return lines


def _smaller(rows: Sequence[Mapping[str, Any]], own: Mapping[str, str | None]) -> list[str]:
    """Return the attributes by which the patient is in one of the groups that are not named."""
    named = {(row["attribute"], row["group"]) for row in rows}
    unnamed = [row["attribute"] for row in rows if row["suppressed"]]
    return [each for each in unnamed if own.get(each) and (each, own[each]) not in named]


def _groups_of(
    model: TrainedModel, patients: Patients, told: Mapping[str, Any]
) -> dict[str, str | None]:
    """Return the groups of the only patient by attribute."""
    declared = (model.provenance.get("config") or {}).get("cohort") or {}
    values = {name: np.asarray(each) for name, each in patients.matrices.values.items()}
    found = attributes_of(
        model.twin.design,
        values,
        declared.get("group_columns") or {},
        tuple(told.get("age_edges") or ()),
    )
    return {**{name: each[0] for name, each in found.items()}, **patients.strata[0]}


def _worse(row: Mapping[str, Any], coverage: Mapping[str, Any]) -> str:
    gaps = []
    for name, (lower_is_worse, words) in _WORSE.items():
        gap = row["gaps"].get(name)
        if gap is None or gap["adjusted_p"] >= CALLED:
            continue
        if lower_is_worse is None or (gap["difference"] < 0.0) == lower_is_worse:
            value = row["measures"][name]["value"]
            both = f"{value:.2f}, {value - gap['difference']:.2f} in others"
            gaps.append(words.format(both))
    gaps += [_fell_short(row, name, cover) for name, cover in coverage.items()]
    gaps = [each for each in gaps if each]
    if not gaps:
        return ""
    patients = counted(int(row["patients"]), "training patient")
    return f"In this patient's group {_named(row)} ({patients}), {'; '.join(gaps)}."


def _fell_short(row: Mapping[str, Any], name: str, cover: Mapping[str, Any]) -> str:
    """Return how often intervals held, where that is beyond chance less than was promised."""
    cell = cover["beyond"].get(f"{row['attribute']}: {row['group']}")
    if cell is None or not cell["beyond_chance"] or cell["value"] >= cover["nominal"]:
        return ""
    return (
        f"intervals of {percent(cover['nominal'])} held {percent(round(cell['value'], 2))} of "
        f"{_INTERVALS[name]} on a simulated copy"
    )


def _named(row: Mapping[str, Any]) -> str:
    return f"“{marker_in_words(row['attribute'], row['group'])}”"
