"""The pages of a twin that learns from visit to visit: patient, what-if, a measurement added."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from omics_twin.chart.accounts import Role
from omics_twin.chart.doses import doses_of
from omics_twin.chart.learned import learn
from omics_twin.chart.lived import by_dose, live, permitted
from omics_twin.errors import ConsentError, OmicsTwinError, TwinError, nearest
from omics_twin.serve import about_living
from omics_twin.serve.about_living import LivingDesk, Supposed
from omics_twin.serve.kept import told_in_words
from omics_twin.serve.site import Site
from omics_twin.serve.visit_pages import Form, Lines, Twin, add_visit_pages
from omics_twin.therapy.regimens import SCHEDULES
from omics_twin.told import RecordedVisit
from omics_twin.trust.event import Action


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

    def now(patient_id: str, by: str) -> Lines:
        return live(*desk.asked(patient_id), by=by).lines

    def learn_from(patient_id: str, visit: RecordedVisit, **more: Any) -> tuple[int, Any]:
        return learn(desk.chart, desk.model, patient_id, visit, desk.settings, **more)

    learned, in_words = partial(about_living.learned, desk), about_living.order_in_words
    twin = Twin(desk.chart, desk.labels, partial(_form, desk), now, learn_from, learned, in_words)
    add_visit_pages(app, site, twin)


def _form(desk: LivingDesk, patient_id: str, modality: str, amends: int | None) -> Form:
    withheld = permitted(desk.chart, desk.model, patient_id)
    known = about_living.by_hand(desk)
    if modality not in known:
        raise TwinError(f"the model knows no such measurement{nearest('', known)}")
    if modality in withheld:
        raise ConsentError("the patient withholds what would be written: it may not be used")
    before = None if amends is None else desk.chart.record(patient_id, [amends]).visits[0]
    doses = [each.dose for each in doses_of(desk.chart, patient_id)]
    return Form(
        modality,
        modality,
        planned="",
        day="",
        ask_therapy=not by_dose(desk.model, doses),
        fields=about_living.fields_of(desk, modality),
        read=lambda written: about_living.visit_in(desk, modality, written, before),
        before=before,
    )
