"""The AUC at a day is the share of cases above controls, whatever the censoring."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from omics_twin.errors import CohortError
from omics_twin.evaluate.dynamic_auc import dynamic_auc, weighted_auc
from omics_twin.evaluate.survival import censoring_survival


def cohort(patients: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=patients)
    onset = rng.exponential(100 * np.exp(-risk))
    return risk, onset, rng.uniform(20, 300, patients)


def test_without_censoring_it_is_the_ordinary_auc():
    risk, onset, _ = cohort(300)
    event = np.ones(300)
    found = dynamic_auc(risk, onset, event, [40.0, 90.0], censoring_survival(onset, event))
    for day, area in zip(found.days, found.auc, strict=True):
        assert area == pytest.approx(roc_auc_score(onset <= day, risk), abs=1e-12)


def test_censoring_does_not_move_it():
    risk, onset, leaving = cohort(6000, seed=1)
    time, event = np.minimum(onset, leaving), onset <= leaving
    found = dynamic_auc(risk, time, event, [60.0, 120.0], censoring_survival(time, event))
    for day, area in zip(found.days, found.auc, strict=True):
        assert area == pytest.approx(roc_auc_score(onset <= day, risk), abs=0.015)


def test_ties_count_half_and_each_day_may_have_its_own_risk():
    assert weighted_auc(np.zeros(4), np.array([1.0, 2, 0, 0]), np.array([0.0, 0, 1, 3])) == 0.5
    risk, onset, _ = cohort(50)
    event, days = np.ones(50), [40.0, 90.0]
    censoring = censoring_survival(onset, event)
    both = np.column_stack([risk, -risk])
    first, second = (dynamic_auc(each, onset, event, days, censoring).auc for each in (risk, both))
    assert second[0] == first[0]
    assert second[1] == pytest.approx(1.0 - first[1])


def test_a_day_without_cases_or_controls_is_refused():
    time, event = np.array([1.0, 2.0, 3.0]), np.ones(3)
    censoring = censoring_survival(time, event)
    with pytest.raises(CohortError, match=r"0 patients have the event by day 0\.5"):
        dynamic_auc([1.0, 2.0, 3.0], time, event, [0.5], censoring)
    with pytest.raises(CohortError, match="0 are followed beyond it"):
        dynamic_auc([1.0, 2.0, 3.0], time, event, [3.0], censoring)
    with pytest.raises(CohortError, match=r"risk has shape \(2,\)"):
        dynamic_auc([1.0, 2.0], time, event, [1.0], censoring)
    with pytest.raises(CohortError, match="expected days that rise"):
        dynamic_auc([1.0, 2.0, 3.0], time, event, [2.0, 1.0], censoring)
    with pytest.raises(CohortError, match="not finite"):
        dynamic_auc([1.0, 2.0, np.nan], time, event, [2.0], censoring)
