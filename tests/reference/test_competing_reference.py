"""Patients followed on after another event give lifelines' incidence and Fine and Gray's model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omics_twin.evaluate.competing import aalen_johansen, followed_on
from omics_twin.evaluate.losses import cox_loss
from omics_twin.evaluate.penalised import fit_members, rotate
from omics_twin.evaluate.survival import kaplan_meier

STORED = json.loads(Path(__file__).with_name("competing.json").read_text())
TIME, CAUSE, GRID = (np.array(STORED[name]) for name in ("time", "cause", "grid"))
MARKERS = np.column_stack([STORED["a"], STORED["b"]])


@pytest.fixture(scope="module")
def draws() -> list[np.ndarray]:
    """Times followed on, drawn 40 times."""
    return [followed_on(TIME, CAUSE, [f"{k}/{p}" for p in range(len(TIME))]) for k in range(40)]


def test_incidence_equals_lifelines(draws):
    exact = aalen_johansen(TIME, CAUSE).at(GRID)
    np.testing.assert_allclose(exact, STORED["incidence"], atol=1e-10)
    drawn = np.array([1.0 - kaplan_meier(each, CAUSE == 1).at(GRID) for each in draws])
    np.testing.assert_allclose(drawn.mean(axis=0), STORED["incidence"], atol=0.004)
    assert np.abs(drawn - exact).max() < 0.03


def test_cox_is_fine_and_gray(draws):
    found = np.mean([cox(each) for each in draws], axis=0)
    np.testing.assert_allclose(found, STORED["fine_gray"], atol=0.01)
    # Whoever had another event is no longer at risk: another question, and another answer.
    assert np.abs(cox(TIME) - np.array(STORED["fine_gray"])).max() > 0.1


def cox(time: np.ndarray) -> np.ndarray:
    """Return the coefficients of an all but unpenalised Cox model."""
    loss, order = cox_loss(time, CAUSE == 1)
    rotation = rotate(MARKERS[order])
    everyone = np.ones((len(time), 1))
    fit = fit_members(rotation, loss, everyone, np.array([1e-9]), intercept=False)
    return rotation.coefficients(fit.rotated)[:, 0]
