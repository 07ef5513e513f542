"""An ensemble that cannot learn sixteen patients by heart cannot learn."""

from __future__ import annotations

import lightning
import pytest
import torch

from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.fusion import posterior
from omics_twin.models.module import EnsembleModule
from omics_twin.settings import NetworkSettings, SurvivalHead, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS = 16


def fitted(kind: str, head: SurvivalHead) -> tuple[EnsembleModule, torch.Tensor]:
    """Train three members on sixteen patients and return the targets."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(PATIENTS, 20, generator=generator)
    agents = torch.eye(2)[torch.arange(PATIENTS) % 2]
    value = torch.rand(PATIENTS, generator=generator)
    first = {"binary": (value > 0.5).float(), "continuous": value, "time_to_event": 900 * value}
    fields = torch.stack([first[kind], torch.ones(PATIENTS)], dim=1)
    weights = torch.ones(3, PATIENTS)
    network = build_network(
        {"clinical": ChannelTensors(values, torch.zeros(20, dtype=torch.bool), 0.0, False)},
        OutcomeTensors("outcome", kind, "1", fields),
        2,
        weights,
        NetworkSettings(
            latent=8,
            hidden=16,
            dropout=0.0,
            intervals=4,
            initial_precision=100.0,
            survival_head=head,
        ),
        seed=0,
    )
    tensors = TrainingTensors(
        {"clinical": values}, {"clinical": 0.0}, agents, fields, weights, weights
    )
    settings = TrainerSettings(
        max_epochs=100,
        patience=100,
        weight_decay=0.0,
        divergence_weight=0.0,
        modality_dropout=0.0,
        learning_rate=1e-2,
    )
    module = EnsembleModule(network, tensors, settings)
    with quiet("lightning.pytorch"):
        trainer = lightning.Trainer(
            max_epochs=100,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module)
    module.restore_best()
    module.settle_baselines()
    return module, fields[:, 0]


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*")
@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("binary", SurvivalHead.HAZARD),
        ("continuous", SurvivalHead.HAZARD),
        ("time_to_event", SurvivalHead.HAZARD),
        ("time_to_event", SurvivalHead.COX),
    ],
)
def test_sixteen_patients_are_learned_by_heart(kind: str, head: SurvivalHead) -> None:
    module, target = fitted(kind, head)
    network, tensors = module.network.eval(), module.tensors
    with torch.no_grad():
        evidence = network.together(
            tensors.channels, tensors.agents, {"clinical": torch.ones(PATIENTS)}
        )
        latent, _ = posterior(evidence)
        days = torch.linspace(0.0, 900.0, 50)
        added = sum(network.encoder(name).added(each) for name, each in tensors.channels.items())
        code = torch.cat([latent, added], dim=-1)
        found = network.outcome(code, tensors.agents, days)[..., 0].mean(dim=(0, 2))
    if head is SurvivalHead.COX:
        # A partial likelihood learns the order alone.
        found, target = (each.argsort().argsort().float() for each in (found, target))
    together = torch.stack([found, target])
    assert torch.corrcoef(together)[0, 1] > 0.9
    if kind == "binary":
        assert ((found > 0.5).float() == target).all()
