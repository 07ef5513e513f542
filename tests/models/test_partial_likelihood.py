"""The partial likelihood is that of the definition, member by member, with its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from omics_twin.models.partial_likelihood import breslow_hazard, cox_partial_likelihood


def cohort(seed: int, rows: int = 30, members: int = 3):
    """Predictors, times with ties, events, weights (some 0) and entries between the times."""
    generator = torch.Generator().manual_seed(seed)
    predictor = torch.randn(members, rows, generator=generator, dtype=torch.float64)
    time = torch.randint(1, 9, (rows,), generator=generator).double()
    event = (torch.rand(rows, generator=generator) < 0.6).double()
    weights = torch.rand(members, rows, generator=generator, dtype=torch.float64) * 2.0
    weights[torch.rand(members, rows, generator=generator) < 0.3] = 0.0
    entry = torch.floor(torch.rand(rows, generator=generator).double() * time) - 0.5
    return predictor, time, event, weights, entry


def by_definition(predictor, time, event, weights, entry) -> float:
    """Efron's negative log-likelihood of one member, event by event."""
    total = 0.0
    for day in np.unique(time[event > 0]):
        dead = np.flatnonzero((time == day) & (event > 0) & (weights > 0))
        if not len(dead):
            continue
        hazard = weights * np.exp(predictor)
        at_risk = hazard[(time >= day) & (entry < day)].sum()
        for rank in range(len(dead)):
            left = at_risk - rank / len(dead) * hazard[dead].sum()
            total += weights[dead].mean() * np.log(left)
        total -= (weights[dead] * predictor[dead]).sum()
    return total


@given(some.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_it_is_the_definition_with_ties_weights_and_late_entries(seed: int) -> None:
    predictor, time, event, weights, entry = cohort(seed)
    found = (cox_partial_likelihood(predictor, time, event, weights, entry) * weights).sum(dim=1)
    for member in range(len(predictor)):
        arrays = (each.numpy() for each in (predictor[member], time, event, weights[member], entry))
        assert float(found[member]) == pytest.approx(by_definition(*arrays), abs=1e-10)


def test_its_gradient_is_that_of_finite_differences() -> None:
    predictor, time, event, weights, entry = cohort(1, rows=12)
    predictor.requires_grad_()
    weights[:, 0] = 0.0

    def loss(each: torch.Tensor) -> torch.Tensor:
        return cox_partial_likelihood(each, time, event, weights, entry) * weights

    assert torch.autograd.gradcheck(loss, (predictor,))
    loss(predictor).sum().backward()
    assert torch.equal(predictor.grad[:, 0], torch.zeros(3, dtype=torch.float64))


def test_rows_without_weight_and_the_order_of_rows_change_nothing() -> None:
    predictor, time, event, weights, entry = cohort(2)
    found = cox_partial_likelihood(predictor, time, event, weights, entry)
    kept = weights[0] > 0
    alone = cox_partial_likelihood(
        predictor[:1, kept], time[kept], event[kept], weights[:1, kept], entry[kept]
    )
    torch.testing.assert_close(found[:1, kept], alone)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    mixed = cox_partial_likelihood(
        predictor[:, order], time[order], event[order], weights[:, order], entry[order]
    )
    torch.testing.assert_close(mixed, found[:, order])


def test_the_level_of_the_predictor_changes_nothing_however_high() -> None:
    predictor, time, event, weights, _ = cohort(3)
    found = cox_partial_likelihood(predictor, time, event, weights)
    torch.testing.assert_close(cox_partial_likelihood(predictor + 900, time, event, weights), found)
    single = cox_partial_likelihood(predictor.float(), time.float(), event.float())
    assert single.dtype == torch.float32
    whole = cox_partial_likelihood(predictor, time, event)
    torch.testing.assert_close(single.double(), whole, atol=1e-5, rtol=1e-5)


def test_without_events_there_is_nothing_to_learn() -> None:
    predictor, time, event, weights, _ = cohort(4)
    assert not cox_partial_likelihood(predictor, time, 0.0 * event, weights).any()
    assert not cox_partial_likelihood(predictor, time, event, 0.0 * weights).any()


def test_the_baseline_of_equal_patients_is_nelson_and_aalens() -> None:
    _, time, event, weights, _ = cohort(5)
    days = torch.tensor([0.5, 3.0, 8.0])
    flat = torch.full((3, 30), 2.0, dtype=torch.float64)
    found = breslow_hazard(flat, time, event, days, weights)
    for member, weight in enumerate(weights):
        for place, day in enumerate(days):
            total = 0.0
            for each in torch.unique(time[time <= day]):
                dead = weight[(time == each) & (event > 0)].sum()
                total += float(dead / weight[time >= each].sum()) if dead > 0 else 0.0
            assert float(found[member, place]) == pytest.approx(total * np.exp(-2.0), abs=1e-12)
