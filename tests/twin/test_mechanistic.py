"""Beliefs of mechanistic twins: right on patients made from the prior, never degenerate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omics_twin.dynamics.plan import plan_of
from omics_twin.errors import ModelError, TwinError
from omics_twin.evaluate.forecast import coverage
from omics_twin.evaluate.simulation_based import ranks_of, uniformity
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.growth_fit import fit_growth
from omics_twin.twin.growth_process import GrowthProcessTwin
from omics_twin.twin.smc import effective_draws, systematic, tempering_step
from omics_twin.types import Dose, Intervention, Modality, Observation, TwinState
from tests.twins_mechanistic import TUMOUR, growth_process_twin, tumour_twin

ARM = Intervention("arm", (Dose("paclitaxel"),))


def assimilated(patients: int = 240, visits: int = 4) -> tuple[torch.Tensor, TwinState]:
    """Return the parameters of patients made from the prior, and the belief after some scans."""
    twin = tumour_twin()
    ids = [f"virtual {each}" for each in range(patients)]
    truth = twin.start(ids, draws=1, seed=11)
    days = 56.0 * torch.arange(visits, dtype=torch.float64)
    size = twin.simulate(truth, ARM, days).values[:, 0, :, 0]
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(size.shape, generator=generator, dtype=torch.float64)
    measured = size + noise * torch.sqrt((0.067 * size).square() + 1.0)
    state = twin.start(ids, draws=300, seed=2)
    for visit, day in enumerate(days.tolist()):
        seen = {"tumour": measured[:, visit : visit + 1]}
        on = torch.full((patients,), day, dtype=torch.float64)
        state = twin.observe(state, Observation(tuple(ids), on, seen), under=ARM)
    return truth.draws[:, 0], state


def test_beliefs_hold_the_truth_as_often_as_they_say() -> None:
    truth, state = assimilated()
    weights = state.log_weights.exp().numpy()
    assert (effective_draws(state.log_weights) >= 0.49 * state.draws.shape[1]).all()
    for place in range(4):
        draws, true = state.draws[..., place].numpy(), truth[:, place].numpy()
        assert 0.84 < coverage(draws, true, weights).share < 0.96
        assert uniformity(ranks_of(true, draws, weights), bins=10).p_value > 0.005


def test_a_scan_beyond_belief_is_refused_or_believed_but_never_leaves_one_draw() -> None:
    twin = tumour_twin()
    state = twin.start(["ada"], draws=400, seed=1)
    day = torch.zeros(1, dtype=torch.float64)
    far = Observation(("ada",), day, {"tumour": torch.tensor([[900.0]]).double()})
    after = twin.observe(state, far)
    assert float(effective_draws(after.log_weights)) > 190
    assert len(after.draws[0, :, 0].unique()) > 100


def test_drugs_given_between_visits_are_part_of_the_belief() -> None:
    twin = tumour_twin()
    state = twin.start(["ada"], draws=200, seed=1)
    for day, size in ((0.0, 60.0), (56.0, 40.0)):
        seen = Observation(
            ("ada",), torch.tensor([day]).double(), {"tumour": torch.tensor([[size]]).double()}
        )
        state = twin.observe(state, seen, under=ARM)
    later = torch.tensor([168.0])
    sizes = [
        weighted_mean(twin.simulate(state, each, later).values[..., 0, 0], state.log_weights)
        for each in (ARM, Intervention("none"))
    ]
    assert float(sizes[0]) < float(sizes[1])
    kills = twin.parameters(state)["kill_per_day"]
    first = twin.parameters(twin.start(["ada"], draws=200, seed=1))["kill_per_day"]
    assert float(weighted_mean(kills, state.log_weights)) > float(first.mean())


def test_too_small_to_measure_says_that_it_is_small() -> None:
    twin = tumour_twin()
    modality = Modality("tumour", "mm", ("diameter_mm", "too_small"))
    twin = replace(twin, observation=replace(twin.observation, modality=modality))
    state = twin.start(["ada"], draws=300, seed=1)
    values = torch.tensor([[torch.nan, 1.0]], dtype=torch.float64)
    after = twin.observe(state, Observation(("ada",), torch.zeros(1).double(), {"tumour": values}))
    size = twin.parameters(after)["size_mm"]
    assert float(size.max()) < 20.0
    ahead = twin.forecast(after, torch.tensor([1.0]))
    assert ahead.shape == (1, 300, 2)


def test_tempering_takes_in_what_draws_can_bear() -> None:
    flat = torch.full((1, 100), -np.log(100)).double()
    likelihood = torch.linspace(-200, 0, 100).double()[None]
    step = tempering_step(flat, likelihood, torch.ones(1).double(), wanted=50.0)
    assert 0 < float(step) < 0.1
    assert float(effective_draws(flat + step * likelihood)) == pytest.approx(50.0, abs=0.5)


def test_resampling_keeps_draws_about_as_often_as_they_weigh() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.2]]).double()
    counts = [
        torch.bincount(systematic(weights.log().repeat(1, 1), torch.tensor([u]))[0], minlength=3)
        for u in torch.linspace(0.01, 0.99, 99).tolist()
    ]
    torch.testing.assert_close(
        torch.stack(counts).double().mean(dim=0) / 3, weights[0], rtol=0, atol=0.02
    )


def test_a_prior_that_is_none_is_refused_and_a_right_one_is_kept_in_json() -> None:
    with pytest.raises(ModelError, match="not positive definite"):
        GaussianPrior(("a",), (Scale.LOG,), torch.zeros(1), -torch.eye(1))
    with pytest.raises(ModelError, match="expected one of each"):
        GaussianPrior(("a",), (), torch.zeros(1), torch.eye(1))
    prior = tumour_twin().prior
    assert isinstance(prior, GaussianPrior)
    again = GaussianPrior.from_json(prior.to_json())
    torch.testing.assert_close(again.covariance, prior.covariance)
    logit = GaussianPrior(("share",), (Scale.LOGIT,), torch.zeros(1), torch.eye(1))
    assert float(logit.natural(torch.zeros(1, 1, 1))) == 0.5


def test_the_exact_twin_says_what_sampling_says() -> None:
    # With Gaussian volatility, importance sampling from the prior gives the same forecast.
    twin = growth_process_twin(freedom=1e6)
    state = twin.start(["ada"], draws=4000, seed=1)
    population = twin.population
    for day, size in ((0.0, 60.0), (56.0, 45.0)):
        seen = Observation(
            ("ada",), torch.tensor([day]).double(), {"tumour": torch.tensor([[size]]).double()}
        )
        state = twin.observe(state, seen, under=ARM)
    ahead = population.scale(twin.forecast(state, torch.tensor([112.0]), ARM)[0, :, 0])
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(400_000, 5, generator=generator, dtype=torch.float64)
    level = population.level + population.level_sd * z[:, 0]
    growth = population.growth + population.growth_sd * z[:, 1]
    kill = population.kill + population.kill_sd * z[:, 2]
    faded = [(1 - np.exp(-0.006 * day)) / 0.006 for day in (56.0, 112.0)]
    settled = 1 - np.exp(-population.settling * np.array([0.0, 56.0, 112.0]))
    gained = torch.tensor(population.walk * 56.0 + population.early * np.diff(settled))
    walk = (gained.sqrt() * z[:, 3:]).cumsum(dim=1)
    paths = [
        level + growth * d - kill * f + w
        for d, f, w in zip((56.0, 112.0), faded, walk.T, strict=True)
    ]
    error = population.error**0.5
    seen_size = population.scale(torch.tensor([60.0, 45.0]).double())
    weight = -0.5 * ((seen_size[0] - level) / error) ** 2
    weight = torch.softmax(weight - 0.5 * ((seen_size[1] - paths[0]) / error) ** 2, dim=0)
    mean = float((weight * paths[1]).sum())
    spread = float((weight * (paths[1] - mean) ** 2).sum() + population.error) ** 0.5
    assert float(ahead.mean()) == pytest.approx(mean, abs=0.02)
    assert float(ahead.std()) == pytest.approx(spread, rel=0.08)


def test_a_growth_process_is_learned_and_kept() -> None:
    made = growth_process_twin(freedom=8.0)
    ids = [f"p{each}" for each in range(150)]
    state = made.start(ids, draws=1, seed=4)
    days = (50.0 * torch.arange(6, dtype=torch.float64)).expand(150, -1)
    values = torch.stack([made.simulate(state, ARM, days[0]).values[:, 0, :, 0]], dim=-1)
    found = fit_growth(days, values, [plan_of([], [], ARM)] * 150, steps=80)
    assert abs(found.level - made.population.level) < 0.2
    assert len(found.shapes) == 3
    twin = GrowthProcessTwin("again", TUMOUR, found)
    assert GrowthProcessTwin.from_json(twin.to_json()) == twin


def test_a_rate_is_better_known_after_scans() -> None:
    twin = growth_process_twin()
    state = twin.start(["ada"], draws=10, seed=1)
    first = twin.rates(state)["inhibition"]
    for day, size in ((0.0, 60.0), (56.0, 30.0), (112.0, 20.0)):
        seen = Observation(
            ("ada",), torch.tensor([day]).double(), {"tumour": torch.tensor([[size]]).double()}
        )
        state = twin.observe(state, seen, under=ARM)
    last = twin.rates(state)["inhibition"]
    assert float(last[0]) > float(first[0])
    with pytest.raises(TwinError, match="before the last one"):
        twin.observe(state, replace(seen, days=torch.tensor([3.0]).double()), under=ARM)
