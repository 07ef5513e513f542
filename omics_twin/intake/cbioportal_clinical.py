"""Are patients, samples and clinical attributes as they should be? Every row is read."""

from __future__ import annotations

import re
from collections.abc import Iterator

from omics_twin.errors import quoted
from omics_twin.intake.cbioportal_format import CLINICAL_MISSING
from omics_twin.intake.cbioportal_meta import Meta, Study
from omics_twin.intake.cbioportal_text import (
    Mistakes,
    Sheet,
    is_number,
    is_whole,
    read_sheet,
    require_columns,
)

ATTRIBUTE_TYPES = ("STRING", "NUMBER", "BOOLEAN")
TRUE_TEXTS = ("true", "t")
FALSE_TEXTS = ("false", "f")
_PATIENT_LEVEL = {
    "AGE": "NUMBER",
    "GENDER": "STRING",
    "SEX": "STRING",
    "OS_STATUS": "STRING",
    "OS_MONTHS": "NUMBER",
    "DFS_STATUS": "STRING",
    "DFS_MONTHS": "NUMBER",
    "PATIENT_DISPLAY_NAME": "STRING",
    "TUMOR_SITE": "STRING",
}
_SAMPLE_LEVEL = (
    "SAMPLE_DISPLAY_NAME",
    "SAMPLE_CLASS",
    "SAMPLE_TYPE",
    "METASTATIC_SITE",
    "PRIMARY_SITE",
)
_COMPUTED = ("MUTATION_COUNT", "FRACTION_GENOME_ALTERED")
_STATUSES = {"OS_STATUS": ("0:LIVING", "1:DECEASED")}
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]+")
_DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")


def check_clinical(study: Study) -> None:
    """Check the clinical files; the study knows its samples afterwards."""
    attributes: dict[str, str] = {}
    listed: set[str] | None = None
    for meta in _with_data(study, "samples"):
        sheet = read_sheet(study.root, meta.data_file, study.mistakes)
        if sheet is not None:
            _check_attributes(sheet, meta, study.mistakes)
            study.patient_of = _samples(sheet, study.mistakes)
            attributes = dict.fromkeys(sheet.header, sheet.file)
    for meta in _with_data(study, "patients"):
        sheet = read_sheet(study.root, meta.data_file, study.mistakes)
        if sheet is not None:
            _check_attributes(sheet, meta, study.mistakes)
            listed = _patients(sheet, study.mistakes)
            _check_shared(sheet, attributes, study.mistakes)
            _check_patients_sampled(study, sheet.file, listed)


def _with_data(study: Study, kind: str) -> tuple[Meta, ...]:
    metas = study.of_kind(kind)[:1]
    return tuple(meta for meta in metas if (study.root / meta.data_file).is_file())


def identifiers(sheet: Sheet, name: str, mistakes: Mistakes) -> Iterator[tuple[int, str]]:
    """Give line and identifier of every row, noting those that are empty or of another form."""
    position = sheet.position(name)
    for line, cells in sheet.rows():
        found = cells[position or 0].strip()
        if found.lower() in CLINICAL_MISSING:
            mistakes.error(sheet.file, line, f"{name} is empty: name it, or remove the row")
            continue
        if not _IDENTIFIER.fullmatch(found):
            mistakes.error(
                sheet.file,
                line,
                f"{name} is '{found}', expected letters, digits, points, underscores and hyphens "
                "only",
            )
        yield line, found


def _samples(sheet: Sheet, mistakes: Mistakes) -> dict[str, str]:
    patient_of: dict[str, str] = {}
    if not require_columns(sheet, ("PATIENT_ID", "SAMPLE_ID"), mistakes):
        return patient_of
    patients = dict(identifiers(sheet, "PATIENT_ID", mistakes))
    for line, sample in identifiers(sheet, "SAMPLE_ID", mistakes):
        if sample in patient_of:
            mistakes.error(sheet.file, line, f"sample '{sample}' is listed twice: keep one row")
        else:
            patient_of[sample] = patients.get(line, "")
    if not patient_of:
        mistakes.error(sheet.file, None, "lists no samples, expected at least one")
    return patient_of


