"""A cohort's visits as a twin of a volume and a response is shown them: those of its design."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from omics_twin.answers.beliefs import received_of
from omics_twin.bedside.belief import visit_to_json
from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import ModelError
from omics_twin.tensors import transforms
from omics_twin.told import PatientRecord, record_of
from omics_twin.twin.draws import some_of
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.response import prior_of
from omics_twin.types import NO_INTERVENTION, Visit
from omics_twin.visits.living import RESPONSE, LivingModel


def is_scheduled(model: LivingModel) -> bool:
    """Whether a twin is shown the visits of a design, and what is read before treatment too."""
    return model.kind == RESPONSE


def scheduled_visits(model: LivingModel, cohort: Cohort) -> list[list[Visit]]:
    """Return what was measured of each patient at each visit, in its units, in time order.

    Raises
    ------
    ModelError
        If the cohort's columns are not those of the design, or the twin has none.
    """
    twin = model.twin
    if not isinstance(twin, MechanisticTwin):
        raise ModelError(f"twin '{twin.name}' has no scheduled visits")
    design = prior_of(twin).inputs.design
    known, matrices = {each.name for each in twin.modalities}, transforms.apply(design, cohort)
    every = transforms.observations_in_units(design, matrices, known)
    found = []
    for row, arm in enumerate(received_of(cohort)):
        own = [some_of(each, torch.tensor([row])) for each in every]
        given = NO_INTERVENTION
        if arm is not None:
            given = model.given(arm)
        found.append(
            [
                Visit(each, given if float(each.days[0]) > 0 else NO_INTERVENTION)
                for each in own
                if any(bool(torch.isfinite(values).any()) for values in each.values.values())
            ]
        )
    return found


def scheduled_records(model: LivingModel, cohort: Cohort) -> Iterator[PatientRecord]:
    """Yield the same as records for a chart, each patient's visits under the arm received."""
    for patient, visits in zip(cohort.patient_ids, scheduled_visits(model, cohort), strict=True):
        told = []
        for visit in visits:
            given = None if visit.under == NO_INTERVENTION else visit.under.name
            told.append(visit_to_json(visit, model.twin.modalities) | {"under": given})
        yield record_of({"patient_id": patient, "visits": told})
