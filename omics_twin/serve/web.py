"""The oncologist's page: worklist, patient, what-if, a visit added; rendered here, without scripts.

Every answer is written to the audit log before it is sent; nobody sees a patient who does not
permit it, and nothing that was typed into a form is repeated in a message.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

from omics_twin.chart.accounts import Role
from omics_twin.chart.store import Chart
from omics_twin.chart.worklist import worklist
from omics_twin.errors import ChartError, ConsentError, OmicsTwinError
from omics_twin.report.limits import evidence_of
from omics_twin.report.patient import template_text
from omics_twin.report.performance import performance_of
from omics_twin.report.words import name_in_words, visible
from omics_twin.serve import visit_form
from omics_twin.serve.about import Desk
from omics_twin.serve.about_living import LivingDesk, living_evidence
from omics_twin.serve.cds_hooks import cds_router
from omics_twin.serve.dose_pages import add_dose_pages
from omics_twin.serve.kept import told_in_words, withdrawn
from omics_twin.serve.living_pages import add_living_pages
from omics_twin.serve.ranking_pages import add_ranking_pages
from omics_twin.serve.sessions import COOKIE, LONGEST, Sessions
from omics_twin.serve.signed import Hospital
from omics_twin.serve.site import NOBODY, Filled, Site, Turned, address, text_of
from omics_twin.serve.small import SmallBodies
from omics_twin.trust.audit import AuditLog, read_events
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Outcome
from omics_twin.trust.privacy import PREFIX

_ON_A_PAGE = 50
_RECENT = 200
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


def page_app(
    desk: Desk | LivingDesk, log: AuditLog, *, https: bool = False, hospital: Hospital | None = None
) -> FastAPI:
    """Return the page as an ASGI app.

    Parameters
    ----------
    https
        Whether it is reached by HTTPS alone, so that the cookie never travels without.
    hospital
        Whose system is answered by CDS Hooks, where the model ranks; None: nobody's.
    """
    site = Site(desk, log, Sessions(desk.chart))
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_doors(app, site)
    _add_shared(app, site)
    add_dose_pages(app, site)
    if isinstance(desk, LivingDesk):
        add_living_pages(app, site, desk)
    else:
        add_ranking_pages(app, site, desk)
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

    @app.exception_handler(Turned)
    def turned(request: Request, error: Turned) -> Response:
        return error.response

    @app.exception_handler(OmicsTwinError)
    def refused(request: Request, error: OmicsTwinError) -> Response:
        who = site.sessions.who(request)
        status = 403 if isinstance(error, ConsentError) else 404 if _strange(error) else 422
        site.note(
            who or NOBODY,
            Action.REFUSED,
            request.query_params.get("id") or None,
            outcome=Outcome.REFUSED,
        )
        return site.refusal(request, who, status, told_in_words(error))

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        told = "the address is not one of this site: go back to the worklist"
        return _nothing(site, request, 422, told)

    @app.exception_handler(404)
    def unknown(request: Request, error: Exception) -> Response:
        return _nothing(site, request, 404, "nothing is here: go back to the worklist")

    return app


def _nothing(site: Site, request: Request, status: int, told: str) -> Response:
    who = site.sessions.who(request)
    site.note(who or NOBODY, Action.REFUSED, outcome=Outcome.REFUSED)
    return site.refusal(request, who, status, told)


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
        return Response(template_text("patient.css") + text_of("page.css"), media_type="text/css")

    @app.get("/favicon.ico")
    def picture() -> Response:
        return Response(status_code=204)

    @app.get("/sign-in")
    def door(request: Request) -> Response:
        return site.page(request, "sign_in", None, {"told": ""})

    @app.post("/sign-in")
    def sign_in(request: Request, form: Filled) -> Response:
        if not site.sessions.is_own(request, form):
            told = "the form has expired: sign in again"
            return site.page(request, "sign_in", None, {"told": told}, 403)
        name = str(form.get("name", ""))[:80]
        found = site.sessions.sign_in(request, name, str(form.get("password", "")))
        if found is None:
            # A wrong name may be a password typed into the wrong field: it is not written down.
            site.note(NOBODY, Action.SIGN_IN_REFUSED, outcome=Outcome.REFUSED)
            told = "Nobody has this name and password. After five tries a name rests for a minute."
            return site.page(request, "sign_in", None, {"told": told}, 401)
        site.note(found, Action.SIGN_IN)
        return RedirectResponse("/", 303)

    @app.post("/sign-out")
    def sign_out(request: Request, form: Filled) -> Response:
        who = site.allowed(request, *Role, form=form)
        site.note(who, Action.SIGN_OUT)
        site.sessions.sign_out(request)
        return RedirectResponse("/sign-in", 303)


def _add_shared(app: FastAPI, site: Site) -> None:
    """Add what is the same whatever the model is."""
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
            **_made(desk),
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

    @app.post("/decision")
    def decide(request: Request, id: str, form: Filled) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        number = visit_form.whole_in("ranking", str(form.get("ranking", "")))
        if desk.chart.ranking(number).belief.patient_id != id:
            raise ChartError("the ranking is of another patient: open this one's page again")
        chosen, reason = str(form.get("therapy", "")), str(form.get("reason", ""))[:2000]
        desk.chart.add_decision(number, chosen, by=who.name, reason=reason)
        site.note(who, Action.DECIDE, id, answer={"ranking": number, "therapy": chosen})
        return RedirectResponse(address("/patient", id=id), 303)

    @app.post("/consent")
    def withdraw(request: Request, id: str, form: Filled) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        told = (str(form.get(name, "")) for name in ("purpose", "modality"))
        entry = withdrawn(desk.modalities, id, *told)
        desk.chart.add_consent(entry, by=who.name)
        site.note(who, Action.ADD_CONSENT, id)
        return RedirectResponse("/", 303)

    @app.post("/alert")
    def close(request: Request, id: str, form: Filled) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        desk.chart.check_consent(id, Purpose.SCORING)
        number = visit_form.whole_in("alert", str(form.get("alert", "")))
        desk.chart.close_alert(id, number, str(form.get("note", ""))[:2000], by=who.name)
        site.note(who, Action.DECIDE, id, answer={"alert": number})
        return RedirectResponse(address("/patient", id=id), 303)


def _made(desk: Desk | LivingDesk) -> dict[str, Any]:
    """Return what a model rests on, and how well it predicts."""
    if isinstance(desk, LivingDesk):
        return {"evidence": living_evidence(desk), "performance": None}
    return {"evidence": evidence_of(desk.model), "performance": performance_of(desk.model)}
