"""Tell a ranking as FHIR R4: one RiskAssessment per patient and therapy, in one Bundle.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/riskassessment.html
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omics_twin.files import write_json
from omics_twin.intake.fhir_rules import ID
from omics_twin.report.words import Scale, percent, probability
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.trust.privacy import count_in_words

# A ranking's output with this ending is written as FHIR.
ENDING = ".fhir.json"
_UCUM = "http://unitsofmeasure.org"
_NO_ORDER = "An estimate for discussion, no treatment order."


def write_assessments(
    model: TrainedModel,
    lines: Sequence[Mapping[str, Any]],
    settings: TwinSettings,
    output: Path,
) -> None:
    """Write the lines of a ranking as a Bundle, whole or not at all."""
    write_json(output, risk_assessments(model, lines, settings, datetime.now(UTC)))


def risk_assessments(
    model: TrainedModel,
    lines: Sequence[Mapping[str, Any]],
    settings: TwinSettings,
    answered_at: datetime,
) -> dict[str, Any]:
    """Return a Bundle of the lines of a ranking; a therapy that is not open says why.

    Parameters
    ----------
    lines
        As of :func:`omics_twin.answers.rankings.ranking_lines`.
    answered_at
        When the ranking was made, with its time zone.

    Returns
    -------
    dict
        The probability of the outcome as a range in per cent, the interval of the belief, where the
        endpoint is a probability; else the expected value and its interval in words.
    """
    moment = answered_at.isoformat(timespec="seconds")
    entries = []
    for line in lines:
        resource = _assessment(model, line, settings, moment)
        key = "/".join((model.digest, moment, line["patient_id"], line["intervention"]))
        name = uuid.uuid5(uuid.NAMESPACE_OID, key)
        entries.append({"fullUrl": f"urn:uuid:{name}", "resource": resource})
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": moment,
        "entry": entries,
    }


def _assessment(
    model: TrainedModel, line: Mapping[str, Any], settings: TwinSettings, moment: str
) -> dict[str, Any]:
    label = model.catalogue.label(line["intervention"])
    told = {
        "resourceType": "RiskAssessment",
        # A model's answer that nobody has confirmed.
        "status": "preliminary",
        "method": {"text": f"omics_twin, model {model.digest[:12] or 'not stored'}"},
        "code": {"text": f"{model.title} under {label}"},
        "subject": _subject(line["patient_id"]),
        "occurrenceDateTime": moment,
        "note": [{"text": each} for each in (*_notes(line), _NO_ORDER)],
    }
    if line["eligible"]:
        told["prediction"] = [_prediction(model, line, settings)]
    return told


def _subject(patient_id: str) -> dict[str, Any]:
    if ID.fullmatch(patient_id):
        return {"reference": f"Patient/{patient_id}"}
    return {"type": "Patient", "identifier": {"value": patient_id}}


def _notes(line: Mapping[str, Any]) -> list[str]:
    if not line["eligible"]:
        return [f"Not open to this patient: {line['reason']}."]
    best = probability(line["probability_best"])
    received = count_in_words(line["support"])
    notes = [
        f"Rank {line['rank']} of the therapies open to this patient; probability of being the best "
        f"of them {best}; {received} training patients of the same stratum received it."
    ]
    if line["abstention"]:
        notes.append(f"No therapy is recommended: {line['abstention']}.")
    return notes


def _prediction(
    model: TrainedModel, line: Mapping[str, Any], settings: TwinSettings
) -> dict[str, Any]:
    endpoint = model.endpoint
    scale = Scale.of(endpoint, model.outcome_kind, "")
    lower, upper = line["lower"], line["upper"]
    told: dict[str, Any] = {
        "outcome": {"text": model.title},
        "rationale": (
            f"Expected {scale.value(line['expected'])}; {percent(settings.interval)} of the belief "
            f"lies in {scale.interval(lower, upper)}."
        ),
    }
    if endpoint.horizon_days > 0:
        told["whenRange"] = {"high": _quantity(endpoint.horizon_days, "days", "d")}
    whole = endpoint.reading is Reading.VALUE_AT_HORIZON
    if whole and model.outcome_kind != "continuous":
        # As a range: its unit says per cent, where of a bare decimal readers disagree.
        ends = {"low": max(lower, 0.0), "high": min(upper, 1.0)}
        told["probabilityRange"] = {
            end: _quantity(round(100 * value, 2), "%", "%") for end, value in ends.items()
        }
    return told


def _quantity(value: float, unit: str, code: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": _UCUM, "code": code}
