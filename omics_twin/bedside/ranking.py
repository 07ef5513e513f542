"""A twin that ranks, between visits of one patient: what a visit changed, and asked what if."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from omics_twin.alerts.watch import Alert, Scored, Watch, lack_of_benefit
from omics_twin.answers.beliefs import endpoint_values
from omics_twin.answers.rankings import ranking_lines
from omics_twin.bedside.belief import KeptBelief
from omics_twin.bedside.record import belief_in, beliefs_in, ranking_of
from omics_twin.bedside.watching import Compared, Told
from omics_twin.errors import TherapyError
from omics_twin.evaluate.forecast import probability_integral, quantiles
from omics_twin.lifecycle.validity import unlike_lines
from omics_twin.report.words import column_in_words
from omics_twin.settings import TwinSettings
from omics_twin.tensors.design import Feature
from omics_twin.therapy.rank import order
from omics_twin.tracking import TrainedModel
from omics_twin.twin.draws import share_above
from omics_twin.twin.hybrid import HybridTwin
from omics_twin.types import NO_INTERVENTION, Intervention, Ranking, TwinState, Visit

_POINTS = 49
_SURPRISE = 0.05
_LISTED = 3


@dataclass(frozen=True)
class Foreseen:
    """A measurement beside its forecast.

    Attributes
    ----------
    measured, forecast
        In the feature's unit; the forecast was made before the visit, from all before it.
    share
        Share of the forecast below what came.
    """

    feature: Feature
    measured: float
    forecast: Told
    share: float


@dataclass(frozen=True)
class RankingChange:
    """What a visit changed.

    Attributes
    ----------
    foreseen
        What was measured and had been forecast.
    outlook
        The endpoint under the therapy being given, before and after the visit; ``None`` before
        treatment.
    before, after
        The ranking.
    evidence
        Evidence against the twin's forecasts so far.
    alerts
        What is to be told.
    """

    visit: Visit
    foreseen: tuple[Foreseen, ...]
    outlook: tuple[Told, Told] | None
    before: Ranking
    after: Ranking
    evidence: float
    alerts: tuple[Alert, ...]


def shown(
    model: TrainedModel, kept: KeptBelief, visit: Visit, settings: TwinSettings
) -> tuple[KeptBelief, RankingChange]:
    """Return the belief with a further visit, and what the visit changed.

    Raises
    ------
    TwinError
        If the visit is not one that this twin can be shown.
    """
    grown = kept.seen(visit)
    *_, before, after = states = list(beliefs_in(model, grown))
    told = [
        foreseen(model, state, each, settings.interval)
        for state, each in zip(states[:-1], grown.visits, strict=True)
    ]
    watch, alerts = _watched(grown.visits, told, grown.draws)
    pair = (before, after)
    rankings = [ranking_of(model, grown, each, settings) for each in pair]
    outlook = None
    if visit.under != NO_INTERVENTION:
        first, last = (
            Told.of(endpoint_values(model, each, visit.under), each, settings.interval)
            for each in pair
        )
        outlook = (first, last)
        told_of = no_benefit(model, after, rankings[1], visit, settings)
        alerts = alerts if told_of is None else (*alerts, told_of)
    return grown, RankingChange(
        visit=visit,
        foreseen=told[-1],
        outlook=outlook,
        before=rankings[0],
        after=rankings[1],
        evidence=watch.value,
        alerts=alerts,
    )


def no_benefit(
    model: TrainedModel, state: TwinState, ranking: Ranking, visit: Visit, settings: TwinSettings
) -> Alert | None:
    """Return the alert that another therapy is believed to be better than the one being given.

    What would be without therapy was never seen: it is compared with the one that is ranked first
    of the others which are open and were received by enough training patients of the stratum.
    """
    arms, enough = model.catalogue.interventions(), model.catalogue.thin_support
    others = [
        option
        for option in order(ranking, 0)
        if arms[option].name != visit.under.name and float(ranking.support[0, option]) >= enough
    ]
    if not others:
        return None
    best = arms[others[0]]
    sign = 1.0 if model.endpoint.higher_is_better else -1.0
    other, own = (sign * endpoint_values(model, state, each) for each in (best, visit.under))
    margin = settings.benefit_margin
    return lack_of_benefit(
        float(visit.observation.days[0]),
        float(share_above(own + margin, other, state.log_weights)),
        least=settings.least_benefit,
        over=f"'{model.catalogue.label(best.name)}'",
        margin=margin,
    )


def foreseen(
    model: TrainedModel, state: TwinState, visit: Visit, interval: float
) -> tuple[Foreseen, ...]:
    """Return what was measured at a visit beside its forecast, where the twin makes one.

    A twin without a course forecasts the outcome alone; nobody forecasts the visit before
    treatment, which says who the patient is.
    """
    twin, day = model.twin, visit.observation.days
    if not isinstance(twin, HybridTwin) or float(day) <= 0:
        return ()
    values = visit.observation.values.get(twin.course.modality)
    if values is None:
        return ()
    ahead = twin.forecast(state, day, visit.under)
    features, natural = twin.visits[0].features, twin.visits[0].natural(values)[0]
    found = []
    for place, feature in enumerate(features):
        if feature.binary or bool(torch.isnan(natural[place])):
            continue
        draws, measured = ahead[..., place], float(natural[place])
        share = _share(draws.numpy(), state, measured)
        found.append(Foreseen(feature, measured, Told.of(draws, state, interval), share))
    return tuple(found)


def _share(draws: np.ndarray, state: TwinState, measured: float) -> float:
    weights = state.log_weights.exp().double().numpy()
    return float(probability_integral(draws, np.array([measured]), weights)[0])


def _watched(
    visits: Sequence[Visit], told: Sequence[Sequence[Foreseen]], draws: int
) -> tuple[Watch, tuple[Alert, ...]]:
    """Return what watching all visits has come to, and the alerts of the last one."""
    watch, alerts, before = Watch(), tuple[Alert, ...](), NO_INTERVENTION
    for visit, each in zip(visits, told, strict=True):
        scored = Scored(
            day=float(visit.observation.days[0]),
            shares={one.feature.quantity: one.share for one in each},
            draws=draws,
            therapy_changed=before not in (NO_INTERVENTION, visit.under),
        )
        watch, alerts = watch.after(scored)
        before = visit.under
    return watch, alerts


def lines(model: TrainedModel, change: RankingChange) -> list[str]:
    """Return what a person is told of a visit."""
    day = float(change.visit.observation.days[0])
    under = change.visit.under
    given = "" if under == NO_INTERVENTION else f", under {model.catalogue.label(under.name)}"
    measured = [
        name
        for name, values in change.visit.observation.values.items()
        if not bool(torch.isnan(values).all())
    ]
    found = [f"day {day:g}{given}: {', '.join(measured) or 'nothing'} measured"]
    for each in change.foreseen:
        unit = "" if each.feature.unit == "1" else f" {each.feature.unit}"
        inside = _SURPRISE <= each.share <= 1.0 - _SURPRISE
        found.append(
            f"  {each.feature.quantity}: {each.measured:.3g}{unit}, expected "
            f"{each.forecast}: {'as expected' if inside else 'a surprise'}, "
            f"{100 * each.share:.0f} % of the forecast lay below"
        )
    if change.foreseen:
        found.append(
            f"  evidence against the twin {change.evidence:.1f}, "
            f"alarm at {1 / Watch.false_alarms:.0f}"
        )
    if change.outlook is not None:
        before, after = change.outlook
        found.append(
            f"  {model.title.lower()} under {model.catalogue.label(under.name)}: "
            f"{before} -> {after}"
        )
    found.append(f"  ranking before: {_order(model, change.before)}")
    found.append(f"  ranking now:    {_order(model, change.after)}")
    found += unlike_lines(change.after.likeness[0] if change.after.likeness else None)
    if bool(change.after.abstained[0]):
        found.append(f"  no therapy is recommended: {change.after.abstention[0]}")
    return [*found, *(f"  ALERT, {alert.kind.value}: {alert.sentence}" for alert in change.alerts)]


def _order(model: TrainedModel, ranking: Ranking) -> str:
    first = ranking_lines(ranking, 0, excluded=False)
    opened = [line for line in first if line["eligible"]][:_LISTED]
    if not opened:
        return "nothing is open to this patient"
    return ", ".join(
        f"{line['rank']}. {model.catalogue.label(line['intervention'])} {line['expected']:.2f} "
        f"(best with probability {line['probability_best']:.2f})"
        for line in opened
    )


def compared(
    model: TrainedModel, kept: KeptBelief, asked: str | None, settings: TwinSettings
) -> Compared:
    """Return the therapies open to the patient, or one of them, compared from here on.

    Curves are of the first measurement that the twin forecasts, or of survival; a twin that
    foresees one yes-or-no outcome has none.

    Raises
    ------
    TherapyError
        If the therapy is not known, or none is open.
    """
    state = belief_in(model, kept)
    ranking = ranking_of(model, kept, state, settings)
    opened = torch.nonzero(ranking.eligible[0])[:, 0].tolist()
    if asked is not None:
        model.catalogue.intervention(asked)
        chosen = model.catalogue.arms.index(asked)
        if chosen not in opened:
            raise TherapyError(
                f"'{asked}' is not open to the patient: "
                f"{ranking.reasons[0][chosen] or 'no support'}"
            )
        opened = [chosen]
    if not opened:
        raise TherapyError("no therapy is open to the patient: see 'rank'")
    plans = [model.catalogue.interventions()[each] for each in opened]
    days, curves, quantity, axis = _curves(model, state, plans, settings.interval)
    return Compared(
        ranking=_only(ranking, opened),
        plans=tuple(plans),
        days=days,
        sizes=curves,
        quantity=quantity,
        axis=axis,
        measured=_measured(model, kept),
    )


def _curves(
    model: TrainedModel, state: TwinState, plans: Sequence[Intervention], interval: float
) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Return days, lower, median and upper curve of each plan, and what they are of."""
    twin = model.twin
    if isinstance(twin, HybridTwin):
        feature = twin.visits[0].features[0]
        last, place = float(twin.course.days[-1]), len(twin.prior.quantities)
        quantity = feature.quantity
        axis = f"{column_in_words(quantity, feature.unit)} ({feature.unit})"
    elif model.outcome_kind == "time_to_event":
        last, place = model.endpoint.horizon_days, twin.quantities.index(model.endpoint.quantity)
        quantity, axis = model.endpoint.quantity, "Probability of being event-free"
    else:
        return np.zeros(0), np.zeros((len(plans), 3, 0)), model.endpoint.quantity, ""
    days = torch.linspace(0.0, last, _POINTS, dtype=torch.float64)
    share = np.repeat(state.log_weights.exp().double().numpy(), _POINTS, axis=0)
    tail = (1.0 - interval) / 2.0
    found = []
    for plan in plans:
        path = twin.simulate(state, plan, days).values[0, :, :, place].double()
        found.append(quantiles(path.T.numpy(), share, (tail, 0.5, 1.0 - tail)).T)
    return days.numpy(), np.stack(found), quantity, axis


def _measured(model: TrainedModel, kept: KeptBelief) -> tuple[list[float], list[float]]:
    twin = model.twin
    if not isinstance(twin, HybridTwin):
        return [], []
    days, values = [], []
    for visit in kept.visits:
        row = visit.observation.values.get(twin.course.modality)
        if row is not None and not bool(torch.isnan(row[0, 0])):
            days.append(max(0.0, float(visit.observation.days[0])))
            values.append(float(twin.visits[0].natural(row)[0, 0]))
    return days, values


def _only(ranking: Ranking, options: Sequence[int]) -> Ranking:
    """Return the ranking of some of its interventions."""
    parts = ("expected", "lower", "upper", "probability_best", "support", "eligible")
    return replace(
        ranking,
        interventions=tuple(ranking.interventions[each] for each in options),
        reasons=(tuple(ranking.reasons[0][each] for each in options),),
        **{name: getattr(ranking, name)[:, list(options)] for name in parts},
    )
