"""A network proposes a patient's rates and propensity; visits are taken in exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from omics_twin.dynamics.rates import ScheduledRates
from omics_twin.models.prior_training import PriorTensors, fit_prior
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.response import MeasuredNumbers, prior_of
from omics_twin.types import NO_INTERVENTION, Dose, Endpoint, Intervention, Observation, TwinState
from omics_twin.visits.living import RESPONSE, LivingModel
from tests.twins import response_twin, response_visit

WHO = ("ada", "ben")
GIVEN = Intervention("given", (Dose("paclitaxel"),))
OTHER = Intervention("other", (Dose("paclitaxel"), Dose("carboplatin")))


def belief(draws: int = 600, upto: float = 21.0, members: int = 3) -> TwinState:
    twin = response_twin(members=members)
    state = twin.start(WHO, draws=draws, seed=1)
    state = twin.observe(state, response_visit(twin, WHO, 0.0))
    return twin.observe(state, response_visit(twin, WHO, upto), under=GIVEN) if upto else state


def test_a_visit_is_taken_in_as_gaussians_are_conditioned() -> None:
    twin = response_twin(members=1)
    state = belief(members=1)
    prior = prior_of(twin)
    base, hidden = prior.network.base(prior.context(WHO, state.history).repeat(2, 1, 1))
    base, lower = base[0].double(), prior.network.lower()[0].double()
    at = torch.cat([base, hidden[0].double(), torch.zeros(2, 1).double()], dim=1)[:, None]
    plans = twin._plans(state, NO_INTERVENTION)
    days = torch.tensor([[0.0, 21.0]] * 2, dtype=torch.float64)
    expected = twin.dynamics.run(prior.natural(at), plans, days)[..., :2].flatten(1)
    observed = cast(MeasuredNumbers, twin.observation)
    shown = torch.stack([visit.observation.values["mri"] for visit in state.history], dim=1)
    off = observed.steady(shown).flatten(1) - expected
    design = cast(ScheduledRates, twin.dynamics).linear(days).flatten(1, 2) * prior.unit[0]
    error = torch.diag(torch.tensor(observed.error).double().repeat(2).square())
    for row in range(2):
        across = lower @ lower.T @ design[row].T
        within = design[row] @ across + error
        mean = base[row] + across @ torch.linalg.solve(within, off[row])
        left = lower @ lower.T - across @ torch.linalg.solve(within, across.T)
        found = state.draws[row, :, : prior.moved]
        torch.testing.assert_close(found.mean(dim=0), mean, rtol=0, atol=1e-4)
        torch.testing.assert_close(found.std(dim=0), left.diagonal().sqrt(), rtol=0.15, atol=2e-3)
    # All draws count alike, however surprising the visit is.
    assert (state.log_weights == state.log_weights[0, 0]).all()


def test_the_sampler_moves_the_parameters_alone_and_finds_the_same() -> None:
    exact = response_twin(members=2)
    wide = replace(cast(MeasuredNumbers, exact.observation), error=(0.5, 0.1))
    found = []
    for twin in (
        replace(exact, observation=wide),
        replace(exact, observation=wide, assimilation=None),
    ):
        state = twin.start(WHO, draws=800, seed=1)
        state = twin.observe(state, response_visit(twin, WHO, 0.0))
        state = twin.observe(state, response_visit(twin, WHO, 21.0), under=GIVEN)
        ahead = twin.forecast(state, torch.tensor([84.0, 84.0]), GIVEN)[..., 0]
        found.append(weighted_mean(ahead.clamp(min=0.01).log(), state.log_weights))
        assert set(state.draws[..., -1].unique().tolist()) <= {0.0, 1.0}
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0.2)


def test_another_therapy_changes_what_lies_ahead_alone() -> None:
    twin, state = response_twin(), belief()
    days = torch.tensor([0.0, 21.0, 84.0], dtype=torch.float64)
    one, other = (twin.simulate(state, each, days).values[..., 0] for each in (GIVEN, OTHER))
    torch.testing.assert_close(one[..., :2], other[..., :2])
    assert (one[..., 2] - other[..., 2]).abs().mean() > 1e-3


def test_a_training_patient_is_answered_by_members_that_never_saw_the_patient() -> None:
    state = response_twin().start(["trained0", "new"], draws=60, seed=1)
    # Nothing is known yet: these are the populations that the members began at.
    assert state.draws[0, :, -1].unique().tolist() == [3.0]
    assert state.draws[1, :, -1].unique().tolist() == [3.0, 4.0, 5.0]


def cohort(patients: int = 120) -> PriorTensors:
    """Return patients of whom the first member is told what matters, the second is not."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(2, patients, 3, generator=generator)
    noise = torch.randn(patients, 3, generator=generator)
    start, change = noise[:, :1], known[0, :, :1] + 0.5 * noise[:, 1:2]
    later = torch.arange(patients) % 4 == 0
    seen = torch.cat([start, start + change], dim=1)
    seen[torch.arange(patients) % 5 == 0, 1] = torch.nan
    return PriorTensors(
        known=known,
        agents=torch.ones(patients, 1),
        seen=seen.expand(2, -1, -1),
        responded=(2.0 * known[0, :, 0] + noise[:, 2] > 0).float(),
        training=(~later).float().expand(2, -1),
        stopping=later.float().expand(2, -1),
    )


def test_a_network_is_the_population_prior_where_features_tell_nothing() -> None:
    tensors = cohort()
    network, population = fit_prior(tensors, features=1, population_steps=40, steps=120)
    level = network.mean(torch.zeros_like(tensors.known), tensors.agents)
    moved = (network.mean(tensors.known, tensors.agents) - level).std(dim=1)[:, 1:]
    assert (moved[0] > 0.2).all()
    assert (moved[1] < 0.1).all()
    # Of whom nothing is known, patients may be anything that features would have told.
    assert population.propensity_sd[0] > population.propensity_sd[1]


def test_a_stored_twin_answers_as_before(tmp_path: Path) -> None:
    twin, state = response_twin(), belief(draws=60)
    endpoint = Endpoint("pcr", "pcr", 180.0)
    LivingModel(twin, endpoint, "response", ("given",), 0.05, {}).save(tmp_path / "model")
    loaded = LivingModel.load(tmp_path / "model")
    assert loaded.kind == RESPONSE
    answers = [
        endpoint.read(each.simulate(state, OTHER, endpoint.days())) for each in (twin, loaded.twin)
    ]
    assert torch.equal(*answers)


def test_a_scan_without_any_volume_is_a_volume_of_none() -> None:
    twin, state = response_twin(), belief(draws=60)
    visit = response_visit(twin, WHO, 84.0)
    gone = torch.tensor([[0.0, 0.5]] * 2).double()
    after = twin.observe(state, Observation(WHO, visit.days, {"mri": gone}), under=GIVEN)
    ahead = twin.simulate(after, GIVEN, torch.tensor([84.0], dtype=torch.float64))
    assert float(ahead.values[..., 0].mean()) < 0.1
