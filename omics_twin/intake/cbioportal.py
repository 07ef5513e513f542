"""Is a folder what a cBioPortal study should be? Every mistake in one report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from omics_twin.errors import quoted
from omics_twin.intake.cbioportal_clinical import check_clinical
from omics_twin.intake.cbioportal_format import CASE_LIST_CATEGORIES, CASE_LIST_REQUIRED
from omics_twin.intake.cbioportal_matrices import (
    check_generic,
    check_geneset,
    check_long,
    check_matrix,
)
from omics_twin.intake.cbioportal_meta import (
    Meta,
    Study,
    check_fields,
    is_meta,
    read_fields,
    read_metas,
)
from omics_twin.intake.cbioportal_tables import (
    check_cancer_type,
    check_gistic,
    check_panels,
    check_resources,
    check_segments,
    check_structural,
    check_timeline,
)
from omics_twin.intake.cbioportal_text import Mistakes, read_sheet
from omics_twin.intake.findings import CheckReport
from omics_twin.intake.maf import Calling, check_calls

CASE_LISTS = "case_lists"


def check_study(root: Path) -> CheckReport:
    """Return everything that is wrong with a study's folder."""
    mistakes = Mistakes()
    if not root.is_dir():
        mistakes.error(root.name, None, "is a file, expected the folder of a study")
        return CheckReport(str(root), {}, mistakes.findings())
    study = read_metas(root, mistakes)
    _check_files(study)
    check_clinical(study)
    for meta in study.metas:
        check = _CHECKS.get(meta.kind)
        if check is not None and (root / meta.data_file).is_file() and meta.data_file:
            check(study, meta)
    check_resources(study)
    _check_case_lists(study)
    for path in panel_files(study):
        read_fields(root, path.name, mistakes)
    samples = study.patient_of or {}
    amounts = {
        "meta files": len(study.metas) + bool(study.about),
        "patients": len(set(samples.values())),
        "samples": len(samples),
        "case lists": len(study.case_lists),
    }
    return CheckReport(str(root), amounts, mistakes.findings())


def panel_files(study: Study) -> list[Path]:
    """Return the files that list the genes of a panel; no meta file names them."""
    tables = {meta.data_file for meta in study.metas}
    found = sorted(study.root.glob("*panel*.txt"))
    return [each for each in found if not is_meta(each) and each.name not in tables]


def _check_files(study: Study) -> None:
    """Note data files that are not there, and files that two meta files name."""
    present = {path.name.lower(): path.name for path in study.root.iterdir()}
    named: dict[str, str] = {}
    for meta in study.metas:
        file = meta.data_file
        if not file:
            continue
        if named.setdefault(file, meta.file) != meta.file:
            study.mistakes.warning(
                meta.file, None, f"data_filename '{file}' is also that of '{named[file]}'"
            )
        if not (study.root / file).is_file():
            alike = present.get(file.lower())
            hint = f"is spelt '{alike}' in the folder" if alike else "add it, or remove this file"
            study.mistakes.error(
                meta.file, None, f"data_filename '{file}' is not in the folder: {hint}"
            )


def _check_mutations(study: Study, meta: Meta) -> None:
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None:
        return
    check_calls(sheet, Calling(meta.fields, study.build), study.mistakes)
    position = sheet.position("Tumor_Sample_Barcode")
    if position is None:
        return
    first: dict[str, int] = {}
    for line, cells in sheet.rows():
        first.setdefault(cells[position].strip(), line)
    for sample, line in first.items():
        if sample:
            study.check_samples(sheet.file, line, [sample])


_CHECKS: dict[str, Callable[[Study, Meta], None]] = {
    "cancer_type": check_cancer_type,
    "timeline": check_timeline,
    "discrete": check_matrix,
    "discrete_long": check_long,
    "matrix": check_matrix,
    "segments": check_segments,
    "mutations": _check_mutations,
    "structural": check_structural,
    "gistic": check_gistic,
    "panels": check_panels,
    "geneset_scores": check_geneset,
    "geneset_p_values": check_geneset,
    "generic": check_generic,
}


def _check_case_lists(study: Study) -> None:
    folder = study.root / CASE_LISTS
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in files:
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith("~"):
            _check_case_list(study, f"{CASE_LISTS}/{path.name}")
    if not study.identifier:
        return
    whole = f"{study.identifier}_all"
    generated = study.about.get("add_global_case_list", "").lower() == "true"
    if generated and whole in study.case_lists:
        study.mistakes.error(
            CASE_LISTS, None, f"'{whole}' is there, and add_global_case_list adds it again"
        )
    if not generated and whole not in study.case_lists:
        study.mistakes.error(
            CASE_LISTS,
            None,
            f"there is no case list '{whole}': add it, or add_global_case_list: true to the study",
        )
    for kinds, suffix in ((("mutations",), "sequenced"), (("discrete", "discrete_long"), "cna")):
        needed = f"{study.identifier}_{suffix}"
        if study.of_kind(*kinds) and needed not in study.case_lists:
            study.mistakes.warning(
                CASE_LISTS,
                None,
                f"there is no case list '{needed}' of the samples measured: add it",
            )


def _check_case_list(study: Study, file: str) -> None:
    mistakes = study.mistakes
    fields = read_fields(study.root, file, mistakes)
    if fields is None:
        return
    check_fields(file, fields, CASE_LIST_REQUIRED, ("case_list_category",), mistakes)
    identifier = fields.get("cancer_study_identifier", "")
    if study.identifier and identifier not in ("", study.identifier):
        mistakes.error(
            file,
            None,
            f"cancer_study_identifier is '{identifier}', expected '{study.identifier}'",
        )
    stable_id = fields.get("stable_id", "")
    prefix = f"{study.identifier}_"
    if study.identifier and stable_id and not stable_id.startswith(prefix):
        mistakes.error(
            file, None, f"stable_id is '{stable_id}', expected it to start with '{prefix}'"
        )
    if stable_id in study.case_lists:
        mistakes.error(file, None, f"stable_id '{stable_id}' is also that of another case list")
    category = fields.get("case_list_category", "other")
    if category not in CASE_LIST_CATEGORIES:
        mistakes.error(
            file,
            None,
            f"case_list_category is '{category}', expected one of "
            f"{quoted(CASE_LIST_CATEGORIES, 20)}",
        )
    samples = [each.strip() for each in fields.get("case_list_ids", "").split("\t")]
    samples = [each for each in samples if each]
    study.check_samples(file, None, samples)
    counts = Counter(samples)
    twice = [each for each, number in counts.items() if number > 1]
    if twice:
        mistakes.warning(file, None, f"samples {quoted(twice)} are listed twice: keep one of each")
    study.case_lists[stable_id] = tuple(samples)
