"""Figures of predicted survival and of decisions; matplotlib's object interface only."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.net_benefit import DecisionCurve, survival_decision_curve
from omics_twin.evaluate.plots import BLUE, GREY, ORANGE, blank, points, unit_square
from omics_twin.evaluate.survival_calibration import (
    HorizonCalibration,
    SmoothCalibration,
    calibration_at_horizon,
    smooth_calibration,
)


def horizon_calibration_figure(
    groups: HorizonCalibration,
    smooth: SmoothCalibration,
    horizon_days: float,
    name: str = "survival without the event",
) -> Figure:
    """Draw observed against predicted survival at a horizon: groups, and the smooth curve.

    Examples
    --------
    >>> from omics_twin.evaluate.survival_calibration import (
    ...     calibration_at_horizon, smooth_calibration)
    >>> case = [0.5] * 4, [1.0, 2.0, 3.0, 4.0], [1, 1, 0, 0], 3.0
    >>> figure = horizon_calibration_figure(
    ...     calibration_at_horizon(*case, groups=1), smooth_calibration(*case), 3.0)
    >>> figure.axes[0].get_xlabel()
    'Predicted by day 3'
    """
    figure, axes = blank(
        f"Does predicted {name} come true?",
        f"Predicted by day {horizon_days:g}",
        "Observed (95 % interval)",
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="Perfect")
    points(axes, groups.predicted, groups.observed, groups.lower, groups.upper)
    order = np.argsort(smooth.predicted)
    label = f"Smooth; mean distance (ICI) {smooth.ici:.3f}"
    axes.plot(smooth.predicted[order], smooth.observed[order], color=ORANGE, label=label)
    unit_square(axes)
    axes.legend(loc="upper left", frameon=False)
    return figure


def decision_figure(curve: DecisionCurve, name: str = "the event") -> Figure:
    """Draw the net benefit of acting on predictions beside acting on everybody and on nobody.

    Examples
    --------
    >>> from omics_twin.evaluate.net_benefit import decision_curve
    >>> figure = decision_figure(decision_curve([0.1, 0.9], [0, 1]))
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['Act on nobody', 'Act on everybody', 'Act on the prediction']
    """
    figure, axes = blank(
        f"What acting on a predicted probability of {name} is worth",
        "Probability from which one would act",
        "Net benefit (events rightly acted on, per patient)",
    )
    axes.axhline(0.0, color=GREY, linewidth=1, label="Act on nobody")
    for values, colour, line, label in (
        (curve.everybody, ORANGE, "--", "Act on everybody"),
        (curve.model, BLUE, "-", "Act on the prediction"),
    ):
        axes.plot(curve.thresholds, values, color=colour, linestyle=line, label=label)
    most = float(np.nanmax(np.append(curve.model, curve.everybody)))
    axes.set_ylim(-0.25 * max(most, 0.04), 1.1 * max(most, 0.04))
    axes.legend(loc="upper right", frameon=False)
    return figure


def figures_at_horizon(
    survival: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    horizon_days: float,
    first: tuple[ArrayLike, ArrayLike] | None = None,
) -> dict[str, Figure]:
    """Return the figures of predicted survival at a horizon; none where too few reach it.

    Parameters
    ----------
    survival, time, event
        Shape (patient,); predicted survival at the horizon, time [day], 1 for an event.
    first
        With competing events, the time to the first of any kind and its cause, each (patient,).

    Examples
    --------
    >>> time, event = np.arange(1.0, 21.0), [1, 0] * 10
    >>> list(figures_at_horizon([0.1, 0.4] * 10, time, event, 90.0))
    []
    >>> list(figures_at_horizon([0.1, 0.4] * 10, time, event, 9.0))
    ['calibration', 'decision']
    """
    judged = survival, time, event, horizon_days
    try:
        groups = calibration_at_horizon(survival, *(first or (time, event)), horizon_days)
        smooth = smooth_calibration(*judged)
        curve = survival_decision_curve(*judged)
    except CohortError:
        return {}
    return {
        "calibration": horizon_calibration_figure(groups, smooth, horizon_days),
        "decision": decision_figure(curve, f"an event by day {horizon_days:g}"),
    }
