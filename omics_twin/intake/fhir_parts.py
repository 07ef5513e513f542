"""What the parts of a FHIR resource say: its codes, its days, whom it is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from omics_twin.intake.fhir_rules import objects_of

# The system, and the code in it.
Code = tuple[str, str]
Object = Mapping[str, Any]
# A value of a record; None: it is known not to have been measured.
Value = int | float | str | None

_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.*)?")
_VERSION = re.compile(r"/_history/\S+$")


@dataclass(frozen=True)
class Held:
    """One resource of a Bundle and its place there, counted from 0.

    Attributes
    ----------
    url
        The ``fullUrl`` of the entry; empty where it has none.
    """

    place: int
    resource: Object
    url: str = ""

    @property
    def kind(self) -> str:
        """What the resource is, such as ``Observation``."""
        return text_in(self.resource, "resourceType")

    @property
    def base(self) -> str:
        """The server that the resource is of; empty where its url does not say."""
        end = f"/{self.kind}/{text_in(self.resource, 'id')}"
        return self.url.removesuffix(end) if self.url.endswith(end) else ""

    def __str__(self) -> str:
        """Return how a sentence names the resource, without a value of the patient."""
        return f"entry {self.place} ({self.kind})"


@dataclass(frozen=True)
class Reason:
    """Why something could not be used: one sentence, without a value of the patient."""

    sentence: str


def object_in(value: Object, key: str) -> Object:
    """Return the object under a key, an empty one where there is none."""
    held = value.get(key)
    return held if isinstance(held, dict) else {}


def text_in(value: Object, key: str) -> str:
    """Return the text under a key, an empty one where there is none."""
    held = value.get(key)
    return held if isinstance(held, str) else ""


def codes_of(concept: Object) -> tuple[Code, ...]:
    """Return the codes of a CodeableConcept that name their system.

    Examples
    --------
    >>> codes_of({"coding": [{"system": "http://loinc.org", "code": "718-7"}, {"code": "Hb"}]})
    (('http://loinc.org', '718-7'),)
    """
    found = (code_of(each) for each in objects_of(concept, "coding"))
    return tuple(each for each in found if each is not None)


def code_of(coding: Object) -> Code | None:
    """Return the code of a Coding, ``None`` where the code or its system is not named."""
    system, code = text_in(coding, "system"), text_in(coding, "code")
    return (system, code) if system and code else None


def day_of(written: str) -> date | None:
    """Return the day of a date or a time as written there; a month or a year alone is no day.

    Examples
    --------
    >>> day_of("2024-03-01T23:30:00-05:00"), day_of("2024-03")
    (datetime.date(2024, 3, 1), None)
    """
    matched = _DAY.fullmatch(written)
    try:
        return date.fromisoformat(matched[1]) if matched else None
    except ValueError:
        return None


def profiles_of(resource: Object) -> frozenset[str]:
    """Return the profiles a resource says it keeps, without their versions."""
    listed = object_in(resource, "meta").get("profile")
    named = listed if isinstance(listed, list) else []
    return frozenset(each.partition("|")[0] for each in named if isinstance(each, str))


@dataclass(frozen=True)
class Named:
    """What references to one resource of a Bundle may call it.

    Attributes
    ----------
    relative, url
        ``Type/id``, which is the resource's on its own server alone, and the ``fullUrl``.
    base
        Its server.
    identifiers
        System and value of its business identifiers.
    """

    relative: str
    url: str
    base: str
    identifiers: frozenset[Code]

    @staticmethod
    def of(held: Held) -> Named:
        """Return the names of a resource."""
        name = text_in(held.resource, "id")
        listed = objects_of(held.resource, "identifier")
        identifiers = {(text_in(each, "system"), text_in(each, "value")) for each in listed}
        return Named(
            relative=f"{held.kind}/{name}" if name else "",
            url=held.url,
            base=held.base,
            identifiers=frozenset(each for each in identifiers if all(each)),
        )

    def meant_by(self, reference: Object, by: Held) -> bool:
        """Return whether a Reference in another resource is to this one."""
        written = _VERSION.sub("", text_in(reference, "reference"))
        if written:
            elsewhere = self.base and by.base and self.base != by.base
            return written == self.url or (written == self.relative and not elsewhere)
        identifier = object_in(reference, "identifier")
        return (text_in(identifier, "system"), text_in(identifier, "value")) in self.identifiers
