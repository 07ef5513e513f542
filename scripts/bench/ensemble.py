"""All members in one pass against one member after the other: seconds and ratio.

Each member trains on its own patients, as in repeated cross-validation. With ``--features 20000``
the platform's way is the one it takes for wide channels: components of each member's own
patients, found once (this set-up is timed too), then trained together. Its peer is the same
number of member-updates by one Lightning fit per member on the raw features.

Usage: python scripts/bench/ensemble.py [--members 32] [--hidden 16] [--features 60]
           [--epochs 20] [--repeats 3] [--peers 32] [--device cpu]
"""

from __future__ import annotations

import argparse
import time
import warnings

import lightning
import torch

from omics_twin.logs import quiet
from omics_twin.models.build import ChannelTensors, OutcomeTensors, build_network
from omics_twin.models.module import EnsembleModule
from omics_twin.settings import NetworkSettings, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

PATIENTS = 800
WIDE = 200


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name, standard in [
        ("members", 32),
        ("hidden", 16),
        ("features", 60),
        ("epochs", 20),
        ("repeats", 3),
    ]:
        parser.add_argument(f"--{name}", type=int, default=standard)
    parser.add_argument("--peers", type=int, help="fits the peer's time is extrapolated from")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    return parser.parse_args()


def weights_of(members: int) -> torch.Tensor:
    """Return each member's training weights: a fifth of the patients is left out."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(members, PATIENTS, generator=generator) > 0.2).float()


def fit(
    values: torch.Tensor, weights: torch.Tensor, given: argparse.Namespace, *, raw: bool
) -> tuple[float, float]:
    """Train one ensemble; return the seconds of its set-up and of its training."""
    generator = torch.Generator().manual_seed(0)
    response = (torch.rand(PATIENTS, generator=generator) > 0.6).float()
    fields = torch.stack([response, torch.zeros(PATIENTS)], dim=1)
    agents = torch.eye(4)[torch.arange(PATIENTS) % 4]
    features = values.shape[1]
    binary = torch.zeros(features, dtype=torch.bool)
    settings = NetworkSettings(
        latent=8, hidden=given.hidden, wide_features=features if raw else WIDE
    )
    start = time.perf_counter()
    network = build_network(
        {"omics": ChannelTensors(values, binary, 0, False)},
        OutcomeTensors("response", "binary", "1", fields),
        4,
        weights,
        settings,
        seed=0,
    )
    ready = time.perf_counter()
    tensors = TrainingTensors({"omics": values}, {"omics": 0.0}, agents, fields, weights, weights)
    training = TrainerSettings(max_epochs=given.epochs, patience=given.epochs)
    module = EnsembleModule(network, tensors, training)
    trainer = lightning.Trainer(
        max_epochs=given.epochs,
        accelerator=given.device,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    if given.device == "gpu":
        torch.cuda.synchronize()
    return ready - start, time.perf_counter() - ready


def main() -> None:
    """Print the median of several repeats, the two taken in turn."""
    given = asked()
    weights = weights_of(given.members)
    peers = min(given.peers or given.members, given.members)
    generator = torch.Generator().manual_seed(2)
    factors = torch.randn(PATIENTS, 20, generator=generator)
    values = factors @ torch.randn(20, given.features, generator=generator)
    values += 3.0 * torch.randn(PATIENTS, given.features, generator=generator)
    together, apart = [], []
    with quiet("lightning.pytorch"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit(values[:, :60], weights[:1], given, raw=True)
        for _ in range(given.repeats):
            together.append(fit(values, weights, given, raw=False))
            found = [fit(values, weights[i : i + 1], given, raw=True) for i in range(peers)]
            apart.append(
                tuple(sum(each) * given.members / peers for each in zip(*found, strict=True))
            )
    middle = given.repeats // 2
    set_up, one = (sorted(each)[middle] for each in zip(*together, strict=True))
    prepared, many = (sorted(each)[middle] for each in zip(*apart, strict=True))
    print(
        f"{given.members} members, hidden {given.hidden}, {PATIENTS} patients, {given.features} "
        f"features, {given.epochs} epochs, {given.device}"
    )
    print(
        f"together {one:.2f} s after a set-up of {set_up:.2f} s, one after the other {many:.2f} s "
        f"after {prepared:.2f} s" + (f" (from {peers} fits)" if peers < given.members else "")
    )
    whole = (many + prepared) / (one + set_up)
    print(f"training alone {many / one:.1f} x, with set-ups {whole:.1f} x")


if __name__ == "__main__":
    main()
