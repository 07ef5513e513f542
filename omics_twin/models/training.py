"""A Lightning run of members: on CPU or GPU, from the last checkpoint on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import lightning
import torch
from jaxtyping import Bool
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.logs import quiet
from omics_twin.models.checkpoint import EveryFewEpochs, SafeCheckpoints, last_checkpoint
from omics_twin.models.module import EpochLines, MembersModule
from omics_twin.settings import Device, TrainerSettings

# Losses are about 0.5 to 1 before training; a member whose best is this many times that is lost.
_DIVERGED = 10.0


def trained(
    module: MembersModule, settings: TrainerSettings, folder: Path, say: Callable[[str], None]
) -> tuple[int, Bool[Tensor, " member"]]:
    """Train members in place, each left with the weights of its own best epoch.

    Returns
    -------
    tuple
        The epoch after which a stored run was gone on with, and which members diverged.

    Raises
    ------
    TrainingError
        If a GPU is asked for and there is none.
    """
    with torch.no_grad():
        untrained = module.stopping_loss()
        # A member that learns nothing of use to its stopping patients stays as it began.
        module.best_loss.copy_(untrained)
    resume = last_checkpoint(folder)
    resumed_at = 0
    if resume is not None:
        resumed_at = int(resume.stem.removeprefix("epoch-"))
        say(f"resuming after epoch {resumed_at}")
    with quiet("lightning.pytorch"), warnings.catch_warnings():
        # The loader hands out step numbers; more workers would only be in the way.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists.*")
        # Lightning's own use of PyTorch, not this project's.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        trainer = lightning.Trainer(
            max_epochs=settings.max_epochs,
            accelerator=accelerator_of(settings.device),
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=True,
            callbacks=[
                EveryFewEpochs(folder, settings.checkpoint_every_epochs),
                EpochLines(say),
            ],
            plugins=[SafeCheckpoints()],
            default_root_dir=folder,
        )
        trainer.fit(module, ckpt_path=None if resume is None else str(resume))
    module.restore_best()
    # A comparison with NaN is false, so a member that never had a loss has diverged too.
    return resumed_at, ~(module.reached_loss.cpu() <= _DIVERGED * untrained)


def accelerator_of(device: Device) -> str:
    """Return what Lightning calls a device.

    Raises
    ------
    TrainingError
        If it is not there.
    """
    if device is Device.GPU and not torch.cuda.is_available():
        raise TrainingError("trainer.device is GPU, but no GPU was found: use trainer.device=AUTO")
    return {Device.AUTO: "auto", Device.CPU: "cpu", Device.GPU: "gpu"}[device]
