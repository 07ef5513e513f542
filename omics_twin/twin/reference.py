"""What were the training patients like, feature by feature? Counts in wide bins, no patient's row.

It is kept with a model so that later patients can be compared with those it learned from. A bin
edge lies half-way between two patients, and at least ten patients are in each bin of what is
compared: a single patient's value is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_BINS, _FEWEST = 20, 10
_PARTS = ("edges", "counts", "measured")
_EXPECTED, _RESIDUAL, _INSIDE = "expected", "residual", "inside"


@dataclass(frozen=True)
class Binned:
    """How often values were in each bin, feature by feature.

    Attributes
    ----------
    edges
        Inner edges of the bins, rising; infinite where a feature has fewer bins. A feature all of
        whose edges are infinite is not compared: it hardly varied.
    counts
        Training patients by bin; what was not measured is in none.
    measured
        Training patients in whom anything of the channel was measured, and all, (2,).
    """

    edges: Float[Tensor, "feature edge"]
    counts: Float[Tensor, "feature bin"]
    measured: Float[Tensor, "2"]

    @property
    def compared(self) -> Tensor:
        """Whether a feature has at least two bins, (feature,)."""
        return torch.isfinite(self.edges).any(dim=1)

    def count(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, "feature bin"]:
        """Return how many of other patients are in each bin."""
        columns = values.to(self.edges).T.contiguous()
        # A value on an edge belongs to the bin below it.
        bins = torch.searchsorted(self.edges, columns)
        known = torch.isfinite(columns).to(self.counts)
        return torch.zeros_like(self.counts, dtype=known.dtype).scatter_add_(1, bins, known)


@dataclass(frozen=True)
class Reference:
    """What training patients looked like, and what was said of them while they were held out.

    Attributes
    ----------
    channels
        By channel name, those measured before treatment.
    expected
        Of the expected endpoint, mean over the therapies; one feature.
    residual
        Number, mean and standard deviation of what happened less what was expected, (3,).
    inside
        The same of the share of each patient's forecasts whose interval held what came, (3,); None
        of a twin that foresees no visits.
    """

    channels: Mapping[str, Binned]
    expected: Binned
    residual: Float[Tensor, "3"]
    inside: Float[Tensor, "3"] | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Return what is stored."""
        stored = {_RESIDUAL: self.residual.contiguous()}
        if self.inside is not None:
            stored[_INSIDE] = self.inside.contiguous()
        for name, each in {**self.channels, _EXPECTED: self.expected}.items():
            kind = _EXPECTED if each is self.expected else "channel"
            stored |= {f"{kind}/{p}/{name}": getattr(each, p).contiguous() for p in _PARTS}
        return stored

    @staticmethod
    def from_tensors(stored: Mapping[str, Tensor]) -> Reference | None:
        """Return what :meth:`to_tensors` stored; None where nothing is."""
        if not stored:
            return None
        prefix = "channel/edges/"
        names = [each.removeprefix(prefix) for each in stored if each.startswith(prefix)]
        return Reference(
            {name: Binned(*(stored[f"channel/{p}/{name}"] for p in _PARTS)) for name in names},
            Binned(*(stored[f"{_EXPECTED}/{p}/{_EXPECTED}"] for p in _PARTS)),
            stored[_RESIDUAL],
            stored.get(_INSIDE),
        )


