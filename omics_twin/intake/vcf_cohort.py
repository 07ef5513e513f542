"""How do VCF files become the calls of a cohort? One table, and who was sequenced on the roster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.channels import Notes
from omics_twin.intake.consequences import NOT_CALLED
from omics_twin.intake.declaration import (
    CohortDeclaration,
    KeyDeclaration,
    ModalityDeclaration,
    NamedBy,
    UnknownLevel,
    VcfDeclaration,
)
from omics_twin.intake.files import Folder, Table
from omics_twin.intake.vcf_calls import PROTEIN_CHANGING, VcfCalls, read_vcf

SUFFIXES = (".vcf", ".vcf.gz", ".vcf.bgz")


def declared_by_calls(
    declaration: CohortDeclaration, folder: Folder, notes: Notes, *, scoring: bool = False
) -> CohortDeclaration:
    """Return the declaration in which the calls of VCF files are tables of their own.

    Parameters
    ----------
    declaration
        Modalities with ``vcf`` are read, the optional ones if their files are there.
    folder
        Gets a table of calls for each, and on the roster who was sequenced.
    notes
        Get what was not counted, and how many patients are in no file.
    scoring
        Their files may be absent, as those of other modalities.

    Raises
    ------
    IntakeError
        If files are absent, refused or not annotated, a sample is nobody's, or two files are one
        patient's.
    """
    modalities = dict(declaration.modalities)
    for name, modality in declaration.modalities.items():
        if modality.vcf is None:
            continue
        roster = folder.table(declaration.roster)
        if (folder.root / modality.table).exists():
            own = declaration.keys.get(modality.table, KeyDeclaration())
            modalities[name] = _read(name, modality, modality.vcf, own, roster, folder, notes)
        elif not scoring and not modality.optional:
            raise IntakeError(
                f"'{modality.table}' of cohort '{folder.cohort}' is not in '{folder.root}', "
                f"expected the VCF files of modality '{name}': add them, or set optional: true"
            )
    return replace(declaration, modalities=modalities)


def _read(
    name: str,
    modality: ModalityDeclaration,
    declared: VcfDeclaration,
    own: KeyDeclaration,
    roster: Table,
    folder: Folder,
    notes: Notes,
) -> ModalityDeclaration:
    counted = modality.counted_effects or sorted(PROTEIN_CHANGING)
    patient_of = _patients(declared, own, roster)
    skipped: Counter[str] = Counter()
    tables, strangers, fractions = [], [], False
    file_of: dict[str, str] = {}
    for path in _files(folder, modality.table):
        read = _calls(path, folder, counted)
        skipped += read.skipped
        fractions |= read.has_fractions
        for sample, named in _tumours(path, read, declared):
            patient = patient_of.get(named)
            if patient is None:
                strangers.append(named)
                continue
            if file_of.setdefault(patient, path.name) != path.name:
                told = (
                    f"patient '{patient}' is in the VCF files '{file_of[patient]}' and "
                    f"'{path.name}', expected one: keep the file to be used"
                )
                raise IntakeError(about(told, patient, file_of[patient], path.name))
            calls = read.calls[read.calls["sample"] == sample]
            tables.append(calls.assign(patient_id=patient))
    _judge_strangers(modality.table, own, strangers, notes)
    if not tables:
        raise IntakeError(
            f"'{modality.table}' holds no sample of a patient of the roster: declare 'vcf', how "
            "the samples name the patients"
        )
    calls = _with_uncalled(name, declared, pd.concat(tables), notes)
    for reason, number in sorted(skipped.items()):
        notes.add(f"'{modality.table}': {number} {reason} are not counted")
    absent = len(set(roster.patient_ids)) - len(file_of)
    if absent:
        notes.add(f"modality '{name}': {absent} patients are in no VCF file, read as not measured")
    table, sequenced = f"{name}:calls", f"{name}:sequenced"
    roster.cells[sequenced] = np.array(
        ["yes" if patient in file_of else "no" for patient in roster.patient_ids], object
    )
    cells = {"gene": calls["gene"].to_numpy(object), "effect": calls["effect"].to_numpy(object)}
    if fractions:
        cells["allele_fraction"] = calls["fraction"].to_numpy(float)
    folder.tables[table] = Table(table, calls["patient_id"].to_numpy(object), cells)
    return replace(
        modality,
        table=table,
        gene_column="gene",
        effect_column="effect",
        counted_effects=list(counted),
        fraction_column="allele_fraction" if fractions else None,
        measured_column=sequenced,
        measured_value="yes",
    )


def _files(folder: Folder, name: str) -> list[Path]:
    place = folder.root / name
    if not place.is_dir():
        return [folder.file(name)]
    found = sorted(each.name for each in place.iterdir() if each.name.endswith(SUFFIXES))
    if not found:
        raise IntakeError(
            f"folder '{name}' of cohort '{folder.cohort}' holds no VCF file, expected names that "
            f"end in {quoted(SUFFIXES)}"
        )
    return [folder.file(f"{name}/{each}") for each in found]


def _calls(path: Path, folder: Folder, counted: Collection[str]) -> VcfCalls:
    try:
        return read_vcf(path, counted=counted)
    except IntakeError as mistake:
        # A file is often called as its patient is.
        raise IntakeError(about(str(mistake), path, path.name, _stem(path))) from mistake


def _stem(path: Path) -> str:
    return next(path.name.removesuffix(each) for each in SUFFIXES if path.name.endswith(each))


def _tumours(path: Path, read: VcfCalls, declared: VcfDeclaration) -> Iterator[tuple[str, str]]:
    """Yield each sample that is somebody's tumour, and what names the patient."""
    if declared.tumour is not None:
        chosen = [declared.tumour]
    else:
        chosen = [each for each in read.samples if each in read.tumours] or [
            each for each in read.samples if each not in read.normals
        ]
    missing = [each for each in chosen if each not in read.samples]
    if missing or (declared.named_by is NamedBy.FILE and len(chosen) != 1):
        wanted = f"'{missing[0]}'" if missing else "one tumour, since its name names the patient"
        told = (
            f"VCF file '{path.name}' holds the samples {quoted(read.samples)}, expected {wanted}: "
            "set 'vcf.tumour' to the name of the tumour's"
        )
        raise IntakeError(about(told, path.name, _stem(path), *read.samples))
    for sample in chosen:
        yield sample, _stem(path) if declared.named_by is NamedBy.FILE else sample


