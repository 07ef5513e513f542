"""A network fitted in shape and statistics to its training patients, before any learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from omics_twin.errors import TrainingError
from omics_twin.models.batches import BatchShift, batch_shift
from omics_twin.models.encoders import ChannelEncoder, InputStatistics
from omics_twin.models.graph import Neighbours
from omics_twin.models.heads import (
    BinaryHead,
    ContinuousHead,
    CoxHead,
    HazardHead,
    Head,
    ResponseSurface,
)
from omics_twin.models.network import LinearEffects, MultimodalNetwork, TherapyOutcome
from omics_twin.models.partial_likelihood import breslow_hazard
from omics_twin.models.reduction import reduction
from omics_twin.models.therapy import RegimenEncoder
from omics_twin.settings import NetworkSettings, SurvivalHead
from omics_twin.tensors.sums import Total, here

# Fewer distinct values than this make steps, no curve.
_DISTINCT = 6
# A baseline hazard that is not learned can be finer than one that is.
_FINER = 4
# Days and number of the steps by which sites count events.
_WEEK, _WEEKS = 7.0, 5_200


# How the effects of a stored network fade, where they do.
FADE = "outcome.effects.fade"


@dataclass(frozen=True)
class ChannelTensors:
    """One channel of the training patients.

    Attributes
    ----------
    values
        Shape (patient, feature); NaN: not measured.
    binary
        Which features take only 0 and 1.
    minimum_frequency
        Binary features whose rarer value is below this share of a member's patients are not used.
    follow_up
        Whether the channel is measured under therapy.
    structure
        What makes nodes, such as the scores of gene sets, from features, (feature, node).
    batch
        Indices of the features that say in which batch a patient was measured.
    """

    values: Float[Tensor, "patient feature"]
    binary: Bool[Tensor, " feature"]
    minimum_frequency: float
    follow_up: bool
    structure: Float[Tensor, "feature node"] | None = None
    batch: tuple[int, ...] = ()


@dataclass(frozen=True)
class OutcomeTensors:
    """One outcome of the training patients.

    Attributes
    ----------
    name, kind, unit
        ``kind`` is ``binary``, ``time_to_event`` or ``continuous``.
    fields
        Shape (patient, 2): value and 0, or time [day] and event; NaN where unknown. Where causes
        are told apart, time and event of each: (patient, 2 * cause).
    causes
        Of a time to event, the kinds of event that have hazards of their own; empty: all alike.
    """

    name: str
    kind: str
    unit: str
    fields: Float[Tensor, "patient field"]
    causes: tuple[str, ...] = ()

    @property
    def of_any_cause(self) -> Float[Tensor, "patient 2"]:
        """Time and event, whatever its cause."""
        return torch.stack([self.fields[:, 0], self.fields[:, 1::2].sum(dim=1)], dim=1)

    @property
    def by_head(self) -> list[OutcomeTensors]:
        """One outcome for each head: itself, or one for each cause."""
        if not self.causes:
            return [self]
        return [
            OutcomeTensors(f"{self.name}: {cause}", self.kind, self.unit, fields)
            for cause, fields in zip(self.causes, self.fields.split(2, dim=1), strict=True)
        ]


def build_network(
    channels: Mapping[str, ChannelTensors],
    outcome: OutcomeTensors,
    agents: int,
    weights: Float[Tensor, "member patient"],
    settings: NetworkSettings,
    *,
    seed: int,
    total: Total = here,
) -> MultimodalNetwork:
    """Return an untrained network whose statistics come from each member's own patients.

    Parameters
    ----------
    weights
        Each member's training weights; 0 = not one of its patients.
    total
        Completes sums over the patients who are here.
    """
    generator = Generator().manual_seed(seed)
    members = weights.shape[0]
    by_head = outcome.by_head
    encoders = {
        name: ChannelEncoder(
            input_statistics(channel, weights, settings, total),
            hidden=settings.hidden,
            latent=settings.latent,
            agents=agents if channel.follow_up else 0,
            initial_precision=settings.initial_precision,
            dropout_probability=settings.dropout,
            terms=len(by_head) * (1 + agents) if settings.linear_effects else 0,
            heads=len(by_head),
            generator=generator,
        )
        for name, channel in channels.items()
    }
    if outcome.causes and settings.survival_head is SurvivalHead.COX:
        raise TrainingError(
            f"outcome '{outcome.name}' tells causes apart, for which model.survival_head is COX: "
            "use HAZARD, or leave 'causes' out of the outcome"
        )
    edges = interval_edges(outcome, settings, total) if outcome.causes else None
    heads = [build_head(each, weights, settings, total, edges) for each in by_head]
    surfaces = [
        ResponseSurface(
            members,
            settings.latent,
            settings.therapy_code,
            settings.interaction_hidden,
            head.outputs,
            generator=generator,
        )
        for head in heads
    ]
    regimen = RegimenEncoder(members, agents, settings.therapy_code, generator=generator)
    effects = LinearEffects(members, agents, len(heads)) if settings.linear_effects else None
    event = outcome.name if outcome.causes else ""
    network = MultimodalNetwork(encoders, TherapyOutcome(regimen, surfaces, heads, effects, event))
    # Where therapies are compared, members that begin apart tell how unsure a benefit is.
    if effects is not None and agents < 2:
        network.begin_silent()
    return network


def input_statistics(
    channel: ChannelTensors,
    weights: Float[Tensor, "member patient"],
    settings: NetworkSettings,
    total: Total = here,
) -> InputStatistics:
    """Return what standardises a channel: per member, from its own training patients.

    A number is divided by its standard deviation, a 0/1 feature by one half (Gelman 2008,
    doi:10.1002/sim.3107), so that a rare mutation is not blown up.
    """
    values = channel.values.double()
    measured = (~torch.isnan(values)).double()
    filled = torch.nan_to_num(values)
    there, missing, summed = total(
        "measured", measured.sum(dim=0), (1.0 - measured).sum(dim=0), filled.sum(dim=0)
    )
    count = there.clamp(min=1.0)
    location = summed / count
    (squared,) = total("spread", ((filled - location) * measured).square().sum(dim=0))
    spread = (squared / count).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    conditioned = (filled - location) / spread * measured

    wide = (weights > 0).double()
    patients, first, second, ones = total(
        "mean and variance",
        wide @ measured,
        wide @ conditioned,
        wide @ conditioned.square(),
        wide @ ((filled > 0.5).double() * measured),
    )
    batch = _batch_shift(channel, conditioned, measured, wide, total)
    if batch is not None:
        first, second = batch.taken_off(first, second)
    patients = patients.clamp(min=1e-9)
    mean = first / patients
    variance = (second / patients - mean.square()).clamp(min=0.0)
    deviation = variance.sqrt()
    usable = (patients >= 8) & (deviation > 1e-6)
    rare = torch.minimum(ones / patients, 1.0 - ones / patients) < channel.minimum_frequency
    usable &= ~(channel.binary & rare)
    deviation = torch.where(channel.binary, 0.5 / spread, deviation)
    scale = torch.where(usable, 1.0 / deviation.clamp(min=1e-6), torch.zeros_like(deviation))
    offset = -mean * scale
    narrow = int(usable.any(dim=0).sum()) <= settings.wide_features
    if batch is not None:
        _check_reduced(channel, settings, narrow)
        # As they are written: 1 for a patient's own batch.
        scale[:, batch.columns] = spread[batch.columns]
        offset[:, batch.columns] = location[batch.columns]
    reduced = (
        {}
        if narrow
        else reduction(
            conditioned,
            measured,
            scale,
            offset,
            wide > 0,
            channel.structure,
            settings,
            total,
            batch,
        )
    )
    return InputStatistics(
        location=location.float(),
        spread=spread.float(),
        scale=scale.float(),
        offset=offset.float(),
        sometimes_missing=torch.nonzero((missing > 0) & (there > 0))[:, 0],
        bent=_bent(channel, usable, settings, total)
        if narrow
        else torch.zeros(0, dtype=torch.long),
        **reduced,
    )


def _batch_shift(
    channel: ChannelTensors,
    conditioned: Float[Tensor, "patient feature"],
    measured: Float[Tensor, "patient feature"],
    wide: Float[Tensor, "member patient"],
    total: Total,
) -> BatchShift | None:
    """Return what batches add to a channel's numbers, None where it knows of none."""
    if not channel.batch:
        return None
    columns = torch.tensor(channel.batch)
    there = measured.any(dim=1)
    genes = torch.ones(measured.shape[1], dtype=torch.bool)
    genes[columns] = False
    if total is not here or bool((measured[there][:, genes] == 0).any()):
        raise TrainingError(
            "a modality with a batch is measured in part in some patients, or at several sites, "
            "where its batches cannot be told from its gaps: leave 'batch_column' out"
        )
    levels = torch.nan_to_num(channel.values[:, columns].double())
    shifted = (genes & ~channel.binary).double()
    return batch_shift(conditioned, levels, columns, wide * there, shifted)


