"""The oncologist's page: worklist, patient, what-if, a visit added; rendered here, without scripts.

Every answer is written to the audit log before it is sent; nobody sees a patient who does not
permit it, and nothing that was typed into a form is repeated in a message.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment
from starlette.datastructures import FormData
from starlette.middleware.sessions import SessionMiddleware

from omics_twin.chart.accounts import Account, Role
from omics_twin.chart.given import give
from omics_twin.chart.learned import learn
from omics_twin.chart.store import Chart
from omics_twin.chart.worklist import worklist
from omics_twin.errors import ChartError, ConsentError, OmicsTwinError
from omics_twin.report.limits import evidence_of, performance_of
from omics_twin.report.patient import environment, template_text
from omics_twin.report.risk import risk_assessments
from omics_twin.report.words import name_in_words, visible
from omics_twin.serve import about, visit_form
from omics_twin.serve.cds_hooks import cds_router
from omics_twin.serve.sessions import COOKIE, LONGEST, Sessions
from omics_twin.serve.signed import Hospital
from omics_twin.serve.small import SmallBodies
from omics_twin.trust.audit import AuditLog, read_events
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Event, Outcome, digest_of
from omics_twin.trust.privacy import PREFIX

_ON_A_PAGE = 50
_RECENT = 200
_NOBODY = Account("nobody", Role.AUDITOR)
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class _Turned(Exception):
    """Somebody who is sent elsewhere, or told why not."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def _form_of(request: Request) -> FormData:
    return await request.form()


_Form = Annotated[FormData, Depends(_form_of)]


@dataclass(frozen=True)
class Site:
    """The pages of one desk.

    Attributes
    ----------
    desk
        Chart and model.
    log
        Where who asked what is written down.
    sessions
        Who is signed in.
    """

    desk: about.Desk
    log: AuditLog
    sessions: Sessions

    def allowed(self, request: Request, *roles: Role, form: FormData | None = None) -> Account:
        """Return who asks, where the role may; the others are turned away."""
        who = self.sessions.who(request)
        if who is None:
            raise _Turned(RedirectResponse("/sign-in", 303))
        if form is not None and not self.sessions.is_own(request, form):
            self.note(who, Action.REFUSED, outcome=Outcome.REFUSED)
            raise _Turned(self.refusal(request, who, 403, "the form has expired: open it again"))
        if who.role not in roles:
            self.note(who, Action.REFUSED, outcome=Outcome.REFUSED)
            told = f"the role of {who.role.value} does not see this page: ask who gave it to you"
            raise _Turned(self.refusal(request, who, 403, told))
        return who

    def note(
        self,
        who: Account,
        action: Action,
        patient: str | None = None,
        *,
        shown: Any = None,
        answer: Any = None,
        outcome: Outcome = Outcome.ANSWERED,
    ) -> None:
        """Write down what was asked and answered; what is not written down is not answered."""
        about_patient = patient is not None
        self.log.append(
            Event(
                who=who.name,
                role=who.role.value,
                action=action,
                outcome=outcome,
                patient=self.log.pseudonym(patient) if patient is not None else None,
                purpose=Purpose.SCORING if about_patient else None,
                model=(self.desk.model.digest or None) if about_patient else None,
                seed=self.desk.settings.seed if about_patient else None,
                data=None if shown is None else digest_of(shown),
                answer=None if answer is None else digest_of(answer),
            )
        )

    def page(
        self,
        request: Request,
        name: str,
        who: Account | None,
        values: Mapping[str, Any] | None = None,
        status: int = 200,
    ) -> Response:
        """Return a page."""
        template = _templates().get_template(f"{name}.html.j2")
        known = {
            "who": who,
            "token": self.sessions.token(request),
            "address": _address,
            "model_title": visible(self.desk.model.title),
            **(values or {}),
        }
        return HTMLResponse(template.render(known) + "\n", status)

    def refusal(self, request: Request, who: Account | None, status: int, told: str) -> Response:
        """Return a page of one sentence."""
        told = told[:1].upper() + told[1:]
        return self.page(request, "refused", who, {"told": told}, status)


