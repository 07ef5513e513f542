"""CDS Hooks 2.0: a hospital system asks while a patient is open, and is told in cards.

A card is an estimate to talk about, never an order. Who does not permit scoring gets no card, and
nothing says why. What became of a card comes back as feedback and is kept.

References
----------
CDS Hooks 2.0: https://cds-hooks.hl7.org/2.0/
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from omics_twin.answers.beliefs import Belief, shown_in
from omics_twin.bedside.record import belief_in, kept_of, patients_told, ranking_of
from omics_twin.chart.cards import Feedback, add_card, add_feedback
from omics_twin.chart.given import give
from omics_twin.chart.store import CHART
from omics_twin.errors import OmicsTwinError
from omics_twin.intake.fhir import consents_in, patients_of, read_bundle, wrapped
from omics_twin.intake.fhir_parts import codes_of, object_in
from omics_twin.report.comparison import Comparison, compare
from omics_twin.report.limits import unlike
from omics_twin.report.words import Scale, counted, percent, probability, visible
from omics_twin.serve.about import Desk
from omics_twin.serve.reading import RefusedError, parsed
from omics_twin.serve.signed import Hospital, Seen, signed
from omics_twin.told import PatientRecord
from omics_twin.trust.audit import AuditLog
from omics_twin.trust.consent import Entry, Ledger, Purpose, judged
from omics_twin.trust.event import Action, Event, Outcome, digest_of
from omics_twin.types import Ranking, TwinState

PREFIX = "/cds-services"
_LONGEST_SUMMARY = 139
_MOST_BYTES = 20_000_000
_LISTED = 8
_ORDER_SELECT = "omics-twin-order-select"
_HOOKS = {"omics-twin-patient-view": "patient-view", _ORDER_SELECT: "order-select"}
_OUTCOMES = ("accepted", "overridden")
_PREFETCH = {
    "patient": "Patient/{{context.patientId}}",
    "conditions": "Condition?patient={{context.patientId}}",
    "observations": "Observation?patient={{context.patientId}}",
    "administrations": "MedicationAdministration?patient={{context.patientId}}",
    "statements": "MedicationStatement?patient={{context.patientId}}",
    "procedures": "Procedure?patient={{context.patientId}}",
    "consents": "Consent?patient={{context.patientId}}",
}
_REASONS = {
    "contraindicated": "The therapy is contraindicated",
    "preference": "The patient prefers another therapy",
    "unavailable": "The therapy is not available",
    "disagree": "The estimate is not believed",
    "other": "Another reason",
}
_REASON_SYSTEM = "urn:omics-twin:override-reason"


@dataclass(frozen=True)
class _House:
    """What every request is answered with."""

    desk: Desk
    log: AuditLog
    hospital: Hospital
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True)
class _Answer:
    """A ranking and what it rests on."""

    ranking: Ranking
    state: TwinState
    shown: Any
    number: int | None
    unmapped: int
    unlike: str


def cds_router(desk: Desk, log: AuditLog, hospital: Hospital) -> APIRouter:
    """Return discovery, the two services and their feedback."""
    router, house = APIRouter(), _House(desk, log, hospital)

    @router.get(PREFIX)
    def discovery() -> Response:
        services = [
            {
                "hook": hook,
                "id": name,
                "title": "Therapies compared by the patient's twin",
                "description": f"Expected {visible(desk.model.title)} under each therapy, with "
                "intervals. Research use only: never an order.",
                "prefetch": _PREFETCH,
                "usageRequirements": "Consent for scoring, in the chart or as a FHIR Consent.",
            }
            for name, hook in _HOOKS.items()
        ]
        # Anybody may read what there is, from a browser too.
        return JSONResponse({"services": services}, headers={"access-control-allow-origin": "*"})

    @router.post(PREFIX + "/{service}")
    async def ask(request: Request, service: str) -> Response:
        return await _told(request, lambda body: _cards(house, request, service, body))

    @router.post(PREFIX + "/{service}/feedback")
    async def feedback(request: Request, service: str) -> Response:
        return await _told(request, lambda body: _feedback(house, request, service, body))

    return router


async def _told(request: Request, answer: Any) -> Response:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return _refusal(413, f"the body is larger than {_MOST_BYTES} bytes: send less")
    try:
        return JSONResponse(await run_in_threadpool(answer, bytes(body)))
    except RefusedError as refused:
        return _refusal(refused.status, refused.sentence)
    except OmicsTwinError:
        # The sentence may name what stands in the prefetch.
        return _refusal(422, "what was sent cannot be shown to the twin: see the patient's chart")


def _refusal(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)


def _object(body: bytes) -> dict[str, Any]:
    told = parsed(body)
    if not isinstance(told, dict):
        raise RefusedError(400, "the body is no JSON object: send one as CDS Hooks 2.0 has it")
    return told


def _text(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    if not isinstance(found, str) or not found or not found.isprintable():
        raise RefusedError(400, f"'{name}' is missing or no text: send it as CDS Hooks 2.0 has it")
    return found


def _signed(house: _House, request: Request, service: str, below: str) -> str:
    """Return who asks a service.

    Raises
    ------
    RefusedError
        If there is none of this name, or it is not known who asks.
    """
    if service not in _HOOKS:
        raise RefusedError(404, f"no service of this name: GET {PREFIX} lists them")
    return signed(house.hospital, house.seen, request, f"{PREFIX}/{service}{below}")


def _cards(house: _House, request: Request, service: str, body: bytes) -> dict[str, Any]:
    who = _signed(house, request, service, "")
    desk, hospital = house.desk, house.hospital
    told = _object(body)
    if _text(told, "hook") != _HOOKS[service]:
        raise RefusedError(400, f"'hook' is another, expected '{_HOOKS[service]}'")
    _text(told, "hookInstance")
    context, prefetch = told.get("context"), told.get("prefetch")
    if not isinstance(context, dict):
        raise RefusedError(400, "'context' is missing: send it as CDS Hooks 2.0 has it")
    patient = _text(context, "patientId")
    answer = _answer(desk, hospital, who, patient, prefetch)
    patient = desk.chart.known_as(patient)
    if answer is None:
        _note(house, who, patient, Action.REFUSED, Outcome.REFUSED)
        return {"cards": []}
    selected = _selected(hospital, context) if service == _ORDER_SELECT else ""
    cards = _card(desk, hospital, patient, answer, selected)
    for each in cards:
        add_card(desk.chart, each["uuid"], answer.number, by=who)
    _note(house, who, patient, Action.RANK, shown=answer.shown, answer=cards)
    return {"cards": cards}


def _answer(
    desk: Desk, hospital: Hospital, who: str, patient: str, prefetch: Any
) -> _Answer | None:
    """Return the answer from the chart or, for a patient without one, from what was sent."""
    mapping, sent, told = hospital.mapping, _sent(prefetch, patient), None
    patient = desk.chart.known_as(patient)
    entries = desk.chart.consents(patient)
    if desk.chart.has(patient):
        # A later permit does not open a chart that says no; a denial closes one that says yes.
        if _refused(patient, entries):
            return None
        if mapping is not None and sent is not None:
            entries += consents_in(sent, mapping, patient_id=patient)
    else:
        if mapping is None or sent is None:
            raise RefusedError(
                412, "the patient has no chart and nothing was prefetched: send the prefetch"
            )
        told = read_bundle(sent, mapping, patient_id=patient)
        entries += told.consents
    if _refused(patient, entries):
        return None
    model, settings = desk.model, desk.settings
    if told is None:
        kept = give(desk.chart, model, patient, settings, by=who)
        ranking = ranking_of(model, kept.kept, kept.state, settings)
        record, number = kept.record, kept.number
        far = _unlike(desk, record)
        return _Answer(ranking, kept.state, record.model_dump(), number, 0, far)
    belief = kept_of(model, told.record, settings)
    state = belief_in(model, belief)
    ranking = ranking_of(model, belief, state, settings)
    far = _unlike(desk, told.record)
    return _Answer(ranking, state, told.record.model_dump(), None, len(told.unmapped), far)


def _refused(patient: str, entries: Sequence[Entry]) -> bool:
    ledger = Ledger(CHART, tuple(entries))
    return patient in judged([patient], ledger, Purpose.SCORING).refused


def _sent(prefetch: Any, patient: str) -> dict[str, Any] | None:
    """Return what was prefetched of the patient as one Bundle; None where nothing was.

    Raises
    ------
    RefusedError
        If it is about another patient.
    """
    if not isinstance(prefetch, dict):
        return None
    resources = [each for each in prefetch.values() if isinstance(each, dict)]
    if not resources:
        return None
    bundle = wrapped(resources)
    if patients_of(bundle) != {patient}:
        raise RefusedError(
            400, "what was prefetched is not of the patient of the context: send that patient's"
        )
    return bundle


def _unlike(desk: Desk, record: PatientRecord) -> str:
    patients = patients_told(desk.model, record, source="", basis="")
    return unlike(desk.model, patients)


def _card(
    desk: Desk, hospital: Hospital, patient: str, answer: _Answer, selected: str
) -> list[dict[str, Any]]:
    model, scale = desk.model, desk.scale
    belief = Belief(np.arange(1), answer.state, shown_in(model, answer.state))
    comparison = compare(model, belief, answer.ranking)
    closed = bool(selected) and selected not in [each.arm for each in comparison.opened]
    warns = bool(answer.unlike or comparison.abstention or closed or not comparison.opened)
    card: dict[str, Any] = {
        "uuid": str(uuid.uuid4()),
        "summary": _summary(answer, comparison, scale),
        "detail": _detail(desk, comparison, scale, answer, selected),
        "indicator": "warning" if warns else "info",
        "source": {"label": f"omics_twin, model {model.twin.name}: research use only"},
        "overrideReasons": [
            {"code": code, "system": _REASON_SYSTEM, "display": display}
            for code, display in _REASONS.items()
        ],
    }
    if answer.number is not None:
        url = f"{hospital.address}/patient?{urlencode({'id': patient})}"
        card["links"] = [{"label": "Open the patient's twin", "url": url, "type": "absolute"}]
    return [card]


def _summary(answer: _Answer, comparison: Comparison, scale: Scale) -> str:
    if answer.unlike and not comparison.opened:
        told = "Twin gives no answer: the patient is unlike the training patients"
    elif not comparison.opened:
        told = "Twin: no therapy that it knows is open to this patient"
    elif answer.unlike:
        told = "Twin: do not rely on the ranking, the patient is unlike the training patients"
    elif comparison.abstention:
        told = f"Twin recommends nothing: {comparison.abstention}"
    else:
        first = comparison.opened[0]
        interval = scale.interval(first.lower, first.upper)
        told = f"Twin: {first.label}, {scale.value(first.expected)} ({interval})"
        tied = len(comparison.tied) - 1
        told += f"; {counted(tied, 'other')} not clearly different" if tied else ""
    return told if len(told) <= _LONGEST_SUMMARY else told[: _LONGEST_SUMMARY - 1] + "…"


def _detail(
    desk: Desk, comparison: Comparison, scale: Scale, answer: _Answer, selected: str
) -> str:
    lines = [
        f"Expected {_plain(desk.model.title)}, {percent(answer.ranking.interval)} interval. "
        "**Research use only: an estimate to talk about, never an order.**",
        "",
    ]
    if selected:
        label, place = desk.labels.get(selected, selected), _place(comparison, scale, selected)
        lines += [f"Selected: {_plain(label)}, {place}.", ""]
    for number, each in enumerate(comparison.opened[:_LISTED]):
        thin = ", thin support" if each.thin else ""
        tied = ", not clearly different from the first" if number and each.tied else ""
        lines.append(
            f"- {_plain(each.label)}: {scale.value(each.expected)} "
            f"({scale.interval(each.lower, each.upper)}), best with probability "
            f"{probability(each.probability_best)}{thin}{tied}"
        )
    lines += [
        f"- {_plain(each.label)}: {_plain(each.reason)}" for each in comparison.closed[:_LISTED]
    ]
    if answer.unlike:
        lines += ["", f"**{_plain(answer.unlike)}.**"]
    if answer.unmapped:
        lines += ["", f"{counted(answer.unmapped, 'resource')} of the prefetch could not be used."]
    return "\n".join(lines)


def _selected(hospital: Hospital, context: Mapping[str, Any]) -> str:
    """Return the arm that drafted medication requests make; empty where they make none we know."""
    drafts, mapping = context.get("draftOrders"), hospital.mapping
    entries = drafts.get("entry") if isinstance(drafts, dict) else None
    if mapping is None or not isinstance(entries, list):
        return ""
    found = [each.get("resource") for each in entries if isinstance(each, dict)]
    orders = [
        each
        for each in found
        if isinstance(each, dict) and each.get("resourceType") == "MedicationRequest"
    ]
    concepts = [codes_of(object_in(each, "medicationCodeableConcept")) for each in orders]
    agents = {agent for agent in map(mapping.agent_of, concepts) if agent}
    return mapping.arms.get(frozenset(agents), "")


def _place(comparison: Comparison, scale: Scale, selected: str) -> str:
    for place, each in enumerate(comparison.opened, start=1):
        if each.arm == selected:
            ends = scale.interval(each.lower, each.upper)
            told = f"{scale.value(each.expected)} ({ends})"
            if place == 1:
                return f"first of {len(comparison.opened)}: {told}"
            clear = "not clearly different from" if each.tied else "clearly worse than"
            return f"place {place} of {len(comparison.opened)}: {told}, {clear} the first"
    return "which is not open to this patient as far as the twin knows"


def _plain(text: str) -> str:
    """Return text in which nothing is markup."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>#|!" else each for each in visible(text))


