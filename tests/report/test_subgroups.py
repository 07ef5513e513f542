"""A patient's report says where the patient's own groups are served worse, or too few to know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omics_twin.answers.patients import patients_in
from omics_twin.report.fairness import group_lines
from omics_twin.report.subgroups import group_limits


def _cell(value: float) -> dict[str, Any]:
    return {"value": value, "lower": value - 0.1, "upper": value + 0.1, "patients": 64}


def _row(attribute: str, group: str, value: float = 0.6, p: float | None = None) -> dict[str, Any]:
    gap = {"difference": value - 0.8, "lower": -0.3, "upper": -0.1, "p": p, "adjusted_p": p}
    return {
        "attribute": attribute,
        "group": group,
        "patients": 64,
        "suppressed": 0,
        "measures": {"auc": _cell(value)},
        "gaps": {} if p is None else {"auc": gap},
        "not_judged": {},
    }


BEYOND = {"her2_positive: 0": {**_cell(0.84), "beyond_chance": True}}
COVERAGE = {
    "coverage_expected": {
        "nominal": 0.9,
        "groups": 4,
        "furthest": -0.06,
        "furthest_group": "her2_positive: 0",
        "beyond": BEYOND,
    }
}
FAIRNESS = {
    "least_shown": 10,
    "least_tested": 50,
    "age_edges": [],
    "tests": 3,
    "correction": "Benjamini-Hochberg",
    "shown": [{**_row("hr_positive", "0", p=0.01)["gaps"]["auc"], "attribute": "hr_positive",
               "group": "0", "measure": "auc"}],
    "coverage": COVERAGE,
}  # fmt: skip


@pytest.fixture
def limits(make: Any) -> Any:
    def told(*rows: dict[str, Any], **coverage: Any) -> list[str]:
        model = make.model()
        known = {"subgroups": list(rows), "fairness": {**FAIRNESS, "coverage": coverage}}
        model = replace(model, provenance={**model.provenance, "performance": known})
        return group_limits(model, patients_in(model, make.cohort(["P1"])))

    return told


def test_a_gap_of_the_patients_group_is_told_with_both_numbers(limits: Any) -> None:
    (line,) = limits(_row("hr_positive", "0", p=0.01), _row("hr_positive", "1", p=0.01))
    assert line == (
        "In this patient's group “HR negative” (64 training patients), the twin tells those with "
        "and without the outcome apart less well (AUC 0.60, 0.80 in others)."
    )


def test_where_the_group_is_served_better_nothing_is_told(limits: Any) -> None:
    assert limits(_row("hr_positive", "0", value=0.9, p=0.01)) == []
    assert limits(_row("hr_positive", "0", p=0.06)) == []


def test_intervals_that_fell_short_in_the_patients_group_are_told(limits: Any) -> None:
    (line,) = limits(_row("her2_positive", "0", p=0.5), **COVERAGE)
    assert "held 84" in line
    assert "of expected values on a simulated copy" in line


def test_groups_too_small_to_be_tested_are_named(limits: Any) -> None:
    small = {**_row("her2_positive", "smaller groups"), "suppressed": 1, "measures": {}}
    assert limits(_row("hr_positive", "0"), small) == [
        "Too few training patients are in this patient's groups “HR negative” and "
        "“HER2 negative” to test whether the twin serves them as well as others."
    ]


def test_a_model_without_groups_tells_nothing(make: Any) -> None:
    model = make.model()
    assert group_limits(model, patients_in(model, make.cohort(["P1"]))) == []


def test_a_run_tells_how_many_gaps_were_tested_and_shown() -> None:
    rows = [_row("everyone", "all"), _row("hr_positive", "0", p=0.01)]
    first, gap, coverage = group_lines({"subgroups": rows, "fairness": FAIRNESS})
    assert "1 shown, 0 of fewer than 10 patients not shown; 3 gaps" in first
    assert gap == "hr_positive 0: auc -0.200 (-0.300 to -0.100) less the others"
    assert "1 of 4 groups are more than 3 points away" in coverage
    assert group_lines({}) == []
