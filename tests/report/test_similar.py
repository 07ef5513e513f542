from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from omics_twin.answers.patients import patients_in
from omics_twin.cohort.cohort import Cohort
from omics_twin.evaluate.calibration import wilson_interval
from omics_twin.intake.declaration import OutcomeKind
from omics_twin.intake.outcomes import Outcome
from omics_twin.report.patient import write_report
from omics_twin.report.similar import (
    Company,
    expectations,
    pool_of,
    similar_patients,
    survival_observed,
)
from omics_twin.settings import Reading, TwinSettings
from omics_twin.tracking import TrainedModel
from omics_twin.twin.neural import Membership
from omics_twin.types import Endpoint

SETTINGS = TwinSettings(draws=240, seed=7)
COUNT = 60
SPARSE = 3


def followed(make: type, kind: str = "binary") -> Cohort:
    """Return a cohort whose therapies and outcomes are known, all but the last one's."""
    cohort = make.cohort([f"SECRET-{number}" for number in range(COUNT)])
    arms = np.array(["Ctr", "Pembro"])[np.arange(COUNT) % 2].astype(object)
    arms[:SPARSE] = "VC"
    generator = np.random.default_rng(2)
    values = (generator.random(COUNT) < 0.4).astype(float)
    events, named, of = None, "pcr", OutcomeKind.BINARY
    if kind == "time_to_event":
        values, named, of = generator.uniform(100.0, 1500.0, COUNT), "os", OutcomeKind.TIME_TO_EVENT
        events = generator.random(COUNT) < 0.6
        values[-1:] = 3000.0
    values[5] = np.nan
    outcome = Outcome(named, of, values, events, "1")
    received = pd.Series(arms, index=list(cohort.patient_ids), dtype="string")
    return replace(cohort, outcomes={named: outcome}, received=received)


def company_of(model: TrainedModel, cohort: Cohort) -> Company | None:
    pool = pool_of(model, cohort, SETTINGS)
    asked = patients_in(model, cohort.select(["SECRET-20"]))
    return None if pool is None else similar_patients(model, pool, asked, SETTINGS)


def test_the_nearest_are_those_for_whom_the_twin_expects_the_most_alike(make: type) -> None:
    model, cohort = make.model(), followed(make)
    found = company_of(model, cohort)
    assert found is not None
    assert (found.pool, found.nearest) == (COUNT - 2, 30)
    expected = expectations(model, patients_in(model, cohort), SETTINGS)
    distance = np.sqrt(((expected - expected[20]) ** 2).mean(axis=1))
    distance[[5, 20]] = np.inf
    nearest = np.argsort(distance)[:30]
    assert found.distance == pytest.approx(distance[nearest[-1]], abs=1e-5)
    values, arms = cohort.outcomes["pcr"].values, cohort.received.to_numpy()
    for each in found.arms:
        here = nearest[arms[nearest] == each.arm]
        if each.patients is not None:
            assert each.patients == len(here)
            assert each.events == int(values[here].sum())
            assert (each.lower, each.upper) == tuple(wilson_interval(each.events, len(here)))


def test_fewer_than_five_patients_are_not_shown(make: type) -> None:
    model, cohort = make.model(), followed(make)
    # As many as there are: all three of the sparse arm are among them.
    few = cohort.select([f"SECRET-{number}" for number in (*range(SPARSE), *range(20, 40))])
    found = company_of(model, few)
    assert found is not None
    sparse = next(each for each in found.arms if each.arm == "VC")
    assert sparse.patients is None
    assert sparse.events is None
    assert np.isnan(sparse.observed)
    shown = [each.patients for each in found.arms if each.patients is not None]
    assert min(shown) >= 5
    # One arm more is hidden: the sparse one would be the rest of the total.
    assert len(shown) == len(found.arms) - 2
    assert found.nearest - sum(shown) >= 5


def test_who_was_seen_by_every_member_is_not_taken(make: type) -> None:
    model, cohort = make.model(), followed(make)
    seen = torch.ones(6, 10, dtype=torch.bool)
    seen[0, 4:] = False
    ids = [f"SECRET-{number}" for number in range(40, 50)]
    model = replace(
        model, twin=replace(model.twin, membership=Membership.of(ids, seen, salt="salt"))
    )
    found = company_of(model, cohort)
    assert found is not None
    assert found.pool == COUNT - 2 - 4


def test_without_outcomes_nothing_is_said_of_similar_patients(make: type) -> None:
    model, cohort = make.model(), followed(make)
    bare = replace(cohort, outcomes={})
    assert company_of(model, bare) is None
    alone = cohort.select(["SECRET-20"])
    assert company_of(model, alone) is None


def page_of(make: type, kind: str, folder: Path) -> str:
    """Return the words of a page with similar patients."""
    model, cohort = make.model(kind=kind), followed(make, kind)
    one, output = cohort.select(["SECRET-20"]), folder / "page.html"
    belief = iter(make.believe(model, one))
    write_report(model, one, belief, output, SETTINGS, company=cohort)
    page = output.read_text(encoding="utf-8")
    found = re.search(r'<section aria-labelledby="alike">(.*?)</section>', page, flags=re.S)
    assert found is not None
    assert set(re.findall(r"SECRET-\d+", page)) == {"SECRET-20"}
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).replace("\xa0", " ").split())


def test_the_page_tells_what_happened_without_telling_who(make: type, tmp_path: Path) -> None:
    words = page_of(make, "binary", tmp_path)
    assert "The 30 of 58 other patients" in words
    assert "what happened, not what the therapies did" in words
    assert "Share (95 % interval)" in words


def test_survival_of_similar_patients_is_told_in_months(make: type, tmp_path: Path) -> None:
    words = page_of(make, "time_to_event", tmp_path)
    assert "Events before the horizon" in words
    assert re.search(r"\d+\.\d months \(", words)


@pytest.mark.parametrize("reading", list(Reading))
def test_the_observed_survival_is_that_of_an_independent_program(reading: Reading) -> None:
    generator = np.random.default_rng(3)
    time, event = generator.exponential(500.0, 80), (generator.random(80) < 0.7).astype(float)
    event[time.argmax()] = 1.0
    endpoint = Endpoint("os", "os", 600.0, reading=reading)
    mean, lower, upper = survival_observed(time, event, endpoint)
    fitted = KaplanMeierFitter().fit(time, event)
    reference = float(fitted.predict(600.0))
    if reading is Reading.MEAN_UP_TO_HORIZON:
        reference = float(restricted_mean_survival_time(fitted, t=600.0)) / 600.0
    assert mean == pytest.approx(reference, abs=1e-6)
    assert 0.0 <= lower < mean < upper <= 1.0


def test_without_censoring_the_error_of_the_restricted_mean_is_that_of_a_mean() -> None:
    time = np.random.default_rng(4).exponential(500.0, 60)
    endpoint = Endpoint("os", "os", 600.0, reading=Reading.MEAN_UP_TO_HORIZON)
    mean, lower, _ = survival_observed(time, np.ones(60), endpoint)
    capped = np.minimum(time, 600.0) / 600.0
    assert mean == pytest.approx(capped.mean())
    assert (mean - lower) / 1.959964 == pytest.approx(capped.std() / 60**0.5, rel=1e-6)


def test_survival_beyond_the_follow_up_is_not_known() -> None:
    endpoint = Endpoint("os", "os", 600.0)
    assert np.isnan(survival_observed(np.array([10.0, 20.0]), np.array([1.0, 0.0]), endpoint)).all()
