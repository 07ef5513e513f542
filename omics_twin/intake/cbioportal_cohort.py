"""How does a study's folder become a cohort? Its files as the tables that a cohort declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from omics_twin.errors import IntakeError, quoted
from omics_twin.intake.cbioportal_calls import MUTATIONS, keep_settings, read_calls
from omics_twin.intake.cbioportal_patients import (
    CLINICAL,
    SURVIVAL,
    Patients,
    clinical_columns,
    read_patients,
    read_survival,
)
from omics_twin.intake.cbioportal_profiles import choose_profiles, note_timelines, read_profile
from omics_twin.intake.cbioportal_reading import open_study
from omics_twin.intake.cbioportal_segments import SEGMENTS, read_segments
from omics_twin.intake.channels import Notes
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ModalityDeclaration,
    OutcomeDeclaration,
)
from omics_twin.intake.files import Folder, Table


def declared_by_study(
    declaration: CohortDeclaration, folder: Folder, notes: Notes, *, scoring: bool = False
) -> CohortDeclaration:
    """Return the declaration completed by what a study's folder holds.

    The tables it names are in ``folder``, read from the study: one row per patient for the
    clinical attributes, survival and each profile, one row per call for mutations.

    Parameters
    ----------
    declaration
        Where the study is. Without modalities, all of the study are read. Columns of
        ``modalities.clinical`` replace the rule by which attributes are chosen; if any other
        modality is declared, only declared ones are read.
    folder
        Gets the tables.
    notes
        Get what was left out, and why.
    scoring
        Declared modalities may be absent.

    Raises
    ------
    IntakeError
        If a file is unreadable, or a declared modality or outcome is not in the study.
    """
    study = open_study(folder)
    patients, roster = read_patients(study, folder, notes)
    folder.tables[CLINICAL] = roster
    folder.tables[SURVIVAL], outcomes = read_survival(roster, notes)
    outcomes = _with_causes(declaration, folder.tables[SURVIVAL], roster, outcomes)
    wanted = set(declaration.modalities) - {CLINICAL}
    modalities = {CLINICAL: _clinical(declaration, roster, patients, notes)}
    profiles = choose_profiles(study, folder, notes)
    for name, meta in profiles.items():
        if not wanted or name in wanted:
            table, column = read_profile(name, meta, folder, patients, notes)
            if not len(table.patient_ids):
                notes.add(f"{name}: no sample that is read was measured")
                continue
            folder.tables[name] = table
            asked = declaration.modalities.get(name, ModalityDeclaration())
            modalities[name] = replace(
                asked, table=name, other_columns=asked.other_columns or column
            )
    if not wanted or MUTATIONS in wanted:
        calls = read_calls(study, folder, patients, roster, notes)
        if calls is not None:
            modalities[MUTATIONS] = keep_settings(calls, declaration.modalities.get(MUTATIONS))
    segments = declaration.modalities.get(SEGMENTS)
    if not wanted or SEGMENTS in wanted:
        copies = read_segments(study, folder, patients, segments, notes)
        if copies is not None:
            modalities[SEGMENTS] = copies
    note_timelines(study, folder, notes)
    if not scoring:
        _check_found("modalities", wanted, set(modalities), folder)
        _check_found("outcomes", set(declaration.outcomes), set(outcomes), folder)
    # To say of what an event came asks for no other outcome less.
    only_causes = all(map(_tells_causes, declaration.outcomes.values()))
    return replace(
        declaration,
        roster=CLINICAL,
        modalities=modalities,
        outcomes={
            name: each
            for name, each in outcomes.items()
            if only_causes or name in declaration.outcomes
        },
    )


def _with_causes(
    declaration: CohortDeclaration,
    survival: Table,
    roster: Table,
    outcomes: Mapping[str, OutcomeDeclaration],
) -> dict[str, OutcomeDeclaration]:
    """Return the outcomes, of which the cohort may say where the cause of an event stands."""
    found = dict(outcomes)
    for name, asked in declaration.outcomes.items():
        if name in outcomes and _tells_causes(asked):
            # What is known only later is no measurement.
            if asked.cause_column is not None and asked.cause_column in roster.cells:
                survival.cells[asked.cause_column] = roster.cells.pop(asked.cause_column)
            found[name] = replace(
                outcomes[name],
                cause_column=asked.cause_column,
                causes=asked.causes,
                missing=asked.missing,
            )
    return found


def _tells_causes(declared: OutcomeDeclaration) -> bool:
    return declared.cause_column is not None or bool(declared.causes)


def _clinical(
    declaration: CohortDeclaration, roster: Table, patients: Patients, notes: Notes
) -> ModalityDeclaration:
    asked = declaration.modalities.get(CLINICAL, ModalityDeclaration())
    columns = asked.columns or clinical_columns(roster, patients.types, notes)
    return replace(asked, table=CLINICAL, columns=columns)


def _check_found(what: str, wanted: set[str], found: set[str], folder: Folder) -> None:
    missing = sorted(wanted - found)
    if missing:
        raise IntakeError(
            f"cohort '{folder.cohort}' declares {what} {quoted(missing)}, which the study does not "
            f"hold; it holds {quoted(sorted(found))}"
        )
