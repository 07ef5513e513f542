"""A patient's numbers reach the model in its own order and units, now and at the bedside."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omics_twin.cohort.cohort import Cohort, build_cohort
from omics_twin.errors import ModelError
from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    Kind,
    Layout,
    ModalityDeclaration,
)
from omics_twin.intake.tables import read_tables
from omics_twin.tensors.design import ChannelDesign, Design, encoded
from omics_twin.tensors.transforms import DesignMatrices, apply, design_of, observations
from omics_twin.trust.consent import Purpose, permit

CLINICAL = """patient_id,age,volume,stage,assayed
a,50,3,II,Y
b,61,,III,Y
c,44,0,II,N
d,70,9,,Y
"""
CALLS = """patient_id,gene
a,TP53
d,KRAS
"""


GIVEN = {"TP53": 1, "mutation_count": 1}


def cohort(
    folder: Path,
    clinical: str = CLINICAL,
    calls: str = CALLS,
    unit: str = "cm3",
    fraction: str | None = None,
) -> Cohort:
    folder.mkdir(exist_ok=True)
    (folder / "clinical.csv").write_text(clinical)
    (folder / "calls.csv").write_text(calls)
    columns = {
        "age": ColumnDeclaration(unit="year"),
        "volume": ColumnDeclaration(unit=unit, minimum=0, log=True),
        "stage": ColumnDeclaration(kind=Kind.CATEGORY),
    }
    header = clinical.splitlines()[0].split(",")
    declaration = CohortDeclaration(
        name="study",
        root=str(folder),
        roster="clinical.csv",
        modalities={
            "clinical": ModalityDeclaration(
                table="clinical.csv", columns={n: c for n, c in columns.items() if n in header}
            ),
            "genomics": ModalityDeclaration(
                table="calls.csv",
                layout=Layout.VARIANTS,
                gene_column="gene",
                fraction_column=fraction,
                measured_column="assayed",
                measured_value="Y",
            ),
        },
    )
    tables = read_tables(declaration)
    return build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose=Purpose.TRAINING))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Design, Cohort]:
    found = cohort(tmp_path / "trained")
    return design_of(found), found


def channel(design: Design, name: str) -> ChannelDesign:
    return next(each for each in design.channels if each.name == name)


def value(design: Design, found: DesignMatrices, name: str, patient: str, feature: str) -> float:
    names = [each.name for each in channel(design, name).features]
    row = found.patient_ids.index(patient)
    return float(found.values[name][row, names.index(feature)])


def test_a_skewed_quantity_is_a_logarithm(trained: tuple[Design, Cohort]) -> None:
    design, found = trained[0], apply(*trained)
    assert value(design, found, "clinical", "a", "log1p(volume)") == pytest.approx(math.log(4.0))
    assert value(design, found, "clinical", "c", "log1p(volume)") == 0.0
    assert math.isnan(value(design, found, "clinical", "b", "log1p(volume)"))


def test_a_missing_category_is_missing_in_every_level(trained: tuple[Design, Cohort]) -> None:
    design, found = trained[0], apply(*trained)
    levels = [value(design, found, "clinical", "a", f"stage={each}") for each in ("II", "III")]
    assert levels == [1.0, 0.0]
    assert math.isnan(value(design, found, "clinical", "d", "stage=II"))


def test_a_category_never_seen_is_not_measured_and_said_so(
    trained: tuple[Design, Cohort], tmp_path: Path
) -> None:
    later = cohort(tmp_path / "later", CLINICAL.replace("a,50,3,II", "a,50,3,IV"))
    found = apply(trained[0], later)
    assert math.isnan(value(trained[0], found, "clinical", "a", "stage=II"))
    assert any("'stage' has values the model has never seen: 'IV'" in each for each in found.notes)


def test_a_gene_without_a_call_is_wild_type_in_who_was_assayed(
    trained: tuple[Design, Cohort], tmp_path: Path
) -> None:
    later = cohort(tmp_path / "later", calls="patient_id,gene\na,TP53\n")
    found = apply(trained[0], later)
    assert value(trained[0], found, "genomics", "a", "TP53") == 1.0
    assert value(trained[0], found, "genomics", "d", "KRAS") == 0.0
    assert math.isnan(value(trained[0], found, "genomics", "c", "KRAS"))


def test_a_missing_column_is_refused_by_name(
    trained: tuple[Design, Cohort], tmp_path: Path
) -> None:
    rows = [line.split(",") for line in CLINICAL.splitlines()]
    without_age = "\n".join(",".join(row[:1] + row[2:]) for row in rows)
    later = cohort(tmp_path / "later", without_age)
    with pytest.raises(ModelError, match=r"2 of the 3 columns .*; first missing: 'age'"):
        apply(trained[0], later)


def test_an_absent_number_is_not_taken_for_a_wild_type_gene(tmp_path: Path) -> None:
    calls = "patient_id,gene,vaf\na,TP53,0.4\nd,KRAS,0.2\n"
    design = design_of(cohort(tmp_path / "trained", calls=calls, fraction="vaf"))
    with pytest.raises(ModelError, match="first missing: 'highest_allele_fraction'"):
        apply(design, cohort(tmp_path / "later"))


def test_another_unit_is_refused(trained: tuple[Design, Cohort], tmp_path: Path) -> None:
    later = cohort(tmp_path / "later", unit="mm3")
    with pytest.raises(ModelError, match="column 'volume' is in 'mm3', the model expects 'cm3'"):
        apply(trained[0], later)


def test_a_modality_nobody_has_is_missing_throughout(trained: tuple[Design, Cohort]) -> None:
    design, found = trained
    extra = replace(channel(design, "genomics"), name="later", modality="later")
    matrices = apply(Design((*design.channels, extra)), found)
    assert bool(torch.isnan(matrices.values["later"]).all())
    assert any("nobody has modality 'later'" in each for each in matrices.notes)


def test_the_bedside_encodes_a_patient_as_training_did(trained: tuple[Design, Cohort]) -> None:
    design, found = trained[0], apply(*trained)
    asked = {"clinical": {"age": 50.0, "volume": 3.0, "stage": "II"}, "genomics": GIVEN}
    for name, columns in asked.items():
        row = torch.from_numpy(encoded(channel(design, name), columns)).float()
        torch.testing.assert_close(row, found.values[name][found.patient_ids.index("a")])
    unknown = encoded(channel(design, "clinical"), {"age": 61.0, "stage": "III"})
    row = found.values["clinical"][found.patient_ids.index("b")]
    torch.testing.assert_close(torch.from_numpy(unknown).float(), row, equal_nan=True)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"agee": 1.0}, r"unknown column 'agee': did you mean 'age'\?"),
        ({"stage": "IV"}, "column 'stage' has an unknown level"),
        ({"age": "50"}, "column 'age' is not a finite number"),
        ({"age": float("inf")}, "column 'age' is not a finite number"),
        ({"age": True}, "column 'age' is not a finite number"),
        ({"volume": -1.0}, "column 'volume' is below 0"),
    ],
)
def test_the_bedside_refuses_what_training_would(
    trained: tuple[Design, Cohort], columns: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        encoded(channel(trained[0], "clinical"), columns)


def test_a_design_survives_storage(trained: tuple[Design, Cohort]) -> None:
    assert Design.from_json(trained[0].to_json()) == trained[0]


def test_visits_come_in_time_order_with_a_day_for_everyone(small_design: Design) -> None:
    patients = ("p", "q")
    shape = {each.name: (2, len(each.features)) for each in small_design.channels}
    days = {name: torch.full((2,), float("nan"), dtype=torch.float64) for name in shape}
    days["mri@21"] = torch.tensor([19.0, float("nan")], dtype=torch.float64)
    matrices = DesignMatrices(
        patients, {name: torch.zeros(each) for name, each in shape.items()}, days, ()
    )
    visits = observations(small_design, matrices)
    assert [each.days.tolist() for each in visits] == [[0.0, 0.0], [19.0, 21.0], [84.0, 84.0]]
    assert list(visits[0].values) == ["clinical", "mri"]


@pytest.fixture
def small_design() -> Design:
    from tests.twins import DESIGN

    return DESIGN
