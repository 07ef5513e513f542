"""Propensities are those of the trial, and their overlap is told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from omics_twin.errors import CohortError
from omics_twin.evaluate.propensity import (
    covariate_propensity,
    effective_sample_size,
    open_arms,
    overlap,
    stratum_propensity,
)
from tests.evaluate import trials

TRIAL = trials.response(np.random.default_rng(0), 4000, False)
IS_OPEN = trials.OPEN[TRIAL.strata]


def test_arms_never_given_in_a_stratum_are_closed() -> None:
    np.testing.assert_array_equal(open_arms(TRIAL.arms, TRIAL.strata, 4), IS_OPEN)


def test_an_arm_given_too_rarely_is_closed() -> None:
    found = open_arms(np.array([0, 0, 1]), np.zeros(3, dtype=int), 2, fewest=2)
    assert found[0].tolist() == [True, False]


def test_shares_in_strata_are_the_randomisation() -> None:
    found = stratum_propensity(TRIAL.arms, TRIAL.strata, IS_OPEN)
    np.testing.assert_allclose(found[0], trials.RANDOMISED[TRIAL.strata], atol=0.04)
    np.testing.assert_allclose(found.sum(axis=2), 1.0)


def test_a_share_without_the_own_fold_does_not_count_the_patient() -> None:
    arms, fold = np.array([0, 1, 1, 0, 0, 0]), np.array([[0, 0, 0, 1, 1, 1]])
    found = stratum_propensity(arms, np.zeros(6, dtype=int), np.ones((6, 2), bool), fold, 1.0)
    np.testing.assert_allclose(found[0, 0], [3.5 / 4, 0.5 / 4])
    np.testing.assert_allclose(found[0, 5], [1.5 / 4, 2.5 / 4])


def test_a_share_of_zero_for_a_received_arm_is_refused() -> None:
    arms, fold = np.array([0, 1, 0, 0]), np.array([[0, 0, 1, 1]])
    with pytest.raises(CohortError, match="1 patients received an arm that nobody else"):
        stratum_propensity(arms, np.zeros(4, dtype=int), np.ones((4, 2), bool), fold)


def test_a_closed_arm_that_was_received_is_refused() -> None:
    with pytest.raises(CohortError, match="received an arm that was not open"):
        stratum_propensity(np.array([1]), np.array([0]), np.array([[True, False]]))


@pytest.mark.parametrize("arms", [np.array([0, -1]), np.array([0, 2])])
def test_therapies_that_are_not_known_are_refused(arms: np.ndarray) -> None:
    with pytest.raises(CohortError, match="expected 0 to 1"):
        open_arms(arms, np.zeros(2, dtype=int), 2)


def test_arms_strata_and_folds_must_fit(unchecked: None) -> None:
    arms, every = np.array([0, 1]), np.ones((2, 2), dtype=bool)
    with pytest.raises(CohortError, match="expected one for each of 3"):
        open_arms(arms, np.zeros(3, dtype=int), 2)
    with pytest.raises(CohortError, match="3 strata for 2 patients"):
        stratum_propensity(arms, np.zeros(3, dtype=int), every)
    for folds in ([[-1, 0]], [[0, 0]], [[0, 1, 0]]):
        with pytest.raises(CohortError, match="everybody held out once"):
            stratum_propensity(arms, np.zeros(2, dtype=int), every, np.array(folds))


def test_propensities_of_a_confounded_cohort_are_learned_from_its_covariates() -> None:
    trial = trials.response(np.random.default_rng(1), 4000, True)
    folds = np.arange(4000)[None] % 2
    design = trials.design(trial.features, trial.strata)
    found = covariate_propensity(trial.arms, design, trials.OPEN[trial.strata], folds)[0]
    assert np.abs(found - trial.propensity).mean() < 0.02
    np.testing.assert_array_equal(found[~trials.OPEN[trial.strata]], 0.0)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_where_all_arms_are_open_the_model_is_scikit_learns() -> None:
    rng = np.random.default_rng(2)
    features, arms = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    folds = np.arange(200)[None] % 2
    every = np.ones((200, 3), dtype=bool)
    found = covariate_propensity(arms, features, every, folds, penalty=2.0)[0]
    train = folds[0] == 1
    rows = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    peer = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(rows[train], arms[train])
    np.testing.assert_allclose(found[~train], peer.predict_proba(rows[~train]), atol=1e-3)


def test_covariates_that_are_missing_are_refused() -> None:
    with pytest.raises(CohortError, match="impute on training patients first"):
        covariate_propensity(
            np.array([0, 1]), np.full((2, 1), np.nan), np.ones((2, 2), bool), np.array([[0, 1]])
        )


def test_overlap_tells_thin_support() -> None:
    arms = np.array([0] * 6 + [1] * 4)
    propensity = np.full((2, 10, 2), 0.5)
    propensity[:, 6:, 1] = [0.01, 0.03, 0.5, 0.5]
    found = overlap(propensity, arms)
    assert found.smallest == pytest.approx(0.01)
    assert (found.thin, found.very_thin) == (0.2, 0.1)
    assert found.patients.tolist() == [6, 4]
    assert found.effective_patients[0] == pytest.approx(6.0)
    weights = 1 / np.array([0.01, 0.03, 0.5, 0.5])
    assert found.effective_patients[1] == pytest.approx(effective_sample_size(weights))
    assert found.effective_patients[1] < 2.0
