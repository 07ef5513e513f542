"""A privately learned network says what its noisy effects say, and learns as its loss does."""

from __future__ import annotations

import pytest
import torch

from omics_twin.models import private_build
from omics_twin.models.fusion import posterior
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.private_budget import Mechanism
from omics_twin.models.private_build import PrivateInputs
from omics_twin.models.private_descent import Descent, linear_loss
from omics_twin.models.private_noise import NoiseSource
from omics_twin.models.private_statistics import Standards
from omics_twin.settings import NetworkSettings

PATIENTS, MEMBERS = 60, 2


@pytest.fixture
def inputs() -> PrivateInputs:
    made = torch.Generator().manual_seed(0)
    first, second = (
        torch.randn(PATIENTS, 3, generator=made),
        torch.randn(PATIENTS, 2, generator=made),
    )
    second[:10] = torch.nan
    agents = (torch.rand(PATIENTS, 2, generator=made) < 0.5).float()
    return PrivateInputs(
        values={"one": first, "two": second},
        standards={
            "one": Standards(torch.full((MEMBERS, 3), 0.9), torch.full((MEMBERS, 3), 0.1)),
            "two": Standards(torch.ones(MEMBERS, 2), torch.zeros(MEMBERS, 2)),
        },
        binary={"one": torch.tensor([True, False, False]), "two": torch.tensor([False, False])},
        agents=agents,
        targets=((first[:, 0] + agents[:, 0]) > 0.3).float(),
    )


def learned(inputs: PrivateInputs, start: tuple, rate: float) -> list[dict[str, torch.Tensor]]:
    parameters, loss, patients = start
    training = torch.ones(MEMBERS, PATIENTS)
    descent = Descent(Mechanism(0.01, 1.0, 30), 5.0, rate, 0.0, 3)
    sizes = torch.full((MEMBERS,), float(PATIENTS))
    return descent.iterates(loss, parameters, patients, training, sizes, NoiseSource.of(1))


def logits(network: MultimodalNetwork, inputs: PrivateInputs) -> torch.Tensor:
    shown = {name: torch.ones(PATIENTS) for name in inputs.values}
    mean, _ = posterior(network.together(inputs.values, inputs.agents, shown))
    added = sum(network.encoder(name).added(each) for name, each in inputs.values.items())
    assert isinstance(added, torch.Tensor)
    code = torch.cat([mean, added], dim=-1)
    probability = network.outcome(code, inputs.agents, torch.ones(1))[..., 0, 0]
    return torch.logit(probability)


def test_the_network_of_linear_effects_answers_as_they_do(inputs: PrivateInputs) -> None:
    start = private_build.linear_start(inputs)
    found = learned(inputs, start, 0.5)
    network = private_build.linear_network(inputs, found, "pcr")
    assert network.members == MEMBERS * 3
    told = logits(network, inputs)
    _, loss, patients = start
    ones = torch.ones(())
    for copy, iterate in enumerate(found):
        each = [
            loss(iterate, patients[0][row], inputs.agents[row], ones) for row in range(PATIENTS)
        ]
        own = torch.stack(each, dim=1)
        expected = -torch.log(torch.expm1(own))
        torch.testing.assert_close(told[copy::3], expected, rtol=1e-3, atol=1e-3)


def test_where_nothing_is_measured_the_draws_lie_as_far_apart_as_the_effects_reach(
    inputs: PrivateInputs,
) -> None:
    found = learned(inputs, private_build.linear_start(inputs), 0.5)
    network = private_build.linear_network(inputs, found, "pcr")
    encoder = network.encoder("two")
    variance = torch.bmm(encoder.unknown, encoder.unknown.mT)[:, 0, 0]
    torch.testing.assert_close(variance, encoder.effects[..., 0].square().sum(dim=1))


def test_a_network_learns_by_its_patients_gradients(inputs: PrivateInputs) -> None:
    settings = NetworkSettings(latent=2, hidden=3, therapy_code=2, interaction_hidden=2)
    start = private_build.network_start(inputs, settings, "pcr", seed=0)
    found = learned(inputs, start, 0.3)
    network = private_build.trained_network(inputs, found, settings, "pcr", seed=0)
    told = logits(network, inputs)[2::3]
    right = ((told > 0) == (inputs.targets > 0.5)).float().mean()
    assert float(right) > 0.75


def test_the_loss_is_lower_where_the_response_fits() -> None:
    parameters = {
        "effects": torch.ones(1, 1, 2),
        "average": torch.zeros(1, 1),
        "level": torch.zeros(1),
    }
    row, agents = torch.ones(1, 1), torch.ones(1)
    assert linear_loss(parameters, row, agents, torch.ones(())) < linear_loss(
        parameters, row, agents, torch.zeros(())
    )
