"""What modalities say together is a product of Gaussians, in whatever order they speak."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.models.fusion import Evidence, divergence_from_prior, posterior

EXPERTS = some.lists(
    some.tuples(some.floats(-5.0, 5.0), some.floats(0.01, 20.0)), min_size=1, max_size=6
)


def evidence_of(mean: float, precision: float) -> Evidence:
    scale = torch.tensor([precision], dtype=torch.float64)
    return Evidence(shift=scale * mean, precision=scale)


@given(EXPERTS)
@settings(max_examples=50, deadline=None)
def test_the_posterior_is_the_closed_form_of_a_product_of_gaussians(
    experts: list[tuple[float, float]],
) -> None:
    mean, deviation = posterior(reduce(add, [evidence_of(*each) for each in experts]))
    precision = 1.0 + sum(each for _, each in experts)
    expected = sum(location * each for location, each in experts) / precision
    assert float(mean) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert float(deviation) == pytest.approx(precision**-0.5, rel=1e-9)


@given(some.data(), EXPERTS)
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_experts_does_not_matter(
    data: some.DataObject, experts: list[tuple[float, float]]
) -> None:
    shuffled = data.draw(some.permutations(experts))
    first = reduce(add, [evidence_of(*each) for each in experts])
    second = reduce(add, [evidence_of(*each) for each in shuffled])
    torch.testing.assert_close(first.shift, second.shift, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(first.precision, second.precision, atol=1e-9, rtol=1e-9)


def test_an_expert_who_saw_nothing_leaves_the_prior() -> None:
    mean, deviation = posterior(evidence_of(3.0, 0.0))
    assert (float(mean), float(deviation)) == (0.0, 1.0)
    assert float(divergence_from_prior(evidence_of(3.0, 0.0))) == 0.0


@given(some.floats(-5.0, 5.0), some.floats(0.0, 20.0))
@settings(max_examples=50, deadline=None)
def test_the_divergence_is_that_of_two_gaussians(mean: float, precision: float) -> None:
    found = float(divergence_from_prior(evidence_of(mean, precision)))
    here, variance = mean * precision / (1 + precision), 1 / (1 + precision)
    expected = 0.5 * (here**2 + variance - 1 - math.log(variance))
    assert found == pytest.approx(expected, abs=1e-9)
    assert found >= -1e-12
