"""What do a cohort's files hold? Files in, checked plain tables out."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.cbioportal_cohort import declared_by_study
from omics_twin.intake.channels import (
    LAYOUTS,
    Channel,
    Notes,
    Variants,
    declared_columns,
    read_variants,
    with_batch,
)
from omics_twin.intake.columns import binary, canonical, column_of
from omics_twin.intake.declaration import (
    CohortDeclaration,
    CohortFormat,
    GeneNames,
    Kind,
    Layout,
    ModalityDeclaration,
    UnknownLevel,
)
from omics_twin.intake.declared import check_declaration, check_parts
from omics_twin.intake.files import Folder, Table
from omics_twin.intake.groups import read_groups
from omics_twin.intake.knowledge import read_gene_sets
from omics_twin.intake.long import dose_columns, one_column_each, own_columns, read_doses
from omics_twin.intake.outcomes import Outcome, read_outcome, read_received
from omics_twin.intake.parts import declared_parts, in_part, join_parts
from omics_twin.intake.repeated import Repeated, one_row_each, read_repeated
from omics_twin.intake.vcf_cohort import declared_by_calls


@dataclass(frozen=True)
class Tables:
    """A cohort's files as checked plain tables.

    Attributes
    ----------
    name
        The cohort's name.
    patient_ids
        Every patient of the roster, in its order.
    channels
        Measurements by channel name.
    variants
        Mutation calls by modality name.
    repeated
        Measurements on any days by modality name.
    received
        Arm by patient, NA where unknown; ``None`` where there is no therapy table.
    outcomes
        Outcomes by name, values in the order of ``patient_ids``.
    groups, strata
        (patient, role or policy group) and (patient, stratum column), text with NA. Where the
        cohort has parts, ``groups`` also has each patient's under ``part``.
    doses
        What was given, a row per administration with ``patient_id``, ``drug``, ``day`` [day],
        ``amount``, ``unit`` and ``duration_days`` [day]; ``None`` where it is not declared.
    notes
        What was read as not measured, not counted or not read.
    fingerprint
        SHA-256 over the declaration and the bytes of every file read; the folder's own location
        does not enter.
    """

    name: str
    patient_ids: tuple[str, ...]
    channels: Mapping[str, Channel]
    variants: Mapping[str, Variants]
    received: pd.Series | None
    outcomes: Mapping[str, Outcome]
    groups: pd.DataFrame
    strata: pd.DataFrame
    notes: tuple[str, ...]
    fingerprint: str
    repeated: Mapping[str, Repeated] = field(default_factory=dict)
    doses: pd.DataFrame | None = None


def read_tables(declaration: CohortDeclaration, *, scoring: bool = False) -> Tables:
    """Read and check every file of a cohort, of all its parts where it has several.

    Parameters
    ----------
    declaration
        What the files are declared to hold.
    scoring
        New patients are scored: modality, therapy and outcome tables may be absent, and so may
        the columns of therapy, outcomes and groups; what is absent is noted. When training, all
        are needed that are not optional.

    Returns
    -------
    Tables
        The checked tables.

    Raises
    ------
    IntakeError
        If a file, column or cell is not what the declaration says.
    """
    if not declaration.parts:
        return _read_folder(declaration, scoring)
    check_parts(declaration)
    parts: dict[str, Tables] = {}
    for name, part in declared_parts(declaration).items():
        with in_part(name):
            parts[name] = _read_folder(part, scoring)
    return join_parts(declaration, parts)


def _read_folder(declaration: CohortDeclaration, scoring: bool) -> Tables:
    folder = Folder(
        declaration.name,
        Path(declaration.root),
        declaration.key,
        dict(declaration.keys),
        dict(declaration.stacks),
        only=_only_table(declaration),
    )
    notes = Notes()
    if declaration.format is CohortFormat.CBIOPORTAL:
        declaration = declared_by_study(declaration, folder, notes, scoring=scoring)
    check_declaration(declaration)
    declaration = declared_by_calls(declaration, folder, notes, scoring=scoring)
    named = _columns_by_table(declaration)
    roster = _own(declaration, folder.table(declaration.roster), sorted(named[declaration.roster]))
    _check_unique(roster, "the roster lists each patient once")
    patients = tuple(str(each) for each in roster.patient_ids)
    channels, variants, repeated = _read_modalities(declaration, folder, roster, notes, scoring)
    received = _read_received(declaration, folder, patients, notes, scoring)
    outcomes = _read_outcomes(declaration, folder, patients, notes, scoring)
    described = declaration.group_columns
    if scoring:
        unknown = [name for name in described.values() if name not in roster.cells]
        if unknown:
            notes.add(f"table '{roster.name}': no columns {quoted(unknown)}, groups not known")
        described = {role: name for role, name in described.items() if name not in unknown}
    groups = _roster_columns(roster, described)
    if not scoring:
        groups = groups.join(read_groups(declaration, folder, patients))
    strata = _strata(declaration, roster)
    notes.add(*folder.notes)
    _note_unread(declaration, folder, notes)
    return Tables(
        name=declaration.name,
        patient_ids=patients,
        channels=channels,
        variants=variants,
        received=received,
        outcomes=outcomes,
        groups=groups,
        strata=strata,
        notes=tuple(notes.lines),
        fingerprint=_fingerprint(declaration, folder),
        repeated=repeated,
        doses=_read_doses(declaration, folder, patients, notes),
    )


def _only_table(declaration: CohortDeclaration) -> str | None:
    """Return the table that holds everything of the cohort, ``None`` where there are several."""
    named = set(_columns_by_table(declaration))
    whole = declaration.format is CohortFormat.TABLES and not declaration.stacks
    return declaration.roster if whole and named == {declaration.roster} else None


def _own(declaration: CohortDeclaration, table: Table, columns: Sequence[str]) -> Table:
    """Return a table with what is a patient's own, once for each patient."""
    long = {
        modality.table
        for modality in declaration.modalities.values()
        if modality.layout is Layout.REPEATED
    }
    if table.name not in long:
        return table
    measured = {
        name
        for modality in declaration.modalities.values()
        if modality.layout is Layout.REPEATED and modality.table == table.name
        for name in own_columns(modality)
    }
    if declaration.doses is not None and declaration.doses.table == table.name:
        measured |= dose_columns(declaration.doses)
    return one_row_each(table, [name for name in columns if name not in measured])


