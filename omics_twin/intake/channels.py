"""Turn one table into measurements: per patient, per visit, or per mutation call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.columns import canonical, column_of, numbers, read_column
from omics_twin.intake.consequences import CLASSES, NOT_CALLED, OTHER, consequence_of
from omics_twin.intake.declaration import ColumnDeclaration, Kind, Layout, ModalityDeclaration
from omics_twin.intake.files import Table


@dataclass(frozen=True)
class Channel:
    """One modality at one scheduled day.

    Attributes
    ----------
    name, modality
        ``"mri@21"`` of modality ``"mri"``; the modality's own name where there are no visits.
    visit_day
        Scheduled day since the index date [day].
    values
        (measured patient, column): float columns with NaN for numbers and 0/1 columns, text with
        NA for categories. Only patients with at least one value.
    columns
        Declaration of each column; ``unit`` is the unit of ``values``.
    days
        Actual day of each measured patient [day].
    minimum_frequency
        Binary features rarer than this among training patients are not used.
    window_days
        How far from the scheduled day a visit may lie [day].
    absent_value
        Value, for every measured patient, of a feature that this channel does not list: 0 for
        mutations, where a gene without a call is wild type. NaN: not measured.
    not_in_all_parts
        Columns that not every part of the cohort lists; they are not measured in the others.
    genes
        Columns that were read by ``other_columns``: genes, where the modality names genes.
    aliases
        Approved symbols of old ones that the cohort knows; ``None``: genes are named as written.
    sets
        Gene sets whose activity becomes a modality of its own.
    """

    name: str
    modality: str
    visit_day: float
    values: pd.DataFrame
    columns: Mapping[str, ColumnDeclaration]
    days: pd.Series
    minimum_frequency: float = 0.0
    absent_value: float = float("nan")
    window_days: float = 14.0
    not_in_all_parts: frozenset[str] = frozenset()
    genes: tuple[str, ...] = ()
    aliases: Mapping[str, str] | None = None
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Variants:
    """Mutation calls of one modality, one row per call that counts.

    Attributes
    ----------
    modality
        Its name.
    assayed
        Patients who were tested, with or without a call.
    calls
        Columns ``patient_id``, ``gene`` and ``fraction`` (allele fraction, NaN if not declared);
        ``consequence``, one of ``classes``, where there are classes; ``uncalled``, whether the
        row is no call but says that the gene could not be read in the patient, where any does.
    fraction_declared
        Whether the allele fraction is read.
    minimum_frequency
        Genes mutated in fewer training patients than this share are not used.
    panel_of
        Gene panel by patient; who is not in it was sequenced in every gene.
    panels
        Genes of each panel.
    aliases
        Approved symbols of old ones that the cohort knows; ``None``: genes are named as written.
    classes
        Classes of consequence that a counted call may have; none: calls are not told apart.
    covered_megabases
        How much was sequenced in everybody [Mb], ``None`` where it is not known.
    """

    modality: str
    assayed: tuple[str, ...]
    calls: pd.DataFrame
    fraction_declared: bool
    minimum_frequency: float
    panel_of: Mapping[str, str] = field(default_factory=dict)
    panels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] | None = None
    classes: tuple[str, ...] = ()
    covered_megabases: float | None = None


# The column of a channel that says in which batch a patient was measured; no gene is called so.
BATCH = "(batch)"
_SMALLEST_BATCH = 8


@dataclass
class Notes:
    """What was read as not measured or not read at all, told to the user in order."""

    lines: list[str] = field(default_factory=list)

    def add(self, *lines: str) -> None:
        """Append lines that are not there yet."""
        self.lines.extend(line for line in dict.fromkeys(lines) if line not in self.lines)


def declared_columns(
    modality: ModalityDeclaration, table: Table, taken: set[str]
) -> dict[str, ColumnDeclaration]:
    """Return every column of the table that the modality reads, in the order of the table.

    Parameters
    ----------
    modality
        The declaration.
    table
        The table.
    taken
        Columns of the table that another part of the declaration reads; ``other_columns`` does
        not cover them.

    Raises
    ------
    IntakeError
        If a declared column is missing or none is read.
    """
    for name in modality.columns:
        table.column(name)
    skipped = {*modality.exclude, *taken} | ({modality.day_column} - {None})
    read = {}
    for name in table.cells:
        if name in modality.columns:
            read[name] = modality.columns[name]
        elif modality.other_columns is not None and name not in skipped:
            read[name] = modality.other_columns
    if not read:
        raise IntakeError(
            f"table '{table.name}' holds no column to measure: declare 'columns' or "
            "'other_columns' for its modality"
        )
    return read


def read_wide(
    name: str,
    modality: ModalityDeclaration,
    table: Table,
    columns: dict[str, ColumnDeclaration],
    notes: Notes,
) -> list[Channel]:
    """Read a table with one row per patient as one channel.

    Raises
    ------
    IntakeError
        If a cell is not as declared, or a day lies after the index date.
    """
    values = _values(table, columns, notes)
    days = np.zeros(len(table.patient_ids))
    if modality.day_column is not None:
        days = _days(table, modality.day_column, values.notna().any(axis=1).to_numpy())
        late = np.flatnonzero(days > 0)
        if len(late):
            row = int(late[0])
            patient = table.patient_ids[row]
            told = (
                f"table '{table.name}': patient '{patient}' was measured on day {days[row]:g}, "
                "after the index date, where a baseline value is expected: declare the table's "
                "layout as 'visits' or remove the row"
            )
            raise IntakeError(about(told, patient, f"day {days[row]:g}"))
    return [_channel(name, name, 0.0, values, days, modality, columns)]


def with_batch(
    channel: Channel, column: str, roster: Table, notes: Notes, *, scoring: bool
) -> Channel:
    """Return the channel with the batch of each patient beside what was measured.

    Of a batch of fewer than eight patients nothing can be learned: it is read as not known, unless
    new patients are scored, whose batch others may have taught.
    """
    cells = pd.Series(roster.text(column), index=roster.patient_ids).reindex(channel.values.index)
    known = cells.where(cells != "")
    if not scoring:
        sizes = known.map(known.value_counts())
        few = sizes < _SMALLEST_BATCH
        if few.any():
            notes.add(
                f"modality '{channel.modality}': {int(few.sum())} patients are in batches of fewer "
                f"than {_SMALLEST_BATCH} by '{column}', whose batch is read as not known"
            )
        known = known.mask(few)
    return replace(
        channel,
        values=channel.values.assign(**{BATCH: known.astype("string")}),
        columns={**channel.columns, BATCH: ColumnDeclaration(kind=Kind.CATEGORY)},
    )


def read_visits(
    name: str,
    modality: ModalityDeclaration,
    table: Table,
    columns: dict[str, ColumnDeclaration],
    notes: Notes,
) -> list[Channel]:
    """Read a table with one row per patient and visit as one channel per scheduled day.

    Raises
    ------
    IntakeError
        If a cell is not as declared, a visit is off schedule or a patient has two rows for it.
    """
    values = _values(table, columns, notes)
    days = _days(table, modality.day_column or "", np.ones(len(table.patient_ids), dtype=bool))
    scheduled = np.array(
        [_scheduled(table, row, day, modality) for row, day in enumerate(days)], dtype=float
    )
    channels = []
    for visit_day in sorted(modality.schedule):
        rows = np.flatnonzero(scheduled == visit_day)
        repeated = pd.Index(table.patient_ids[rows]).duplicated()
        if repeated.any():
            patient = table.patient_ids[rows][repeated][0]
            told = (
                f"table '{table.name}': patient '{patient}' has two rows for the visit of day "
                f"{visit_day:g}, expected one: keep the row to be used"
            )
            raise IntakeError(about(told, patient))
        channels.append(
            _channel(
                f"{name}@{visit_day:g}",
                name,
                visit_day,
                values.iloc[rows],
                days[rows],
                modality,
                columns,
            )
        )
    return channels


def read_variants(
    name: str, modality: ModalityDeclaration, table: Table, roster: Table, notes: Notes
) -> Variants:
    """Read a table with one row per mutation call.

    Raises
    ------
    IntakeError
        If a call has no gene, its fraction is not between 0 and 1, or its patient was not
        assayed.
    """
    genes = table.text(modality.gene_column or "")
    unnamed = np.flatnonzero(genes == "")
    if len(unnamed):
        raise IntakeError(
            f"table '{table.name}', row {unnamed[0] + 1} has an empty '{modality.gene_column}', "
            "expected a gene symbol: name the gene or remove the row"
        )
    assayed = _assayed(modality, table, roster)
    fraction = np.full(len(genes), np.nan)
    if modality.fraction_column is not None:
        column = column_of(table, modality.fraction_column)
        fraction = numbers(column)
        outside = np.flatnonzero((fraction < 0) | (fraction > 1))
        if len(outside):
            raise column.error(int(outside[0]), "an allele fraction between 0 and 1")
    counted = np.ones(len(genes), dtype=bool)
    uncalled = np.zeros(len(genes), dtype=bool)
    if modality.effect_column is not None:
        effects = table.text(modality.effect_column)
        counted = np.isin(effects, modality.counted_effects)
        uncalled = effects == NOT_CALLED
        for effect in sorted(set(effects[~counted & ~uncalled])):
            number = int((effects == effect).sum())
            notes.add(f"table '{table.name}': {number} calls of effect '{effect}' are not counted")
    calls = pd.DataFrame({"patient_id": table.patient_ids, "gene": genes, "fraction": fraction})
    if modality.by_consequence:
        calls["consequence"] = _consequences(modality, table, counted, notes)
    if uncalled.any():
        calls["uncalled"] = uncalled
    calls = calls[counted | uncalled].reset_index(drop=True)
    return Variants(
        modality=name,
        assayed=assayed,
        calls=calls,
        fraction_declared=modality.fraction_column is not None,
        minimum_frequency=modality.minimum_frequency,
        panel_of=_panel_of(modality, roster, assayed),
        panels={panel: tuple(genes) for panel, genes in modality.panels.items()},
        classes=_classes(modality),
        covered_megabases=modality.covered_megabases,
    )


def _consequences(
    modality: ModalityDeclaration, table: Table, counted: np.ndarray, notes: Notes
) -> np.ndarray:
    """Return the class of every call; a counted effect of no known class is told."""
    effects = table.text(modality.effect_column or "")
    known = {effect: consequence_of(effect, modality.consequences) for effect in set(effects)}
    unknown = sorted(effect for effect in set(effects[counted]) if known[effect] is None)
    if unknown:
        notes.add(
            f"table '{table.name}': effects {quoted(unknown)} are of no known class, counted as "
            f"'{OTHER}': declare 'consequences'"
        )
    return np.array([known[effect] or OTHER for effect in effects], dtype=object)


def _classes(modality: ModalityDeclaration) -> tuple[str, ...]:
    """Return the classes of the counted effects, whether or not anybody has such a call."""
    if not modality.by_consequence:
        return ()
    effects = modality.counted_effects
    found = {consequence_of(effect, modality.consequences) or OTHER for effect in effects}
    return tuple(each for each in CLASSES if each in found)


def _panel_of(
    modality: ModalityDeclaration, roster: Table, assayed: tuple[str, ...]
) -> dict[str, str]:
    if modality.panel_column is None:
        return {patient: panel for panel in modality.panels for patient in assayed}
    panels = roster.text(modality.panel_column)
    known = set(assayed)
    pairs = zip(roster.patient_ids, panels, strict=True)
    found = {str(patient): str(panel) for patient, panel in pairs if panel and patient in known}
    unknown = sorted(set(found.values()) - set(modality.panels))
    if unknown:
        raise IntakeError(
            f"table '{roster.name}', column '{modality.panel_column}' names gene panels "
            f"{quoted(unknown)}, expected one of {quoted(modality.panels)}: declare their genes"
        )
    return found


def _assayed(modality: ModalityDeclaration, table: Table, roster: Table) -> tuple[str, ...]:
    called = set(table.patient_ids)
    if modality.measured_column is None:
        return tuple(patient for patient in roster.patient_ids if patient in called)
    state = roster.text(modality.measured_column)
    wanted = canonical(modality.measured_value or "")
    assayed = [p for p, s in zip(roster.patient_ids, state, strict=True) if canonical(s) == wanted]
    unexpected = sorted(called - set(assayed))
    if unexpected:
        told = (
            f"table '{table.name}' has calls for patients {quoted(unexpected)}, whose "
            f"'{modality.measured_column}' in '{roster.name}' is not '{modality.measured_value}': "
            "correct the roster or remove the calls"
        )
        raise IntakeError(about(told, *unexpected))
    return tuple(assayed)


def _values(table: Table, columns: dict[str, ColumnDeclaration], notes: Notes) -> pd.DataFrame:
    read: dict[str, object] = {}
    for name, declared in columns.items():
        values, lines = read_column(column_of(table, name, declared.missing), declared)
        notes.add(*lines)
        category = declared.kind is Kind.CATEGORY
        read[name] = pd.array(values, dtype="string") if category else values
    return pd.DataFrame(read, index=pd.Index(table.patient_ids, name="patient_id"))


def _channel(
    name: str,
    modality_name: str,
    visit_day: float,
    values: pd.DataFrame,
    days: np.ndarray,
    modality: ModalityDeclaration,
    columns: dict[str, ColumnDeclaration],
) -> Channel:
    measured = values.notna().any(axis=1).to_numpy()
    kept = values[measured]
    return Channel(
        name=name,
        modality=modality_name,
        visit_day=visit_day,
        values=kept,
        columns={
            column: replace(each, unit=each.convert_to or each.unit, convert_to=None)
            for column, each in columns.items()
        },
        days=pd.Series(days[measured], index=kept.index, name="day", dtype=np.float64),
        minimum_frequency=modality.minimum_frequency,
        window_days=modality.window_days,
        genes=tuple(column for column in columns if column not in modality.columns),
    )


def _days(table: Table, name: str, needed: np.ndarray) -> np.ndarray:
    """Return the day of every row; refused where it is needed and missing."""
    column = column_of(table, name)
    days = numbers(column).astype(np.float64)
    missing = np.flatnonzero(np.isnan(days) & needed)
    if len(missing):
        patient = table.patient_ids[missing[0]]
        told = (
            f"table '{table.name}': patient '{patient}' has a row without '{name}', expected the "
            "day since the index date: fill it in or remove the row"
        )
        raise IntakeError(about(told, patient))
    return days


def _scheduled(table: Table, row: int, day: float, modality: ModalityDeclaration) -> float:
    """Return the scheduled day a visit belongs to; a follow-up is never a baseline."""
    followup = day > 0
    candidates = [each for each in modality.schedule if (each > 0) == followup]
    nearest_day = min(candidates, key=lambda each: abs(each - day), default=None)
    if nearest_day is None or abs(nearest_day - day) > modality.window_days:
        what = "follow-up" if followup else "baseline"
        patient = table.patient_ids[row]
        told = (
            f"table '{table.name}': patient '{patient}' has a visit on day {day:g}, expected a "
            f"{what} within {modality.window_days:g} days of one of "
            f"{', '.join(f'{each:g}' for each in candidates) or 'no scheduled day'}: correct "
            "the day, the schedule or the window"
        )
        raise IntakeError(about(told, patient, f"day {day:g}"))
    return nearest_day


LAYOUTS = {Layout.WIDE: read_wide, Layout.VISITS: read_visits}
