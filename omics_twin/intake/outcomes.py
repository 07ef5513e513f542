"""Read what became of each patient and which therapy each received."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.columns import binary, canonical, coded, column_of, first_below, numbers
from omics_twin.intake.declaration import (
    OutcomeDeclaration,
    OutcomeKind,
    TherapyDeclaration,
    UnknownLevel,
)
from omics_twin.intake.files import Table
from omics_twin.units import conversion

_COMPETING = 2.0


@dataclass(frozen=True)
class Outcome:
    """One outcome of every patient.

    Attributes
    ----------
    name, kind
        For example ``"pcr"``, binary.
    values
        Shape (patient,): 0.0 or 1.0, a number, or the time to the event or to censoring [day];
        NaN where not known.
    events
        Shape (patient,): whether the time ends in the event; ``None`` for other kinds. False
        where the time is not known.
    unit
        Unit of ``values``.
    competing
        Shape (patient,): whether the time ends in another kind of event, after which this one can
        no longer come; ``None`` where none is declared.
    by_cause, causes
        Where kinds of the event are told apart, shape (patient,): 0 for no event, 1 for the first
        of ``causes`` and so on; their names.
    """

    name: str
    kind: OutcomeKind
    values: np.ndarray
    events: np.ndarray | None
    unit: str
    competing: np.ndarray | None = None
    by_cause: np.ndarray | None = None
    causes: tuple[str, ...] = ()

    @property
    def cause(self) -> np.ndarray | None:
        """0 censored, 1 the event, 2 a competing one, (patient,); None where none is declared."""
        if self.competing is None or self.events is None:
            return None
        return np.where(self.competing, 2, self.events.astype(np.int64))

    def at(self, positions: np.ndarray) -> Outcome:
        """Return the outcome of the patients at these positions."""
        of_patients = ("values", "events", "competing", "by_cause")
        held = {name: getattr(self, name) for name in of_patients}
        return replace(self, **{n: each[positions] for n, each in held.items() if each is not None})


def read_outcome(
    name: str, declared: OutcomeDeclaration, table: Table, roster: tuple[str, ...]
) -> tuple[Outcome, list[str]]:
    """Read one outcome for every patient of the roster.

    Parameters
    ----------
    name
        The outcome's name.
    declared
        How it is recorded.
    table
        One row per patient, all of them in the roster.
    roster
        The patients, in the order of the outcome's values.

    Returns
    -------
    outcome
        NaN for patients whose outcome is not known.
    notes
        Patients of whom only the time or only the event is recorded, read as not known.

    Raises
    ------
    IntakeError
        If a cell is not what the declaration says.
    """
    column = column_of(table, declared.value_column, declared.missing)
    events = competing = by_cause = None
    notes: list[str] = []
    unit = declared.unit
    if declared.kind is OutcomeKind.BINARY:
        values = binary(column, declared.positive, declared.negative)
    elif declared.kind is OutcomeKind.CONTINUOUS:
        values = numbers(column).astype(np.float64)
        if declared.minimum is not None:
            first_below(column, values, declared.minimum, f"at least {declared.minimum:g}")
        above = np.flatnonzero(values > (np.inf if declared.maximum is None else declared.maximum))
        if len(above):
            raise column.error(int(above[0]), f"at most {declared.maximum:g}")
    else:
        values, codes, notes = _time_to_event(declared, table)
        events = codes == 1.0
        competing = codes == _COMPETING if declared.competing_values else None
        if declared.causes:
            by_cause, told = _causes(declared, table, events)
            notes = [*notes, *told]
        unit = "day"
    rows = pd.Series(np.arange(len(values)), index=table.patient_ids).reindex(list(roster))
    known = rows.notna().to_numpy()
    positions = rows.fillna(0).to_numpy(dtype=int)
    outcome = Outcome(
        name,
        declared.kind,
        np.where(known, values[positions], np.nan),
        None if events is None else events[positions] & known,
        unit,
        None if competing is None else competing[positions] & known,
        None if by_cause is None else np.where(known, by_cause[positions], 0),
        tuple(declared.causes),
    )
    return outcome, [f"outcome '{name}': {note}" for note in notes]


def _time_to_event(
    declared: OutcomeDeclaration, table: Table
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return times [day], 1, 2 or 0 for event, competing or censored, and who is half known."""
    time = column_of(table, declared.value_column, declared.missing)
    event = column_of(table, declared.event_column or "", declared.missing)
    days = numbers(time).astype(np.float64) * conversion(declared.unit, "day")
    first_below(time, days, 0.0, "a time that is not negative")
    happened = [declared.event_value or "", *declared.also_events]
    codes = coded(
        event,
        {
            **dict.fromkeys([declared.censored_value or ""], 0.0),
            **dict.fromkeys(declared.competing_values, _COMPETING),
            **dict.fromkeys(happened, 1.0),
        },
    )
    alone = np.flatnonzero(np.isnan(days) != np.isnan(codes))
    if len(alone) and declared.incomplete is UnknownLevel.REPORT:
        days[alone] = np.nan
        codes[alone] = np.nan
        who = table.patient_ids[alone]
        told = f"time or event is missing, read as not known, for {quoted(who)}"
        return days, codes, [about(told, *who)]
    if len(alone):
        row = int(alone[0])
        has, lacks = (event, time) if np.isnan(days[row]) else (time, event)
        patient = table.patient_ids[row]
        sentence = (
            f"table '{table.name}': patient '{patient}' has '{has.name}' but no '{lacks.name}', "
            "expected both or neither: complete or empty them"
        )
        raise IntakeError(about(sentence, patient))
    return days, codes, []


