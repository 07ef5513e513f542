"""Linear effects: an independent solver's optimum, sparsity, copies, hidden channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.effects import EffectsProblem, fit_effects, learn_effects
from omics_twin.models.encoders import bent_values
from omics_twin.models.heads import BinaryHead
from omics_twin.models.module import EnsembleModule
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.reduction import varimax
from omics_twin.models.training import trained
from omics_twin.settings import Device, NetworkSettings, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS, MARKERS = 600, 12


def trial(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return markers, agents and outcomes: marker 0 is prognostic, marker 1 makes agent 1 work."""
    generator = torch.Generator().manual_seed(seed)
    markers = torch.randn(PATIENTS, MARKERS, generator=generator)
    agents = torch.ones(PATIENTS, 2)
    agents[:, 1] = (torch.rand(PATIENTS, generator=generator) < 0.5).float()
    score = -0.5 + 1.0 * markers[:, 0] + agents[:, 1] * (0.3 + 1.5 * markers[:, 1])
    response = (torch.rand(PATIENTS, generator=generator) < torch.sigmoid(score)).float()
    return markers, agents, torch.stack([response, torch.zeros(PATIENTS)], dim=1)


def weights(members: int) -> tuple[Tensor, Tensor]:
    """Return training and stopping weights of members that stop on different patients."""
    stopping = torch.stack([torch.arange(PATIENTS) % 5 == each for each in range(members)]).float()
    return 1.0 - stopping, stopping


def problem(members: int = 2) -> tuple[EffectsProblem, BinaryHead]:
    """Return a problem whose members are one group."""
    markers, agents, targets = trial()
    training, stopping = weights(members)
    inputs = markers.expand(members, -1, -1)
    offset = torch.zeros(members, PATIENTS)
    group = torch.zeros(members, dtype=torch.long)
    bends = torch.zeros(members, PATIENTS, 0)
    found = EffectsProblem(inputs, agents, targets, offset, training, stopping, group, bends)
    return found, BinaryHead("pcr", members, targets[:, 0].mean().expand(members))


def network_and_tensors(members: int = 2) -> tuple[MultimodalNetwork, TrainingTensors]:
    """Return an untrained network of two modalities and a follow-up, and its patients."""
    markers, agents, targets = trial()
    training, stopping = weights(members)
    later = targets[:, :1] + 0.5 * torch.randn(PATIENTS, 1)
    values = {"clinical": markers[:, 2:], "rna": markers[:, :2], "mri@21": later}
    days = {"clinical": 0.0, "rna": 0.0, "mri@21": 21.0}
    network = build_network(
        {
            name: ChannelTensors(each, torch.zeros(each.shape[1], dtype=torch.bool), 0.0, day > 0)
            for (name, each), day in zip(values.items(), days.values(), strict=True)
        },
        OutcomeTensors("pcr", "binary", "1", targets),
        2,
        training,
        NetworkSettings(latent=2, hidden=4),
        seed=0,
    )
    return network, TrainingTensors(values, days, agents, targets, training, stopping)


def test_the_effects_that_matter_are_found_and_the_others_are_small() -> None:
    found = fit_effects(*problem())
    weight = found.weight.mean(dim=0)
    # Everyone got agent 0: prognosis and its effect cannot be told apart.
    assert weight[0, :2].sum() > 0.7
    assert weight[1, 2] > 0.8
    others = weight.clone()
    others[0, :2] = others[1, 2] = 0.0
    assert others.abs().mean() < 0.05


def test_an_effect_that_bends_is_found_where_there_is_one_and_adds_nothing_elsewhere() -> None:
    straight, head = problem()
    values = straight.inputs[:1, :, :2]
    chance = torch.sigmoid(2.0 * values[0, :, 0].abs() - 1.5)
    response = (torch.rand(PATIENTS, generator=torch.Generator().manual_seed(4)) < chance).float()
    targets = torch.stack([response, torch.zeros(PATIENTS)], dim=1)
    curved = replace(straight, targets=targets, bends=bent_values(straight.inputs[..., :2]))
    found = fit_effects(curved, head)
    assert float(found.bends[:, :3].sum(dim=1).min()) > 1.5
    assert float(found.bends[:, 3:].abs().max()) < 0.3
    low, middle, high = (
        (bent_values(torch.full((1, 1), each)) @ found.bends[0, :3]).item()
        + each * float(found.weight[0, 0].sum())
        for each in (-2.0, 0.0, 2.0)
    )
    assert min(low, high) > middle + 1.0


