"""The value of following the ranking as numbers for a file and a tracker, and as figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.evaluate import policy_plots as plots
from omics_twin.evaluate.benefit import ArmCalibration, BenefitCalibration
from omics_twin.evaluate.policy import CoverageValue, PolicyTable
from omics_twin.evaluate.uplift import Rate
from omics_twin.judged.following import RECEIVED, SINGLE, TWIN, Contrasted, Judgement, plain_name
from omics_twin.judged.offers import Offers
from omics_twin.report.policy import rule_title
from omics_twin.training.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def record_of(
    task: Task, offers: Offers, found: Judgement, truth: Float[ndarray, "patient arm"] | None
) -> dict[str, Any]:
    """Return a judgement as plain values; nothing that is not a number is in it.

    Parameters
    ----------
    truth
        True expected outcome under each arm, where it is known.

    Returns
    -------
    dict
        Values are in the units of the outcome, gains and benefits in the direction of merit:
        a positive ``gain`` of a rule says that following the ranking is worth more.
    """
    arms = task.catalogue.arms
    rules = _rules(offers, found)
    if truth is not None:
        for name, true in _true_values(offers, found, truth).items():
            rules[name]["truth"] = true
            rules[name]["covered"] = bool(rules[name]["lower"] <= true <= rules[name]["upper"])
    return {
        "unit": unit_of(task, offers),
        "horizon_days": offers.horizon_days,
        "higher_is_better": task.endpoint.higher_is_better,
        "assignment": offers.assignment.name,
        "n": int(found.judged.sum()),
        "rules": rules,
        "chosen": {
            arm: float((found.chosen[TWIN][:, found.judged] == index).mean())
            for index, arm in enumerate(arms)
        },
        "overlap": _overlap(arms, found),
        "calibration": _by_arm(arms, found.calibration, offers.sign),
        "coverage_value": _coverage(found.coverage, offers.sign),
        "benefit": _benefit(found.benefit),
        "targeting": _targeting(arms, found.pair),
        "not_judged": dict(found.missing),
    }


def unit_of(task: Task, offers: Offers) -> str:
    """Return the unit of the values of rules."""
    if offers.horizon_days is not None:
        return "day"
    unit = task.cohort.outcomes[task.outcome_name].unit
    return "probability" if unit == "1" else unit


def _rules(offers: Offers, found: Judgement) -> dict[str, dict[str, Any]]:
    table = _signed(found.table, offers.sign)
    return {
        name: {
            "value": float(table.value[index]),
            "standard_error": float(table.standard_error[index]),
            "lower": float(table.lower[index]),
            "upper": float(table.upper[index]),
            "effective_patients": float(table.effective_patients[index]),
            "gain": {
                "mean": _number(-table.difference[index]),
                "standard_error": float(table.difference_error[index]),
                "lower": _number(-table.difference_upper[index]),
                "upper": _number(-table.difference_lower[index]),
            }
            if name != TWIN
            else None,
        }
        for index, name in enumerate(table.names)
    }


def _signed(table: PolicyTable, sign: float) -> PolicyTable:
    """Return the table with values in the outcome's units; differences stay those of merit."""
    if sign > 0:
        return table
    return replace(table, value=-table.value, lower=-table.upper, upper=-table.lower)


def _true_values(offers: Offers, found: Judgement, truth: ndarray) -> dict[str, float]:
    row = np.arange(len(truth))
    every = dict(found.chosen) | {RECEIVED: offers.arms[None]}
    return {
        name: float(truth[row, chosen][:, found.judged].mean()) for name, chosen in every.items()
    }


def _overlap(arms: tuple[str, ...], found: Judgement) -> dict[str, Any]:
    each = found.overlap
    return {
        "smallest": each.smallest,
        "thin": each.thin,
        "very_thin": each.very_thin,
        "arms": {
            arm: {
                "patients": int(each.patients[index]),
                "effective_patients": float(each.effective_patients[index]),
            }
            for index, arm in enumerate(arms)
        },
    }


def _by_arm(
    arms: tuple[str, ...], found: ArmCalibration, sign: float
) -> dict[str, dict[str, float]]:
    lower, upper = _ends(found.lower, found.upper, sign)
    return {
        arms[int(arm)]: {
            "patients": int(found.patients[cell]),
            "received": int(found.received[cell]),
            "predicted": float(sign * found.predicted[cell]),
            "estimated": float(sign * found.estimated[cell]),
            "lower": float(lower[cell]),
            "upper": float(upper[cell]),
        }
        for cell, arm in enumerate(found.arm)
    }


