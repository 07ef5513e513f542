"""Where numbers lie and how far apart, from noisy counts alone.

A patient is in one bin of every feature, so adding or removing one changes the counts of all
features together by the square root of their number. Nothing needs to be declared: a first count
over powers of two finds the size of the numbers, a second one where they lie (after Karwa & Vadhan
2018, Finite sample differentially private confidence intervals, arXiv:1711.03908).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.models.private_noise import NoiseSource

_SMALLEST, _LARGEST, _BINS = -10, 20, 16
_SIZES, _PLACES, _COUNTS = 10_001, 10_002, 10_003
# Counts below this many standard deviations of the noise are taken for nothing. Not more: where
# tails are missed, a feature's far values are blown up, which costs more than a scale too wide.
_TOLD = 2.0
RELEASES = 2
"""Counts that :func:`private_standards` releases."""


@dataclass(frozen=True)
class Standards:
    """What standardises features: ``scale * value + offset``, each (member, feature)."""

    scale: Float[Tensor, "member feature"]
    offset: Float[Tensor, "member feature"]


def private_standards(
    values: Float[Tensor, "patient feature"],
    binary: Bool[Tensor, " feature"],
    training: Float[Tensor, "member patient"],
    noise_multiplier: float,
    noise: NoiseSource,
    limits: Float[Tensor, "two feature"] | None = None,
) -> Standards:
    """Return what standardises features, from two noisy counts of each member's patients.

    A 0/1 feature is not counted: it is moved to one half below and above zero. Nor is a feature
    whose range is declared: it is moved to two below and above zero.

    Parameters
    ----------
    values
        NaN: not measured.
    noise_multiplier
        Of each of the two counts.
    limits
        Declared least and largest value of each feature, NaN: not declared.
    """
    members, features = len(training), values.shape[1]
    scale, offset = torch.ones(members, features), torch.full((members, features), -0.5)
    lowest, highest = torch.full((2, features), torch.nan) if limits is None else limits
    declared = torch.isfinite(highest - lowest) & ~binary
    reach = (highest - lowest)[declared] / 4.0
    scale[:, declared] = 1.0 / reach
    offset[:, declared] = -((highest + lowest)[declared] / 2.0) / reach
    numbers = torch.nonzero(~binary & ~declared)[:, 0]
    if not len(numbers):
        return Standards(scale, offset)
    measured = values[:, numbers]
    deviation = noise_multiplier * math.sqrt(len(numbers))
    reach = _reach(measured, training, deviation, noise)
    mean, spread = _moments(measured, training, reach, deviation, noise)
    scale[:, numbers] = 1.0 / spread
    offset[:, numbers] = -mean / spread
    return Standards(scale, offset)


def private_counts(
    cells: Float[Tensor, "patient cell"],
    training: Float[Tensor, "member patient"],
    noise_multiplier: float,
    noise: NoiseSource,
) -> Float[Tensor, "member cell"]:
    """Return how many patients of each member are in each cell; a patient is in one only."""
    counts = training @ cells
    return counts + noise_multiplier * noise.normal(tuple(counts.shape), _COUNTS, 0)


def _reach(
    values: Tensor, training: Tensor, deviation: float, noise: NoiseSource
) -> Float[Tensor, "member feature"]:
    """Return the power of two that all but a few of the absolute values are below."""
    power = torch.nan_to_num(values, nan=0.0).abs().clamp(min=2.0**_SMALLEST).log2().floor()
    bins = (power.clamp(max=_LARGEST) - _SMALLEST).long()
    counts = _counts(bins, values, training, _LARGEST - _SMALLEST + 1)
    noisy = counts + deviation * noise.normal(tuple(counts.shape), _SIZES, 0)
    told = noisy > _TOLD * deviation
    powers = torch.arange(_SMALLEST, _LARGEST + 1) + 1.0
    # Where no count stands out from the noise, a number is taken to be around one.
    highest = torch.where(told, powers, -torch.inf).amax(dim=2)
    return torch.where(torch.isfinite(highest), highest, 1.0).exp2()


def _moments(
    values: Tensor, training: Tensor, reach: Tensor, deviation: float, noise: NoiseSource
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation within the bins that stand out from the noise."""
    counts = []
    for own, each in zip(reach, training, strict=True):
        place = (torch.nan_to_num(values, nan=0.0) / own * 0.5 + 0.5) * _BINS
        bins = place.floor().clamp(0, _BINS - 1).long()
        counts.append(_counts(bins, values, each[None], _BINS)[0])
    exact = torch.stack(counts)
    noisy = exact + deviation * noise.normal(tuple(exact.shape), _PLACES, 0)
    kept = torch.where(noisy > _TOLD * deviation, noisy, 0.0)
    total = kept.sum(dim=2, keepdim=True)
    share = kept / total.clamp(min=1e-9)
    middle = (torch.arange(_BINS) + 0.5) / _BINS * 2.0 - 1.0
    mean = (share * middle).sum(dim=2)
    # Values spread evenly within a bin; sheppard's correction with its sign turned.
    variance = (share * (middle - mean.unsqueeze(-1)).square()).sum(dim=2) + (1 / _BINS) ** 2 / 3
    told = total[..., 0] > 0
    mean, spread = torch.where(told, mean, 0.0), torch.where(told, variance.sqrt(), 0.5)
    return mean * reach, spread * reach


def _counts(
    bins: Tensor, values: Tensor, training: Tensor, size: int
) -> Float[Tensor, "member feature bin"]:
    there = (~torch.isnan(values)).to(training).unsqueeze(-1)
    hot = torch.nn.functional.one_hot(bins, size).to(training) * there
    return (training @ hot.flatten(1)).unflatten(1, hot.shape[1:])
