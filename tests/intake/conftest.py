"""A small made-up study on disk with its declaration."""

from __future__ import annotations

from pathlib import Path

import pytest

from omics_twin.intake.declaration import (
    CohortDeclaration,
    ColumnDeclaration,
    Kind,
    Layout,
    ModalityDeclaration,
    OutcomeDeclaration,
    OutcomeKind,
    TherapyDeclaration,
    UnknownLevel,
)

FILES = {
    "clinical.csv": """patient_id,age,her2,stage,race,site,tested,weight
P1,50,1,II,White,A ,Y,60
P2,61.5,0,III,Asian,B,Y,70
P3,,,,,,N,
P4,39,1,II,White,A,N,80
""",
    "expression.csv": """patient_id,ESR1,PGR
P1,1.5,-0.5
P2,0.25,2
P4,,
""",
    "mri.csv": """patient_id,day,volume
P1,-3,10
P1,20,8
P2,0,30
P2,23,
""",
    "calls.csv": """patient_id,gene,effect,af
P1,TP53,missense,0.2
P1,TP53,nonsense,0.1
P1,KRAS,synonymous,0.3
""",
    "therapy.csv": """patient_id,arm,chemo,antibody
P1,Control,1,0
P2,Novel,1,1
P3,,,
P4,Control,0,0
""",
    "outcome.csv": """patient_id,response,score,months,censored
P1,CR,1.5,12,0
P2,PD,2.5,3.5,1
P3,NE,,,
P4,SD,0,0,1
""",
}


def clinical() -> ModalityDeclaration:
    """Return the clinical modality."""
    return ModalityDeclaration(
        table="clinical.csv",
        columns={
            "age": ColumnDeclaration(unit="year", minimum=18, maximum=110),
            "her2": ColumnDeclaration(kind=Kind.BINARY),
            "stage": ColumnDeclaration(kind=Kind.CATEGORY, levels={"II": "two", "III": "three"}),
            "race": ColumnDeclaration(
                kind=Kind.CATEGORY,
                levels={"White": "white", "Asian": "asian"},
                unknown_level=UnknownLevel.REPORT,
            ),
            "weight": ColumnDeclaration(log=True),
        },
    )


def outcomes() -> dict[str, OutcomeDeclaration]:
    """Return one outcome of each kind."""
    return {
        "response": OutcomeDeclaration(
            table="outcome.csv",
            value_column="response",
            positive=["CR", "PR"],
            negative=["SD", "PD"],
            missing=["NE"],
        ),
        "score": OutcomeDeclaration(
            table="outcome.csv", kind=OutcomeKind.CONTINUOUS, value_column="score", minimum=0
        ),
        "os": OutcomeDeclaration(
            table="outcome.csv",
            kind=OutcomeKind.TIME_TO_EVENT,
            value_column="months",
            unit="month",
            event_column="censored",
            event_value="0",
            censored_value="1",
        ),
    }


@pytest.fixture
def study(tmp_path: Path) -> CohortDeclaration:
    """Write the study's files and return its declaration."""
    return write_files(tmp_path)


def write_files(root: Path) -> CohortDeclaration:
    """Write the study's files into a folder and return its declaration."""
    for name, text in FILES.items():
        (root / name).write_text(text, encoding="utf-8")
    return CohortDeclaration(
        name="study",
        root=str(root),
        roster="clinical.csv",
        modalities={
            "clinical": clinical(),
            "expression": ModalityDeclaration(
                table="expression.csv", other_columns=ColumnDeclaration(unit="score")
            ),
            "mri": ModalityDeclaration(
                table="mri.csv",
                layout=Layout.VISITS,
                day_column="day",
                schedule=[0, 21],
                columns={"volume": ColumnDeclaration(unit="mm3", convert_to="cm3", minimum=0)},
            ),
            "genomics": ModalityDeclaration(
                table="calls.csv",
                layout=Layout.VARIANTS,
                gene_column="gene",
                effect_column="effect",
                counted_effects=["missense", "nonsense"],
                fraction_column="af",
                measured_column="tested",
                measured_value="Y",
                minimum_frequency=0.1,
            ),
        },
        therapy=TherapyDeclaration(table="therapy.csv", arm_column="arm"),
        outcomes=outcomes(),
        group_columns={"site": "site"},
        strata=["her2"],
    )
