"""One patient's twin between visits: shown a scan, watched for surprises, asked what if."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.alerts.watch import Alert, Scored, Watch, lack_of_benefit
from omics_twin.bedside.belief import KeptBelief, read_told, replay, states, visit_of
from omics_twin.bedside.by_size import BySize, by_size
from omics_twin.bedside.plans import goes_on, therapy_of
from omics_twin.evaluate.forecast import probability_integral, quantiles
from omics_twin.lifecycle.validity import check_like, shares_of_visits, unlike_lines, unlike_them
from omics_twin.settings import TwinSettings
from omics_twin.therapy.rank import order, rank_therapies
from omics_twin.twin.draws import share_above, weighted_mean, weighted_quantile
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import NO_INTERVENTION, Intervention, Ranking, TwinState, Visit
from omics_twin.visits.living import LivingModel

_POINTS = 49
_SIZE = "size_mm"
_AXES = {_SIZE: "Sum of longest diameters (mm)", "volume_cm3": "Volume (cm³)"}
_UNITS = {_SIZE: "mm", "volume_cm3": "cm3"}
_SIZES = tuple(_AXES)
# Below this a width is told as if of it: a few millimetres more or less are no surprise.
_LEAST_MM = 1.0


@dataclass(frozen=True)
class Told:
    """A number with its interval."""

    expected: float
    lower: float
    upper: float

    def __str__(self) -> str:
        """Return the number with its interval."""
        return f"{self.expected:.3g} ({self.lower:.3g} to {self.upper:.3g})"

    @staticmethod
    def of(values: Float[Tensor, "patient draw"], state: TwinState, interval: float) -> Told:
        """Return what the belief about the only patient says of a quantity."""
        tail = (1.0 - interval) / 2.0
        ends = [weighted_quantile(values, state.log_weights, x) for x in (tail, 1.0 - tail)]
        mean = weighted_mean(values, state.log_weights)
        return Told(float(mean), float(ends[0]), float(ends[1]))

    @staticmethod
    def of_summary(numbers: tuple[Tensor, Tensor, Tensor]) -> Told:
        """Return one line of a twin's summary of the only patient."""
        return Told(*(float(each) for each in numbers))


@dataclass(frozen=True)
class Change:
    """What a visit changed.

    Attributes
    ----------
    measured
        The size as measured, ``None`` where it was not [mm], or the volume [cm3].
    forecast
        The same as it was forecast before the visit.
    share
        Share of the forecast below what came.
    before, after
        The endpoint, from this visit on and under what lies ahead of the present therapy, before
        the visit was shown and after it.
    own
        The patient's own parameter -> before and after.
    evidence
        Evidence against the twin's forecasts so far.
    alerts
        What is to be told.
    likeness
        Share of the training patients who were at least as unusual at first; None: not known.
    """

    day: float
    measured: float | None
    forecast: Told
    share: float | None
    before: Told
    after: Told
    own: dict[str, tuple[Told, Told]]
    evidence: float
    alerts: tuple[Alert, ...]
    likeness: float | None


def visits_of_file(path: Path, model: LivingModel, patient_id: str) -> list[Visit]:
    """Return the visits that a JSON file tells of, one or a list.

    Raises
    ------
    TwinError
        If the file is no JSON, or a visit is not what the twin can be shown.
    """
    records = read_told(path, "a visit as an object")
    told = records if isinstance(records, list) else [records]
    return [visit_of(each, patient_id, model.twin.modalities, model.arm) for each in told]


def shown(
    model: LivingModel,
    kept: KeptBelief,
    visit: Visit,
    interval: float,
    least_benefit: float = TwinSettings.least_benefit,
) -> tuple[KeptBelief, Change]:
    """Return the belief with a further visit, and what the visit changed.

    Raises
    ------
    TwinError
        If the patient is outside the domain of validity, and such are refused.
    """
    grown = kept.seen(visit)
    check_like(model, grown.visits)
    *_, state, after = beliefs = list(states(model.twin, grown))
    watch, alerts = watched(model, grown, beliefs)
    day = float(visit.observation.days[0])
    ahead = watched_ahead(model, state, visit.observation.days, visit.under)
    measured = _measured(model, visit)
    now = therapy_of(grown)
    # What would be without therapy is known where growth is, not where an outcome was learned.
    # Of doses that are all past, going on and stopping are the same.
    grows = model.twin.quantities[0] in _SIZES and not model.never_untreated
    if grows and goes_on(grown, now):
        told = lack_of_benefit(day, benefit(model, after, now), least=least_benefit)
        alerts = alerts if told is None else (*alerts, told)
    first, last = (model.twin.summary(each, interval) for each in (state, after))
    own = {name: (Told.of_summary(first[name]), Told.of_summary(last[name])) for name in first}
    return grown, Change(
        day=day,
        measured=measured,
        forecast=Told.of(ahead, state, interval),
        share=None if measured is None else _share(ahead, state, measured),
        before=Told.of(_endpoint(model, state, now, day), state, interval),
        after=Told.of(_endpoint(model, after, now, day), after, interval),
        own=own,
        evidence=watch.value,
        alerts=alerts,
        likeness=shares_of_visits(model, grown.visits)[0],
    )


