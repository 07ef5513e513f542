"""A network in which every cause of an event has a head of its own."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from omics_twin.errors import TrainingError
from omics_twin.evaluate.causes import summed
from omics_twin.models.build import (
    ChannelTensors,
    OutcomeTensors,
    build_network,
    restored_network,
)
from omics_twin.models.companion import fit_companion
from omics_twin.models.effects import EffectsProblem, fit_fade, learn_effects
from omics_twin.models.heads import HazardHead
from omics_twin.models.network import MultimodalNetwork, Widening, event_and_causes
from omics_twin.settings import NetworkSettings, SurvivalHead
from omics_twin.tensors.batch import TrainingTensors

PATIENTS, MEMBERS = 800, 2
DAYS = torch.linspace(0.0, 900.0, 19)


def cohort(seed: int = 0) -> tuple[Tensor, OutcomeTensors]:
    """Return two markers, the first of one cause and the second of the other, and what came."""
    generator = torch.Generator().manual_seed(seed)
    markers = torch.randn(PATIENTS, 2, generator=generator)
    rates = torch.exp(markers) * torch.tensor([1.0, 0.5]) / 600.0
    times = torch.empty(PATIENTS, 2).exponential_(generator=generator) / rates
    first, which = times.min(dim=1)
    seen = (first <= 900.0).float()
    time = first.clamp(max=900.0)
    fields = [each for k in range(2) for each in (time, seen * (which == k))]
    causes = ("the tumour", "another cause")
    return markers, OutcomeTensors("os", "time_to_event", "day", torch.stack(fields, 1), causes)


def made(head: SurvivalHead = SurvivalHead.HAZARD) -> tuple[MultimodalNetwork, TrainingTensors]:
    """Return an untrained network and its patients."""
    markers, outcome = cohort()
    stopping = torch.stack([torch.arange(PATIENTS) % 5 == each for each in range(MEMBERS)]).float()
    channel = ChannelTensors(markers, torch.zeros(2, dtype=torch.bool), 0.0, follow_up=False)
    settings = NetworkSettings(latent=2, hidden=4, survival_head=head, intervals=8)
    network = build_network({"markers": channel}, outcome, 1, 1.0 - stopping, settings, seed=0)
    agents = torch.ones(PATIENTS, 1)
    return network, TrainingTensors(
        {"markers": markers}, {"markers": 0.0}, agents, outcome.fields, 1.0 - stopping, stopping
    )


def answers(network: MultimodalNetwork, tensors: TrainingTensors) -> Tensor:
    """Return the trajectories of codes without anything in the latent part, by member and row."""
    added = network.encoder("markers").added(tensors.channels["markers"])
    latent = torch.zeros(MEMBERS, PATIENTS, network.latent)
    found: Tensor = network.outcome(torch.cat([latent, added], dim=-1), tensors.agents, DAYS)
    return found.detach()


@cache
def _learned() -> tuple[MultimodalNetwork, TrainingTensors]:
    network, tensors = made()
    group = torch.zeros(MEMBERS, dtype=torch.long)
    learn_effects(network, tensors, group, planned=torch.arange(MEMBERS))
    return network.eval().requires_grad_(requires_grad=False), tensors


def learned() -> tuple[MultimodalNetwork, TrainingTensors]:
    """Return a network of one's own whose linear effects are known."""
    network, tensors = _learned()
    return copy.deepcopy(network), tensors


def test_survival_and_incidences_make_up_everybody() -> None:
    network, tensors = learned()
    assert network.outcome.quantities == ("os", "os: the tumour", "os: another cause")
    assert network.outcome.units == ("probability",) * 3
    found = answers(network, tensors)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(MEMBERS, PATIENTS, len(DAYS)))
    assert bool((found.diff(dim=2)[..., 1:] >= -1e-6).all())
    torch.testing.assert_close(found[:, :, 0], torch.tensor([1.0, 0.0, 0.0]).expand(2, 800, 3))


def test_every_cause_follows_its_own_marker() -> None:
    network, _ = learned()
    effects = network.encoder("markers").effects.mean(dim=0)
    # Terms of a head: prognosis, and the effect of the one agent.
    tumour, other = effects[:, :2].sum(dim=1), effects[:, 2:].sum(dim=1)
    assert tumour[0] > 0.6
    assert other[1] > 0.6
    assert abs(tumour[1]) < 0.25
    assert abs(other[0]) < 0.25


