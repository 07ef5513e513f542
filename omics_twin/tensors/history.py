"""Visits on any days as tensors: one row per patient, visits in order, padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from anndata import AnnData
from jaxtyping import Float, Int
from torch import Tensor

from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import CohortError, nearest
from omics_twin.types import Dose, Intervention, Modality, Observation


@dataclass(frozen=True)
class Histories:
    """Everything measured of one modality, visit by visit.

    Attributes
    ----------
    modality
        Its name, unit and features.
    days
        (patient, visit) in order, NaN behind a patient's last visit [day].
    values
        (patient, visit, feature) in the modality's units, NaN: not measured.
    """

    patient_ids: tuple[str, ...]
    modality: Modality
    days: Float[Tensor, "patient visit"]
    values: Float[Tensor, "patient visit feature"]

    @property
    def visits(self) -> Int[Tensor, " patient"]:
        """How many visits each patient has."""
        return torch.isfinite(self.days).sum(dim=1)

    def observation(self, visit: int) -> Observation:
        """Return one visit of everybody.

        Who has no such visit is shown nothing, on the day of the last one there was.
        """
        reached = torch.nan_to_num(self.days, nan=-torch.inf).cummax(dim=1).values
        return Observation(
            self.patient_ids, reached[:, visit], {self.modality.name: self.values[:, visit]}
        )

    def select(self, rows: Int[Tensor, " chosen"]) -> Histories:
        """Return the histories of some of the patients, in the order given."""
        return Histories(
            tuple(self.patient_ids[int(row)] for row in rows),
            self.modality,
            self.days[rows],
            self.values[rows],
        )

    def up_to(self, days: float) -> Histories:
        """Return what was known on a day; who had no visit by then has none."""
        known = self.days <= days
        width = max(int(known.sum(dim=1).max()), 1)
        return Histories(
            self.patient_ids,
            self.modality,
            torch.where(known, self.days, torch.nan)[:, :width],
            torch.where(known.unsqueeze(-1), self.values, torch.nan)[:, :width],
        )


def histories_of(cohort: Cohort, modality: str) -> Histories:
    """Return the visits of a cohort.

    Raises
    ------
    CohortError
        If the cohort has no such repeated measurements.
    """
    if modality not in cohort.repeated:
        raise CohortError(
            f"cohort '{cohort.name}' has no repeated measurements '{modality}'"
            f"{nearest(modality, cohort.repeated)}"
        )
    part = cohort.repeated[modality]
    patients = {patient: row for row, patient in enumerate(cohort.patient_ids)}
    rows = np.array([patients[each] for each in part.obs["patient_id"]], dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    counts = np.bincount(rows, minlength=len(patients))
    visit = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = max(int(counts.max(initial=0)), 1)
    days = np.full((len(patients), width), np.nan)
    values = np.full((len(patients), width, part.n_vars), np.nan)
    days[rows, visit] = part.obs["day"].to_numpy()[order]
    values[rows, visit] = np.asarray(part.X)[order]
    return Histories(
        cohort.patient_ids, _modality(modality, part), torch.tensor(days), torch.tensor(values)
    )


def given_of(cohort: Cohort) -> list[Intervention]:
    """Return what each patient was given, named by the arm, dose by dose.

    Raises
    ------
    CohortError
        If the cohort does not say which doses were given.
    """
    if cohort.doses is None:
        raise CohortError(f"cohort '{cohort.name}' does not say which doses were given: declare it")
    by_patient: dict[str, list[Dose]] = {patient: [] for patient in cohort.patient_ids}
    for row in cohort.doses.itertuples():
        given = Dose(
            str(row.drug),
            float(row.amount),
            str(row.unit),
            float(row.day),
            float(row.duration_days),
        )
        by_patient[str(row.patient_id)].append(given)
    arms = [None] * len(by_patient) if cohort.received is None else cohort.received.tolist()
    return [
        Intervention(arm if isinstance(arm, str) else "doses", tuple(doses))
        for arm, doses in zip(arms, by_patient.values(), strict=True)
    ]


def _modality(name: str, part: AnnData) -> Modality:
    units = [str(unit) for unit in part.var["unit"]]
    unit = units[0] if len(set(units)) == 1 else "mixed"
    return Modality(name, unit, tuple(str(each) for each in part.var_names))
