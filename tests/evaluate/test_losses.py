"""Losses are those of the patients a member holds; slopes and curvatures are their derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.evaluate.losses import LogisticLoss, Loss, SquaredLoss, Ties, cox_loss
from omics_twin.evaluate.penalised import fit_members, fit_path, rotate

PATIENTS = 40


def _times() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return np.ceil(rng.exponential(4.0, PATIENTS)), rng.random(PATIENTS) < 0.7


def _losses() -> dict[str, Loss]:
    time, event = _times()
    return {
        "logistic": LogisticLoss((time > 3.0).astype(float)),
        "squared": SquaredLoss(time),
        "breslow": cox_loss(time, event, Ties.BRESLOW)[0],
        "efron": cox_loss(time, event, Ties.EFRON)[0],
    }


@pytest.mark.parametrize("name", list(_losses()))
def test_slope_and_curvature_are_derivatives_of_the_value(name):
    loss = _losses()[name]
    rng = np.random.default_rng(1)
    predictor, direction = rng.normal(size=(2, PATIENTS, 3))
    weights = (rng.random((PATIENTS, 3)) > 0.3).astype(float)
    weights[:, 2] *= rng.uniform(0.5, 2.0, PATIENTS)
    small = 1e-5
    gradient, _, curvature = loss.slope(predictor, weights)
    above, below = (predictor + sign * small * direction for sign in (1.0, -1.0))
    rise = (loss.value(above, weights) - loss.value(below, weights)) / (2.0 * small)
    np.testing.assert_allclose((gradient * direction).sum(axis=0), rise, rtol=1e-6)
    bend = (loss.slope(above, weights)[0] - loss.slope(below, weights)[0]) / (2.0 * small)
    np.testing.assert_allclose(curvature(direction), bend, atol=1e-7)


@pytest.mark.parametrize("ties", list(Ties))
def test_a_member_sees_only_the_patients_it_holds(ties):
    time, event = _times()
    rng = np.random.default_rng(2)
    predictor = rng.normal(size=PATIENTS)
    kept = rng.random(PATIENTS) > 0.4
    loss, order = cox_loss(time, event, ties)
    found = loss.value(predictor[order, None], kept[order, None].astype(float))
    alone, among = cox_loss(time[kept], event[kept], ties)
    expected = alone.value(predictor[kept][among, None], np.ones((kept.sum(), 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_ways_of_handling_ties_agree_where_no_time_is_shared():
    rng = np.random.default_rng(3)
    time, event, weights = rng.random(PATIENTS), rng.random(PATIENTS) < 0.5, np.ones((PATIENTS, 1))
    predictor = rng.normal(size=(PATIENTS, 1))
    values = [cox_loss(time, event, ties)[0].value(predictor, weights) for ties in Ties]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("name", list(_losses()))
def test_a_path_that_begins_near_ends_where_one_that_begins_at_zero_does(name):
    loss = _losses()[name]
    rng = np.random.default_rng(4)
    rotation = rotate(rng.normal(size=(PATIENTS, 90)))
    subsets = (np.arange(PATIENTS)[:, None] % 3 != np.arange(3)).astype(float)
    penalties = rng.permutation(np.geomspace(3.0, 3e3, 14))
    intercept = name in ("logistic", "squared")
    path = fit_path(rotation, loss, subsets, penalties, intercept=intercept, tolerance=1e-18)
    cold = fit_members(
        rotation,
        loss,
        np.repeat(subsets, len(penalties), axis=1),
        np.tile(penalties, 3),
        intercept=intercept,
        tolerance=1e-18,
    )
    np.testing.assert_allclose(path.rotated, cold.rotated, atol=1e-8)
    np.testing.assert_allclose(path.intercept, cold.intercept, atol=1e-8)
