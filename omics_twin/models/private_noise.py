"""Noise whose seed is the secret that a privacy guarantee rests on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class NoiseSource:
    """Random numbers as a function of (key, stream, purpose, step).

    Whoever knows the key can take the noise away again, so it comes from the operating system and
    is never stored. A key that is chosen makes a run reproducible and its guarantee void: the two
    cannot be had together. Philox is no cryptographic generator, and Gaussian noise in floating
    point leaks in its last bits (Mironov 2012, doi:10.1145/2382196.2382264).

    Attributes
    ----------
    key
        128 bits.
    secret
        Whether nobody knows the key.
    stream
        Fits with the same key and another stream share no noise.
    """

    key: int
    secret: bool
    stream: int = 0

    @staticmethod
    def of(seed: int | None) -> NoiseSource:
        """Return noise of a seed, or secret noise where there is none."""
        return NoiseSource(secrets.randbits(128) if seed is None else seed, seed is None)

    def at(self, stream: int) -> NoiseSource:
        """Return the noise of another fit."""
        return replace(self, stream=stream)

    def normal(self, shape: tuple[int, ...], purpose: int, step: int) -> Float[Tensor, "..."]:
        """Return standard normal numbers."""
        return torch.from_numpy(self._generator(purpose, step).standard_normal(shape)).float()

    def uniform(self, shape: tuple[int, ...], purpose: int, step: int) -> Float[Tensor, "..."]:
        """Return numbers from 0 to 1."""
        return torch.from_numpy(self._generator(purpose, step).random(shape)).float()

    def _generator(self, purpose: int, step: int) -> np.random.Generator:
        # Each generator counts up the first word; the others tell the generators apart.
        counter = [0, step, purpose, self.stream]
        return np.random.Generator(np.random.Philox(key=self.key, counter=counter))
