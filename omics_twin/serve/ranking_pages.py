"""The pages of a twin that ranks: patient, what-if, a visit added or amended."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from omics_twin.chart import amended
from omics_twin.chart.accounts import Role
from omics_twin.chart.given import Given, give
from omics_twin.chart.learned import learn
from omics_twin.errors import ChartError, ConsentError, OmicsTwinError
from omics_twin.record import NOT_MEASURED, strata_in, stratum_of
from omics_twin.report.risk import risk_assessments
from omics_twin.report.words import name_in_words, visible
from omics_twin.serve import about, visit_form
from omics_twin.serve.about import Desk
from omics_twin.serve.kept import told_in_words
from omics_twin.serve.site import Filled, Site
from omics_twin.tensors.design import ChannelDesign
from omics_twin.told import RecordedVisit
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Outcome


def add_ranking_pages(app: FastAPI, site: Site, desk: Desk) -> None:
    """Add the pages of a desk whose model ranks."""

    @app.get("/patient")
    def patient(request: Request, id: str) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        given, page = about.about(desk, id, by=who.name)
        choices = visit_form.choices(desk.model, given.record)
        site.note(who, Action.OPEN_PATIENT, id, shown=given.record.model_dump(), answer=given.lines)
        return site.page(request, "patient_page", who, {**page, "choices": choices})

    @app.get("/patient.fhir.json")
    def exported(request: Request, id: str) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        given = give(*desk.asked(id), by=who.name)
        bundle = risk_assessments(desk.model, given.lines, desk.settings, datetime.now(UTC))
        site.note(who, Action.EXPORT, id, shown=given.record.model_dump(), answer=bundle)
        return JSONResponse(bundle, media_type="application/fhir+json")

    @app.get("/what-if")
    def what_if(
        request: Request, id: str, column: str = "", value: str = "", tests: bool = False
    ) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        arms = [each for each in request.query_params.getlist("arm") if each in desk.labels]
        given, page = about.about(desk, id, by=who.name)
        supposed, said = visit_form.supposed_in(desk.model, column, value)
        answer = about.what_if(desk, given, page, arms, supposed)
        more = about.one_more(desk, given) if tests else None
        told = {
            **page,
            **answer,
            "arms": arms,
            "supposed": said,
            "column": column,
            "value": value if said else "",
            "columns": visit_form.columns_of(desk.model),
            "tests": more,
        }
        lines = [
            {"therapy": each.arm, "expected": each.expected}
            for each in (answer["then"] or answer["now"])["comparison"].opened
        ]
        site.note(who, Action.SIMULATE, id, shown=given.record.model_dump(), answer=lines)
        return site.page(request, "what_if", who, told)

    @app.get("/visit")
    def visit(request: Request, id: str, channel: str, amends: int | None = None) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        shown = _asked(desk, id, channel, amends)
        if shown.visit is not None:
            site.note(who, Action.OPEN_PATIENT, id, shown=shown.visit.model_dump())
        return site.page(request, "visit", who, _visit_page(desk, id, shown, {}, ""))

    @app.post("/visit")
    def add_visit(
        request: Request, id: str, channel: str, form: Filled, amends: int | None = None
    ) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        written = {name: str(text) for name, text in form.items()}
        action = Action.ADD_VISIT if amends is None else Action.AMEND
        shown = _asked(desk, id, channel, amends)
        reason = written.get("reason", "")[:2000]
        try:
            if amends is not None and not reason.strip():
                raise ChartError("a visit is amended without a reason: say why")
            told = visit_form.visit_in(shown.channel, written, shown.visit)
            before = None if amends is None else give(*desk.asked(id), by=who.name)
            _, change = learn(
                desk.chart, desk.model, id, told, desk.settings,
                key=written.get("key", ""), by=who.name, amends=amends, reason=reason,
            )  # fmt: skip
        except ConsentError:
            raise
        except OmicsTwinError as error:
            site.note(who, action, id, outcome=Outcome.REFUSED)
            values = _visit_page(desk, id, shown, written, told_in_words(error))
            return site.page(request, "visit", who, values, 422)
        learned = about.learned(desk, change)
        again = None if before is None else _amended(desk, id, before, who.name)
        site.note(who, action, id, shown=told.model_dump(), answer=[learned, again])
        page = {"patient_id": id, "learned": learned, "amended": again}
        return site.page(request, "learned", who, page)

    @app.post("/stratum")
    def amend_stratum(request: Request, id: str, form: Filled) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        before = give(*desk.asked(id), by=who.name)
        known = strata_in(desk.model)
        told = {column: str(form.get(f"stratum.{column}", "")) for column in known}
        # The form says nothing of what is not measured, as a record does.
        stratum = {column: level for column, level in told.items() if level != NOT_MEASURED}
        stratum_of(desk.model, before.record.model_copy(update={"stratum": stratum}))
        reason = str(form.get("reason", ""))[:2000]
        amended.amend_stratum(desk.chart, id, stratum, reason=reason, by=who.name)
        again = _amended(desk, id, before, who.name)
        site.note(who, Action.AMEND, id, shown=stratum, answer=again)
        page = {"patient_id": id, "learned": None, "amended": again}
        return site.page(request, "learned", who, page)


@dataclass(frozen=True)
class _Asked:
    """Which visit is written: a scheduled one, and the visit of the chart that it amends."""

    channel: ChannelDesign
    amends: int | None
    visit: RecordedVisit | None


def _asked(desk: Desk, patient_id: str, name: str, amends: int | None) -> _Asked:
    channel = visit_form.channel_of(desk.model, name)
    withheld = desk.chart.check_consent(patient_id, Purpose.SCORING, desk.modalities)
    if channel.modality in withheld:
        raise ConsentError("the patient withholds what would be written: it may not be used")
    if amends is None:
        return _Asked(channel, None, None)
    return _Asked(channel, amends, desk.chart.record(patient_id, [amends]).visits[0])


def _amended(desk: Desk, patient_id: str, before: Given, by: str) -> dict[str, list[str]]:
    """Return the ranking that rested on what was wrong, and the one that is given now."""
    after = give(*desk.asked(patient_id), by=by)
    return {
        "before": about.order_in_words(desk, before.lines),
        "after": about.order_in_words(desk, after.lines),
    }


def _visit_page(
    desk: Desk, patient_id: str, asked: _Asked, written: Mapping[str, str], told: str
) -> dict[str, Any]:
    channel = asked.channel
    if asked.visit is None:
        given = [each.under for each in desk.chart.record(patient_id).visits if each.under]
        decided = [each.intervention for each in desk.chart.decisions(patient_id)]
        first = {"under": (given or decided or [""])[-1], "day": f"{channel.visit_day:g}"}
    else:
        first = visit_form.written_in(channel.modality, asked.visit)
    return {
        "patient_id": patient_id,
        "channel": channel.name,
        "planned": f"planned on day {channel.visit_day:g}, at most {channel.window_days:g} days "
        "from it",
        "ask_therapy": channel.follow_up,
        "amends": asked.amends,
        "name": visible(name_in_words(channel.modality)),
        "fields": visit_form.fields_of(channel),
        "arms": list(desk.labels.items()),
        "written": written or first,
        # A form that is sent twice counts once.
        "key": written.get("key") or secrets.token_urlsafe(24),
        "told": told,
    }