def watched(
    model: LivingModel, kept: KeptBelief, beliefs: Sequence[TwinState]
) -> tuple[Watch, tuple[Alert, ...]]:
    """Return what watching all visits so far has come to, and the alerts of the last one.

    It follows from the visits alone, as the belief does.

    Parameters
    ----------
    beliefs
        Before any visit, and after each.
    """
    watch, alerts = Watch(model.false_alarms), tuple[Alert, ...]()
    least = _LEAST_MM if _SIZE in model.twin.quantities else 1e-6
    # The belief after the last visit has forecast none yet, and is not asked for.
    for place, (visit, state) in enumerate(zip(kept.visits, beliefs, strict=False)):
        alerts = ()
        measured = _measured(model, visit)
        # The first visit tells how large the tumour is, not whether the twin is right.
        if measured is None or place == 0:
            continue
        ahead = watched_ahead(model, state, visit.observation.days, visit.under)
        interval = Told.of(ahead, state, 0.9)
        before = kept.visits[place - 1].under
        changed = visit.under != before and before != NO_INTERVENTION
        scored = Scored(
            day=float(visit.observation.days[0]),
            shares={watched_name(model): _share(ahead, state, measured)},
            draws=ahead.shape[1],
            relative_width=(interval.upper - interval.lower) / max(interval.expected, least),
            therapy_changed=changed,
        )
        watch, alerts = watch.after(scored)
    return watch, alerts


def expected_at(
    model: LivingModel, kept: KeptBelief, interval: float, before_each: Iterable[TwinState]
) -> dict[float, Told]:
    """Return what was expected of each measurement, from all visits before it; by its day [day].

    The first visit tells how large the tumour is: nothing is expected of it.

    Parameters
    ----------
    before_each
        The belief before each visit.
    """
    found = {}
    for place, (visit, state) in enumerate(zip(kept.visits, before_each, strict=False)):
        if place and _measured(model, visit) is not None:
            day = visit.observation.days
            ahead = watched_ahead(model, state, day, visit.under)
            found[float(day[0])] = Told.of(ahead, state, interval)
    return found


def watched_ahead(
    model: LivingModel, state: TwinState, days: Float[Tensor, " patient"], under: Intervention
) -> Float[Tensor, "patient draw"]:
    """Return what each draw expects of what is watched, one day for each patient."""
    return model.twin.forecast(state, days, under)[..., _place(model)]


def _measured(model: LivingModel, visit: Visit) -> float | None:
    values = visit.observation.values.get(model.twin.modality.name)
    if values is None or bool(torch.isnan(values).all()):
        return None
    size = float(model.twin.sizes(values)[0])
    return None if math.isnan(size) else size


def _share(ahead: Float[Tensor, "patient draw"], state: TwinState, measured: float) -> float:
    weights = state.log_weights.exp().double().numpy()
    return float(probability_integral(ahead.numpy(), np.array([measured]), weights)[0])


def watched_name(model: LivingModel) -> str:
    """Return what is measured and foreseen from visit to visit."""
    return model.twin.modality.features[_place(model)]


def _place(model: LivingModel) -> int:
    """Return which feature is watched."""
    twin = model.twin
    return twin.modality.features.index(twin.watched) if isinstance(twin, VisitTwin) else 0


def benefit(model: LivingModel, state: TwinState, under: Intervention) -> float:
    """Return the belief that the size will be smaller than without the therapy."""
    day = state.days.max() + model.endpoint.horizon_days
    sizes = [
        model.twin.simulate(state, each, day[None]).values[..., 0, 0]
        for each in (under, NO_INTERVENTION)
    ]
    return float(share_above(sizes[1], sizes[0], state.log_weights))


def _endpoint(
    model: LivingModel, state: TwinState, under: Intervention, day: float
) -> Float[Tensor, "patient draw"]:
    asked = model.endpoint.later(day)
    return asked.read(model.twin.simulate(state, under, asked.days()))


def lines(model: LivingModel, change: Change) -> list[str]:
    """Return what a person is told of a visit."""
    forecast = change.forecast
    modality, sizes = model.twin.modality, model.twin.quantities[0] in _SIZES
    unit = next((each for name, each in _UNITS.items() if name in model.twin.quantities), "")
    what = "size" if sizes else modality.features[_place(model)]
    number = ".0f" if unit == "mm" else ".3g"
    ends = f"{forecast.lower:{number}} to {forecast.upper:{number}}"
    expected = " ".join(filter(None, (f"{forecast.expected:{number}}", unit, f"({ends})")))
    measured = f"{change.measured or 0.0:{number}} {unit}".rstrip()
    measured = "not measured" if change.measured is None else measured
    found = [f"day {change.day:g}: {what} {measured}, expected {expected}"]
    if change.share is not None:
        inside = 0.05 <= change.share <= 0.95
        verdict = "as expected" if inside else "a surprise"
        found.append(
            f"  {verdict}: {100 * change.share:.0f} % of the forecast lay below; evidence against "
            f"the twin {change.evidence:.1f}, alarm at {1 / model.false_alarms:.0f}"
        )
    for name, (before, after) in change.own.items():
        found.append(
            f"  {name}: {before.expected:.3g} ({before.lower:.3g} to {before.upper:.3g}) -> "
            f"{after.expected:.3g} ({after.lower:.3g} to {after.upper:.3g})"
        )
    found.append(
        f"  {model.title.lower()} from here: {change.before.expected:.2f} -> "
        f"{change.after.expected:.2f}"
    )
    found += unlike_lines(change.likeness)
    return [*found, *(f"  ALERT, {alert.kind.value}: {alert.sentence}" for alert in change.alerts)]


