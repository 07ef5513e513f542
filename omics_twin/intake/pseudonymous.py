"""A cohort's tables with pseudonyms in the place of identifiers, and dates moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError
from omics_twin.files import sha256
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.repeated import Repeated
from omics_twin.intake.tables import Tables
from omics_twin.trust.privacy import Pseudonyms

_ENROLLED = "enrolled"


def pseudonymous(tables: Tables, names: Pseudonyms) -> Tables:
    """Return tables in which nobody is called by an identifier of the source.

    Days since the index date stay as they are, since they tell no date; the day of enrolment, which
    does, is moved by as much as every other date of the patient.

    Raises
    ------
    IntakeError
        If two patients would be called the same.
    """
    ids = tuple(names.of(each) for each in tables.patient_ids)
    if len(set(ids)) < len(ids):
        raise IntakeError(
            "two patients are called the same, one by an identifier and one by its pseudonym: keep "
            "one of the two"
        )
    return replace(
        tables,
        patient_ids=ids,
        # Another key makes another cohort: what was made of it is made anew.
        fingerprint=sha256(f"{tables.fingerprint} {names.mark()} {names.window_days}".encode()),
        channels={name: _channel(each, names) for name, each in tables.channels.items()},
        variants={name: _variants(each, names) for name, each in tables.variants.items()},
        repeated={name: _repeated(each, names) for name, each in tables.repeated.items()},
        received=None if tables.received is None else _indexed(tables.received, names),
        groups=_moved(_indexed(tables.groups, names), names),
        strata=_indexed(tables.strata, names),
        doses=None if tables.doses is None else _column(tables.doses, names),
    )


def _channel(channel: Channel, names: Pseudonyms) -> Channel:
    days = _indexed(channel.days, names)
    return replace(channel, values=_indexed(channel.values, names), days=days)


def _variants(variants: Variants, names: Pseudonyms) -> Variants:
    return replace(
        variants,
        assayed=tuple(names.of(each) for each in variants.assayed),
        calls=_column(variants.calls, names),
        panel_of={names.of(each): panel for each, panel in variants.panel_of.items()},
    )


def _repeated(repeated: Repeated, names: Pseudonyms) -> Repeated:
    ids = np.array([names.of(str(each)) for each in repeated.patient_ids], dtype=object)
    return replace(repeated, patient_ids=ids)


def _indexed(rows: Any, names: Pseudonyms) -> Any:
    index = pd.Index([names.of(str(each)) for each in rows.index], name=rows.index.name)
    return rows.set_axis(index, axis=0)


def _column(table: pd.DataFrame, names: Pseudonyms) -> pd.DataFrame:
    ids = [names.of(str(each)) for each in table["patient_id"]]
    return table.assign(patient_id=pd.array(ids, dtype=table["patient_id"].dtype))


def _moved(groups: pd.DataFrame, names: Pseudonyms) -> pd.DataFrame:
    """Return groups with the day of enrolment moved; what is no number stays as it is."""
    if _ENROLLED not in groups:
        return groups
    days = pd.to_numeric(groups[_ENROLLED], errors="coerce")
    if days.isna().sum() > groups[_ENROLLED].isna().sum():
        return groups
    shift = pd.Series([names.shift_days(each) for each in groups.index], index=groups.index)
    moved = (days + shift).map(lambda day: None if pd.isna(day) else f"{day:.15g}")
    return groups.assign(**{_ENROLLED: moved.astype("string")})
