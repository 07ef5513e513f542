"""Each head's loss is the likelihood it says it is, and its trajectory is a possible one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.nn import functional

from omics_twin.models.heads import BinaryHead, ContinuousHead, HazardHead

NAN = float("nan")
EDGES = [0.0, 100.0, 250.0, 600.0]
HAZARD = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.05, 0.2]])


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hazard_head() -> HazardHead:
    return HazardHead("pfs", torch.tensor(EDGES), HAZARD)


def test_the_binary_loss_is_the_cross_entropy_and_nothing_where_unknown() -> None:
    head = BinaryHead("pcr", 2, torch.tensor([0.2, 0.6]))
    score = random(2, 4, 1)
    target = torch.tensor([[1.0, 0.0], [0.0, 0.0], [NAN, 0.0], [1.0, 0.0]])
    loss = head.loss(score, target)
    probability = head.trajectory(head.predictor(score), torch.tensor([180.0]))[:, :, 0, 0]
    for row, truth in ((0, 1.0), (1, 0.0), (3, 1.0)):
        expected = functional.binary_cross_entropy(
            probability[:, row], torch.full((2,), truth), reduction="none"
        )
        torch.testing.assert_close(loss[:, row], expected)
    assert loss[:, 2].tolist() == [0.0, 0.0]


def test_a_binary_head_starts_at_the_prevalence() -> None:
    head = BinaryHead("pcr", 2, torch.tensor([0.2, 0.6]))
    start = head.trajectory(head.predictor(torch.zeros(2, 1, 1)), torch.tensor([180.0]))
    torch.testing.assert_close(start.flatten(), torch.tensor([0.2, 0.6]))


def test_an_unknown_outcome_sends_no_gradient() -> None:
    for head in (BinaryHead("pcr", 2, torch.tensor([0.2, 0.6])), hazard_head()):
        score = random(2, 1, head.outputs).requires_grad_()
        head.loss(score, torch.full((1, 2), NAN)).sum().backward()
        assert torch.equal(score.grad, torch.zeros_like(score))


def test_the_continuous_loss_is_half_the_squared_error_in_standard_deviations() -> None:
    head = ContinuousHead("rcb", "score", torch.tensor([2.0, 3.0]), torch.tensor([0.5, 2.0]))
    score = random(2, 3, 1)
    target = torch.tensor([[1.0, 0.0], [NAN, 0.0], [4.0, 0.0]])
    loss = head.loss(score, target)
    expected = head.trajectory(head.predictor(score), torch.tensor([180.0]))[:, :, 0, 0]
    for row in (0, 2):
        error = (expected[:, row] - target[row, 0]) / head.scale[:, 0]
        torch.testing.assert_close(loss[:, row], 0.5 * error.square())
    assert loss[:, 1].tolist() == [0.0, 0.0]


def person_periods(logits: np.ndarray, time: float, event: bool) -> float:
    """Return the negative log-likelihood of one patient, interval by interval."""
    total = 0.0
    for interval, logit in enumerate(logits):
        lower, upper = EDGES[interval], EDGES[interval + 1]
        survives, dies = -np.logaddexp(0.0, logit), -np.logaddexp(0.0, -logit)
        if time > upper:
            total += survives
        elif time > lower:
            total += dies if event else survives * (time - lower) / (upper - lower)
    return -total


@pytest.mark.parametrize(
    ("time", "event"),
    [(50.0, True), (50.0, False), (100.0, True), (100.0, False), (250.5, True), (600.0, False)],
)
def test_the_hazard_loss_is_the_person_period_likelihood(time: float, event: bool) -> None:
    head = hazard_head()
    score = random(2, 1, 2)
    loss = head.loss(score, torch.tensor([[time, float(event)]]))
    clock = np.linspace(-1.0, 1.0, 3)
    for member in range(2):
        shift, slope = score[member, 0].tolist()
        logits = torch.logit(HAZARD[member]).double().numpy() + shift + slope * clock
        expected = person_periods(logits, time, event)
        assert loss[member, 0].item() == pytest.approx(expected, rel=1e-4)


def test_an_event_after_the_last_edge_counts_as_survived_to_it() -> None:
    score = random(2, 1, 2)
    late = hazard_head().loss(score, torch.tensor([[900.0, 1.0]]))
    torch.testing.assert_close(late, hazard_head().loss(score, torch.tensor([[600.0, 0.0]])))


@given(some.floats(-6, 6), some.floats(-6, 6))
@settings(max_examples=40, deadline=None)
def test_survival_starts_at_one_and_never_rises(shift: float, slope: float) -> None:
    days = torch.linspace(0.0, 700.0, 40)
    score = torch.tensor([shift, slope]).expand(2, 1, 2)
    survival = hazard_head().trajectory(hazard_head().predictor(score), days)[:, 0, :, 0]
    assert torch.equal(survival[:, 0], torch.ones(2))
    assert bool((survival.diff(dim=1) <= 1e-6).all())
    assert bool(((survival >= 0) & (survival <= 1)).all())


def test_survival_at_the_edges_is_the_product_of_the_hazards() -> None:
    survival = hazard_head().trajectory(
        hazard_head().predictor(torch.zeros(2, 1, 2)), torch.tensor(EDGES)
    )[:, 0, :, 0]
    expected = torch.cat([torch.ones(2, 1), (1 - HAZARD).cumprod(dim=1)], dim=1)
    torch.testing.assert_close(survival, expected)


def test_the_loss_and_the_trajectory_tell_one_story() -> None:
    head, score = hazard_head(), random(2, 1, 2)
    censored = head.loss(score, torch.tensor([[180.0, 0.0]]))[:, 0]
    survival = head.trajectory(head.predictor(score), torch.tensor([180.0]))[:, 0, 0, 0]
    torch.testing.assert_close(censored, -survival.log())
    assert bool(torch.isfinite(censored).all())
