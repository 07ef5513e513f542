"""Settings of their own for some members of a batch: the same training as in a batch alone."""

from __future__ import annotations

from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch

from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.layers import Copies, dropout
from omics_twin.models.module import EnsembleModule
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import MemberAdamW, MemberSettings, Variant, copied, set_out
from omics_twin.settings import NetworkSettings, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS, MEMBERS = 40, 2
NETWORK = NetworkSettings(latent=3, hidden=5, dropout=0.2, wide_features=8, components=4)
TRAINER = TrainerSettings(
    max_epochs=4, patience=4, batch_size=16, weight_decay=0.5, modality_dropout=0.3
)
EVERY = torch.arange(MEMBERS)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*"),
]


def planned() -> tuple[MultimodalNetwork, TrainingTensors]:
    """Return a narrow and a wide channel, and members of different patients."""
    generator = torch.Generator().manual_seed(0)
    channels = {
        "clinical": torch.randn(PATIENTS, 5, generator=generator),
        "rna": torch.randn(PATIENTS, 30, generator=generator),
    }
    channels["clinical"][:6] = torch.nan
    response = (channels["rna"][:, 0] > 0).float()
    fields = torch.stack([response, torch.zeros(PATIENTS)], dim=1)
    weights = torch.ones(MEMBERS, PATIENTS)
    weights[0, :10] = 0.0
    weights[1, 30:] = 0.0
    network = build_network(
        {
            name: ChannelTensors(each, torch.zeros(each.shape[1], dtype=torch.bool), 0.0, False)
            for name, each in channels.items()
        },
        OutcomeTensors("pcr", "binary", "1", fields),
        2,
        weights,
        NETWORK,
        seed=0,
    )
    agents = torch.eye(2)[torch.arange(PATIENTS) % 2]
    days = dict.fromkeys(channels, 0.0)
    return network, TrainingTensors(channels, days, agents, fields, weights, 1.0 * (weights == 0))


def trained(variants: list[Variant] | None) -> EnsembleModule:
    """Train the planned members, or the members of variants."""
    network, tensors = planned()
    own = None
    if variants is not None:
        own = MemberSettings.of(variants, MEMBERS, list(network.channels))
        network = set_out(network, own)
        tensors = replace(
            tensors,
            training=tensors.training[own.copies.of],
            stopping=tensors.stopping[own.copies.of],
        )
    module = EnsembleModule(network, tensors, TRAINER, own)
    with quiet("lightning.pytorch"):
        lightning.Trainer(
            max_epochs=4,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module)
    return module


def weights(module: EnsembleModule, members: slice = slice(None)) -> torch.Tensor:
    return torch.cat([each[members].flatten() for each in module.network.parameters()]).detach()


SAME = Variant("same", TRAINER, NETWORK, EVERY)
OTHER = Variant(
    "other",
    replace(TRAINER, learning_rate=1e-2, weight_decay=3.0, divergence_weight=1.0),
    replace(NETWORK, dropout=0.5, initial_precision=20.0),
    EVERY,
    frozenset({"rna"}),
)


def test_uniform_settings_are_todays_training() -> None:
    assert torch.allclose(weights(trained([SAME])), weights(trained(None)), atol=2e-5)


def test_a_variant_does_not_depend_on_its_batch_mates() -> None:
    alone, among = trained([SAME]), trained([OTHER, SAME])
    assert torch.allclose(weights(among, slice(MEMBERS, None)), weights(alone), atol=2e-5)


def test_variants_of_different_members_train_together() -> None:
    whole = trained([SAME])
    part = trained([replace(OTHER, members=EVERY[:1]), replace(SAME, members=EVERY[1:])])
    assert torch.allclose(weights(part, slice(1, 2)), weights(whole, slice(1, 2)), atol=2e-5)


