"""Training of all members together as one Lightning module."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import lightning
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, Dataset

from omics_twin.models.encoders import WideInput
from omics_twin.models.fusion import Evidence, posterior
from omics_twin.models.heads import CoxHead
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.variants import MemberAdamW, MemberSettings
from omics_twin.settings import TrainerSettings
from omics_twin.tensors.batch import TrainingTensors

_BASELINE_DRAWS = 16


class MembersModule(lightning.LightningModule):
    """Networks trained as one: a step moves every member, each keeps its own best epoch.

    Randomness is a function of (seed, step): batches, dropout and latent noise need no stored
    generator state, so a resumed run continues bit for bit.

    Parameters
    ----------
    settings
        Of the training; where ``own`` is given, its per-member numbers are read from there.
    own
        Settings that differ between members; None: all members are trained alike.
    """

    best_loss: Tensor
    reached_loss: Tensor
    waited: Tensor

    def __init__(
        self,
        network: nn.Module,
        members: int,
        settings: TrainerSettings,
        own: MemberSettings | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.members = members
        self.settings = settings
        self.own = own
        self.curves: list[dict[str, float]] = []
        # Of what it has learned, and of that or what it began with.
        self.register_buffer("reached_loss", torch.full((members,), float("inf")))
        self.register_buffer("best_loss", torch.full((members,), float("inf")))
        self.register_buffer("waited", torch.zeros(members))
        for name, value in self._learned():
            self.register_buffer(_best(name), value.detach().clone())
        self._epoch_loss: list[Tensor] = []

    def _learned(self) -> list[tuple[str, Tensor]]:
        return [(name, each) for name, each in self.network.named_parameters()]

    @property
    def patients(self) -> int:
        """Number of training patients."""
        raise NotImplementedError

    def stopping_loss(self) -> Tensor:
        """Return each member's loss on its stopping patients, (member,)."""
        raise NotImplementedError

    @property
    def steps_per_epoch(self) -> int:
        """Batches that cover every patient once."""
        return -(-self.patients // self.settings.batch_size)

    def train_dataloader(self) -> DataLoader:
        """Return the steps of an epoch; the patients of a step follow from seed and step."""
        steps = cast(Dataset[int], range(self.steps_per_epoch))
        return DataLoader(steps, batch_size=None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return AdamW; levels, gains, fading and biases are not decayed."""
        parameters = [each for each in self.network.named_parameters() if each[1].requires_grad]
        plain = ("bias", "level", "certainty", "gain", "fade")
        decayed = [p for name, p in parameters if not name.endswith(plain)]
        free = [p for name, p in parameters if name.endswith(plain)]
        if self.own is not None:
            apart = [{"params": decayed, "decays": True}, {"params": free, "decays": False}]
            return MemberAdamW(apart, self.own.learning_rate, self.own.weight_decay)
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": free, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, foreach=True)

    def _rows(self) -> Tensor:
        """Return the patients of this step."""
        epoch, position = divmod(self.global_step, self.steps_per_epoch)
        size = self.settings.batch_size
        return self._order(epoch)[position * size : (position + 1) * size].to(self.device)

    def _order(self, epoch: int) -> Tensor:
        """Return the order in which an epoch takes the patients."""
        return torch.randperm(self.patients, generator=_generator(self.settings.seed, epoch, 1))

    def _share(self, weights: Tensor, rows: Tensor) -> Tensor:
        """Return what each patient of a step counts in each member's loss, (member, row)."""
        return weights[:, rows] / (weights.mean(dim=1, keepdim=True) * len(rows))

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Keep each member's best weights; stop when every member has waited long enough."""
        loss = self.stopping_loss()
        active = self.waited < self.settings.patience
        reached = torch.fmin(loss, self.reached_loss)
        self.reached_loss = torch.where(active, reached, self.reached_loss)
        better = active & (loss < self.best_loss - 1e-5)
        self.best_loss = torch.where(better, loss, self.best_loss)
        self.waited = torch.where(better, torch.zeros_like(self.waited), self.waited + 1)
        for name, value in self._learned():
            best = getattr(self, _best(name))
            mask = better.view(-1, *[1] * (value.ndim - 1))
            best.copy_(torch.where(mask, value, best))
        trained = torch.stack(self._epoch_loss).mean(dim=0)
        self._epoch_loss = []
        self.curves.append(
            {
                "epoch": float(self.current_epoch),
                "training_loss": float(trained.mean()),
                "stopping_loss": float(loss.mean()),
                "members_running": float((self.waited < self.settings.patience).sum()),
            }
        )
        if bool((self.waited >= self.settings.patience).all()):
            self.trainer.should_stop = True

    @torch.no_grad()
    def restore_best(self) -> None:
        """Give every member the weights of its own best epoch."""
        for name, value in self._learned():
            value.copy_(getattr(self, _best(name)))

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Store the learning curves, which are part of the run's record."""
        checkpoint["curves"] = self.curves

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Continue the learning curves."""
        self.curves = list(checkpoint["curves"])


class EnsembleModule(MembersModule):
    """The training of multimodal networks."""

    network: MultimodalNetwork

    def __init__(
        self,
        network: MultimodalNetwork,
        tensors: TrainingTensors,
        settings: TrainerSettings,
        own: MemberSettings | None = None,
    ) -> None:
        super().__init__(network, network.members, settings, own)
        self.tensors = tensors
        self._reduced: dict[str, WideInput | None] = {}
        self._additions: dict[str, Tensor] = {}
        self._there: dict[str, Tensor] = {}

    @property
    def patients(self) -> int:
        """Number of patients in the training tensors."""
        return self.tensors.agents.shape[0]

    def on_fit_start(self) -> None:
        """Move the patients to the device once."""
        self.tensors = self.tensors.to(self.device)
        self._reduced, self._additions, self._there = {}, {}, {}

    def _values(self, channel: str, rows: Tensor) -> Tensor | WideInput:
        """Return a channel's patients; a wide channel is reduced to its components once."""
        if channel not in self._reduced:
            encoder = self.network.encoder(channel)
            with torch.no_grad():
                self._reduced[channel] = encoder.reduced(self.tensors.channels[channel])
        reduced = self._reduced[channel]
        return self.tensors.channels[channel][rows] if reduced is None else reduced[rows]

    def training_step(self, batch: int, batch_idx: int) -> Tensor:
        """Return the loss of one step, summed over members."""
        rows = self._rows()
        generator = _generator(self.settings.seed, self.global_step, 2)
        weights = self.tensors.training
        share = self._share(weights, rows)
        shown = self._shown(len(rows), generator)
        before = self._before_treatment(rows, shown, generator)
        added = self._added(rows, shown, generator)
        counted = weights[:, rows]
        loss = self._loss(rows, counted, before, added, generator, self._divergence_weight)
        loss = (loss * share).sum(dim=1)
        self._epoch_loss.append(loss.detach())
        if self._follow_ups:
            later = self._follow_up_loss(rows, counted, before, added, generator)
            loss = loss + (later * share).sum(dim=1)
        return loss.sum()

    @property
    def _divergence_weight(self) -> float | Tensor:
        if self.own is None:
            return self.settings.divergence_weight
        return self.own.divergence_weight.to(self.device).unsqueeze(-1)

    @property
    def _follow_ups(self) -> list[str]:
        return [name for name, day in self.tensors.visit_days.items() if day > 0]

    def _before_treatment(
        self, rows: Tensor, shown: dict[str, Tensor], generator: Generator | None
    ) -> Evidence:
        values = {name: self._values(name, rows) for name in shown}
        return self.network.together(values, self.tensors.agents[rows], shown, generator)

    def _added(self, rows: Tensor, shown: dict[str, Tensor], generator: Generator | None) -> Tensor:
        """Return what the channels add to the score; a draw of it where one is not shown.

        Without a generator a channel that is not shown adds nothing.
        """
        network = self.network
        total = torch.zeros(network.members, len(rows), network.terms, device=self.device)
        for name, seen in shown.items() if network.terms else ():
            there = (seen * self._measured[name][rows]).unsqueeze(-1)
            addition = self._addition(name)[:, rows]
            if generator is None:
                total = total + there * addition
            else:
                noise = self._noise(total.shape, generator)
                total = total + network.encoder(name).settled(addition, there, noise)
        return total

    @property
    def _measured(self) -> dict[str, Tensor]:
        if not self._there:
            self._there = {
                name: (~torch.isnan(values).all(dim=1)).float()
                for name, values in self.tensors.channels.items()
            }
        return self._there

    def _addition(self, channel: str) -> Tensor:
        """Return what a channel adds for every patient; it does not change in training."""
        if channel not in self._additions:
            everyone = torch.arange(self.patients, device=self.device)
            with torch.no_grad():
                values = self._values(channel, everyone)
                self._additions[channel] = self.network.encoder(channel).added(values)
        return self._additions[channel]

    def _loss(
        self,
        rows: Tensor,
        weights: Tensor,
        evidence: Evidence,
        added: Tensor,
        generator: Generator,
        divergence_weight: float | Tensor,
    ) -> Tensor:
        noise = self._noise(evidence.shift.shape, generator)
        agents, targets = self.tensors.agents[rows], self.tensors.targets[rows]
        return self.network.loss(
            evidence, agents, targets, weights, noise, added, divergence_weight
        )

    def _follow_up_loss(
        self, rows: Tensor, weights: Tensor, before: Evidence, added: Tensor, generator: Generator
    ) -> Tensor:
        """Return the loss after a random prefix of the follow-up visits.

        A follow-up expert learns to move the belief that the measurements before treatment led
        to: neither they nor the head see its gradient, so the answer before treatment is the one
        of a network that never saw a follow-up visit.
        """
        days = sorted({self.tensors.visit_days[name] for name in self._follow_ups})
        last = torch.tensor(days)[torch.randint(len(days), (len(rows),), generator=generator)]
        evidence = Evidence(before.shift.detach(), before.precision.detach())
        came = torch.zeros(len(rows), device=self.device)
        prefix = {}
        for name in self._follow_ups:
            shown = (last >= self.tensors.visit_days[name]).float().to(self.device)
            prefix[name] = shown
            found = {name: self._values(name, rows)}
            agents = self.tensors.agents[rows]
            evidence = evidence + self.network.together(found, agents, {name: shown}, generator)
            came = torch.maximum(came, shown * self._measured[name][rows])
        added = added + self._added(rows, prefix, None)
        mean, deviation = posterior(evidence)
        noise = self._noise(mean.shape, generator)
        code = torch.cat([mean + deviation * noise, added], dim=-1)
        agents, targets = self.tensors.agents[rows], self.tensors.targets[rows]
        return self.network.frozen_loss(code, agents, targets, weights * came) * came

    def _noise(self, shape: torch.Size, generator: Generator) -> Tensor:
        """Draw noise on the CPU, the same for copies of a member, (member, patient, latent)."""
        if self.own is None:
            return torch.randn(shape, generator=generator).to(self.device)
        copies = self.own.copies
        drawn = torch.randn(copies.planned, *shape[1:], generator=generator)
        return copies.spread(drawn).to(self.device)

    def _shown(self, patients: int, generator: Generator) -> dict[str, Tensor]:
        """Draw which channels each patient of a step is shown before treatment: any subset."""
        shown = {}
        for name, day in self.tensors.visit_days.items():
            if day <= 0:
                chance = torch.rand(patients, generator=generator)
                if self.own is None:
                    kept = (chance >= self.settings.modality_dropout).float()
                else:
                    kept = (chance >= self.own.modality_dropout.unsqueeze(-1)).float()
                    kept = kept * self.own.shown[name].unsqueeze(-1)
                shown[name] = kept.to(self.device)
        return shown

    def stopping_loss(self) -> Tensor:
        """Return each member's loss before treatment on its stopping patients, (member,)."""
        self.network.eval()
        total = torch.zeros(self.network.members, device=self.device)
        everyone = torch.arange(self.patients, device=self.device)
        for start in range(0, self.patients, 4096):
            rows = everyone[start : start + 4096]
            generator = _generator(self.settings.seed, start, 3)
            shown = {
                name: self._always(name, len(rows))
                for name, day in self.tensors.visit_days.items()
                if day <= 0
            }
            before = self._before_treatment(rows, shown, None)
            added = self._added(rows, shown, generator)
            counted = self.tensors.stopping[:, rows]
            loss = self._loss(rows, counted, before, added, generator, divergence_weight=0.0)
            total += (loss * counted).sum(dim=1)
        self.network.train()
        lost, patients = self.tensors.total(
            "loss on inner validation", total, self.tensors.stopping.sum(dim=1)
        )
        return lost / patients

    def _always(self, channel: str, patients: int) -> Tensor:
        """Return that a channel is shown to every member that may see it."""
        if self.own is None:
            return torch.ones(patients, device=self.device)
        return self.own.shown[channel].to(self.device).unsqueeze(-1).expand(-1, patients)

    @torch.no_grad()
    def settle_baselines(self) -> None:
        """Give every proportional-hazards head the baseline of its member's stopping patients.

        On the patients a member has learned, risks lie too far apart, and a baseline fitted to
        them is too high for anybody else.
        """
        heads = [head for _, head in self.network.outcome.parts]
        if not any(isinstance(head, CoxHead) for head in heads):
            return
        self.on_fit_start()
        self.network.eval()
        found: list[dict[int, Tensor]] = []
        for start in range(0, self.patients, 4096):
            rows = torch.arange(start, min(start + 4096, self.patients), device=self.device)
            found.append(self._relative_hazards(rows, _generator(self.settings.seed, start, 4)))
        for index in found[0]:
            log_hazard = torch.cat([each[index] for each in found], dim=1)
            target = self.tensors.targets[:, 2 * index : 2 * index + 2]
            cast(CoxHead, heads[index]).settle(log_hazard, target, self.tensors.stopping)

    def _relative_hazards(self, rows: Tensor, generator: Generator) -> dict[int, Tensor]:
        """Return the logarithm of the mean relative hazard over draws of each patient's code."""
        shown = {
            name: self._always(name, len(rows))
            for name, day in self.tensors.visit_days.items()
            if day <= 0
        }
        mean, deviation = posterior(self._before_treatment(rows, shown, None))
        drawn = []
        for _ in range(_BASELINE_DRAWS):
            added = self._added(rows, shown, generator)
            noise = self._noise(mean.shape, generator)
            code = torch.cat([mean + deviation * noise, added], dim=-1)
            drawn.append(self.network.outcome.relative_hazards(code, self.tensors.agents[rows]))
        return {
            index: torch.stack([each[index] for each in drawn]).logsumexp(dim=0)
            - math.log(_BASELINE_DRAWS)
            for index in drawn[0]
        }


class EpochLines(lightning.Callback):
    """Tell a person, now and then, how training goes."""

    def __init__(self, say: Callable[[str], None], every: int = 10) -> None:
        self.say = say
        self.every = every

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Report the epoch before this one."""
        if trainer.current_epoch % self.every or not isinstance(pl_module, MembersModule):
            return
        if pl_module.curves:
            last = pl_module.curves[-1]
            self.say(
                f"epoch {trainer.current_epoch} of at most {trainer.max_epochs}: loss on inner "
                f"validation {last['stopping_loss']:.4f}, members still learning "
                f"{last['members_running']:.0f} of {pl_module.members}"
            )


def _best(name: str) -> str:
    return "best_" + name.replace(".", "__")


def _generator(seed: int, step: int, purpose: int) -> Generator:
    """Return a CPU generator that is a function of (seed, purpose, step)."""
    # A multiplicative hash keeps neighbouring steps from sharing correlated streams.
    key = (seed * 1_000_003 + purpose) * 2_654_435_761 + step * 40_503 + 12_345
    return Generator().manual_seed(key % (2**63))
