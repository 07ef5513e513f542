"""A visit as a person fills it in: which fields there are, and what was written into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from omics_twin.bedside.record import channels_shown
from omics_twin.errors import TwinError, nearest
from omics_twin.report.words import day_in_words, name_in_words, visible
from omics_twin.tensors.design import ChannelDesign
from omics_twin.told import PatientRecord, RecordedVisit, record_of
from omics_twin.tracking import TrainedModel

# More cannot be filled in by hand: a file is read instead.
MOST_FIELDS = 80
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")


@dataclass(frozen=True)
class Field:
    """One column.

    Attributes
    ----------
    levels
        What it may be; empty: a number.
    hint
        Unit and range in words.
    """

    name: str
    label: str
    levels: tuple[str, ...]
    hint: str


@dataclass(frozen=True)
class Choice:
    """A visit that can be added.

    Attributes
    ----------
    fields
        How many columns it has.
    by_hand
        Whether these are few enough to be filled in.
    """

    channel: str
    label: str
    fields: int
    by_hand: bool


def choices(model: TrainedModel, record: PatientRecord) -> list[Choice]:
    """Return what was not measured yet, in time order."""
    seen = channels_shown(model, record)
    found = []
    for channel in model.twin.design.channels:
        size = len({feature.column for feature in channel.features})
        if channel.name not in seen:
            label = f"{name_in_words(channel.modality)}, {day_in_words(channel.visit_day)}"
            found.append(Choice(channel.name, visible(label), size, size <= MOST_FIELDS))
    return found


def channel_of(model: TrainedModel, name: str) -> ChannelDesign:
    """Return a channel by its name.

    Raises
    ------
    TwinError
        If there is none.
    """
    known = {channel.name: channel for channel in model.twin.design.channels}
    if name not in known:
        raise TwinError(f"the model knows no such visit{nearest('', known)}")
    return known[name]


def fields_of(channel: ChannelDesign) -> list[Field]:
    """Return the fields of a channel, one for each column."""
    found: dict[str, Field] = {}
    for feature in channel.features:
        label = visible(name_in_words(feature.column))
        if feature.level is not None:
            before = found[feature.column].levels if feature.column in found else ()
            found[feature.column] = Field(feature.column, label, (*before, feature.level), "")
        elif feature.binary:
            found[feature.column] = Field(feature.column, label, ("0", "1"), "0: no, 1: yes")
        else:
            ends = [
                f"{word} {end:g}"
                for word, end in (("at least", feature.minimum), ("at most", feature.maximum))
                if end is not None
            ]
            unit = "" if feature.unit == "1" else feature.unit
            hint = ", ".join(filter(None, [unit, *ends]))
            found[feature.column] = Field(feature.column, label, (), hint)
    return list(found.values())


def values_in(channel: ChannelDesign, form: Mapping[str, str]) -> dict[str, int | float | str]:
    """Return what was written into the fields; an empty one was not measured.

    Raises
    ------
    TwinError
        If a number is none.
    """
    numbers = {feature.column: feature.binary for feature in channel.features if not feature.level}
    found: dict[str, int | float | str] = {}
    for field in fields_of(channel):
        text = form.get(field.name, "").strip()
        if not text:
            continue
        if field.name not in numbers:
            found[field.name] = text
            continue
        number = number_in(field.label, text)
        found[field.name] = int(number) if numbers[field.name] else number
    return found


def number_in(label: str, text: str) -> float:
    """Return the number that somebody wrote, with a point or a comma.

    Raises
    ------
    TwinError
        If it is none, or its comma may stand for thousands: "1,500".

    Examples
    --------
    >>> number_in("volume", "3,5")
    3.5
    """
    if _THOUSANDS.fullmatch(text.strip()):
        raise TwinError(
            f"the comma in '{label}' may stand for thousands: write whole numbers without one, "
            "and others with a point"
        )
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise TwinError(f"'{label}' is no number: write one, or leave it empty") from None


def visit_in(
    channel: ChannelDesign, form: Mapping[str, str], instead_of: RecordedVisit | None = None
) -> RecordedVisit:
    """Return the visit of a form.

    Parameters
    ----------
    instead_of
        The visit that it amends: what else was measured at that one stays as it is, and all
        fields may be empty.

    Raises
    ------
    TwinError
        If the day or a value is none, or nothing was measured or changed.
    """
    return visit_of_values(channel.modality, values_in(channel, form), form, instead_of)


def visit_of_values(
    modality: str,
    values: Mapping[str, int | float | str],
    form: Mapping[str, str],
    instead_of: RecordedVisit | None,
) -> RecordedVisit:
    """Return the visit of a form whose values are read; see :func:`visit_in`."""
    if not values and instead_of is None:
        raise TwinError("nothing was filled in: write down at least one value")
    day = number_in("day", form.get("day", ""))
    others = {} if instead_of is None else instead_of.model_dump()["values"]
    others.pop(modality, None)
    measured = {**others, modality: dict(values)} if values else others
    # A form that does not ask for the therapy says nothing of it.
    kept = None if instead_of is None else instead_of.under
    under = (form["under"] or None) if "under" in form else kept
    told = {"day": day, "values": measured, "under": under}
    visit = record_of({"patient_id": "asked", "visits": [told]}).visits[0]
    if instead_of is not None and visit == instead_of:
        raise TwinError("nothing was changed: the visit is in the chart as it is written here")
    return visit


def written_in(modality: str, visit: RecordedVisit) -> dict[str, str]:
    """Return how a form would have been filled in to say what a visit says."""
    held = visit.values.get(modality, {})
    return {
        "day": f"{visit.day:.15g}",
        "under": visit.under or "",
        **{name: f"{value}" for name, value in held.items() if value is not None},
    }


def whole_in(label: str, text: str) -> int:
    """Return the whole number of a hidden field.

    Raises
    ------
    TwinError
        If it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise TwinError(f"'{label}' of the form is no number: open the page again")
    return int(text)


def columns_of(model: TrainedModel) -> list[str]:
    """Return what may be supposed of a patient before treatment, as ``modality.column``."""
    found: dict[str, None] = {}
    for channel in model.twin.design.channels:
        if not channel.follow_up:
            found |= dict.fromkeys(f"{channel.modality}.{each.column}" for each in channel.features)
    return list(found)


def supposed_in(
    model: TrainedModel, column: str, text: str
) -> tuple[dict[str, dict[str, int | float | str]], str]:
    """Return a value that is supposed, and the supposition in words; nothing where none is asked.

    Raises
    ------
    TwinError
        If the column is unknown or the value none.
    """
    if not column:
        return {}, ""
    for channel in model.twin.design.channels:
        own = {f"{channel.modality}.{each.column}": each.column for each in channel.features}
        if not channel.follow_up and column in own:
            values = values_in(channel, {own[column]: text})
            if not values:
                raise TwinError("no value was supposed: write one beside the measurement")
            (name, value), label = next(iter(values.items())), name_in_words(own[column])
            return {channel.modality: {name: value}}, visible(f"{label} {value}")
    raise TwinError("the model knows no such measurement before treatment: choose one of the list")