def _check_reduced(channel: ChannelTensors, settings: NetworkSettings, narrow: bool) -> None:
    """Refuse batches where no principal components are made, from which they are taken off."""
    if narrow or channel.structure is not None:
        raise TrainingError(
            f"a modality with a batch has {channel.values.shape[1]} features and "
            f"model.gene_encoder is {settings.gene_encoder.name}, expected more than "
            f"{settings.wide_features} features (model.wide_features) that are reduced to "
            "components: leave 'batch_column' out"
        )


def _bent(
    channel: ChannelTensors,
    usable: Bool[Tensor, "member feature"],
    settings: NetworkSettings,
    total: Total,
) -> Int[Tensor, " bent"]:
    """Return the features with enough values for an effect that bends, at one site at least."""
    if not (settings.linear_effects and settings.bent_effects):
        return torch.zeros(0, dtype=torch.long)
    distinct = torch.tensor(
        [len(torch.unique(each[~torch.isnan(each)])) >= _DISTINCT for each in channel.values.T]
    )
    (sites,) = total("many values", distinct.double())
    return torch.nonzero((sites > 0) & ~channel.binary & usable.any(dim=0))[:, 0]


def build_head(
    outcome: OutcomeTensors,
    weights: Float[Tensor, "member patient"],
    settings: NetworkSettings,
    total: Total = here,
    edges: Float[Tensor, " edge"] | None = None,
) -> Head:
    """Return the head of an outcome, its levels set to those of each member's patients.

    Parameters
    ----------
    edges
        Of the intervals of a time to event [day]; None: those of its own events.
    """
    value, event = outcome.fields.double().unbind(dim=1)
    known = (~torch.isnan(value)).double()
    inside = (weights > 0).double() * known
    filled = torch.nan_to_num(value)
    count, summed, squared = total(
        "outcome", inside.sum(dim=1), inside @ filled, inside @ filled.square()
    )
    if bool((count < 8).any()):
        raise TrainingError(
            f"outcome '{outcome.name}' is known in {int(count.min())} training patients of a "
            "fold, expected at least 8: use fewer folds or another outcome"
        )
    mean = summed / count
    if outcome.kind == "binary":
        return BinaryHead(outcome.name, len(weights), mean.float())
    if outcome.kind == "continuous":
        variance = squared / count - mean.square()
        deviation = variance.clamp(min=1e-12).sqrt()
        return ContinuousHead(outcome.name, outcome.unit, mean.float(), deviation.float())
    happened = torch.nan_to_num(event) * known
    edges = interval_edges(outcome, settings, total) if edges is None else edges
    if settings.survival_head is SurvivalHead.COX:
        alike = torch.zeros_like(inside)
        return CoxHead(
            outcome.name,
            edges.float(),
            breslow_hazard(alike, filled, happened, edges, inside).float(),
        )
    lower, upper = edges[:-1], edges[1:]
    exposure = ((filled[:, None] - lower) / (upper - lower)).clamp(0.0, 1.0)
    died = (happened[:, None] > 0) & (filled[:, None] > lower) & (filled[:, None] <= upper)
    deaths, at_risk = total("events by interval", inside @ died.double(), inside @ exposure)
    hazard = (deaths + 0.5) / (at_risk + 1.0)
    return HazardHead(outcome.name, edges.float(), hazard.float())


