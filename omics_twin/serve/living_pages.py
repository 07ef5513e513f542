"""The pages of a twin that learns from visit to visit: patient, what-if, a measurement added."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from omics_twin.chart.accounts import Role
from omics_twin.chart.doses import doses_of
from omics_twin.chart.learned import learn
from omics_twin.chart.lived import by_dose, live, permitted
from omics_twin.errors import ChartError, ConsentError, OmicsTwinError, TwinError, nearest
from omics_twin.report.words import name_in_words, visible
from omics_twin.serve import about_living, visit_form
from omics_twin.serve.about_living import LivingDesk, Supposed
from omics_twin.serve.kept import told_in_words
from omics_twin.serve.site import Filled, Site
from omics_twin.therapy.regimens import SCHEDULES
from omics_twin.told import RecordedVisit
from omics_twin.trust.event import Action, Outcome


def add_living_pages(app: FastAPI, site: Site, desk: LivingDesk) -> None:
    """Add the pages of a desk whose model learns from visit to visit."""

    @app.get("/patient")
    def patient(request: Request, id: str) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        told, page = about_living.about(desk, id, by=who.name)
        site.note(who, Action.OPEN_PATIENT, id, shown=told.record.model_dump(), answer=told.lines)
        return site.page(request, "living_page", who, page)

    @app.get("/what-if")
    def what_if(
        request: Request,
        id: str,
        drug: str = "",
        amount: str = "",
        schedule: str = "",
        days: str = "",
        arm: str = "",
    ) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        told, page = about_living.about(desk, id, by=who.name)
        asked = Supposed(drug, amount, schedule, days, arm)
        wrong, answer = "", None
        if drug or arm:
            try:
                answer = about_living.what_if(desk, told, asked)
            except OmicsTwinError as error:
                wrong = told_in_words(error)
        values = {
            **page,
            "asked": asked,
            "answer": answer,
            "wrong": wrong,
            "drugs": desk.drugs,
            "arms": list(desk.labels.items()),
            "schedules": list(SCHEDULES),
            "utility": about_living.utility_in_words(desk),
        }
        lines = told.lines if answer is None else answer["raw"]
        site.note(who, Action.SIMULATE, id, shown=told.record.model_dump(), answer=lines)
        return site.page(request, "living_what_if", who, values, 422 if wrong else 200)

    @app.get("/visit")
    def visit(request: Request, id: str, channel: str, amends: int | None = None) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        before = _asked(desk, id, channel, amends)
        if before is not None:
            site.note(who, Action.OPEN_PATIENT, id, shown=before.model_dump())
        return site.page(request, "visit", who, _page(desk, id, channel, amends, before, {}, ""))

    @app.post("/visit")
    def add_visit(
        request: Request, id: str, channel: str, form: Filled, amends: int | None = None
    ) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        written = {name: str(text) for name, text in form.items()}
        action = Action.ADD_VISIT if amends is None else Action.AMEND
        wrong = _asked(desk, id, channel, amends)
        reason = written.get("reason", "")[:2000]
        try:
            if amends is not None and not reason.strip():
                raise ChartError("a visit is amended without a reason: say why")
            told = about_living.visit_in(desk, channel, written, wrong)
            before = live(*desk.asked(id), by=who.name)
            _, change = learn(
                desk.chart, desk.model, id, told, desk.settings,
                key=written.get("key", ""), by=who.name, amends=amends, reason=reason,
            )  # fmt: skip
        except ConsentError:
            raise
        except OmicsTwinError as error:
            site.note(who, action, id, outcome=Outcome.REFUSED)
            values = _page(desk, id, channel, amends, wrong, written, told_in_words(error))
            return site.page(request, "visit", who, values, 422)
        after = live(*desk.asked(id), by=who.name)
        pair = (before.lines, after.lines)
        learned = about_living.learned(desk, change, *pair)
        again = None
        if amends is not None:
            first, last = (about_living.order_in_words(each) for each in pair)
            again = {"before": first, "after": last}
        site.note(who, action, id, shown=told.model_dump(), answer=[learned, again])
        page = {"patient_id": id, "learned": learned, "amended": again}
        return site.page(request, "learned", who, page)


def _asked(
    desk: LivingDesk, patient_id: str, modality: str, amends: int | None
) -> RecordedVisit | None:
    """Return the visit that is amended, after it was asked whether it may be."""
    withheld = permitted(desk.chart, desk.model, patient_id)
    known = about_living.by_hand(desk)
    if modality not in known:
        raise TwinError(f"the model knows no such measurement{nearest('', known)}")
    if modality in withheld:
        raise ConsentError("the patient withholds what would be written: it may not be used")
    return None if amends is None else desk.chart.record(patient_id, [amends]).visits[0]


def _page(
    desk: LivingDesk,
    patient_id: str,
    modality: str,
    amends: int | None,
    before: RecordedVisit | None,
    written: Mapping[str, str],
    told: str,
) -> dict[str, Any]:
    given = [each.under for each in desk.chart.record(patient_id).visits if each.under]
    doses = [each.dose for each in doses_of(desk.chart, patient_id)]
    first = (
        {"under": (given or [""])[-1], "day": ""}
        if before is None
        else visit_form.written_in(modality, before)
    )
    return {
        "patient_id": patient_id,
        "channel": modality,
        "planned": "",
        "ask_therapy": not by_dose(desk.model, doses),
        "amends": amends,
        "name": visible(name_in_words(modality)),
        "fields": about_living.fields_of(desk, modality),
        "arms": list(desk.labels.items()),
        "written": written or first,
        "key": written.get("key") or secrets.token_urlsafe(24),
        "told": told,
    }
