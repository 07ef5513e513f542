"""What a patient consented to, from a Consent resource.

References
----------
FHIR R4B, 4.3.0, https://hl7.org/fhir/R4B/consent.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from omics_twin.errors import shown
from omics_twin.intake.fhir_mapping import FhirMapping
from omics_twin.intake.fhir_parts import (
    Held,
    Reason,
    code_of,
    codes_of,
    day_of,
    object_in,
    text_in,
)
from omics_twin.intake.fhir_rules import objects_of
from omics_twin.trust.consent import Decision, Entry

_PLAIN = frozenset({"type", "purpose", "id"})


def consented(held: Held, mapping: FhirMapping, patient_id: str) -> Iterator[Entry | Reason]:
    """Yield an entry per purpose, or why there is none.

    A permit for a period of whole days is a grant for it; one that is limited otherwise, to a
    person, an action or by an exception, is no grant. A denial is a withdrawal whatever limits it.
    """
    resource = held.resource
    provision = object_in(resource, "provision")
    decision = text_in(provision, "type")
    period = object_in(provision, "period")
    start, end = (day_of(text_in(period, each)) for each in ("start", "end"))
    limits = sorted(set(provision) - _PLAIN - ({"period"} if _whole_days(period) else set()))
    codes = [code for each in objects_of(provision, "purpose") if (code := code_of(each))]
    named = codes or codes_of(object_in(resource, "scope"))
    purposes = dict.fromkeys(
        purpose for code in named for purpose in mapping.consents.get(code, ())
    )
    recorded_on = day_of(text_in(resource, "dateTime"))
    if text_in(resource, "status") != "active":
        status = shown(text_in(resource, "status"))
        yield Reason(f"{held} is {status}, expected 'active': record a withdrawal by hand")
    elif decision not in ("permit", "deny"):
        yield Reason(f"{held}: its provision says neither 'permit' nor 'deny'")
    elif not purposes:
        yield Reason(f"{held}: its scope or purpose is none of the mapping's")
    elif recorded_on is None:
        yield Reason(f"{held}: has no day as its dateTime, expected one: record it by hand")
    elif decision == "permit" and limits:
        yield Reason(f"{held}: its permit is limited by '{limits[0]}', so it is no grant")
    elif decision == "permit" and end is not None and end < (start or recorded_on):
        yield Reason(f"{held}: its permit ends before it is given, so it is no grant")
    else:
        decided = Decision.GRANT if decision == "permit" else Decision.WITHDRAW
        for purpose in purposes:
            entry = Entry(patient_id, decided, purpose, recorded_on)
            granted = decided is Decision.GRANT
            yield replace(entry, valid_from=start, valid_until=end) if granted else entry


def _whole_days(period: Mapping[str, Any]) -> bool:
    """Whether a period says nothing but its first or last day, the last not before the first."""
    days = [day_of(text_in(period, name)) for name in ("start", "end") if name in period]
    known = [day for day in days if day is not None]
    return len(known) == len(period) and known == sorted(known)