def _causes(
    declared: OutcomeDeclaration, table: Table, events: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Return of which cause each event came, 0 for none, and whose cause is not recorded."""
    recorded = column_of(table, declared.cause_column or "", declared.missing)
    # Of who had no event the column may say anything: alive, lost to follow-up.
    recorded = replace(recorded, cells=np.where(events, recorded.texts(), "").astype(object))
    values = [(each, k) for k, each in enumerate(declared.causes.values(), start=1)]
    codes = coded(recorded, {value: float(k) for each, k in values for value in each})
    unknown = events & np.isnan(codes)
    found = np.where(events & ~unknown, codes, 0.0).astype(np.int64)
    if not unknown.any():
        return found, []
    if not found.any():
        raise IntakeError(
            f"table '{table.name}', column '{recorded.name}': no cause is recorded for any of "
            f"{int(unknown.sum())} events, expected most: fill them in, or leave 'causes' out"
        )
    commonest = int(np.bincount(found, minlength=len(values) + 1)[1:].argmax()) + 1
    who = table.patient_ids[unknown]
    told = (
        f"of {len(who)} events the cause is not recorded, counted as the commonest, "
        f"'{list(declared.causes)[commonest - 1]}': {quoted(who)}"
    )
    return np.where(unknown, commonest, found), [about(told, *who)]


def read_received(
    declared: TherapyDeclaration, table: Table, roster: tuple[str, ...]
) -> tuple[pd.Series, list[str]]:
    """Read the arm that every patient received.

    Parameters
    ----------
    declared
        How the arm is recorded.
    table
        One row per patient, all of them in the roster.
    roster
        The patients, in the order of the answer.

    Returns
    -------
    received
        Arm name by patient, NA where it is not known.
    notes
        Patients whose arm is only partly recorded.

    Raises
    ------
    IntakeError
        If a patient has two arms or an agent column holds anything but 0 and 1.
    """
    notes: list[str] = []
    if declared.arm_column is not None:
        arms = table.text(declared.arm_column)
    else:
        arms, notes = _arms_of_agents(declared, table)
    _check_one_arm(table, arms)
    received = pd.Series(arms, index=table.patient_ids, dtype="string").replace("", pd.NA)
    received = received[~received.index.duplicated()]
    return received.reindex(list(roster)).rename_axis("patient_id").rename("arm"), notes


def _arms_of_agents(declared: TherapyDeclaration, table: Table) -> tuple[np.ndarray, list[str]]:
    given = np.stack(
        [binary(column_of(table, column), ["1"], ["0"]) for column in declared.agent_columns]
    )
    unknown = np.isnan(given).any(axis=0)
    partly = table.patient_ids[unknown & ~np.isnan(given).all(axis=0)]
    names = list(declared.agent_columns.values())
    arms = np.empty(given.shape[1], dtype=object)
    for row, flags in enumerate(given.T):
        agents = [*declared.always, *(n for n, flag in zip(names, flags, strict=True) if flag == 1)]
        arms[row] = "" if unknown[row] else " + ".join(agents) or "no agent"
    if not len(partly):
        return arms, []
    note = f"table '{table.name}': arm not known, an agent's cell is empty, for {quoted(partly)}"
    return arms, [about(note, *partly)]


def _check_one_arm(table: Table, arms: np.ndarray) -> None:
    first: dict[str, str] = {}
    for patient, arm in zip(table.patient_ids, arms, strict=True):
        if patient in first:
            differs = canonical(first[patient]) != canonical(arm)
            found = (
                f"two arms, '{first[patient]}' and '{arm}'" if differs else f"'{arm}' on two rows"
            )
            told = (
                f"table '{table.name}': found {found} for patient '{patient}', expected one row "
                "with one arm per patient: keep the arm the patient was assigned to"
            )
            raise IntakeError(about(told, patient, f"'{first[patient]}'", f"'{arm}'"))
        first[patient] = arm
