"""Figures of what rules are worth; matplotlib's object interface only, no global state."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray

from omics_twin.evaluate.benefit import BenefitCalibration
from omics_twin.evaluate.plots import BLUE, GREEN, GREY, ORANGE
from omics_twin.evaluate.policy import CoverageValue, PolicyTable
from omics_twin.evaluate.uplift import Targeting, UpliftCurve


def policy_figure(table: PolicyTable, outcome: str = "Mean outcome") -> Figure:
    """Draw the value of each rule and, beside it, its paired difference to the reference.

    Examples
    --------
    >>> from omics_twin.evaluate.policy import Followed, policy_values
    >>> rule = Followed(np.array([[0.0, 1.0]]), 2.0, np.array([2.0]))
    >>> len(policy_figure(policy_values({"one": rule, "two": rule}, "one", draws=9)).axes)
    2
    """
    names = [
        f"{name}\n(worth {effective:.0f} patients)"
        for name, effective in zip(table.names, table.effective_patients, strict=True)
    ]
    title, height = "What following each rule would have been worth", 1.6 + 0.5 * len(names)
    figure, (axes, beside) = _panels(title, 2, width=8.4, height=height, share_rows=True)
    axes.set_xlabel(f"{outcome} (95 % interval)")
    rows = np.arange(len(names))
    _across(axes, table.value, rows, table.lower, table.upper, BLUE)
    others = rows != table.names.index(table.reference)
    _across(
        beside,
        table.difference[others],
        rows[others],
        table.difference_lower[others],
        table.difference_upper[others],
        ORANGE,
    )
    beside.axvline(0.0, color=GREY, linestyle="--", linewidth=1)
    beside.set_xlabel(f"Difference to '{table.reference}'")
    axes.set_yticks(rows, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    return figure


def targeting_figure(
    curve: UpliftCurve, found: Targeting, arm: str = "the therapy", control: str = "the control"
) -> Figure:
    """Draw the TOC (its area is AUTOC) and the uplift curve (above chance: Qini).

    Examples
    --------
    >>> from omics_twin.evaluate.uplift import rank_weighted_effects, uplift_curve
    >>> gain, priority = np.array([3.0, 2.0, 1.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0])
    >>> curve = uplift_curve(gain, priority, draws=9)
    >>> len(targeting_figure(curve, rank_weighted_effects(gain, priority, draws=9)).axes)
    2
    """
    title = f"Do those ranked first gain most from {arm} over {control}?"
    figure, (axes, beside) = _panels(title, 2, width=9.0, height=4.2)
    axes.set_ylabel("Gain of the treated above that of all")
    _band(axes, curve.share, curve.toc, curve.toc_lower, curve.toc_upper, BLUE, "Ranking")
    axes.axhline(0.0, color=GREY, linestyle="--", linewidth=1, label="Chance")
    axes.set_title(_rate("AUTOC", *found.autoc[:2]), fontsize=9)
    share = np.append(0.0, curve.share)
    parts = (curve.uplift, curve.uplift_lower, curve.uplift_upper)
    value, low, high = (np.append(0.0, part) for part in parts)
    _band(beside, share, value, low, high, GREEN, "Ranking")
    chance = np.append(0.0, curve.chance)
    beside.plot(share, chance, color=GREY, linestyle="--", linewidth=1, label="Chance")
    beside.set_title(_rate("Qini", *found.qini[:2]), fontsize=9)
    beside.set_ylabel("Gain per patient of all")
    for each in (axes, beside):
        each.set_xlabel("Share treated, highest priority first")
        each.set_xlim(0.0, 1.0)
        each.legend(loc="best", frameon=False)
    return figure


def coverage_figure(curve: CoverageValue, fallback: str, outcome: str = "Mean outcome") -> Figure:
    """Draw the value when the rule is followed only for the patients it is most sure of.

    Examples
    --------
    >>> from omics_twin.evaluate.policy import Followed, coverage_value
    >>> rule = Followed(np.array([[0.0, 1.0]]), 2.0, np.array([2.0]))
    >>> curve = coverage_value(rule, rule, np.array([0.2, 0.1]), draws=9)
    >>> coverage_figure(curve, "the control").axes[0].get_xlabel()
    'Share of patients for whom the ranking is followed'
    """
    title = "What the ranking is worth when it abstains where it is unsure"
    figure, (axes,) = _panels(title, 1)
    axes.set_xlabel("Share of patients for whom the ranking is followed")
    axes.set_ylabel(f"{outcome} of all patients (95 % interval)")
    _band(
        axes, curve.share, curve.value, curve.lower, curve.upper, BLUE, f"The rest gets {fallback}"
    )
    start = float(curve.value[0] - curve.gain[0])
    axes.axhline(start, color=GREY, linestyle="--", linewidth=1, label=f"All get {fallback}")
    axes.set_xlim(0.0, 1.0)
    axes.legend(loc="best", frameon=False)
    return figure


def benefit_figure(
    found: BenefitCalibration, arm: str = "the therapy", control: str = "the control"
) -> Figure:
    """Draw estimated against predicted benefit in bins, with the best linear predictor's slope.

    Examples
    --------
    >>> from omics_twin.evaluate.benefit import calibration_of_benefit
    >>> predicted = np.linspace(0.0, 0.5, 8)
    >>> benefit_figure(calibration_of_benefit(predicted, predicted, bins=2)).axes[0].get_title()
    'Slope 1.00 (95 % interval 1.00 to 1.00)'
    """
    figure, (axes,) = _panels(f"Does the predicted benefit of {arm} over {control} come true?", 1)
    axes.set_xlabel("Predicted benefit")
    axes.set_ylabel("Benefit estimated from what happened (95 % interval)")
    ends = np.array([found.predicted.min(), found.predicted.max()])
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1, label="Perfect")
    gap = np.vstack([found.estimated - found.lower, found.upper - found.estimated])
    axes.errorbar(
        found.predicted, found.estimated, yerr=gap, fmt="o", color=BLUE, capsize=3, label="Twin"
    )
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    width = 1.96 * found.slope_error
    low, high = found.slope - width, found.slope + width
    text = f"Slope {found.slope:.2f} (95 % interval {low:.2f} to {high:.2f})"
    axes.set_title(text, fontsize=9)
    axes.legend(loc="upper left", frameon=False)
    return figure


def _panels(
    title: str, count: int, width: float = 6.4, height: float = 4.8, share_rows: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, count, sharey=share_rows, squeeze=False)[0])
    figure.suptitle(title, fontsize=11, wrap=True)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.5)
    return figure, panels


def _rate(name: str, estimate: float, error: float) -> str:
    low, high = estimate - 1.96 * error, estimate + 1.96 * error
    return f"{name} {estimate:.3f} (95 % interval {low:.3f} to {high:.3f})"


def _across(
    axes: Axes, x: ndarray, rows: ndarray, lower: ndarray, upper: ndarray, colour: str
) -> None:
    gap = np.vstack([x - lower, upper - x]).clip(min=0.0)
    axes.errorbar(x, rows, xerr=gap, fmt="o", color=colour, capsize=3)


def _band(
    axes: Axes,
    x: ndarray,
    y: ndarray,
    lower: ndarray,
    upper: ndarray,
    colour: str,
    label: str,
) -> None:
    axes.plot(x, y, color=colour, linewidth=2, label=label)
    axes.fill_between(x, lower, upper, color=colour, alpha=0.15, linewidth=0)
