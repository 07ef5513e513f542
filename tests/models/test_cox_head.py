"""Proportional hazards: who counts is in the risk sets, and survival follows the baseline."""

from __future__ import annotations

import pytest
import torch

from omics_twin.models.build import (
    ChannelTensors,
    OutcomeTensors,
    build_network,
    restored_network,
)
from omics_twin.models.heads import CoxHead
from omics_twin.models.network import MultimodalNetwork
from omics_twin.models.partial_likelihood import cox_partial_likelihood
from omics_twin.settings import NetworkSettings, SurvivalHead

NAN = float("nan")
EDGES = torch.tensor([0.0, 100.0, 250.0, 600.0])
HAZARD = torch.tensor([[0.0, 0.1, 0.4, 1.0], [0.0, 0.3, 0.35, 0.5]])
SETTINGS = NetworkSettings(latent=3, hidden=6, intervals=4, survival_head=SurvivalHead.COX)


def head() -> CoxHead:
    return CoxHead("pfs", EDGES, HAZARD)


def drawn(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log hazards of one covariate and what was seen: events at 1 / 200 days, censored."""
    generator = torch.Generator().manual_seed(seed)
    score = torch.randn(rows, generator=generator)
    onset = -torch.rand(rows, generator=generator).log() * 200.0 * torch.exp(-score)
    leaving = 100.0 + 600.0 * torch.rand(rows, generator=generator)
    fields = torch.stack([torch.minimum(onset, leaving), (onset <= leaving).float()], dim=1)
    return score, fields


def test_the_loss_is_the_partial_likelihood_of_the_rows_that_count_and_are_known() -> None:
    score, target = drawn(20)
    target[3] = NAN
    weights = torch.ones(2, 20)
    weights[0, 5:9] = 0.0
    given = torch.stack([score, -score]).unsqueeze(-1)
    found = head().loss(given, target, weights)
    assert found[:, 3].tolist() == [0.0, 0.0]
    for member in range(2):
        kept = (weights[member] > 0) & ~torch.isnan(target[:, 0])
        time, event = target[kept].unbind(dim=1)
        alone = cox_partial_likelihood(given[member, kept, 0][None], time, event)
        torch.testing.assert_close(found[member, kept], alone[0])


def test_a_row_that_does_not_count_sends_and_gets_no_gradient() -> None:
    score, target = drawn(20)
    weights = torch.ones(2, 20)
    weights[1, ::2] = 0.0
    given = score.expand(2, 20).unsqueeze(-1).clone().requires_grad_()
    (head().loss(given, target, weights) * weights).sum().backward()
    assert given.grad[1, ::2].abs().max() == 0.0
    assert given.grad[0].abs().min() > 0.0


def test_survival_starts_at_one_and_follows_the_baseline() -> None:
    made = head()
    score = torch.tensor([[0.0, 0.7], [0.0, -1.0]]).unsqueeze(-1)
    days = torch.tensor([0.0, 50.0, 100.0, 600.0, 900.0])
    found = made.trajectory(made.predictor(score), days)[..., 0]
    hazard = torch.tensor([[0.0, 0.05, 0.1, 1.0, 1.0], [0.0, 0.15, 0.3, 0.5, 0.5]])
    torch.testing.assert_close(found, torch.exp(-score.exp() * hazard.unsqueeze(1)))


def test_the_baseline_after_training_gives_the_true_survival() -> None:
    score, target = drawn(4000)
    edges = torch.linspace(0.0, 600.0, 40)
    made = CoxHead("os", edges, torch.linspace(0.0, 1.0, 40).expand(2, -1))
    # A level that the score holds on top is taken back by the baseline.
    log_hazard = torch.stack([score, score + 3.0])
    made.settle(log_hazard, target, torch.ones(2, 4000))
    days = torch.tensor([50.0, 150.0, 400.0])
    asked = torch.tensor([[-1.0, 0.0, 1.0], [2.0, 3.0, 4.0]]).unsqueeze(-1)
    found = made.trajectory(made.predictor(asked), days)[..., 0]
    truth = torch.exp(-torch.tensor([-1.0, 0.0, 1.0]).exp()[:, None] * days / 200.0)
    torch.testing.assert_close(found, truth.expand(2, -1, -1), atol=0.03, rtol=0)


def cox_network() -> MultimodalNetwork:
    score, fields = drawn(60)
    channel = ChannelTensors(
        score[:, None] + torch.zeros(60, 2), torch.zeros(2, dtype=torch.bool), 0.0, False
    )
    outcome = OutcomeTensors("os", "time_to_event", "probability", fields)
    return build_network({"rna": channel}, outcome, 2, torch.ones(2, 60), SETTINGS, seed=0).eval()


def test_the_setting_chooses_the_head_and_storage_keeps_it_bit_by_bit() -> None:
    network = cox_network()
    heads = [made.described() for made in network.outcome.heads]
    assert heads[0]["kind"] == "proportional_hazards"
    restored = restored_network(["rna"], heads, network.state_dict()).eval()
    code, member = torch.ones(1, 4, network.latent + network.terms), torch.tensor([0, 1, 0, 1])
    even, spread = torch.full((1, 4), 0.25).log(), torch.full((1,), 2.0)
    days, agents = torch.tensor([30.0, 400.0]), torch.ones(1, 2)
    answers = [
        each.simulate(code, member, agents, days, even, spread) for each in (network, restored)
    ]
    assert torch.equal(*answers)


def test_before_training_survival_is_that_of_patients_who_are_all_alike() -> None:
    made = cox_network().outcome.heads[0]
    _, target = drawn(60)
    found = made.trajectory(made.predictor(torch.zeros(2, 1, 1)), torch.tensor([150.0]))
    alive = float((target[:, 0] > 150.0).float().mean())
    assert float(found[0, 0, 0, 0]) == pytest.approx(alive, abs=0.12)
