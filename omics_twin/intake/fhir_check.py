"""Check a FHIR resource in JSON: its text, its fields, its codes, its references."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omics_twin.errors import IntakeError, quoted, shown
from omics_twin.intake.fhir_json import read_json
from omics_twin.intake.fhir_rules import sentences
from omics_twin.intake.findings import CheckReport, Finding, error

MOST_FINDINGS = 10_000
# How fhir.resources writes that a list of codes goes on.
_OPEN = frozenset({"+", "etc."})
_OBSERVED = (
    *("registered", "preliminary", "final", "amended"),
    *("corrected", "cancelled", "entered-in-error", "unknown"),
)
_VISITED = (
    *("planned", "arrived", "triaged", "in-progress", "onleave"),
    *("finished", "cancelled", "entered-in-error", "unknown"),
)
# Required bindings that it does not list in full.
_WHOLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("Observation", "status"): _OBSERVED,
    ("RiskAssessment", "status"): _OBSERVED,
    ("DetectedIssue", "status"): _OBSERVED,
    ("DiagnosticReport", "status"): (*_OBSERVED, "partial", "appended"),
    ("Encounter", "status"): _VISITED,
    ("EncounterStatusHistory", "status"): _VISITED,
    ("Task", "status"): (
        *("draft", "requested", "received", "accepted", "rejected", "ready", "cancelled"),
        *("in-progress", "on-hold", "failed", "completed", "entered-in-error"),
    ),
    ("QuestionnaireItem", "type"): (
        *("group", "display", "question", "boolean", "decimal", "integer", "date", "dateTime"),
        *("time", "string", "text", "url", "choice", "open-choice", "attachment"),
        *("reference", "quantity"),
    ),
}


def check_fhir(path: Path) -> CheckReport:
    """Return everything that is wrong with a FHIR R4 or R4B resource in JSON.

    Checked are the JSON itself, fields and cardinalities as ``fhir.resources`` models them, codes
    of required bindings, identifiers, references, narratives and Bundles. Profiles and
    terminologies such as SNOMED CT are not.

    Parameters
    ----------
    path
        A JSON file with one resource; a Bundle holds several.

    Raises
    ------
    IntakeError
        If ``fhir.resources`` is not installed.

    References
    ----------
    FHIR R4B, 4.3.0: https://hl7.org/fhir/R4B
    """
    return read_checked(path)[1]


def read_checked(path: Path) -> tuple[dict[str, object] | None, CheckReport]:
    """Return the resource of a file beside everything that is wrong with it."""
    models = _models()
    resource, found = read_json(path)
    if resource is None:
        return None, CheckReport(str(path), {"resources": 0}, tuple(found))
    listed = [error(path.name, None, each) for each in _mistakes(resource, models)]
    amounts = {"resources": _count(resource)}
    return resource, CheckReport(str(path), amounts, _bounded(path, found + listed))


def mistakes_in(resource: dict[str, object]) -> list[str]:
    """Return what is wrong with a resource that is read already; values stand in the sentences.

    Raises
    ------
    IntakeError
        If ``fhir.resources`` is not installed.
    """
    return _mistakes(resource, _models())


def _mistakes(resource: dict[str, object], model_of: Any) -> list[str]:
    return list(dict.fromkeys([*_shape(resource, model_of), *sentences(resource)]))


def _models() -> Any:
    try:
        from fhir.resources.R4B import get_fhir_model_class
    except ModuleNotFoundError as missing:
        raise IntakeError(
            "FHIR is checked with fhir.resources, which is not installed: "
            "pip install 'omics-twin[fhir]'"
        ) from missing
    return get_fhir_model_class


def _bounded(path: Path, found: list[Finding]) -> tuple[Finding, ...]:
    rest = len(found) - MOST_FINDINGS
    more = error(path.name, None, f"{rest:,} more findings are not listed")
    return (*found[:MOST_FINDINGS], *([more] if rest > 0 else []))


def _count(resource: dict[str, object]) -> int:
    entries = resource.get("entry")
    return (
        len(entries)
        if resource.get("resourceType") == "Bundle" and isinstance(entries, list)
        else 1
    )


def _shape(resource: dict[str, object], model_of: Any) -> Iterator[str]:
    """Yield what the model of the resource says is wrong, else which codes are."""
    from pydantic import ValidationError

    name = resource.get("resourceType")
    if not isinstance(name, str):
        yield "has no 'resourceType', expected one such as 'Patient' or 'Bundle'"
        return
    try:
        model = model_of(name)
    except ValueError:
        model = None
    if model is None or not issubclass(model, _resource()):
        yield f"resourceType is {shown(name)}, expected a resource of R4 or R4B such as 'Patient'"
        return
    try:
        read = model.model_validate(resource)
    except ValidationError as mistake:
        for each in mistake.errors():
            place = ".".join(str(part) for part in (name, *each["loc"]))
            yield f"{place}: {' '.join(str(each['msg']).split())}"
    except (AttributeError, KeyError, TypeError, RecursionError) as mistake:
        yield f"{name} cannot be read by its model ({mistake}), expected the fields of {name}"
    else:
        yield from _codes(read, name)


def _resource() -> type:
    from fhir.resources.R4B.resource import Resource

    return Resource


def _codes(read: Any, path: str) -> Iterator[str]:
    """Yield codes that are not of their required binding."""
    waiting = [(path, read)]
    while waiting:
        at, value = waiting.pop()
        for name, field in type(value).model_fields.items():
            held = getattr(value, name, None)
            listed = held if isinstance(held, list) else [held]
            extra = field.json_schema_extra or {}
            allowed = _WHOLE.get((type(value).__name__, name)) or (
                extra.get("enum_values") if isinstance(extra, dict) else None
            )
            if allowed and not _OPEN.isdisjoint(allowed):
                allowed = None
            for place, each in enumerate(listed):
                where = f"{at}.{field.alias or name}" + (f"[{place}]" if held is listed else "")
                if allowed and isinstance(each, str) and each not in allowed:
                    yield f"{where} is {shown(each)}, expected one of {quoted(allowed, 12)}"
                elif hasattr(type(each), "model_fields"):
                    waiting.append((where, each))
