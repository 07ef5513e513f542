"""Following a ranking is judged beside simple rules, and the truth lies within the intervals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.judged.following import TWIN, Judgement, Ranked, judge
from omics_twin.judged.offers import Offers, offers_of
from omics_twin.judged.predictions import baseline_design
from omics_twin.judged.worth import figures_of, numbers_of, record_of
from omics_twin.settings import PolicySettings
from omics_twin.training.tasks import Task
from tests.evaluate import trials
from tests.judged_tasks import HARM, SURVIVAL, judged_task


def _learners(trial: trials.Trial, rng: np.random.Generator) -> dict[str, Ranked]:
    """Return a twin that knows the truth but for some noise, and a baseline that guesses."""
    twin = trial.mean + 0.03 * rng.normal(size=(2, *trial.mean.shape))
    guess = 0.4 + 0.1 * rng.normal(size=(2, *trial.mean.shape))
    spread = np.full((2, len(twin[0]), 4, 4), 0.1)
    return {TWIN: Ranked(twin, spread), "guess": Ranked(guess)}


def _judged(
    root: Path, count: int = 2500, confounded: bool = False, **more: str
) -> tuple[trials.Trial, Task, Offers, Judgement]:
    rng = np.random.default_rng(8)
    trial = trials.response(rng, count, confounded)
    task, config = judged_task(root, trial, **more)
    offers = offers_of(task, baseline_design(task), config)
    return trial, task, offers, judge(task, offers, _learners(trial, rng), "a0")


@pytest.mark.parametrize(
    ("confounded", "assignment"), [(False, "RANDOMISED"), (True, "OBSERVATIONAL")]
)
def test_the_true_value_of_every_rule_is_near_its_estimate(
    tmp_path: Path, confounded: bool, assignment: str
) -> None:
    trial, task, offers, found = _judged(tmp_path, confounded=confounded, assignment=assignment)
    record = record_of(task, offers, found, trial.mean)
    rules = record["rules"]
    assert list(rules) == [
        TWIN,
        "guess",
        "best_single_arm",
        "best_per_stratum_group",
        "best_per_marker_group",
        "therapy_received",
    ]
    for rule in rules.values():
        # Six correlated intervals are not all to hold in every trial: three standard errors are.
        assert abs(rule["value"] - rule["truth"]) < 3.0 * rule["standard_error"]
        assert rule["covered"] == (rule["lower"] <= rule["truth"] <= rule["upper"])
    assert rules[TWIN]["gain"] is None
    for name in ("guess", "best_single_arm", "therapy_received"):
        gain = rules[name]["gain"]
        assert 0.0 < gain["lower"] < gain["mean"] < gain["upper"]
    # The marker decides who gains from what: its groups beat one arm for all.
    assert rules["best_per_marker_group"]["value"] > rules["best_single_arm"]["value"] + 0.03


def test_no_rule_chooses_what_is_not_open(tmp_path: Path) -> None:
    trial, _, _, found = _judged(tmp_path, 600)
    for chosen in found.chosen.values():
        assert trials.OPEN[trial.strata, chosen].all()


def test_the_record_is_json_and_its_numbers_are_named_for_a_tracker(tmp_path: Path) -> None:
    _, task, offers, found = _judged(tmp_path, 600)
    record = record_of(task, offers, found, None)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["targeting"]["control"] == "a0"
    assert sum(record["chosen"].values()) == pytest.approx(1.0)
    assert record["calibration"]["a1"]["predicted"] > 0.0
    assert record["coverage_value"]["share"][-1] == 1.0
    assert record["coverage_value"]["value"][-1] == pytest.approx(record["rules"][TWIN]["value"])
    numbers = numbers_of(record)
    assert numbers[f"policy.{TWIN}.value"] == record["rules"][TWIN]["value"]
    assert {"policy.autoc.estimate", "policy.benefit.slope", "policy.gain_over.guess.lower"} < set(
        numbers
    )
    assert set(figures_of(task, offers, found)) == {
        "policy",
        "targeting",
        "coverage_value",
        "benefit_calibration",
    }


def test_the_predicted_benefit_of_a_truthful_twin_comes_true(tmp_path: Path) -> None:
    _, _, _, found = _judged(tmp_path)
    assert found.pair is not None
    assert found.pair.targeting.autoc.lower > 0.0
    assert found.pair.benefit is not None
    assert found.pair.benefit.slope == pytest.approx(1.0, abs=3 * found.pair.benefit.slope_error)


def test_where_lower_is_better_values_are_told_in_the_outcomes_units(tmp_path: Path) -> None:
    trial, task, offers, found = _judged(tmp_path, 600, endpoint=HARM)
    record = record_of(task, offers, found, trial.mean)
    received = record["rules"]["therapy_received"]
    assert received["value"] == pytest.approx(trial.outcome.mean())
    assert received["lower"] < received["value"] < received["upper"]
    # A twin that is right about harm does less of it, and a gain is still a gain.
    assert record["rules"][TWIN]["value"] < received["value"]
    assert received["gain"]["mean"] > 0.0
    assert record["coverage_value"]["lower"][0] < record["coverage_value"]["upper"][0]


def test_survival_gains_are_days_and_two_arms_stand_for_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    follow_up = trials.survival(rng, 3000, False)
    rows = (follow_up.trial.arms < 2) & (follow_up.trial.strata == 0)
    trial = trials.Trial(*(each[rows] for each in follow_up.trial))
    follow_up = trials.FollowUp(trial, follow_up.time[rows], follow_up.event[rows])
    task, config = judged_task(tmp_path, trial, follow_up=follow_up, endpoint=SURVIVAL, arms=2)
    config = replace(config, policy=PolicySettings(horizon_days=trials.HORIZON))
    rate = np.exp(-0.6 * trials.index(trial.features, trial.strata))[:, :2] / 15.0
    _, grid = task.outcome.followed
    under = np.repeat(np.exp(-rate[None, :, :, None] * grid), 2, axis=0)
    offers = offers_of(task, baseline_design(task), config)
    found = judge(task, offers, {TWIN: Ranked(under)}, None)
    record = record_of(task, offers, found, None)
    assert record["unit"] == "day"
    assert {"everyone_a0", "everyone_a1"} < set(record["rules"])
    first = trial.mean[np.arange(len(rate)), found.chosen[TWIN][0]].mean()
    twin = record["rules"][TWIN]
    assert twin["lower"] < first < twin["upper"]
    gain = record["rules"]["everyone_a1"]["gain"]
    true_gain = first - trial.mean[:, 1].mean()
    assert gain["lower"] < true_gain < gain["upper"]


def test_too_few_patients_to_judge_are_refused(tmp_path: Path) -> None:
    trial = trials.response(np.random.default_rng(3), 300, False)
    task, config = judged_task(tmp_path, trial)
    task = replace(task, held_out=np.where(np.arange(300) < 5, 0, -1)[None])
    offers = offers_of(task, baseline_design(task), config)
    with pytest.raises(CohortError, match="5 patients are held out"):
        judge(task, offers, _learners(trial, np.random.default_rng(0)), None)