def _patients(sheet: Sheet, mistakes: Mistakes) -> set[str]:
    listed: set[str] = set()
    if not require_columns(sheet, ("PATIENT_ID",), mistakes):
        return listed
    for line, patient in identifiers(sheet, "PATIENT_ID", mistakes):
        if patient in listed:
            mistakes.error(sheet.file, line, f"patient '{patient}' is listed twice: keep one row")
        listed.add(patient)
    return listed


def _check_shared(sheet: Sheet, attributes: dict[str, str], mistakes: Mistakes) -> None:
    shared = [n for n in sheet.header if n in attributes and n not in ("PATIENT_ID", "")]
    if shared:
        mistakes.error(
            sheet.file,
            sheet.header_line,
            f"attributes {quoted(shared)} are also in '{attributes[shared[0]]}': an attribute "
            "belongs to patients or to samples, keep one",
        )


def _check_patients_sampled(study: Study, file: str, listed: set[str]) -> None:
    if study.patient_of is None:
        return
    sampled = set(study.patient_of.values()) - {""}
    for found, sentence in (
        (listed - sampled, "have no sample: add one, or remove their rows"),
        (sampled - listed, "have samples but no row here: add their rows"),
    ):
        if found:
            study.mistakes.warning(file, None, f"patients {quoted(sorted(found))} {sentence}")


def _check_attributes(sheet: Sheet, meta: Meta, mistakes: Mistakes) -> None:
    _check_names(sheet, meta.kind == "patients", mistakes)
    types = attribute_types(sheet, mistakes)
    if meta.kind == "patients":
        _check_survival_columns(sheet, mistakes)
    for line, cells in sheet.rows(mistakes):
        for name, kind, cell in zip(sheet.header, types, cells, strict=True):
            text = cell.strip()
            if text.lower() not in CLINICAL_MISSING:
                _check_value(sheet, line, name, kind, text, mistakes)
        _check_death(sheet, line, cells, mistakes)


def attribute_types(sheet: Sheet, mistakes: Mistakes) -> tuple[str, ...]:
    """Return the datatype of each attribute, ``STRING`` where none is given."""
    width = len(sheet.header)
    unknown = ("STRING",) * width
    if len(sheet.comments) != 4:
        mistakes.error(
            sheet.file,
            1,
            f"found {len(sheet.comments)} lines that start with '#', expected 4: names, "
            "descriptions, datatypes and priorities of the attributes",
        )
        return unknown
    described = [comment[1:].split("\t") for comment in sheet.comments]
    for line, cells in enumerate(described, start=1):
        if len(cells) != width:
            mistakes.error(
                sheet.file, line, f"found {len(cells)} cells, expected {width} as in the header"
            )
    for line, what in ((1, "display name"), (2, "description")):
        if any(not cell.strip() for cell in described[line - 1]):
            mistakes.warning(sheet.file, line, f"an attribute has no {what}: fill it in")
    for cell in described[3]:
        if not is_whole(cell) or int(cell) < 0:
            mistakes.error(
                sheet.file, 4, f"priority is '{cell}', expected a whole number that is not negative"
            )
    types = [cell.strip() for cell in described[2]]
    for cell in types:
        if cell not in ATTRIBUTE_TYPES:
            mistakes.error(
                sheet.file, 3, f"datatype is '{cell}', expected one of {quoted(ATTRIBUTE_TYPES)}"
            )
    if len(types) != width:
        return unknown
    _check_reserved_types(sheet, types, mistakes)
    return tuple(types)


def _check_reserved_types(sheet: Sheet, types: list[str], mistakes: Mistakes) -> None:
    expected = _PATIENT_LEVEL | dict.fromkeys(_SAMPLE_LEVEL, "STRING")
    expected |= {"PATIENT_ID": "STRING", "SAMPLE_ID": "STRING"}
    for name, kind in zip(sheet.header, types, strict=True):
        if kind != expected.get(name, kind):
            mistakes.error(
                sheet.file, 3, f"datatype of {name} is {kind}, expected {expected[name]}"
            )


