"""The training patients as tensors that stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.tensors.sums import Total, here


@dataclass(frozen=True)
class TrainingTensors:
    """The training patients, resident on the device.

    Attributes
    ----------
    channels
        Channel -> (patient, feature).
    visit_days
        Channel -> scheduled day [day]; later than 0 is a follow-up.
    agents
        1 for each agent received, (patient, agent).
    targets
        Two fields per outcome, (patient, 2 x outcome).
    training, stopping
        Member weights, each (member, patient).
    total
        Completes sums over these patients where others are learned from elsewhere.
    """

    channels: Mapping[str, Float[Tensor, "patient feature_"]]
    visit_days: Mapping[str, float]
    agents: Float[Tensor, "patient agent"]
    targets: Float[Tensor, "patient field"]
    training: Float[Tensor, "member patient"]
    stopping: Float[Tensor, "member patient"]
    total: Total = here

    def to(self, device: torch.device) -> TrainingTensors:
        """Return the same tensors on a device."""
        return TrainingTensors(
            channels={name: values.to(device) for name, values in self.channels.items()},
            visit_days=self.visit_days,
            agents=self.agents.to(device),
            targets=self.targets.to(device),
            training=self.training.to(device),
            stopping=self.stopping.to(device),
            total=self.total,
        )
