"""Who is outside the domain of validity is said everywhere, and answered as the policy says."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from omics_twin.answers.patients import patients_in
from omics_twin.asked import read_cohort
from omics_twin.bedside.record import visits_of
from omics_twin.cli import main
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import load
from omics_twin.lifecycle.validity import (
    REFUSED,
    UNLIKE,
    governed_by,
    policy_of,
    shares_of,
    shares_of_visits,
)
from omics_twin.report.console import Console
from omics_twin.report.model_card import card_of
from omics_twin.serve.pyfunc import rank_record
from omics_twin.settings import Unlike
from omics_twin.told import record_of
from omics_twin.tracking import TrainedModel
from omics_twin.trust.consent import Purpose
from tests.conftest import SmallRun

RECORD = {
    "patient_id": "new",
    "stratum": {"hr_positive": "1", "her2_positive": "0"},
    "visits": [{"day": -3, "values": {"clinical": {"age_years": 51}}}],
}


def lines_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def model(small_run: SmallRun) -> TrainedModel:
    return TrainedModel.load(small_run.model)


@pytest.fixture(scope="module")
def far(model: TrainedModel) -> TrainedModel:
    """Give a model of which every patient is unlike the training patients."""
    assert model.likeness is not None
    ordinary = replace(model.likeness, calibration=model.likeness.calibration - 1e3)
    return replace(model, likeness=ordinary)


@pytest.fixture(scope="module")
def cohort(small_run: SmallRun) -> Cohort:
    config = load("rank", ["cohort=synthetic", f"synthetic_root={small_run.trial}"])
    return read_cohort(config, Console(quiet=True), Purpose.SCORING)


def test_a_patient_told_by_visits_is_as_unusual_as_one_of_a_cohort(model: TrainedModel) -> None:
    record = record_of(RECORD)
    found = shares_of_visits(model, visits_of(model, record))
    (line, *_) = rank_record(model, record)
    assert found == (line["likeness"],)
    assert shares_of_visits(model, ()) == (None,)


def test_the_share_is_that_of_the_report(model: TrainedModel, cohort: Cohort) -> None:
    assert model.likeness is not None
    values = patients_in(model, cohort).matrices.values
    shares = shares_of(model, values)
    assert len(shares) == len(cohort.patient_ids)
    for place in range(8):
        own = {name: each[place : place + 1] for name, each in values.items()}
        verdict = model.likeness.verdict(own)
        assert verdict is not None
        assert shares[place] == pytest.approx(verdict.share)
    assert shares_of(replace(model, likeness=None), values) == (None,) * len(shares)


def test_the_stricter_policy_holds(model: TrainedModel) -> None:
    assert policy_of(model) is Unlike.WARN
    assert governed_by(model, Unlike.WARN) is model
    strict = governed_by(model, Unlike.REFUSE)
    assert policy_of(strict) is Unlike.REFUSE
    assert policy_of(governed_by(strict, Unlike.WARN)) is Unlike.REFUSE
    told = [e["sentences"] for e in card_of(strict)["sections"] if e["title"][:6] == "Domain"][0]
    assert "refused an answer" in told[1]
    # A model of an earlier version knows no policy: it warns.
    assert policy_of(replace(model, provenance={})) is Unlike.WARN


def test_the_served_rows_say_who_is_unlike_and_a_refused_patient_gets_no_number(
    far: TrainedModel,
) -> None:
    warned = rank_record(far, record_of(RECORD))
    assert all(line["unlike"] and line["eligible"] for line in warned)
    assert all(0.0 < float(line["likeness"] or 0) <= UNLIKE for line in warned)
    refused = rank_record(governed_by(far, Unlike.REFUSE), record_of(RECORD))
    assert {line["reason"] for line in refused} == {REFUSED}
    for line in refused:
        assert not line["recommended"]
        assert [line[n] for n in ("rank", "expected", "lower", "upper", "probability_best")] == [
            None
        ] * 5


def test_ranking_predictions_and_report_follow_the_policy(
    small_run: SmallRun, far: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far.save(tmp_path / "far" / "model")
    given = [f"model_uri={tmp_path / 'far'}", "cohort=synthetic", "twin.draws=8"]
    given.append(f"synthetic_root={small_run.trial}")
    ranking, page = tmp_path / "r.csv", tmp_path / "p.html"
    assert main(["rank", *given, "patient=SYN0000001", f"output={ranking}"]) == 0
    lines = lines_of(ranking)
    assert {line["unlike"] for line in lines} == {"true"}
    assert lines[0]["expected"] != ""
    strict = [*given, "trust.unlike=REFUSE", "patient=SYN0000001"]
    assert main(["rank", *strict, f"output={ranking}"]) == 0
    lines = lines_of(ranking)
    assert {line["reason"] for line in lines} == {REFUSED}
    assert {line["expected"] + line["rank"] for line in lines} == {""}
    assert main(["report", *strict, f"output={page}"]) == 0
    told = page.read_text()
    assert "No answer: the patient is unlike the training patients." in told
    assert 'class="forest"' not in told
    capsys.readouterr()
    predictions = tmp_path / "p.csv"
    assert main(["predict", *strict[:-1], f"output={predictions}"]) == 0
    assert "are refused: their lines are empty" in capsys.readouterr().err
    assert {line["expected"] for line in lines_of(predictions)} == {""}
