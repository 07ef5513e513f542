"""Read a FHIR R4 or R4B Bundle about one patient: what a twin is shown, and what was consented.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/bundle.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from omics_twin.errors import IntakeError, about, quoted
from omics_twin.intake.fhir_check import mistakes_in, read_checked
from omics_twin.intake.fhir_contents import Contents, contents_of
from omics_twin.intake.fhir_mapping import FhirMapping, IndexEvent, Target
from omics_twin.intake.fhir_parts import Held, Object, Reason, Value, day_of, object_in, text_in
from omics_twin.intake.fhir_rules import objects_of
from omics_twin.intake.fhir_therapy import arms_before
from omics_twin.intake.fhir_visits import Visits, text_of, visits_of
from omics_twin.told import PatientRecord, RecordedDose, record_of
from omics_twin.trust.consent import Entry

_MOST_SENTENCES = 5
_ENTRY = re.compile(r"Bundle\.entry[.\[]([0-9]+)")


@dataclass(frozen=True)
class FromFhir:
    """What a Bundle says of its patient.

    Attributes
    ----------
    record
        One visit for each day on which something was measured, in time order.
    consents
        What the patient decided on which purpose.
    doses
        What was given and what is planned, dose by dose, where it is told.
    unmapped
        Why a resource, a component or a part of one could not be used: a sentence for each, which
        names its place in the Bundle, its type, code or unit, and no value of the patient.
    """

    record: PatientRecord
    consents: tuple[Entry, ...]
    unmapped: tuple[str, ...]
    doses: tuple[RecordedDose, ...] = ()


def read_bundle_file(
    path: Path, mapping: FhirMapping, *, patient_id: str | None = None
) -> FromFhir:
    """Return what a Bundle in a JSON file says; see :func:`read_bundle`.

    Raises
    ------
    IntakeError
        If something is wrong with the file, in the sentences of ``omics-twin check``, which may
        repeat what stands in it; or the Bundle is not about one patient.
    """
    if not path.exists():
        raise IntakeError(f"'{path}' does not exist: name a Bundle in JSON")
    resource, report = read_checked(path)
    if resource is None or report.errors:
        first = "; ".join(each.sentence for each in report.errors[:_MOST_SENTENCES])
        rest = len(report.errors) - _MOST_SENTENCES
        more = f"; and {rest:,} more" if rest > 0 else ""
        told = f"'{path.name}' cannot be used: {first}{more}"
        raise IntakeError(about(told, *(each.sentence for each in report.errors)))
    return _read(resource, mapping, patient_id)


def read_bundle(
    bundle: Mapping[str, Any], mapping: FhirMapping, *, patient_id: str | None = None
) -> FromFhir:
    """Return what a Bundle about one patient says, in the columns and arms of a mapping.

    Parameters
    ----------
    bundle
        A Bundle as JSON is read; :func:`wrapped` makes one of resources.
    mapping
        What its codes mean.
    patient_id
        What the record calls the patient; left out, the id of the Patient.

    Raises
    ------
    IntakeError
        If the Bundle is not as FHIR has it, is not about one patient, or has no index date. No
        sentence repeats a value.
    """
    return _read(_valid(bundle), mapping, patient_id)


def consents_in(
    bundle: Mapping[str, Any], mapping: FhirMapping, *, patient_id: str | None = None
) -> tuple[Entry, ...]:
    """Return what the patient of a Bundle decided; the rest of it is not looked at.

    Raises
    ------
    IntakeError
        If the Bundle has no Patient, or what it says of consent is not as FHIR has it.
    """
    entries = [each for each in bundle["entry"] if _kind(each) in ("Patient", "Consent")]
    return contents_of(_valid({**bundle, "entry": entries}), mapping, patient_id).consents


def patients_of(bundle: Mapping[str, Any]) -> set[str]:
    """Return the identifiers of the Patients in a Bundle."""
    found = [each["resource"].get("id") for each in bundle["entry"] if _kind(each) == "Patient"]
    return {str(each) for each in found}


def _kind(entry: Any) -> Any:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    return resource.get("resourceType") if isinstance(resource, dict) else None


def _valid(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Bundle that is as FHIR has it.

    Raises
    ------
    IntakeError
        If it is not; the sentence repeats no value.
    """
    resource = dict(bundle)
    mistakes = mistakes_in(resource)
    if mistakes:
        places = (matched[1] for each in mistakes if (matched := _ENTRY.match(each)))
        place = next(places, None)
        first = f", the first in entry {place}" if place is not None else ""
        raise IntakeError(
            f"the Bundle is not as FHIR R4 has it ({len(mistakes):,} findings{first}): correct "
            "what 'omics-twin check intake=fhir' names"
        )
    return resource


