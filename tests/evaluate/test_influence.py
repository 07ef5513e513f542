"""Standard errors from influences are those of drawing patients again, and intervals hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit

from omics_twin.errors import CohortError
from omics_twin.evaluate.concordance import concordance_uno
from omics_twin.evaluate.influence import (
    Estimate,
    auc_of,
    averaged,
    mean_of,
    rmse_of,
    share_inside,
    slope_of,
    survival_gap_of,
    uno_c_of,
)
from omics_twin.evaluate.metrics import calibration_slope_intercept, rmse, roc_auc
from omics_twin.evaluate.survival import censoring_survival, kaplan_meier

PATIENTS = 240
HORIZON = 8.0


class Trial:
    """Patients with a score that tells a response and a time to event, with ties and censoring."""

    def __init__(self, seed: int = 0, patients: int = PATIENTS) -> None:
        rng = np.random.default_rng(seed)
        self.score = rng.normal(size=patients).round(1)
        self.probability = expit(1.4 * self.score)
        self.response = (rng.random(patients) < expit(self.score)).astype(float)
        died = rng.exponential(10.0 * np.exp(-self.score))
        left = rng.exponential(20.0, size=patients)
        self.time = np.ceil(np.minimum(died, left))
        self.event = (died <= left).astype(float)
        self.survival = np.exp(-0.8 * np.exp(0.5 * self.score))
        self.censoring = censoring_survival(self.time, self.event)
        self.inside = (rng.random((patients, 4)) < 0.9).astype(float)
        self.inside[rng.random((patients, 4)) < 0.3] = np.nan


TRIAL = Trial()
ESTIMATES: dict[str, Callable[[np.ndarray], Estimate]] = {
    "auc": lambda r: auc_of(TRIAL.probability[r], TRIAL.response[r]),
    "slope": lambda r: slope_of(TRIAL.probability[r], TRIAL.response[r]),
    "rmse": lambda r: rmse_of(TRIAL.probability[r], TRIAL.response[r]),
    "uno_c": lambda r: uno_c_of(
        TRIAL.score[r], TRIAL.time[r], TRIAL.event[r], TRIAL.censoring, HORIZON
    ),
    "survival": lambda r: survival_gap_of(
        TRIAL.survival[r], TRIAL.time[r], TRIAL.event[r], HORIZON
    ),
    "inside": lambda r: share_inside(TRIAL.inside[r]),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_standard_error_is_that_of_drawing_patients_again(name: str) -> None:
    estimate = ESTIMATES[name]
    found = estimate(np.arange(PATIENTS))
    rng = np.random.default_rng(1)
    drawn = [estimate(rng.integers(PATIENTS, size=PATIENTS)).value for _ in range(120)]
    assert found.influence.mean() == pytest.approx(0.0, abs=1e-9)
    # 120 draws know a spread to about 6 %.
    assert found.standard_error == pytest.approx(np.std(drawn), rel=0.2)


def test_the_numbers_are_those_of_the_metrics() -> None:
    everyone = np.arange(PATIENTS)
    found = {name: each(everyone).value for name, each in ESTIMATES.items()}
    probability, response = TRIAL.probability, TRIAL.response
    assert found["auc"] == pytest.approx(roc_auc(probability, response))
    assert found["slope"] == calibration_slope_intercept(probability, response)[0]
    assert found["rmse"] == pytest.approx(rmse(probability, response))
    told = (TRIAL.score, TRIAL.time, TRIAL.event, TRIAL.censoring, HORIZON)
    assert found["uno_c"] == pytest.approx(concordance_uno(*told))
    observed = kaplan_meier(TRIAL.time, TRIAL.event).at(HORIZON)
    assert found["survival"] == pytest.approx(observed - TRIAL.survival.mean())
    assert found["inside"] == pytest.approx(np.nanmean(TRIAL.inside))


@pytest.mark.parametrize("name", ["auc", "uno_c", "inside"])
def test_intervals_of_fifty_patients_hold_what_is_true(name: str) -> None:
    large = Trial(2, 6000)
    truth = {
        "auc": roc_auc(large.probability, large.response),
        "uno_c": concordance_uno(large.score, large.time, large.event, large.censoring, HORIZON),
        "inside": 0.9,
    }[name]
    held = []
    for seed in range(300):
        trial = Trial(seed + 10, 50)
        estimate = {
            "auc": lambda t: auc_of(t.probability, t.response),
            "uno_c": lambda t: uno_c_of(t.score, t.time, t.event, large.censoring, HORIZON),
            "inside": lambda t: share_inside(t.inside),
        }[name](trial)
        lower, upper = estimate.interval()
        held.append(lower <= truth <= upper)
    # 300 trials know a coverage of 0.95 to about 0.013.
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def test_a_share_of_all_patients_still_has_an_interval() -> None:
    lower, upper = mean_of(np.ones(20), share=True).interval()
    assert (round(lower, 2), upper) == (0.84, 1.0)


def test_patients_who_are_wrong_together_tell_less() -> None:
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(5), 40)
    held = []
    for _ in range(300):
        chance = np.clip(0.8 + 0.1 * rng.normal(size=5), 0.0, 1.0)[clusters]
        inside = (rng.random((200, 3)) < chance[:, None]).astype(float)
        together, alone = share_inside(inside, clusters), share_inside(inside)
        assert together.value == alone.value
        ends = (together.interval(), alone.interval())
        held.append([lower <= 0.8 <= upper for lower, upper in ends])
    clustered, plain = np.mean(held, axis=0)
    assert clustered > 0.92
    assert plain < 0.7


def test_repeats_are_no_new_patients() -> None:
    one = ESTIMATES["auc"](np.arange(PATIENTS))
    assert averaged([one, one, one]).standard_error == pytest.approx(one.standard_error)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: auc_of(np.array([0.1, 0.2]), np.ones(2)), "needs both classes"),
        (lambda: share_inside(np.full((2, 1), np.nan)), "nothing was told of any of 2"),
        (
            lambda: share_inside(np.ones((2, 1)), np.zeros(2, dtype=int)).interval(),
            "one cluster of patients",
        ),
        (
            lambda: survival_gap_of(np.ones(2), np.ones(2), np.array([1.0, 0.0]), 5.0),
            "followed until day 1, the horizon is day 5",
        ),
        (
            lambda: uno_c_of(np.ones(2), np.ones(2), np.zeros(2), TRIAL.censoring, HORIZON),
            "no two of 2 patients",
        ),
    ],
)
def test_too_few_patients_are_refused(asked: Callable[[], object], message: str) -> None:
    with pytest.raises(CohortError, match=message):
        asked()