def test_a_hidden_channel_is_never_learned_from() -> None:
    module = trained([replace(SAME, hidden=frozenset({"rna"})), SAME])
    network, _ = planned()
    place = network.channels.index("rna")
    before = network.encoders[place].second.bias
    after = module.network.encoders[place].second.bias.detach()
    assert torch.equal(after[:MEMBERS], before)
    assert not torch.allclose(after[MEMBERS:], before)


@pytest.mark.parametrize("decays", [True, False])
def test_one_optimiser_for_all_members_is_adamw(decays: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(3, 4, 2, generator=generator)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    rate, decay = torch.full((3,), 3e-3), torch.full((3,), 2.0)
    first = MemberAdamW([{"params": [ours], "decays": decays}], rate, decay)
    second = torch.optim.AdamW([theirs], lr=3e-3, weight_decay=2.0 if decays else 0.0)
    for _ in range(20):
        gradient = torch.randn(start.shape, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient
        first.step()
        second.step()
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_each_member_moves_at_its_own_rate() -> None:
    value = torch.nn.Parameter(torch.zeros(2, 3))
    optimiser = MemberAdamW([{"params": [value]}], torch.tensor([0.1, 0.0]), torch.zeros(2))
    value.grad = torch.ones(2, 3)
    optimiser.step()
    assert torch.allclose(value.detach(), torch.tensor([[-0.1], [0.0]]).expand(2, 3))


def test_copies_share_their_dropout_and_keep_their_own_probability() -> None:
    copies = Copies(1, torch.tensor([0, 0]))
    share = torch.tensor([0.2, 0.6]).view(2, 1, 1)
    generator = torch.Generator().manual_seed(0)
    kept = dropout(torch.ones(2, 500, 4), share, generator, copies) > 0
    assert not (kept[1] & ~kept[0]).any()
    assert kept[0].float().mean() == pytest.approx(0.8, abs=0.03)
    assert kept[1].float().mean() == pytest.approx(0.4, abs=0.03)


def test_copies_of_copies_answer_as_the_members_they_repeat() -> None:
    network, tensors = planned()
    network.eval()
    twice = copied(network, Copies(MEMBERS, torch.tensor([1, 0, 1])))
    once = copied(twice, Copies(3, torch.tensor([1, 2])))
    shown = dict.fromkeys(tensors.channels, torch.ones(PATIENTS))
    with torch.no_grad():
        found = once.together(tensors.channels, tensors.agents, shown).shift
        expected = network.together(tensors.channels, tensors.agents, shown).shift
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("features", [30, 300], ids=["more patients", "more features"])
def test_components_are_those_of_a_direct_decomposition(features: int) -> None:
    generator = torch.Generator().manual_seed(3)
    factors = torch.randn(120, 6, generator=generator) * torch.tensor([9.0, 7, 5, 4, 3, 2])
    values = factors @ torch.randn(6, features, generator=generator)
    values += 0.1 * torch.randn(120, features, generator=generator)
    weights = torch.ones(1, 120)
    weights[0, 100:] = 0.0
    settings = NetworkSettings(latent=2, hidden=2, wide_features=10, components=6)
    network = build_network(
        {"rna": ChannelTensors(values, torch.zeros(features, dtype=torch.bool), 0.0, False)},
        OutcomeTensors("x", "continuous", "1", torch.randn(120, 2, generator=generator)),
        1,
        weights,
        settings,
        seed=0,
    )
    found = network.encoders[0].reduced(values)
    inside = values[:100].double().numpy()
    standard = (inside - inside.mean(axis=0)) / inside.std(axis=0)
    left, _, _ = np.linalg.svd(standard, full_matrices=False)
    expected = torch.from_numpy(left[:, :6] * 10.0).float()
    # The same space, rotated.
    rotation = found.components[0, :100].T @ expected / 100.0
    assert torch.allclose(rotation @ rotation.T, torch.eye(6), atol=2e-3)
    deviation = found.components[0, :100].std(dim=0, correction=0)
    assert torch.allclose(deviation, torch.ones(6), atol=1e-3)
