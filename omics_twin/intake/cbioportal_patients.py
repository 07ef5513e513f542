"""Who is in a study, and what was known of each before treatment? One row per patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.cbioportal_clinical import TRUE_TEXTS, attribute_types, survival_names
from omics_twin.intake.cbioportal_meta import Study
from omics_twin.intake.cbioportal_reading import columns_of, known, open_sheet, present
from omics_twin.intake.cbioportal_text import Mistakes, is_number
from omics_twin.intake.channels import Notes
from omics_twin.intake.declaration import (
    ColumnDeclaration,
    Kind,
    OutcomeDeclaration,
    OutcomeKind,
)
from omics_twin.intake.files import Folder, Table
from omics_twin.intake.findings import Severity

CLINICAL = "clinical"
SURVIVAL = "survival"
# What is known only after the index date, or because of it.
FOLLOW_UP = re.compile(
    r"SURVIVAL|VITAL|DEATH|DECEASED|DIED|DEAD|ALIVE|LIVING"
    r"|RECUR|RELAPSE|PROGRESSION|PROGRESSED|NEW_TUMOR|METASTATIC_(STATUS|SITE)"
    r"|FOLLOW_?UP|LAST_(CONTACT|KNOWN|VISIT)|CENSOR|(NEOPLASM|TUMOR|DISEASE|CANCER)_STATUS"
    r"|RESPONSE|REMISSION|DAYS_TO_|_DAYS$"
    r"|^(OS|DFS|PFS|DSS|RFS|EFS|DFI|PFI|TTP|DMFS|MFS|LRFS)(_|$)"
)
TREATMENT = re.compile(
    r"CHEMO|RADIO_?THERAPY|RADIATION|(HORMONE|ENDOCRINE|TARGETED|IMMUNO|ADJUVANT|PHARMACEUTICAL)"
    r".*(THERAPY|TX)|SURGERY|TREAT|DRUG|THERAPY|REGIMEN|MEDICATION"
)
IDENTIFIERS = re.compile(r"(^|_)(ID|UUID|DISPLAY_NAME|BARCODE)$")
MOST_LEVELS = 20
_NOT_WRITTEN = ["null", "NULL", "Null", "nan", "NaN", "NAN"]
_CENSORED = ("living", "alive", "diseasefree", "disease-free", "censored", "no event")
_EVENT = ("deceased", "dead", "recurred/progressed", "recurred", "progressed", "progression")


@dataclass(frozen=True)
class Patients:
    """The patients of a study.

    Attributes
    ----------
    ids
        In the order of the patient file, or of the sample file where there is none.
    sample_of
        The one sample of each patient that is read.
    types
        Datatype by clinical attribute.
    """

    ids: tuple[str, ...]
    sample_of: Mapping[str, str]
    types: Mapping[str, str]

    @property
    def row_of_sample(self) -> dict[str, int]:
        """Row of each sample that is read."""
        rows = {patient: row for row, patient in enumerate(self.ids)}
        return {sample: rows[patient] for patient, sample in self.sample_of.items()}


def read_patients(study: Study, folder: Folder, notes: Notes) -> tuple[Patients, Table]:
    """Return the patients, and their clinical attributes as one table.

    A patient with several samples is read through one of them: the first whose SAMPLE_TYPE says
    primary, or the first of the file.

    Raises
    ------
    IntakeError
        If a patient has two rows, or nobody has a sample.
    """
    file = study.of_kind("samples")[0].data_file
    samples, types = _attributes(folder, file, notes, "PATIENT_ID", "SAMPLE_ID")
    sample_of = _chosen(samples, notes)
    order = list(sample_of)
    cells: dict[str, list[str]] = {}
    for meta in present(folder, study.of_kind("patients"))[:1]:
        attributes, more = _attributes(folder, meta.data_file, notes, "PATIENT_ID")
        rows = {patient: row for row, patient in enumerate(attributes["PATIENT_ID"])}
        if not all(map(known, rows)):
            raise IntakeError(f"table '{meta.data_file}' has a row without PATIENT_ID: fill it in")
        if len(rows) < len(attributes["PATIENT_ID"]):
            raise IntakeError(f"table '{meta.data_file}' lists a patient twice: keep one row each")
        alone = [patient for patient in rows if patient not in sample_of]
        if alone:
            told = f"patients without a sample, not in the cohort: {quoted(alone)}"
            notes.add(about(told, *alone))
        order = [*(p for p in rows if p in sample_of), *(p for p in order if p not in rows)]
        for name, column in attributes.items():
            cells[name] = [column[rows[p]] if p in rows else "" for p in order]
        types = {**types, **more}
    row_of = {sample: row for row, sample in enumerate(samples["SAMPLE_ID"])}
    for name, column in samples.items():
        if name not in cells and name != "SAMPLE_ID":
            cells[name] = [column[row_of[sample_of[patient]]] for patient in order]
    del cells["PATIENT_ID"]
    kept = {name: np.array([known(c) for c in column], object) for name, column in cells.items()}
    for name in kept:
        if types[name] == "BOOLEAN":
            kept[name] = np.array([_boolean(cell) for cell in kept[name]], object)
    patients = Patients(tuple(order), sample_of, types)
    return patients, Table(CLINICAL, np.array(order, object), kept)


def _attributes(
    folder: Folder, file: str, notes: Notes, *needed: str
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return every column of a clinical file by name, and its datatype."""
    sheet = open_sheet(folder, file)
    mistakes = Mistakes()
    types = dict(zip(sheet.header, attribute_types(sheet, mistakes), strict=True))
    # Without its datatype, a number is read as a category.
    notes.add(
        *(
            f"table '{file}': {e.sentence}"
            for e in mistakes.findings()
            if e.severity is Severity.ERROR
        )
    )
    columns = columns_of(folder, sheet, tuple(dict.fromkeys((*needed, *sheet.header))))
    for name in needed:
        hidden = [text for text in columns[name] if not text.isprintable()]
        if hidden:
            raise IntakeError(
                f"table '{file}', {name} is {hidden[0]!r}, expected no characters that cannot be "
                "seen: write it again"
            )
    return columns, types


