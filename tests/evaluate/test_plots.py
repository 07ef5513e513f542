"""Figures hold what their titles say and touch no global state."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.net_benefit import decision_curve
from omics_twin.evaluate.plots import (
    per_arm_figure,
    reliability_figure,
    roc_figure,
    survival_figure,
)
from omics_twin.evaluate.survival_calibration import calibration_at_horizon, smooth_calibration
from omics_twin.evaluate.survival_plots import (
    decision_figure,
    figures_at_horizon,
    horizon_calibration_figure,
)

RNG = np.random.default_rng(0)
PROBABILITY = RNG.random(90)
OUTCOME = (RNG.random(90) < PROBABILITY).astype(int)
ARMS = RNG.integers(-1, 3, 90)
TIME = RNG.exponential(100.0, 90)


def _figures():
    yield roc_figure(PROBABILITY, OUTCOME, "complete response")
    yield reliability_figure(PROBABILITY, OUTCOME)
    yield survival_figure(PROBABILITY, TIME, OUTCOME)
    yield per_arm_figure(PROBABILITY, OUTCOME, ARMS, ("A", "B", "C"))
    yield decision_figure(decision_curve(PROBABILITY, OUTCOME))
    judged = PROBABILITY, TIME, OUTCOME, 50.0
    yield from figures_at_horizon(*judged).values()
    yield horizon_calibration_figure(
        calibration_at_horizon(*judged), smooth_calibration(*judged), 50.0
    )


def test_every_figure_has_a_title_labels_and_can_be_saved():
    for figure in _figures():
        assert figure.get_suptitle()
        assert figure.axes[0].get_xlabel()
        saved = io.BytesIO()
        figure.savefig(saved, format="png")
        assert saved.getvalue().startswith(b"\x89PNG")


def test_figures_leave_no_figure_open():
    list(_figures())
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_patients_without_a_known_arm_are_named_in_the_title():
    figure = per_arm_figure(PROBABILITY, OUTCOME, ARMS, ("A", "B", "C"))
    assert f"{(ARMS < 0).sum()} patients" in figure.get_suptitle()


def test_arms_that_do_not_fit_are_refused():
    with pytest.raises(CohortError, match="indices below 2"):
        per_arm_figure(PROBABILITY, OUTCOME, ARMS, ("A", "B"))
    with pytest.raises(CohortError, match="expected 90 patients"):
        per_arm_figure(PROBABILITY, OUTCOME, ARMS[:5], ("A", "B", "C"))
