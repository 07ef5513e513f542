"""What the resources of a Bundle say of its patient, before days are counted.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/bundle.html
mCODE 4.0.0, https://hl7.org/fhir/us/mcode
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from omics_twin.errors import IntakeError, quoted, shown
from omics_twin.intake.fhir_consent import consented
from omics_twin.intake.fhir_doses import BY_SURFACE, Dosed, doses_in, surface_of
from omics_twin.intake.fhir_json import objects
from omics_twin.intake.fhir_mapping import FhirMapping, IndexEvent, IndexRule
from omics_twin.intake.fhir_parts import (
    Code,
    Held,
    Named,
    Object,
    Reason,
    code_of,
    codes_of,
    day_of,
    object_in,
    profiles_of,
    text_in,
)
from omics_twin.intake.fhir_rules import objects_of
from omics_twin.intake.fhir_therapy import Given, given_in
from omics_twin.intake.fhir_values import (
    Fact,
    diagnosed,
    diagnosed_on,
    is_valid_condition,
    observed,
)
from omics_twin.trust.consent import Entry

# A history has deletions, and an answer to a transaction has no patient.
_TYPES = ("collection", "searchset", "transaction", "batch", "document")
_PERSONS = ("Patient/", "RelatedPerson/", "Group/")
_EVENTS = {
    "Condition": IndexEvent.CONDITION,
    "Procedure": IndexEvent.PROCEDURE,
    "ImagingStudy": IndexEvent.IMAGING,
}
_HAPPENED = {
    "Procedure": ("completed", "in-progress"),
    "ImagingStudy": ("available",),
}


@dataclass(frozen=True)
class Event:
    """A day that an index rule means, by the rule's place in the mapping."""

    rule: int
    on: date


@dataclass(frozen=True)
class Contents:
    """What a Bundle says.

    Attributes
    ----------
    patient, patient_id
        The Patient, and what the record calls it.
    events
        Days that may be the index date.
    untold
        Why the rest could not be used.
    """

    patient: Held
    patient_id: str
    facts: tuple[Fact, ...]
    given: tuple[Given, ...]
    doses: tuple[Dosed, ...]
    consents: tuple[Entry, ...]
    events: tuple[Event, ...]
    untold: tuple[str, ...]


Told = Fact | Given | Dosed | Entry | Event | Reason


def contents_of(bundle: Object, mapping: FhirMapping, patient_id: str | None) -> Contents:
    """Return what a Bundle that is checked says of its one patient.

    Raises
    ------
    IntakeError
        If it is no Bundle of resources, or has no patient, several, or one without a name.
    """
    held = _held(bundle)
    patient = _patient(held)
    name = patient_id or text_in(patient.resource, "id")
    if not name:
        raise IntakeError("the Patient has no id: give the name that the record is to have")
    names = Named.of(patient)
    reader = _Reader(mapping, name, names, _medications(held), _surfaces(held, names))
    told = [each for one in held for each in reader.read(one)]
    return Contents(
        patient=patient,
        patient_id=name,
        facts=tuple(each for each in told if isinstance(each, Fact)),
        given=tuple(each for each in told if isinstance(each, Given)),
        doses=tuple(each for each in told if isinstance(each, Dosed)),
        consents=tuple(each for each in told if isinstance(each, Entry)),
        events=tuple(each for each in told if isinstance(each, Event)),
        untold=(
            *_incomplete(bundle),
            *(each.sentence for each in told if isinstance(each, Reason)),
        ),
    )


def _held(bundle: Object) -> list[Held]:
    kind, use = text_in(bundle, "resourceType"), text_in(bundle, "type")
    if kind != "Bundle":
        raise IntakeError(f"found a {kind}, expected a Bundle: wrap it in one")
    if use not in _TYPES:
        raise IntakeError(f"found a Bundle of type {shown(use)}, expected one of {quoted(_TYPES)}")
    return [
        Held(place, object_in(entry, "resource"), text_in(entry, "fullUrl"))
        for place, entry in enumerate(objects_of(bundle, "entry"))
    ]


def _patient(held: list[Held]) -> Held:
    found = [each for each in held if each.kind == "Patient"]
    if len(found) != 1:
        raise IntakeError(
            f"the Bundle holds {len(found):,} Patients, expected one: send a Bundle per patient"
        )
    if _not_understood(found[0].resource):
        raise IntakeError("the Patient has a modifierExtension or implicitRules: resolve them")
    return found[0]


def _medications(held: list[Held]) -> dict[str, tuple[Named, Object]]:
    found: dict[str, tuple[Named, Object]] = {}
    for each in held:
        if each.kind == "Medication" and not _not_understood(each.resource):
            named = Named.of(each)
            found |= dict.fromkeys((named.relative, named.url), (named, each.resource))
    return found


