"""From a cohort to the tensors a model was designed for, and back to the design from a cohort."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from jaxtyping import Float
from torch import Tensor

from omics_twin.cohort.cohort import Cohort
from omics_twin.errors import ModelError, about, quoted
from omics_twin.tensors.design import ChannelDesign, Design, Feature
from omics_twin.trust.privacy import SMALLEST_CELL
from omics_twin.types import Observation


@dataclass(frozen=True)
class DesignMatrices:
    """A cohort in the order and units of a design.

    Attributes
    ----------
    patient_ids
        Order of the patient axis.
    values
        Channel -> (patient, feature), NaN: not measured.
    days
        Channel -> (patient,), day of the visit, NaN where there was none [day].
    notes
        What was told and not refused, for example a category the model has never seen.
    """

    patient_ids: tuple[str, ...]
    values: dict[str, Float[Tensor, "patient feature_"]]
    days: dict[str, Float[Tensor, " patient"]]
    notes: tuple[str, ...]


def design_of(cohort: Cohort) -> Design:
    """Return the design of a training cohort: its channels, features and category levels.

    What is fitted to patients is not here: means, spreads and filters are fitted per ensemble
    member on that member's training patients alone.
    """
    channels = sorted(
        cohort.measurements.mod.items(),
        key=lambda item: float(item[1].uns["visit_day"]),
    )
    return Design(tuple(_channel_design(name, part) for name, part in channels))


def _channel_design(name: str, part: AnnData) -> ChannelDesign:
    lacked = set(part.uns["not_in_all_parts"])
    rare = _carried_by_few(part)
    features = [
        Feature(
            name=f"log1p({column})" if row["log"] else str(column),
            column=str(column),
            level=None,
            unit=str(row["unit"]),
            binary=row["kind"] == "binary",
            log=bool(row["log"]),
            may_be_absent=column in lacked,
            minimum=_end(row["minimum"]),
            maximum=_end(row["maximum"]),
        )
        for column, row in part.var.iterrows()
        if column not in rare
    ]
    for column in part.uns["categories"]:
        levels = sorted(str(level) for level in part.obs[column].dropna().unique())
        features += [
            Feature(
                f"{column}={level}",
                str(column),
                level,
                "1",
                binary=True,
                log=False,
                may_be_absent=column in lacked,
            )
            for level in levels
        ]
    return ChannelDesign(
        name=name,
        modality=str(part.uns["modality"]),
        visit_day=float(part.uns["visit_day"]),
        window_days=float(part.uns["window_days"]),
        minimum_frequency=float(part.uns["minimum_frequency"]),
        absent_is_zero=float(part.uns["absent_value"]) == 0.0,
        features=tuple(features),
    )


def _carried_by_few(part: AnnData) -> set[str]:
    """Return the calls that no member may use, and that would tell of single patients by name.

    Where calls are listed, a gene stands in the table because somebody has a mutation in it: the
    name of a gene that one patient has would come into the model with this patient alone.
    """
    share = float(part.uns["minimum_frequency"])
    if share <= 0.0 or float(part.uns["absent_value"]) != 0.0:
        return set()
    binary = (part.var["kind"] == "binary").to_numpy()
    values = np.asarray(part.X, dtype=float)[:, binary]
    carriers = np.nansum(values == 1.0, axis=0)
    few = (carriers < SMALLEST_CELL) & (carriers < share * len(values))
    return set(part.var.index[binary][few])


def _end(declared: float) -> float | None:
    return None if np.isnan(declared) else float(declared)


def apply(design: Design, cohort: Cohort) -> DesignMatrices:
    """Return the cohort's values in the design's order.

    A channel in which nobody was measured is NaN throughout; a category level that the design
    does not know is not measured, and noted by name.

    Raises
    ------
    ModelError
        If a measured channel lacks a feature, or has it in another unit or of another kind.
    """
    notes: list[str] = []
    values, days = {}, {}
    index = pd.Index(list(cohort.patient_ids), dtype=object)
    for channel in design.channels:
        shape = (len(index), len(channel.features))
        matrix = np.full(shape, np.nan, dtype=np.float32)
        day = np.full(len(index), np.nan)
        part = cohort.measurements.mod.get(channel.name)
        if part is None:
            notes.append(f"nobody has modality '{channel.modality}' on day {channel.visit_day:g}")
        else:
            rows = index.get_indexer(pd.Index(part.obs_names, dtype=object))
            matrix[rows] = _channel_values(channel, part, notes)
            day[rows] = part.obs["day"].to_numpy(dtype=float)
        values[channel.name] = torch.from_numpy(matrix)
        days[channel.name] = torch.from_numpy(day)
    known = {channel.name for channel in design.channels}
    notes += [
        f"'{name}' is in the cohort but not in the model, which does not use it"
        for name in cohort.measurements.mod
        if name not in known
    ]
    return DesignMatrices(tuple(cohort.patient_ids), values, days, tuple(notes))


def _channel_values(
    channel: ChannelDesign, part: AnnData, notes: list[str]
) -> Float[np.ndarray, "measured feature"]:
    _check_columns(channel, part, notes)
    columns = pd.Index(part.var_names, dtype=object)
    positions = columns.get_indexer([f.column for f in channel.features if f.level is None])
    matrix = np.full((part.n_obs, len(channel.features)), np.nan)
    plain = np.array([i for i, f in enumerate(channel.features) if f.level is None], dtype=int)
    found = positions >= 0
    matrix[:, plain[found]] = np.asarray(part.X, dtype=float)[:, positions[found]]
    # An absent column that gets past the check is a gene that is wild type without a call, or is
    # not measured in this part of the cohort.
    matrix[:, plain[~found]] = 0.0 if channel.absent_is_zero else np.nan
    logged = [i for i, feature in enumerate(channel.features) if feature.log]
    matrix[:, logged] = np.log1p(matrix[:, logged])
    for column in dict.fromkeys(f.column for f in channel.features if f.level is not None):
        if column in part.obs:
            _set_levels(channel, column, part, matrix, notes)
    return matrix.astype(np.float32)


def _set_levels(
    channel: ChannelDesign, column: str, part: AnnData, matrix: np.ndarray, notes: list[str]
) -> None:
    places = {f.level: i for i, f in enumerate(channel.features) if f.column == column and f.level}
    raw = part.obs[column].astype(object)
    unknown = sorted({str(value) for value in raw.dropna().unique()} - set(places))
    if unknown:
        affected = int(raw.isin(unknown).sum())
        told = (
            f"column '{column}' has values the model has never seen: {quoted(unknown)} "
            f"(patients: {affected}); read as not measured"
        )
        notes.append(about(told, *unknown))
    for level, place in places.items():
        matrix[:, place] = np.where(raw.isin(list(places)), raw == level, np.nan)


def _check_columns(channel: ChannelDesign, part: AnnData, notes: list[str]) -> None:
    present = set(part.var_names) | set(part.uns["categories"])
    wanted = dict.fromkeys(feature.column for feature in channel.features)
    calls = {feature.column for feature in channel.features if feature.binary}
    lacked = {feature.column for feature in channel.features if feature.may_be_absent}
    may_be_absent = calls if channel.absent_is_zero else lacked
    missing = [column for column in wanted if column not in present | may_be_absent]
    if missing:
        raise ModelError(
            f"modality '{channel.modality}' has {len(wanted) - len(missing)} of the "
            f"{len(wanted)} columns the model expects; first missing: {quoted(missing, most=2)}"
        )
    unlisted = [column for column in wanted if column in lacked - present]
    if unlisted and not channel.absent_is_zero:
        notes.append(
            f"modality '{channel.modality}' lacks {quoted(unlisted)}, which not every part of the "
            "training cohort had either; read as not measured"
        )
    for feature in channel.features:
        if feature.column not in present:
            continue
        kind, expected = _kind_of(part, feature.column), _kind_expected(feature)
        if kind != expected:
            raise ModelError(
                f"column '{feature.column}' is declared as {kind}, the model expects {expected}: "
                "declare it as in training"
            )
        if feature.level is None:
            unit = str(part.var.at[feature.column, "unit"])
            if unit != feature.unit:
                raise ModelError(
                    f"column '{feature.column}' is in '{unit}', the model expects "
                    f"'{feature.unit}': convert it or declare its unit"
                )


def _kind_of(part: AnnData, column: str) -> str:
    return "category" if column in part.uns["categories"] else str(part.var.at[column, "kind"])


def _kind_expected(feature: Feature) -> str:
    if feature.level is not None:
        return "category"
    return "binary" if feature.binary else "number"


def observations(design: Design, matrices: DesignMatrices) -> list[Observation]:
    """Return one observation per scheduled visit, in time order.

    A patient without the visit has NaN throughout and the scheduled day.
    """
    visits = []
    for visit_day in design.visit_days:
        channels = [channel for channel in design.channels if channel.visit_day == visit_day]
        day = torch.stack([matrices.days[channel.name] for channel in channels])
        day = torch.nan_to_num(day, nan=-torch.inf).max(dim=0).values
        day = torch.where(torch.isinf(day), torch.full_like(day, visit_day), day)
        visits.append(
            Observation(
                patient_ids=matrices.patient_ids,
                days=day,
                values={channel.modality: matrices.values[channel.name] for channel in channels},
            )
        )
    return visits


def observations_in_units(
    design: Design, matrices: DesignMatrices, modalities: Collection[str]
) -> list[Observation]:
    """Return the same of some modalities, numbers in their own units."""
    of = {channel.modality: channel for channel in design.channels}
    found = []
    for visit in observations(design, matrices):
        told = {k: of[k].natural(v.double()) for k, v in visit.values.items() if k in modalities}
        found.append(replace(visit, values=told))
    return found