def binned(values: Float[Tensor, "patient feature"]) -> Binned:
    """Return how values spread over bins of equal shares of the patients.

    Examples
    --------
    >>> found = binned(torch.arange(40.0)[:, None])
    >>> found.edges.tolist(), found.counts.tolist()
    ([[9.5, 19.5, 29.5]], [[10.0, 10.0, 10.0, 10.0]])
    """
    known = torch.isfinite(values)
    ordered = torch.where(known, values, torch.inf).float().sort(dim=0).values
    number = known.sum(dim=0)
    bins = (number // _FEWEST).clamp(max=_BINS)
    edges = torch.full((values.shape[1], _BINS - 1), torch.inf)
    for size in bins.unique().tolist():
        if size > 1:
            chosen = torch.nonzero(bins == size)[:, 0]
            edges[chosen] = _edges(ordered[:, chosen], number[chosen], int(size))
    edges = edges[:, torch.isfinite(edges).any(dim=0)] if len(edges) else edges
    if not edges.shape[1]:
        edges = torch.full((values.shape[1], 1), torch.inf)
    measured = torch.tensor([float(known.any(dim=1).sum()), float(len(values))])
    empty = Binned(edges, torch.zeros(values.shape[1], edges.shape[1] + 1), measured)
    return _without_small(Binned(edges, empty.count(values).float(), measured))


def _edges(
    ordered: Float[Tensor, "patient chosen"], number: Tensor, size: int
) -> Float[Tensor, "chosen edge"]:
    """Return edges half-way between two patients, each once."""
    shares = torch.arange(1, size) / size
    place = (shares[:, None] * number[None].float()).round().long().clamp(min=1)
    below = ordered.gather(0, place - 1)
    above = ordered.gather(0, place.clamp(max=len(ordered) - 1))
    # Where many share a value, the edge is before the next larger value there is.
    larger = torch.searchsorted(
        ordered.T.contiguous(), below.T.contiguous(), right=True
    ).T  # (edge, chosen)
    upper = ordered.gather(0, larger.clamp(max=len(ordered) - 1))
    upper = torch.where(larger < number[None], upper, torch.inf)
    found = torch.where(above > below, (below + above) / 2.0, (below + upper) / 2.0)
    found = torch.where(torch.isfinite(found), found, torch.inf).T.sort(dim=1).values
    again = torch.zeros_like(found, dtype=torch.bool)
    again[:, 1:] = found[:, 1:] == found[:, :-1]
    wide = torch.full((len(found), _BINS - 1), torch.inf)
    wide[:, : size - 1] = torch.where(again, torch.inf, found).sort(dim=1).values
    return wide


def _without_small(found: Binned) -> Binned:
    """Merge bins of fewer than ten patients with a neighbour; a feature left with one has none."""
    edges, counts = found.edges.clone(), found.counts.clone()
    small = ((counts > 0) & (counts < _FEWEST)).any(dim=1) | (
        (counts == 0) & torch.isfinite(torch.nn.functional.pad(edges, (0, 1), value=torch.inf))
    ).any(dim=1)
    for feature in torch.nonzero(small)[:, 0].tolist():
        edges[feature], counts[feature] = _merged(edges[feature], counts[feature])
    return Binned(edges, counts, found.measured)


def _merged(edges: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    kept: list[float] = []
    sizes: list[float] = [0.0]
    for place, count in enumerate(counts.tolist()):
        sizes[-1] += count
        edge = float(edges[place]) if place < len(edges) else float("inf")
        if sizes[-1] >= _FEWEST and edge < float("inf"):
            kept.append(edge)
            sizes.append(0.0)
    if sizes[-1] < _FEWEST and kept:
        kept.pop()
        last = sizes.pop()
        sizes[-1] += last
    new_edges, new_counts = torch.full_like(edges, torch.inf), torch.zeros_like(counts)
    new_edges[: len(kept)] = torch.tensor(kept)
    new_counts[: len(sizes)] = torch.tensor(sizes)
    return new_edges, new_counts


def fit_reference(
    values: Mapping[str, Float[Tensor, "patient _"]],
    expected: Float[Tensor, " held"],
    residual: Float[Tensor, " held"],
    inside: Float[Tensor, " held"] | None = None,
) -> Reference:
    """Return what patients looked like.

    Parameters
    ----------
    values
        Channel -> (patient, feature), NaN: not measured.
    expected
        The expected endpoint of each patient while held out, mean over the therapies; like what
        follows of whoever was held out, who may be others than those of ``values``.
    residual
        What happened less what was expected; NaN where the outcome is not known.
    inside
        Share of the patient's forecasts that held; NaN where there were none.
    """
    return Reference(
        {name: binned(each) for name, each in values.items()},
        binned(expected[:, None]),
        _moments(residual),
        None if inside is None else _moments(inside),
    )


def _moments(values: Float[Tensor, " patient"]) -> Float[Tensor, "3"]:
    """Return number, mean and standard deviation of what is known."""
    known = values[torch.isfinite(values)].double()
    spread = known.std() if len(known) > 1 else torch.tensor(torch.nan, dtype=torch.float64)
    mean = known.mean() if len(known) else torch.tensor(torch.nan, dtype=torch.float64)
    return torch.stack([torch.tensor(float(len(known)), dtype=torch.float64), mean, spread]).float()
