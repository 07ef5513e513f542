"""Which groups does a patient belong to? Categories, bands of age, what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from omics_twin.tensors.design import Design

NOT_KNOWN = "not known"
AGE = "age_years"


def level_of(
    design: Design, values: Mapping[str, Float[ndarray, "patient feature_"]], column: str
) -> list[str | None] | None:
    """Return each patient's level of a category that was measured before treatment.

    Parameters
    ----------
    values
        Channel -> values in the order of the design, NaN: not measured.

    Returns
    -------
    list of str or None
        ``None`` for a patient without the level, and altogether where no category has this name.
    """
    for channel in design.channels:
        place = [i for i, each in enumerate(channel.features) if each.column == column]
        levels = [channel.features[i].level for i in place]
        if channel.follow_up or not place or None in levels:
            continue
        flags = np.asarray(values[channel.name])[:, place] == 1.0
        return [levels[int(np.argmax(row))] if row.any() else None for row in flags]
    return None


def ages_of(
    design: Design, values: Mapping[str, Float[ndarray, "patient feature_"]]
) -> Float[ndarray, " patient"] | None:
    """Return the age at the index date [year]: the first column in years that is named for it.

    ``None`` where the cohort has none; NaN where a patient's is not known.
    """
    for channel in design.channels:
        for place, feature in enumerate(channel.features):
            named = feature.unit == "year" and "age" in feature.column.lower()
            if named and not feature.log and not channel.follow_up:
                return np.asarray(values[channel.name], dtype=np.float64)[:, place]
    return None


def bands_of(
    ages: Float[ndarray, " patient"], edges: Sequence[float], least: int
) -> tuple[float, ...]:
    """Return the edges of bands of age; an outer band of too few patients joins its neighbour.

    Parameters
    ----------
    edges
        Rising; a band begins with its lower edge [year].
    least
        Patients of an outer band.

    Examples
    --------
    >>> bands_of(np.array([30.0, 45.0, 45.0, 60.0, 60.0, 80.0]), (40.0, 50.0, 65.0), 2)
    (50.0,)
    """
    known, kept = ages[np.isfinite(ages)], list(edges)
    while kept and (known < kept[0]).sum() < least:
        kept.pop(0)
    while kept and (known >= kept[-1]).sum() < least:
        kept.pop()
    return tuple(kept)


def band_of(age: float, edges: Sequence[float]) -> str | None:
    """Return the band of an age in words; ``None`` where the age or the bands are not known.

    Examples
    --------
    >>> [band_of(age, (40.0, 65.0)) for age in (39.0, 40.0, 64.9, 70.0)]
    ['below 40', '40 to 64', '40 to 64', '65 and over']
    """
    if not np.isfinite(age) or not edges:
        return None
    place = int(np.searchsorted(edges, age, side="right"))
    if place == 0:
        return f"below {edges[0]:g}"
    if place == len(edges):
        return f"{edges[-1]:g} and over"
    return f"{edges[place - 1]:g} to {edges[place] - 1:g}"


def measured_of(
    design: Design, values: Mapping[str, Float[ndarray, "patient feature_"]]
) -> dict[str, list[str]]:
    """Return which modalities were measured before treatment, and how many of them.

    Returns
    -------
    dict
        ``measured_MODALITY`` -> ``yes`` or ``no`` by patient, for every modality of the design;
        ``modalities_measured`` -> such as ``3 of 4``.
    """
    found: dict[str, ndarray] = {}
    for channel in design.channels:
        if channel.follow_up:
            continue
        there = np.isfinite(np.asarray(values[channel.name])).any(axis=1)
        found[channel.modality] = found.get(channel.modality, np.zeros_like(there)) | there
    number = np.sum(list(found.values()), axis=0)
    told = {
        f"measured_{name}": ["yes" if each else "no" for each in there]
        for name, there in found.items()
    }
    return told | {"modalities_measured": [f"{each} of {len(found)}" for each in number]}


def attributes_of(
    design: Design,
    values: Mapping[str, Float[ndarray, "patient feature_"]],
    columns: Mapping[str, str],
    edges: Sequence[float],
) -> dict[str, list[str | None]]:
    """Return the groups that are told from the measurements before treatment alone.

    Parameters
    ----------
    columns
        Role -> column, as a cohort declares its groups; those that are no measured category are
        left out.
    edges
        Of the bands of age [year].

    Returns
    -------
    dict
        Attribute -> group of each patient, ``None`` where it is not known.
    """
    told = {role: level_of(design, values, column) for role, column in columns.items()}
    found = {role: each for role, each in told.items() if each is not None}
    ages = ages_of(design, values)
    if ages is not None and edges:
        found[AGE] = [band_of(float(age), edges) for age in ages]
    return found | {name: list(each) for name, each in measured_of(design, values).items()}
