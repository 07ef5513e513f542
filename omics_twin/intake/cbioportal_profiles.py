"""What was measured in a study's samples? Each profile becomes a table of patients."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from omics_twin.errors import IntakeError, quoted, shown
from omics_twin.intake.cbioportal_format import GENE_COLUMNS, MATRIX_COLUMNS
from omics_twin.intake.cbioportal_meta import Meta, Study
from omics_twin.intake.cbioportal_patients import Patients
from omics_twin.intake.cbioportal_reading import columns_of, known, open_sheet, present, rows_of
from omics_twin.intake.cbioportal_text import Sheet
from omics_twin.intake.channels import Notes
from omics_twin.intake.declaration import ColumnDeclaration
from omics_twin.intake.files import Folder, Table

_KINDS = {
    ("COPY_NUMBER_ALTERATION", "DISCRETE"): ("copy_number", "score"),
    ("COPY_NUMBER_ALTERATION", "DISCRETE_LONG"): ("copy_number", "score"),
    ("COPY_NUMBER_ALTERATION", "LOG2-VALUE"): ("copy_number_continuous", "log2"),
    ("COPY_NUMBER_ALTERATION", "CONTINUOUS"): ("copy_number_continuous", "1"),
    ("MRNA_EXPRESSION", "CONTINUOUS"): ("expression", "1"),
    ("MRNA_EXPRESSION", "Z-SCORE"): ("expression", "z"),
    ("PROTEIN_LEVEL", "LOG2-VALUE"): ("protein", "log2"),
    ("PROTEIN_LEVEL", "CONTINUOUS"): ("protein", "1"),
    ("PROTEIN_LEVEL", "Z-SCORE"): ("protein", "z"),
    ("METHYLATION", "CONTINUOUS"): ("methylation", "fraction"),
}
_PREFERRED = ("rna_seq_v2_mrna", "mrna_seq_v2_rsem", "rna_seq_mrna", "methylation_hm450", "gistic")
# Beyond this, no expression is a logarithm to base 2.
_LARGEST_LOGARITHM = 50.0
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# Values are kept in single precision.
_LARGEST = float(np.finfo(np.float32).max)


def choose_profiles(study: Study, folder: Folder, notes: Notes) -> dict[str, Meta]:
    """Return the matrix that each modality is read from; values go before their z-scores."""
    candidates: dict[str, list[Meta]] = {}
    for meta in study.metas:
        name = _modality(meta)
        if name is not None:
            candidates.setdefault(name, []).append(meta)
        elif meta.kind in ("generic", "geneset_scores", "structural"):
            notes.add(f"'{meta.file}': {meta.alteration} of kind {meta.datatype} is not read")
    chosen = {}
    for name, metas in candidates.items():
        there = present(folder, tuple(metas))
        for meta in metas:
            if meta not in there:
                notes.add(
                    f"'{meta.file}': its data file '{meta.data_file}' is not there, {name} "
                    f"'{meta.stable_id}' is read as not measured"
                )
        ranked = sorted(there, key=_rank)
        if ranked:
            chosen[name] = ranked[0]
        if len(ranked) > 1:
            rest = quoted(meta.stable_id for meta in ranked[1:])
            notes.add(f"{name} is read from '{ranked[0].stable_id}', not from {rest}")
    return chosen


def _modality(meta: Meta) -> str | None:
    found = _KINDS.get((meta.alteration, meta.datatype))
    if found is None:
        return None
    return "mirna" if meta.stable_id.startswith("mirna") else found[0]


def _rank(meta: Meta) -> tuple[bool, int, str]:
    place = _PREFERRED.index(meta.stable_id) if meta.stable_id in _PREFERRED else len(_PREFERRED)
    return meta.datatype == "Z-SCORE", place, meta.stable_id


def read_profile(
    name: str, meta: Meta, folder: Folder, patients: Patients, notes: Notes
) -> tuple[Table, ColumnDeclaration]:
    """Return one profile as a table of patients by features, and how its columns are read.

    Raises
    ------
    IntakeError
        If a cell is no number.
    """
    sheet = open_sheet(folder, meta.data_file)
    if meta.kind == "discrete_long":
        rows, features, values = _long(folder, sheet, patients)
    else:
        rows, features, values = _wide(folder, sheet, patients, notes)
    _, unit = _KINDS[(meta.alteration, meta.datatype)]
    column = ColumnDeclaration(unit=unit)
    if unit == "1" and name in ("expression", "mirna") and values.size:
        skewed = np.nanmin(values) >= 0 and np.nanmax(values) > _LARGEST_LOGARITHM
        if skewed:
            notes.add(f"{name}: values reach {np.nanmax(values):g}, so their logarithm is taken")
        column = ColumnDeclaration(unit=unit, log=bool(skewed))
    ids = np.array([patients.ids[row] for row in rows], object)
    return Table(name, ids, dict(zip(features, values, strict=True))), column


def _wide(
    folder: Folder, sheet: Sheet, patients: Patients, notes: Notes
) -> tuple[list[int], list[str], np.ndarray]:
    """Return patients' rows, features and values (feature, patient)."""
    leading = 0
    while leading < len(sheet.header) and sheet.header[leading] in MATRIX_COLUMNS:
        leading += 1
    row_of = patients.row_of_sample
    columns = [p for p in range(leading, len(sheet.header)) if sheet.header[p] in row_of]
    taken = np.array(columns, dtype=int) - leading
    values = np.empty((len(sheet.lines), len(columns)), dtype=np.float32)
    features: dict[str, None] = {}
    repeated = 0
    names = [name for name in MATRIX_COLUMNS[:3] if name in sheet.header[:leading]]
    positions = [sheet.header.index(name) for name in names]
    for line, cells in rows_of(folder, sheet):
        feature = _feature([cells[position].strip() for position in positions], names)
        if not feature or feature in features:
            repeated += 1
            continue
        values[len(features)] = _floats(sheet, line, cells[leading:])[taken]
        features[feature] = None
    if repeated:
        notes.add(f"table '{sheet.file}': {repeated} rows repeat a gene or name none, not read")
    return [row_of[sheet.header[p]] for p in columns], list(features), values[: len(features)]


