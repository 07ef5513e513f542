"""Figures of policies hold what their titles say and touch no global state."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from omics_twin.evaluate.benefit import calibration_of_benefit
from omics_twin.evaluate.policy import Followed, coverage_value, policy_values
from omics_twin.evaluate.policy_plots import (
    benefit_figure,
    coverage_figure,
    policy_figure,
    targeting_figure,
)
from omics_twin.evaluate.uplift import rank_weighted_effects, uplift_curve

RNG = np.random.default_rng(0)
GAIN = RNG.normal(0.1, 1.0, 200)
PRIORITY = GAIN + RNG.normal(size=200)
NAMES = ("therapy received", "best single arm", "the ranking")
RULES = {
    name: Followed(RNG.random((1, 200)) + 0.1 * place, 80.0, np.ones(3))
    for place, name in enumerate(NAMES)
}


def _figures() -> dict[str, Figure]:
    curve = coverage_value(RULES[NAMES[2]], RULES[NAMES[1]], PRIORITY, draws=50)
    targeting = rank_weighted_effects(GAIN, PRIORITY, draws=50)
    return {
        "policy": policy_figure(policy_values(RULES, NAMES[0], draws=50), "pCR"),
        "targeting": targeting_figure(uplift_curve(GAIN, PRIORITY, draws=50), targeting, "A", "B"),
        "coverage": coverage_figure(curve, "the best single arm", "pCR"),
        "benefit": benefit_figure(calibration_of_benefit(GAIN, PRIORITY), "A", "B"),
    }


@pytest.mark.parametrize("name", ["policy", "targeting", "coverage", "benefit"])
def test_every_figure_has_a_title_labels_and_can_be_saved(name: str) -> None:
    figure = _figures()[name]
    assert figure.get_suptitle()
    assert all(axes.get_xlabel() for axes in figure.axes)
    saved = io.BytesIO()
    figure.savefig(saved, format="png")
    assert saved.getvalue().startswith(b"\x89PNG")


def test_figures_leave_no_figure_open() -> None:
    assert len(_figures()) == 4
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_every_rule_is_named_with_the_patients_it_rests_on() -> None:
    labels = [each.get_text() for each in _figures()["policy"].axes[0].get_yticklabels()]
    assert labels == [f"{name}\n(worth 80 patients)" for name in NAMES]