def _chosen(samples: Mapping[str, Sequence[str]], notes: Notes) -> dict[str, str]:
    """Return the sample of each patient that is read."""
    kinds = samples.get("SAMPLE_TYPE", [""] * len(samples["SAMPLE_ID"]))
    if len(set(samples["SAMPLE_ID"])) < len(samples["SAMPLE_ID"]):
        raise IntakeError("the clinical sample file lists a sample twice: keep one row each")
    if not all(map(known, (*samples["PATIENT_ID"], *samples["SAMPLE_ID"]))):
        raise IntakeError(
            "the clinical sample file has a row without PATIENT_ID or SAMPLE_ID: fill it in"
        )
    chosen: dict[str, tuple[bool, str]] = {}
    several: set[str] = set()
    triples = zip(samples["PATIENT_ID"], samples["SAMPLE_ID"], kinds, strict=True)
    for patient, sample, kind in triples:
        primary = kind.lower().startswith("primary")
        if patient in chosen:
            several.add(patient)
        if patient not in chosen or (primary and not chosen[patient][0]):
            chosen[patient] = (primary, sample)
    if not chosen:
        raise IntakeError("the clinical sample file lists nobody, expected at least one sample")
    if several:
        told = (
            f"{len(several)} patients have several samples, of which one is read, the first that "
            f"is primary or else the first of the file: {quoted(sorted(several))}"
        )
        notes.add(about(told, *several))
    return {patient: sample for patient, (_, sample) in chosen.items()}


def _boolean(text: str) -> str:
    if not text:
        return ""
    return "TRUE" if text.lower() in TRUE_TEXTS else "FALSE"