def _patients(declared: VcfDeclaration, own: KeyDeclaration, roster: Table) -> dict[str, str]:
    """Return name in the files -> patient."""
    if declared.name_column is None:
        names = [str(each).removeprefix(own.prefix) for each in roster.patient_ids]
    else:
        names = [str(each) for each in roster.text(declared.name_column)]
    found: dict[str, str] = {}
    for name, patient in zip(names, map(str, roster.patient_ids), strict=True):
        if name and found.setdefault(name, patient) != patient:
            told = (
                f"table '{roster.name}' has the VCF sample '{name}' for two patients, "
                f"'{found[name]}' and '{patient}', expected each once: correct the roster"
            )
            raise IntakeError(about(told, name, found[name], patient))
    return found


def _judge_strangers(table: str, own: KeyDeclaration, strangers: list[str], notes: Notes) -> None:
    if not strangers:
        return
    found = f"'{table}' has samples {quoted(strangers)} of nobody in the roster"
    if own.strangers is UnknownLevel.REPORT:
        notes.add(about(f"{found}, which are not read", *strangers))
        return
    told = f"{found}: add them, name the roster's column of samples in 'vcf', or remove them"
    raise IntakeError(about(told, *strangers))


def _with_uncalled(
    name: str, declared: VcfDeclaration, calls: pd.DataFrame, notes: Notes
) -> pd.DataFrame:
    """Return the calls, and what was not called unless that is declared to be wild type."""
    uncalled = calls["effect"] == NOT_CALLED
    if declared.uncalled_is_wild_type:
        return calls[~uncalled]
    if uncalled.any():
        notes.add(
            f"modality '{name}': {int(uncalled.sum())} genotypes were not called, so that the gene "
            "is not measured in the patient; if the file was merged from one per patient, set "
            "vcf.uncalled_is_wild_type"
        )
    return calls
