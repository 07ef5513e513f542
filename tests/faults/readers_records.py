"""What is told of a patient: FHIR Bundles, visits, beliefs, what the scoring gate is sent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch

from omics_twin.bedside.belief import KeptBelief, read_belief, write_belief
from omics_twin.bedside.record import read_record
from omics_twin.intake.fhir import FromFhir, read_bundle_file
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.serve.reading import records_in, schema_of
from omics_twin.told import PatientRecord
from omics_twin.tracking import TrainedModel
from omics_twin.types import Modality, Observation, Visit
from tests.faults.examining import Reader
from tests.faults.mutations import BYTES, TEXT, delimited, replaced, structured
from tests.faults.strict import Invalid, json_of, name_of, same
from tests.intake import fhir_resources as made

_RECORD: dict[str, Any] = {
    "patient_id": "p1",
    "stratum": {"hr_positive": "1", "her2_positive": "0"},
    "visits": [
        {"day": 0, "values": {"clinical": {"age_years": 51, "stage": "II"}}},
        {"day": 21.5, "values": {"radiomics": {"sphericity": 0.5}}, "under": "paclitaxel"},
    ],
}
_LATEST_DAY = 36_500


def visits(folder: Path) -> Reader:
    """Return the reader of a patient's visits in a file."""
    path = folder / "visits.json"

    def read(content: bytes) -> PatientRecord:
        path.write_bytes(content)
        return read_record(path, "p1")

    def wrong(content: bytes, found: PatientRecord) -> str | None:
        try:
            told = json_of(content)
        except Invalid as error:
            return f"no JSON: {error}"
        if not (isinstance(told, dict) and "visits" in told):
            told = {"visits": told if isinstance(told, list) else [told]}
        whole = {"patient_id": "p1", "stratum": {}, **told}
        whole["visits"] = [{"day": 0.0, "values": {}, "under": None, **v} for v in told["visits"]]
        return None if same(found.model_dump(), whole) else f"read {found}, the file says {whole}"

    seeds = (json.dumps(_RECORD), json.dumps(_RECORD["visits"]), json.dumps(_RECORD["visits"][0]))
    words = ("p1", "clinical", "age_years", "II", 51, 21, "control")
    return Reader("visits", tuple(s.encode() for s in seeds), structured(words), read, wrong)


def gate(model: TrainedModel) -> Reader:
    """Return the reader of what the scoring gate is sent."""
    schema = schema_of(model)

    def read(content: bytes) -> list[PatientRecord]:
        return records_in(model, content, 8)

    def wrong(content: bytes, found: list[PatientRecord]) -> str | None:
        try:
            if content.startswith(b"\xef\xbb\xbf"):
                raise Invalid("a byte order mark")
            given = json_of(content)["inputs"]
            for record in given:
                _check_record(record, schema)
        except (Invalid, KeyError, TypeError, AttributeError) as error:
            return f"no records: {error!r}"
        if len({each["patient_id"] for each in given}) < len(given):
            return "a patient twice"
        whole = [{"stratum": {}, "visits": [], **each} for each in given]
        for each in whole:
            each["visits"] = [
                {"day": 0.0, "values": {}, "under": None, **v} for v in each["visits"]
            ]
        return None if same([each.model_dump() for each in found], whole) else "another record"

    seeds = (
        json.dumps({"inputs": [_RECORD]}),
        json.dumps({"inputs": [_RECORD, {**_RECORD, "patient_id": "p2", "visits": []}]}),
    )
    known = [c for m in schema["modalities"].values() for c in m["columns"]][:40]
    words = (*known, *schema["modalities"], *schema["arms"], *schema["stratum"], 21, 42, 0, 1)
    mutations = structured(words)
    return Reader("scoring gate", tuple(s.encode() for s in seeds), mutations, read, wrong)


