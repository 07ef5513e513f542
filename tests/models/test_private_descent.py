"""Noisy gradient descent: bounded for every patient and member, and never more than it promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_twin.models.private_budget import Mechanism, epsilon_of
from omics_twin.models.private_descent import Descent, clipped_sums, linear_loss
from omics_twin.models.private_noise import NoiseSource
from tests.models.private_audit import empirical_epsilon

MEMBERS, PATIENTS, INPUTS, AGENTS = 3, 12, 4, 2


def problem(seed: int, size: float = 1.0) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    made = torch.Generator().manual_seed(seed)
    parameters = {
        "effects": torch.randn(MEMBERS, INPUTS, 1 + AGENTS, generator=made),
        "average": torch.randn(MEMBERS, AGENTS, generator=made),
        "level": torch.randn(MEMBERS, generator=made),
    }
    inputs = size * torch.randn(PATIENTS, MEMBERS, INPUTS, generator=made)
    agents = (torch.rand(PATIENTS, AGENTS, generator=made) < 0.5).float()
    targets = (torch.rand(PATIENTS, generator=made) < 0.5).float()
    return parameters, [inputs, agents, targets]


def flat(sums: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([each.reshape(MEMBERS, -1) for each in sums.values()], dim=1)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), bound=st.floats(0.01, 50.0), size=st.sampled_from([0.01, 1.0, 1e4])
)
def test_one_patient_changes_no_members_sum_by_more_than_the_bound(
    seed: int, bound: float, size: float
) -> None:
    parameters, patients = problem(seed, size)
    everyone = torch.ones(MEMBERS, PATIENTS)
    without = everyone.clone()
    without[:, seed % PATIENTS] = 0.0
    change = flat(clipped_sums(linear_loss, parameters, patients, everyone, bound)) - flat(
        clipped_sums(linear_loss, parameters, patients, without, bound)
    )
    assert bool((change.norm(dim=1) <= bound * 1.0001 + 1e-5).all())


def test_a_members_gradient_is_that_of_training_it_alone() -> None:
    parameters, patients = problem(3)
    weights = (
        torch.rand(MEMBERS, PATIENTS, generator=torch.Generator().manual_seed(1)) < 0.7
    ) + 0.0
    together = clipped_sums(linear_loss, parameters, patients, weights, bound=1e9)
    for member in range(MEMBERS):
        own = {k: v[member : member + 1].clone().requires_grad_() for k, v in parameters.items()}
        loss = sum(
            weights[member, row]
            * linear_loss(own, patients[0][row, member : member + 1], patients[1][row], target)[0]
            for row, target in enumerate(patients[2])
        )
        assert isinstance(loss, torch.Tensor)
        for name, alone in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
            torch.testing.assert_close(together[name][member], alone[0], rtol=1e-4, atol=1e-5)


def test_noise_is_a_function_of_key_and_step_and_secret_unless_a_seed_is_given() -> None:
    one = NoiseSource.of(5)
    assert torch.equal(one.normal((9,), 2, 4), NoiseSource.of(5).normal((9,), 2, 4))
    others = [one.normal((9,), 2, 5), one.normal((9,), 3, 4), one.at(1).normal((9,), 2, 4)]
    assert not any(torch.equal(one.normal((9,), 2, 4), each) for each in others)
    assert not one.secret
    first, second = NoiseSource.of(None), NoiseSource.of(None)
    assert first.secret
    assert first.key != second.key


def test_members_have_their_own_noise_and_their_own_sample() -> None:
    parameters, patients = problem(0)
    alike = {name: each[:1].expand_as(each).clone() for name, each in parameters.items()}
    inputs = [patients[0][:, :1].expand_as(patients[0]).clone(), *patients[1:]]
    training, sizes = torch.ones(MEMBERS, PATIENTS), torch.full((MEMBERS,), float(PATIENTS))
    for mechanism in (Mechanism(1.0, 1.0, 2), Mechanism(0.0, 0.5, 2)):
        found = Descent(mechanism, 1.0, 0.1, 0.0, 1).iterates(
            linear_loss, alike, inputs, training, sizes, NoiseSource.of(0)
        )[-1]
        assert not torch.equal(found["effects"][0], found["effects"][1])


def test_the_last_iterates_are_kept() -> None:
    parameters, patients = problem(0)
    descent = Descent(Mechanism(0.0, 1.0, 8), 1.0, 0.1, 0.0, kept=4)
    found = descent.iterates(
        linear_loss,
        parameters,
        patients,
        torch.ones(MEMBERS, PATIENTS),
        torch.full((MEMBERS,), float(PATIENTS)),
        NoiseSource.of(0),
    )
    assert len(found) == 4
    assert not torch.equal(found[-1]["level"], found[-2]["level"])


def canaried(noise_multiplier: float, runs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how far fits moved along a patient nobody resembles, with the patient and without."""
    members = 2 * runs
    made = torch.Generator().manual_seed(4)
    inputs = torch.randn(20, INPUTS, generator=made)
    inputs[:, 0] = 0.0
    inputs[0] = torch.tensor([1e3, 0.0, 0.0, 0.0])
    training = torch.ones(members, 20)
    training[runs:, 0] = 0.0
    patients = [
        inputs.unsqueeze(1).expand(-1, members, -1),
        torch.zeros(20, AGENTS),
        (torch.arange(20) % 2 == 0).float(),
    ]
    parameters = {
        "effects": torch.zeros(members, INPUTS, 1 + AGENTS),
        "average": torch.zeros(members, AGENTS),
        "level": torch.zeros(members),
    }
    # Small steps, so that the patient's gradient stays as large as it may be.
    descent = Descent(Mechanism(noise_multiplier, 1.0, 10), 1.0, 1e-6, 0.0, 1)
    found = descent.iterates(
        linear_loss, parameters, patients, training, torch.full((members,), 20.0), NoiseSource.of(9)
    )[-1]["effects"][:, 0, 0]
    return found[:runs], found[runs:]


