"""The card of a model: whole, of that model alone, and honest about what the run does not know."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from omics_twin.errors import ConfigError, ModelError
from omics_twin.recording import CARD
from omics_twin.report.card_sections import sections_of
from omics_twin.report.model_card import (
    PAGE,
    card_of,
    problems_of,
    read_card,
    render,
    waiting,
    write_card,
)
from omics_twin.report.tripod import ITEMS
from omics_twin.settings import TRIPOD_ITEMS, CardSettings
from omics_twin.tracking import TrainedModel
from tests.conftest import SmallRun


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


def told_by_a_person(model: TrainedModel, **card: Any) -> TrainedModel:
    config = {**model.provenance["config"], "card": card}
    return replace(model, provenance={**model.provenance, "config": config})


def with_performance(model: TrainedModel, **more: Any) -> TrainedModel:
    performance = {**model.provenance["performance"], **more}
    return replace(model, provenance={**model.provenance, "performance": performance})


def section(card: dict[str, Any], title: str) -> dict[str, Any]:
    return next(each for each in card["sections"] if each["title"] == title)


def test_training_writes_a_whole_card_beside_the_model(
    small_run: SmallRun, model: TrainedModel
) -> None:
    card = read_card(small_run.run / CARD)
    assert problems_of(card, model.digest) == []
    assert (small_run.run / PAGE).is_file()
    # The same model leads to the same card.
    assert json.loads(json.dumps(card_of(model))) == card


def test_numbers_and_signs_of_the_next_visit_have_a_table_each(model: TrainedModel) -> None:
    measured = {
        "albumin": {"n": 1990, "crps": 0.21},
        "ascites": {"n": 90, "brier": 0.07, "log_loss": 0.2},
        "AST": {"n": 7, "crps": 31.25},
    }
    card = card_of(with_performance(model, next_visit=measured))
    numbers, signs = section(card, "Performance")["tables"][-2:]
    assert numbers["caption"] == signs["caption"] == "One visit ahead"
    assert [*map(list, numbers["rows"])] == [["albumin", "1990", "0.21"], ["AST", "7", "31.2"]]
    assert [*map(list, signs["rows"])] == [["ascites", "90", "0.07", "0.2"]]


def test_all_items_of_tripod_ai_are_in_order_and_none_is_empty(model: TrainedModel) -> None:
    card = card_of(model)
    assert tuple(each["number"] for each in card["items"]) == TRIPOD_ITEMS
    assert tuple(each.number for each in ITEMS) == TRIPOD_ITEMS
    assert len({each.rstrip("abcdefg") for each in TRIPOD_ITEMS}) == 27
    for each in card["items"]:
        texts = [*each["told"], each["stated"], each["wanted"]]
        assert any(text.strip() for text in texts), each["number"]
        assert "None" not in " ".join(each["told"][:1]) or each["told"][0].startswith("None")
    for each in card["sections"]:
        assert each["sentences"]
        assert all(sentence.strip() for sentence in each["sentences"])


def test_an_emptied_item_is_a_problem(model: TrainedModel) -> None:
    card = card_of(model)
    card["items"][4] |= {"told": ["  "], "stated": "", "wanted": ""}
    del card["items"][7]
    found = problems_of(card, model.digest)
    assert len(found) == 2
    assert "'5b'" not in found[1]
    assert f"'{TRIPOD_ITEMS[4]}'" in found[1]
    assert f"'{TRIPOD_ITEMS[7]}'" in found[0]


def test_a_card_of_another_model_is_a_problem(model: TrainedModel) -> None:
    card = card_of(model)
    assert problems_of(card, "0" * 64)[0].startswith("it is of a model with digest")


def test_a_model_that_was_not_saved_has_no_card(model: TrainedModel) -> None:
    with pytest.raises(ModelError, match="no digest"):
        card_of(replace(model, digest=""))


def test_what_only_a_person_knows_waits_for_a_person(model: TrainedModel) -> None:
    before = card_of(model)
    assert "5b" in waiting(before)
    assert "A person must supply" in section(before, "Intended use")["sentences"][1] or (
        "a person must supply" in section(before, "Intended use")["sentences"][1]
    )
    after = card_of(
        told_by_a_person(
            model,
            intended_use="Planning of trials.",
            not_for="Men.",
            statements={"5b": "2010 to 2016."},
        )
    )
    assert "5b" not in waiting(after)
    assert next(e for e in after["items"] if e["number"] == "5b")["stated"] == "2010 to 2016."
    assert section(after, "Intended use")["sentences"][1].endswith("Planning of trials.")
    # A statement takes nothing away of what the run says.
    told = {each["number"]: each["told"] for each in before["items"]}
    assert next(e for e in after["items"] if e["number"] == "5b")["told"] == told["5b"]


def test_a_statement_on_no_item_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown card.statements '5c'"):
        CardSettings(statements={"5c": "text"})


def test_performance_stands_beside_baselines_with_intervals(model: TrainedModel) -> None:
    spread, interval, paired = section(card_of(model), "Performance")["tables"]
    known = model.provenance["performance"]
    assert len(spread["rows"]) == len(interval["rows"]) == 1 + len(known["baselines"])
    assert len(paired["rows"]) == len(known["paired"])
    auc = known["intervals"]["model"]["auc"]
    assert auc["lower"] < auc["mean"] < auc["upper"]
    assert auc["mean"] == pytest.approx(known["model"]["auc"]["mean"])
    assert f"{auc['lower']:.3f} to {auc['upper']:.3f}" in interval["rows"][0][1]


@pytest.mark.parametrize(
    ("by", "told"), [("PATIENT", "other centres, times"), ("SITE", "on whole centres held out")]
)
def test_limits_say_who_was_not_seen(model: TrainedModel, by: str, told: str) -> None:
    config = {**model.provenance["config"], "split": {"by": by}}
    card = card_of(replace(model, provenance={**model.provenance, "config": config}))
    limits = " ".join(section(card, "Limits")["sentences"])
    assert told in limits
    assert ("other centres" in limits) is (by == "PATIENT")


def test_subgroups_that_were_not_measured_are_told_so(model: TrainedModel) -> None:
    told = section(card_of(with_performance(model, subgroups=None)), "Subgroups")
    assert "was not measured" in told["sentences"][0]
    assert not told["tables"]


def test_measured_subgroups_are_a_table(model: TrainedModel) -> None:
    rows = [
        {
            "attribute": "race",
            "group": "black",
            "patients": 80,
            "suppressed": 0,
            "measures": {"auc": {"value": 0.71, "lower": 0.6, "upper": 0.8}},
            "gaps": {
                "auc": {
                    "difference": -0.05,
                    "lower": -0.15,
                    "upper": 0.05,
                    "p": 0.3,
                    "adjusted_p": 0.6,
                }
            },
        },
        {"attribute": "race", "group": "smaller groups", "patients": None, "suppressed": 2},
    ]
    told = section(card_of(with_performance(model, subgroups=rows)), "Subgroups")
    measured, gaps = told["tables"]
    assert measured["rows"] == (("race: black", "80", "0.710 (0.600 to 0.800)"),)
    gap = "-0.050 (-0.150 to +0.050), adjusted p 0.6"
    assert gaps["rows"] == (("race: black", "80", gap),)
    assert "2 groups that are too small" in told["sentences"][0]


def test_privacy_is_told_where_it_was_measured(model: TrainedModel) -> None:
    told = section(card_of(model), "Privacy")["sentences"]
    assert "without differential privacy" in told[0]
    assert "with an advantage of" in told[1]
    nothing = card_of(replace(model, provenance={**model.provenance, "privacy": None}))
    assert "was not measured" in section(nothing, "Privacy")["sentences"][1]
    private = {"epsilon": 3.0, "membership_inference": {"auc": 0.51}}
    told = card_of(replace(model, provenance={**model.provenance, "privacy": private}))
    assert section(told, "Privacy")["sentences"][:2] == (
        "epsilon: 3.",
        "membership inference auc: 0.51.",
    )


def test_the_page_loads_nothing_runs_nothing_and_escapes_what_people_wrote(
    model: TrainedModel,
) -> None:
    hostile = told_by_a_person(
        model, intended_use="<script>alert(1)</script>", statements={"3a": "<img src=x>"}
    )
    page = render(card_of(hostile), sections_of(hostile))
    found: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, dict(attrs)))

    Tags().feed(page)
    names = {tag for tag, _ in found}
    assert not names & {"script", "img", "link", "iframe", "form"}
    assert all(not name.startswith("on") for _, each in found for name in each)
    assert {"main", "nav", "h1", "caption"} <= names
    ids = [each["id"] for _, each in found if "id" in each]
    assert len(ids) == len(set(ids))
    assert all(e["href"][1:] in ids for t, e in found if t == "a" and e["href"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda path: path.unlink(), "no model card"),
        (lambda path: path.write_text("[]"), "is no model card"),
        (lambda path: path.write_text("{"), "is no model card"),
        (
            lambda path: path.write_text(
                json.dumps({"format": 99, "model": {"digest": ""}, "items": []})
            ),
            "has format 99",
        ),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(
    small_run: SmallRun, tmp_path: Path, change: Callable[[Path], Any], sentence: str
) -> None:
    path = tmp_path / CARD
    shutil.copy(small_run.run / CARD, path)
    change(path)
    with pytest.raises(ModelError, match=sentence):
        read_card(path)


def test_a_card_is_written_again_from_the_model_and_its_plot(
    small_run: SmallRun, model: TrainedModel, tmp_path: Path
) -> None:
    shutil.copytree(small_run.model, tmp_path / "model")
    write_card(model, tmp_path)
    assert (tmp_path / CARD).read_bytes() == (small_run.run / CARD).read_bytes()
    assert "<img" not in (tmp_path / PAGE).read_text()
    shutil.copy(small_run.run / "calibration.png", tmp_path)
    write_card(model, tmp_path)
    assert (tmp_path / PAGE).read_bytes() == (small_run.run / PAGE).read_bytes()
    # What is drawn is no part of what a privacy budget was spent on.
    private = {**model.provenance, "privacy": {"mechanism": "Gaussian", "epsilon": 4.0}}
    write_card(replace(model, provenance=private), tmp_path)
    assert "<img" not in (tmp_path / PAGE).read_text()