def _check_record(record: dict[str, Any], schema: dict[str, Any]) -> None:
    if set(record) - {"patient_id", "stratum", "visits"} or len(record["patient_id"]) > 200:
        raise Invalid("another key, or a long name")
    name_of(record["patient_id"])
    for column, value in record.get("stratum", {}).items():
        if value not in schema["stratum"][column]:
            raise Invalid("a stratum that is not known")
    before = -math.inf
    for visit in record.get("visits", []):
        day = visit.get("day", 0)
        if set(visit) - {"day", "values", "under"} or isinstance(day, bool | str):
            raise Invalid("another key, or a day that is none")
        if not before <= day or abs(day) > _LATEST_DAY:
            raise Invalid(f"day {day}")
        before = day
        if visit.get("under") is not None and visit["under"] not in schema["arms"]:
            raise Invalid("an arm that is not known")
        for modality, columns in visit.get("values", {}).items():
            for column, value in columns.items():
                _check_value(value, schema["modalities"][modality]["columns"][column])


def _check_value(value: Any, column: dict[str, Any]) -> None:
    if value is None:
        return
    if "levels" in column:
        if isinstance(value, bool) or value not in column["levels"]:
            raise Invalid(f"{value!r} is no level")
    elif isinstance(value, bool | str):
        raise Invalid(f"{value!r} is no number")
    elif not column.get("minimum", -1e300) <= value <= column.get("maximum", 1e300):
        raise Invalid(f"{value!r} is out of range")


def belief(folder: Path) -> Reader:
    """Return the reader of a belief that is kept between visits: no visit may change in it."""
    path = folder / "belief.json"
    modality = Modality("size", "mm", ("size_mm", "new_lesions"))
    shown = [
        Visit(
            Observation(("p1",), torch.tensor([day], dtype=torch.float64), {"size": row}),
        )
        for day, row in [
            (0.0, torch.tensor([[51.25, torch.nan]], dtype=torch.float64)),
            (42.0, torch.tensor([[33.5, 1.0]], dtype=torch.float64)),
        ]
    ]
    kept = KeptBelief("p1", "a" * 64, 100, 7, tuple(shown), "hr_positive=1")
    write_belief(path, kept, [modality])
    whole = path.read_bytes()

    def read(content: bytes) -> KeptBelief:
        path.write_bytes(content)
        return read_belief(path, [modality])

    def wrong(content: bytes, found: KeptBelief) -> str | None:
        write_belief(path, found, [modality])
        if path.read_bytes() == whole and repr(found) == repr(kept):
            return None
        return "a belief that was changed passed for the one that was kept"

    words = ("p1", "size", "size_mm", 42.0, 7, 100, "a" * 64)
    return Reader("belief", (whole,), (*structured(words), *BYTES), read, wrong)


def fhir(folder: Path) -> Reader:
    """Return the reader of a FHIR Bundle about one patient."""
    path = folder / "bundle.json"
    mapping = made.declared(folder)
    whole = made.bundled(
        made.observation("718-7", **made.quantity(12.5, "g/dL")),
        made.observation("33728-7", "2024-02-01", **made.quantity(2.5, "cm")),
        made.receptor("16112-5", "10828004"),
        made.receptor("48676-1", "260385009"),
        made.given("L01CD01", "2024-02-10", "2024-03-20"),
        made.consent("permit"),
    )

    def read(content: bytes) -> FromFhir:
        path.write_bytes(content)
        return read_bundle_file(path, mapping, patient_id="p1")

    def wrong(content: bytes, found: FromFhir) -> str | None:
        try:
            told = json_of(content)
            return _bundle_differs(told, found)
        except (Invalid, KeyError, TypeError, AttributeError) as error:
            return f"no Bundle: {error!r}"

    words = ("718-7", "g/dL", "g/L", "mg/dL", "cm", "final", "amended", "entered-in-error", "p-1")
    pairs = (
        ("12.5", "12,5"),
        ("g/dL", "g/L"),
        ("final", "banana"),
        ("p-1", "p-2"),
        ("12.5", "NaN"),
    )
    mutations = (*structured((*words, 12.5, "2024-02", "permit", "deny")), replaced(pairs))
    return Reader("FHIR Bundle", (json.dumps(whole).encode(),), mutations, read, wrong)


