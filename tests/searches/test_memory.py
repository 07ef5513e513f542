"""Variants are divided over as few batches as memory allows, and none is forgotten."""

from __future__ import annotations

from itertools import chain
from types import SimpleNamespace

import numpy as np
import torch

from omics_twin.config import load
from omics_twin.searches.memory import batches, free_bytes, member_bytes
from omics_twin.settings import Device


def test_variants_that_do_not_fit_together_are_divided(unchecked: None) -> None:
    config = load("train", ["trainer.device=CPU"])
    channel = SimpleNamespace(features=range(50))
    task = SimpleNamespace(design=SimpleNamespace(channels=[channel]), arms=np.zeros(400))
    plan = SimpleNamespace(fold=torch.zeros(10))
    one = 10 * member_bytes(task, config)
    assert batches(task, config, plan, 7, free=100 * one) == [range(7)]
    found = batches(task, config, plan, 7, free=6 * one)
    assert [len(each) for each in found] == [3, 3, 1]
    assert list(chain(*found)) == list(range(7))
    assert len(batches(task, config, plan, 7, free=1)) == 7
    assert free_bytes(Device.CPU) > 0