def interval_edges(
    outcome: OutcomeTensors, settings: NetworkSettings, total: Total = here
) -> Float[Tensor, " edge"]:
    """Return the edges of the intervals in which an event is counted, whatever its cause [day]."""
    days, happened = outcome.of_any_cause.double().unbind(dim=1)
    known = ~torch.isnan(days)
    cox = settings.survival_head is SurvivalHead.COX
    intervals = settings.intervals * (_FINER if cox else 1)
    event_days, all_days = days[known & (happened > 0)], days[known]
    if total is here:
        return _interval_edges(event_days, all_days, intervals)
    return _shared_edges(event_days, all_days, intervals, total)


def _interval_edges(event_days: Tensor, all_days: Tensor, intervals: int) -> Tensor:
    """Edges at quantiles of the event times, so that every interval holds as many events."""
    shares = torch.linspace(0.0, 1.0, intervals + 1, dtype=torch.float64)[1:-1]
    inner = torch.quantile(event_days, shares)
    return _apart(torch.cat([torch.zeros(1, dtype=torch.float64), inner, all_days.max()[None]]))


def _shared_edges(event_days: Tensor, all_days: Tensor, intervals: int, total: Total) -> Tensor:
    """Edges of the patients of all sites, to the week: counts by week are all that is told."""
    weeks = [
        torch.bincount(
            (each.clamp(min=0.0) / _WEEK).ceil().long().clamp(max=_WEEKS), minlength=_WEEKS + 1
        )
        for each in (event_days, all_days)
    ]
    events, followed = total("patients by week", *(each.double() for each in weeks))
    shares = torch.linspace(0.0, 1.0, intervals + 1, dtype=torch.float64)[1:-1]
    inner = torch.searchsorted(events.cumsum(dim=0), shares * (events.sum() - 1.0) + 1.0)
    last = torch.nonzero(followed)[-1]
    return _apart(_WEEK * torch.cat([torch.zeros(1), inner, last.clamp(min=1)]).double())


