"""What is kept of the training patients: counts from which nobody's value can be read."""

from __future__ import annotations

import pytest
import torch

from omics_twin.twin.reference import Reference, binned, fit_reference


def test_every_bin_holds_at_least_ten_patients_or_the_feature_is_not_compared() -> None:
    generator = torch.Generator().manual_seed(0)
    for patients in (5, 19, 20, 137, 600):
        numbers = torch.randn(patients, 6, generator=generator)
        numbers[torch.rand(patients, 6, generator=generator) < 0.3] = torch.nan
        tied = numbers.round()
        rare = (torch.rand(patients, 3, generator=generator) < 0.03).float()
        for values in (numbers, tied, rare):
            found = binned(values)
            finite = torch.isfinite(found.edges)
            used = torch.cat([torch.ones(len(finite), 1, dtype=torch.bool), finite], dim=1)
            compared = found.compared
            assert bool((found.counts[compared][used[compared]] >= 10).all())
            assert bool((found.counts[~used] == 0).all())
            assert torch.equal(found.counts.sum(dim=1), torch.isfinite(values).sum(dim=0).float())


def test_no_edge_is_the_value_of_a_patient() -> None:
    values = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    edges = binned(values).edges
    for feature in range(8):
        assert not set(edges[feature].tolist()) & set(values[:, feature].tolist())


def test_the_patients_it_was_fitted_on_are_counted_as_they_were() -> None:
    values = torch.randn(200, 3, generator=torch.Generator().manual_seed(2))
    values[:50, 1] = torch.nan
    values[:, 2] = (values[:, 2] > 0).float()
    found = binned(values)
    assert torch.equal(found.count(values).float(), found.counts)
    assert found.measured.tolist() == [200.0, 200.0]


def test_what_is_kept_survives_storing() -> None:
    values = {"a": torch.randn(60, 4), "a@21": torch.full((60, 2), torch.nan)}
    found = fit_reference(values, torch.rand(60), torch.full((60,), torch.nan))
    again = Reference.from_tensors(found.to_tensors())
    assert again is not None
    assert list(again.channels) == ["a", "a@21"]
    for name, each in found.to_tensors().items():
        assert torch.equal(each.nan_to_num(-1.0), again.to_tensors()[name].nan_to_num(-1.0))
    assert Reference.from_tensors({}) is None
    assert float(found.residual[0]) == pytest.approx(0.0)