def test_the_bound_on_epsilon_holds_for_normals_and_is_not_empty() -> None:
    rng = np.random.default_rng(0)
    found = empirical_epsilon(rng.normal(1.0, 1.0, 4000), rng.normal(0.0, 1.0, 4000), 1e-3)
    # Unit normals one apart are (3.1, 0.001)-alike.
    assert 1.0 < found < 3.1
    assert empirical_epsilon(rng.normal(size=500), rng.normal(size=500), 1e-3) < 0.3


def test_an_audit_with_a_canary_stays_below_the_epsilon_that_is_promised() -> None:
    mechanism, delta = Mechanism(3.0, 1.0, 10), 1e-3
    promised = epsilon_of([mechanism], delta)
    present, absent = canaried(mechanism.noise_multiplier, 1500)
    audited = empirical_epsilon(present.numpy(), absent.numpy(), delta)
    assert 0.25 * promised < audited <= promised


def test_the_audit_finds_noise_that_is_too_small() -> None:
    promised = epsilon_of([Mechanism(12.0, 1.0, 10)], 1e-3)
    present, absent = canaried(12.0 / 6.0, 600)
    assert empirical_epsilon(present.numpy(), absent.numpy(), 1e-3) > promised


@pytest.mark.parametrize("bound", [0.5, 5.0])
def test_a_small_gradient_is_left_as_it_is(bound: float) -> None:
    parameters, patients = problem(2, size=1e-3)
    everyone = torch.ones(MEMBERS, PATIENTS)
    whole = clipped_sums(linear_loss, parameters, patients, everyone, 1e9)
    cut = clipped_sums(linear_loss, parameters, patients, everyone, bound)
    same = all(torch.allclose(whole[name], cut[name]) for name in whole)
    assert same == (bound > 2.0)