def read_survival(table: Table, notes: Notes) -> tuple[Table, dict[str, OutcomeDeclaration]]:
    """Take survival out of the table, and return it with an outcome for each pair of columns.

    Raises
    ------
    IntakeError
        If a status is neither an event nor its absence.
    """
    outcomes: dict[str, OutcomeDeclaration] = {}
    cells: dict[str, np.ndarray] = {}
    for prefix, status in survival_names(tuple(table.cells)).items():
        months = f"{prefix}_MONTHS"
        times = table.cells.pop(months)
        events = np.array([_event(table, status, text) for text in table.cells.pop(status)], object)
        half = (times == "") != (events == "")
        if half.any():
            told = (
                f"outcome '{prefix.lower()}': {months} or {status} is missing for "
                f"{int(half.sum())} patients, {int((half & (events == '1')).sum())} of them with "
                f"the event, read as not known: {quoted(table.patient_ids[half])}"
            )
            notes.add(about(told, *table.patient_ids[half]))
        cells[months] = np.where(half, "", times).astype(object)
        cells[status] = np.where(half, "", events).astype(object)
        if (cells[months] == "").all():
            notes.add(f"outcome '{prefix.lower()}' is known for nobody, not read")
            continue
        outcomes[prefix.lower()] = OutcomeDeclaration(
            table=SURVIVAL,
            kind=OutcomeKind.TIME_TO_EVENT,
            value_column=months,
            unit="month",
            event_column=status,
            event_value="1",
            censored_value="0",
        )
    return Table(SURVIVAL, table.patient_ids, cells), outcomes


def _event(table: Table, status: str, text: str) -> str:
    if text.startswith(("0:", "1:")) or text in ("", "0", "1"):
        return text[:1]
    if text.lower() in _CENSORED:
        return "0"
    if text.lower() in _EVENT:
        return "1"
    told = (
        f"table '{table.name}', column '{status}': found '{text}', expected '0:' or '1:' (the "
        "event) in front: correct the status"
    )
    raise IntakeError(about(told, text))


def clinical_columns(
    table: Table, types: Mapping[str, str], notes: Notes
) -> dict[str, ColumnDeclaration]:
    """Return how each attribute is read where the cohort does not say.

    Numbers are numbers, few different texts are categories. What was known only later, how the
    patient was treated, names of patients, and texts that are all alike or all different are left
    out, and the notes say which.
    """
    left_out: dict[str, list[str]] = {}
    read: dict[str, ColumnDeclaration] = {}
    for name, cells in table.cells.items():
        reason = _reason(name)
        levels = sorted(set(cells) - {"", *_NOT_WRITTEN})
        if reason is None and not levels:
            reason = "empty"
        if reason is None and len(levels) == 1:
            reason = "the same for everybody"
        if reason is None and types[name] == "STRING" and len(levels) > MOST_LEVELS:
            reason = f"text with more than {MOST_LEVELS} values"
        if reason is not None:
            left_out.setdefault(reason, []).append(name)
            continue
        read[name] = _column(name, types[name], levels, notes)
    for reason, names in left_out.items():
        notes.add(f"clinical attributes not read, {reason}: {quoted(names, 40)}")
    return read


def _reason(name: str) -> str | None:
    for pattern, reason in (
        (IDENTIFIERS, "a name of the patient or sample"),
        (FOLLOW_UP, "follow-up, not known before treatment"),
        (TREATMENT, "treatment, not a baseline measurement"),
    ):
        if pattern.search(name):
            return reason
    return None


def _column(name: str, kind: str, levels: list[str], notes: Notes) -> ColumnDeclaration:
    if kind == "BOOLEAN":
        return ColumnDeclaration(kind=Kind.BINARY, positive="TRUE", negative="FALSE")
    if kind == "STRING":
        return ColumnDeclaration(kind=Kind.CATEGORY, missing=list(_NOT_WRITTEN))
    bounds = [level for level in levels if level[0] in "<>" and is_number(level[1:])]
    if bounds:
        notes.add(f"clinical attribute {name}: bounds {quoted(bounds)} read as not measured")
    return ColumnDeclaration(missing=[*_NOT_WRITTEN, *bounds])
