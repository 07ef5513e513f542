"""Draws are moved apart for what the members' shared patients hide; the mean stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omics_twin.models.heads import Link
from omics_twin.models.network import Widening
from omics_twin.tensors.members import jackknife_spread, plan_members

DRAWS, PATIENTS = 40, 3


def predictors() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(DRAWS, PATIENTS, 2, generator=generator) - 1.0


def test_the_mean_probability_stays_and_the_spread_grows() -> None:
    given, weights = predictors(), torch.full((DRAWS, PATIENTS), 1 / DRAWS)
    wide = Widening(weights, torch.full((PATIENTS,), 2.0))(given, link=Link.LOGIT)
    torch.testing.assert_close(
        torch.sigmoid(wide).mean(dim=0), torch.sigmoid(given).mean(dim=0), rtol=0, atol=1e-3
    )
    torch.testing.assert_close(wide.std(dim=0), 2.0 * given.std(dim=0))


def test_the_mean_survival_stays_where_the_predictor_is_a_log_hazard() -> None:
    given, weights = predictors(), torch.full((DRAWS, PATIENTS), 1 / DRAWS)
    wide = Widening(weights, torch.full((PATIENTS,), 2.0))(given, link=Link.LOG_LOG)
    before, after = (torch.exp(-torch.exp(each)).mean(dim=0) for each in (given, wide))
    torch.testing.assert_close(after, before, rtol=0, atol=2e-3)
    torch.testing.assert_close(wide.std(dim=0), 2.0 * given.std(dim=0))
    certain = Widening(weights, torch.full((PATIENTS,), 2.0))(given + 200.0, link=Link.LOG_LOG)
    assert bool(torch.isfinite(certain).all())


@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_mean_survival_stays_on_every_day_where_predictors_are_hazards(spread: float) -> None:
    generator = torch.Generator().manual_seed(2)
    draws, patients, intervals = 200, 30, 12
    # As members disagree: one is more hopeful than the other on every day.
    apart = torch.randn(draws, patients, 1, generator=generator)
    given = 0.6 * apart + 0.1 * torch.randn(draws, patients, intervals, generator=generator) - 2.5
    weights = torch.rand(draws, patients, generator=generator)
    weights = weights / weights.sum(dim=0)

    def survival(predictor: torch.Tensor) -> torch.Tensor:
        alive = torch.exp(-torch.nn.functional.softplus(predictor).cumsum(dim=-1))
        return (alive * weights.unsqueeze(-1)).sum(dim=0)

    wide = Widening(weights, torch.full((patients,), spread))(given, link=Link.HAZARDS)
    torch.testing.assert_close(survival(wide), survival(given), rtol=0, atol=1e-4)
    torch.testing.assert_close(wide.std(dim=0), spread * given.std(dim=0))


def test_without_a_link_the_mean_itself_stays() -> None:
    given, weights = predictors(), torch.full((DRAWS, PATIENTS), 1 / DRAWS)
    wide = Widening(weights, torch.full((PATIENTS,), 3.0))(given, link=Link.IDENTITY)
    torch.testing.assert_close(wide.mean(dim=0), given.mean(dim=0))


def test_draws_without_weight_do_not_move_the_others() -> None:
    given, weights = predictors(), torch.zeros(DRAWS, PATIENTS)
    weights[:10] = 0.1
    wide = Widening(weights, torch.full((PATIENTS,), 2.0))(given, link=Link.LOGIT)
    other = given.clone()
    other[10:] += 5.0
    torch.testing.assert_close(
        Widening(weights, torch.full((PATIENTS,), 2.0))(other, link=Link.LOGIT)[:10], wide[:10]
    )


def test_the_jackknife_gives_the_variance_of_a_mean() -> None:
    """Members that each take the mean of 80 % of their patients, moved apart, vary by s^2 / n.

    With four degrees of freedom a seed, 60 seeds estimate the variance to about 9 %; the tolerance
    is three times that.
    """
    held_out = np.arange(400)[None] % 2
    ratios = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        values = torch.tensor(generator.standard_normal(400), dtype=torch.float32)
        plan = plan_members(
            held_out, replicas=5, stopping_share=0.2, bayesian_bootstrap=False, seed=seed
        )
        mine = plan.fold == 1
        means = (plan.training[mine] @ values) / plan.training[mine].sum(dim=1)
        variance = jackknife_spread(plan, mine) ** 2 * float(means.var(correction=0))
        ratios.append(variance / (float(values[held_out[0] == 0].var()) / 200))
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.27)
