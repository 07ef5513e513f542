"""Are a study's other files right? Regions, timelines, gene panels, resources."""

from __future__ import annotations

import re

from omics_twin.errors import quoted
from omics_twin.intake.cbioportal_format import chromosome_lengths
from omics_twin.intake.cbioportal_meta import Meta, Study
from omics_twin.intake.cbioportal_text import (
    Sheet,
    is_number,
    is_whole,
    read_sheet,
    read_text,
    require_columns,
)
from omics_twin.intake.maf_drivers import check_driver_columns

_SEGMENTS = ("ID", "chrom", "loc.start", "loc.end", "num.mark", "seg.mean")
_GISTIC = (
    "chromosome",
    "peak_start",
    "peak_end",
    "genes_in_region",
    "amp",
    "cytoband",
    "q_value",
)
_TIMELINE = ("PATIENT_ID", "START_DATE", "STOP_DATE", "EVENT_TYPE")
_RESOURCES = {
    "DEFINITION": ("RESOURCE_ID", "DISPLAY_NAME", "RESOURCE_TYPE"),
    "SAMPLE": ("PATIENT_ID", "SAMPLE_ID", "RESOURCE_ID", "URL"),
    "PATIENT": ("PATIENT_ID", "RESOURCE_ID", "URL"),
    "STUDY": ("RESOURCE_ID", "URL"),
}
_CANCER_TYPE = ("type_of_cancer", "name", "dedicated_color", "parent_type_of_cancer")
_SITES = tuple(f"Site{n}_{what}" for n in (1, 2) for what in ("Hugo_Symbol", "Entrez_Gene_Id"))
_ABSENT = ("", "NA")
_URL = re.compile(r"https?://\S+")


def check_cancer_type(study: Study, meta: Meta) -> None:
    """Check the types of cancer: four columns without a header."""
    from matplotlib.colors import CSS4_COLORS

    text = read_text(study.root, meta.data_file, study.mistakes)
    seen: set[str] = set()
    for line, row in enumerate((text or "").removesuffix("\n").split("\n"), start=1):
        if text is None or row.startswith("#"):
            continue
        cells = [cell.strip() for cell in row.split("\t")]
        if len(cells) != len(_CANCER_TYPE) or "" in cells:
            study.mistakes.error(
                meta.data_file, line, f"found {quoted(cells)}, expected {quoted(_CANCER_TYPE)}"
            )
            continue
        if cells[2].lower() not in CSS4_COLORS and not re.fullmatch(r"#[0-9a-fA-F]{6}", cells[2]):
            study.mistakes.error(
                meta.data_file, line, f"colour '{cells[2]}' is unknown: name one of CSS"
            )
        if cells[0].lower() in seen:
            study.mistakes.error(meta.data_file, line, f"type '{cells[0]}' is listed twice")
        seen.add(cells[0].lower())


def check_segments(study: Study, meta: Meta) -> None:
    """Check segmented copy numbers."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, _SEGMENTS, study.mistakes):
        return
    if sheet.header[: len(_SEGMENTS)] != _SEGMENTS:
        study.mistakes.error(
            sheet.file, sheet.header_line, f"columns are in another order than {quoted(_SEGMENTS)}"
        )
        return
    lengths = chromosome_lengths(study.build)
    for line, cells in sheet.rows(study.mistakes):
        study.check_samples(sheet.file, line, [cells[0].strip()])
        _check_region(study, sheet, line, cells[1:4], lengths)
        if not is_whole(cells[4]) or int(cells[4]) < 0:
            study.mistakes.error(
                sheet.file, line, f"num.mark is '{cells[4]}', expected a whole number"
            )
        if not is_number(cells[5]):
            study.mistakes.error(sheet.file, line, f"seg.mean is '{cells[5]}', expected a number")


def check_gistic(study: Study, meta: Meta) -> None:
    """Check regions that are amplified or deleted more often than by chance."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, _GISTIC, study.mistakes):
        return
    at = {name: sheet.header.index(name) for name in _GISTIC}
    wanted = "1" if meta.alteration == "GISTIC_GENES_AMP" else "0"
    lengths = chromosome_lengths(study.build)
    for line, cells in sheet.rows(study.mistakes):
        region = [cells[at[name]] for name in _GISTIC[:3]]
        _check_region(study, sheet, line, region, lengths)
        if cells[at["amp"]].strip() != wanted:
            study.mistakes.error(
                sheet.file, line, f"amp is '{cells[at['amp']]}', expected {wanted}"
            )
        q_value = cells[at["q_value"]].strip()
        if not is_number(q_value) or not 0.0 <= float(q_value) <= 1.0:
            study.mistakes.error(
                sheet.file, line, f"q_value is '{q_value}', expected a number from 0 to 1"
            )
        if not cells[at["genes_in_region"]].strip():
            study.mistakes.error(sheet.file, line, "genes_in_region is empty: name the genes")
        band = cells[at["cytoband"]].strip()
        if not re.match(rf"{re.escape(region[0].strip())}[pq]", band):
            study.mistakes.error(
                sheet.file, line, f"cytoband is '{band}', expected one of chromosome {region[0]}"
            )


