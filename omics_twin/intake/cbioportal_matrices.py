"""Are matrices by samples as they should be? Genes, proteins, gene sets, other entities."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from omics_twin.errors import quoted
from omics_twin.intake.cbioportal_format import (
    DISCRETE_COPY_NUMBERS,
    GENE_COLUMNS,
    MATRIX_COLUMNS,
)
from omics_twin.intake.cbioportal_meta import Meta, Study
from omics_twin.intake.cbioportal_text import (
    Sheet,
    is_number,
    is_whole,
    read_sheet,
    require_columns,
)
from omics_twin.intake.maf_drivers import check_driver_columns

NOT_MEASURED = ("NA", "NaN", "[Not Available]")
_LIMIT = re.compile(r"[<>]\s*")
_ENTITY = re.compile(r"[A-Za-z0-9_.\-]+")


def check_matrix(study: Study, meta: Meta) -> None:
    """Check a matrix of genes or antibodies by samples."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None:
        return
    leading = _leading(sheet, MATRIX_COLUMNS)
    if meta.alteration == "PROTEIN_LEVEL":
        if not require_columns(sheet, ("Composite.Element.REF",), study.mistakes):
            return
    elif not _has_genes(study, sheet):
        return
    _check_cells(study, sheet, leading, _discrete if meta.kind == "discrete" else _number)
    _check_features(study, sheet, leading)
    annotations = meta.fields.get("pd_annotations_filename")
    if annotations:
        _check_annotations(study, annotations)


def check_long(study: Study, meta: Meta) -> None:
    """Check discrete copy numbers with one row per gene and sample."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not _has_genes(study, sheet):
        return
    if not require_columns(sheet, ("Sample_Id", "Value"), study.mistakes):
        return
    drivers = check_driver_columns(sheet, study.mistakes)
    genes = [p for name in GENE_COLUMNS if (p := sheet.position(name)) is not None]
    sample, value = sheet.header.index("Sample_Id"), sheet.header.index("Value")
    first: dict[tuple[str, ...], int] = {}
    samples: dict[str, int] = {}
    for line, cells in sheet.rows(study.mistakes):
        samples.setdefault(cells[sample], line)
        sentence = _discrete(cells[value])
        if sentence:
            study.mistakes.error(sheet.file, line, f"Value is {sentence}")
        _check_gene(study, sheet, line, {sheet.header[at]: cells[at] for at in genes})
        key = (*(cells[position] for position in genes), cells[sample])
        if first.setdefault(key, line) != line:
            study.mistakes.error(
                sheet.file, line, f"gene and sample {quoted(key)} are on line {first[key]} already"
            )
        drivers.check_row(line, cells, study.mistakes)
    drivers.check_tiers(study.mistakes)
    for each, line in samples.items():
        study.check_samples(sheet.file, line, [each])


def check_generic(study: Study, meta: Meta) -> None:
    """Check a generic assay: entities by samples, or by patients."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None:
        return
    declared = meta.fields.get("generic_entity_meta_properties", "")
    properties = [each.strip() for each in declared.split(",") if each.strip()]
    if not require_columns(sheet, ("ENTITY_STABLE_ID", *properties), study.mistakes):
        return
    leading = _leading(sheet, ("ENTITY_STABLE_ID", *properties))
    check = {"LIMIT-VALUE": _limit, "BINARY": _binary}.get(meta.datatype, _anything)
    patients = meta.fields.get("patient_level", "").lower() == "true"
    _check_cells(study, sheet, leading, check, of_patients=patients)
    _check_entities(study, sheet, "ENTITY_STABLE_ID")


