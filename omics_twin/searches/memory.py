"""Variants of an ensemble in as few batches as memory allows."""

from __future__ import annotations

import os

import torch

from omics_twin.config import Config
from omics_twin.settings import Device
from omics_twin.tensors.members import MemberPlan
from omics_twin.training.tasks import Task

# A weight is held as value, gradient, two moments, best value and the optimiser's scratch.
_COPIES_OF_A_WEIGHT = 8
# Hidden values are held by the forward pass, its masks and the backward pass.
_COPIES_OF_A_VALUE = 12
_USABLE = 0.5
_BYTES = 4


def free_bytes(device: Device) -> int:
    """Return the memory that is free where training will run [byte]."""
    if device is not Device.CPU and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def member_bytes(task: Task, config: Config) -> int:
    """Return roughly what one more member costs in training [byte]."""
    width = config.model.latent + config.model.hidden
    weights = values = 0
    for channel in task.design.channels:
        features = len(channel.features)
        inputs = config.model.components if features > config.model.wide_features else 2 * features
        weights += inputs * width
        values += width
    heads = config.model.latent * (config.model.therapy_code + config.model.interaction_hidden)
    rows = min(config.trainer.batch_size, len(task.arms))
    scored = min(4096, len(task.arms))
    held = _COPIES_OF_A_WEIGHT * (weights + heads) + _COPIES_OF_A_VALUE * rows * (values + width)
    return _BYTES * (held + 2 * scored * (width + values))


def batches(
    task: Task, config: Config, plan: MemberPlan, variants: int, *, free: int | None = None
) -> list[range]:
    """Return which variants train together, in as few batches as memory allows.

    Parameters
    ----------
    free
        Memory that may be used [byte]; None: what the machine has free now.
    """
    available = free_bytes(config.trainer.device) if free is None else free
    one = len(plan.fold) * member_bytes(task, config)
    together = max(1, int(_USABLE * available / one))
    count = -(-variants // together)
    size = -(-variants // count)
    return [range(start, min(start + size, variants)) for start in range(0, variants, size)]