def test_effects_that_fade_are_found_and_those_that_stay_do_not_fade() -> None:
    """Before day 300 the marker tells much, afterwards nothing; or the same all along."""
    generator = torch.Generator().manual_seed(3)
    marker = torch.randn(4000, 1, generator=generator)
    early = torch.empty(4000).exponential_(generator=generator) / (2.0 * marker[:, 0]).exp() * 500.0
    late = 300.0 + 500.0 * torch.empty(4000).exponential_(generator=generator)
    steady = torch.empty(4000).exponential_(generator=generator) / marker[:, 0].exp() * 500.0
    fades = []
    for time in (torch.where(early < 300.0, early, late), steady):
        fields = torch.stack([time.clamp(max=900.0), (time < 900.0).float()], dim=1)
        settings = NetworkSettings(latent=2, hidden=4, intervals=8, bent_effects=False)
        stopping = (torch.arange(4000) % 5 == 0).float()[None]
        network = build_network(
            {"m": ChannelTensors(marker, torch.zeros(1, dtype=torch.bool), 0.0, follow_up=False)},
            OutcomeTensors("os", "time_to_event", "day", fields),
            1,
            1.0 - stopping,
            settings,
            seed=0,
        )
        told = TrainingTensors(
            {"m": marker}, {"m": 0.0}, torch.ones(4000, 1), fields, 1.0 - stopping, stopping
        )
        learn_effects(network, told, torch.zeros(1).long(), planned=torch.zeros(1).long())
        assert network.outcome.effects is not None
        fades.append(float(network.outcome.effects.fade.detach()))
    assert fades[0] < -0.6
    assert abs(fades[1]) < 0.1


def test_the_network_and_the_baseline_add_hazards_up_alike() -> None:
    hazards = torch.rand(2, 5, 6, generator=torch.Generator().manual_seed(0)).cumsum(dim=-1)
    alive, incidence = summed(np.exp(-hazards.numpy().astype(np.float64)))
    found = event_and_causes(hazards)
    np.testing.assert_allclose(found[..., 0], alive, rtol=1e-5)
    np.testing.assert_allclose(found[..., 1:], np.moveaxis(incidence, 0, -1), atol=1e-6)


def test_days_between_those_asked_about_change_nothing() -> None:
    network, tensors = learned()
    code = torch.zeros(MEMBERS, PATIENTS, network.latent + network.terms)
    one = network.outcome(code, tensors.agents, DAYS[[-1]])
    torch.testing.assert_close(one[:, :, 0], network.outcome(code, tensors.agents, DAYS)[:, :, -1])


def test_a_stored_network_answers_as_before() -> None:
    network, tensors = learned()
    described = [each.described() for _, each in network.outcome.parts]
    again = restored_network(["markers"], described, network.state_dict(), "os").eval()
    torch.testing.assert_close(answers(again, tensors), answers(network, tensors))


def test_beginning_again_answers_as_before() -> None:
    network, tensors = learned()
    assert network.outcome.effects is not None
    network.outcome.effects.gain.copy_(torch.tensor([[[0.5, 2.0]], [[1.5, 0.25]]]))
    before, root = answers(network, tensors), network.unknown(["markers"])
    network.begin_again()
    assert bool((network.outcome.effects.gain == 1.0).all())
    torch.testing.assert_close(answers(network, tensors), before)
    gain = torch.tensor([[0.5, 0.5, 2.0, 2.0], [1.5, 1.5, 0.25, 0.25]])
    wide = gain.unsqueeze(2) * (root @ root.mT) * gain.unsqueeze(1)
    again = network.unknown(["markers"])
    torch.testing.assert_close(again @ again.mT, wide, atol=1e-5, rtol=1e-4)


def test_trees_learn_the_event_of_any_cause() -> None:
    network, tensors = learned()
    group = torch.zeros(MEMBERS, dtype=torch.long)
    trees = fit_companion(network, tensors, group, torch.ones(1), seed=0, trees=12)
    events = tensors.training @ tensors.targets[:, 1::2]
    torch.testing.assert_close(trees.causes.exp(), events / events.sum(dim=1, keepdim=True))
    members = torch.arange(MEMBERS)
    score, share = trees.answered(network, tensors.channels, members)
    assert bool(((share >= 0) & (share <= 1)).all())
    either = tensors.targets[:, 1::2].sum(dim=1) > 0
    assert float(score[:, either].mean()) > float(score[:, ~either].mean()) + 0.2


