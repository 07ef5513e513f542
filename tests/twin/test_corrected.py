"""A network corrects what multiplies a patient's parameters, through the assimilation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from omics_twin.twin.corrected import learn_correction, log_likelihood
from omics_twin.twin.regression import filtered, learn, predicted


def test_the_likelihood_is_that_of_a_gaussian_with_parameters_integrated_out() -> None:
    random = np.random.default_rng(0)
    x, y, mean = random.normal(size=(5, 2)), random.normal(size=5), np.array([0.3, -0.2])
    root, variance = np.array([[0.8, 0.0], [0.3, 0.5]]), 0.4
    # The fourth time was not measured.
    known = np.array([1.0, 1.0, 1.0, 0.0, 1.0])
    rows = known == 1
    covariance = x[rows] @ root @ root.T @ x[rows].T + variance * np.eye(4)
    wanted = multivariate_normal(x[rows] @ mean, covariance).logpdf(y[rows])
    tensors = [torch.tensor(each).float()[None] for each in (y, x, mean, root)]
    log_variance = torch.tensor(np.log(variance)).float()
    found = log_likelihood(*tensors, log_variance, torch.tensor(known).float()[None])
    assert float(found) - 2.0 * np.log(2 * np.pi) == pytest.approx(wanted, abs=1e-4)


def test_a_correction_lets_the_twin_learn_of_the_patient() -> None:
    random = np.random.default_rng(1)
    patients, times, noise = 400, 12, 0.05
    seen = random.uniform(-2, 2, (patients, times, 1))
    wrong = np.ones((patients, times, 1))
    own = 1.0 + 0.5 * random.normal(size=patients)
    found = own[:, None] * (1.0 + np.sin(seen[..., 0])) + noise * random.normal(
        size=wrong.shape[:2]
    )
    found[::7, 3] = np.nan
    kind, half = np.zeros(patients, dtype=int), slice(0, 200)

    def left(features: np.ndarray) -> float:
        population = learn(kind[half], features[half], found[half], kinds=1)
        belief = filtered(population, kind, features, found)
        before = type(belief)(belief.mean[:, :-1], belief.covariance[:, :-1])
        mean, _ = predicted(before, features, population.variance)
        return float(np.sqrt(np.nanmean((mean - found)[200:, 6:] ** 2)))

    start = learn(kind[half], wrong[half], found[half], kinds=1)
    correct = learn_correction(
        start, kind[half], wrong[half], found[half], seen[half], steps=250, batch=64
    )
    assert left(wrong) > 0.5
    assert left(wrong + correct(seen)) < 1.6 * noise
