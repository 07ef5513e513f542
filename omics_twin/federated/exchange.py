"""What a site sends and is told: sums over its patients, completed to sums over all sites."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from safetensors.numpy import load, save
from torch import Tensor

from omics_twin.federated.masks import Masks, numbers_of
from omics_twin.federated.meeting import LIST, SUM

Send = Callable[[int, str, str, bytes], bytes]
"""Carries number, kind, name and part of a message to the server and returns the answer."""


class Exchange:
    """One site's sums, see :class:`omics_twin.tensors.sums.Total`.

    Parameters
    ----------
    site, sites
        This one, and all in an order that every site knows.
    send
        Carries a message to where the parts meet.
    masked
        Whether the server sees only whole sums.
    """

    def __init__(self, site: str, sites: Sequence[str], send: Send, *, masked: bool) -> None:
        self.place = list(sites).index(site)
        self.sites = tuple(sites)
        self.sent: dict[str, int] = {}
        self._send, self._number = send, 0
        self._masks: Masks | None = None
        if masked:
            masks = Masks(site)
            masks.meet(dict(zip(sites, self.told("keys", masks.public), strict=True)))
            self._masks = masks

    def told(self, name: str, record: Any) -> list[Any]:
        """Return what every site tells openly, in the order of the sites; never of a patient."""
        return list(json.loads(self._asked(LIST, name, json.dumps(record).encode())))

    def __call__(self, name: str, *parts: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over all sites."""
        flat = [each.detach().cpu().reshape(-1) for each in parts]
        narrow = all(each.dtype == torch.float32 for each in flat)
        kind = torch.float32 if narrow else torch.float64
        summed = self._summed(name, torch.cat([each.to(kind) for each in flat]).numpy())
        found = torch.from_numpy(summed).split([each.numel() for each in parts])
        return tuple(
            each.view(part.shape).to(part) for each, part in zip(found, parts, strict=True)
        )

    def gathered(self, name: str, part: Tensor) -> Tensor:
        """Return rows of all sites, one site after the other; each adds to places of its own."""
        sizes = torch.zeros(len(self.sites), dtype=torch.float64)
        sizes[self.place] = len(part)
        (sizes,) = self(f"{name}: rows", sizes)
        first = int(sizes[: self.place].sum())
        slots = torch.zeros(int(sizes.sum()), *part.shape[1:], dtype=part.dtype)
        slots[first : first + len(part)] = part
        return self(name, slots)[0]

    def _summed(self, name: str, values: ndarray) -> ndarray:
        if self._masks is None:
            return np.array(load(self._asked(SUM, name, save({"part": values})))["part"])
        words = self._masks.masked(values, self._number)
        return numbers_of(load(self._asked(SUM, name, save({"part": words})))["part"])

    def _asked(self, kind: str, name: str, part: bytes) -> bytes:
        self.sent[name] = self.sent.get(name, 0) + len(part)
        answer = self._send(self._number, kind, name, part)
        self._number += 1
        return answer