def _apart(edges: Tensor) -> Tensor:
    edges = torch.unique(edges)
    # Merging edges closer than a day keeps the hazard of every interval estimable.
    keep = [0]
    for index in range(1, len(edges)):
        if edges[index] - edges[keep[-1]] >= 1.0:
            keep.append(index)
    return edges[torch.tensor(keep)]


def restored_network(
    channels: Sequence[str],
    heads: Sequence[Mapping[str, str]],
    weights: Mapping[str, Tensor],
    event: str = "",
) -> MultimodalNetwork:
    """Return the network whose ``state_dict`` is ``weights``.

    Parameters
    ----------
    channels
        Names in time order.
    heads
        What each head's ``described`` returned.
    event
        That whose causes the heads are, if they are.
    """
    generator = Generator().manual_seed(0)
    encoders = {
        name: _restored_encoder(f"encoders.{index}.", weights, generator, len(heads))
        for index, name in enumerate(channels)
    }
    codes = weights["outcome.regimen.codes"]
    regimen = RegimenEncoder(*codes.shape, generator=generator)
    surfaces, restored = [], []
    for index, described in enumerate(heads):
        head = _restored_head(described, f"outcome.heads.{index}.", weights)
        members, inputs, hidden = weights[f"outcome.surfaces.{index}.inner.weight"].shape
        code = codes.shape[2]
        surfaces.append(
            ResponseSurface(members, inputs - code, code, hidden, head.outputs, generator=generator)
        )
        restored.append(head)
    average = weights.get("outcome.effects.average")
    effects = None
    if average is not None:
        effects = LinearEffects(len(average), average.shape[2], len(restored))
    outcome = TherapyOutcome(regimen, surfaces, restored, effects, event)
    network = MultimodalNetwork(encoders, outcome)
    # Before effects could fade with time, none did.
    unchanging = {} if effects is None else {FADE: effects.fade.detach()}
    network.load_state_dict(unchanging | dict(weights), strict=True)
    return network


def _restored_encoder(
    prefix: str, weights: Mapping[str, Tensor], generator: Generator, heads: int
) -> ChannelEncoder:
    _, hidden, latent = weights[prefix + "second.weight"].shape
    under = weights.get(prefix + "under.weight")
    return ChannelEncoder(
        InputStatistics(
            location=weights[prefix + "location"],
            spread=weights[prefix + "spread"],
            scale=weights[prefix + "first.scale"],
            offset=weights[prefix + "first.offset"],
            sometimes_missing=weights[prefix + "sometimes_missing"],
            bent=weights[prefix + "bent"],
            directions=weights.get(prefix + "first.directions"),
            structure=weights.get(prefix + "first.structure"),
            gated=prefix + "first.gate" in weights,
            neighbours=_restored_neighbours(prefix + "first.", weights),
        ),
        hidden=hidden,
        latent=latent,
        agents=0 if under is None else under.shape[1],
        initial_precision=1.0,
        dropout_probability=0.0,
        terms=weights[prefix + "effects"].shape[2],
        heads=heads,
        generator=generator,
    )


def _restored_neighbours(prefix: str, weights: Mapping[str, Tensor]) -> Neighbours | None:
    if prefix + "stored" not in weights:
        return None
    names = ("stored", "inside", "neighbour_gain", "nearest")
    return Neighbours(*(weights[prefix + name] for name in names))


def _restored_head(
    described: Mapping[str, str], prefix: str, weights: Mapping[str, Tensor]
) -> Head:
    level = weights[prefix + "level"]
    members = level.shape[0]
    if described["kind"] == "binary":
        return BinaryHead(described["name"], members, torch.full((members,), 0.5))
    if described["kind"] == "continuous":
        blank = torch.ones(members)
        return ContinuousHead(described["name"], described["unit"], blank, blank)
    edges = weights[prefix + "edges_days"]
    if described["kind"] == "proportional_hazards":
        return CoxHead(described["name"], edges, torch.ones(members, len(edges)))
    return HazardHead(described["name"], edges, torch.full((members, level.shape[2]), 0.5))