@dataclass(frozen=True)
class Compared:
    """Plans compared on the same draws of one patient.

    Attributes
    ----------
    plans
        In the order of the ranking's columns.
    days
        (time,) [day].
    sizes
        Lower, median and upper size under each plan, (plan, 3, time).
    quantity, axis
        What the size is, and what its axis is called.
    measured
        Days and values of the same quantity [day].
    by_size
        What RECIST would say of each plan; empty where sizes are no sums of diameters.
    """

    ranking: Ranking
    plans: tuple[Intervention, ...]
    days: np.ndarray
    sizes: np.ndarray
    quantity: str
    axis: str
    measured: tuple[list[float], list[float]]
    by_size: tuple[BySize, ...] = ()


def compared(
    model: LivingModel,
    kept: KeptBelief,
    plans: Sequence[Intervention],
    interval: float,
    state: TwinState | None = None,
) -> Compared:
    """Return plans compared from the last visit on.

    Parameters
    ----------
    state
        The belief after the last visit, where it is known already.

    Raises
    ------
    TwinError
        If the patient is outside the domain of validity, and such are refused.
    """
    check_like(model, kept.visits)
    state = replay(model.twin, kept) if state is None else state
    now = float(state.days[0])
    ahead = np.linspace(min(now, 0.0), now + model.endpoint.horizon_days, _POINTS)
    tail = (1.0 - interval) / 2.0
    weights = state.log_weights.exp().numpy()
    sizes = []
    for plan in plans:
        path = model.twin.simulate(state, plan, torch.from_numpy(ahead)).values[0, :, :, 0]
        share = np.repeat(weights, len(ahead), axis=0)
        sizes.append(quantiles(path.T.numpy(), share, (tail, 0.5, 1.0 - tail)).T)
    ones = torch.ones(1, len(plans))
    ranking = rank_therapies(
        model.twin,
        state,
        plans,
        model.endpoint.later(now),
        eligible=ones.bool(),
        support=ones,
        reasons=[[""] * len(plans)],
        interval=interval,
    )
    ranking = replace(ranking, likeness=shares_of_visits(model, kept.visits))
    quantity = model.twin.quantities[0]
    axis = _AXES.get(quantity, f"Probability of '{quantity}'")
    seen = _sizes_seen(model, kept) if quantity in _SIZES else ([], [])
    told: tuple[BySize, ...] = ()
    if quantity == _SIZE:
        asked = (seen, model.endpoint.horizon_days, interval)
        told = tuple(by_size(model.twin, state, plan, *asked) for plan in plans)
    return Compared(ranking, tuple(plans), ahead, np.stack(sizes), quantity, axis, seen, told)


def _sizes_seen(model: LivingModel, kept: KeptBelief) -> tuple[list[float], list[float]]:
    days, sizes = [], []
    for visit in kept.visits:
        size = _measured(model, visit)
        if size is not None:
            days.append(float(visit.observation.days[0]))
            sizes.append(size)
    return days, sizes


def ranking_lines(found: Compared) -> list[str]:
    """Return the ranking as a person reads it at a terminal."""
    ranking = found.ranking
    return unlike_lines(_likeness(ranking)) + [
        f"{place}. {ranking.interventions[option]}: {float(ranking.expected[0, option]):.2f}, best "
        f"with probability {float(ranking.probability_best[0, option]):.2f}"
        + (f"; {found.by_size[option]}" if found.by_size else "")
        for place, option in enumerate(order(ranking, 0), start=1)
    ]


def _likeness(ranking: Ranking) -> float | None:
    return ranking.likeness[0] if ranking.likeness else None


def as_record(found: Compared) -> dict[str, Any]:
    """Return the comparison as plain values."""
    ranking = found.ranking
    return {
        "likeness": _likeness(ranking),
        "unlike": unlike_them(_likeness(ranking)),
        "endpoint": ranking.endpoint.name,
        "days": found.days.tolist(),
        "plans": [
            {
                "name": ranking.interventions[option],
                "rank": place,
                "expected": float(ranking.expected[0, option]),
                "probability_best": float(ranking.probability_best[0, option]),
                found.quantity: dict(
                    zip(("lower", "median", "upper"), found.sizes[option].tolist(), strict=True)
                ),
                **(found.by_size[option].as_record() if found.by_size else {}),
            }
            for place, option in enumerate(order(ranking, 0), start=1)
        ],
    }
