"""What every page shares: who asks, what is written down of it, and how a page is told."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment
from starlette.datastructures import FormData

from omics_twin.chart.accounts import Account, Role
from omics_twin.report.patient import environment, template_text
from omics_twin.report.words import visible
from omics_twin.serve.about import Desk
from omics_twin.serve.about_living import LivingDesk
from omics_twin.serve.sessions import Sessions
from omics_twin.trust.audit import AuditLog
from omics_twin.trust.consent import Purpose
from omics_twin.trust.event import Action, Event, Outcome, digest_of

NOBODY = Account("nobody", Role.AUDITOR)
"""Who asks without being signed in, as the log names them."""
# Whoever reaches the port may knock: more a minute would fill the disk and hide the rest.
_KNOCKS, _MINUTE = 120, 60.0


class Turned(Exception):
    """Somebody who is sent elsewhere, or told why not."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def _form_of(request: Request) -> FormData:
    return await request.form()


Filled = Annotated[FormData, Depends(_form_of)]


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
    knocks
        When somebody who is not was last turned away [s].
    """

    desk: Desk | LivingDesk
    log: AuditLog
    sessions: Sessions
    knocks: deque[float] = field(default_factory=lambda: deque(maxlen=_KNOCKS))

    def allowed(self, request: Request, *roles: Role, form: FormData | None = None) -> Account:
        """Return who asks, where the role may; the others are turned away."""
        who = self.sessions.who(request)
        if who is None:
            # Nobody's session, or one that is forged or over: a door that stays closed is told too.
            self.note(NOBODY, Action.REFUSED, outcome=Outcome.REFUSED)
            raise Turned(RedirectResponse("/sign-in", 303))
        if form is not None and not self.sessions.is_own(request, form):
            self.note(who, Action.REFUSED, outcome=Outcome.REFUSED)
            raise Turned(self.refusal(request, who, 403, "the form has expired: open it again"))
        if who.role not in roles:
            self.note(who, Action.REFUSED, outcome=Outcome.REFUSED)
            told = f"the role of {who.role.value} does not see this page: ask who gave it to you"
            raise Turned(self.refusal(request, who, 403, told))
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
        """Write down what was asked and answered; what is not written down is not answered.

        Of those who are not signed in, who are answered nothing, so many a minute are written down.
        """
        if who is NOBODY and not self._first_knocks():
            return
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

    def _first_knocks(self) -> bool:
        now = time.monotonic()
        if len(self.knocks) == _KNOCKS and now - self.knocks[0] < _MINUTE:
            return False
        self.knocks.append(now)
        return True

    def page(
        self,
        request: Request,
        name: str,
        who: Account | None,
        values: Mapping[str, Any] | None = None,
        status: int = 200,
    ) -> Response:
        """Return a page."""
        template = templates().get_template(f"{name}.html.j2")
        known = {
            "who": who,
            "token": self.sessions.token(request),
            "address": address,
            "model_title": visible(self.desk.model.title),
            **(values or {}),
        }
        return HTMLResponse(template.render(known) + "\n", status)

    def refusal(self, request: Request, who: Account | None, status: int, told: str) -> Response:
        """Return a page of one sentence."""
        patient = request.query_params.get("id")
        # Who made a mistake on a patient's page goes on there; who may not see it does not.
        back = address("/patient", id=patient) if patient and status == 422 else ""
        values = {"told": told[:1].upper() + told[1:], "back": back}
        return self.page(request, "refused", who, values, status)


def address(path: str, **query: Any) -> str:
    """Return the address of a page."""
    return f"{path}?{urlencode(query)}"


@cache
def templates() -> Environment:
    """Return the pages, each compiled once."""
    return environment(text_of)


def text_of(name: str) -> str:
    """Return a file of the pages, or of the report that they share parts with."""
    own = resources.files("omics_twin.serve") / "pages" / name
    return own.read_text(encoding="utf-8") if own.is_file() else template_text(name)
