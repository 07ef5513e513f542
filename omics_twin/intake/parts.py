"""How do several folders in the same format become one cohort? Patients below each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.channels import Channel, Variants
from omics_twin.intake.declaration import CohortDeclaration, ColumnDeclaration, Kind
from omics_twin.intake.groups import PART
from omics_twin.intake.outcomes import Outcome

if TYPE_CHECKING:
    from omics_twin.intake.repeated import Repeated
    from omics_twin.intake.tables import Tables

Read = TypeVar("Read")


def declared_parts(declaration: CohortDeclaration) -> dict[str, CohortDeclaration]:
    """Return the declaration of each part: the cohort's own, with the part's folder.

    Examples
    --------
    >>> cohort = CohortDeclaration(name="pan", parts={"kidney": "a", "lung": "b"})
    >>> [(name, part.root, part.parts) for name, part in declared_parts(cohort).items()]
    [('kidney', 'a', {}), ('lung', 'b', {})]
    """
    return {
        name: replace(declaration, root=root, parts={}, part_column="")
        for name, root in declaration.parts.items()
    }


@contextmanager
def in_part(name: str) -> Iterator[None]:
    """Say in which part a mistake is."""
    try:
        yield
    except IntakeError as error:
        error.add_note(f"this is in part '{name}' of the cohort")
        raise


def join_parts(declaration: CohortDeclaration, parts: Mapping[str, Tables]) -> Tables:
    """Return the tables of a cohort's parts as those of one cohort.

    Patients stand below each other in the order of the parts. A feature that a part does not list
    was not measured in it; of mutation calls every gene was read in whoever was assayed. What is
    not known in a part (an outcome, the therapies when scoring) is not known for its patients.

    Parameters
    ----------
    declaration
        The cohort; ``part_column`` names the channel that holds each patient's part.
    parts
        The tables of each part by its name, at least one.

    Returns
    -------
    Tables
        ``groups`` has a further column, :data:`~omics_twin.intake.groups.PART`.

    Raises
    ------
    IntakeError
        If a patient is in two parts, or parts hold the same column as different things.
    """
    _check_patients(parts)
    tables = list(parts.values())
    channels = {
        name: _joined_channel(each)
        for name, each in _by_name({part: t.channels for part, t in parts.items()}).items()
    }
    variants = {
        name: _joined_variants(each)
        for name, each in _by_name({part: t.variants for part, t in parts.items()}).items()
    }
    repeated = {
        name: _joined_repeated(each)
        for name, each in _by_name({part: t.repeated for part, t in parts.items()}).items()
    }
    part_of = pd.Series(
        np.repeat(list(parts), [len(each.patient_ids) for each in tables]),
        index=pd.Index([p for each in tables for p in each.patient_ids], name="patient_id"),
        dtype="string",
    )
    if declaration.part_column:
        measured = {patient for each in channels.values() for patient in each.values.index}
        measured |= {patient for each in variants.values() for patient in each.assayed}
        channels[declaration.part_column] = _part_channel(
            declaration.part_column, part_of[part_of.index.isin(measured)]
        )
    return replace(
        tables[0],
        patient_ids=tuple(part_of.index),
        channels=channels,
        variants=variants,
        repeated=repeated,
        doses=None if tables[0].doses is None else pd.concat([each.doses for each in tables]),
        received=_received(tables),
        outcomes=_outcomes(parts),
        groups=pd.concat([each.groups for each in tables]).assign(**{PART: part_of}),
        strata=pd.concat([each.strata for each in tables]),
        notes=tuple(
            about(f"{name}: {note}", *getattr(note, "private", ()))
            for name, each in parts.items()
            for note in each.notes
        ),
        fingerprint=_fingerprint(declaration, parts),
    )


def _check_patients(parts: Mapping[str, Tables]) -> None:
    part_of: dict[str, str] = {}
    for name, tables in parts.items():
        twice = [patient for patient in tables.patient_ids if patient in part_of]
        if twice:
            told = (
                f"patients {quoted(twice)} are in part '{name}' and in part "
                f"'{part_of[twice[0]]}', expected each patient in one part: remove them from one"
            )
            raise IntakeError(about(told, *twice))
        part_of |= dict.fromkeys(tables.patient_ids, name)


def _by_name(parts: Mapping[str, Mapping[str, Read]]) -> dict[str, dict[str, Read]]:
    """Return, for each name that any part has, what each part has under it."""
    found: dict[str, dict[str, Read]] = {}
    for part, held in parts.items():
        for name, each in held.items():
            found.setdefault(name, {})[part] = each
    return found


def _same_columns(
    parts: Mapping[str, Mapping[str, ColumnDeclaration]], what: str
) -> dict[str, ColumnDeclaration]:
    """Return the columns of any part, which must mean the same in all."""
    columns: dict[str, ColumnDeclaration] = {}
    first_in: dict[str, str] = {}
    for part, held in parts.items():
        for name, declared in held.items():
            known = columns.setdefault(name, declared)
            place = first_in.setdefault(name, part)
            if _meaning(known) != _meaning(declared):
                raise IntakeError(
                    f"{what}, column '{name}' is {_meaning(known)} in part "
                    f"'{place}' and {_meaning(declared)} in part '{part}', expected the same in "
                    "all: declare the column"
                )
    return columns


def _joined_channel(parts: Mapping[str, Channel]) -> Channel:
    channels = list(parts.values())
    columns = _same_columns(
        {part: each.columns for part, each in parts.items()}, f"channel '{channels[0].name}'"
    )
    return replace(
        channels[0],
        values=pd.concat([each.values for each in channels])[list(columns)],
        columns=columns,
        days=pd.concat([each.days for each in channels]),
        genes=tuple(dict.fromkeys(gene for each in channels for gene in each.genes)),
        not_in_all_parts=frozenset(
            name for name in columns if any(name not in each.columns for each in channels)
        ),
    )


def _meaning(declared: ColumnDeclaration) -> str:
    scale = ", as logarithm" if declared.log else ""
    return f"a {declared.kind.value} in '{declared.unit}'{scale}"


def _joined_variants(parts: Mapping[str, Variants]) -> Variants:
    panels: dict[str, tuple[str, ...]] = {}
    for part, variants in parts.items():
        for panel, genes in variants.panels.items():
            if set(panels.setdefault(panel, genes)) != set(genes):
                raise IntakeError(
                    f"gene panel '{panel}' has other genes in part '{part}' than in a part before "
                    "it, expected one list: give one of the panels another name"
                )
    each = list(parts.values())
    return replace(
        each[0],
        assayed=tuple(patient for one in each for patient in one.assayed),
        calls=pd.concat([one.calls for one in each], ignore_index=True),
        fraction_declared=any(one.fraction_declared for one in each),
        panel_of={patient: panel for one in each for patient, panel in one.panel_of.items()},
        panels=panels,
    )


def _joined_repeated(parts: Mapping[str, Repeated]) -> Repeated:
    columns = _same_columns(
        {part: each.columns for part, each in parts.items()},
        f"modality '{next(iter(parts.values())).modality}'",
    )
    each = list(parts.values())
    return replace(
        each[0],
        patient_ids=np.concatenate([one.patient_ids for one in each]),
        days=np.concatenate([one.days for one in each]),
        values=pd.concat([one.values for one in each], ignore_index=True)[list(columns)],
        columns=columns,
    )


def _part_channel(name: str, part_of: pd.Series) -> Channel:
    """Return the part of each patient as a measured category."""
    levels = {str(part): str(part) for part in part_of.unique()}
    return Channel(
        name=name,
        modality=name,
        visit_day=0.0,
        values=part_of.to_frame(name),
        columns={name: ColumnDeclaration(kind=Kind.CATEGORY, levels=levels)},
        days=pd.Series(0.0, index=part_of.index, name="day"),
    )


def _received(tables: list[Tables]) -> pd.Series | None:
    if all(each.received is None for each in tables):
        return None
    arms = [_no_arm(each) if each.received is None else each.received for each in tables]
    return pd.concat(arms).rename_axis("patient_id").rename("arm")


def _no_arm(tables: Tables) -> pd.Series:
    return pd.Series(pd.NA, index=list(tables.patient_ids), dtype="string")


def _outcomes(parts: Mapping[str, Tables]) -> dict[str, Outcome]:
    joined = {}
    held = _by_name({name: tables.outcomes for name, tables in parts.items()})
    for name, by_part in held.items():
        if not all(each.causes for each in by_part.values()):
            # When scoring, a part may lack the column of causes, which it has said.
            by_part = {k: replace(e, by_cause=None, causes=()) for k, e in by_part.items()}
        first = next(iter(by_part.values()))
        other = [part for part, each in by_part.items() if _what(each) != _what(first)]
        if other:
            raise IntakeError(
                f"outcome '{name}' is {first.kind.value} in '{first.unit}', but another kind or "
                f"unit in parts {quoted(other)}, expected the same in all: declare the outcome"
            )
        pieces = [
            by_part.get(part) or _not_known(first, len(tables.patient_ids))
            for part, tables in parts.items()
        ]
        events = [each.events for each in pieces if each.events is not None]
        competing = [each.competing for each in pieces if each.competing is not None]
        by_cause = [each.by_cause for each in pieces if each.by_cause is not None]
        joined[name] = replace(
            first,
            values=np.concatenate([each.values for each in pieces]),
            events=np.concatenate(events) if events else None,
            competing=np.concatenate(competing) if competing else None,
            by_cause=np.concatenate(by_cause) if by_cause else None,
        )
    return joined


def _what(outcome: Outcome) -> tuple[object, str]:
    return outcome.kind, outcome.unit


def _not_known(like: Outcome, patients: int) -> Outcome:
    events = None if like.events is None else np.zeros(patients, dtype=bool)
    competing = None if like.competing is None else np.zeros(patients, dtype=bool)
    by_cause = None if like.by_cause is None else np.zeros(patients, dtype=np.int64)
    return replace(
        like,
        values=np.full(patients, np.nan),
        events=events,
        competing=competing,
        by_cause=by_cause,
    )


def _fingerprint(declaration: CohortDeclaration, parts: Mapping[str, Tables]) -> str:
    """Return one fingerprint over the parts, their names and what a part is called."""
    told = [declaration.part_column, *([name, each.fingerprint] for name, each in parts.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
