"""The training of networks of many visits."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.models.module import MembersModule
from omics_twin.models.visits import VisitNetwork
from omics_twin.settings import TrainerSettings

_AT_A_TIME = 4096


@dataclass(frozen=True)
class VisitTensors:
    """The training patients; days are NaN behind a patient's last visit.

    Attributes
    ----------
    target
        Day of the event or of the end of follow-up, and 1 for an event, (patient, 2).
    training, stopping
        Member weights, each (member, patient).
    """

    days: Float[Tensor, "patient visit"]
    values: Float[Tensor, "patient visit feature"]
    agents: Float[Tensor, "patient agent"]
    target: Float[Tensor, "patient 2"]
    training: Float[Tensor, "member patient"]
    stopping: Float[Tensor, "member patient"]

    def to(self, device: torch.device) -> VisitTensors:
        """Return the same tensors on a device."""
        return VisitTensors(*(getattr(self, each.name).to(device) for each in fields(self)))


class VisitModule(MembersModule):
    """Every visit of every patient is a landmark from which the future is learned.

    Parameters
    ----------
    share
        Weight of what was measured at the next visit, beside the event.
    """

    network: VisitNetwork

    def __init__(
        self,
        network: VisitNetwork,
        tensors: VisitTensors,
        settings: TrainerSettings,
        share: float,
    ) -> None:
        super().__init__(network, network.members, settings)
        self.tensors = tensors
        self.share = share
        self.visits = float(torch.isfinite(tensors.days).sum(dim=1).float().mean())

    @property
    def patients(self) -> int:
        """Number of training patients."""
        return len(self.tensors.days)

    def on_fit_start(self) -> None:
        """Move the patients to the device once."""
        self.tensors = self.tensors.to(self.device)

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """Return the loss of one step, summed over members."""
        rows = self._rows()
        loss = (self._loss(rows) * self._share(self.tensors.training, rows)).sum(dim=1)
        self._epoch_loss.append(loss.detach())
        return loss.sum()

    def stopping_loss(self) -> Tensor:
        """Return each member's loss on its stopping patients, (member,)."""
        total = torch.zeros(self.members, device=self.device)
        for start in range(0, self.patients, _AT_A_TIME):
            rows = torch.arange(start, min(start + _AT_A_TIME, self.patients), device=self.device)
            total += (self._loss(rows) * self.tensors.stopping[:, rows]).sum(dim=1)
        return total / self.tensors.stopping.sum(dim=1)

    def _loss(self, rows: Tensor) -> Float[Tensor, "member row"]:
        at = self.tensors
        found = self.network.loss(
            at.days[rows], at.values[rows], at.agents[rows], at.target[rows], self.share
        )
        return found / self.visits
