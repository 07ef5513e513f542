"""Who is signed in: in a signed cookie that names a session, which this process can end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData
from wtforms import Form
from wtforms.csrf.session import SessionCSRF

from omics_twin.chart.accounts import Account, account, signed_in
from omics_twin.chart.store import Chart

COOKIE = "omics_twin"
LONGEST = timedelta(hours=10)
_IDLE_SECONDS = 30 * 60
_FAILURES, _PAUSE_SECONDS = 5, 60.0
_SECRET_BYTES = 32


class Sessions:
    """Everybody who is signed in; who restarts the server signs everybody out.

    Parameters
    ----------
    chart
        Holds the accounts: one that is closed is signed out at its next question.
    clock
        Seconds that never go back.
    """

    def __init__(self, chart: Chart, clock: Callable[[], float] = time.monotonic) -> None:
        self._chart, self._clock = chart, clock
        self.secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._seen: dict[str, tuple[str, float, float]] = {}
        self._failed: dict[str, list[float]] = {}
        self._lock = Lock()

    def sign_in(self, request: Request, name: str, password: str) -> Account | None:
        """Return who has the name and the password, signed in; None for anybody else."""
        now = self._clock()
        with self._lock:
            recent = [each for each in self._failed.get(name, []) if now - each < _PAUSE_SECONDS]
            if len(recent) >= _FAILURES:
                return None
            # Counted before the password is looked at: many tries at once are many tries.
            self._failed[name] = [*recent, now]
            self._failed = {
                each: tries
                for each, tries in self._failed.items()
                if now - tries[-1] < _PAUSE_SECONDS
            }
        found = signed_in(self._chart, name, password)
        if found is None:
            return None
        number = secrets.token_urlsafe(_SECRET_BYTES)
        request.session.clear()
        request.session["number"] = number
        with self._lock:
            self._failed.pop(name, None)
            self._seen[number] = (found.name, now, now)
            self._seen = {each: kept for each, kept in self._seen.items() if self._lives(kept)}
        return found

    def who(self, request: Request) -> Account | None:
        """Return who asks; None where nobody is signed in, or not any more."""
        number = request.session.get("number", "")
        with self._lock:
            kept = self._seen.get(number)
            if kept is None or not self._lives(kept):
                self._seen.pop(number, None)
                return None
            name, begun, _ = kept
            self._seen[number] = (name, begun, self._clock())
        return account(self._chart, name)

    def sign_out(self, request: Request) -> None:
        """End the session, also for whoever copied its cookie."""
        with self._lock:
            self._seen.pop(request.session.get("number", ""), None)
        request.session.clear()

    def token(self, request: Request) -> str:
        """Return what a form must send back; no other site can guess it."""
        return str(self._guard(request).csrf_token.current_token)

    def is_own(self, request: Request, form: FormData) -> bool:
        """Whether a form comes from a page of this session."""
        elsewhere = request.headers.get("sec-fetch-site", "same-origin") not in (
            "same-origin",
            "none",
        )
        return not elsewhere and bool(self._guard(request, form).validate())

    def _guard(self, request: Request, form: FormData | None = None) -> Any:
        return _Guard(
            form,
            meta={"csrf_secret": self.secret.encode(), "csrf_context": request.session},
        )

    def _lives(self, kept: tuple[str, float, float]) -> bool:
        _, begun, seen = kept
        now = self._clock()
        return now - seen < _IDLE_SECONDS and now - begun < LONGEST.total_seconds()


class _Guard(Form):
    class Meta:
        csrf = True
        csrf_class = SessionCSRF
        csrf_time_limit = LONGEST