def _read_modalities(
    declaration: CohortDeclaration, folder: Folder, roster: Table, notes: Notes, scoring: bool
) -> tuple[dict[str, Channel], dict[str, Variants], dict[str, Repeated]]:
    channels: dict[str, Channel] = {}
    variants: dict[str, Variants] = {}
    repeated: dict[str, Repeated] = {}
    known = set(roster.patient_ids)
    for name, modality in declaration.modalities.items():
        if (scoring or modality.optional) and not folder.holds(modality.table):
            notes.add(f"modality '{name}': no table '{modality.table}', read as not measured")
            continue
        table = _members(folder.table(modality.table), known, declaration, notes)
        if modality.layout is Layout.VARIANTS:
            calls = read_variants(name, modality, table, roster, notes)
            variants[name] = replace(calls, aliases=_aliases(modality, folder))
            continue
        if modality.layout is Layout.WIDE:
            table = _own(declaration, table, list(modality.columns))
            _check_unique(table, f"modality '{name}' has one row per patient")
        if modality.long is not None:
            table = one_column_each(modality, table)
        table = _with_optional(modality, table, notes)
        # A stratum is also measured; what only describes or belongs to another part is not.
        taken = _columns_by_table(declaration)[modality.table] - set(declaration.strata)
        columns = declared_columns(modality, table, taken)
        if modality.layout is Layout.REPEATED:
            repeated[name] = read_repeated(name, modality, table, columns, notes)
            continue
        aliases, sets = _aliases(modality, folder), _sets(modality, folder)
        for channel in LAYOUTS[modality.layout](name, modality, table, columns, notes):
            if modality.batch_column is not None:
                column = modality.batch_column
                channel = with_batch(channel, column, roster, notes, scoring=scoring)
            channels[channel.name] = replace(channel, aliases=aliases, sets=sets)
    return channels, variants, repeated


def _with_optional(modality: ModalityDeclaration, table: Table, notes: Notes) -> Table:
    """Return the table with an empty column for every optional one that it lacks."""
    asked = [name for name, each in modality.columns.items() if each.optional]
    absent = [name for name in asked if name not in table.cells]
    if not absent:
        return table
    notes.add(f"table '{table.name}': no columns {quoted(absent)}, read as not measured")
    empty = np.full(len(table.patient_ids), "", dtype=object)
    return replace(table, cells={**table.cells, **dict.fromkeys(absent, empty)})


