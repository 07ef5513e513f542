"""Penalised regressions fitted for many penalties at once equal scikit-learn's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from omics_twin.evaluate.elastic_net import walk_path
from omics_twin.evaluate.losses import LogisticLoss, SquaredLoss
from omics_twin.evaluate.penalised import fit_path, rotate

PENALTIES = np.array([0.3, 10.0, 300.0])


def _cohort(patients: int, features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(features)
    matrix = rng.normal(size=(patients, features)) + 2.0
    score = matrix[:, 0] - 2.0 + rng.logistic(size=patients)
    inside = np.ones((patients, 2))
    inside[: patients // 4, 1] = 0.0
    return matrix, score, inside


@pytest.mark.parametrize(("patients", "features"), [(150, 8), (60, 200)])
def test_each_member_equals_scikit_learn(patients, features):
    matrix, score, inside = _cohort(patients, features)
    outcome = (score > 0).astype(float)
    rotation = rotate(matrix)
    fit = fit_path(rotation, LogisticLoss(outcome), inside, PENALTIES, tolerance=1e-16)
    found = fit.predictor(rotation.scores)
    for member, penalty in enumerate(np.tile(PENALTIES, 2)):
        kept = inside[:, member // len(PENALTIES)] > 0
        peer = LogisticRegression(C=1.0 / penalty, tol=1e-12, solver="newton-cg", max_iter=10_000)
        peer.fit(matrix[kept], outcome[kept])
        np.testing.assert_allclose(found[:, member], peer.decision_function(matrix), atol=1e-5)


@pytest.mark.parametrize(("patients", "features"), [(150, 8), (60, 200)])
def test_squared_error_equals_scikit_learn(patients, features):
    matrix, score, inside = _cohort(patients, features)
    rotation = rotate(matrix)
    fit = fit_path(rotation, SquaredLoss(score), inside, PENALTIES, tolerance=1e-20)
    found = fit.predictor(rotation.scores)
    for member, penalty in enumerate(np.tile(PENALTIES, 2)):
        kept = inside[:, member // len(PENALTIES)] > 0
        peer = Ridge(alpha=penalty).fit(matrix[kept], score[kept])
        np.testing.assert_allclose(found[:, member], peer.predict(matrix), atol=1e-7)


@pytest.mark.parametrize("mixing", [0.2, 1.0])
@pytest.mark.parametrize(("patients", "features"), [(150, 8), (60, 80)])
def test_each_elastic_net_equals_scikit_learn(patients, features, mixing):
    matrix, score, inside = _cohort(patients, features)
    matrix -= 2.0  # saga is slow to find an intercept that makes up for distant features
    outcome = (score > 0).astype(float)
    penalties = np.repeat([[5.0], [1.5]], 2, axis=1)
    steps = walk_path(
        matrix, LogisticLoss(outcome), inside, np.full(2, mixing), penalties, tolerance=1e-16
    )
    for fit, penalty in zip(steps, penalties, strict=True):
        for member in range(2):
            kept = inside[:, member] > 0
            peer = LogisticRegression(
                C=1.0 / penalty[member], l1_ratio=mixing, solver="saga", tol=1e-9, max_iter=20_000
            ).fit(matrix[kept], outcome[kept])
            np.testing.assert_allclose(
                fit.predictor[:, member], peer.decision_function(matrix), atol=1e-4
            )
