"""What a reader of patients' data needs of FHIR resources, beyond the fields of their models.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B: data types, references, resource, narrative, bundle.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from html.entities import html5
from xml.etree import ElementTree

from omics_twin.errors import shown
from omics_twin.intake.fhir_json import objects

ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_RELATIVE = re.compile(r"(?P<type>[A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history/\S{1,64})?")
_ACTIVE = re.compile(r"<\s*(?:script|iframe|object|embed)\b", re.IGNORECASE)
_XHTML = "{http://www.w3.org/1999/xhtml}"
_NOT_IN_NARRATIVE = frozenset(
    {"applet", "base", "body", "button", "embed", "form", "frame", "frameset", "head", "html"}
    | {"iframe", "input", "link", "meta", "object", "script", "select", "textarea", "title"}
)
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_KEPT = frozenset({"amp", "lt", "gt", "quot", "apos"})

Sentences = Iterator[str]


def sentences(resource: dict[str, object]) -> Sentences:
    """Yield what is wrong with a resource, as sentences that begin with the path."""
    for path, value in objects(resource):
        for rule in _RULES:
            for sentence in rule(value):
                yield f"{path}: {sentence}"
        rule_of_type = _BY_TYPE.get(str(value.get("resourceType", "")))
        if rule_of_type is not None:
            for sentence in rule_of_type(value):
                yield f"{path}: {sentence}"


def _empty(value: Mapping[str, object]) -> Sentences:
    """Nothing is written as an empty value: section 2.6.2."""
    for key, each in value.items():
        if each in ("", [], {}) or each is None:
            yield f"'{key}' is empty, expected a value or no '{key}'"
        elif isinstance(each, str) and not each.strip():
            yield f"'{key}' is only white-space, expected a value or no '{key}'"


def _identity(value: Mapping[str, object]) -> Sentences:
    name = value.get("id")
    if "resourceType" in value and isinstance(name, str) and not ID.fullmatch(name):
        yield f"id is {shown(name)}, expected up to 64 letters, digits, '-' and '.'"


def _markup(value: Mapping[str, object]) -> Sentences:
    for key, each in value.items():
        listed = each if isinstance(each, list) else [each]
        if key != "div" and any(isinstance(one, str) and _ACTIVE.search(one) for one in listed):
            yield f"'{key}' holds active markup such as <script>, expected plain text"


def _narrative(value: Mapping[str, object]) -> Sentences:
    """Check that the narrative is XHTML without active content: section 2.4.0.1."""
    div = value.get("div")
    if not isinstance(div, str) or "status" not in value:
        return
    numeric = _ENTITY.sub(_number_of, div)
    try:
        root = ElementTree.fromstring(numeric)
    except ElementTree.ParseError as mistake:
        yield f"div is not XHTML ({mistake}), expected well-formed XHTML"
        return
    if root.tag != f"{_XHTML}div":
        yield f"div begins with {shown(root.tag)}, expected a div of XHTML"
    for element in root.iter():
        tag = str(element.tag).removeprefix(_XHTML).lower()
        if tag in _NOT_IN_NARRATIVE:
            yield f"div holds <{tag}>, expected no active content or forms"
        for name, text in element.attrib.items():
            if name.lower().startswith("on") or text.strip().lower().startswith("javascript:"):
                yield f"div holds a script in '{name}', expected no active content"


def _number_of(entity: re.Match[str]) -> str:
    known = html5.get(f"{entity[1]};") if entity[1] not in _KEPT else None
    return "".join(f"&#{ord(each)};" for each in known) if known else entity[0]


def _systems(value: Mapping[str, object]) -> Sentences:
    system = value.get("system")
    coded = "code" in value or "concept" in value or "value" in value or "filter" in value
    if not isinstance(system, str) or ":" not in system and not (coded or system[:1] == "#"):
        return
    if not _ABSOLUTE.fullmatch(system) and not _is_contact(value, system):
        yield f"system is {shown(system)}, expected an absolute URI such as http://loinc.org"


def _is_contact(value: Mapping[str, object], system: str) -> bool:
    """Return whether this is a telephone number or the like, whose system is a code."""
    return system in ("phone", "fax", "email", "pager", "url", "sms", "other")


def _urns(value: Mapping[str, object]) -> Sentences:
    for key, each in value.items():
        if not isinstance(each, str):
            continue
        form = {"urn:uuid:": _UUID, "urn:oid:": _OID}.get(each[: each.find(":", 4) + 1])
        if form is not None and key in ("url", "system", "fullUrl", "uri"):
            bare = each.split("#")[0].split("|")[0]
            if not form.fullmatch(bare):
                yield f"'{key}' is {shown(each)}, which is no valid UUID or OID"


def _periods(value: Mapping[str, object]) -> Sentences:
    """Check that a period starts before it ends (per-1), as far as both are written."""
    start, end = value.get("start"), value.get("end")
    if isinstance(start, str) and isinstance(end, str):
        shortest = min(len(start), len(end), len("2020-12-31"))
        if start[:shortest] > end[:shortest] and start[:4].isdecimal() and end[:4].isdecimal():
            yield f"start {shown(start)} is after end {shown(end)}, expected it before"


def _attachments(value: Mapping[str, object]) -> Sentences:
    held, size = value.get("data"), value.get("size")
    if not isinstance(held, str) or not isinstance(size, int):
        return
    try:
        length = len(b64decode(held))
    except (Base64Error, ValueError):
        yield "data is not base64, expected encoded bytes"
        return
    if length != size:
        yield f"size is {size}, but data hold {length} bytes"


def _references(value: Mapping[str, object]) -> Sentences:
    reference = value.get("reference")
    if not isinstance(reference, str) or not set(value) <= _REFERENCE:
        return
    if reference.startswith("#") or _ABSOLUTE.fullmatch(reference):
        return
    relative = _RELATIVE.fullmatch(reference)
    if relative is None and "?" not in reference:
        yield f"reference is {shown(reference)}, expected Type/id, '#id' or an absolute URL"
    elif relative and value.get("type", relative["type"]) != relative["type"]:
        yield f"reference is {shown(reference)}, but type is {shown(str(value['type']))}"


_REFERENCE = frozenset({"reference", "display", "type", "identifier", "id", "extension"})


def _contained(value: Mapping[str, object]) -> Sentences:
    """Contained resources hold no others (dom-2) and are found by '#id' (ref-1)."""
    listed = objects_of(value, "contained")
    names = Counter(str(each.get("id")) for each in listed)
    for name, times in names.items():
        if times > 1:
            yield f"contains {times} resources with the id {shown(name)}, expected different ids"
    if any("contained" in each for each in listed):
        yield "a contained resource contains another, expected no nesting"
    if "resourceType" not in value or value["resourceType"] == "Bundle":
        return
    used = {
        reference[1:]
        for _, each in objects(value)
        if isinstance(reference := each.get("reference"), str) and reference.startswith("#")
    }
    for name in sorted(used - set(names) - {""}) if "id" not in value or listed else []:
        yield f"reference '#{name}' is to no contained resource, expected one with this id"


def objects_of(value: Mapping[str, object], key: str) -> list[dict[str, object]]:
    """Return the objects of a list under a key."""
    held = value.get(key)
    return [each for each in held if isinstance(each, dict)] if isinstance(held, list) else []


def _bundle(value: Mapping[str, object]) -> Sentences:
    """Section 2.36.1: fullUrls are absolute and differ; a search says how each entry was found."""
    entries = objects_of(value, "entry")
    seen: set[tuple[str, str]] = set()
    for place, entry in enumerate(entries):
        url, resource = entry.get("fullUrl"), entry.get("resource")
        held = resource if isinstance(resource, dict) else {}
        meta = held.get("meta")
        version = str(meta.get("versionId", "")) if isinstance(meta, dict) else ""
        if isinstance(url, str):
            if not _ABSOLUTE.fullmatch(url):
                yield f"entry[{place}].fullUrl is {shown(url)}, expected an absolute URL"
            if (url, version) in seen:
                yield f"entry[{place}].fullUrl {shown(url)} stands there twice, expected it once"
            seen.add((url, version))
        search = entry.get("search")
        outcome = isinstance(search, dict) and search.get("mode") == "outcome"
        if outcome and held.get("resourceType") != "OperationOutcome":
            yield f"entry[{place}] has search mode 'outcome', expected an OperationOutcome"
        if isinstance(search, dict) and value.get("type") != "searchset":
            yield f"entry[{place}] has 'search', expected in a Bundle of type 'searchset' only"
    relations = Counter(str(each.get("relation")) for each in objects_of(value, "link"))
    for relation, times in relations.items():
        if times > 1 and relation in ("self", "first", "last", "next", "previous"):
            yield f"link holds relation '{relation}' {times} times, expected it once"
    if value.get("type") in ("document", "message") and entries:
        first = {"document": "Composition", "message": "MessageHeader"}[str(value["type"])]
        resource = entries[0].get("resource")
        if not isinstance(resource, dict) or resource.get("resourceType") != first:
            yield f"the first entry of a {value['type']} is not a {first}, expected one"


def _risk(value: Mapping[str, object]) -> Sentences:
    """Check that a probability is at most 100 % (ras-2)."""
    for _, each in objects(value):
        probability = each.get("probabilityDecimal")
        if isinstance(probability, int | Decimal) and not 0 <= probability <= 100:
            yield f"probabilityDecimal is {probability}, expected 0 to 100"


_RULES: tuple[Callable[[Mapping[str, object]], Sentences], ...] = (
    _empty,
    _identity,
    _markup,
    _narrative,
    _systems,
    _urns,
    _periods,
    _attachments,
    _references,
    _contained,
)
_BY_TYPE: Mapping[str, Callable[[Mapping[str, object]], Sentences]] = {
    "Bundle": _bundle,
    "RiskAssessment": _risk,
}
