"""All members in one pass against one member after the other: seconds and ratio.

Usage: python scripts/bench/ensemble.py [members] [hidden]
"""

from __future__ import annotations

import sys
import time
import warnings

import lightning
import torch

from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.module import EnsembleModule
from omics_twin.settings import NetworkSettings, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS, FEATURES, EPOCHS, REPEATS = 800, 60, 20, 3


def fit(weights: torch.Tensor, hidden: int) -> float:
    """Train one ensemble and return the seconds it took."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(PATIENTS, FEATURES, generator=generator)
    response = (torch.rand(PATIENTS, generator=generator) > 0.6).float()
    fields = torch.stack([response, torch.zeros(PATIENTS)], dim=1)
    agents = torch.eye(4)[torch.arange(PATIENTS) % 4]
    channels = {"omics": ChannelTensors(values, torch.zeros(FEATURES, dtype=torch.bool), 0, False)}
    outcomes = [OutcomeTensors("response", "binary", "1", fields)]
    settings = NetworkSettings(latent=8, hidden=hidden)
    network = build_network(channels, outcomes, 4, weights, settings, seed=0)
    tensors = TrainingTensors({"omics": values}, {"omics": 0.0}, agents, fields, weights, weights)
    module = EnsembleModule(network, tensors, TrainerSettings(max_epochs=EPOCHS, patience=EPOCHS))
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    start = time.perf_counter()
    trainer.fit(module)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of several repeats, the two taken in turn."""
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    hidden = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    weights = torch.ones(members, PATIENTS)
    together, apart = [], []
    with quiet("lightning.pytorch"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(weights[:1], hidden)
        for _ in range(REPEATS):
            together.append(fit(weights, hidden))
            apart.append(sum(fit(weights[:1], hidden) for _ in range(members)))
    one, many = sorted(together)[REPEATS // 2], sorted(apart)[REPEATS // 2]
    print(f"{members} members, hidden {hidden}, {PATIENTS} patients, {EPOCHS} epochs")
    print(f"together {one:.2f} s, one after the other {many:.2f} s: {many / one:.1f} x")


if __name__ == "__main__":
    main()
