from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor

from omics_twin.models import companion as trees
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.companion import Companion, fit_companion, presence, tree_inputs
from omics_twin.models.network import MultimodalNetwork
from omics_twin.settings import NetworkSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS, MEMBERS = 240, 2
ARMS = torch.tensor([0.5])


def learned(
    kind: str, *, straight: bool = False
) -> tuple[MultimodalNetwork, TrainingTensors, Companion]:
    """Return an untrained network and trees; the outcome follows the square of the first value.

    Half of the patients have no second modality. Straight, the outcome follows the value itself,
    and the network knows how.
    """
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(PATIENTS, 3, generator=generator)
    second = torch.randn(PATIENTS, 2, generator=generator)
    second[::2] = torch.nan
    log_odds = 3.0 * (first[:, 0] if straight else first[:, 0].square() - 1.0)
    yes = (torch.rand(PATIENTS, generator=generator) < torch.sigmoid(log_odds)).float()
    time = 500.0 * torch.empty(PATIENTS).exponential_(generator=generator) / log_odds.exp()
    told = {"binary": yes, "continuous": log_odds, "time_to_event": time.clamp(1.0, 900.0)}
    targets = torch.stack([told[kind], (time < 900.0).float()], dim=1)
    weights = torch.ones(MEMBERS, PATIENTS)
    weights[:, :60] = 0.0
    stopping = torch.zeros(MEMBERS, PATIENTS)
    stopping[:, 20:60] = 1.0
    values = {"first": first, "second": second}
    network = build_network(
        {
            name: ChannelTensors(each, torch.zeros(each.shape[1], dtype=torch.bool), 0.0, False)
            for name, each in values.items()
        },
        OutcomeTensors("outcome", kind, "1", targets),
        1,
        weights,
        NetworkSettings(latent=2, hidden=4, dropout=0.0),
        seed=0,
    )
    network.eval().requires_grad_(requires_grad=False)
    if straight:
        network.encoder("first").effects[:, 0, 0] = 3.0
        for name in values:
            network.encoder(name).first.weight.zero_()
    agents = (torch.arange(PATIENTS) % 2).float()[:, None]
    tensors = TrainingTensors(
        values, dict.fromkeys(values, 0.0), agents, targets, weights, stopping
    )
    group = torch.zeros(MEMBERS, dtype=torch.long)
    return network, tensors, fit_companion(network, tensors, group, ARMS, seed=0, trees=12)


def test_trees_as_tensors_say_what_the_forest_says() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(80, 4)).astype(np.float32)
    forest = ExtraTreesRegressor(5, random_state=0).fit(inputs, inputs[:, 0] * inputs[:, 1])
    _, _, made = learned("continuous")
    asked = replace(made, **trees.nodes_of([forest, forest]))
    fresh = generator.normal(size=(500, 4)).astype(np.float32)
    both = torch.from_numpy(fresh).expand(2, -1, -1)
    found = asked.mean_values(both, torch.arange(2))
    np.testing.assert_allclose(found[1], forest.predict(fresh), rtol=1e-5, atol=1e-6)


def test_trees_are_given_what_they_earn() -> None:
    for kind in ("binary", "continuous", "time_to_event"):
        assert float(learned(kind)[2].share.min()) > 0.7, kind
    assert float(learned("binary", straight=True)[2].share.max()) < 0.5


def test_who_was_held_out_changes_nothing() -> None:
    network, tensors, made = learned("binary")
    targets = tensors.targets.clone()
    targets[:20, 0] = 1.0 - targets[:20, 0]
    group = torch.zeros(MEMBERS, dtype=torch.long)
    again = fit_companion(network, replace(tensors, targets=targets), group, ARMS, seed=0, trees=12)
    for name, each in made.to_tensors().items():
        assert torch.equal(each, again.to_tensors()[name]), name


def test_what_no_training_patient_had_alone_is_left_to_the_network() -> None:
    network, tensors, made = learned("binary")
    values = {name: each[:4].clone() for name, each in tensors.channels.items()}
    values["first"][1] = torch.nan
    _, share = made.answered(network, values, torch.arange(network.members))
    assert presence(values)[:, 0].tolist() == [True, False, True, True]
    assert (share > 0).tolist() == [[True, False, True, True]] * MEMBERS


def test_the_steps_on_a_line_add_up_to_what_lies_between_its_ends() -> None:
    network, tensors, made = learned("time_to_event")
    members = torch.arange(MEMBERS)
    inputs = tree_inputs(network, tensors.channels, members)[:, :50]
    start = torch.zeros_like(inputs)
    start[..., 3:] = inputs[..., 3:]
    found = made.divided(start, inputs, members)
    between = made.mean_values(inputs, members) - made.mean_values(start, members)
    torch.testing.assert_close(found.sum(dim=2), between, atol=1e-5, rtol=1e-4)
    assert bool((found[..., 3:] == 0).all())
    assert float(found[..., 0].abs().mean()) > 5 * float(found[..., 1:3].abs().mean())