def _aliases(modality: ModalityDeclaration, folder: Folder) -> dict[str, str] | None:
    """Return the cohort's own renames of genes, ``None`` where genes are named as written."""
    if modality.genes is GeneNames.AS_WRITTEN:
        return None
    rows = [] if modality.aliases is None else folder.lists(modality.aliases)
    for number, row in enumerate(rows, start=2):
        if len(row) != 2 or not all(row):
            raise IntakeError(
                f"file '{modality.aliases}', line {number}: found {quoted(row)}, expected an old "
                "and an approved symbol: correct the line"
            )
    return {old.upper(): new for old, new in rows}


def _sets(modality: ModalityDeclaration, folder: Folder) -> dict[str, tuple[str, ...]]:
    """Return the gene sets whose activity a modality asks for."""
    if modality.activity is None:
        return {}
    path = Path(modality.activity)
    sets, content = read_gene_sets(path)
    folder.checksums[f"gene sets {path.name}"] = hashlib.sha256(content).hexdigest()
    return sets


def _read_received(
    declaration: CohortDeclaration,
    folder: Folder,
    patients: tuple[str, ...],
    notes: Notes,
    scoring: bool,
) -> pd.Series | None:
    therapy = declaration.therapy
    if therapy is None:
        return None
    needed = [therapy.arm_column] if therapy.arm_column else list(therapy.agent_columns)
    if scoring and _absent(folder, therapy.table, needed):
        notes.add(f"therapy: no table '{therapy.table}' with it, read as not known")
        return None
    table = _members(folder.table(therapy.table), set(patients), declaration, notes)
    table = _own(declaration, table, needed)
    received, lines = read_received(therapy, table, patients)
    notes.add(*lines)
    return received