def test_given_no_event_so_far_the_rest_is_still_everybody() -> None:
    network, tensors = learned()
    found = answers(network, tensors)
    now = found[:, :, [5]]
    later = network.outcome.given_event_free(found[:, :, 5:], now)
    # Single precision: of few survivors a part is not known to six digits.
    everybody = torch.ones_like(later[..., 0])
    torch.testing.assert_close(later.sum(dim=-1), everybody, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(later[:, :, 0], torch.tensor([1.0, 0.0, 0.0]).expand(2, 800, 3))


def test_proportional_hazards_know_no_causes() -> None:
    with pytest.raises(TrainingError, match="tells causes apart, for which model.survival_head is"):
        made(SurvivalHead.COX)


@pytest.mark.parametrize("together", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_widening_keeps_survival_and_every_incidence(together: float, spread: float) -> None:
    """Whether members that expect more of one cause expect more of the other, or less."""
    network, _ = learned()
    generator = torch.Generator().manual_seed(4)
    draws, patients = 100, 20
    apart = torch.randn(2, draws, patients, 1, generator=generator)
    apart[1] = together * apart[0] + (1.0 - together**2) ** 0.5 * apart[1]
    level = torch.tensor([-2.0, -1.2]).view(2, 1, 1, 1)
    intervals = len(network.outcome.parts[0][1].level[0, 0])  # type: ignore[arg-type]
    given = level + 0.8 * apart.expand(-1, -1, -1, intervals)
    weights = torch.rand(draws, patients, generator=generator)
    weights = weights / weights.sum(dim=0)

    def told(odds: Tensor) -> Tensor:
        every = event_and_causes(torch.nn.functional.softplus(odds).cumsum(dim=-1))
        return (every * weights[..., None, None]).sum(dim=0)

    wide = Widening(weights, torch.full((patients,), spread)).together(given)
    torch.testing.assert_close(told(wide), told(given), rtol=0, atol=1e-3)
    torch.testing.assert_close(wide.std(dim=1), spread * given.std(dim=1), rtol=1e-3, atol=1e-4)


def test_a_member_fades_as_it_would_alone() -> None:
    network, tensors = learned()
    head = network.outcome.parts[0][1]
    assert isinstance(head, HazardHead)
    generator = torch.Generator().manual_seed(5)
    score = torch.randn(MEMBERS, PATIENTS, generator=generator)
    score[1] *= 20.0

    def fitted(members: list[int]) -> Tensor:
        chosen = torch.tensor(members)
        own = HazardHead("os", head.edges_days, torch.sigmoid(head.level[chosen, 0]))
        empty = torch.zeros(len(members), PATIENTS, 0)
        problem = EffectsProblem(
            empty,
            tensors.agents,
            tensors.targets[:, :2],
            torch.zeros(len(members), PATIENTS),
            tensors.training[chosen],
            tensors.stopping[chosen],
            torch.zeros(len(members)).long(),
            empty,
        )
        return fit_fade(score[chosen], torch.zeros(len(members), 1, 1), problem, own)[0]

    torch.testing.assert_close(fitted([0, 1])[:1], fitted([0]))
    torch.testing.assert_close(fitted([0, 1])[1:], fitted([1]))


def test_fading_is_where_the_likelihood_is_highest() -> None:
    network, tensors = learned()
    head = network.outcome.parts[0][1]
    assert isinstance(head, HazardHead)
    assert network.outcome.effects is not None
    added = network.encoder("markers").added(tensors.channels["markers"])
    score = network.outcome.effects(added, tensors.agents)[..., :1]

    def loss(fade: Tensor) -> Tensor:
        told = torch.cat([score, fade * score], dim=-1)
        each = head.loss(told, tensors.targets[:, :2]) * tensors.training
        return each.sum(dim=1) + 0.5 * fade[:, 0, 0].square()

    found = network.outcome.effects.fade[..., :1]
    for away in (-0.1, 0.1):
        assert bool((loss(found + away) > loss(found)).all())
