"""Elastic nets meet the conditions of an optimum on every training subset and penalty."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import TrainingError
from omics_twin.evaluate.elastic_net import strongest_penalties, walk_path
from omics_twin.evaluate.losses import LogisticLoss, Loss, SquaredLoss, cox_loss

PATIENTS = 60
KINDS = ("logistic", "squared", "cox")


def _cohort(kind: str, features: int = 150) -> tuple[np.ndarray, Loss]:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(PATIENTS, features)) + 1.5 * rng.normal(size=(PATIENTS, 1))
    score = matrix[:, 0] - matrix[:, 1] + 0.5 * rng.normal(size=PATIENTS)
    if kind == "logistic":
        return matrix, LogisticLoss((score > 0.3).astype(float))
    if kind == "squared":
        return matrix, SquaredLoss(score + 2.0)
    time, event = np.ceil(5.0 * np.exp(-score)), rng.random(PATIENTS) < 0.7
    loss, order = cox_loss(time, event)
    return matrix[order], loss


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_meets_the_conditions_of_an_optimum_along_the_path(kind):
    matrix, loss = _cohort(kind)
    free = kind != "cox"
    mixing = np.array([0.1, 1.0, 0.6])
    weights = (np.arange(PATIENTS)[:, None] % 3 != np.arange(3)).astype(float)
    strongest = strongest_penalties(matrix, loss, mixing, intercept=free)
    penalties = np.geomspace(1.0, 0.1, 8)[:, None] * strongest
    steps = walk_path(matrix, loss, weights, mixing, penalties, intercept=free, tolerance=1e-20)
    for fit, penalty in zip(steps, penalties, strict=True):
        np.testing.assert_allclose(matrix @ fit.coefficients + fit.intercept, fit.predictor)
        slope = loss.slope(fit.predictor, weights)[0]
        pull = matrix.T @ slope + penalty * (1.0 - mixing) * fit.coefficients
        chosen = fit.coefficients != 0.0
        wanted = -penalty * mixing * np.sign(fit.coefficients)
        np.testing.assert_allclose(pull[chosen], wanted[chosen], atol=1e-7)
        assert (np.abs(pull) <= penalty * mixing * (1.0 + 1e-6)).all()
        if free:
            np.testing.assert_allclose(slope.sum(axis=0), 0.0, atol=1e-7)
        else:
            np.testing.assert_array_equal(fit.intercept, 0.0)
    assert (chosen.sum(axis=0) > 5).all()
    assert chosen[:, 1].sum() < weights[:, 1].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_chosen_above_the_strongest_penalty_and_something_below(kind):
    matrix, loss = _cohort(kind)
    free, mixing = kind != "cox", np.array([0.5])
    strongest = strongest_penalties(matrix, loss, mixing, intercept=free)
    everyone, penalties = np.ones((PATIENTS, 1)), np.array([[1.001], [0.99]]) * strongest
    above, below = walk_path(matrix, loss, everyone, mixing, penalties, intercept=free)
    assert (above.coefficients == 0.0).all()
    assert (below.coefficients != 0.0).any()


def test_an_elastic_net_that_does_not_converge_says_so():
    matrix, loss = _cohort("logistic")
    everyone, penalties = np.ones((PATIENTS, 1)), np.array([[0.5]])
    with pytest.raises(TrainingError, match="did not converge in 2 steps; raise the smallest"):
        list(walk_path(matrix, loss, everyone, np.array([0.5]), penalties, most_steps=2))
