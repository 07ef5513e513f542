"""Which genes were sequenced in whom, and which were mutated? Calls with their gene panels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omics_twin.errors import IntakeError, quoted, shown
from omics_twin.intake.cbioportal import CASE_LISTS, panel_files
from omics_twin.intake.cbioportal_meta import Meta, Study, read_fields
from omics_twin.intake.cbioportal_patients import Patients
from omics_twin.intake.cbioportal_reading import columns_of, open_sheet, present
from omics_twin.intake.cbioportal_tables import panel_profile
from omics_twin.intake.cbioportal_text import Mistakes, Sheet, is_whole
from omics_twin.intake.channels import Notes
from omics_twin.intake.declaration import Layout, ModalityDeclaration
from omics_twin.intake.files import Folder, Table
from omics_twin.intake.findings import Severity
from omics_twin.intake.maf import ABSENT, CLASSIFICATIONS, NOT_SOMATIC, Calling

MUTATIONS = "mutations"
SEQUENCED, PANEL = "mutations:sequenced", "mutations:panel"
_FRACTION, _PROMOTER = "allele_fraction", "Promoter"
# Genes mutated in fewer patients than this are not used, unless the cohort says otherwise.
_RARE = 0.01
_NEEDED = ("Tumor_Sample_Barcode", "Variant_Classification")
_COUNTS = ("t_alt_count", "t_ref_count")
_READ = ("Hugo_Symbol", "Entrez_Gene_Id", "Mutation_Status", *_COUNTS)


def read_calls(
    study: Study, folder: Folder, patients: Patients, roster: Table, notes: Notes
) -> ModalityDeclaration | None:
    """Put the calls into the folder as a table, and who was sequenced into the roster.

    Returns
    -------
    ModalityDeclaration or None
        How the calls are read; ``None`` where the study has none.
    """
    metas = [m for m in present(folder, study.of_kind("mutations")) if m.stable_id == MUTATIONS]
    if not metas:
        return None
    meta = metas[0]
    sheet = open_sheet(folder, meta.data_file)
    names = (*_NEEDED, *(name for name in _READ if name in sheet.header))
    columns = {
        name: np.array(column, object) for name, column in columns_of(folder, sheet, names).items()
    }
    samples = columns["Tumor_Sample_Barcode"]
    panel_of = _panels_of_samples(study, folder, meta)
    sequenced = _sequenced(folder, study, sheet) | set(samples) | set(panel_of)
    rows = patients.row_of_sample
    chosen = set(patients.sample_of.values())
    roster.cells[SEQUENCED] = np.array(
        ["yes" if patients.sample_of[p] in sequenced else "no" for p in patients.ids], object
    )
    roster.cells[PANEL] = np.array(
        [panel_of.get(patients.sample_of[p], "") for p in patients.ids], object
    )
    counted = np.array([sample in chosen for sample in samples], dtype=bool)
    if not counted.all():
        notes.add(
            f"table '{sheet.file}': {int((~counted).sum())} calls of samples that are not read"
        )
    counted &= _somatic(columns, sheet, notes)
    _note_counts(columns, sheet, notes)
    ids = np.array([patients.ids[rows[s]] if s in chosen else "" for s in samples], object)
    table = Table(MUTATIONS, ids[counted], _cells(columns, counted))
    folder.tables[MUTATIONS] = table
    on_panel = {panel_of[s] for s in chosen if s in panel_of}
    return _declared(meta, table, _panels(study, folder, on_panel, roster, table, notes))


def _declared(meta: Meta, table: Table, panels: dict[str, list[str]]) -> ModalityDeclaration:
    left_out = Calling(meta.fields).not_loaded
    return ModalityDeclaration(
        table=MUTATIONS,
        layout=Layout.VARIANTS,
        gene_column="gene",
        effect_column="effect",
        counted_effects=[_PROMOTER, *(e for e in CLASSIFICATIONS if e not in left_out)],
        fraction_column=_FRACTION if _FRACTION in table.cells else None,
        measured_column=SEQUENCED,
        measured_value="yes",
        panel_column=PANEL if panels else None,
        panels=panels,
        minimum_frequency=_RARE,
    )


def _cells(columns: dict[str, np.ndarray], counted: np.ndarray) -> dict[str, np.ndarray]:
    blank = np.full(len(counted), "", dtype=object)
    genes = columns.get("Hugo_Symbol", blank)
    entrez = columns.get("Entrez_Gene_Id", blank)
    named = np.where(genes == "", np.array([f"entrez_{e}" for e in entrez], object), genes)
    reads = [_counts(columns.get(name, blank)) for name in _COUNTS]
    depth = reads[0] + reads[1]
    fraction = np.divide(reads[0], depth, out=np.full(len(depth), np.nan), where=depth > 0)
    effects = columns["Variant_Classification"]
    # Calls upstream of genes are noise, except in the promoter of TERT.
    promoter = (genes == "TERT") & np.isin(effects, ["5'Flank", "5'UTR"])
    cells = {
        "gene": named.astype(object)[counted],
        "effect": np.where(promoter, _PROMOTER, effects).astype(object)[counted],
    }
    if np.isfinite(fraction).any():
        cells[_FRACTION] = fraction[counted]
    return cells


def _counts(texts: np.ndarray) -> np.ndarray:
    return np.array([float(t) if is_whole(t) else np.nan for t in texts], dtype=np.float64)


def _note_counts(columns: dict[str, np.ndarray], sheet: Sheet, notes: Notes) -> None:
    """Tell of counts of reads that are none, rather than lose the fraction in silence."""
    for name in _COUNTS:
        odd = [t for t in columns.get(name, ()) if t.lower() not in ABSENT and not is_whole(t)]
        if odd:
            notes.add(
                f"table '{sheet.file}': {len(odd)} cells of {name} are no whole number, the first "
                f"{shown(odd[0])}, read as not known"
            )


def _somatic(columns: dict[str, np.ndarray], sheet: Sheet, notes: Notes) -> np.ndarray:
    """Return which calls are changes of a named gene, as the portal loads them."""
    count = len(columns["Tumor_Sample_Barcode"])
    kept = np.ones(count, dtype=bool)
    if "Mutation_Status" in columns:
        kept &= ~np.isin([text.lower() for text in columns["Mutation_Status"]], NOT_SOMATIC)
    if "Hugo_Symbol" in columns:
        kept &= columns["Hugo_Symbol"] != "Unknown"
    if not kept.all():
        notes.add(
            f"table '{sheet.file}': {int((~kept).sum())} calls of unknown genes, or of status "
            f"{quoted(NOT_SOMATIC)}, are not counted"
        )
    return kept


def _sequenced(folder: Folder, study: Study, sheet: Sheet) -> set[str]:
    """Return the samples that a case list, or the first line of the calls, says were sequenced."""
    found: set[str] = set()
    for comment in sheet.comments:
        if comment.lower().startswith("#sequenced_samples:"):
            found |= set(comment.split(":", 1)[1].split())
    lists = folder.root / CASE_LISTS
    for path in sorted(lists.iterdir()) if lists.is_dir() else []:
        fields = read_fields(folder.root, f"{CASE_LISTS}/{path.name}", Mistakes()) or {}
        if fields.get("stable_id") == f"{study.identifier}_sequenced":
            found |= {each.strip() for each in fields.get("case_list_ids", "").split("\t")}
    return found


def _panels_of_samples(study: Study, folder: Folder, meta: Meta) -> dict[str, str]:
    """Return the gene panel of each sample that has one."""
    found: dict[str, str] = {}
    if "gene_panel" in meta.fields:
        sheet = open_sheet(folder, meta.data_file)
        [samples] = columns_of(folder, sheet, ("Tumor_Sample_Barcode",)).values()
        found = dict.fromkeys(
            (*samples, *_sequenced(folder, study, sheet)), meta.fields["gene_panel"]
        )
    for matrix in present(folder, study.of_kind("panels")):
        sheet = open_sheet(folder, matrix.data_file)
        for name in sheet.header:
            if panel_profile(name, study.identifier) == MUTATIONS:
                columns = columns_of(folder, sheet, ("SAMPLE_ID", name))
                pairs = zip(columns["SAMPLE_ID"], columns[name], strict=True)
                found |= {sample: panel for sample, panel in pairs if panel not in ("", "NA")}
    return found


def _panels(
    study: Study, folder: Folder, wanted: set[str], roster: Table, calls: Table, notes: Notes
) -> dict[str, list[str]]:
    """Return the genes of each panel, from its file or, where there is none, from its calls."""
    panels: dict[str, list[str]] = {}
    for path in panel_files(study):
        mistakes = Mistakes()
        fields = read_fields(folder.root, path.name, mistakes) or {}
        errors = [each for each in mistakes.findings() if each.severity is Severity.ERROR]
        if errors:
            raise IntakeError(f"gene panel '{path.name}': {errors[0].sentence}")
        if fields.get("stable_id") in wanted and fields.get("gene_list"):
            panels[fields["stable_id"]] = sorted(set(fields["gene_list"].split()))
    panel_of = dict(zip(roster.patient_ids, roster.cells[PANEL], strict=True))
    for name in sorted(wanted - set(panels)):
        pairs = zip(calls.patient_ids, calls.cells["gene"], strict=True)
        panels[name] = sorted({gene for patient, gene in pairs if panel_of[patient] == name})
        notes.add(
            f"gene panel '{name}': no file lists its genes, taken to be the {len(panels[name])} "
            "in which somebody on it has a call"
        )
    return panels


def keep_settings(
    read: ModalityDeclaration, declared: ModalityDeclaration | None
) -> ModalityDeclaration:
    """Return how calls are read, with what the cohort says about them."""
    if declared is None:
        return read
    return replace(
        read,
        minimum_frequency=declared.minimum_frequency,
        counted_effects=declared.counted_effects or read.counted_effects,
        by_consequence=declared.by_consequence,
        consequences=declared.consequences,
        covered_megabases=declared.covered_megabases,
        vcf=declared.vcf,
        genes=declared.genes,
        aliases=declared.aliases,
    )