def _feedback(house: _House, request: Request, service: str, body: bytes) -> dict[str, Any]:
    who = _signed(house, request, service, "/feedback")
    given = _object(body).get("feedback")
    if not isinstance(given, list) or not given or not all(isinstance(e, dict) for e in given):
        raise RefusedError(400, "'feedback' is no list of objects: send it as CDS Hooks 2.0 has it")
    told = [_one(each) for each in given]
    add_feedback(house.desk.chart, told, by=who)
    _note(house, who, None, Action.DECIDE, answer=[each.card for each in told])
    return {}


def _one(given: Mapping[str, Any]) -> Feedback:
    outcome = _text(given, "outcome")
    if outcome not in _OUTCOMES:
        raise RefusedError(400, "'outcome' is neither 'accepted' nor 'overridden'")
    override = given.get("overrideReason") or {}
    reason = override.get("reason") if isinstance(override, dict) else None
    code = reason.get("code") if isinstance(reason, dict) else None
    comment = override.get("userComment") if isinstance(override, dict) else None
    if outcome == "overridden" and code is not None and code not in _REASONS:
        raise RefusedError(400, "the override reason is none of those of the card")
    return Feedback(_text(given, "card"), outcome, code or "", str(comment or "")[:2000])


def _note(
    house: _House,
    who: str,
    patient: str | None,
    action: Action,
    outcome: Outcome = Outcome.ANSWERED,
    shown: Any = None,
    answer: Any = None,
) -> None:
    desk, log = house.desk, house.log
    log.append(
        Event(
            who=who,
            role="hospital system",
            action=action,
            outcome=outcome,
            patient=None if patient is None else log.pseudonym(patient),
            purpose=Purpose.SCORING,
            model=desk.model.digest or None,
            seed=desk.settings.seed,
            data=None if shown is None else digest_of(shown),
            answer=None if answer is None else digest_of(answer),
        )
    )