def check_geneset(study: Study, meta: Meta) -> None:
    """Check scores of gene sets, from -1 to 1, or their p-values, from 0 to 1."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, ("geneset_id",), study.mistakes):
        return
    lowest = -1.0 if meta.kind == "geneset_scores" else 0.0

    def bounded(cell: str) -> str:
        sentence = _number(cell)
        if sentence or cell.strip() in NOT_MEASURED or lowest <= float(cell) <= 1.0:
            return sentence
        return f"'{cell}', expected a number from {lowest:g} to 1"

    _check_cells(study, sheet, 1, bounded)
    _check_features(study, sheet, 1)
    for other in study.of_kind("geneset_scores"):
        _check_same_shape(study, sheet, other)


def _check_same_shape(study: Study, sheet: Sheet, other: Meta) -> None:
    if other.data_file == sheet.file or not (study.root / other.data_file).is_file():
        return
    scores = read_sheet(study.root, other.data_file, type(study.mistakes)())
    if scores is None:
        return
    names = [[text.split("\t", 1)[0] for text in each.lines] for each in (sheet, scores)]
    if set(sheet.header) != set(scores.header) or sorted(names[0]) != sorted(names[1]):
        study.mistakes.error(
            sheet.file, None, f"gene sets or samples are not those of '{scores.file}'"
        )


def _leading(sheet: Sheet, known: Sequence[str]) -> int:
    """Return how many columns come before the samples."""
    count = 0
    while count < len(sheet.header) and sheet.header[count] in known:
        count += 1
    return count


def _has_genes(study: Study, sheet: Sheet) -> bool:
    if set(GENE_COLUMNS) & set(sheet.header):
        return True
    study.mistakes.error(
        sheet.file,
        sheet.header_line,
        f"there is no column {' or '.join(GENE_COLUMNS)}: at least one is needed",
    )
    return False


def _check_cells(
    study: Study,
    sheet: Sheet,
    leading: int,
    check: Callable[[str], str],
    *,
    of_patients: bool = False,
) -> None:
    """Note samples nobody knows, and cells that are not as they should be."""
    columns = sheet.header[leading:]
    if not columns:
        study.mistakes.error(sheet.file, sheet.header_line, "has no columns of samples: add them")
    misplaced = [name for name in columns if name in MATRIX_COLUMNS]
    if misplaced:
        study.mistakes.error(
            sheet.file,
            sheet.header_line,
            f"columns {quoted(misplaced)} come after a sample: put them first",
        )
    named = [name for name in columns if name not in MATRIX_COLUMNS]
    if of_patients and study.patient_of is not None:
        unknown = [each for each in named if each not in set(study.patient_of.values())]
        if unknown:
            study.mistakes.error(
                sheet.file, sheet.header_line, f"patients {quoted(unknown)} are in no clinical file"
            )
    elif not of_patients:
        study.check_samples(sheet.file, sheet.header_line, named)
    plain = check in (_number, _discrete)
    for line, cells in sheet.rows(study.mistakes):
        if plain and _all_well(cells[leading:], check is _discrete):
            continue
        for name, cell in zip(columns, cells[leading:], strict=True):
            sentence = check(cell)
            if sentence:
                study.mistakes.error(sheet.file, line, f"value of '{name}' is {sentence}")


def _all_well(cells: list[str], discrete: bool) -> bool:
    """Return whether all cells are plain numbers, at the speed of one conversion."""
    if discrete:
        return set(cells) <= {*DISCRETE_COPY_NUMBERS, "NA"}
    try:
        return bool(np.isfinite(np.array(cells, dtype=np.float64)).all())
    except ValueError:
        return False


def _number(cell: str) -> str:
    text = cell.strip()
    if not text:
        return "empty, expected a number, or NA where nothing was measured"
    if text in NOT_MEASURED or is_number(text):
        return ""
    return f"'{cell}', expected a number, or NA where nothing was measured"


def _discrete(cell: str) -> str:
    text = cell.strip()
    if text in DISCRETE_COPY_NUMBERS or text.upper() in ("NA", "NAN"):
        return ""
    return f"'{cell}', expected one of {', '.join(DISCRETE_COPY_NUMBERS)} or NA"


def _limit(cell: str) -> str:
    text = _LIMIT.sub("", cell.strip(), count=1)
    if cell.strip() in ("", "NA") or is_number(text):
        return ""
    return f"'{cell}', expected a number that may start with '>' or '<', or NA"


def _binary(cell: str) -> str:
    if cell.strip().lower() in ("true", "false", "yes", "no", "na", ""):
        return ""
    return f"'{cell}', expected true, false, yes, no or NA"


def _anything(cell: str) -> str:
    return ""


def _check_features(study: Study, sheet: Sheet, leading: int) -> None:
    """Note rows that name nothing, and rows that were there before."""
    if not leading:
        return
    genes = [name in GENE_COLUMNS for name in sheet.header[:leading]]
    first: dict[str, int] = {}
    for line, cells in sheet.rows():
        named = [cell.strip() for cell in cells[:leading]]
        if any(genes):
            named = [cell for cell, gene in zip(named, genes, strict=True) if gene]
            columns = [name for name in sheet.header[:leading] if name in GENE_COLUMNS]
            _check_gene(study, sheet, line, dict(zip(columns, named, strict=True)))
        elif not named[0]:
            study.mistakes.error(sheet.file, line, f"{sheet.header[0]} is empty: name the row")
        # The Entrez identifier names a gene; the symbol where there is none.
        key = next((name for name in reversed(named) if name and name != "NA"), "")
        if key and first.setdefault(key, line) != line:
            study.mistakes.warning(
                sheet.file, line, f"'{key}' is on line {first[key]} already: this row is not read"
            )


def _check_gene(study: Study, sheet: Sheet, line: int, named: Mapping[str, str]) -> None:
    """Note a row that names no gene, or names it as no gene is named."""
    if all(name.strip() in ("", "NA") for name in named.values()):
        study.mistakes.error(
            sheet.file, line, "names no gene: fill in Hugo_Symbol or Entrez_Gene_Id"
        )
        return
    for column, name in named.items():
        if column == "Entrez_Gene_Id" and name.strip() not in ("", "NA"):
            if not is_whole(name):
                study.mistakes.error(
                    sheet.file, line, f"Entrez_Gene_Id is '{name}', expected a whole number"
                )
            elif int(name) <= 0:
                study.mistakes.warning(
                    sheet.file,
                    line,
                    f"Entrez_Gene_Id is '{name}', which is no gene: leave it empty",
                )
        elif column == "Hugo_Symbol" and name[:1].isdigit():
            study.mistakes.warning(
                sheet.file, line, f"Hugo_Symbol is '{name}', which starts with a digit"
            )


def _check_entities(study: Study, sheet: Sheet, name: str) -> None:
    position = sheet.header.index(name)
    first: dict[str, int] = {}
    for line, cells in sheet.rows():
        entity = cells[position].strip()
        if not _ENTITY.fullmatch(entity):
            study.mistakes.error(
                sheet.file,
                line,
                f"{name} is '{entity}', expected letters, digits, points, underscores and hyphens",
            )
        elif first.setdefault(entity, line) != line:
            study.mistakes.warning(
                sheet.file,
                line,
                f"'{entity}' is on line {first[entity]} already: this row is not read",
            )


def _check_annotations(study: Study, file: str) -> None:
    """Check the driver annotations that stand in a file of their own."""
    sheet = read_sheet(study.root, file, study.mistakes)
    if sheet is None or not _has_genes(study, sheet):
        return
    if not require_columns(sheet, ("SAMPLE_ID",), study.mistakes):
        return
    drivers = check_driver_columns(sheet, study.mistakes)
    for line, cells in sheet.rows(study.mistakes):
        study.check_samples(sheet.file, line, [cells[sheet.header.index("SAMPLE_ID")]])
        drivers.check_row(line, cells, study.mistakes)
    drivers.check_tiers(study.mistakes)