def wrapped(resources: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return a Bundle of resources, such as a prefetch of CDS Hooks; ``None`` stands for none.

    What Bundles among them hold is taken out of them, and the same resource counts once.

    Examples
    --------
    >>> labs = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Observation"}}]}
    >>> prefetch = {"patient": {"resourceType": "Patient"}, "labs": labs, "scans": None}
    >>> [each["resource"]["resourceType"] for each in wrapped(prefetch.values())["entry"]]
    ['Patient', 'Observation']
    """
    entries: list[Any] = []
    following: list[Object] = []
    for resource in resources:
        if resource is None:
            continue
        inside = resource.get("entry")
        if resource.get("resourceType") == "Bundle" and isinstance(inside, list):
            entries += [_bare(each) for each in inside]
            links = objects_of(resource, "link")
            following += [each for each in links if each.get("relation") == "next"]
        else:
            entries.append({"resource": dict(resource)})
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": list(_once(entries))}
    return bundle | ({"link": following[:1]} if following else {})


def _bare(entry: Any) -> Any:
    """Return an entry without how it was searched for or sent."""
    if not isinstance(entry, dict):
        return entry
    return {key: entry[key] for key in ("fullUrl", "resource") if key in entry}


def _once(entries: Iterable[Any]) -> Iterator[Any]:
    seen: dict[tuple[str, str], Object] = {}
    for entry in entries:
        held = object_in(entry, "resource") if isinstance(entry, dict) else {}
        key = (text_in(held, "resourceType"), text_in(held, "id"))
        if not key[1] or seen.setdefault(key, held) is held or seen[key] != held:
            yield entry


def _read(bundle: Object, mapping: FhirMapping, patient_id: str | None) -> FromFhir:
    contents = contents_of(bundle, mapping, patient_id)
    index = _index(contents, mapping)
    visits, stratum, untold = visits_of(contents.facts, index, mapping)
    of_patient = list(_add_patient(visits, contents.patient, index, mapping))
    for column, target in mapping.strata.items():
        value = visits.get(0, {}).get(target)
        if value is not None:
            stratum.setdefault(column, text_of(value))
    days = sorted(visits)
    arms, unknown = arms_before(days, contents.given, index, mapping)
    told = {
        "patient_id": contents.patient_id,
        "stratum": stratum,
        "visits": [
            {"day": float(day), "values": _by_modality(visits[day]), "under": arm}
            for day, arm in zip(days, arms, strict=True)
        ],
    }
    dosed = [each.since(index) for each in contents.doses]
    doses = tuple(each for each in dosed if isinstance(each, RecordedDose))
    none = (each for each in dosed if isinstance(each, Reason))
    reasons = (each.sentence for each in (*untold, *unknown, *none))
    unmapped = (*contents.untold, *of_patient, *reasons)
    return FromFhir(record_of(told), contents.consents, unmapped, doses)


def _index(contents: Contents, mapping: FhirMapping) -> date:
    """Return the earliest day of the first rule that has one."""
    for place, rule in enumerate(mapping.index):
        if rule.event is IndexEvent.FIRST_TREATMENT:
            days = [each.start for each in contents.given]
        elif rule.event is IndexEvent.LAST_MEASURED:
            measured = [each.on for each in contents.facts if each.on and not each.lasting]
            days = [max(measured)] if measured else []
        else:
            days = [each.on for each in contents.events if each.rule == place]
        if days:
            return min(days)
    asked = quoted(each.event.name for each in mapping.index)
    rest = f"; not used: {contents.untold[0]}" if contents.untold else ""
    raise IntakeError(
        f"the Bundle has no index date, expected the day of one of {asked}: add it, or another "
        f"event under 'index' of the mapping{rest}"
    )


def _add_patient(visits: Visits, patient: Held, index: date, mapping: FhirMapping) -> Iterator[str]:
    """Add age and gender to the visit of day 0, where nothing measured says them."""
    found: list[tuple[Target, Value]] = []
    written, gender = (text_in(patient.resource, key) for key in ("birthDate", "gender"))
    if mapping.age is not None and written:
        born = day_of(written)
        if born is None or born > index:
            yield f"{patient}: its birthDate is no day before the index date, so no age is told"
        else:
            before = (index.month, index.day) < (born.month, born.day)
            found.append((mapping.age, index.year - born.year - before))
    if mapping.gender is not None and gender:
        if gender in mapping.genders:
            found.append((mapping.gender, mapping.genders[gender]))
        else:
            yield f"{patient}: its gender is none that the mapping knows"
    for target, value in found:
        at_index = visits.setdefault(0, {})
        if at_index.get(target) is None:
            at_index[target] = value


def _by_modality(values: Mapping[Target, Value]) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    for target, value in values.items():
        found.setdefault(target.modality, {})[target.column] = value
    return found
