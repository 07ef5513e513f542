"""A network's statistics come from each member's own patients, and survive storage bit by bit."""

from __future__ import annotations

import pytest
import torch

from omics_twin.errors import TrainingError
from omics_twin.models.build import (
    ChannelTensors,
    OutcomeTensors,
    build_network,
    restored_network,
)
from omics_twin.models.network import MultimodalNetwork
from omics_twin.settings import NetworkSettings
from tests.twins import DESIGN, neural_twin

PATIENTS = 60
SETTINGS = NetworkSettings(latent=3, hidden=6, dropout=0.0, intervals=4)
WIDE = NetworkSettings(latent=3, hidden=6, dropout=0.0, wide_features=4, components=3)


def half_weights() -> torch.Tensor:
    weights = torch.ones(2, PATIENTS)
    weights[0, :20] = 0.0
    weights[1, 40:] = 0.0
    return weights


def measured(features: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3.0 + 2.0 * torch.randn(PATIENTS, features, generator=generator)


def network_of(
    values: torch.Tensor,
    settings: NetworkSettings = SETTINGS,
    *,
    binary: bool = False,
    minimum_frequency: float = 0.0,
    agents: int = 2,
) -> MultimodalNetwork:
    flags = torch.full((values.shape[1],), binary)
    outcome = torch.stack([torch.arange(PATIENTS) % 2, torch.zeros(PATIENTS)], dim=1).float()
    return build_network(
        {"rna": ChannelTensors(values, flags, minimum_frequency, follow_up=False)},
        OutcomeTensors("pcr", "binary", "probability", outcome),
        agents,
        half_weights(),
        settings,
        seed=0,
    ).eval()


def said(network: MultimodalNetwork, values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.evidence("rna", values, torch.zeros(len(values), 2)).shift


@pytest.mark.parametrize("settings", [SETTINGS, WIDE], ids=["features", "components"])
def test_what_held_out_patients_have_changes_nothing_for_a_member(
    settings: NetworkSettings,
) -> None:
    values = measured()
    changed = values.clone()
    changed[:20] = 50.0 + 10.0 * measured(seed=1)[:20]
    asked = values[30:35]
    first, second = (said(network_of(each, settings), asked) for each in (values, changed))
    torch.testing.assert_close(first[0], second[0], atol=2e-4, rtol=2e-4)
    assert not torch.allclose(first[1], second[1], atol=1e-2)


def test_inputs_are_standardised_by_the_members_own_patients() -> None:
    values = measured()
    encoder = network_of(values).encoders[0]
    conditioned = (values - encoder.location) / encoder.spread
    for member, own in enumerate(half_weights() > 0):
        standard = conditioned[own] * encoder.first.scale[member] + encoder.first.offset[member]
        torch.testing.assert_close(standard.mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
        torch.testing.assert_close(
            standard.std(dim=0, correction=0), torch.ones(6), atol=1e-4, rtol=0
        )


def test_a_rare_binary_feature_is_not_used() -> None:
    values = torch.zeros(PATIENTS, 2)
    values[::2, 0] = 1.0
    values[[25, 30], 1] = 1.0
    network = network_of(values, binary=True, minimum_frequency=0.1)
    other = values.clone()
    other[:, 1] = 1.0 - other[:, 1]
    assert torch.equal(said(network, values), said(network, other))
    other[:, 0] = 1.0 - other[:, 0]
    assert not torch.equal(said(network, values), said(network, other))


def test_a_constant_feature_is_not_used() -> None:
    values = measured(3)
    values[:, 1] = 7.0
    network = network_of(values)
    other = values.clone()
    other[:, 1] = 8.0
    assert torch.equal(said(network, values), said(network, other))


def test_too_few_known_outcomes_are_refused_by_name() -> None:
    fields = torch.full((PATIENTS, 2), float("nan"))
    fields[:5] = 1.0
    channel = ChannelTensors(measured(2), torch.tensor([False, False]), 0.0, follow_up=False)
    outcome = OutcomeTensors("pcr", "binary", "probability", fields)
    with pytest.raises(TrainingError, match="outcome 'pcr' is known in 0 training patients"):
        build_network({"rna": channel}, outcome, 2, half_weights(), SETTINGS, seed=0)


@pytest.mark.parametrize("kind", ["binary", "continuous", "time_to_event"])
def test_a_restored_network_gives_the_same_bits(kind: str) -> None:
    network = neural_twin(kind=kind).network
    heads = [head.described() for head in network.outcome.heads]
    restored = restored_network(
        [each.name for each in DESIGN.channels], heads, network.state_dict()
    ).eval()
    asked, agents = torch.randn(4, 3, generator=torch.Generator()), torch.ones(4, 3)
    first = network.evidence("clinical", asked, agents)
    second = restored.evidence("clinical", asked, agents)
    assert torch.equal(first.shift, second.shift)
    assert torch.equal(first.precision, second.precision)
    code, member = torch.ones(1, 6, network.latent + network.terms), torch.arange(6)
    days = torch.tensor([30.0, 400.0])
    even, spread = torch.full((1, 6), 1 / 6).log(), torch.ones(1)
    answers = [
        each.simulate(code, member, agents[:1], days, even, spread) for each in (network, restored)
    ]
    assert torch.equal(*answers)


def test_a_restored_wide_network_gives_the_same_bits() -> None:
    network = network_of(measured(), WIDE)
    heads = [head.described() for head in network.outcome.heads]
    restored = restored_network(["rna"], heads, network.state_dict()).eval()
    assert torch.equal(said(network, measured(seed=2)), said(restored, measured(seed=2)))


def test_turned_components_are_as_strong_as_the_features_make_them() -> None:
    encoder = network_of(measured(), WIDE).encoder("rna")
    members = torch.arange(2)
    turned = encoder.standardised(measured(), members) @ encoder.first.strength(members)
    for member, weights in enumerate(half_weights()):
        seen = measured()[weights > 0]
        standard = (seen - seen.mean(dim=0)) / seen.std(dim=0, correction=0)
        left, strength, _ = torch.linalg.svd(standard, full_matrices=False)
        strongest = left[:, :3] * strength[:3]
        own = turned[member, weights > 0]
        torch.testing.assert_close(own @ own.T, strongest @ strongest.T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("settings", [SETTINGS, WIDE], ids=["features", "components"])
def test_beside_linear_effects_a_network_begins_silent(settings: NetworkSettings) -> None:
    network = network_of(measured(), settings, agents=1)
    surface, _ = network.outcome.parts[0]
    latent, code = torch.randn(2, 5, 3), torch.randn(2, 5, settings.therapy_code)
    assert not surface(latent, code).any()
    speaks = said(network, measured()).abs().amax(dim=(0, 1))
    assert speaks[0] == 0.0
    assert (speaks[1:] > 0.0).all()
    compared, _ = network_of(measured(), settings).outcome.parts[0]
    assert compared(latent, code).any()


def test_more_components_than_patients_are_refused() -> None:
    settings = NetworkSettings(latent=3, hidden=6, wide_features=50, components=45)
    with pytest.raises(TrainingError, match="expected more than model.components, which is 45"):
        network_of(measured(60), settings)