def _surfaces(held: list[Held], names: Named) -> dict[date, float]:
    """Return the patient's body surface areas [m2] by day; none where no dose is by them."""
    if not any(each.get("code") in BY_SURFACE for h in held for _, each in objects(h.resource)):
        return {}
    own = [
        each
        for each in held
        if names.meant_by(object_in(each.resource, "subject"), each)
        and not _not_understood(each.resource)
    ]
    return dict(found for found in map(surface_of, own) if found is not None)


def _incomplete(bundle: Object) -> Iterator[str]:
    if any(each.get("relation") == "next" for each in objects_of(bundle, "link")):
        yield "the Bundle is one page of several: the others are not read"


def _not_understood(resource: Object) -> bool:
    """Return whether a resource may mean something else to who knows its extensions."""
    return any(
        "modifierExtension" in each or "implicitRules" in each for _, each in objects(resource)
    )


@dataclass(frozen=True)
class _Reader:
    """Reads one resource after the other, if it is about the patient."""

    mapping: FhirMapping
    patient_id: str
    names: Named
    medications: dict[str, tuple[Named, Object]]
    surfaces: dict[date, float]

    def read(self, held: Held) -> Iterator[Told]:
        kind, resource = held.kind, held.resource
        if kind in ("Patient", "Medication"):
            return
        if kind not in _READ:
            yield Reason(f"{held}: this type is not read" if kind else f"{held} holds no resource")
        elif not self.names.meant_by(object_in(resource, _READ[kind]), held):
            yield Reason(f"{held}: is not about the patient of the Bundle")
        elif any(self._of_another(each, held) for each in objects_of(resource, "focus")):
            yield Reason(f"{held}: its focus is another person")
        elif _not_understood(resource):
            yield Reason(f"{held}: has a modifierExtension or implicitRules, which is not read")
        elif kind == "Observation":
            told = list(observed(held, self.mapping))
            # A body surface area that doses are by is used.
            used = bool(self.surfaces) and surface_of(held) is not None
            yield from _without_reasons(told) if used else told
        elif kind == "Consent":
            yield from consented(held, self.mapping, self.patient_id)
        elif kind in _EVENTS:
            yield from self._event(held)
        else:
            yield from self._medication(held)

    def _medication(self, held: Held) -> Iterator[Told]:
        if held.kind != "MedicationRequest":
            given = given_in(held, self.mapping, self.medications)
            yield given
            if isinstance(given, Reason):
                return
        yield from doses_in(held, self.mapping, self.medications, self.surfaces)

    def _of_another(self, focus: Object, held: Held) -> bool:
        is_person = text_in(focus, "reference").startswith(_PERSONS)
        return is_person and not self.names.meant_by(focus, held)

    def _event(self, held: Held) -> Iterator[Told]:
        codes, profiles = _event_codes(held.resource), profiles_of(held.resource)
        rules = [
            place
            for place, rule in enumerate(self.mapping.index)
            if rule.event is _EVENTS[held.kind] and _meant(rule, codes, profiles)
        ]
        on = _happened_on(held)
        if rules and on is not None:
            yield from (Event(place, on) for place in rules)
        if held.kind == "Condition":
            told = list(diagnosed(held, self.mapping))
            # A Condition that only makes the index date is used.
            yield from told if not rules or on is None else _without_reasons(told)
        elif not rules:
            yield Reason(f"{held}: makes no index date by the mapping")
        elif on is None:
            yield Reason(f"{held}: did not happen, or has no day as its date")


_READ = {
    "Observation": "subject",
    "Condition": "subject",
    "MedicationAdministration": "subject",
    "MedicationRequest": "subject",
    "MedicationStatement": "subject",
    "Procedure": "subject",
    "ImagingStudy": "subject",
    "Consent": "patient",
}


def _without_reasons(told: list[Fact | Reason]) -> list[Fact]:
    return [each for each in told if isinstance(each, Fact)]


def _meant(rule: IndexRule, codes: frozenset[Code], profiles: frozenset[str]) -> bool:
    return bool(rule.codes & codes) or (bool(rule.profile) and rule.profile in profiles)


def _event_codes(resource: Object) -> frozenset[Code]:
    """Return the code of an event; of images, their modalities and procedures."""
    images = (code_of(each) for each in objects_of(resource, "modality"))
    procedures = (code for each in objects_of(resource, "procedureCode") for code in codes_of(each))
    named = codes_of(object_in(resource, "code"))
    return frozenset(each for each in (*named, *procedures, *images) if each is not None)


def _happened_on(held: Held) -> date | None:
    """Return the day an event began; ``None``: it did not happen, or the day is not known."""
    resource = held.resource
    if held.kind == "Condition":
        return diagnosed_on(resource) if is_valid_condition(resource) else None
    if text_in(resource, "status") not in _HAPPENED[held.kind]:
        return None
    period = object_in(resource, "performedPeriod")
    named = [text_in(resource, key) for key in ("performedDateTime", "started")]
    return day_of(next((each for each in (*named, text_in(period, "start")) if each), ""))
