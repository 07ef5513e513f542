"""Does the twin serve every group of patients as well? Measures by group, gaps, and their tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray
from scipy.stats import false_discovery_control, t

from omics_twin.errors import CohortError
from omics_twin.evaluate.attributes import NOT_KNOWN
from omics_twin.evaluate.influence import Estimate

EVERYONE, ALL, SMALLER = "everyone", "all", "smaller groups"
LEVEL = 0.95
THREE_POINTS = 0.03
"""How far the coverage of a group may be from what was promised."""
FEWEST = 5
"""Patients with and without the event among those of whom discrimination is told."""


@dataclass(frozen=True)
class Measure:
    """A number that is asked of every group.

    Attributes
    ----------
    known
        Of whom it can be asked.
    over
        The number over some of these patients. It raises a CohortError where they are too few or
        too alike.
    """

    name: str
    known: Bool[ndarray, " patient"]
    over: Callable[[Int[ndarray, " row"]], Estimate]


def enough(happened: Bool[ndarray, " patient"]) -> None:
    """Refuse to tell of discrimination among too few.

    Raises
    ------
    CohortError
        If fewer than five patients have the event, or have it not.
    """
    fewer = min(int(happened.sum()), int((~happened).sum()))
    if fewer < FEWEST:
        raise CohortError(f"fewer than {FEWEST} patients with, or without, the event")


def subgroup_rows(
    attributes: Mapping[str, Sequence[str | None]],
    measures: Sequence[Measure],
    *,
    least_shown: int,
    least_tested: int,
) -> list[dict[str, Any]]:
    """Return every measure of every group, and how far each is from that of all other patients.

    Group and others are different patients, so the variances of their numbers add up; the test is
    Welch's on the patients' influences. Where patients of a cluster are right or wrong together,
    it is Student's on the differences within clusters. The p-values of all groups and measures
    together are adjusted by Benjamini and Hochberg: of the gaps that are called, at most a share
    is chance. Over 0.05 says that no gap was shown, not that there is none.

    Parameters
    ----------
    attributes
        Attribute -> group of each patient; ``None`` is a group of its own, not known.
    least_shown
        Patients of a group that is shown; of smaller ones there is one row, without their names,
        which may be a single patient's.
    least_tested
        Patients of the group, and of the others, for a gap to be tested.

    Returns
    -------
    list of dict
        First everyone, then the groups of each attribute: ``attribute``, ``group``, ``patients``
        (null where suppressed), ``suppressed`` (how many groups the row
        stands for, else 0), ``measures`` (name -> ``value``, ``lower``,
        ``upper``, ``patients``), ``gaps`` (name -> ``difference`` of the group less the others,
        ``lower``, ``upper``, ``p``, ``adjusted_p``) and ``not_judged`` (name -> reason).

    References
    ----------
    Welch 1947, doi:10.1093/biomet/34.1-2.28; Benjamini and Hochberg 1995,
    doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    everyone = np.ones(len(measures[0].known), dtype=bool)
    # Everyone is no group beside others: nobody is left to compare with.
    rows = [_row(EVERYONE, ALL, everyone, measures, least_shown, len(everyone) + 1)]
    for attribute, labels in attributes.items():
        groups = np.array([NOT_KNOWN if each is None else each for each in labels], dtype=str)
        names = np.unique(groups)
        if len(names) < 2:
            continue
        # What is not known comes last.
        for name in sorted(names, key=lambda each: (each == NOT_KNOWN, each)):
            inside = groups == name
            if inside.sum() >= least_shown:
                rows.append(_row(attribute, str(name), inside, measures, least_shown, least_tested))
        small = sum(int((groups == name).sum()) < least_shown for name in names)
        if small:
            rows.append(_suppressed(attribute, small))
    return _adjusted(rows)


def _suppressed(attribute: str, groups: int) -> dict[str, Any]:
    nothing: dict[str, Any] = {"measures": {}, "gaps": {}, "not_judged": {}}
    told = {"attribute": attribute, "group": SMALLER, "patients": None, "suppressed": groups}
    return told | nothing