_PER_DECILITRE = {"g/dL": 1.0, "g/L": 0.1, "mg/dL": 0.001}


def _bundle_differs(told: dict[str, Any], found: FromFhir) -> str | None:
    """Return a value that is read, but not said by an Observation that holds."""
    resources = [each.get("resource", {}) for each in told["entry"]]
    observed = [r for r in resources if r.get("resourceType") == "Observation"]
    values = [
        _haemoglobin(each)
        for each in observed
        if each.get("status") not in ("entered-in-error", "cancelled")
    ]
    for visit in found.record.visits:
        read = visit.values.get("lab", {}).get("haemoglobin")
        if read is None:
            continue
        if not any(v is not None and math.isclose(v, float(read), rel_tol=1e-9) for v in values):
            return f"haemoglobin {read} is read, the Bundle says {values}"
    for entry in found.consents:
        if entry.patient_id != "p1":
            return "a consent of another patient"
    return None


def _haemoglobin(resource: dict[str, Any]) -> float | None:
    codes = [each.get("code") for each in resource.get("code", {}).get("coding", [])]
    quantity = resource.get("valueQuantity", {})
    factor = _PER_DECILITRE.get(str(quantity.get("code")))
    if "718-7" not in codes or factor is None or "value" not in quantity:
        return None
    return float(quantity["value"]) * factor


def fhir_mapping(folder: Path) -> Reader:
    """Return the reader of what codes mean."""
    path, spoilt = folder / "mapping.yaml", folder / "spoilt.yaml"
    made.declared(folder)
    whole = path.read_bytes()

    def read(content: bytes) -> Any:
        spoilt.write_bytes(content)
        return mapping_of(spoilt)

    def wrong(content: bytes, _: Any) -> str | None:
        try:
            _check_yaml(content)
        except Invalid as error:
            return f"no mapping: {error}"
        return None

    words = ("g/dL", "ANY", "loinc|718-7", "clinical", "her2_positive", "permit", "&a", "*a", "!!x")
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)
    )
    attack = b"name: !!python/object/apply:os.system ['touch hacked']\n"
    return Reader(
        "FHIR mapping", (whole,) * 8 + (bomb, attack), delimited(": ", words), read, wrong
    )


def _check_yaml(content: bytes) -> None:
    """Refuse text that is no UTF-8, and a key that stands twice in one block of a mapping."""
    import yaml

    try:
        node = yaml.compose(content.decode("utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"no YAML: {error}") from error
    waiting, seen = [node], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, yaml.MappingNode):
            keys = [key.value for key, _ in each.value]
            if len({str(key) for key in keys}) < len(keys):
                raise Invalid(f"a key twice among {keys}")
            waiting += [part for pair in each.value for part in pair]
        elif isinstance(each, yaml.SequenceNode):
            waiting += each.value


def model(folder: Path, whole: Path) -> Reader:
    """Return the reader of a model whose description was changed by who can sign it again."""
    import shutil

    from omics_twin.files import write_manifest

    copy = folder / "model"
    shutil.copytree(whole, copy)
    described = (copy / "twin.json").read_bytes()

    def read(content: bytes) -> TrainedModel:
        (copy / "twin.json").write_bytes(content)
        write_manifest(copy)
        return TrainedModel.load(copy)

    def wrong(content: bytes, found: TrainedModel) -> str | None:
        try:
            told = json_of(content)
        except Invalid as error:
            return f"no JSON: {error}"
        return None if found.title == told["record"]["title"] else "another title"

    words = (10**9, 1e9, -1, "binary", "hazard", 0)
    return Reader("model description", (described,), (*structured(words), *TEXT), read, wrong)
