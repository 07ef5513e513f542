"""Resources of one patient, as small as FHIR allows, and mappings to read them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from omics_twin.intake.fhir import FromFhir, read_bundle
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.intake.fhir_mapping_file import mapping_of
from omics_twin.settings import config_folder

Resource = dict[str, Any]

LOINC = "http://loinc.org"
SCT = "http://snomed.info/sct"
ATC = "http://www.whocc.no/atc"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
HGNC = "http://www.genenames.org/geneId"
PRIMARY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-primary-cancer-condition"
PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "p-1",
    "birthDate": "1970-05-02",
    "gender": "female",
    "identifier": [{"system": "urn:oid:1.2.3", "value": "4711"}],
}
SUBJECT = {"reference": "Patient/p-1"}

DECLARED: dict[str, Any] = {
    "name": "small",
    "systems": {
        "loinc": LOINC,
        "sct": SCT,
        "atc": ATC,
        "rxnorm": RXNORM,
        "scope": "http://terminology.hl7.org/CodeSystem/consentscope",
        "dcm": "http://dicom.nema.org/resources/ontology/DCM",
    },
    "answers": {"receptor": {"sct|10828004": 1, "sct|260385009": 0}},
    "patient": {
        "age": {"modality": "clinical", "column": "age_years"},
        "gender": {"modality": "clinical", "column": "sex", "values": {"female": "F", "male": "M"}},
    },
    "observations": [
        {
            "codes": ["loinc|16112-5", "loinc|16113-3"],
            "modality": "clinical",
            "column": "hr_positive",
            "answers": "receptor",
            "combine": "ANY",
        },
        {
            "codes": ["loinc|48676-1"],
            "modality": "clinical",
            "column": "her2_positive",
            "answers": "receptor",
        },
        {"codes": ["loinc|718-7"], "modality": "lab", "column": "haemoglobin", "unit": "g/dL"},
        {"codes": ["loinc|33728-7"], "modality": "lesion", "column": "diameter", "unit": "cm"},
        {"codes": ["loinc|89247-1"], "modality": "clinical", "column": "ecog", "unit": "score"},
        {"codes": ["loinc|64124-1"], "modality": "clinical", "column": "smoker"},
    ],
    "conditions": [
        {"codes": ["sct|44054006"], "modality": "clinical", "column": "diabetes", "value": 1},
        {"profile": PRIMARY, "stratum": True, "column": "cancer", "value": "1"},
    ],
    "variants": {
        "modality": "genomics",
        "genes": {"HGNC:11998": "TP53", "TP53": "TP53"},
        "sources": ["loinc|LA6684-0"],
    },
    "strata": {"her2": {"modality": "clinical", "column": "her2_positive"}},
    "agents": {
        "paclitaxel": ["atc|L01CD01", "rxnorm|56946"],
        "carboplatin": ["atc|L01XA02"],
        "doxorubicin": ["atc|L01DB01"],
    },
    "arms": {"P": [["paclitaxel"]], "PC": [["paclitaxel", "carboplatin"]]},
    "continuing": ["doxorubicin"],
    "index": [
        {"event": "PROCEDURE", "codes": ["sct|1"]},
        {"event": "IMAGING", "codes": ["dcm|MR"]},
        {"event": "CONDITION", "profile": PRIMARY},
        {"event": "FIRST_TREATMENT"},
        {"event": "LAST_MEASURED"},
    ],
    "consents": [
        {"codes": ["scope|research"], "purposes": ["research", "training"]},
        {"codes": ["scope|treatment"], "purposes": ["scoring"]},
    ],
}


def declared(folder: Path, **changed: Any) -> FhirMapping:
    path = folder / "mapping.yaml"
    path.write_text(yaml.safe_dump({**DECLARED, **changed}))
    return mapping_of(path)


def shipped(name: str) -> FhirMapping:
    return mapping_of(config_folder() / "fhir" / f"{name}.yaml")


def concept(system: str, code: str, **more: str) -> Resource:
    return {"coding": [{"system": system, "code": code, **more}]}


def quantity(value: Any, code: str | None) -> Resource:
    unit = {} if code is None else {"system": "http://unitsofmeasure.org", "code": code}
    return {"valueQuantity": {"value": value, **unit}}


def observation(code: str, day: str = "2024-03-01", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(LOINC, code),
        "subject": SUBJECT,
        "effectiveDateTime": day,
        **more,
    }


def receptor(code: str, answer: str, day: str = "2024-03-01", **more: Any) -> Resource:
    return observation(code, day, valueCodeableConcept=concept(SCT, answer), **more)


def given(code: str, start: str, end: str | None = None, **more: Any) -> Resource:
    period = {"start": start, **({} if end is None else {"end": end})}
    return {
        "resourceType": "MedicationStatement",
        "status": "completed",
        "medicationCodeableConcept": concept(ATC, code),
        "subject": SUBJECT,
        "effectivePeriod": period,
        **more,
    }


def administered(code: str, day: str, **more: Any) -> Resource:
    return {
        "resourceType": "MedicationAdministration",
        "status": "completed",
        "medicationCodeableConcept": concept(ATC, code),
        "subject": SUBJECT,
        "effectiveDateTime": day,
        **more,
    }


def consent(kind: str, scope: str = "treatment", **more: Any) -> Resource:
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", scope),
        "category": [concept(LOINC, "59284-0")],
        "patient": SUBJECT,
        "dateTime": "2024-02-01",
        "policyRule": {"text": "local"},
        "provision": {"type": kind},
        **more,
    }


def bundled(
    *resources: Resource, kind: str = "collection", patient: Resource = PATIENT
) -> Resource:
    entries = [{"resource": each} for each in (patient, *resources)]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def read(mapping: FhirMapping, *resources: Resource) -> FromFhir:
    return read_bundle(bundled(*resources), mapping)
