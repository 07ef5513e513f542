"""No path from tables to a tensor passes by the ledger: what is withheld never arrives."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from omics_twin.cohort.cohort import build_cohort
from omics_twin.cohort.withheld import modalities_of
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    Kind,
    Layout,
    ModalityDeclaration,
)
from omics_twin.intake.tables import Tables, read_tables
from omics_twin.tensors.transforms import apply, design_of
from omics_twin.trust.consent import Decision, Entry, Ledger, Purpose, judged

PATIENTS = [f"p{each}" for each in range(8)]
MODALITIES = ("clinical", "rna", "genomics", "visits")
DAY = date(2026, 6, 15)


def number_of(patient: int, modality: int) -> float:
    """Return a number that tells whose it is."""
    return 1000.0 + 10 * patient + modality


def planted(folder: Path) -> Tables:
    """Return tables in which every number, and every mutated gene, names its patient."""
    lines = {"clinical": ["patient_id,age,tested"], "rna": ["patient_id,ESR1"]}
    lines |= {"genomics": ["patient_id,gene"], "visits": ["patient_id,day,size"]}
    for place, patient in enumerate(PATIENTS):
        lines["clinical"].append(f"{patient},{number_of(place, 0)},Y")
        lines["rna"].append(f"{patient},{number_of(place, 1)}")
        lines["genomics"].append(f"{patient},GENE{place}")
        lines["visits"].append(f"{patient},3,{number_of(place, 3)}")
    for name, told in lines.items():
        (folder / f"{name}.csv").write_text("\n".join(told) + "\n")
    number = {"age": ColumnDeclaration(kind=Kind.NUMBER, unit="year")}
    declaration = CohortDeclaration(
        name="study",
        root=str(folder),
        roster="clinical.csv",
        modalities={
            "clinical": ModalityDeclaration(table="clinical.csv", columns=number),
            "rna": ModalityDeclaration(
                table="rna.csv", columns={"ESR1": ColumnDeclaration(unit="log2_tpm")}
            ),
            "genomics": ModalityDeclaration(
                table="genomics.csv",
                layout=Layout.VARIANTS,
                gene_column="gene",
                measured_column="tested",
                measured_value="Y",
            ),
            "visits": ModalityDeclaration(
                table="visits.csv",
                layout=Layout.REPEATED,
                day_column="day",
                columns={"size": ColumnDeclaration(unit="mm")},
            ),
        },
    )
    return read_tables(declaration)


def test_no_tensor_holds_a_number_of_who_withdrew_it(tmp_path: Path) -> None:
    tables = planted(tmp_path)
    assert set(modalities_of(tables)) == set(MODALITIES)
    draw = np.random.default_rng(3)
    seen = 0
    for _ in range(60):
        entries = [Entry(p, Decision.GRANT, "all", date(2026, 1, 1)) for p in PATIENTS]
        for _ in range(draw.integers(1, 12)):
            decision = Decision.GRANT if draw.random() < 0.2 else Decision.WITHDRAW
            modality = str(draw.choice(["all", *MODALITIES, *MODALITIES]))
            day = date(2026, 2, int(draw.integers(1, 28)))
            entries.append(Entry(str(draw.choice(PATIENTS)), decision, "training", day, modality))
        permission = judged(
            PATIENTS, Ledger("ledger", tuple(entries)), Purpose.TRAINING, MODALITIES, DAY
        )
        if not permission.granted:
            continue
        cohort = build_cohort(tables, permission)
        assert set(cohort.patient_ids) <= set(permission.granted)
        matrices = apply(design_of(cohort), cohort)
        arrived = [each.numpy().ravel() for each in matrices.values.values()]
        arrived += [part.X.ravel() for part in cohort.repeated.values()]
        numbers = set(np.concatenate(arrived).tolist())
        genes = {name for part in cohort.measurements.mod.values() for name in part.var_names}
        for place, patient in enumerate(PATIENTS):
            for row, modality in enumerate(MODALITIES):
                may = patient in cohort.patient_ids and patient not in permission.without(modality)
                there = number_of(place, row) in numbers
                if modality == "genomics":
                    there = f"GENE{place}" in genes
                assert there == may
                seen += there
    assert seen > 300


def test_tables_of_other_patients_are_told_apart(tmp_path: Path) -> None:
    tables = planted(tmp_path)
    found = set()
    for without in (None, "p1", "p2"):
        entries = [Entry(p, Decision.GRANT, "all", DAY) for p in PATIENTS if p != without]
        permission = judged(
            PATIENTS, Ledger("ledger", tuple(entries)), Purpose.TRAINING, MODALITIES, DAY
        )
        found.add(build_cohort(tables, permission).fingerprint)
    assert len(found) == 3
