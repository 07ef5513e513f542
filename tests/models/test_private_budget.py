"""The accountant: what mechanisms cost together, and how much noise a budget asks for."""

from __future__ import annotations

import math

import pytest

from omics_twin.models.private_budget import Mechanism, epsilon_of, noise_for

DELTA = 1e-5


def normal(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


def test_full_gradients_cost_what_the_analytic_gaussian_mechanism_does() -> None:
    # Balle & Wang 2018 (arXiv:1805.06530), theorem 8, for normals that lie this far apart.
    apart = math.sqrt(10 / 6.0**2 + 2 / 8.0**2)
    epsilon = epsilon_of([Mechanism(6.0, 1.0, 10), Mechanism(8.0, 1.0, 2)], DELTA)
    low, high = apart / 2 - epsilon / apart, -apart / 2 - epsilon / apart
    # The accountant's epsilon is an upper bound, so the true delta at it is a little smaller.
    assert 0.9 * DELTA < normal(low) - math.exp(epsilon) * normal(high) <= DELTA


def test_more_noise_costs_less_and_more_steps_or_patients_cost_more() -> None:
    base = epsilon_of([Mechanism(4.0, 0.2, 50)], DELTA)
    assert epsilon_of([Mechanism(6.0, 0.2, 50)], DELTA) < base
    assert epsilon_of([Mechanism(4.0, 0.2, 100)], DELTA) > base
    assert epsilon_of([Mechanism(4.0, 0.4, 50)], DELTA) > base
    assert epsilon_of([Mechanism(4.0, 0.2, 50), Mechanism(9.0)], DELTA) > base


@pytest.mark.parametrize("epsilon", [1.0, 6.0])
def test_the_noise_for_a_budget_spends_it_and_no_more(epsilon: float) -> None:
    asked = {"counts": Mechanism(0.0, steps=2), "gradients": Mechanism(0.0, 0.3, 20)}
    found = noise_for(epsilon, DELTA, asked, {"counts": 0.2, "gradients": 0.8})
    spent = epsilon_of(list(found.values()), DELTA)
    assert 0.97 * epsilon < spent <= epsilon
    assert found["gradients"].steps == 20
    assert found["gradients"].sample_rate == 0.3
