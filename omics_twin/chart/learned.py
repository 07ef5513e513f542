"""Keep a visit in the chart, and say what the twin learned from it."""

from __future__ import annotations

from typing import overload

from omics_twin.bedside import ranking, record, watching
from omics_twin.bedside.belief import replay
from omics_twin.bedside.ranking import RankingChange
from omics_twin.bedside.watching import Change
from omics_twin.chart import lived
from omics_twin.chart.doses import doses_of
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError
from omics_twin.lifecycle.validity import refused
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord, RecordedVisit, without
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from omics_twin.visits.living import LivingModel


@overload
def learn(
    chart: Chart,
    model: TrainedModel,
    patient_id: str,
    visit: RecordedVisit,
    settings: TwinSettings,
    *,
    key: str,
    by: str,
    amends: int | None = None,
    reason: str = "",
) -> tuple[int, RankingChange | None]: ...


@overload
def learn(
    chart: Chart,
    model: LivingModel,
    patient_id: str,
    visit: RecordedVisit,
    settings: TwinSettings,
    *,
    key: str,
    by: str,
    amends: int | None = None,
    reason: str = "",
) -> tuple[int, Change | None]: ...


def learn(
    chart: Chart,
    model: TrainedModel | LivingModel,
    patient_id: str,
    visit: RecordedVisit,
    settings: TwinSettings,
    *,
    key: str,
    by: str,
    amends: int | None = None,
    reason: str = "",
) -> tuple[int, RankingChange | Change | None]:
    """Return a visit's number in the chart and what it changed; kept together with its alerts.

    A visit that the model cannot be shown is refused before anything is kept. One that comes late,
    from before another that is in the chart, changes the belief and raises no alert.

    Parameters
    ----------
    amends, reason
        Number of the visit that this one corrects, and why; the twin is not shown that one.

    Raises
    ------
    ConsentError
        If the patient's chart does not permit scoring.
    ChartError
        If the patient has no chart, the key was used for something else, or another visit came in
        between.
    OmicsTwinError
        If the model cannot be shown the visit.
    """
    if isinstance(model, LivingModel):
        withheld = lived.permitted(chart, model, patient_id)
    else:
        known = record.modalities_of(model)
        withheld = chart.check_consent(patient_id, Purpose.SCORING, known)
    if chart.sent_before(patient_id, key):
        again = chart.add_visit(patient_id, visit, key=key, by=by, amends=amends, reason=reason)
        return again, None
    visits = chart.visits(patient_id)
    if amends is not None and amends not in visits:
        raise ChartError(
            f"visit {amends} was amended before, or is not of this patient: open the page again"
        )
    before = chart.record(patient_id, [each for each in visits if each != amends])
    told = sorted([*before.visits, visit], key=lambda each: each.day)
    shown_to_it = without(before.model_copy(update={"visits": told}), withheld)
    change = _change(chart, model, shown_to_it, settings, is_last=told[-1] is visit)
    alerts = [] if change is None else [(each.kind.value, each.sentence) for each in change.alerts]
    number = chart.add_visit(
        patient_id, visit,
        key=key, by=by, amends=amends, reason=reason, alerts=alerts, beside=visits,
    )  # fmt: skip
    return number, change


def _change(
    chart: Chart,
    model: TrainedModel | LivingModel,
    told: PatientRecord,
    settings: TwinSettings,
    *,
    is_last: bool,
) -> RankingChange | Change | None:
    """Return what the last visit changed.

    None where another one was added, nothing shown, or the patient is refused an answer.

    Raises
    ------
    OmicsTwinError
        If the model cannot be shown one of the visits.
    """
    if isinstance(model, LivingModel):
        doses = [each.dose for each in doses_of(chart, told.patient_id)]
        kept = lived.kept_of(model, told, doses, settings)
        shown = kept.visits and float(kept.visits[-1].observation.days[0]) == told.visits[-1].day
        if not is_last or not shown or refused(model, kept.visits):
            replay(model.twin, kept)
            return None
        return watching.shown(
            model, kept.without_last(), kept.visits[-1], settings.interval, settings.least_benefit
        )[1]
    kept = record.kept_of(model, told, settings)
    if not is_last or not kept.visits:
        record.belief_in(model, kept)
        return None
    return ranking.shown(model, kept.without_last(), kept.visits[-1], settings)[1]