def page_app(
    desk: about.Desk, log: AuditLog, *, https: bool = False, hospital: Hospital | None = None
) -> FastAPI:
    """Return the page as an ASGI app.

    Parameters
    ----------
    https
        Whether it is reached by HTTPS alone, so that the cookie never travels without.
    hospital
        Whose system is answered by CDS Hooks; None: nobody's.
    """
    site = Site(desk, log, Sessions(desk.chart))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_doors(app, site)
    _add_reading(app, site)
    _add_writing(app, site)
    if hospital is not None:
        app.include_router(cds_router(desk, log, hospital))
    app.add_middleware(
        SessionMiddleware,
        secret_key=site.sessions.secret,
        session_cookie=COOKIE,
        max_age=int(LONGEST.total_seconds()),
        same_site="strict",
        https_only=https,
    )
    app.add_middleware(SmallBodies)

    @app.middleware("http")
    async def guarded(request: Request, following: Any) -> Response:
        _call_by_pseudonym(request, desk.chart)
        response: Response = await following(request)
        response.headers.update(_HEADERS)
        return response

    @app.exception_handler(_Turned)
    def turned(request: Request, error: _Turned) -> Response:
        return error.response

    @app.exception_handler(OmicsTwinError)
    def refused(request: Request, error: OmicsTwinError) -> Response:
        who = site.sessions.who(request)
        status = 403 if isinstance(error, ConsentError) else 404 if _strange(error) else 422
        site.note(
            who or _NOBODY,
            Action.REFUSED,
            request.query_params.get("id") or None,
            outcome=Outcome.REFUSED,
        )
        return site.refusal(request, who, status, about.told_in_words(error))

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        told = "the address is not one of this site: go back to the worklist"
        return site.refusal(request, site.sessions.who(request), 422, told)

    @app.exception_handler(404)
    def unknown(request: Request, error: Exception) -> Response:
        told = "nothing is here: go back to the worklist"
        return site.refusal(request, site.sessions.who(request), 404, told)

    return app


def _call_by_pseudonym(request: Request, chart: Chart) -> None:
    """Let a patient be asked for by identifier, where the chart has a pseudonym instead."""
    if chart.names is None:
        return
    asked = parse_qsl(request.url.query, keep_blank_values=True)
    told = [
        (key, chart.known_as(text) if key == "id" or _is_name(key, text) else text)
        for key, text in asked
    ]
    request.scope["query_string"] = urlencode(told).encode()


def _is_name(key: str, text: str) -> bool:
    """Whether the worklist is searched for an identifier, not for a part of a pseudonym."""
    return key == "named" and bool(text) and not text.startswith(PREFIX)


def _strange(error: OmicsTwinError) -> bool:
    return isinstance(error, ChartError) and "no chart" in str(error)


def _add_doors(app: FastAPI, site: Site) -> None:
    """Add signing in and out, and what everybody may load."""

    @app.get("/page.css")
    def style() -> Response:
        return Response(template_text("patient.css") + _text_of("page.css"), media_type="text/css")

    @app.get("/favicon.ico")
    def picture() -> Response:
        return Response(status_code=204)

    @app.get("/sign-in")
    def door(request: Request) -> Response:
        return site.page(request, "sign_in", None, {"told": ""})

    @app.post("/sign-in")
    def sign_in(request: Request, form: _Form) -> Response:
        if not site.sessions.is_own(request, form):
            told = "the form has expired: sign in again"
            return site.page(request, "sign_in", None, {"told": told}, 403)
        name = str(form.get("name", ""))[:80]
        found = site.sessions.sign_in(request, name, str(form.get("password", "")))
        if found is None:
            # A wrong name may be a password typed into the wrong field: it is not written down.
            site.note(_NOBODY, Action.SIGN_IN_REFUSED, outcome=Outcome.REFUSED)
            told = "Nobody has this name and password. After five tries a name rests for a minute."
            return site.page(request, "sign_in", None, {"told": told}, 401)
        site.note(found, Action.SIGN_IN)
        return RedirectResponse("/", 303)

    @app.post("/sign-out")
    def sign_out(request: Request, form: _Form) -> Response:
        who = site.allowed(request, *Role, form=form)
        site.note(who, Action.SIGN_OUT)
        site.sessions.sign_out(request)
        return RedirectResponse("/sign-in", 303)


