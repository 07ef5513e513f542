"""Twins of visits: judged fold by fold where events are few, compared on the same protocol only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from omics_twin.errors import CohortError, ConfigError
from omics_twin.lifecycle.promoting import match_by_fold
from omics_twin.report import living_card
from omics_twin.settings import SplitBy, SplitSettings
from omics_twin.tensors.history import Histories
from omics_twin.types import Endpoint
from omics_twin.visits.groups import by_fold
from omics_twin.visits.landmark_scores import measures_by_learner
from omics_twin.visits.landmarks import Foreseen
from omics_twin.visits.living import LivingModel
from omics_twin.visits.progression import Forecasts, folds_of
from omics_twin.visits.reference import remembering
from tests.twins import visit_twin
from tests.twins_mechanistic import TUMOUR, growth_process_twin

MODEL = LivingModel(
    twin=visit_twin(),
    endpoint=Endpoint("free", "event_free", 730.0),
    title="Free of the event",
    arms=("one",),
    false_alarms=0.05,
    provenance={"cohort": "made up"},
)


def of_run(**provenance: Any) -> LivingModel:
    return replace(MODEL, provenance={**MODEL.provenance, **provenance})


def test_losses_are_kept_of_folds_with_few_events() -> None:
    event = np.arange(40) % 10 == 0
    ahead = np.column_stack([np.where(event, 100.0, 900.0), event]).astype(float)
    free = {"omics_twin": np.full((2, 40), 0.8)}
    found = [Foreseen(365.0, np.arange(40), ahead, free)]
    measures = measures_by_learner(found, {}, 41, 730.0)["omics_twin"]
    kept = by_fold(measures, np.arange(41) % 2)
    # Four of twenty have the event, all of them among the even ones; one patient is not there.
    assert kept == {"brier": pytest.approx([0.2 * 0.64 + 0.8 * 0.04, 0.04])}
    named = {each.name: each for each in measures}
    with pytest.raises(CohortError, match="fewer than 5"):
        named["uno_c"].over(np.arange(40))
    with pytest.raises(CohortError, match="nobody of them is followed"):
        named["brier"].over(np.array([40]))


def test_twins_judged_from_other_landmarks_are_not_compared() -> None:
    def judged(landmarks: list[float], brier: list[float]) -> LivingModel:
        config = {"split": {"folds": 3}, "dynamics": {"landmarks_days": landmarks}}
        return of_run(config=config, performance={"n": 9, "by_fold": {"brier": brier}})

    champion, better = judged([365.0], [0.2, 0.21, 0.19]), judged([365.0], [0.1, 0.11, 0.1])
    assert match_by_fold(better, champion).better
    with pytest.raises(CohortError, match="other landmarks"):
        match_by_fold(judged([30.0], [0.1, 0.11, 0.1]), champion)


def test_sizes_are_held_out_by_patient_only() -> None:
    days = torch.zeros(4, 1, dtype=torch.float64)
    histories = Histories(("a", "b", "c", "d"), TUMOUR, days, days[..., None])
    with pytest.raises(ConfigError, match="split.by is SITE, expected PATIENT"):
        folds_of(histories, SplitSettings(folds=2, by=SplitBy.SITE))


def test_intervals_of_few_draws_hold_as_many_as_of_many() -> None:
    rng, patients = np.random.default_rng(0), 1500
    days = torch.zeros(patients, 1, dtype=torch.float64)
    people = tuple(f"p{row}" for row in range(patients))
    histories = Histories(people, TUMOUR, days, 50.0 + days[..., None])
    model = replace(MODEL, twin=growth_process_twin())
    for draws in (20, 33, 400):
        ahead = Forecasts(
            np.arange(patients),
            np.ones(patients),
            rng.normal(50.0, 15.0, patients),
            rng.normal(50.0, 15.0, (patients, draws)),
        )
        reference = remembering(model, histories, ahead).reference
        assert reference is not None
        assert reference.inside is not None
        assert float(reference.inside[1]) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("by", "told"),
    [("SITE", "Whole sites"), ("THERAPY", "Every arm"), ("PATIENT", "Patients were held out, not")],
)
def test_the_card_says_who_was_held_out_together(by: str, told: str) -> None:
    scored = {"model": {"brier": {"mean": 0.1, "sd": None}}, "baselines": {}}
    performance = {"n": 9, "folds": 5, "repeats": 2, **scored}
    model = of_run(config={"split": {"by": by}}, performance=performance)
    assert living_card.answers_of(model)["12d"][0].startswith(told)
    assert f"one of 5 folds (by {by.lower()}), 2 repeats" in living_card.protocol_of(model)


def test_the_card_says_whether_patients_are_synthetic() -> None:
    assert living_card.synthetic_of(of_run(cohort="synthetic"))[0].startswith("Every patient is")
    assert living_card.synthetic_of(MODEL)[0].startswith("No training patient is synthetic")