def _ends(lower: ndarray, upper: ndarray, sign: float) -> tuple[ndarray, ndarray]:
    return (lower, upper) if sign > 0 else (-upper, -lower)


def _coverage(found: CoverageValue | None, sign: float) -> dict[str, Any] | None:
    if found is None:
        return None
    shown = _outcome_coverage(found, sign)
    return {"fallback": SINGLE} | {name: each.tolist() for name, each in shown._asdict().items()}


def _outcome_coverage(found: CoverageValue, sign: float) -> CoverageValue:
    lower, upper = _ends(found.lower, found.upper, sign)
    return found._replace(value=sign * found.value, lower=lower, upper=upper)


def _benefit(found: BenefitCalibration | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        name: each.tolist() if isinstance(each, np.ndarray) else float(each)
        for name, each in found._asdict().items()
    }


def _targeting(arms: tuple[str, ...], found: Contrasted | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "arm": arms[found.arm],
        "control": arms[found.control],
        "n": found.patients,
        "autoc": _rate(found.targeting.autoc),
        "qini": _rate(found.targeting.qini),
        "curve": {name: each.tolist() for name, each in found.curve._asdict().items()},
        "benefit": _benefit(found.benefit),
    }


def _rate(found: Rate) -> dict[str, float]:
    return {name: float(value) for name, value in found._asdict().items()}


def _number(value: float) -> float:
    # Negating 0 leaves a sign that nobody should have to read.
    return float(value) + 0.0


def numbers_of(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of :func:`record_of` that a tracker keeps, by dotted name."""
    flat: dict[str, float] = {}
    for name, rule in found.get("rules", {}).items():
        for key in ("value", "lower", "upper", "effective_patients", "truth"):
            if rule.get(key) is not None:
                flat[f"policy.{name}.{key}"] = rule[key]
        for key, value in (rule["gain"] or {}).items():
            flat[f"policy.gain_over.{name}.{key}"] = value
    targeting = found.get("targeting") or {}
    for name in ("autoc", "qini"):
        flat |= {f"policy.{name}.{k}": v for k, v in (targeting.get(name) or {}).items()}
    for name, benefit in (("benefit", found), ("targeting_benefit", targeting)):
        for key in ("slope", "slope_error", "mean_gap", "mean_gap_error"):
            if benefit.get("benefit"):
                flat[f"policy.{name}.{key}"] = benefit["benefit"][key]
    for key in ("smallest", "thin", "very_thin"):
        if "overlap" in found:
            flat[f"policy.overlap.{key}"] = found["overlap"][key]
    return flat


def figures_of(task: Task, offers: Offers, found: Judgement) -> dict[str, Figure]:
    """Return the figures of a judgement by the name of their file."""
    labels = dict(zip(task.catalogue.arms, task.catalogue.labels, strict=True))
    names = {f"everyone_{plain_name(arm)}": f"{label} for all" for arm, label in labels.items()}
    table = _signed(found.table, offers.sign)
    shown = tuple(names.get(name, rule_title(name)) for name in table.names)
    reference = shown[table.names.index(table.reference)]
    title = _axis(task, offers)
    table = replace(table, names=shown, reference=reference)
    figures = {"policy": plots.policy_figure(table, title)}
    if found.pair is not None:
        arm, control = (
            task.catalogue.labels[each] for each in (found.pair.arm, found.pair.control)
        )
        figures["targeting"] = plots.targeting_figure(
            found.pair.curve, found.pair.targeting, arm, control
        )
    if found.coverage is not None:
        curve = _outcome_coverage(found.coverage, offers.sign)
        figures["coverage_value"] = plots.coverage_figure(curve, "the best single arm", title)
    if len(task.catalogue.arms) == 2 and found.pair is not None and found.pair.benefit is not None:
        figures["benefit_calibration"] = plots.benefit_figure(found.pair.benefit, arm, control)
    elif found.benefit is not None:
        figures["benefit_calibration"] = plots.benefit_figure(
            found.benefit, "the therapy ranked first", "the best single arm"
        )
    return figures


def _axis(task: Task, offers: Offers) -> str:
    if offers.horizon_days is not None:
        return f"Mean days up to day {offers.horizon_days:g}"
    return "Share with the outcome" if unit_of(task, offers) == "probability" else "Mean outcome"
