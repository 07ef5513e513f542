"""Is a patient like those a model was trained on? Two distances per modality, ranked among them.

Each modality is described by a few principal components of the training patients. A patient may be
far out along them (Hotelling's T²) or away from all of them (the residual Q). The larger of all
these, each on its own scale, is ranked among the same number of training patients who were left out
while it was fitted: the share of them who are at least as unusual is a conformal p-value.

References
----------
Jackson & Mudholkar 1979, Control procedures for residuals associated with principal component
analysis (doi:10.1080/00401706.1979.10489779); Bates et al. 2023, Testing for outliers with
conformal p-values (doi:10.1214/22-AOS2244).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.tensors.sums import Total, here

_COMPONENTS, _FOLDS, _FEWEST = 20, 5, 40
# Features whose products are added up over sites; wider modalities are then not looked at.
_WIDEST_SHARED = 3000
_PARTS = ("mean", "spread", "directions", "variances", "scale")


@dataclass(frozen=True)
class ChannelLikeness:
    """One modality at one visit.

    Attributes
    ----------
    mean, spread
        Of each feature; a spread of 0: it never varied and is not looked at.
    directions, variances
        Principal components of the standardised features, and their variances.
    scale
        Mean and standard deviation of log T² and of log Q, in this order.
    """

    mean: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]
    directions: Float[Tensor, "component feature"]
    variances: Float[Tensor, " component"]
    scale: Float[Tensor, "4"]

    def standardised(self, values: Float[Tensor, "patient feature"]) -> Tensor:
        """Return values in standard deviations; what was not measured is average."""
        varied = self.spread > 0
        found = torch.where(varied, (values - self.mean) / self.spread.clamp(min=1e-12), 0.0)
        return torch.nan_to_num(found, nan=0.0)

    def distances(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, "patient two"]:
        """Return log T² and log Q."""
        found = self.standardised(values)
        along = found @ self.directions.T
        hotelling = (along.square() / self.variances).sum(dim=1)
        residual = (found - along @ self.directions).square().sum(dim=1)
        return torch.stack([hotelling, residual], dim=1).clamp(min=1e-9).log()

    def unusual(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, " patient"]:
        """Return how unusual patients are, on one scale for every modality; -inf: not measured."""
        found = (self.distances(values) - self.scale[[0, 2]]) / self.scale[[1, 3]].clamp(min=1e-6)
        if float(self.scale[3]) < 1e-6:
            # As many components as features: nothing is left over, of anybody.
            found = found[:, :1]
        measured = torch.isfinite(values).any(dim=1)
        return torch.where(measured, found.max(dim=1).values, -torch.inf)


@dataclass(frozen=True)
class Verdict:
    """How a patient compares with the training patients.

    Attributes
    ----------
    share
        Share of the training patients who are at least as unusual; a conformal p-value.
    channel
        Where the patient is the most unusual.
    features
        Places of the channel's features that are the farthest from their mean, the farthest first.
    """

    share: float
    channel: str
    features: tuple[int, ...]


@dataclass(frozen=True)
class Likeness:
    """What training patients look like.

    Attributes
    ----------
    channels
        By channel name.
    calibration
        How unusual training patients are who were left out, in rising order.
    """

    channels: Mapping[str, ChannelLikeness]
    calibration: Float[Tensor, " trained"]

    def verdict(self, values: Mapping[str, Tensor], most: int = 3) -> Verdict | None:
        """Return how the only patient of some values compares; None where nothing was measured."""
        found = {
            name: float(channel.unusual(values[name].double())[0])
            for name, channel in self.channels.items()
        }
        name = max(found, key=lambda each: found[each], default="")
        if not name or found[name] == -torch.inf:
            return None
        above = int((self.calibration >= found[name]).sum())
        far = self.channels[name].standardised(values[name].double())[0].abs()
        farthest = torch.argsort(far, descending=True)[:most].tolist()
        share = (1 + above) / (1 + len(self.calibration))
        return Verdict(share, name, tuple(each for each in farthest if float(far[each]) > 1.0))

    def unusual(
        self, values: Mapping[str, Float[Tensor, "patient _"]]
    ) -> Float[Tensor, " patient"]:
        """Return how unusual each patient is where most so; -inf where nothing was measured."""
        found = [each.unusual(values[name].double()) for name, each in self.channels.items()]
        return torch.stack(found).max(dim=0).values

    def shares(self, unusual: Float[Tensor, " patient"]) -> Float[Tensor, " patient"]:
        """Return the share of the training patients who are at least as unusual; see verdict."""
        below = torch.searchsorted(self.calibration, unusual.contiguous())
        return (1.0 + len(self.calibration) - below) / (1.0 + len(self.calibration))

    def to_tensors(self) -> dict[str, Tensor]:
        """Return what is stored."""
        stored = {"calibration": self.calibration}
        for name, channel in self.channels.items():
            stored |= {f"{part}/{name}": getattr(channel, part).contiguous() for part in _PARTS}
        return stored

    @staticmethod
    def from_tensors(stored: Mapping[str, Tensor]) -> Likeness | None:
        """Return what :meth:`to_tensors` stored; None where nothing is."""
        if not stored:
            return None
        names = [name.partition("/")[2] for name in stored if name.startswith("mean/")]
        channels = {
            name: ChannelLikeness(*(stored[f"{part}/{name}"] for part in _PARTS)) for name in names
        }
        return Likeness(channels, stored["calibration"])


def fit_likeness(
    values: Mapping[str, Float[Tensor, "patient _"]], total: Total = here
) -> Likeness | None:
    """Return what patients look like; None where they are too few to tell.

    Parameters
    ----------
    values
        Channel -> (patient, feature), NaN: not measured.
    total
        Completes sums over these patients where others are learned from elsewhere.
    """
    known = {}
    for name, each in values.items():
        (measured,) = total("measured", torch.isfinite(each).any(dim=1).double().sum())
        if measured >= _FEWEST and (total is here or each.shape[1] <= _WIDEST_SHARED):
            known[name] = each.double()
    if not known:
        return None
    patients = len(next(iter(known.values())))
    fold = torch.arange(patients) % _FOLDS
    left_out = torch.full((patients,), -torch.inf, dtype=torch.float64)
    for number in range(_FOLDS):
        inside, outside = fold != number, fold == number
        for each in known.values():
            channel = _channel_of(each[inside], total)
            left_out[outside] = torch.maximum(left_out[outside], channel.unusual(each[outside]))
    calibration = total.gathered("how unusual", left_out[torch.isfinite(left_out)]).sort().values
    found = {name: _channel_of(each, total) for name, each in known.items()}
    return Likeness(found, calibration)


def _channel_of(values: Float[Tensor, "patient feature"], total: Total) -> ChannelLikeness:
    measured = values[torch.isfinite(values).any(dim=1)]
    there = torch.isfinite(measured)
    patients, count, summed = total(
        "mean",
        torch.tensor(len(measured), dtype=torch.float64),
        there.double().sum(dim=0),
        torch.nansum(measured, dim=0),
    )
    mean = summed / count.clamp(min=1.0)
    centred = torch.nan_to_num(measured - mean, nan=0.0)
    (squared,) = total("spread", centred.square().sum(dim=0))
    spread = (squared / (count - 1).clamp(min=1)).sqrt()
    spread = torch.where(spread > 1e-9, spread, 0.0)
    size = min(_COMPONENTS, int(patients) // 10, int((spread > 0).sum()))
    empty = ChannelLikeness(
        mean,
        spread,
        torch.zeros(0, values.shape[1], dtype=torch.float64),
        torch.ones(0, dtype=torch.float64),
        torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64),
    )
    found = empty.standardised(measured)
    if size:
        directions, variances = _components(found, size, int(patients), total)
        empty = ChannelLikeness(mean, spread, directions, variances, empty.scale)
    logs = empty.distances(measured)
    (level,) = total("mean distance", logs.sum(dim=0))
    level = level / patients
    (squares,) = total("spread of distances", (logs - level).square().sum(dim=0))
    scale = torch.stack([level, (squares / (patients - 1.0)).sqrt()], dim=1).flatten()
    return ChannelLikeness(mean, spread, empty.directions, empty.variances, scale)


def _components(
    found: Float[Tensor, "patient feature"], size: int, patients: int, total: Total
) -> tuple[Tensor, Tensor]:
    """Return the first principal components and their variances, by the smaller Gram matrix."""
    features = found.shape[1]
    if features <= patients or total is not here:
        (gram,) = total("products of features", found.T @ found)
        strength, vectors = torch.linalg.eigh(gram)
        directions = vectors.flip(1)[:, :size].T
    else:
        strength, vectors = torch.linalg.eigh(found @ found.T)
        length = strength.flip(0)[:size].clamp(min=1e-9).sqrt()
        directions = (vectors.flip(1)[:, :size].T @ found) / length[:, None]
    return directions, (strength.flip(0)[:size] / patients).clamp(min=1e-9)