def _check_region(
    study: Study, sheet: Sheet, line: int, region: list[str], lengths: dict[str, int]
) -> None:
    chromosome, start, end = (each.strip() for each in region)
    if lengths and chromosome not in lengths:
        study.mistakes.error(
            sheet.file, line, f"chromosome is '{chromosome}', expected 1 to 22, X or Y"
        )
    for place in (start, end):
        if not is_whole(place) or int(place) < 0:
            study.mistakes.error(
                sheet.file, line, f"position is '{place}', expected a whole number of bases"
            )
            return
    if int(start) > int(end):
        study.mistakes.error(
            sheet.file, line, f"the region starts at {start}, behind its end {end}"
        )
    if int(end) > lengths.get(chromosome, int(end)):
        study.mistakes.error(
            sheet.file,
            line,
            f"position {end} lies beyond chromosome {chromosome} of {study.genome}, which ends "
            f"at {lengths[chromosome]}",
        )


def check_timeline(study: Study, meta: Meta) -> None:
    """Check events in time."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, _TIMELINE, study.mistakes):
        return
    at = {name: sheet.header.index(name) for name in _TIMELINE}
    patients = None if study.patient_of is None else set(study.patient_of.values())
    for line, cells in sheet.rows(study.mistakes):
        patient = cells[at["PATIENT_ID"]].strip()
        if patients is not None and patient not in patients:
            study.mistakes.warning(sheet.file, line, f"patient '{patient}' is in no clinical file")
        for name in ("START_DATE", "STOP_DATE"):
            day = cells[at[name]].strip()
            if not is_whole(day) and (name == "START_DATE" or day not in _ABSENT):
                study.mistakes.error(
                    sheet.file, line, f"{name} is '{day}', expected a whole number of days"
                )
        if not cells[at["EVENT_TYPE"]].strip():
            study.mistakes.error(sheet.file, line, "EVENT_TYPE is empty: fill it in")


def check_panels(study: Study, meta: Meta) -> None:
    """Check which sample was measured on which gene panel, by profile."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, ("SAMPLE_ID",), study.mistakes):
        return
    profiles = {each.stable_id: each for each in study.metas if each.stable_id}
    for name in sheet.header:
        profile = panel_profile(name, study.identifier)
        if name != "SAMPLE_ID" and profile not in profiles:
            study.mistakes.error(
                sheet.file,
                sheet.header_line,
                f"column '{name}' is no profile of this study; its stable ids: {quoted(profiles)}",
            )
        elif profile in profiles and "gene_panel" in profiles[profile].fields:
            study.mistakes.error(
                sheet.file,
                sheet.header_line,
                f"column '{name}' and field 'gene_panel' of '{profiles[profile].file}' both name "
                "panels: keep one",
            )
    position, first = sheet.header.index("SAMPLE_ID"), dict[str, int]()
    for line, cells in sheet.rows(study.mistakes):
        sample = cells[position].strip()
        study.check_samples(sheet.file, line, [sample])
        if first.setdefault(sample, line) != line:
            study.mistakes.error(
                sheet.file, line, f"sample '{sample}' is on line {first[sample]} already"
            )
        if any(not cell.strip() for cell in cells):
            study.mistakes.error(sheet.file, line, "a cell is empty, expected a panel or NA")


def panel_profile(column: str, identifier: str) -> str:
    """Return the stable id that a column of the gene-panel matrix means.

    Examples
    --------
    >>> panel_profile("brca_mutations", "brca")
    'mutations'
    """
    return column.removeprefix(f"{identifier}_") if identifier else column


def check_structural(study: Study, meta: Meta) -> None:
    """Check structural variants."""
    sheet = read_sheet(study.root, meta.data_file, study.mistakes)
    if sheet is None or not require_columns(sheet, ("Sample_Id", "SV_Status"), study.mistakes):
        return
    if not set(_SITES) & set(sheet.header):
        study.mistakes.error(
            sheet.file, sheet.header_line, f"there is none of the columns {quoted(_SITES)}"
        )
    drivers = check_driver_columns(sheet, study.mistakes)
    at = {name: position for position, name in enumerate(sheet.header)}
    for line, cells in sheet.rows(study.mistakes):
        row = {name: cells[position].strip() for name, position in at.items()}
        study.check_samples(sheet.file, line, [row["Sample_Id"]])
        _check_variant(study, sheet, line, row)
        drivers.check_row(line, cells, study.mistakes)
    drivers.check_tiers(study.mistakes)


