"""What the page says of what is kept: decisions, alerts, consent, amendments, doses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from omics_twin.bedside.record import NOT_MEASURED
from omics_twin.chart.amended import amended_strata, amended_visits
from omics_twin.chart.doses import StoredDose, amended_doses, doses_of
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError, OmicsTwinError, quoted
from omics_twin.report.words import counted, day_in_words, listed, name_in_words, visible
from omics_twin.told import RecordedDose, RecordedVisit
from omics_twin.trust.consent import ALL, Decision, Entry, Purpose


@dataclass(frozen=True)
class Moment:
    """One visit of the timeline, in words.

    Attributes
    ----------
    number
        Of the visit in the chart.
    parts
        What of it can be amended by hand: how the form is asked for, and its name.
    """

    when: str
    under: str
    told: tuple[str, ...]
    number: int
    parts: tuple[tuple[Mapping[str, str], str], ...]


def kept(
    chart: Chart,
    patient_id: str,
    labels: Mapping[str, str],
    modalities: Sequence[str],
    withheld: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what every patient's page says of what the chart keeps.

    Parameters
    ----------
    labels
        What people call each arm.
    modalities, withheld
        What the model can be shown, and what of it is not to be told.
    """
    holding = chart.visits(patient_id)
    return {
        "decisions": [
            {
                "therapy": labels.get(each.intervention, visible(each.intervention)),
                "reason": visible(each.reason),
                "by": visible(each.by),
                "at": f"{each.at:%Y-%m-%d %H:%M}",
            }
            for each in chart.decisions(patient_id)
        ],
        "alerts": [
            {
                "number": each.number,
                "kind": each.kind,
                "when": day_in_words(each.day),
                "sentence": visible(each.sentence),
                "closed_by": visible(each.closed_by),
                "note": visible(each.note),
                "amended": each.visit not in holding,
            }
            for each in chart.alerts(patient_id)
        ],
        "consents": [_in_words(each) for each in chart.consents(patient_id)],
        "purposes": [each.value for each in Purpose],
        "modalities": [(each, visible(name_in_words(each))) for each in modalities],
        "amended": _amended(chart, patient_id, withheld),
        "doses": [_dose(each) for each in doses_of(chart, patient_id)],
        "amended_doses": [
            f"{dose_in_words(wrong.dose)} \N{RIGHTWARDS ARROW} {dose_in_words(right.dose)} "
            f"({visible(right.by)}: {visible(right.reason)})"
            for wrong, right in amended_doses(chart, patient_id)
        ],
    }


def _amended(chart: Chart, patient_id: str, withheld: Sequence[str]) -> list[str]:
    """Return what was amended, what had been written before it."""
    found = []
    for visit in amended_visits(chart, patient_id, withheld=withheld):
        changes = _changes(visit.before, visit.after)
        told = "; ".join(changes) or "nothing that may be shown"
        found.append((visit.at, day_in_words(visit.before.day), told, visit.by, visit.reason))
    for stratum in amended_strata(chart, patient_id):
        pair = (stratum.before, stratum.after)
        changes = [
            _changed(name, *(each.get(name, NOT_MEASURED) for each in pair))
            for name in sorted({*stratum.before, *stratum.after})
            if stratum.before.get(name) != stratum.after.get(name)
        ]
        found.append((stratum.at, "stratum", "; ".join(changes), stratum.by, stratum.reason))
    return [
        f"{at:%Y-%m-%d %H:%M}, {visible(by)}, {what}: {told} ({visible(reason) or 'no reason'})"
        for at, what, told, by, reason in sorted(found)
    ]


def _changes(before: RecordedVisit, after: RecordedVisit) -> list[str]:
    found = []
    if before.day != after.day:
        found.append(_changed("day", f"{before.day:g}", f"{after.day:g}"))
    if before.under != after.under:
        found.append(_changed("therapy", before.under or "none", after.under or "none"))
    for modality in sorted({*before.values, *after.values}):
        first, last = (each.values.get(modality, {}) for each in (before, after))
        for column in dict.fromkeys([*first, *last]):
            if first.get(column) != last.get(column):
                found.append(_changed(column, value_in_words(first.get(column)),
                                      value_in_words(last.get(column))))  # fmt: skip
    return found


def _changed(name: str, before: str, after: str) -> str:
    told = f"{name_in_words(name)} {before} \N{RIGHTWARDS ARROW} {after}"
    return visible(told)


def _dose(each: StoredDose) -> dict[str, Any]:
    return {
        "number": each.number,
        "told": dose_in_words(each.dose),
        "planned": each.dose.planned,
        "until": day_in_words(each.dose.end_days),
        "by": visible(each.by),
    }


def dose_in_words(dose: RecordedDose) -> str:
    """Return a dose with its schedule.

    Examples
    --------
    >>> every_week = RecordedDose(drug="paclitaxel", amount=80.0, interval_days=7.0, repeat=12)
    >>> dose_in_words(every_week)
    'paclitaxel 80 mg, day 0 to day 77, 12 times, every 7 days'
    """
    told = f"{visible(dose.drug)} {dose.amount:g} mg, day {dose.start_days:g}"
    if dose.amount == 0:
        return f"{told}: not given"
    if dose.repeat > 1:
        every = "day" if dose.interval_days == 1 else f"{dose.interval_days:g} days"
        last = dose.end_days - dose.duration_days
        told += f" to day {last:g}, {dose.repeat} times, every {every}"
    return told + (f", over {dose.duration_days:g} days" if dose.duration_days else "")


def measured_in_words(visit: RecordedVisit) -> list[str]:
    """Return what was measured at a visit; of many values only how many."""
    found = []
    for modality, columns in visit.values.items():
        known = {name: value for name, value in columns.items() if value is not None}
        name = visible(name_in_words(modality))
        if 0 < len(known) <= 6:
            told = [f"{visible(name_in_words(k))} {value_in_words(v)}" for k, v in known.items()]
            found.append(f"{name}: {listed(told)}")
        elif known:
            found.append(f"{name}: {counted(len(known), 'value')}")
    return found


def value_in_words(value: Any) -> str:
    """Return a measured value."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.4g}" if isinstance(value, float) else visible(str(value))


def _in_words(entry: Entry) -> str:
    about_all = entry.modality == ALL
    what = entry.purpose if about_all else f"{entry.purpose} of {visible(entry.modality)}"
    until = f" until {entry.valid_until}" if entry.valid_until else ""
    return f"{entry.decision.value} for {what}, {entry.recorded_on}{until}"


def withdrawn(modalities: Sequence[str], patient_id: str, purpose: str, modality: str) -> Entry:
    """Return that a patient withdrew consent today.

    Raises
    ------
    ConsentError
        If there is no such purpose.
    ChartError
        If the model knows no such modality.
    """
    known = (ALL, *modalities)
    if modality not in known:
        raise ChartError(f"the modality is none of {quoted(known)}: choose one of the list")
    return Entry(patient_id, Decision.WITHDRAW, purpose, date.today(), modality)


def told_in_words(error: OmicsTwinError) -> str:
    """Return a mistake as the page says it."""
    sentence = visible(str(error))
    return sentence[:1].upper() + sentence[1:]
