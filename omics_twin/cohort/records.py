"""A cohort's patients as a hospital would tell of them: visits with what was measured at each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from anndata import AnnData

from omics_twin.cohort.cohort import Cohort
from omics_twin.intake.declaration import Kind
from omics_twin.told import PatientRecord, RecordedDose, dose_of, record_of


def records_in(cohort: Cohort) -> Iterator[PatientRecord]:
    """Yield each patient's record; after the index date under the therapy received.

    Measurements on any days (``repeated``) are told by :func:`followed_in`, doses by
    :func:`doses_in`.

    Raises
    ------
    TwinError
        If a patient's identifier cannot be kept.
    """
    parts = {name: _rows(part) for name, part in cohort.measurements.mod.items()}
    received = {} if cohort.received is None else cohort.received.dropna().to_dict()
    strata = cohort.strata.astype(object)
    # Not by `itertuples`, which knows no rows of a table without columns.
    for patient, row in zip(cohort.patient_ids, strata.to_numpy(), strict=True):
        visits: dict[float, dict[str, dict[str, Any]]] = {}
        for name, part in cohort.measurements.mod.items():
            place = parts[name].get(patient)
            if place is None:
                continue
            measured = _measured(part, place)
            if measured:
                day = float(part.obs["day"].iloc[place])
                visits.setdefault(day, {})[str(part.uns["modality"])] = measured
        arm = received.get(patient)
        stratum = dict(zip(map(str, strata.columns), row, strict=True))
        yield record_of(
            {
                "patient_id": patient,
                "stratum": {name: str(value) for name, value in stratum.items() if value == value},
                "visits": [
                    {
                        "day": day,
                        "values": visits[day],
                        "under": str(arm) if arm and day > 0 else None,
                    }
                    for day in sorted(visits)
                ],
            }
        )


def followed_in(cohort: Cohort) -> Iterator[PatientRecord]:
    """Yield each patient's record of what was measured on any days, in time order.

    Raises
    ------
    TwinError
        If a patient's identifier cannot be kept.
    """
    visits: dict[str, dict[float, dict[str, dict[str, float]]]] = {
        each: {} for each in cohort.patient_ids
    }
    for name, part in cohort.repeated.items():
        columns, numbers = [str(each) for each in part.var_names], np.asarray(part.X, dtype=float)
        days = part.obs[["patient_id", "day"]].itertuples(index=False)
        for (patient, day), row in zip(days, numbers, strict=True):
            known = {c: float(v) for c, v in zip(columns, row, strict=True) if not np.isnan(v)}
            if known:
                visits[str(patient)].setdefault(float(day), {})[name] = known
    received = {} if cohort.received is None else cohort.received.dropna().to_dict()
    for patient, told in visits.items():
        arm = received.get(patient)
        yield record_of(
            {
                "patient_id": patient,
                "visits": [
                    {
                        "day": day,
                        "values": told[day],
                        "under": str(arm) if arm and day > 0 else None,
                    }
                    for day in sorted(told)
                ],
            }
        )


def doses_in(cohort: Cohort) -> dict[str, list[RecordedDose]]:
    """Return what each patient was given, dose by dose, where the cohort says so."""
    found: dict[str, list[RecordedDose]] = {each: [] for each in cohort.patient_ids}
    for row in () if cohort.doses is None else cohort.doses.itertuples():
        told = {
            "drug": str(row.drug),
            "amount": float(row.amount),
            "unit": str(row.unit),
            "start_days": float(row.day),
            "duration_days": float(row.duration_days),
        }
        found[str(row.patient_id)].append(dose_of(told))
    return found


def _rows(part: AnnData) -> dict[str, int]:
    return {str(patient): place for place, patient in enumerate(part.obs_names)}


def _measured(part: AnnData, place: int) -> dict[str, Any]:
    """Return what was measured in one patient, column by column."""
    numbers = np.asarray(part.X[place], dtype=float).ravel()
    binary = (part.var["kind"] == Kind.BINARY.value).to_numpy()
    found: dict[str, Any] = {
        str(column): int(number) if yes_no else float(number)
        for column, number, yes_no in zip(part.var_names, numbers, binary, strict=True)
        if not np.isnan(number)
    }
    for column in part.uns["categories"]:
        level = part.obs[column].iloc[place]
        if level == level:
            found[str(column)] = str(level)
    return found
