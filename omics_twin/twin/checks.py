"""What every twin refuses: patients, modalities, sizes and days that do not fit its belief."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.errors import TwinError, about, nearest, quoted
from omics_twin.tensors.design import ChannelDesign
from omics_twin.types import Intervention, Modality, Observation, TwinState


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
        told = f"a visit of patient '{who}' is before the last one: order visits by day"
        raise TwinError(about(told, who))
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


def multi_hot(agents: Sequence[str], intervention: Intervention) -> Float[Tensor, " agent"]:
    """Return 1 for each of a twin's agents that an intervention holds.

    Raises
    ------
    TwinError
        If the intervention holds another one.
    """
    for drug in intervention.drugs:
        if drug not in agents:
            raise TwinError(
                f"agent '{drug}' of '{intervention.name}' is not known to this twin"
                f"{nearest(drug, agents)}"
            )
    return torch.tensor([float(agent in intervention.drugs) for agent in agents])


def scheduled(
    channels: Sequence[ChannelDesign],
    days: Float[Tensor, " patient"],
    values: Float[Tensor, "patient feature"],
) -> dict[int, Bool[Tensor, " patient"]]:
    """Return which patients' rows belong to which of a modality's channels: the nearest visit.

    Raises
    ------
    TwinError
        If something was measured too far from every scheduled visit.
    """
    schedule = torch.tensor([channel.visit_day for channel in channels], dtype=torch.float64)
    # What is measured before treatment is a baseline value however long before.
    asked = days.double().clamp(min=0.0) if bool((schedule <= 0).any()) else days.double()
    distance = (asked[:, None] - schedule).abs()
    nearest_visit = distance.argmin(dim=1)
    measured = ~torch.isnan(values).all(dim=1)
    found: dict[int, Tensor] = {}
    for place, channel in enumerate(channels):
        rows = measured & (nearest_visit == place)
        far = distance[rows, place] > channel.window_days
        if bool(far.any()):
            raise TwinError(
                f"'{channel.modality}' was measured on day {float(days[rows][far][0]):g}, expected "
                f"within {channel.window_days:g} days of a scheduled visit, the nearest on day "
                f"{channel.visit_day:g}"
            )
        if bool(rows.any()):
            found[place] = rows
    return found