def _check_names(sheet: Sheet, of_patients: bool, mistakes: Mistakes) -> None:
    line = sheet.header_line
    for name in sheet.header:
        if not name:
            mistakes.error(sheet.file, line, "an attribute has no name: name or remove it")
        if name != name.upper():
            mistakes.warning(
                sheet.file, line, f"attribute '{name}' is not in capitals: write '{name.upper()}'"
            )
        elif name and not re.fullmatch(r"[A-Z0-9_.]+", name):
            mistakes.warning(
                sheet.file,
                line,
                f"attribute '{name}' holds other characters than letters, digits and underscores",
            )
        if name in _COMPUTED:
            mistakes.error(sheet.file, line, f"the portal computes {name} itself: remove it")
        if name == "OTHER_SAMPLE_ID":
            mistakes.error(sheet.file, line, "OTHER_SAMPLE_ID is not read any more: use SAMPLE_ID")
        elsewhere = _SAMPLE_LEVEL if of_patients else tuple(_PATIENT_LEVEL)
        if name in elsewhere:
            right = "sample" if of_patients else "patient"
            mistakes.error(
                sheet.file, line, f"{name} describes the {right}: move it to the {right} file"
            )


def _check_survival_columns(sheet: Sheet, mistakes: Mistakes) -> None:
    for prefix, what in (("OS", "overall"), ("DFS", "disease-free")):
        missing = [n for n in (f"{prefix}_MONTHS", f"{prefix}_STATUS") if n not in sheet.header]
        if missing:
            mistakes.warning(
                sheet.file,
                sheet.header_line,
                f"there is no {' and no '.join(missing)}, so {what} survival is not known: add "
                "both if it is",
            )


def survival_names(header: tuple[str, ...]) -> dict[str, str]:
    """Return the status column of each pair ``X_STATUS``, ``X_MONTHS`` by its prefix.

    Examples
    --------
    >>> survival_names(("OS_STATUS", "OS_MONTHS", "ER_STATUS"))
    {'OS': 'OS_STATUS'}
    """
    prefixes = [name.removesuffix("_STATUS") for name in header if name.endswith("_STATUS")]
    return {each: f"{each}_STATUS" for each in prefixes if f"{each}_MONTHS" in header}


def _check_value(
    sheet: Sheet, line: int, name: str, kind: str, text: str, mistakes: Mistakes
) -> None:
    if kind == "NUMBER" and not is_number(text.removeprefix(">").removeprefix("<")):
        mistakes.error(
            sheet.file, line, f"{name} is '{text}', expected a number as its datatype says"
        )
    elif kind == "BOOLEAN" and text.lower() not in (*TRUE_TEXTS, *FALSE_TEXTS):
        mistakes.error(sheet.file, line, f"{name} is '{text}', expected TRUE or FALSE")
    elif name in _STATUSES and text not in _STATUSES[name]:
        mistakes.error(
            sheet.file, line, f"{name} is '{text}', expected {' or '.join(_STATUSES[name])}"
        )
    elif (
        name.endswith("_STATUS")
        and name.removesuffix("_STATUS") in survival_names(sheet.header)
        and not text.startswith(("0:", "1:"))
    ):
        mistakes.error(
            sheet.file, line, f"{name} is '{text}', expected '0:' or '1:' (the event) in front"
        )
    elif kind == "STRING" and _DATE.fullmatch(text) and "DATE" not in name:
        mistakes.warning(
            sheet.file, line, f"{name} holds a date, '{text}': a date can tell who a patient is"
        )


def _check_death(sheet: Sheet, line: int, cells: list[str], mistakes: Mistakes) -> None:
    status, months = sheet.position("OS_STATUS"), sheet.position("OS_MONTHS")
    if status is None or months is None or cells[status].strip() != "1:DECEASED":
        return
    if cells[months].strip().lower() in CLINICAL_MISSING:
        mistakes.warning(
            sheet.file, line, "OS_STATUS is '1:DECEASED' but OS_MONTHS is empty: add the time"
        )