def _add_reading(app: FastAPI, site: Site) -> None:
    """Add what is looked at."""
    desk = site.desk

    @app.get("/")
    def first(request: Request, named: str = "", start: int = 0) -> Response:
        who = site.allowed(request, *Role)
        if who.role is not Role.CLINICIAN:
            where = "/model" if who.role is Role.SCIENTIST else "/record"
            return RedirectResponse(where, 303)
        start = max(0, min(start, 10**9))
        lines, total = worklist(desk.chart, named=named[:200], start=start, most=_ON_A_PAGE)
        site.note(who, Action.OPEN_WORKLIST)
        told = {
            "lines": lines,
            "total": total,
            "named": named[:200],
            "start": start,
            "most": _ON_A_PAGE,
        }
        return site.page(request, "worklist", who, told)

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
        given = give(desk.chart, desk.model, id, desk.settings, by=who.name)
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
    def visit(request: Request, id: str, channel: str) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        desk.chart.check_consent(id, Purpose.SCORING)
        return site.page(request, "visit", who, _visit_page(site, id, channel, {}, ""))

    @app.get("/model")
    def model(request: Request) -> Response:
        who = site.allowed(request, *Role)
        known = desk.model.provenance
        kept = ("trained_on", "commit", "fingerprint", "cohort", "cohort_title", "permission")
        lines = [
            (name_in_words(name), visible(str(known[name]))) for name in kept if known.get(name)
        ]
        told = {
            "lines": [("twin", desk.model.twin.name), ("digest", desk.model.digest), *lines],
            "evidence": evidence_of(desk.model),
            "performance": performance_of(desk.model),
        }
        return site.page(request, "model", who, told)

    @app.get("/record")
    def record(request: Request) -> Response:
        who = site.allowed(request, Role.AUDITOR)
        site.note(who, Action.READ_AUDIT)
        log = site.log
        events = read_events(log.path, log.key, log.anchor)
        told = {"count": len(events), "events": events[-_RECENT:][::-1]}
        return site.page(request, "record", who, told)


def _visit_page(
    site: Site, patient_id: str, name: str, written: Mapping[str, str], told: str
) -> dict[str, Any]:
    desk, channel = site.desk, visit_form.channel_of(site.desk.model, name)
    given = [each.under for each in desk.chart.record(patient_id).visits if each.under]
    decided = [each.intervention for each in desk.chart.decisions(patient_id)]
    before = (given or decided or [""])[-1]
    return {
        "patient_id": patient_id,
        "channel": channel,
        "name": visible(name_in_words(channel.modality)),
        "fields": visit_form.fields_of(channel),
        "arms": list(desk.labels.items()),
        "written": {"under": before, "day": f"{channel.visit_day:g}", **written},
        # A form that is sent twice counts once.
        "key": written.get("key") or secrets.token_urlsafe(24),
        "told": told,
    }


def _add_writing(app: FastAPI, site: Site) -> None:
    """Add what is kept: visits, decisions, what was done about alerts."""
    desk = site.desk

    @app.post("/visit")
    def add_visit(request: Request, id: str, channel: str, form: _Form) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        written = {name: str(text) for name, text in form.items()}
        try:
            told = visit_form.visit_in(visit_form.channel_of(desk.model, channel), written)
            _, change = learn(
                desk.chart, desk.model, id, told, desk.settings,
                key=written.get("key", ""), by=who.name,
            )  # fmt: skip
        except ConsentError:
            raise
        except OmicsTwinError as error:
            site.note(who, Action.ADD_VISIT, id, outcome=Outcome.REFUSED)
            values = _visit_page(site, id, channel, written, about.told_in_words(error))
            return site.page(request, "visit", who, values, 422)
        learned = about.learned(desk, change)
        site.note(who, Action.ADD_VISIT, id, shown=told.model_dump(), answer=learned)
        return site.page(request, "learned", who, {"patient_id": id, "learned": learned})

    @app.post("/decision")
    def decide(request: Request, id: str, form: _Form) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        number = visit_form.whole_in("ranking", str(form.get("ranking", "")))
        if desk.chart.ranking(number).belief.patient_id != id:
            raise ChartError("the ranking is of another patient: open this one's page again")
        chosen, reason = str(form.get("therapy", "")), str(form.get("reason", ""))[:2000]
        desk.chart.add_decision(number, chosen, by=who.name, reason=reason)
        site.note(who, Action.DECIDE, id, answer={"ranking": number, "therapy": chosen})
        return RedirectResponse(_address("/patient", id=id), 303)

    @app.post("/consent")
    def withdraw(request: Request, id: str, form: _Form) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        told = (str(form.get(name, "")) for name in ("purpose", "modality"))
        entry = about.withdrawn(desk, id, *told)
        desk.chart.add_consent(entry, by=who.name)
        site.note(who, Action.ADD_CONSENT, id)
        return RedirectResponse("/", 303)

    @app.post("/alert")
    def close(request: Request, id: str, form: _Form) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        number = visit_form.whole_in("alert", str(form.get("alert", "")))
        desk.chart.close_alert(id, number, str(form.get("note", ""))[:2000], by=who.name)
        site.note(who, Action.DECIDE, id, answer={"alert": number})
        return RedirectResponse(_address("/patient", id=id), 303)


def _address(path: str, **query: Any) -> str:
    return f"{path}?{urlencode(query)}"


@cache
def _templates() -> Environment:
    """Return the pages, each compiled once."""
    return environment(_text_of)


def _text_of(name: str) -> str:
    own = resources.files("omics_twin.serve") / "pages" / name
    return own.read_text(encoding="utf-8") if own.is_file() else template_text(name)
