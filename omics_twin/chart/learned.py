"""Keep a visit in the chart, and say what the twin learned from it."""

from __future__ import annotations

from omics_twin.bedside_ranking import RankingChange, shown
from omics_twin.chart.store import Chart
from omics_twin.record import kept_of, modalities_of
from omics_twin.settings import TwinSettings
from omics_twin.told import RecordedVisit, without
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose


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
) -> tuple[int, RankingChange | None]:
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
    withheld = chart.check_consent(patient_id, Purpose.SCORING, modalities_of(model))
    if chart.sent_before(patient_id, key):
        again = chart.add_visit(patient_id, visit, key=key, by=by, amends=amends, reason=reason)
        return again, None
    visits = chart.visits(patient_id)
    before = chart.record(patient_id, [each for each in visits if each != amends])
    told = sorted([*before.visits, visit], key=lambda each: each.day)
    shown_to_it = without(before.model_copy(update={"visits": told}), withheld)
    kept = kept_of(model, shown_to_it, settings)
    change = None
    if told[-1] is visit and kept.visits:
        _, change = shown(model, kept.without_last(), kept.visits[-1], settings)
    alerts = [] if change is None else [(each.kind.value, each.sentence) for each in change.alerts]
    number = chart.add_visit(
        patient_id, visit,
        key=key, by=by, amends=amends, reason=reason, alerts=alerts, beside=visits,
    )  # fmt: skip
    return number, change
