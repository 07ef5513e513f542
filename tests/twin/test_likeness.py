"""Patients unlike the training patients are told apart, and few others."""

from __future__ import annotations

import pytest
import torch

from omics_twin.twin.likeness import Likeness, fit_likeness

LEVEL = 0.05


def patients(count: int, features: int, seed: int) -> torch.Tensor:
    """Return features that rise together, a tenth of them not measured."""
    generator = torch.Generator().manual_seed(seed)
    loadings = torch.randn(5, features, generator=torch.Generator().manual_seed(99))
    values = torch.randn(count, 5, generator=generator) @ loadings
    values = values + 0.5 * torch.randn(count, features, generator=generator)
    return torch.where(torch.rand(values.shape, generator=generator) < 0.1, torch.nan, values)


def share_flagged(likeness: Likeness, values: dict[str, torch.Tensor]) -> float:
    count = len(next(iter(values.values())))
    found = [
        likeness.verdict({name: each[row : row + 1] for name, each in values.items()})
        for row in range(count)
    ]
    return sum(each is not None and each.share <= LEVEL for each in found) / count


@pytest.mark.parametrize("features", [8, 600])
def test_new_patients_of_the_same_kind_are_flagged_as_often_as_said(features: int) -> None:
    fitted = fit_likeness({"a": patients(400, features, 0), "b": patients(400, 4, 1)})
    assert fitted is not None
    new = {"a": patients(600, features, 2), "b": patients(600, 4, 3)}
    # 600 patients: three standard errors of 5 %, and those of 400 in the calibration.
    assert share_flagged(fitted, new) == pytest.approx(LEVEL, abs=0.04)


@pytest.mark.parametrize("features", [8, 600])
def test_patients_from_elsewhere_are_flagged(features: int) -> None:
    fitted = fit_likeness({"a": patients(400, features, 0)})
    assert fitted is not None
    far = patients(50, features, 4)
    scattered = far[:, torch.randperm(features, generator=torch.Generator().manual_seed(5))]
    assert share_flagged(fitted, {"a": 6.0 * far}) > 0.9
    # Of 8 features that 5 things make, a patient is often like others in another order.
    assert share_flagged(fitted, {"a": scattered}) > (0.9 if features > 100 else 0.6)


def test_the_column_that_is_far_out_is_named() -> None:
    fitted = fit_likeness({"a": patients(400, 8, 0)})
    assert fitted is not None
    one = patients(1, 8, 6)
    one[0, 3] = 90.0
    found = fitted.verdict({"a": one})
    assert found is not None
    assert found.share == pytest.approx(1 / 401)
    assert (found.channel, found.features[0]) == ("a", 3)


def test_what_was_not_measured_is_not_judged() -> None:
    fitted = fit_likeness({"a": patients(400, 8, 0)})
    assert fitted is not None
    assert fitted.verdict({"a": torch.full((1, 8), torch.nan)}) is None
    assert fit_likeness({"a": patients(10, 8, 0)}) is None


def test_a_column_that_never_varied_is_not_looked_at() -> None:
    values = patients(400, 8, 0)
    values[:, 2] = 1.0
    fitted = fit_likeness({"a": values})
    assert fitted is not None
    one = patients(1, 8, 7)
    before, one[0, 2] = fitted.verdict({"a": one}), 1e6
    assert fitted.verdict({"a": one}) == before


def test_what_is_stored_judges_as_before() -> None:
    fitted = fit_likeness({"a": patients(400, 8, 0), "b@21": patients(400, 4, 1)})
    assert fitted is not None
    stored = Likeness.from_tensors(fitted.to_tensors())
    one = {"a": patients(1, 8, 8), "b@21": patients(1, 4, 9)}
    assert stored is not None
    assert stored.verdict(one) == fitted.verdict(one)
    assert Likeness.from_tensors({}) is None