def _read_outcomes(
    declaration: CohortDeclaration,
    folder: Folder,
    patients: tuple[str, ...],
    notes: Notes,
    scoring: bool,
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    for name, declared in declaration.outcomes.items():
        outcome = declared
        needed = [outcome.value_column, *filter(None, [outcome.event_column])]
        if (scoring or outcome.optional) and _absent(folder, outcome.table, needed):
            notes.add(f"outcome '{name}': no table '{outcome.table}' with it, read as not known")
            continue
        told = outcome.cause_column
        if scoring and told and _absent(folder, outcome.table, [told]):
            notes.add(f"outcome '{name}': no column '{told}', its causes are not told apart")
            outcome = replace(outcome, cause_column=None, causes={})
        table = _members(folder.table(outcome.table), set(patients), declaration, notes)
        table = _own(declaration, table, needed)
        _check_unique(table, f"outcome '{name}' has one row per patient")
        found, lines = read_outcome(name, outcome, table, patients)
        notes.add(*lines)
        if not scoring and np.isnan(found.values).all():
            told = f"outcome '{name}' in table '{table.name}' is known for nobody"
            if not outcome.optional:
                raise IntakeError(
                    f"{told}, expected at least one patient: fill it in or remove the outcome"
                )
            notes.add(told)
            continue
        outcomes[name] = found
    return outcomes


def _absent(folder: Folder, name: str, columns: list[str]) -> bool:
    """Return whether a file is not there or has none of the columns."""
    return not folder.holds(name) or not set(columns) & set(folder.table(name).cells)


def _check_unique(table: Table, rule: str) -> None:
    repeated = pd.Index(table.patient_ids)
    repeated = repeated[repeated.duplicated()].unique()
    if len(repeated):
        told = (
            f"table '{table.name}' has more than one row for patients {quoted(repeated)}, but "
            f"{rule}: keep the row to be used"
        )
        raise IntakeError(about(told, *repeated))


def _members(table: Table, known: set[str], declaration: CohortDeclaration, notes: Notes) -> Table:
    """Return the rows of the roster's patients; others are refused, or left out by name."""
    inside = np.array([patient in known for patient in table.patient_ids])
    if inside.all():
        return table
    strangers = dict.fromkeys(table.patient_ids[~inside])
    own = declaration.keys.get(table.name)
    if own is None or own.strangers is UnknownLevel.REFUSE:
        told = (
            f"table '{table.name}' has patients {quoted(strangers)} who are not in the roster "
            f"'{declaration.roster}': add them to the roster or remove their rows"
        )
        raise IntakeError(about(told, *strangers))
    told = f"table '{table.name}': not in the roster, rows not read, {quoted(strangers)}"
    notes.add(about(told, *strangers))
    return table.at(inside)


def _roster_columns(roster: Table, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return roster columns as text by role."""
    index = pd.Index(roster.patient_ids, name="patient_id")
    read = {
        role: pd.array(
            [canonical(text) if text else None for text in roster.text(column)], dtype="string"
        )
        for role, column in columns.items()
    }
    return pd.DataFrame(read, index=index)


def _strata(declaration: CohortDeclaration, roster: Table) -> pd.DataFrame:
    """Return the strata as text, in the declared spelling where a modality declares the column."""
    strata = _roster_columns(roster, {column: column for column in declaration.strata})
    for modality in declaration.modalities.values():
        for name, column in modality.columns.items():
            if modality.table != roster.name or name not in strata:
                continue
            if column.kind is Kind.BINARY:
                codes = binary(
                    column_of(roster, name, column.missing), [column.positive], [column.negative]
                )
                labels = np.where(codes == 1, column.positive, column.negative).astype(object)
                labels[np.isnan(codes)] = None
                strata[name] = pd.array(labels, dtype="string")
            elif column.missing:
                strata[name] = strata[name].mask(strata[name].isin(column.missing))
    return strata


def _read_doses(
    declaration: CohortDeclaration, folder: Folder, patients: tuple[str, ...], notes: Notes
) -> pd.DataFrame | None:
    if declaration.doses is None:
        return None
    table = folder.table(declaration.doses.table)
    return read_doses(declaration.doses, _members(table, set(patients), declaration, notes))


def _columns_by_table(declaration: CohortDeclaration) -> dict[str, set[str]]:
    """Return, for each file, the columns that the declaration names."""
    named: dict[str, set[str]] = defaultdict(set)
    for modality in declaration.modalities.values():
        named[modality.table] |= {
            *own_columns(modality),
            *filter(None, [modality.gene_column]),
            *filter(None, [modality.effect_column, modality.fraction_column]),
        }
        named[declaration.roster] |= set(
            filter(None, [modality.measured_column, modality.panel_column, modality.batch_column])
        )
    if declaration.therapy is not None:
        therapy = declaration.therapy
        named[therapy.table] |= {*filter(None, [therapy.arm_column]), *therapy.agent_columns}
    if declaration.doses is not None:
        named[declaration.doses.table] |= dose_columns(declaration.doses)
    for outcome in declaration.outcomes.values():
        columns = (outcome.event_column, outcome.cause_column)
        named[outcome.table] |= {outcome.value_column, *filter(None, columns)}
    for group in declaration.policy_groups.values():
        named[group.table or declaration.roster] |= set(group.columns)
    if declaration.folds is not None:
        named[declaration.folds.table] |= {declaration.folds.column}
    named[declaration.roster] |= {*declaration.group_columns.values(), *declaration.strata}
    return named


def _note_unread(declaration: CohortDeclaration, folder: Folder, notes: Notes) -> None:
    named = _columns_by_table(declaration)
    read_whole: dict[str, set[str]] = {}
    for modality in declaration.modalities.values():
        if modality.other_columns is not None:
            excluded = set(modality.exclude)
            read_whole[modality.table] = read_whole.get(modality.table, excluded) & excluded
    for name, table in folder.tables.items():
        unread = [column for column in table.cells if column not in named[name]]
        if name in read_whole:
            unread = [column for column in unread if column in read_whole[name]]
        if unread:
            notes.add(f"table '{name}': columns not read: {quoted(unread)}")


def _fingerprint(declaration: CohortDeclaration, folder: Folder) -> str:
    declared = asdict(declaration) | {"root": ""}
    for modality in declared["modalities"].values():
        if modality["activity"] is not None:
            modality["activity"] = Path(modality["activity"]).name
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True, default=str).encode())
    for name in sorted(folder.checksums):
        digest.update(f"{name}={folder.checksums[name]}\n".encode())
    return digest.hexdigest()
