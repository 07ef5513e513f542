"""The simulated lung tumours behave as published, and exact beliefs about them hold."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.dynamics import geng
from omics_twin.errors import TrainingError
from omics_twin.twin.regression import LinearPopulation, filtered, learn, predicted


@pytest.fixture(scope="module")
def patients() -> geng.Patients:
    return geng.draw_patients(4000, np.random.RandomState(0))


def test_parameters_are_those_of_a_truncated_normal(patients: geng.Patients) -> None:
    # Effective moments after rejection; alpha of type 1 is raised by a tenth of 0.0398.
    plain = patients.alpha[patients.kind > 1]
    assert plain.mean() == pytest.approx(0.1746, rel=0.05)
    assert plain.std() == pytest.approx(0.108, rel=0.07)
    assert patients.rho.mean() == pytest.approx(0.00615, rel=0.05)
    assert patients.beta_c[patients.kind == 3].mean() == pytest.approx(0.0308, rel=0.01)
    assert abs(geng.DEATH - 1150.35) < 0.01


@pytest.mark.parametrize("gamma", [0.0, 4.0])
def test_the_larger_the_tumour_the_likelier_it_is_treated(
    patients: geng.Patients, gamma: float
) -> None:
    seen = geng.factual(patients, gamma, np.random.RandomState(1))
    sizes, given = seen.volumes[:, :-1], seen.chemo[:, 1:]
    known = np.isfinite(sizes) & np.isfinite(seen.volumes[:, 1:])
    link = np.corrcoef(geng.diameter(sizes[known]), given[known])[0, 1]
    assert (link > 0.15) if gamma else abs(link) < 0.03
    assert np.nanmax(seen.volumes) <= geng.DEATH


def test_the_same_seed_gives_the_same_tumours_and_the_policy_can_be_fixed() -> None:
    runs = []
    for policy in (geng.Policy.PUBLISHED, geng.Policy.PUBLISHED, geng.Policy.FIXED):
        random = np.random.RandomState(3)
        some = geng.draw_patients(30, random)
        runs.append(geng.one_step(some, 4.0, random, policy=policy))
    np.testing.assert_array_equal(runs[0][1], runs[1][1])
    assert not np.array_equal(runs[0][0].chemo, runs[2][0].chemo)


def test_every_treatment_is_asked_from_the_same_day() -> None:
    random = np.random.RandomState(4)
    some = geng.draw_patients(50, random)
    seen, following = geng.one_step(some, 0.0, random)
    # Both treatments shrink more than either, either more than none.
    none, radio, chemo, both = np.moveaxis(following, -1, 0)
    known = np.isfinite(none) & np.isfinite(both)
    assert (both[known] <= radio[known] + 1e-9).mean() > 0.97
    assert (chemo[known] <= none[known] + 1e-9).mean() > 0.97
    for patient in range(5):
        day = int(seen.last[patient]) - 1
        action = geng.ACTIONS.index((int(seen.chemo[patient, day]), int(seen.radio[patient, day])))
        assert seen.volumes[patient, day + 1] == following[patient, day, action]


def linear(count: int = 300) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(5)
    kind = np.arange(count) % 2
    own = np.array([[1.0, -0.5], [2.0, 0.5]])[kind] + 0.3 * rng.standard_normal((count, 2))
    x = rng.standard_normal((count, 12, 2))
    y = np.einsum("pti,pi->pt", x, own) + 0.2 * rng.standard_normal((count, 12))
    y[::3, 8:] = np.nan
    return kind, own, x, y


def test_a_population_is_learned_and_beliefs_hold() -> None:
    kind, own, x, y = linear()
    learned = learn(kind, x, y, kinds=2)
    np.testing.assert_allclose(learned.mean, [[1.0, -0.5], [2.0, 0.5]], atol=0.1)
    assert learned.variance == pytest.approx(0.04, rel=0.15)
    belief = filtered(learned, kind, x, y)
    spread = np.sqrt(belief.covariance[:, -1, 0, 0])
    held = np.abs(belief.mean[:, -1, 0] - own[:, 0]) < 1.645 * spread
    assert 0.84 < held.mean() < 0.95
    before = type(belief)(belief.mean[:, :-1], belief.covariance[:, :-1])
    mean, sd = predicted(before, x, learned.variance)
    known = np.isfinite(y)
    assert 0.87 < (np.abs(y - mean) < 1.645 * sd)[known].mean() < 0.93


def test_one_measurement_is_taken_in_as_bayes_says() -> None:
    population = LinearPopulation(np.zeros((1, 1)), np.ones((1, 1, 1)), 0.5)
    belief = filtered(population, np.zeros(1, int), np.full((1, 1, 1), 2.0), np.array([[3.0]]))
    np.testing.assert_allclose(belief.mean[0, :, 0], [0.0, 3.0 * 2.0 / (0.5 + 4.0)])
    np.testing.assert_allclose(belief.covariance[0, :, 0, 0], [1.0, 0.5 / 4.5])


def test_too_few_patients_of_a_kind_are_refused() -> None:
    kind, _, x, y = linear(6)
    with pytest.raises(TrainingError, match="3 patients of one kind, expected at least 4"):
        learn(kind, x, y, kinds=2)
