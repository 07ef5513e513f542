"""How the ranking moved: what each follow-up visit changed, and which of its values did it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from omics_twin.answers.beliefs import Belief, beliefs_of
from omics_twin.answers.patients import Patients
from omics_twin.answers.rankings import ranking_in
from omics_twin.report.drivers import Driver, answer_of, drivers_of, shown_to
from omics_twin.report.words import day_in_words, visible
from omics_twin.settings import TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.types import Ranking

_MOST_LINES = 3


@dataclass(frozen=True)
class Change:
    """What a visit changed in one number.

    Attributes
    ----------
    total
        The number after the visit less the number before it, positive where it is better.
    by_values
        What the visit's values add: how they differ from those of the average patient.
    by_visit
        What is left: what a visit with average values says, and that more is known now.
    drivers
        The visit's measurements, the largest first.
    """

    total: float
    by_values: float
    by_visit: float
    drivers: tuple[Driver, ...]


@dataclass(frozen=True)
class Step:
    """The answer after one visit.

    Attributes
    ----------
    day
        Of the visit; 0 is before treatment [day].
    first
        Label of the therapy ranked first.
    expected, lower, upper
        By label of every therapy open to the patient, in the endpoint's own units.
    under_received, between
        What the visit changed in the outlook under the therapy received, and in the difference
        between the two therapies that the page compares; None before treatment.
    """

    day: float
    visit: str
    first: str
    expected: dict[str, float]
    lower: dict[str, float]
    upper: dict[str, float]
    under_received: Change | None
    between: Change | None


@dataclass(frozen=True)
class History:
    """The answer after each visit.

    Attributes
    ----------
    received
        Label of the therapy under which the visits were seen.
    pair
        Labels of the two therapies compared.
    drawn
        Labels of the therapies that the figure shows.
    """

    received: str
    pair: tuple[str, ...]
    steps: tuple[Step, ...]
    drawn: tuple[str, ...]


def history_of(
    model: TrainedModel,
    patients: Patients,
    belief: Belief,
    settings: TwinSettings,
    pair: tuple[str, ...],
) -> History | None:
    """Return how the answer moved; None where the belief rests on no follow-up visit.

    Parameters
    ----------
    patients
        One alone.
    belief
        The last one; what it was not shown is not looked at.
    pair
        Arms that the page compares: two, or fewer where fewer are open.
    """
    received = patients.received[0]
    channels = _follow_ups(model, patients, belief)
    if received not in model.catalogue.arms or received is None or not channels:
        return None
    matrices, strata = patients.matrices, patients.keys
    labels = {
        a: visible(b) for a, b in zip(model.catalogue.arms, model.catalogue.labels, strict=True)
    }
    steps: list[Step] = []
    before: Belief | None = None
    for day in [0.0, *channels]:
        told = beliefs_of(model, matrices, [received], settings, strata=strata, as_of_days=day)
        now = next(told)
        changes: list[Change | None] = [None, None]
        if before is not None:
            changes[0] = _change(model, patients, before, now, channels[day], (received,))
            if len(pair) > 1:
                changes[1] = _change(model, patients, before, now, channels[day], pair)
        ranking = ranking_in(model, now.state, patients.keys, settings)
        steps.append(_step(day, ranking, labels, changes))
        before = now
    named = tuple(labels[arm] for arm in pair)
    return History(labels[received], named, tuple(steps), _drawn(steps, named, labels[received]))


def _follow_ups(
    model: TrainedModel, patients: Patients, belief: Belief
) -> dict[float, tuple[str, ...]]:
    """Return the channels of each follow-up visit that was shown, by its day in rising order."""
    days = patients.matrices.days
    found: dict[float, list[str]] = {}
    for channel in model.twin.design.channels:
        if channel.follow_up and channel.name in belief.shown[0]:
            found.setdefault(float(days[channel.name][0]), []).append(channel.name)
    return {day: tuple(found[day]) for day in sorted(found)}


def _step(
    day: float, ranking: Ranking, labels: dict[str, str], changes: list[Change | None]
) -> Step:
    sign = 1.0 if ranking.endpoint.higher_is_better else -1.0
    opened = torch.nonzero(ranking.eligible[0])[:, 0].tolist()
    opened.sort(key=lambda each: -sign * float(ranking.expected[0, each]))
    named = {each: labels[ranking.interventions[each]] for each in opened}
    return Step(
        day=day,
        visit=day_in_words(day),
        first=named[opened[0]] if opened else "",
        expected={named[each]: float(ranking.expected[0, each]) for each in opened},
        lower={named[each]: float(ranking.lower[0, each]) for each in opened},
        upper={named[each]: float(ranking.upper[0, each]) for each in opened},
        under_received=changes[0],
        between=changes[1],
    )


def _change(
    model: TrainedModel,
    patients: Patients,
    before: Belief,
    now: Belief,
    channels: tuple[str, ...],
    arms: tuple[str, ...],
) -> Change:
    second = arms[1] if len(arms) > 1 else None
    total = answer_of(model, now, arms[0], second) - answer_of(model, before, arms[0], second)
    shown = shown_to(model, patients, now)
    if not set(channels) <= set(shown.values):
        return Change(total, total, 0.0, ())
    found = drivers_of(model, now, shown, arms[0], second, moved=channels)
    by_values = found.total.mean
    return Change(total, by_values, total - by_values, found.drivers)


def _drawn(steps: list[Step], pair: tuple[str, ...], received: str) -> tuple[str, ...]:
    """Return a few therapies to draw: the pair, those that were first, and the one received."""
    wanted = dict.fromkeys([*pair, received, *(each.first for each in steps)])
    opened = [label for label in wanted if all(label in each.expected for each in steps)]
    return tuple(opened[:_MOST_LINES])
