"""Every member's part of a layer is the layer that member would have alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from omics_twin.models.layers import MemberLinear, SharedInputLinear, dropout, with_values

MEMBERS, ROWS, INPUTS, OUTPUTS = 3, 7, 5, 4


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shared_layer() -> SharedInputLinear:
    scale, offset = random(MEMBERS, INPUTS, seed=1).abs() + 0.5, random(MEMBERS, INPUTS, seed=2)
    scale[1, 2] = offset[1, 2] = 0.0
    layer = SharedInputLinear(
        scale, offset, OUTPUTS, gain=1.0, generator=torch.Generator().manual_seed(3)
    )
    with torch.no_grad():
        layer.missing.copy_(random(MEMBERS, INPUTS, OUTPUTS, seed=4))
        layer.bias.copy_(random(MEMBERS, 1, OUTPUTS, seed=5))
    return layer


def rows_with_holes() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    measured = torch.ones(ROWS, INPUTS)
    measured[0, 2] = measured[3, 4] = measured[5, 2] = 0.0
    return random(ROWS, INPUTS, seed=6) * measured, measured, torch.tensor([2, 4])


def test_one_wide_product_equals_standardising_for_each_member_in_turn() -> None:
    layer = shared_layer()
    values, measured, sometimes = rows_with_holes()
    together = layer(values, measured, sometimes)
    for member in range(MEMBERS):
        standardised = (values * layer.scale[member] + layer.offset[member]) * measured
        used = (layer.scale[member] != 0).float()
        indicator = (1.0 - measured) * used
        alone = (
            standardised @ layer.weight[member]
            + indicator @ layer.missing[member]
            + layer.bias[member]
        )
        torch.testing.assert_close(together[member], alone, atol=1e-5, rtol=1e-5)


def test_a_feature_that_a_member_does_not_use_changes_nothing_for_it() -> None:
    layer = shared_layer()
    values, measured, sometimes = rows_with_holes()
    before = layer(values, measured, sometimes)
    values[:, 2] += measured[:, 2] * 100.0
    after = layer(values, measured, sometimes)
    assert torch.equal(before[1], after[1])
    assert not torch.allclose(before[0], after[0])


@pytest.mark.parametrize("kind", ["shared", "own"])
def test_the_loss_of_one_member_teaches_no_other_member(kind: str) -> None:
    if kind == "shared":
        layer: torch.nn.Module = shared_layer()
        output = layer(*rows_with_holes())
    else:
        layer = MemberLinear(
            MEMBERS, INPUTS, OUTPUTS, gain=1.0, generator=torch.Generator().manual_seed(1)
        )
        output = layer(random(MEMBERS, ROWS, INPUTS))
    output[1].square().sum().backward()
    for name, parameter in layer.named_parameters():
        taught = parameter.grad.abs().flatten(1).sum(dim=1) > 0
        assert taught.tolist() == [False, True, False], name


def test_the_same_generator_drops_the_same_units() -> None:
    values = torch.ones(4, 50, 20)
    first = dropout(values, 0.3, torch.Generator().manual_seed(9))
    assert torch.equal(first, dropout(values, 0.3, torch.Generator().manual_seed(9)))
    assert not torch.equal(first, dropout(values, 0.3, torch.Generator().manual_seed(10)))


def test_dropout_keeps_the_mean_and_is_absent_at_the_bedside() -> None:
    values = torch.ones(100, 1000)
    dropped = dropout(values, 0.3, torch.Generator().manual_seed(9))
    # 100,000 draws: the mean's standard error is 0.002.
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert dropout(values, 0.3, None) is values


def test_a_module_with_other_values_computes_as_if_they_were_its_own_and_stays_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    values = {
        "0.weight": torch.randn(3, 2),
        "1.running_mean": torch.randn(3),
        "2.bias": torch.randn(1),
    }
    before = {name: each.clone() for name, each in module.state_dict().items()}
    rows = torch.randn(5, 2)
    expected = torch.func.functional_call(module, values, (rows,))
    assert torch.equal(with_values(module, values)(rows), expected)
    assert all(torch.equal(each, before[name]) for name, each in module.state_dict().items())
