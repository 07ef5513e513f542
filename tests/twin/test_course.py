"""A course is learned from what was measured, and tells responders from the others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from omics_twin.errors import TrainingError
from omics_twin.twin.course import Course
from omics_twin.twin.course_fit import fit_course
from tests.twins import hybrid_twin

PATIENTS = 3000
DAYS = torch.tensor([0.0, 21.0, 84.0], dtype=torch.float64)
LEVEL = torch.tensor([3.0, 2.6, 2.0], dtype=torch.float64)
RESPONSE = torch.tensor([-0.2, -0.6, -1.2], dtype=torch.float64)
EFFECT = torch.tensor([0.0, -0.3, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.0, 0.8, 0.6], [0.8, 1.2, 0.9], [0.6, 0.9, 1.5]], dtype=torch.float64)


def simulated(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return values (patient, visit, 1), who responded, and who received the one agent."""
    generator = torch.Generator().manual_seed(seed)
    responded = (torch.rand(PATIENTS, generator=generator) < 0.4).double()
    given = (torch.rand(PATIENTS, generator=generator) < 0.5).double()
    noise = torch.randn(PATIENTS, 3, generator=generator, dtype=torch.float64)
    values = (
        LEVEL
        + responded[:, None] * RESPONSE
        + given[:, None] * EFFECT
        + noise @ torch.linalg.cholesky(COVARIANCE).T
    )
    return values.unsqueeze(-1), responded.float(), given.float()[:, None]


def learned(values: torch.Tensor, responded: torch.Tensor, agents: torch.Tensor) -> Course:
    everyone = torch.ones(1, len(values), dtype=torch.bool)
    return fit_course("mri", DAYS, values.float(), responded, agents, everyone)


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["complete", "three in ten missing"])
def test_what_patients_were_drawn_from_is_found(missing: float) -> None:
    values, responded, agents = simulated()
    lost = torch.rand(values.shape, generator=torch.Generator().manual_seed(9)) < missing
    course = learned(values.masked_fill(lost, torch.nan), responded, agents)
    close = {"rtol": 0.0, "atol": 0.12, "check_dtype": False}
    torch.testing.assert_close(course.level[0], LEVEL, **close)
    torch.testing.assert_close(course.response[0], RESPONSE, **close)
    torch.testing.assert_close(course.effects[0, 0], EFFECT, **close)
    torch.testing.assert_close(course.covariance[0], COVARIANCE, **close)


def test_what_is_missing_because_of_what_was_seen_before_biases_nothing() -> None:
    values, responded, agents = simulated()
    # Whoever shrank well is not measured a third time: means of those measured would be too high.
    gone = values[:, 1, 0] < 2.0
    assert float(values[~gone, 2, 0].mean()) > float(values[:, 2, 0].mean()) + 0.3
    hidden = values.clone()
    hidden[gone, 2] = torch.nan
    course = learned(hidden, responded, agents)
    assert float(course.level[0, 2]) == pytest.approx(2.0, abs=0.15)
    assert float(course.response[0, 2]) == pytest.approx(-1.2, abs=0.2)


def test_a_member_learns_from_its_own_patients_alone() -> None:
    values, responded, agents = simulated()
    seen = torch.zeros(2, PATIENTS, dtype=torch.bool)
    seen[0, :2000] = seen[1, 1000:] = True
    both = fit_course("mri", DAYS, values.float(), responded, agents, seen)
    moved = values.clone()
    moved[2000:] += 5.0
    again = fit_course("mri", DAYS, moved.float(), responded, agents, seen)
    torch.testing.assert_close(again.level[0], both.level[0], rtol=1e-4, atol=1e-4)
    assert float((again.level[1] - both.level[1]).min()) > 1.0


def test_nothing_given_moves_what_was_measured_before() -> None:
    values, responded, agents = simulated()
    assert torch.equal(learned(values, responded, agents).effects[..., 0], torch.zeros(1, 1))


def test_under_which_logarithm_changes_are_alike_and_how_far_they_go_is_found() -> None:
    values, responded, agents = simulated()
    generator = torch.Generator().manual_seed(3)
    # A t of 8 degrees of freedom: one size for all changes of a patient.
    normal = torch.randn(PATIENTS, 8, generator=generator, dtype=torch.float64)
    size = (8.0 / normal.square().sum(dim=1)).sqrt()[:, None]
    mean = LEVEL + responded[:, None] * RESPONSE + agents * EFFECT
    natural = torch.expm1(2.0 + mean + size * (values[..., 0] - mean)).clamp(min=0.0)
    course = learned(natural.unsqueeze(-1), responded, agents)
    assert float(course.offset[0, 0]) < 0.1 * float(natural.mean())
    assert 8.0 <= float(course.tails[0]) < 14.0
    assert float(course.lowest[0]) == 0.0
    # Some are below zero, of which there is no logarithm, and all change alike.
    plain = learned(values, responded, agents)
    assert math.isinf(plain.offset[0, 0])
    assert float(plain.tails[0]) >= 64.0


def test_the_evidence_is_that_of_the_conditional_t() -> None:
    course = hybrid_twin(seed=2).course
    generator = torch.Generator().manual_seed(4)
    seen = torch.randn(4, 6, generator=generator)
    seen[1, 4:] = torch.nan
    seen[2, :2] = torch.nan
    seen[3, 2:] = torch.nan
    agents = (torch.rand(4, 3, generator=generator) < 0.5).float()
    found = course.evidence(seen, agents)
    for member, patient, kind in np.ndindex(6, 4, 2):
        mean = course.level[member] + agents[patient] @ course.effects[member]
        mean = (mean + kind * course.response[member]).numpy()
        values, covariance = seen[patient].numpy().copy(), course.covariance[member].numpy()
        offset, tails = float(course.offset[member, 0]), float(course.tails[member])
        slope = float(np.nansum(np.log(values[2::2] + offset)))
        values[::2] = np.log(values[::2] + offset)

        def density(
            there: np.ndarray, values=values, mean=mean, covariance=covariance, tails=tails
        ) -> float:
            if not there.any():
                return 0.0
            shape = covariance[np.ix_(there, there)].astype(float)
            # Up to a constant of the number of columns.
            pi = 0.5 * there.sum() * math.log(math.pi)
            return multivariate_t.logpdf(values[there], mean[there], shape, df=tails) + pi

        there, first = np.isfinite(values), np.arange(6) < 2
        expected = density(there) - density(there & first) - slope
        assert float(found[kind, member, patient]) == pytest.approx(expected, abs=1e-4)


def test_between_visits_a_measurement_changes_at_a_constant_rate() -> None:
    course = hybrid_twin().course
    columns = torch.tensor([0.0, 1.0, 2.1, 1.0, 4.2, 0.0]).expand(1, 1, -1)
    days = torch.tensor([-5.0, 0.0, 10.0, 21.0, 52.5, 84.0, 200.0])
    found = course.at(columns, days, torch.tensor([1]))[0, 0]
    expected = [[0, 1], [0, 1], [1, 1], [2.1, 1], [3.15, 0.5], [4.2, 0], [4.2, 0]]
    found[:, 0] = (found[:, 0] + course.offset[1, 0]).log()
    torch.testing.assert_close(found, torch.tensor(expected))


def test_too_few_patients_and_one_kind_of_them_are_refused() -> None:
    values, responded, agents = simulated()
    with pytest.raises(TrainingError, match="15 patients with 'mri' under therapy"):
        learned(values[:15], responded[:15], agents[:15])
    with pytest.raises(TrainingError, match="0 of whom responded, expected at least 20"):
        learned(values, torch.zeros_like(responded), agents)
