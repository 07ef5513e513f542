"""What do a study's segments say of genes? They become a table of patients by genes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omics_twin.errors import IntakeError, quoted
from omics_twin.intake.cbioportal_meta import Study
from omics_twin.intake.cbioportal_patients import Patients
from omics_twin.intake.cbioportal_reading import columns_of, open_sheet, present
from omics_twin.intake.cbioportal_text import is_number
from omics_twin.intake.channels import Notes
from omics_twin.intake.declaration import ColumnDeclaration, ModalityDeclaration
from omics_twin.intake.files import Folder, Table
from omics_twin.intake.segments import Stretches, gene_copy_numbers

SEGMENTS = "segments"
_COLUMNS = ("ID", "chrom", "loc.start", "loc.end", "seg.mean")


def read_segments(
    study: Study,
    folder: Folder,
    patients: Patients,
    asked: ModalityDeclaration | None,
    notes: Notes,
) -> ModalityDeclaration | None:
    """Put the copy numbers of genes into the folder as a table, where it is known where they lie.

    Returns
    -------
    ModalityDeclaration or None
        How they are read; ``None`` where the study has no segments, or positions are not declared.

    Raises
    ------
    IntakeError
        If a position or a mean is no number, segments overlap, or a gene is listed twice.
    """
    metas = present(folder, study.of_kind("segments"))
    if not metas:
        return None
    if asked is None or asked.gene_positions is None:
        notes.add(
            f"'{metas[0].file}': segments are not read: declare modality '{SEGMENTS}' with "
            "'gene_positions'"
        )
        return None
    sheet = open_sheet(folder, metas[0].data_file)
    columns = columns_of(folder, sheet, _COLUMNS)
    read = np.isin(columns["ID"], list(patients.row_of_sample))
    cells = {name: np.array(column, object)[read] for name, column in columns.items()}
    if not len(cells["ID"]):
        notes.add(f"{SEGMENTS}: no sample that is read was measured")
        return None
    genes, positions = _positions(folder, asked.gene_positions)
    samples, values = gene_copy_numbers(
        cells["ID"].tolist(),
        _stretches(sheet.file, cells["chrom"], cells["loc.start"], cells["loc.end"]),
        _numbers(sheet.file, "seg.mean", cells["seg.mean"]),
        positions,
    )
    covered = np.isfinite(values).any(axis=0)
    if not covered.all():
        notes.add(f"{SEGMENTS}: {int((~covered).sum())} genes lie on no segment, not read")
    ids = np.array([patients.ids[patients.row_of_sample[each]] for each in samples], object)
    named = [gene for gene, there in zip(genes, covered, strict=True) if there]
    columns_by_gene = dict(zip(named, values[:, covered].T, strict=True))
    folder.tables[SEGMENTS] = Table(SEGMENTS, ids, columns_by_gene)
    column = asked.other_columns or ColumnDeclaration(unit="log2")
    return replace(asked, table=SEGMENTS, other_columns=column)


def _positions(folder: Folder, name: str) -> tuple[list[str], Stretches]:
    rows = folder.lists(name)
    width = len(rows[0]) if rows else 0
    if width != 4:
        raise IntakeError(
            f"file '{name}' holds {len(rows)} rows of {width} cells, expected a header and, for "
            "each gene, its symbol, chromosome, start and end"
        )
    genes, chromosome, start, end = (np.array(each, object) for each in zip(*rows, strict=True))
    named, times = np.unique(genes.astype(str), return_counts=True)
    if (times > 1).any():
        raise IntakeError(
            f"file '{name}' lists genes {quoted(named[times > 1])} more than once: list each once"
        )
    return genes.tolist(), _stretches(name, chromosome, start, end)


def _stretches(file: str, chromosome: np.ndarray, start: np.ndarray, end: np.ndarray) -> Stretches:
    ends = (_numbers(file, what, texts) for what, texts in (("start", start), ("end", end)))
    return Stretches(chromosome.tolist(), *ends)


def _numbers(file: str, what: str, texts: np.ndarray) -> np.ndarray:
    wrong = [text for text in texts if not is_number(text)]
    if wrong:
        raise IntakeError(f"table '{file}': {what} is '{wrong[0]}', expected a number: correct it")
    return texts.astype(np.float64)
