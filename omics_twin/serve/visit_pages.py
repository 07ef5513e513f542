"""A visit added or amended by a form, and what the twin learned from it, whatever the twin is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from omics_twin.chart.accounts import Role
from omics_twin.chart.store import Chart
from omics_twin.errors import ChartError, ConsentError, OmicsTwinError
from omics_twin.report.words import name_in_words, visible
from omics_twin.serve.kept import told_in_words
from omics_twin.serve.site import Filled, Site
from omics_twin.serve.visit_form import Field, written_in
from omics_twin.told import RecordedVisit
from omics_twin.trust.event import Action, Outcome

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Form:
    """One visit as it is asked for.

    Attributes
    ----------
    channel, modality
        How the form is asked for, and what is measured.
    planned, day
        When it is due, in words and as a day; empty where any day may be.
    ask_therapy
        Whether the form asks what was given up to the visit.
    read
        Returns the visit of what was written.
    before
        The visit of the chart that it corrects; None: it is a new one.
    """

    channel: str
    modality: str
    planned: str
    day: str
    ask_therapy: bool
    fields: Sequence[Field]
    read: Callable[[Mapping[str, str]], RecordedVisit]
    before: RecordedVisit | None


@dataclass(frozen=True)
class Twin:
    """What differs from one kind of twin to the other.

    Attributes
    ----------
    form
        Patient, channel and number of the visit that is amended -> the form, after it was asked
        whether the patient permits it.
    lines
        Patient and who asks -> the ranking as it is given now.
    learn
        As :func:`omics_twin.chart.learned.learn`, without chart, model and settings.
    learned
        What a visit changed, and the rankings before and after it -> the same in words.
    in_words
        The first lines of a ranking.
    """

    chart: Chart
    arms: Mapping[str, str]
    form: Callable[[str, str, int | None], Form]
    lines: Callable[[str, str], Lines]
    learn: Callable[..., tuple[int, Any]]
    learned: Callable[[Any, Lines, Lines], dict[str, Any] | None]
    in_words: Callable[[Lines], list[str]]


def add_visit_pages(app: FastAPI, site: Site, twin: Twin) -> None:
    """Add the form of a visit, and what comes of it."""

    @app.get("/visit")
    def visit(request: Request, id: str, channel: str, amends: int | None = None) -> Response:
        who = site.allowed(request, Role.CLINICIAN)
        form = twin.form(id, channel, amends)
        if form.before is not None:
            site.note(who, Action.OPEN_PATIENT, id, shown=form.before.model_dump())
        return site.page(request, "visit", who, _page(twin, id, form, amends, {}, ""))

    @app.post("/visit")
    def add_visit(
        request: Request, id: str, channel: str, form: Filled, amends: int | None = None
    ) -> Response:
        who = site.allowed(request, Role.CLINICIAN, form=form)
        written = {name: str(text) for name, text in form.items()}
        action = Action.ADD_VISIT if amends is None else Action.AMEND
        asked = twin.form(id, channel, amends)
        reason = written.get("reason", "")[:2000]
        try:
            if amends is not None and not reason.strip():
                raise ChartError("a visit is amended without a reason: say why")
            told = asked.read(written)
            before = twin.lines(id, who.name)
            key = written.get("key", "")
            _, change = twin.learn(id, told, key=key, by=who.name, amends=amends, reason=reason)
        except ConsentError:
            raise
        except OmicsTwinError as error:
            site.note(who, action, id, outcome=Outcome.REFUSED)
            values = _page(twin, id, asked, amends, written, told_in_words(error))
            return site.page(request, "visit", who, values, 422)
        after = twin.lines(id, who.name)
        learned, again = twin.learned(change, before, after), None
        if amends is not None:
            again = {"before": twin.in_words(before), "after": twin.in_words(after)}
        site.note(who, action, id, shown=told.model_dump(), answer=[learned, again])
        page = {"patient_id": id, "learned": learned, "amended": again, "barred": not after}
        return site.page(request, "learned", who, page)


def _page(
    twin: Twin,
    patient_id: str,
    form: Form,
    amends: int | None,
    written: Mapping[str, str],
    told: str,
) -> dict[str, Any]:
    if form.before is None:
        given = [each.under for each in twin.chart.record(patient_id).visits if each.under]
        decided = [each.intervention for each in twin.chart.decisions(patient_id)]
        first = {"under": (given or decided or [""])[-1], "day": form.day}
    else:
        first = written_in(form.modality, form.before)
    return {
        "patient_id": patient_id,
        "channel": form.channel,
        "planned": form.planned,
        "ask_therapy": form.ask_therapy,
        "amends": amends,
        "name": visible(name_in_words(form.modality)),
        "fields": form.fields,
        "arms": list(twin.arms.items()),
        "written": written or first,
        # A form that is sent twice counts once.
        "key": written.get("key") or secrets.token_urlsafe(24),
        "told": told,
    }
