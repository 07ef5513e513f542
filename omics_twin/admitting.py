"""Fill a chart: a patient is admitted with consent and visits, and the twin is shown each visit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date

from omics_twin.chart.doses import add_dose
from omics_twin.chart.learned import learn
from omics_twin.chart.store import CHART, Chart
from omics_twin.settings import TwinSettings
from omics_twin.told import PatientRecord, RecordedDose, RecordedVisit
from omics_twin.tracking import AnyModel
from omics_twin.trust.consent import Decision, Entry, Ledger, Purpose, judged

_BY = "admit"
Told = tuple[PatientRecord, Sequence[Entry], Sequence[RecordedDose]]
"""A patient, what the patient decided, and the doses given and planned."""


def admit(
    chart: Chart,
    records: Iterable[Told],
    *,
    model: AnyModel | None,
    settings: TwinSettings,
    until_days: float,
    progress: Callable[[int, int], None],
    count: int,
) -> tuple[int, int]:
    """Return how many patients and visits were kept; what is there already counts once.

    Parameters
    ----------
    records
        Each patient with what the patient decided, and the doses given and planned.
    model
        Shown every visit under therapy of who permits scoring, so that it can raise an alert; None:
        visits are kept alone.
    until_days
        Later visits, and doses that began later, are left out [day].
    progress, count
        Told how many of how many patients were admitted.

    Raises
    ------
    OmicsTwinError
        If a visit is not one that the model can be shown, or differs from the one in the chart.
    """
    patients = visits = 0
    for place, (record, entries, doses) in enumerate(records, start=1):
        name = chart.known_as(record.patient_id)
        # One that was interrupted is begun anew: what is there is the same and counts once.
        if not chart.has(name):
            chart.add_patient(name, stratum=record.stratum, by=_BY)
            patients += 1
        known = chart.consents(name)
        for entry in entries:
            own = replace(entry, patient_id=name)
            if own not in known:
                chart.add_consent(own, by=_BY)
        # A twin is shown a visit under what was given up to it.
        times: Counter[str] = Counter()
        for dose in doses:
            if not dose.planned and dose.start_days > until_days:
                continue
            # The same dose twice on a day is two doses.
            key = _key_of(dose)
            times[key] += 1
            add_dose(chart, name, dose, key=f"{key}-{times[key]}", by=_BY)
        ledger = Ledger(CHART, tuple(chart.consents(name)))
        refused = judged([name], ledger, Purpose.SCORING).refused
        before = len(chart.visits(name))
        for visit in record.visits:
            if visit.day > until_days:
                continue
            key = _key_of(visit)
            if model is None or visit.day <= 0 or refused:
                chart.add_visit(name, visit, key=key, by=_BY)
            else:
                learn(chart, model, name, visit, settings, key=key, by=_BY)
        visits += len(chart.visits(name)) - before
        progress(place, count)
    return patients, visits


def granted(patient_id: str, on: date) -> Entry:
    """Return that a patient permits scoring, as a study's protocol says of all of them."""
    return Entry(patient_id, Decision.GRANT, Purpose.SCORING.value, on)


def _key_of(told: RecordedVisit | RecordedDose) -> str:
    """Return the same key for the same visit or dose, however often it is sent."""
    return hashlib.blake2b(told.model_dump_json().encode(), digest_size=16).hexdigest()