def _check_variant(study: Study, sheet: Sheet, line: int, row: dict[str, str]) -> None:
    mistakes = study.mistakes
    if row["SV_Status"].upper() not in ("SOMATIC", "GERMLINE"):
        mistakes.error(
            sheet.file, line, f"SV_Status is '{row['SV_Status']}', expected SOMATIC or GERMLINE"
        )
    if all(row.get(name, "") in _ABSENT for name in _SITES):
        mistakes.error(sheet.file, line, "names no gene at either site: name at least one")
    build = row.get("NCBI_Build", "")
    if build not in _ABSENT and study.build and build.removeprefix("GRCh") != study.build[4:]:
        mistakes.error(
            sheet.file, line, f"NCBI_Build is '{build}', expected '{study.build}', the study's"
        )
    for name in ("Site1_Position", "Site2_Position", "SV_Length"):
        if row.get(name, "") not in _ABSENT and not is_whole(row[name]):
            mistakes.error(sheet.file, line, f"{name} is '{row[name]}', expected a whole number")
    for name in ("Site1_Entrez_Gene_Id", "Site2_Entrez_Gene_Id"):
        if row.get(name, "") not in _ABSENT and not is_whole(row[name]):
            mistakes.error(sheet.file, line, f"{name} is '{row[name]}', expected a whole number")


def check_resources(study: Study) -> None:
    """Check definitions of resources, and the addresses that refer to them."""
    metas = {meta.fields["resource_type"]: meta for meta in study.of_kind("resource")}
    if metas and "DEFINITION" not in metas:
        first = next(iter(metas.values()))
        study.mistakes.error(
            first.file, None, "no meta file has resource_type DEFINITION: add one for the resources"
        )
    defined: dict[str, str] | None = None
    for kind in _RESOURCES:
        if kind not in metas:
            continue
        sheet = read_sheet(study.root, metas[kind].data_file, study.mistakes)
        if sheet is None or not require_columns(sheet, _RESOURCES[kind], study.mistakes):
            continue
        if kind == "DEFINITION":
            defined = _definitions(study, sheet)
        else:
            _check_addresses(study, sheet, kind, defined)


def _definitions(study: Study, sheet: Sheet) -> dict[str, str]:
    defined: dict[str, str] = {}
    for line, cells in sheet.rows(study.mistakes):
        row = dict(zip(sheet.header, (cell.strip() for cell in cells), strict=True))
        if not row["RESOURCE_ID"] or not row["DISPLAY_NAME"]:
            study.mistakes.error(sheet.file, line, "RESOURCE_ID or DISPLAY_NAME is empty")
        if row["RESOURCE_ID"] in defined:
            study.mistakes.error(sheet.file, line, f"'{row['RESOURCE_ID']}' is defined twice")
        if row["RESOURCE_TYPE"] not in ("SAMPLE", "PATIENT", "STUDY"):
            study.mistakes.error(
                sheet.file,
                line,
                f"RESOURCE_TYPE is '{row['RESOURCE_TYPE']}', expected SAMPLE, PATIENT or STUDY",
            )
        if row.get("OPEN_BY_DEFAULT", "").lower() not in ("", "true", "false"):
            study.mistakes.error(sheet.file, line, "OPEN_BY_DEFAULT is neither true nor false")
        if row.get("PRIORITY", "") and not is_whole(row["PRIORITY"]):
            study.mistakes.error(
                sheet.file, line, f"PRIORITY is '{row['PRIORITY']}', expected a whole number"
            )
        defined[row["RESOURCE_ID"]] = row["RESOURCE_TYPE"]
    return defined


def _check_addresses(study: Study, sheet: Sheet, kind: str, defined: dict[str, str] | None) -> None:
    patients = set() if study.patient_of is None else set(study.patient_of.values())
    seen: dict[tuple[str, ...], int] = {}
    for line, cells in sheet.rows(study.mistakes):
        row = dict(zip(sheet.header, (cell.strip() for cell in cells), strict=True))
        if not _URL.fullmatch(row["URL"]):
            study.mistakes.error(
                sheet.file, line, f"URL is '{row['URL']}', expected http:// or https://"
            )
        if defined is not None and defined.get(row["RESOURCE_ID"]) != kind:
            study.mistakes.error(
                sheet.file, line, f"resource '{row['RESOURCE_ID']}' is not defined as of {kind}"
            )
        if kind == "SAMPLE":
            study.check_samples(sheet.file, line, [row["SAMPLE_ID"]])
        if kind != "STUDY" and patients and row["PATIENT_ID"] not in patients:
            study.mistakes.error(
                sheet.file, line, f"patient '{row['PATIENT_ID']}' is in no clinical file"
            )
        key = tuple(row[name] for name in _RESOURCES[kind])
        if seen.setdefault(key, line) != line:
            study.mistakes.error(sheet.file, line, f"repeats line {seen[key]}: remove it")
