"""Patients in the order and units of a model: whom it is asked about, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from omics_twin.answers.beliefs import received_of, strata_of
from omics_twin.cohort.cohort import Cohort
from omics_twin.tensors import transforms
from omics_twin.tensors.transforms import DesignMatrices
from omics_twin.therapy.support import stratum_key
from omics_twin.tracking import TrainedModel


@dataclass(frozen=True)
class Patients:
    """Whom a model is asked about.

    Attributes
    ----------
    matrices
        What was measured; it holds the order of the patients.
    received
        Arm by patient, None where it is not known.
    strata
        Column -> value by patient; what was not measured says so.
    source, fingerprint
        Where they come from, and of which data.
    basis
        On what basis they may be asked about.
    """

    matrices: DesignMatrices
    received: tuple[str | None, ...]
    strata: tuple[Mapping[str, str], ...]
    source: str
    fingerprint: str
    basis: str

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """Order of the patient axis."""
        return self.matrices.patient_ids

    @property
    def name(self) -> str:
        """Where they come from, as a cohort has a name."""
        return self.source

    @property
    def keys(self) -> list[str]:
        """Stratum of each patient."""
        return [stratum_key(tuple(each), list(each.values())) for each in self.strata]


def together(parts: Sequence[Patients]) -> Patients:
    """Return patients who were read one by one, from one source and on one basis, together."""
    first, matrices = parts[0], [each.matrices for each in parts]
    names = list(first.matrices.values)
    told = "".join(each.fingerprint for each in parts)
    return replace(
        first,
        matrices=DesignMatrices(
            tuple(patient for each in matrices for patient in each.patient_ids),
            {name: torch.cat([each.values[name] for each in matrices]) for name in names},
            {name: torch.cat([each.days[name] for each in matrices]) for name in names},
            tuple(dict.fromkeys(note for each in matrices for note in each.notes)),
        ),
        received=tuple(arm for each in parts for arm in each.received),
        strata=tuple(stratum for each in parts for stratum in each.strata),
        fingerprint=hashlib.sha256(told.encode()).hexdigest(),
    )


def patients_in(model: TrainedModel, cohort: Cohort) -> Patients:
    """Return a cohort's patients as a model is asked about them.

    Raises
    ------
    CohortError
        If a column that makes a stratum is missing.
    ModelError
        If a measured channel is not as the model expects it.
    """
    return Patients(
        matrices=transforms.apply(model.twin.design, cohort),
        received=tuple(received_of(cohort, model.catalogue)),
        strata=tuple(strata_of(model.support.columns, cohort)),
        source=cohort.name,
        fingerprint=cohort.fingerprint,
        basis=cohort.permission.basis,
    )
