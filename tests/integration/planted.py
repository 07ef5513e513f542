"""A small cohort, visits, a Bundle and forms in which every kind of field holds a canary."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from omics_twin.intake.fhir_bundle import bundle_of
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.intake.synthetic import SyntheticTrial, generate
from omics_twin.told import record_of

STRATUM = {"hr_positive": "1", "her2_positive": "0"}
MAPPING = "conf/fhir/synthetic.yaml"

CANARIES: dict[str, str | float] = {
    # a patient of the training cohort
    "patient of the cohort": "Zqx-Ambrosia-7301",
    "site": "ZqxStAgathaHospital",
    "day of enrolment": 1234.5678,
    "age": 47.81293,
    "copy number": 9.731257,
    "mutational burden": 33.41729,
    "genotype": "NM_000546.6:c.524G>A zqx",
    "expression": 21.579243,
    "volume before treatment": 812.34571,
    "diameter on day 21": 17.718295,
    "days to progression": 1357.24681,
    "free text": "Zqx lives alone with a parrot",
    "record number": "MRN-77123904",
    "telephone": "+44 7700 912345",
    "e-mail": "zqx.ambrosia@example.org",
    "date of birth": "1961-07-13",
    # others
    "who withdrew": "Zqx-Withdrawn-0042",
    "patient of update": "Zqx-Updated-5150",
    "age of update": 58.29173,
    "volume at a visit": 93.175318,
    "patient of a published twin": "Zqx-Sunitinib-3141",
    "size of a published twin": 271.82845,
    "dose": 41.376291,
    "name of a plan": "Zqx plan seven",
    # a patient of a twin that learns from visit to visit
    "patient of scans": "Zqx-Scanned-2236",
    "first scan": 73.182647,
    "next scan": 58.926143,
    "study": "zqx_study_of_scans",
    # the Bundle, the page and the hospital
    "patient of a Bundle": "zqx-bundle-2718",
    "family name": "Zqxhausen",
    "address": "13 Zqx Lane",
    "narrative": "zqx narrative of the ward",
    "note of an observation": "zqx pain at night",
    "age in a Bundle": 52.0,
    "record asked over HTTP": "Zqx-Record-1618",
    "value asked over HTTP": 61.73519,
    "value refused over HTTP": 99887.725,
    "account": "zqx.clinician",
    "password": "zqx correct horse battery",
    "reason of an override": "Zqx prefers tablets at home",
    "comment of a hospital": "Zqx says the card is wrong",
    "value of a form": 14.293817,
    "wrong value of a form": "Zqxnumber",
    "part of an address": "Zqx-Path-9000",
    # errors
    "level that is none": "ZqxStageNine",
    "number that is none": "Zqx47years",
    "patient who is none": "Zqx-Nobody-0000",
    "negative value": -31.415926,
}
# Whole years are no canary: they are anywhere.
del CANARIES["age in a Bundle"]

ROW, GONE = 4, 5
SIZE = "target_lesion_long_diameter_mm"


def plant(folder: Path) -> None:
    """Write everything that is given to the platform."""
    trial = folder / "trial"
    generate(SyntheticTrial(patients=60, genes=200), trial)
    for each in ("trial.json", "truth/truth.parquet"):
        (trial / each).unlink()
    (trial / "truth").rmdir()
    names = _names(trial)
    _change(
        trial / "clinical.parquet",
        {
            "site": "site",
            "enrolled_day": "day of enrolment",
            "age_years": "age",
        },
    )
    _change(
        trial / "genomics.parquet",
        {
            "ERBB2_copy_number": "copy number",
            "tumour_mutational_burden": "mutational burden",
        },
    )
    table = pq.read_table(trial / "transcriptomics.parquet")
    _change(trial / "transcriptomics.parquet", {table.column_names[-1]: "expression"})
    _change(trial / "radiomics.parquet", {"tumour_volume_cm3": "volume before treatment"})
    _change(trial / "radiomics.parquet", {"longest_diameter_cm": "diameter on day 21"}, visit=1)
    _change(trial / "outcome.parquet", {"pfs_days": "days to progression"})
    _add_columns(trial)
    ledger = ["patient_id,decision,purpose,recorded_on"]
    ledger += [f"{each},grant,all,2026-01-02" for each in names]
    ledger += [f"{CANARIES['who withdrew']},withdraw,all,2026-02-03"]
    (folder / "ledger.csv").write_text("\n".join(ledger) + "\n")
    _scans(folder)
    _visits(folder)
    _bundle(folder)
    _broken(folder)


def _scans(folder: Path) -> None:
    """Write scans of some patients, the first of whom is told by canaries."""
    rng = np.random.default_rng(0)
    rows = [f"patient_id,day,{SIZE},arm,study"]
    for patient in range(45):
        first = float(rng.uniform(20, 90))
        sizes = [f"{first * each:.0f}" for each in (1.0, *rng.uniform(0.6, 1.2, 2))]
        name, study = f"p{patient}", "one"
        if not patient:
            name, study = str(CANARIES["patient of scans"]), str(CANARIES["study"])
            sizes = [str(CANARIES["first scan"]), str(CANARIES["next scan"]), "40"]
        days = (0, 42, 84)
        rows += [f"{name},{d},{s},a,{study}" for d, s in zip(days, sizes, strict=True)]
    (folder / "tumour_size").mkdir()
    (folder / "tumour_size" / "measurements.csv").write_text("\n".join(rows) + "\n")


def _names(trial: Path) -> list[str]:
    """Give two patients names of their own in every table, and return all names."""
    for path in trial.glob("*.parquet"):
        table = pq.read_table(path)
        given = {
            f"SYN{ROW + 1:07d}": CANARIES["patient of the cohort"],
            f"SYN{GONE + 1:07d}": CANARIES["who withdrew"],
        }
        ids = [given.get(each, each) for each in table["patient_id"].to_pylist()]
        _write(path, table, {"patient_id": ids})
    return pq.read_table(trial / "clinical.parquet")["patient_id"].to_pylist()


def _change(path: Path, columns: dict[str, str], visit: int = 0) -> None:
    table = pq.read_table(path)
    own = [i for i, each in enumerate(table["patient_id"].to_pylist())
           if each == CANARIES["patient of the cohort"]]  # fmt: skip
    row = own[min(visit, len(own) - 1)]
    changed = {}
    for column, name in columns.items():
        cells = table[column].to_pylist()
        cells[row] = CANARIES[name]
        changed[column] = cells
    _write(path, table, changed)


def _write(path: Path, table: pa.Table, changed: dict[str, list[Any]]) -> None:
    for name, cells in changed.items():
        place = table.column_names.index(name) if name in table.column_names else None
        if place is None:
            table = table.append_column(name, pa.array(cells))
        else:
            kind = None if isinstance(cells[0], float) else table.schema.field(name).type
            table = table.set_column(place, name, pa.array(cells, kind))
    pq.write_table(table, path, compression="zstd")


def _add_columns(trial: Path) -> None:
    path = trial / "clinical.parquet"
    table = pq.read_table(path)
    size = table.num_rows
    told = {
        "note": "free text", "mrn": "record number", "phone": "telephone",
        "contact": "e-mail", "born": "date of birth",
    }  # fmt: skip
    cells = {
        column: [str(CANARIES[name]) if row == ROW else "" for row in range(size)]
        for column, name in told.items()
    }
    _write(path, table, cells)


def _visits(folder: Path) -> None:
    told = {
        "patient_id": CANARIES["patient of update"],
        "stratum": STRATUM,
        "visits": [
            {"day": 0, "values": {"clinical": {"age_years": CANARIES["age of update"]}}},
            {"day": 21, "under": "paclitaxel",
             "values": {"radiomics": {"tumour_volume_cm3": CANARIES["volume at a visit"]}}},
        ],
    }  # fmt: skip
    (folder / "visits.json").write_text(json.dumps(told))
    size = {
        "day": 42,
        "values": {"visit": {"sum_of_diameters_mm": CANARIES["size of a published twin"]}},
    }
    (folder / "size.json").write_text(json.dumps(size))
    dose = {"drug": "sunitinib", "amount": CANARIES["dose"], "repeat": 28}
    plans = [{"name": CANARIES["name of a plan"], "doses": [dose]}]
    (folder / "plans.json").write_text(json.dumps(plans))


def _bundle(folder: Path) -> None:
    record = record_of({
        "patient_id": CANARIES["patient of a Bundle"],
        "stratum": STRATUM,
        "visits": [{"day": 0, "values": {"clinical": {"age_years": 52.0, "stage": "II"}}}],
    })  # fmt: skip
    bundle = bundle_of(record, mapping_of(Path(MAPPING)), date(2026, 1, 10))
    narrative = {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{CANARIES["narrative"]}</div>',
    }
    for each in bundle["entry"]:
        resource = each["resource"]
        resource["text"] = narrative
        if resource["resourceType"] == "Patient":
            resource["name"] = [{"family": CANARIES["family name"]}]
            resource["address"] = [{"line": [CANARIES["address"]]}]
            resource["telecom"] = [{"system": "phone", "value": CANARIES["telephone"]}]
            resource["identifier"] = [{"value": CANARIES["record number"]}]
        if resource["resourceType"] == "Observation":
            resource["note"] = [{"text": CANARIES["note of an observation"]}]
    bundle["entry"].append({"resource": {
        "resourceType": "Observation", "id": "unmapped", "status": "final",
        "code": {"text": CANARIES["free text"]},
        "subject": {"reference": f"Patient/{CANARIES['patient of a Bundle']}"},
        "valueString": CANARIES["free text"],
        "component": [{"code": {"text": "variant"}, "valueString": CANARIES["genotype"]}],
    }})  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(bundle))


def _broken(folder: Path) -> None:
    """Write what is to be refused."""
    for name, column, value in (
        ("bad_level", "stage", "level that is none"),
        ("bad_number", "age_years", "number that is none"),
    ):
        _copy(folder, name)
        path = folder / name / "clinical.parquet"
        table = pq.read_table(path)
        cells = [str(each) for each in table[column].to_pylist()]
        cells[ROW] = str(CANARIES[value])
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, pa.array(cells)), path)
    _copy(folder, "bad_range")
    path = folder / "bad_range" / "radiomics.parquet"
    table = pq.read_table(path)
    cells = table["longest_diameter_cm"].to_pylist()
    cells[0] = CANARIES["negative value"]
    _write(path, table, {"longest_diameter_cm": cells})
    _copy(folder, "twice")
    path = folder / "twice" / "clinical.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(ROW, 1)]), path)
    wrong = {"day": 3, "values": {"clinical": {"age_years": CANARIES["number that is none"]}}}
    (folder / "wrong_visit.json").write_text(json.dumps(wrong))
    late = {"patient_id": CANARIES["patient of update"], "visits": [{"day": 0, "values": {
        "clinical": {"age_years": CANARIES["value refused over HTTP"]}}}]}  # fmt: skip
    (folder / "out_of_range.json").write_text(json.dumps(late))
    (folder / "torn.json").write_text('{"values": "' + str(CANARIES["free text"]))
    bundle = json.loads((folder / "bundle.json").read_text())
    bundle["entry"][0]["resource"]["gender"] = CANARIES["level that is none"]
    bundle["entry"][0]["resource"]["birthDate"] = CANARIES["number that is none"]
    (folder / "bad_bundle.json").write_text(json.dumps(bundle))


def _copy(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    for each in (folder / "trial").glob("*.parquet"):
        (folder / name / each.name).write_bytes(each.read_bytes())
