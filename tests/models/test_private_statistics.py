"""Noisy counts: where numbers lie, however large they are, and what one patient can change."""

from __future__ import annotations

import pytest
import torch

from omics_twin.models.private_noise import NoiseSource
from omics_twin.models.private_statistics import private_counts, private_standards


def cohort(patients: int = 800) -> torch.Tensor:
    made = torch.Generator().manual_seed(1)
    values = torch.randn(patients, 4, generator=made) * torch.tensor([1.0, 30.0, 0.02, 1.0])
    values = values + torch.tensor([0.0, 400.0, -0.05, 0.0])
    values[:, 3] = (values[:, 3] > 0).float()
    values[: patients // 3, 1] = torch.nan
    return values


BINARY = torch.tensor([False, False, False, True])


def test_numbers_of_any_size_are_standardised_under_noise() -> None:
    values = cohort()
    found = private_standards(values, BINARY, torch.ones(2, 800), 6.0, NoiseSource.of(0))
    for member in range(2):
        standard = values * found.scale[member] + found.offset[member]
        for feature in (0, 1, 2):
            told = standard[~torch.isnan(standard[:, feature]), feature]
            assert abs(float(told.mean())) < 0.5
            assert 0.4 < float(told.std()) < 2.0
    assert not torch.equal(found.scale[0], found.scale[1])


def test_a_yes_or_no_feature_is_moved_by_what_everyone_knows() -> None:
    found = private_standards(cohort(), BINARY, torch.ones(1, 800), 6.0, NoiseSource.of(0))
    assert float(found.scale[0, 3]) == 1.0
    assert float(found.offset[0, 3]) == -0.5


def test_a_feature_nobody_has_is_answered_by_noise_alone() -> None:
    values = torch.full((50, 1), torch.nan)
    binary = torch.tensor([False])
    found = private_standards(values, binary, torch.ones(1, 50), 5.0, NoiseSource.of(2))
    assert bool(torch.isfinite(found.scale).all())
    assert bool(torch.isfinite(found.offset).all())


def test_one_patient_changes_what_standardises_only_through_the_noise() -> None:
    values = cohort()
    values[0] = torch.tensor([1e30, -1e30, 1e30, 1.0])
    training = torch.ones(2, 800)
    training[1, 0] = 0.0
    alike = private_standards(values, BINARY, training, 6.0, NoiseSource.of(0))
    for member in range(2):
        standard = values[1:] * alike.scale[member] + alike.offset[member]
        assert float(standard[:, 0].std()) > 0.4


def test_counts_are_noisy_around_the_truth() -> None:
    cells = torch.nn.functional.one_hot(torch.arange(300) % 3, 3).float()
    found = private_counts(cells, torch.ones(400, 300), 5.0, NoiseSource.of(0))
    assert abs(float(found.mean()) - 100.0) < 1.0
    assert 4.0 < float(found.std()) < 6.0


def test_a_declared_range_is_used_instead_of_counts() -> None:
    limits = torch.full((2, 4), torch.nan)
    limits[:, 1] = torch.tensor([300.0, 500.0])
    alike = (cohort(), BINARY, torch.ones(1, 800), 1e9, NoiseSource.of(0))
    found = private_standards(*alike, limits)
    assert float(found.scale[0, 1]) == pytest.approx(1.0 / 50.0)
    assert float(found.offset[0, 1]) == pytest.approx(-8.0)