def _feature(named: list[str], names: list[str]) -> str:
    for name, text in zip(names, named, strict=True):
        if text not in ("", "NA"):
            return f"entrez_{text}" if name == "Entrez_Gene_Id" else text
    return ""


def _floats(sheet: Sheet, line: int, cells: list[str]) -> np.ndarray:
    texts = cells
    # 'n' stands in nan, inf and infinity; float() would also take underscores and other digits.
    joined = "".join(cells)
    if "n" in joined.lower() or "_" in joined or not joined.isascii() or "" in cells:
        texts = ["nan" if known(cell.strip()) == "" else cell for cell in cells]
        wrong = [cell for cell in texts if cell != "nan" and not _NUMBER.fullmatch(cell.strip())]
        if wrong:
            raise _no_number(sheet, line, shown(wrong[0]))
    try:
        values = np.array(texts, dtype=np.float64)
    except ValueError as error:
        raise _no_number(sheet, line, str(error)) from error
    if np.nanmax(np.abs(values), initial=0.0) > _LARGEST:
        raise _no_number(sheet, line, "it is too large")
    return values


def _no_number(sheet: Sheet, line: int, found: str) -> IntakeError:
    return IntakeError(
        f"table '{sheet.file}', line {line} holds a cell that is no number ({found}): correct it, "
        "or write NA where nothing was measured"
    )


def _long(
    folder: Folder, sheet: Sheet, patients: Patients
) -> tuple[list[int], list[str], np.ndarray]:
    genes = tuple(name for name in GENE_COLUMNS if name in sheet.header)
    columns = columns_of(folder, sheet, (*genes, "Sample_Id", "Value"))
    row_of = patients.row_of_sample
    named = list(zip(*(columns[name] for name in genes), strict=True))
    features = {feature: n for n, feature in enumerate(dict.fromkeys(
        _feature(list(each), list(genes)) for each in named))}  # fmt: skip
    measured = list(dict.fromkeys(s for s in columns["Sample_Id"] if s in row_of))
    place = {sample: n for n, sample in enumerate(measured)}
    values = np.full((len(features), len(measured)), np.nan, dtype=np.float32)
    floats = _floats(sheet, sheet.first_line, columns["Value"])
    for gene, sample, value in zip(named, columns["Sample_Id"], floats, strict=True):
        if sample in place:
            values[features[_feature(list(gene), list(genes))], place[sample]] = value
    return [row_of[sample] for sample in measured], list(features), values


def note_timelines(study: Study, folder: Folder, notes: Notes) -> None:
    """Tell which events are in the timelines; none is a measurement."""
    for meta in present(folder, study.of_kind("timeline")):
        sheet = open_sheet(folder, meta.data_file)
        names = tuple(n for n in ("PATIENT_ID", "EVENT_TYPE", "AGENT") if n in sheet.header)
        columns = columns_of(folder, sheet, names)
        events = Counter(columns.get("EVENT_TYPE", []))
        agents = Counter(filter(known, columns.get("AGENT", [])))
        told = ", ".join(f"{number} {event}" for event, number in events.most_common())
        given = f"; agents {quoted(agent for agent, _ in agents.most_common())}" if agents else ""
        patients = len(set(columns.get("PATIENT_ID", [])))
        notes.add(
            f"timeline '{meta.data_file}': {told} of {patients} patients, after the index date "
            f"and not measured{given}"
        )
