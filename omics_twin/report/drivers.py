"""Which of a patient's measurements speak for one therapy over another, as the model reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.answers.beliefs import Belief, endpoint_values
from omics_twin.answers.patients import Patients
from omics_twin.report.words import column_in_words, day_in_words, name_in_words, visible
from omics_twin.tensors.design import ChannelDesign
from omics_twin.tracking import TrainedModel
from omics_twin.twin.attribution import Attributions, Shown, answering, attributed
from omics_twin.twin.draws import weighted_mean, weighted_quantile

# Units that say nothing to a reader beside the number.
_SILENT_UNITS = ("", "1", "score", "fraction", "mixed", "index")
_UNITS = {"percent": "%"}
_NEAR, _FAR = 0.5, 1.5


@dataclass(frozen=True)
class Part:
    """A share of an answer, positive where it speaks for the first of two therapies.

    Attributes
    ----------
    mean, lower, upper
        Over the members that answer, in the endpoint's own units; the members are moved from
        their mean as the twin's draws are.
    """

    mean: float
    lower: float
    upper: float

    @property
    def clear(self) -> bool:
        """Whether the members agree on the direction, as far as the interval goes."""
        return self.lower > 0.0 or self.upper < 0.0


@dataclass(frozen=True)
class Driver:
    """One measurement and what it adds.

    Attributes
    ----------
    label, modality, visit
        In words.
    value, standing
        As measured, and how that lies among the training patients; empty for a category.
    """

    label: str
    modality: str
    visit: str
    value: str
    standing: str
    part: Part


@dataclass(frozen=True)
class ModalityTotal:
    """What the measurements of one modality at one visit add together."""

    label: str
    measurements: int
    part: Part


@dataclass(frozen=True)
class Drivers:
    """An answer divided among what it rests on.

    Attributes
    ----------
    first, second
        Labels of the therapies compared; ``second`` is empty where one is looked at alone.
    start, total
        The answer at the average patient measured alike, and what the values add to it.
    drivers
        The measured columns that add most, the largest first.
    others, rest
        How many measured columns are left, and what they add together on average.
    modalities
        Their sums, the largest first.
    members
        How many answer.
    """

    first: str
    second: str
    start: Part
    total: Part
    drivers: tuple[Driver, ...]
    others: int
    rest: float
    modalities: tuple[ModalityTotal, ...]
    members: int

    @property
    def end(self) -> float:
        """The answer at this patient."""
        return self.start.mean + self.total.mean


def shown_to(model: TrainedModel, patients: Patients, belief: Belief) -> Shown:
    """Return the values a belief rests on.

    Parameters
    ----------
    patients
        That the belief is about.
    """
    rows = torch.as_tensor(belief.rows)
    values = {}
    # What comes under therapy may be read by a course, which has no values to divide.
    for channel in model.twin.proposal.design.channels:
        seen = torch.tensor([channel.name in each for each in belief.shown])
        found = patients.matrices.values[channel.name][rows]
        values[channel.name] = torch.where(seen[:, None], found, torch.nan)
    none = [0.0] * len(model.twin.agents)
    arms = [patients.received[row] for row in belief.rows]
    agents = [
        model.catalogue.multi_hot(arm) if arm and arm in model.catalogue.arms else none
        for arm in arms
    ]
    return Shown(values, torch.tensor(agents))


def drivers_of(
    model: TrainedModel,
    belief: Belief,
    shown: Shown,
    first: str,
    second: str | None,
    *,
    interval: float = 0.9,
    moved: Collection[str] | None = None,
    most: int = 12,
) -> Drivers:
    """Return what speaks for one arm over another in the only patient of a belief.

    Parameters
    ----------
    first, second
        Arms; without a second, what speaks for a better outcome under the first.
    moved
        Channels asked about; all by default. See :func:`omics_twin.twin.attribution.attributed`.
    most
        Columns told one by one.
    """
    arms = [first] if second is None else [first, second]
    found = attributed(
        model.twin.proposal,
        belief.state,
        shown,
        [model.catalogue.intervention(arm) for arm in arms],
        model.endpoint,
        members=answering(belief.state, 0),
        moved=moved,
    )
    spread = float(model.twin.spread_of(belief.state)[0])
    sign = 1.0 if model.endpoint.higher_is_better else -1.0

    def contrast(each: Tensor) -> Tensor:
        return sign * (each[0] if second is None else each[0] - each[1])[:, 0]

    def part(members: Tensor) -> Part:
        return part_of(members, spread, interval)

    start, end = contrast(found.start), contrast(found.end)
    columns, totals = _divided(model, found, shown, contrast, part)
    columns.sort(key=lambda each: -abs(float(each.said.mean())))
    told = [_driver(each, part(each.said)) for each in columns[:most]]
    later = [] if moved is not None else _read_by_a_course(model, belief, shown)
    if later:
        added = contrast(_answers(model, belief, arms)) - end
        # Members that foresaw the visits are trusted more, which is part of what they added.
        added = added + answer_of(model, belief, first, second) - (end + added).mean()
        end = end + added
        name = visible(name_in_words(later[0].modality))
        visits = " and ".join(day_in_words(each.visit_day) for each in later)
        measured = f"{len(later)} visit{'s' if len(later) > 1 else ''}"
        told.append(Driver(f"course of {name}", name, visits, measured, "", part(added)))
        told.sort(key=lambda each: -abs(each.part.mean))
        totals.append(ModalityTotal(f"{name}, under therapy", len(later), part(added)))
    labels = dict(zip(model.catalogue.arms, model.catalogue.labels, strict=True))
    return Drivers(
        first=visible(labels[first]),
        second=visible(labels[second]) if second is not None else "",
        start=part(start),
        total=part(end - start),
        drivers=tuple(told),
        others=len(columns[most:]),
        rest=float(sum(each.said.mean() for each in columns[most:])),
        modalities=tuple(sorted(totals, key=lambda each: -abs(each.part.mean))),
        members=len(start),
    )


def _read_by_a_course(model: TrainedModel, belief: Belief, shown: Shown) -> list[ChannelDesign]:
    """Return the visits the only patient was shown whose values are not divided."""
    channels = [
        channel
        for channel in model.twin.design.channels
        if channel.name in belief.shown[0] and channel.name not in shown.values
    ]
    return sorted(channels, key=lambda channel: channel.visit_day)


def _answers(
    model: TrainedModel, belief: Belief, arms: Sequence[str]
) -> Float[Tensor, "arm member patient"]:
    """Return what each answering member says of the only patient now, under each arm."""
    state = belief.state
    draws, weights = state.draws[0, :, 0].long(), state.log_weights[0]
    values = [endpoint_values(model, state, model.catalogue.intervention(arm)) for arm in arms]
    members = []
    for member in answering(state, 0).tolist():
        own = torch.where(draws == member, weights, -torch.inf).unsqueeze(0)
        members.append(torch.stack([weighted_mean(each, own) for each in values]))
    return torch.stack(members, dim=1)


def answer_of(model: TrainedModel, belief: Belief, first: str, second: str | None = None) -> float:
    """Return the expected endpoint, or its difference; positive where it is better."""
    values = [
        endpoint_values(model, belief.state, model.catalogue.intervention(arm))
        for arm in (first, second)
        if arm is not None
    ]
    found = values[0] if second is None else values[0] - values[1]
    sign = 1.0 if model.endpoint.higher_is_better else -1.0
    return sign * float(weighted_mean(found, belief.state.log_weights)[0])


def part_of(members: Float[Tensor, " member"], spread: float, interval: float) -> Part:
    """Return mean and central interval of what the members say.

    Parameters
    ----------
    spread
        Factor on a member's distance from the mean; see
        :func:`omics_twin.tensors.members.jackknife_spread`.

    Examples
    --------
    >>> part_of(torch.tensor([1.0, 2.0, 3.0]), spread=2.0, interval=0.9)
    Part(mean=2.0, lower=0.0, upper=4.0)
    """
    mean = members.mean()
    wide = (mean + spread * (members - mean)).unsqueeze(0)
    weights = torch.full_like(wide, -math.log(wide.shape[1]))
    tail = (1.0 - interval) / 2.0
    lower, upper = (float(weighted_quantile(wide, weights, t)[0]) for t in (tail, 1.0 - tail))
    return Part(float(mean), lower, upper)


@dataclass(frozen=True)
class _Column:
    """A measured column before it is put into words; ``said`` by each member, (member,)."""

    channel: ChannelDesign
    places: tuple[int, ...]
    raw: Tensor
    standard: Tensor
    said: Tensor


def _divided(
    model: TrainedModel,
    found: Attributions,
    shown: Shown,
    contrast: Callable[[Tensor], Tensor],
    part: Callable[[Tensor], Part],
) -> tuple[list[_Column], list[ModalityTotal]]:
    """Return every measured column and every channel with its part."""
    found_columns: list[_Column] = []
    totals: list[ModalityTotal] = []
    for channel in model.twin.proposal.design.channels:
        raw = shown.values[channel.name][0]
        if channel.name not in found.values or bool(torch.isnan(raw).all()):
            continue
        said = contrast(found.values[channel.name])
        standard = found.standard[channel.name][:, 0].mean(dim=0)
        columns: dict[str, list[int]] = {}
        for place in torch.nonzero(~torch.isnan(raw))[:, 0].tolist():
            columns.setdefault(channel.features[place].column, []).append(place)
        found_columns += [
            _Column(channel, tuple(places), raw, standard, said[:, places].sum(dim=1))
            for places in columns.values()
        ]
        name = visible(name_in_words(channel.modality))
        label = f"{name}, {day_in_words(channel.visit_day)}" if channel.visit_day else name
        totals.append(ModalityTotal(label, len(columns), part(said.sum(dim=1))))
    return found_columns, totals


def _driver(column: _Column, part: Part) -> Driver:
    channel = column.channel
    value, standing = _told(channel, column.places, column.raw, column.standard)
    return Driver(
        label=_label(channel, column.places[0]),
        modality=visible(name_in_words(channel.modality)),
        visit=day_in_words(channel.visit_day),
        value=value,
        standing=standing,
        part=part,
    )


def _told(
    channel: ChannelDesign, places: Sequence[int], raw: Tensor, standard: Tensor
) -> tuple[str, str]:
    """Return a column's value and how it lies among the training patients."""
    feature = channel.features[places[0]]
    if feature.level is not None:
        present = [channel.features[p].level for p in places if float(raw[p]) > 0.5]
        return visible(name_in_words(str(present[0]))) if present else "none of the known", ""
    number = float(raw[places[0]])
    if feature.binary:
        return ("yes" if number > 0.5 else "no"), ""
    unit = "" if feature.unit in _SILENT_UNITS else f" {_UNITS.get(feature.unit, feature.unit)}"
    shown = math.expm1(number) if feature.log else number
    text = f"{shown:.3g}".replace("-", "\N{MINUS SIGN}") + unit
    return visible(text), standing_of(float(standard[places[0]]))


def _label(channel: ChannelDesign, place: int) -> str:
    """Return a column's name in words, without the unit that is told with its value."""
    feature = channel.features[place]
    return visible(column_in_words(feature.column, feature.unit))


def standing_of(standard: float) -> str:
    """Return where a standardised value lies among the training patients.

    Examples
    --------
    >>> standing_of(0.2), standing_of(-1.0), standing_of(2.0)
    ('about average', 'below average', 'well above average')
    """
    if abs(standard) < _NEAR:
        return "about average"
    side = "above" if standard > 0 else "below"
    return f"well {side} average" if abs(standard) >= _FAR else f"{side} average"
