"""Figures a clinician can read; matplotlib's object interface only, no global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy import ndarray
from numpy.typing import ArrayLike
from sklearn.metrics import roc_curve

from omics_twin.errors import CohortError
from omics_twin.evaluate.calibration import reliability, wilson_interval
from omics_twin.evaluate.checks import both_classes, predicted_binary, survival_times
from omics_twin.evaluate.metrics import BINS, equal_groups, roc_auc
from omics_twin.evaluate.survival import kaplan_meier

# Okabe and Ito's palette, told apart with every common colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
DAYS_PER_MONTH = 30.4375


def roc_figure(probability: ArrayLike, outcome: ArrayLike, name: str = "the outcome") -> Figure:
    """Draw the ROC curve of probabilities (patient,) against outcomes (patient,).

    Examples
    --------
    >>> roc_figure([0.1, 0.9], [0, 1]).axes[0].get_xlabel()
    'False alarms (share of patients without the outcome)'
    """
    probability, outcome = predicted_binary(probability, outcome)
    both_classes(outcome, "the ROC curve")
    false_alarms, found, _ = roc_curve(outcome, probability)
    figure, axes = blank(
        f"How well patients with and without {name} are told apart",
        "False alarms (share of patients without the outcome)",
        "Found (share of patients with the outcome)",
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="Chance")
    area = roc_auc(probability, outcome)
    axes.plot(false_alarms, found, color=BLUE, linewidth=2, label=f"Twin, AUC {area:.2f}")
    unit_square(axes)
    axes.legend(loc="lower right", frameon=False)
    return figure


def reliability_figure(
    probability: ArrayLike, outcome: ArrayLike, name: str = "the outcome", bins: int = BINS
) -> Figure:
    """Draw observed against predicted shares in bins of equal size, with Wilson intervals.

    Examples
    --------
    >>> len(reliability_figure([0.1, 0.9], [0, 1], bins=2).axes)
    1
    """
    curve = reliability(probability, outcome, bins)
    figure, axes = blank(
        f"Do predicted probabilities of {name} come true?",
        "Predicted probability",
        "Observed share (95 % interval)",
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="Perfect")
    points(axes, curve.predicted, curve.observed, curve.lower, curve.upper)
    axes.plot(curve.predicted, curve.observed, color=BLUE, linewidth=1)
    unit_square(axes)
    axes.legend(loc="upper left", frameon=False)
    return figure


def survival_figure(
    risk: ArrayLike, time: ArrayLike, event: ArrayLike, name: str = "Survival"
) -> Figure:
    """Draw Kaplan-Meier curves of thirds of predicted risk; times in days, drawn in months.

    Parameters
    ----------
    risk, time, event
        Shape (patient,); higher risk means earlier; time [day]; 1 for an event.

    Examples
    --------
    >>> len(survival_figure([1, 2, 3], [30.0, 20.0, 10.0], [1, 0, 1]).axes[0].lines)
    3
    """
    risk, time, event = survival_times(risk=risk, time=time, event=event)
    figure, axes = blank(
        f"{name} observed, by third of predicted risk",
        "Months since the index date",
        "Share without the event",
    )
    looks = ((BLUE, "-", "Lowest"), (GREEN, "--", "Middle"), (ORANGE, "-.", "Highest"))
    for group, (colour, line, label) in zip(equal_groups(risk, 3), looks, strict=True):
        curve = kaplan_meier(time[group], event[group])
        months = np.append(0.0, curve.days) / DAYS_PER_MONTH
        share = np.append(1.0, curve.survival)
        error = 1.96 * np.append(0.0, curve.standard_error)
        text = f"{label} risk: {len(group)} patients, {int(event[group].sum())} events"
        axes.step(months, share, where="post", color=colour, linestyle=line, label=text)
        low, high = np.clip(share - error, 0, 1), np.clip(share + error, 0, 1)
        axes.fill_between(months, low, high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlim(left=0.0)
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    return figure


def per_arm_figure(
    probability: ArrayLike,
    outcome: ArrayLike,
    arms: Int[ndarray, " patient"],
    arm_names: Sequence[str],
    name: str = "the outcome",
) -> Figure:
    """Draw the observed share (Wilson interval) and the mean prediction of each arm.

    Parameters
    ----------
    arms
        Shape (patient,), index into ``arm_names``; -1 (not known) is not drawn and is counted
        in the title.

    Raises
    ------
    CohortError
        If the arms do not fit the patients or their names.

    Examples
    --------
    >>> arms = np.array([0, 1])
    >>> figure = per_arm_figure([0.1, 0.9], [0, 1], arms, ("A", "B"))
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['A (n = 1)', 'B (n = 1)']
    """
    probability, outcome = predicted_binary(probability, outcome)
    arms = np.asarray(arms)
    if arms.shape != outcome.shape or arms.max() >= len(arm_names) or arms.max() < 0:
        raise CohortError(
            f"arms have shape {arms.shape} and reach index {arms.max()}; expected "
            f"{len(outcome)} patients and indices below {len(arm_names)}, one of them known"
        )
    seen = [arm for arm in range(len(arm_names)) if (arms == arm).any()]
    patients = np.array([(arms == arm).sum() for arm in seen])
    events = np.array([outcome[arms == arm].sum() for arm in seen])
    predicted = np.array([probability[arms == arm].mean() for arm in seen])
    lower, upper = wilson_interval(events, patients)
    unknown = int((arms < 0).sum())
    rest = f" ({unknown} patients whose therapy is not known left out)" if unknown else ""
    figure, axes = blank(
        f"Predicted and observed share of {name}, by therapy{rest}",
        "Share of patients",
        "",
        height=1.8 + 0.35 * len(seen),
        width=5.0 + 0.07 * max(len(arm_names[arm]) for arm in seen),
    )
    rows = np.arange(len(seen))
    share = events / patients
    gap = np.vstack([share - lower, upper - share]).clip(min=0.0)
    axes.errorbar(
        share, rows, xerr=gap, fmt="o", color=BLUE, capsize=3, label="Observed (95 % interval)"
    )
    axes.plot(predicted, rows, "D", color=ORANGE, fillstyle="none", label="Predicted (mean)")
    labels = [f"{arm_names[arm]} (n = {n})" for arm, n in zip(seen, patients, strict=True)]
    axes.set_yticks(rows, labels)
    axes.set_ylim(len(seen) - 0.5, -0.5)
    axes.set_xlim(0.0, 1.0)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def ablation_figure(
    names: Sequence[str],
    differences: Float[np.ndarray, "variant bound"],
    metric: str,
    name: str = "the outcome",
) -> Figure:
    """Draw how much worse or better each variant is than the whole model.

    Parameters
    ----------
    differences
        Mean, lower and upper bound of the paired difference, (variant, 3).

    Examples
    --------
    >>> figure = ablation_figure(["only rna"], np.array([[-0.1, -0.2, 0.0]]), "auc")
    >>> figure.axes[0].get_xlabel()
    'auc minus that of all modalities'
    """
    figure, axes = blank(
        f"What each modality adds: {name}",
        f"{metric} minus that of all modalities",
        "",
        height=1.4 + 0.32 * len(names),
    )
    mean, lower, upper = differences.T
    place = np.arange(len(names))[::-1]
    spread = np.abs(np.stack([mean - lower, upper - mean]))
    axes.errorbar(mean, place, xerr=spread, fmt="o", color=BLUE, capsize=3, linewidth=1.2)
    axes.axvline(0.0, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(place, names)
    return figure


def search_figure(
    losses: Sequence[float], default: float, metric: str, name: str = "the outcome"
) -> Figure:
    """Draw the loss of each finished trial of a search, the best so far and the default's.

    Examples
    --------
    >>> search_figure([0.6, 0.5], 0.6, "log_loss").axes[0].get_xlabel()
    'Finished trial'
    """
    title = f"Search of settings: {name}"
    figure, axes = blank(title, "Finished trial", f"{metric} (inner folds)")
    number = np.arange(1, len(losses) + 1)
    axes.plot(number, losses, "o", color=BLUE, markersize=4, label="Trial")
    best = np.minimum.accumulate(np.asarray(losses, dtype=float))
    axes.step(number, best, where="post", color=ORANGE, label="Best so far")
    axes.axhline(default, color=GREY, linestyle="--", linewidth=1, label="Default settings")
    axes.legend(frameon=False)
    return figure


def blank(
    title: str, x: str, y: str, height: float = 4.8, width: float = 6.4
) -> tuple[Figure, Axes]:
    """Return an empty figure with a title and the axes' labels; sizes in inches."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    figure.suptitle(title, fontsize=11, wrap=True)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.5)
    return figure, axes


def unit_square(axes: Axes) -> None:
    """Let both axes run from 0 to 1, at one scale."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")


def points(
    axes: Axes,
    x: Float[ndarray, " point"],
    y: Float[ndarray, " point"],
    lower: Float[ndarray, " point"],
    upper: Float[ndarray, " point"],
) -> None:
    """Draw what the twin says as points with intervals."""
    gap = np.vstack([y - lower, upper - y]).clip(min=0.0)
    axes.errorbar(x, y, yerr=gap, fmt="o", color=BLUE, capsize=3, label="Twin")