def test_they_predict_new_patients_as_well_as_a_tuned_independent_ridge() -> None:
    found = fit_effects(*problem())
    markers, agents, targets = trial(seed=1)
    terms = torch.cat([torch.ones(PATIENTS, 1), agents], dim=1)
    score = torch.einsum("nf,mfk,nk->mn", markers, found.weight, terms)
    score = (score + found.average @ agents.T + found.level).mean(dim=0)
    loss = float(torch.nn.functional.binary_cross_entropy_with_logits(score, targets[:, 0]))

    def design(x: Tensor, a: Tensor) -> np.ndarray:
        return torch.cat([x, a, (x.unsqueeze(2) * a.unsqueeze(1)).flatten(1)], dim=1).numpy()

    seen = trial()
    losses = []
    for strength in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0):
        ridge = LogisticRegression(C=strength, max_iter=2000)
        ridge.fit(design(seen[0], seen[1]), seen[2][:, 0].numpy())
        chance = ridge.predict_proba(design(markers, agents))[:, 1]
        truth = targets[:, 0].numpy()
        losses.append(-np.mean(truth * np.log(chance) + (1 - truth) * np.log(1 - chance)))
    assert loss < min(losses) + 0.005


def test_a_member_that_is_not_shown_a_channel_has_no_effects_of_it() -> None:
    network, tensors = network_and_tensors()
    shown = {name: torch.ones(2) for name in network.channels}
    shown["rna"] = torch.tensor([1.0, 0.0])
    learn_effects(network, tensors, torch.tensor([0, 1]), planned=torch.arange(2), shown=shown)
    assert network.encoder("rna").effects[0].abs().max() > 0.3
    assert torch.equal(network.encoder("rna").effects[1], torch.zeros(2, 3))
    assert network.encoder("clinical").effects[1].abs().max() > 0.0


def test_a_member_whose_stopping_patients_gain_nothing_stays_as_it_began(tmp_path: Path) -> None:
    network, tensors = network_and_tensors()
    # As where no therapies are compared: what is learned first is learned from the outcomes.
    network.begin_silent()
    apart = tensors.stopping.any(dim=0)
    targets = tensors.targets.clone()
    targets[apart, 0] = 1.0 - targets[apart, 0]
    stopping = apart.float().expand(2, -1)
    contrary = replace(tensors, targets=targets, training=1.0 - stopping, stopping=stopping)
    before = {name: value.clone() for name, value in network.named_parameters()}
    settings = TrainerSettings(max_epochs=1, learning_rate=0.3, device=Device.CPU)
    module = EnsembleModule(network, contrary, settings)
    _, diverged = trained(module, settings, tmp_path, lambda _: None)
    assert not diverged.any()
    assert all(torch.equal(before[name], value) for name, value in network.named_parameters())


def test_members_that_repeat_one_have_its_effects() -> None:
    network, tensors = network_and_tensors()
    learn_effects(network, tensors, torch.zeros(2).long(), planned=torch.zeros(2).long())
    effects = network.encoder("rna").effects
    assert torch.equal(effects[0], effects[1])


def test_a_follow_up_adds_to_the_score_and_leaves_the_baseline_alone() -> None:
    network, tensors = network_and_tensors()
    group, planned = torch.zeros(2).long(), torch.arange(2)
    learn_effects(network, tensors, group, planned=planned)
    before = network.encoder("rna").effects.clone()
    assert network.encoder("mri@21").effects[..., 0].min() > 0.2
    alone = TrainingTensors(
        {k: v for k, v in tensors.channels.items() if k != "mri@21"},
        {k: v for k, v in tensors.visit_days.items() if k != "mri@21"},
        tensors.agents,
        tensors.targets,
        tensors.training,
        tensors.stopping,
    )
    again, _ = network_and_tensors()
    learn_effects(again, alone, group, planned=planned)
    torch.testing.assert_close(again.encoder("rna").effects, before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [40, 300])
def test_varimax_is_a_rotation_that_finds_simple_structure(rows: int) -> None:
    generator = np.random.default_rng(0)
    simple = np.zeros((rows, 3))
    simple[np.arange(rows), np.arange(rows) % 3] = 1.0 + generator.random(rows)
    turned, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    rotation = varimax(simple @ turned)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(np.sort(np.abs(turned @ rotation), axis=0)[-1], 1.0, atol=1e-3)
