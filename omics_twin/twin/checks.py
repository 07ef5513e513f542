"""What every twin refuses: patients, modalities, sizes and days that do not fit its belief."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from omics_twin.errors import TwinError, nearest, quoted
from omics_twin.types import Modality, Observation, TwinState


def check_start(patient_ids: Sequence[str], draws: int, least: int = 1) -> None:
    """Refuse a belief about nobody, about one patient twice, or of too few draws.

    Raises
    ------
    TwinError
        If it is one of these.
    """
    if draws < least:
        needed = f"at least one per member: {least}" if least > 1 else "at least 1"
        raise TwinError(f"{draws} draws asked for, expected {needed}")
    if not patient_ids or len(set(patient_ids)) < len(patient_ids):
        raise TwinError(
            f"{len(patient_ids)} patients of whom {len(set(patient_ids))} differ, "
            "expected at least one and each once"
        )


def check_visit(state: TwinState, observation: Observation, modalities: Sequence[Modality]) -> None:
    """Refuse a visit of other patients, before the last one, or of what the twin does not know.

    Raises
    ------
    TwinError
        If it is one of these, or a value is infinite.
    """
    if observation.patient_ids != state.patient_ids:
        raise TwinError(
            f"the observation is of {len(observation.patient_ids)} patients, the state of "
            f"{len(state.patient_ids)}: expected the same patients in the same order"
        )
    late = observation.days.to(state.days) < torch.where(state.days > 0, state.days, -torch.inf)
    if bool(late.any()):
        who = state.patient_ids[int(torch.nonzero(late)[0, 0])]
        raise TwinError(f"a visit of patient '{who}' is before the last one: order visits by day")
    known = {modality.name: modality for modality in modalities}
    for name, values in observation.values.items():
        if name not in known:
            raise TwinError(f"unknown modality '{name}'{nearest(name, known)}")
        expected = len(known[name].features)
        if values.shape != (len(state.patient_ids), expected):
            raise TwinError(
                f"modality '{name}' has shape {tuple(values.shape)}, the model expects "
                f"({len(state.patient_ids)}, {expected}); its features begin with "
                f"{quoted(known[name].features, most=2)}"
            )
        if bool(torch.isinf(values).any()):
            raise TwinError(f"modality '{name}' holds an infinite value, expected a number or NaN")
