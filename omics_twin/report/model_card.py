"""What should be known of a model before anybody uses it? Its card, filled from the run alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from omics_twin.errors import ModelError, quoted
from omics_twin.files import write_json, write_whole
from omics_twin.recording import CARD
from omics_twin.report import living_card
from omics_twin.report.card_answers import answers_of
from omics_twin.report.card_facts import Answer, performance_in, settings_in
from omics_twin.report.card_sections import Section, sections_of
from omics_twin.report.patient import environment, template_text
from omics_twin.report.pictures import small
from omics_twin.report.tripod import ITEMS
from omics_twin.report.words import visible
from omics_twin.tracking import MODEL_FOLDER, AnyModel, digest_of_folder
from omics_twin.visits.living import LivingModel

FORMAT = 1
PAGE = "model_card.html"
_PLOTS = {
    "calibration": "Predicted and observed",
    "forecast_calibration": "Where what came fell in its forecast",
    "unseen_calibration": "Where what came fell in the forecast from the first measurement alone",
}


@dataclass(frozen=True)
class Answered:
    """One item of TRIPOD+AI and what is said of it.

    Attributes
    ----------
    told
        What the run says.
    stated
        What a person said in the experiment's configuration; empty where nobody did.
    wanted
        What a person must still supply, and where; empty where nothing is.
    """

    number: str
    section: str
    topic: str
    asks: str
    told: tuple[str, ...]
    stated: str
    wanted: str


def card_of(model: AnyModel) -> dict[str, Any]:
    """Return the card of a saved model as JSON holds it.

    Raises
    ------
    ModelError
        If the model was not saved: only a digest ties a card to a model.
    """
    if not model.digest:
        raise ModelError("a card is of a saved model, this one has no digest: save and load it")
    told, stated = _answers(model), settings_in(model, "card", "statements") or {}
    items = [
        Answered(
            number=each.number,
            section=each.section,
            topic=each.topic,
            asks=each.asks,
            told=told.get(each.number, ()),
            stated=visible(str(stated.get(each.number, ""))).strip(),
            wanted=_wanted(each.number, each.wanted, stated),
        )
        for each in ITEMS
    ]
    known = model.provenance
    return {
        "format": FORMAT,
        "model": {
            "name": model.twin.name,
            "digest": model.digest,
            "title": model.title,
            **_outcome(model),
            "cohort": known.get("cohort"),
            "fingerprint": known.get("fingerprint"),
            "commit": known.get("commit"),
            "trained_on": known.get("trained_on"),
        },
        "summary": _summary(model, items),
        "sections": [asdict(each) for each in sections_of(model)],
        "items": [asdict(each) for each in items],
        "performance": {
            name: performance_in(model).get(name)
            for name in ("n", "model", "baselines", "intervals", "paired", "subgroups")
        },
    }


def _outcome(model: AnyModel) -> dict[str, str]:
    if isinstance(model, LivingModel):
        return {"outcome": model.endpoint.name, "outcome_kind": model.kind}
    return {"outcome": model.outcome, "outcome_kind": model.outcome_kind}


def _answers(model: AnyModel) -> dict[str, Answer]:
    return living_card.answers_of(model) if isinstance(model, LivingModel) else answers_of(model)


def _wanted(number: str, wanted: str, stated: Mapping[str, Any]) -> str:
    if not wanted or str(stated.get(number, "")).strip():
        return ""
    return f"A person must supply {wanted}: card.statements.{number} in the experiment."


def _summary(model: AnyModel, items: list[Answered]) -> str:
    """Return the card in a few lines, for a registry."""
    open_items = [each.number for each in items if each.wanted]
    lines = [
        "Research use only: not a medical device.",
        *_answers(model)["1"],
        *_answers(model)["2"],
        f"Waiting for a person: items {', '.join(open_items)}." if open_items else "",
        f"Digest of the model: {model.digest}. The whole card: {CARD} and {PAGE}.",
    ]
    return "\n\n".join(each for each in lines if each)


def write_card(model: AnyModel, run: Path) -> Path:
    """Write the card of the model in a run's folder, as JSON and as a page; return the JSON's path.

    The card is beside the model, not in it: it names the model's digest.
    """
    saved = replace(model, digest=digest_of_folder(run / MODEL_FOLDER))
    card = card_of(saved)
    problems = problems_of(card, saved.digest)
    if problems:
        raise ModelError(f"the model card is not whole: {problems[0]}")
    write_json(run / CARD, card)
    page = render(card, sections_of(saved), _pictures(saved, run))
    write_whole(run / PAGE, page.encode())
    return run / CARD


def _pictures(model: AnyModel, run: Path) -> list[tuple[str, str]]:
    """Return the plots of calibration that a run drew, as title and base64 of a small PNG.

    There is none of a private run: what is drawn is no part of what the budget was spent on.
    """
    mechanism = (model.provenance.get("privacy") or {}).get("mechanism", "none")
    found = [(title, run / f"{stem}.png") for stem, title in _PLOTS.items()]
    return [
        (title, base64.b64encode(small(place.name, place.read_bytes())).decode())
        for title, place in found
        if mechanism == "none" and place.is_file()
    ]


def read_card(path: Path) -> dict[str, Any]:
    """Return a card as it was written.

    Raises
    ------
    ModelError
        If it is not there or is no card.
    """
    if not path.is_file():
        raise ModelError(f"no model card '{path.name}' beside the model: train it again")
    try:
        card = json.loads(path.read_bytes())
        known = card["format"], card["model"]["digest"], card["items"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"'{path.name}' is no model card: train the model again") from error
    if known[0] > FORMAT:
        raise ModelError(
            f"the model card has format {known[0]}, this version reads up to {FORMAT}: install a "
            "later omics_twin"
        )
    return dict(card)


def problems_of(card: Mapping[str, Any], digest: str) -> list[str]:
    """Return why a card is not the whole card of a model; empty where it is.

    Parameters
    ----------
    digest
        Of the model.
    """
    found = []
    if card["model"]["digest"] != digest:
        found.append(
            f"it is of a model with digest {str(card['model']['digest'])[:12]}, this one has "
            f"{digest[:12]}"
        )
    answered = {str(each.get("number")): each for each in card["items"]}
    missing = [each.number for each in ITEMS if each.number not in answered]
    if missing:
        found.append(f"items {quoted(missing)} of TRIPOD+AI are not in it")
    empty = [
        number
        for number, each in answered.items()
        if not any(str(text).strip() for text in (*each["told"], each["stated"], each["wanted"]))
    ]
    if empty:
        found.append(f"items {quoted(empty)} of TRIPOD+AI are empty")
    return found


def waiting(card: Mapping[str, Any]) -> list[str]:
    """Return the items of a card that wait for a person."""
    return [str(each["number"]) for each in card["items"] if each["wanted"]]


def render(
    card: Mapping[str, Any],
    sections: tuple[Section, ...],
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the card as a page that loads nothing and runs nothing.

    Parameters
    ----------
    pictures
        Of the calibration: title, and base64 of a PNG.
    """
    style = template_text("patient.css") + template_text("model_card.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = environment(template_text).get_template("model_card.html.j2")
    by_section: dict[str, list[Any]] = {}
    for each in card["items"]:
        by_section.setdefault(each["section"], []).append(each)
    return (
        template.render(
            model=card["model"],
            title=visible(str(card["model"]["title"])),
            name=visible(str(card["model"]["name"])),
            sections=sections,
            pictures=pictures,
            items=by_section,
            waiting=waiting(card),
            style=Markup(style),
            style_digest=digest,
        )
        + "\n"
    )