def _row(
    attribute: str,
    group: str,
    inside: Bool[ndarray, " patient"],
    measures: Sequence[Measure],
    least_shown: int,
    least_tested: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "attribute": attribute,
        "group": group,
        "patients": int(inside.sum()),
        "suppressed": 0,
        "measures": {},
        "gaps": {},
        "not_judged": {},
    }
    for measure in measures:
        own = np.flatnonzero(inside & measure.known)
        if len(own) < least_shown:
            found["not_judged"][measure.name] = f"fewer than {least_shown} patients"
            continue
        try:
            estimate = measure.over(own)
            lower, upper = estimate.interval(LEVEL)
        except CohortError as error:
            found["not_judged"][measure.name] = str(error)
            continue
        told = {"value": estimate.value, "lower": lower, "upper": upper, "patients": len(own)}
        found["measures"][measure.name] = told
        rest = np.flatnonzero(~inside & measure.known)
        if least_tested <= min(len(own), len(rest)):
            found["gaps"] |= _gap(measure, estimate, rest)
    return found


def _gap(measure: Measure, own: Estimate, rest: Int[ndarray, " row"]) -> dict[str, Any]:
    """Return the difference to the other patients; empty where theirs cannot be judged."""
    try:
        others = measure.over(rest)
    except CohortError:
        return {}
    difference, (error, freedom) = own.value - others.value, _error(own, others)
    if not error > 0.0:
        return {}
    reach = float(t.ppf(0.5 + LEVEL / 2.0, freedom)) * error
    return {
        measure.name: {
            "difference": difference,
            "lower": difference - reach,
            "upper": difference + reach,
            "p": float(2.0 * t.sf(abs(difference) / error, freedom)),
        }
    }


def _error(own: Estimate, others: Estimate) -> tuple[float, float]:
    """Return the standard error of a difference and its degrees of freedom."""
    if own.clusters is None or others.clusters is None:
        variances = np.array([own.standard_error**2, others.standard_error**2])
        if not variances.sum() > 0.0:
            return 0.0, 1.0
        less = np.array([own.freedom, others.freedom])
        freedom = float(variances.sum() ** 2 / (variances**2 / less).sum())
        return float(np.sqrt(variances.sum())), freedom
    # Both are right or wrong together within a cluster.
    count = int(max(own.clusters.max(), others.clusters.max())) + 1
    parts = np.zeros(count)
    parts[: len(own.parts)] += own.parts
    parts[: len(others.parts)] -= others.parts
    among = len(np.union1d(own.clusters, others.clusters))
    if among < 2:
        return 0.0, 1.0
    return float(np.sqrt((parts**2).sum() * among / (among - 1.0))), among - 1.0


def _adjusted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with p-values adjusted over all of them."""
    gaps = [gap for row in rows for gap in row["gaps"].values()]
    if gaps:
        adjusted = false_discovery_control([gap["p"] for gap in gaps], method="bh")
        for gap, value in zip(gaps, adjusted, strict=True):
            gap["adjusted_p"] = float(value)
    return rows


def shown_gaps(rows: Sequence[Mapping[str, Any]], level: float = 0.05) -> list[dict[str, Any]]:
    """Return the gaps whose adjusted p-value is below a level, the smallest first."""
    found = [
        {"attribute": row["attribute"], "group": row["group"], "measure": name, **gap}
        for row in rows
        for name, gap in row["gaps"].items()
        if gap["adjusted_p"] < level
    ]
    return sorted(found, key=lambda each: (each["adjusted_p"], each["p"]))


def coverage_by_group(
    rows: Sequence[Mapping[str, Any]], promised: Mapping[str, float], least: int
) -> dict[str, Any]:
    """Return how far the coverage of the groups of enough patients is from what was promised.

    Parameters
    ----------
    promised
        Measure -> what was promised of it.
    least
        Patients of a group that is large enough.

    Returns
    -------
    dict
        Measure -> ``nominal``, ``groups``, ``furthest`` (signed, with ``furthest_group``), and
        ``beyond``: the groups that are more than three points away, with their coverage, its
        interval, and whether the interval leaves out what was promised.
    """
    found = {}
    for name, nominal in promised.items():
        cells = {
            f"{row['attribute']}: {row['group']}": row["measures"][name]
            for row in rows
            if name in row["measures"] and row["measures"][name]["patients"] >= least
        }
        if not cells:
            continue
        away = {group: cell["value"] - nominal for group, cell in cells.items()}
        furthest = max(away, key=lambda group: abs(away[group]))
        found[name] = {
            "nominal": nominal,
            "groups": len(cells),
            "furthest": away[furthest],
            "furthest_group": furthest,
            "beyond": {
                group: {
                    **{key: cells[group][key] for key in ("value", "lower", "upper", "patients")},
                    "beyond_chance": not cells[group]["lower"] <= nominal <= cells[group]["upper"],
                }
                for group, gap in away.items()
                if abs(gap) > THREE_POINTS
            },
        }
    return found
