"""The pages of a twin that ranks: patient, what-if, a visit added or amended."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from omics_twin.bedside.record import NOT_MEASURED, strata_in, stratum_of
from omics_twin.chart import amended
from omics_twin.chart.accounts import Role
from omics_twin.chart.given import give
from omics_twin.chart.learned import learn
from omics_twin.errors import ConsentError
from omics_twin.report.risk import risk_assessments
from omics_twin.serve import about, visit_form
from omics_twin.serve.about import Desk
from omics_twin.serve.site import Filled, Site
from omics_twin.serve.visit_pages import Form, Lines, Twin, add_visit_pages
from omics_twin.told import RecordedVisit
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action


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

    def now(patient_id: str, by: str) -> Lines:
        return give(*desk.asked(patient_id), by=by).lines

    def learn_from(patient_id: str, visit: RecordedVisit, **more: Any) -> tuple[int, Any]:
        return learn(desk.chart, desk.model, patient_id, visit, desk.settings, **more)

    def learned(change: Any, *_: Lines) -> dict[str, Any] | None:
        return about.learned(desk, change)

    form_of, in_words = partial(_form, desk), partial(about.order_in_words, desk)
    twin = Twin(desk.chart, desk.labels, form_of, now, learn_from, learned, in_words)
    add_visit_pages(app, site, twin)

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
        pair = (before.lines, now(id, who.name))
        again = dict(zip(("before", "after"), map(in_words, pair), strict=True))
        site.note(who, Action.AMEND, id, shown=stratum, answer=again)
        page = {"patient_id": id, "learned": None, "amended": again}
        return site.page(request, "learned", who, page)


def _form(desk: Desk, patient_id: str, name: str, amends: int | None) -> Form:
    channel = visit_form.channel_of(desk.model, name)
    withheld = desk.chart.check_consent(patient_id, Purpose.SCORING, desk.modalities)
    if channel.modality in withheld:
        raise ConsentError("the patient withholds what would be written: it may not be used")
    before = None if amends is None else desk.chart.record(patient_id, [amends]).visits[0]
    return Form(
        channel.name,
        channel.modality,
        f"planned on day {channel.visit_day:g}, at most {channel.window_days:g} days from it",
        f"{channel.visit_day:g}",
        channel.follow_up,
        visit_form.fields_of(channel),
        lambda written: visit_form.visit_in(channel, written, before),
        before,
    )
