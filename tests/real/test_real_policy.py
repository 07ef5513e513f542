"""The rules that a ranking has to beat can be judged on the real cohorts."""

from __future__ import annotations

import os

import numpy as np
import pytest

from omics_twin.cohort.cohort import build_cohort
from omics_twin.config import Config, load
from omics_twin.intake.declaration import Assignment
from omics_twin.intake.tables import read_tables
from omics_twin.judged.following import RECEIVED, SINGLE, TWIN, Ranked, judge
from omics_twin.judged.offers import offers_of
from omics_twin.judged.predictions import baseline_design
from omics_twin.judged.worth import record_of
from omics_twin.report.console import Console
from omics_twin.training.tasks import Task, task_of
from omics_twin.trust.consent import permit


def _task(experiment: str) -> tuple[Task, Config]:
    root = os.environ.get("OMICS_TWIN_DATA")
    if not root:
        pytest.skip("OMICS_TWIN_DATA is not set: rules not judged on real cohorts")
    settings = [f"experiment={experiment}", f"data_root={root}", "split.repeats=2"]
    config = load("train", settings)
    tables = read_tables(config.cohort)
    cohort = build_cohort(tables, permit(tables.patient_ids, ledger=None, purpose="research"))
    return task_of(cohort, config, Console(quiet=True)), config


def _rules(task: Task, config: Config) -> tuple[Assignment, dict]:
    """Return the rules beside a ranking that knows nothing: noise about one level."""
    offers = offers_of(task, baseline_design(task), config)
    size = () if task.outcome.grid_days is None else (len(task.outcome.grid_days),)
    noise = np.random.default_rng(0).random((*offers.folds.shape, len(task.catalogue.arms)))
    under = 0.3 + 0.01 * noise.reshape(*noise.shape, *[1] * len(size)) * np.ones(size)
    found = judge(task, offers, {TWIN: Ranked(under)}, config.policy.control)
    return offers.assignment, record_of(task, offers, found, None)["rules"]


def test_rules_of_ispy2() -> None:
    assignment, rules = _rules(*_task("ispy2_response"))
    assert assignment is Assignment.RANDOMISED
    assert rules[RECEIVED]["value"] == pytest.approx(0.32, abs=0.005)
    # Choosing at random is worth about what the trial gave; a rule that learned is worth more.
    assert rules[TWIN]["lower"] < 0.36
    assert rules[SINGLE]["value"] > 0.4
    assert rules["best_per_published_subtype"]["value"] > 0.4
    assert rules["best_per_receptor_subtype"]["value"] > 0.4


def test_oak_gains_by_atezolizumab_for_all_as_published() -> None:
    _, rules = _rules(*_task("oak_survival"))
    gain = rules["everyone_MPDL3280A"]["value"] - rules["everyone_Docetaxel"]["value"]
    assert 20.0 < gain < 70.0
    assert {"best_per_pd_l1", "best_per_blood_mutations"} < set(rules)


def test_therapies_of_transneo_were_chosen() -> None:
    assignment, rules = _rules(*_task("transneo_response"))
    assert assignment is Assignment.OBSERVATIONAL
    assert rules[RECEIVED]["value"] == pytest.approx(0.26, abs=0.01)
