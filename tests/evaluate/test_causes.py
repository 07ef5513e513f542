"""Causes of one event: hazards that add up, incidences judged with the others competing."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.causes import judged_by_cause, of_one_cause, summed
from omics_twin.evaluate.competing import aalen_johansen
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.linear_baselines import breslow_hazard
from omics_twin.evaluate.score import score
from omics_twin.intake.declaration import OutcomeKind

GRID = np.linspace(0.0, 1000.0, 26)[1:]


def two_causes(patients: int = 4000, seed: int = 0) -> tuple[Outcome, np.ndarray]:
    """Return an outcome of two exponential causes, and each patient's two rates."""
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.normal(0.0, 0.7, (patients, 2))) * np.array([1.0, 0.6]) / 1000.0
    times = rng.exponential(1.0 / rates)
    censored = rng.uniform(200.0, 2500.0, patients)
    first = times.min(axis=1)
    cause = np.where(first <= censored, times.argmin(axis=1) + 1, 0)
    values = np.minimum(first, censored)
    kinds = {"by_cause": cause, "causes": ("one", "other")}
    return Outcome(OutcomeKind.TIME_TO_EVENT, values, cause > 0, GRID, **kinds), rates


def test_incidences_of_constant_hazards_are_those_of_the_closed_form() -> None:
    rates = np.array([0.001, 0.003])
    alive, incidence = summed(np.exp(-rates[:, None] * GRID))
    np.testing.assert_allclose(alive, np.exp(-0.004 * GRID), rtol=1e-12)
    expected = rates[:, None] / 0.004 * (1.0 - np.exp(-0.004 * GRID))
    np.testing.assert_allclose(incidence, expected, rtol=1e-10)


def test_who_survives_and_who_has_the_event_of_any_cause_are_everybody() -> None:
    rng = np.random.default_rng(1)
    apart = np.exp(-rng.exponential(0.1, (3, 5, 7, len(GRID))).cumsum(axis=-1))
    alive, incidence = summed(apart)
    np.testing.assert_allclose(alive + incidence.sum(axis=0), 1.0, atol=1e-12)
    np.testing.assert_allclose(alive, apart.prod(axis=0), rtol=1e-9)


def test_where_nothing_happens_nobody_has_the_event() -> None:
    alive, incidence = summed(np.ones((2, 4)))
    assert (alive == 1.0).all()
    assert (incidence == 0.0).all()


def test_a_patient_without_a_prediction_stays_without() -> None:
    apart = np.full((2, 3, 4), 0.9)
    apart[:, 1] = np.nan
    alive, incidence = summed(apart)
    assert np.isnan(alive[1]).all()
    assert np.isnan(incidence[:, 1]).all()
    assert np.isfinite(alive[[0, 2]]).all()


def test_one_cause_is_learned_with_the_others_censored() -> None:
    outcome, _ = two_causes(50)
    assert outcome.by_cause is not None
    alone = of_one_cause(outcome, 2)
    np.testing.assert_array_equal(alone.followed[0], outcome.by_cause == 2)
    assert alone.by_cause is None
    assert alone.causes == ()


@pytest.mark.parametrize("which", [1, 2])
def test_the_true_incidence_is_calibrated_and_better_than_that_of_the_other_cause(
    which: int,
) -> None:
    outcome, rates = two_causes()
    ids = [str(each) for each in range(len(rates))]
    judged = judged_by_cause(outcome, which, ids)
    _, incidence = summed(np.exp(-rates.T[:, :, None] * GRID))
    own = score(judged, 1.0 - incidence[which - 1])
    other = score(judged, 1.0 - incidence[2 - which])
    assert abs(own["incidence_gap_at_horizon"]) < 0.03
    assert own["uno_c"] > other["uno_c"] + 0.1
    assert outcome.by_cause is not None
    cause = np.where(outcome.by_cause == which, 1, np.where(outcome.by_cause > 0, 2, 0))
    seen = aalen_johansen(outcome.values, cause).at(1000.0)
    assert incidence[which - 1, :, -1].mean() == pytest.approx(float(seen), abs=0.03)


def test_nelson_and_aalens_hazards_of_every_cause_give_aalen_and_johansens_incidence() -> None:
    outcome, _ = two_causes(600)
    assert outcome.by_cause is not None
    days = np.unique(outcome.values)
    alike = np.zeros(len(outcome.values))
    apart = [
        np.exp(-breslow_hazard(alike, outcome.values, outcome.by_cause == which, days))
        for which in (1, 2)
    ]
    _, incidence = summed(np.stack(apart))
    for which in (1, 2):
        seen = aalen_johansen(outcome.values, outcome.by_cause, of=which).at(days)
        np.testing.assert_allclose(incidence[which - 1], seen, atol=0.005)


def test_part_of_the_patients_keep_their_causes() -> None:
    outcome, _ = two_causes(30)
    assert outcome.by_cause is not None
    some = outcome.at(np.arange(10))
    assert some.by_cause is not None
    np.testing.assert_array_equal(some.by_cause, outcome.by_cause[:10])
    assert some.causes == ("one", "other")


def test_a_cause_without_its_event_is_refused() -> None:
    both = {"by_cause": np.array([1, 2]), "causes": ("one", "other")}
    event = np.array([True, False])
    with pytest.raises(CohortError, match="names a cause where 'event' has no event"):
        Outcome(OutcomeKind.TIME_TO_EVENT, np.ones(2), event, GRID, **both)
