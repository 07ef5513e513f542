"""Training of one network at several sites: every step's gradient, or every epoch's weights.

With a sum of gradients at every step, the sites take the steps of one optimiser that sees the
patients of all; with an average of weights after every epoch (federated averaging), a site's own
steps are its own and few messages are sent.

References
----------
McMahan et al. 2017, Communication-efficient learning of deep networks from decentralized data
(arXiv:1602.05629).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from omics_twin.models.module import EnsembleModule
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import MemberSettings
from omics_twin.settings import Combine, TrainerSettings
from omics_twin.tensors.batch import TrainingTensors
from omics_twin.tensors.sums import here

# Sites draw other batches, dropout and noise than each other.
_BETWEEN_SITES = 7_919


def module_of(
    network: MultimodalNetwork,
    tensors: TrainingTensors,
    settings: TrainerSettings,
    own: MemberSettings | None = None,
) -> EnsembleModule:
    """Return the training of a network on patients who are all here, or only in part."""
    kind = EnsembleModule if tensors.total is here else SharedModule
    return kind(network, tensors, settings, own)


class SharedModule(EnsembleModule):
    """The training of multimodal networks at one of several sites, in step with the others."""

    def __init__(
        self,
        network: MultimodalNetwork,
        tensors: TrainingTensors,
        settings: TrainerSettings,
        own: MemberSettings | None = None,
    ) -> None:
        total = tensors.total
        seed = (settings.seed + _BETWEEN_SITES * total.place) % 2**31
        super().__init__(network, tensors, replace(settings, seed=seed), own)
        trained = tensors.training.double().sum(dim=1)
        everybody, weights = total("weights", torch.tensor(float(self.patients)), trained)
        self._steps = math.ceil(int(everybody) / settings.batch_size)
        # Every site deals its patients into as many batches as the others.
        sizes = [len(each) for each in torch.arange(self.patients).tensor_split(self._steps)]
        (step_sizes,) = total("batches", torch.tensor(sizes, dtype=torch.float64))
        self._step_sizes = step_sizes.tolist()
        self._mean_weight = (weights / everybody).to(tensors.training).unsqueeze(1)
        self._each_step = settings.federation.combine is Combine.STEPS
        self._part = (trained / weights).to(tensors.training)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every patient of every site once."""
        return self._steps

    def _rows(self) -> Tensor:
        """Return the patients of this step who are here."""
        epoch, position = divmod(self.global_step, self._steps)
        return self._order(epoch).tensor_split(self._steps)[position].to(self.device)

    def _share(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Return what each patient counts: in the step of all sites, or in one of this site."""
        if not self._each_step:
            return super()._share(weights, rows)
        size = self._step_sizes[self.global_step % self._steps]
        return weights[:, rows] / (self._mean_weight.to(weights) * size)

    @torch.no_grad()
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Complete the gradient to that of the patients of all sites."""
        if not self._each_step:
            return
        slopes = [each.grad for each in self.network.parameters() if each.grad is not None]
        completed = self.tensors.total("gradient", *(each.cpu() for each in slopes))
        for slope, whole in zip(slopes, completed, strict=True):
            slope.copy_(whole)

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Average the sites' weights where each took its own steps; then as anywhere."""
        if not self._each_step:
            learned = [each for each in self.network.parameters() if each.requires_grad]
            part = [self._part.view(-1, *[1] * (each.ndim - 1)) for each in learned]
            weighed = [each.cpu() * own for each, own in zip(learned, part, strict=True)]
            for each, mean in zip(learned, self.tensors.total("weights", *weighed), strict=True):
                each.copy_(mean)
        trained = torch.stack(self._epoch_loss).mean(dim=0).cpu()
        trained = trained if self._each_step else trained * self._part
        self._epoch_loss = list(self.tensors.total("training loss", trained))
        super().on_train_epoch_end()
