"""What Observations and Conditions say of a patient, as values of columns.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/observation.html, condition.html.
UCUM, https://ucum.org.
Genomics Reporting 3.0.0, https://hl7.org/fhir/uv/genomics-reporting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from omics_twin.errors import IntakeError, shown
from omics_twin.intake.fhir_mapping import (
    Combine,
    FhirMapping,
    ObservationRule,
    Target,
    VariantRule,
)
from omics_twin.intake.fhir_parts import (
    Code,
    Held,
    Object,
    Reason,
    Value,
    codes_of,
    day_of,
    object_in,
    profiles_of,
    text_in,
)
from omics_twin.intake.fhir_rules import objects_of
from omics_twin.units import conversion

UCUM = "http://unitsofmeasure.org"
# UCUM code -> unit here; UCUM's month is a twelfth of its year of 365.25 days, as it is here.
UNITS: Mapping[str, str] = {
    "s": "second",
    "d": "day",
    "wk": "week",
    "mo": "month",
    "a": "year",
    "mm": "mm",
    "cm": "cm",
    "mm3": "mm3",
    "cm3": "cm3",
    "mL": "cm3",
    "m2": "m2",
    "mg/m2": "mg/m2",
    "g/m2": "g/m2",
    "ng": "ng",
    "ug": "ug",
    "mg": "mg",
    "g": "g",
    "ng/mL": "ng/mL",
    "ug/L": "ng/mL",
    "mg/L": "mg/L",
    "ug/mL": "mg/L",
    "mg/dL": "mg/dL",
    "g/L": "g/L",
    "g/dL": "g/dL",
    "%": "percent",
    "U/L": "U/L",
    "10*9/L": "10^9/L",
    "10*3/uL": "10^9/L",
}
_WRITTEN = frozenset(UNITS.values())
# Units that a bare number is in, which UCUM writes as 1.
_UNITY = frozenset({"1", "count", "score", "fraction", "z"})
LOINC = "http://loinc.org"
_VARIANT: Code = (LOINC, "69548-6")
_GENE: Code = (LOINC, "48018-6")
_SOURCE: Code = (LOINC, "48002-0")
# Present, absent; any other answer is neither.
_PRESENCE: Mapping[Code, int] = {(LOINC, "LA9633-4"): 1, (LOINC, "LA9634-2"): 0}
# The change in DNA or protein, or the variant by its identifier: one variant is meant.
_ONE_VARIANT = frozenset((LOINC, each) for each in ("48004-6", "48005-3", "81290-9", "81252-9"))
_GENE_SYSTEMS = ("http://www.genenames.org/geneId", "http://www.genenames.org")
VALID = ("final", "amended", "corrected")
_ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Fact:
    """One value of a column.

    Attributes
    ----------
    on
        The day it was measured on; ``None``: undated, which only what makes a stratum may be.
    told_at
        When it was issued, then when it was measured, which decide between two of the same day.
    part, parts
        Where several codes make one value: which this is, and all of them.
    lasting
        Whether it still holds on later days, as a diagnosis does.
    """

    target: Target
    on: date | None
    value: Value
    told_at: tuple[datetime, datetime]
    where: str
    combine: Combine = Combine.LATEST
    part: str = ""
    parts: frozenset[str] = frozenset()
    lasting: bool = False


def observed(held: Held, mapping: FhirMapping) -> Iterator[Fact | Reason]:
    """Yield what an Observation and its components say, and why the rest is not read."""
    resource = held.resource
    status = text_in(resource, "status")
    if status not in VALID:
        yield Reason(f"{_named(held, mapping)} is {shown(status)}, expected final results")
        return
    if _VARIANT in codes_of(object_in(resource, "code")) and mapping.variants is not None:
        yield _variant(held, mapping.variants, _named(held, mapping))
        return
    components = objects_of(resource, "component")
    if _kind_of_value(resource) or not components:
        yield _read(held, resource, _named(held, mapping), mapping)
    for place, component in enumerate(components):
        where = f"{_named(held, mapping)}, component {place}{_spelled(component, mapping)}"
        yield _read(held, component, where, mapping)


def _named(held: Held, mapping: FhirMapping) -> str:
    return f"{held}{_spelled(held.resource, mapping)}"


def _spelled(holder: Object, mapping: FhirMapping) -> str:
    codes = codes_of(object_in(holder, "code"))
    return f" {mapping.spelled(codes[0])}" if codes else " without a code"


def _read(held: Held, holder: Object, where: str, mapping: FhirMapping) -> Fact | Reason:
    found = mapping.rule_of(codes_of(object_in(holder, "code")))
    if found is None:
        return Reason(f"{where}: no rule reads its code")
    code, rule = found
    value = value_of(holder, rule, code)
    if isinstance(value, Reason):
        return Reason(f"{where}: {value.sentence}")
    on = _observed_on(held.resource)
    if on is None and rule.modality:
        return Reason(f"{where}: has no day as its date, expected one as 2024-03-01")
    several = rule.combine is Combine.ANY
    return Fact(
        target=rule.target(code),
        on=on,
        value=value,
        told_at=_told_at(held.resource),
        where=where,
        combine=rule.combine,
        part=mapping.spelled(code) if several else "",
        parts=frozenset(mapping.spelled(each) for each in rule.codes) if several else frozenset(),
    )


def _observed_on(resource: Object) -> date | None:
    """Return the day of an Observation; a period of several days is none."""
    period = object_in(resource, "effectivePeriod")
    start, end = day_of(text_in(period, "start")), day_of(text_in(period, "end"))
    if start is not None and start == end:
        return start
    return day_of(text_in(resource, "effectiveDateTime") or text_in(resource, "effectiveInstant"))


def _told_at(resource: Object) -> tuple[datetime, datetime]:
    return _moment(text_in(resource, "issued")), _moment(text_in(resource, "effectiveDateTime"))


def _moment(written: str) -> datetime:
    try:
        read = datetime.fromisoformat(written)
    except ValueError:
        return _NEVER
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _kind_of_value(holder: Object) -> str:
    return next((key for key in holder if key.startswith("value")), "")


def value_of(holder: Object, rule: ObservationRule, code: Code) -> Value | Reason:
    """Return the value of an Observation or a component, or why it cannot be used.

    Examples
    --------
    >>> rule = ObservationRule((), "", "mri", "diameter", "cm", {}, Combine.LATEST)
    >>> size = {"value": 31, "system": "http://unitsofmeasure.org", "code": "mm"}
    >>> value_of({"valueQuantity": size}, rule, ("http://loinc.org", "33728-7"))
    3.1
    """
    kind = _kind_of_value(holder)
    if kind == "valueQuantity":
        return _quantity(object_in(holder, kind), rule)
    if kind == "valueInteger":
        return _quantity({"value": holder[kind]}, rule) if rule.unit else _yes_or_no(holder[kind])
    if kind == "valueBoolean" and not rule.unit:
        return int(holder[kind])
    if kind == "valueCodeableConcept" and not rule.unit:
        return _answer(codes_of(object_in(holder, kind)), rule, code)
    if not kind:
        return None if object_in(holder, "dataAbsentReason") else Reason("has no value")
    return Reason(f"its '{kind}' is not read into a column {_expected(rule)}")


def _expected(rule: ObservationRule) -> str:
    return f"in '{rule.unit}'" if rule.unit else "of 0, 1 or levels"


def _yes_or_no(number: Any) -> Value | Reason:
    return int(number) if number in (0, 1) else Reason("its number is neither 0 nor 1")


def _quantity(quantity: Object, rule: ObservationRule) -> Value | Reason:
    if rule.unit:
        return quantity_in(quantity, rule.unit)
    number = _number_in(quantity)
    if isinstance(number, Reason):
        return number
    bare = not text_in(quantity, "code") or text_in(quantity, "code") == "1"
    return _yes_or_no(number) if bare else Reason(f"has a unit, expected one {_expected(rule)}")


def quantity_in(quantity: Object, unit: str) -> int | float | Reason:
    """Return a Quantity in a unit, or why it cannot be used."""
    number = _number_in(quantity)
    factor = _factor(quantity, unit)
    for each in (number, factor):
        if isinstance(each, Reason):
            return each
    if factor == 1.0:
        return number if isinstance(number, int) else float(number)
    return float(number) * factor  # type: ignore[operator]


def _number_in(quantity: Object) -> Any:
    """Return the number of a Quantity as it is written, or why there is none."""
    number = quantity.get("value")
    if "comparator" in quantity:
        return Reason("its quantity has a comparator such as '<', expected a measured number")
    try:
        is_number = number is not None and math.isfinite(float(number))
    except (OverflowError, TypeError, ValueError):
        is_number = False
    return number if is_number else Reason("its quantity is no finite number")


def _factor(quantity: Object, wanted: str) -> float | Reason:
    code = text_in(quantity, "code")
    if not code and not text_in(quantity, "unit") or code == "1":
        if wanted in _UNITY:
            return 1.0
        return Reason(f"its quantity has no unit, expected one in '{wanted}'")
    if not code or text_in(quantity, "system") != UCUM:
        return Reason(f"its unit has no code of UCUM, expected one for '{wanted}'")
    # UCUM writes what it has no unit for as a remark in braces: {score}, but never {cm}.
    remark = code[1:-1] if code.startswith("{") and code.endswith("}") else ""
    try:
        return conversion(UNITS.get(code, "" if remark in _WRITTEN else remark), wanted)
    except IntakeError:
        return Reason(f"its unit {shown(code)} is not converted to '{wanted}'")


def _answer(codes: tuple[Code, ...], rule: ObservationRule, code: Code) -> Value | Reason:
    if rule.answers or rule.column:
        known = {rule.answers[each] for each in codes if each in rule.answers}
    else:
        # A code that is called as its column has levels that are called as their codes.
        known = {level for system, level in codes if system == code[0]}
    if len(known) != 1:
        several = "means several values here" if known else "is none that the mapping knows"
        return Reason(f"its coded answer {several}")
    return known.pop()


def _variant(held: Held, rule: VariantRule, where: str) -> Fact | Reason:
    """Return whether a gene is altered; one variant that is absent leaves its gene open."""
    parts: dict[Code, Object] = {}
    for component in objects_of(held.resource, "component"):
        for code in codes_of(object_in(component, "code")):
            parts.setdefault(code, component)
    genes = codes_of(object_in(parts.get(_GENE, {}), "valueCodeableConcept"))
    known = [code for system, code in genes if system in _GENE_SYSTEMS and code in rule.genes]
    sources = codes_of(object_in(parts.get(_SOURCE, {}), "valueCodeableConcept"))
    found = codes_of(object_in(held.resource, "valueCodeableConcept"))
    value = next((_PRESENCE[each] for each in found if each in _PRESENCE), None)
    on = _observed_on(held.resource)
    if not known:
        return Reason(f"{where}: its gene is none of the mapping's")
    if rule.sources and rule.sources.isdisjoint(sources):
        return Reason(f"{where}: is not of the genomic source class that is read")
    if value is None:
        return Reason(f"{where}: says neither present nor absent")
    if value == 0 and not _ONE_VARIANT.isdisjoint(parts):
        return Reason(f"{where}: one variant is absent, which leaves its gene open")
    if on is None:
        return Reason(f"{where}: has no day as its date, expected one as 2024-03-01")
    target = Target(rule.modality, rule.genes[known[0]])
    return Fact(target, on, value, _told_at(held.resource), where, Combine.ANY, part=where)


def diagnosed(held: Held, mapping: FhirMapping) -> Iterator[Fact | Reason]:
    """Yield what a Condition says by its code or profile, or why it is not read."""
    resource, where = held.resource, _named(held, mapping)
    codes = frozenset(codes_of(object_in(resource, "code")))
    profiles = profiles_of(resource)
    rules = [
        rule
        for rule in mapping.conditions
        if rule.codes & codes or {rule.profile} & profiles - {""}
    ]
    if not rules:
        yield Reason(f"{where}: no rule reads its code")
    elif not is_valid_condition(resource):
        yield Reason(f"{where}: is not active and confirmed")
    else:
        for rule in rules:
            on = diagnosed_on(resource)
            if on is None and rule.target.modality:
                yield Reason(f"{where}: has no day as its onset, expected one as 2024-03-01")
            else:
                yield Fact(rule.target, on, rule.value, (_NEVER, _NEVER), where, lasting=True)


def is_valid_condition(resource: Object) -> bool:
    """Return whether a Condition holds still, and nobody doubts it."""
    if any(key.startswith("abatement") for key in resource):
        return False
    said = {
        key: {code for _, code in codes_of(object_in(resource, key))}
        for key in ("clinicalStatus", "verificationStatus")
    }
    return said["clinicalStatus"] <= {"active", "recurrence", "relapse"} and said[
        "verificationStatus"
    ] <= {"confirmed"}


def diagnosed_on(resource: Object) -> date | None:
    """Return the day a Condition began, else was asserted (as mCODE has it), else recorded."""
    asserted = next(
        (each for each in objects_of(resource, "extension") if each.get("url") == _ASSERTED), {}
    )
    written = (
        text_in(resource, "onsetDateTime"),
        text_in(object_in(resource, "onsetPeriod"), "start"),
        text_in(asserted, "valueDateTime"),
        text_in(resource, "recordedDate"),
    )
    return day_of(next((each for each in written if each), ""))
