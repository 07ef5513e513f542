"""What was given and what is planned, dose by dose: added and amended by hand."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from omics_twin.chart.accounts import Role
from omics_twin.chart.doses import add_dose, doses_of
from omics_twin.chart.lived import check_dose
from omics_twin.errors import ConsentError, OmicsTwinError, TwinError
from omics_twin.serve.about_living import LivingDesk
from omics_twin.serve.kept import told_in_words
from omics_twin.serve.site import Filled, Site, address
from omics_twin.serve.visit_form import number_in
from omics_twin.told import LARGEST_SURFACE_M2, RecordedDose, dose_of
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Outcome

_NUMBERS = {
    "amount": "amount",
    "start_days": "first day",
    "interval_days": "days between administrations",
    "repeat": "how many administrations",
    "duration_days": "length of one",
}


_BY_SURFACE = "mg/m2"


def add_dose_pages(app: FastAPI, site: Site) -> None:
    """Add the pages on which doses are written."""
    chart = site.desk.chart

    @app.get("/dose")
    def dose(request: Request, id: str, amends: int | None = None) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        chart.check_consent(id, Purpose.SCORING)
        before = None if amends is None else doses_of(chart, id, [amends])[0].dose
        if before is not None:
            site.note(who, Action.OPEN_PATIENT, id, shown=before.model_dump())
        written = {} if before is None else _written(before)
        return site.page(request, "dose", who, _page(id, amends, written, ""))

    @app.post("/dose")
    def keep_dose(request: Request, id: str, form: Filled, amends: int | None = None) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        chart.check_consent(id, Purpose.SCORING)
        written = {name: str(text) for name, text in form.items()}
        action = Action.ADD_DOSE if amends is None else Action.AMEND
        try:
            told = dose_in(written)
            key, reason = written.get("key", ""), written.get("reason", "")[:2000]
            if isinstance(site.desk, LivingDesk):
                desk = site.desk
                check_dose(chart, desk.model, id, told, desk.settings, amends=amends)
            add_dose(chart, id, told, key=key, by=who.name, amends=amends, reason=reason)
        except ConsentError:
            raise
        except OmicsTwinError as error:
            site.note(who, action, id, outcome=Outcome.REFUSED)
            page = _page(id, amends, written, told_in_words(error))
            return site.page(request, "dose", who, page, 422)
        site.note(who, action, id, shown=told.model_dump())
        return RedirectResponse(address("/patient", id=id) + "#doses", 303)


def dose_in(form: Mapping[str, str]) -> RecordedDose:
    """Return the dose of a form, in mg; one by body surface times the surface that it tells.

    Raises
    ------
    TwinError
        If the drug, a number or the schedule is none.

    Examples
    --------
    >>> written = {"drug": "paclitaxel", "amount": "80", "unit": "mg/m2", "surface": "1.75"}
    >>> dose_in({**written, "start_days": "0"}).amount
    140.0
    """
    numbers = {
        name: number_in(label, form[name]) for name, label in _NUMBERS.items() if form.get(name)
    }
    if "amount" not in numbers or "start_days" not in numbers:
        raise TwinError("the amount or the first day is missing: write both")
    if form.get("unit") == _BY_SURFACE:
        surface = number_in("body surface", form.get("surface", ""))
        if not 0.0 < surface <= LARGEST_SURFACE_M2:
            raise TwinError(
                f"the body surface is no area above 0 and at most {LARGEST_SURFACE_M2:g} m²: write "
                "the one that the dose was worked out for, or the amount in mg"
            )
        numbers["amount"] *= surface
    repeat = numbers.pop("repeat", 1.0)
    if not repeat.is_integer():
        raise TwinError("how many administrations there are is no whole number: write one")
    drug = form.get("drug", "").strip().lower()
    planned = form.get("planned") == "true"
    return dose_of({"drug": drug, **numbers, "repeat": int(repeat), "planned": planned})


def _written(dose: RecordedDose) -> dict[str, str]:
    told = {name: f"{getattr(dose, name):.15g}" for name in _NUMBERS}
    return {"drug": dose.drug, "planned": "true" if dose.planned else "", **told}


def _page(
    patient_id: str, amends: int | None, written: Mapping[str, str], told: str
) -> dict[str, Any]:
    return {
        "patient_id": patient_id,
        "amends": amends,
        "written": written,
        "key": written.get("key") or secrets.token_urlsafe(24),
        "told": told,
    }
