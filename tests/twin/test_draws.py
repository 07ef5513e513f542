"""Weighted draws say what plain statistics say where the weights are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.twin.draws import (
    normalised,
    patient_noise,
    probability_best,
    weighted_mean,
    weighted_quantile,
    with_draws,
)
from omics_twin.types import TwinState

VALUES = some.lists(some.integers(-1000, 1000), min_size=1, max_size=40)


def equal(draws: int) -> torch.Tensor:
    return torch.full((1, draws), -float(np.log(draws)))


@given(VALUES, some.floats(0.01, 0.99))
@settings(max_examples=80, deadline=None)
def test_with_equal_weights_a_quantile_is_that_of_numpy(values: list[int], share: float) -> None:
    # Where the share falls on the edge between two draws, rounding decides.
    if abs(share * len(values) - round(share * len(values))) < 1e-4:
        return
    found = weighted_quantile(torch.tensor([values]).float(), equal(len(values)), share)
    assert float(found) == np.quantile(values, share, method="inverted_cdf")


@given(VALUES)
@settings(max_examples=40, deadline=None)
def test_with_equal_weights_a_mean_is_that_of_numpy(values: list[int]) -> None:
    found = weighted_mean(torch.tensor([values]).float(), equal(len(values)))
    assert float(found) == pytest.approx(np.mean(values), abs=1e-3)


def test_some_of_the_draws_weigh_what_they_did_beside_each_other() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]], dtype=torch.float64)
    draws = torch.arange(6.0).reshape(2, 3, 1)
    state = TwinState(("a", "b"), torch.zeros(2), draws, weights.log(), ("code",), 0)
    found = with_draws(state, torch.tensor([0, 2]))
    assert found.draws[..., 0].tolist() == [[0.0, 2.0], [3.0, 5.0]]
    assert torch.allclose(
        found.log_weights.exp(), torch.tensor([[2 / 3, 1 / 3], [0.25, 0.75]]).double()
    )


def test_a_draw_without_weight_says_nothing() -> None:
    weights = normalised(torch.tensor([[0.0, -torch.inf, 0.0]]))
    values = torch.tensor([[1.0, 1000.0, 3.0]])
    assert float(weighted_mean(values, weights)) == 2.0
    assert float(weighted_quantile(values, weights, 0.999)) == 3.0


def test_weights_are_like_repeated_draws() -> None:
    weights = torch.tensor([[0.5, 0.25, 0.25]]).log()
    values = torch.tensor([[4.0, 1.0, 2.0]])
    for share in (0.1, 0.3, 0.6, 0.9):
        expected = np.quantile([1.0, 2.0, 4.0, 4.0], share, method="inverted_cdf")
        assert float(weighted_quantile(values, weights, share)) == expected


def test_ties_are_split_and_what_is_not_eligible_never_wins() -> None:
    merit = torch.tensor([[[1.0, 1.0, 9.0], [2.0, 1.0, 9.0]]])
    eligible = torch.tensor([[True, True, False]])
    found = probability_best(merit, equal(2), eligible)[0]
    assert found[:2].tolist() == pytest.approx([0.75, 0.25])
    assert bool(torch.isnan(found[2]))


def test_a_patient_to_whom_nothing_is_open_has_no_best() -> None:
    found = probability_best(torch.ones(1, 2, 3), equal(2), torch.zeros(1, 3, dtype=torch.bool))
    assert bool(torch.isnan(found).all())


def test_noise_is_standard_normal_and_differs_between_seeds_and_patients() -> None:
    noise = patient_noise(["a", "b"], 4000, 4, seed=1)
    # 16,000 draws a patient: the mean's standard error is 0.008.
    assert noise.mean().item() == pytest.approx(0.0, abs=0.03)
    assert noise.std().item() == pytest.approx(1.0, abs=0.03)
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, patient_noise(["a", "b"], 4000, 4, seed=2))
