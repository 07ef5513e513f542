"""A belief moved visit by visit is what the network would say of the whole history."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omics_twin.twin.visits import VisitTwin
from omics_twin.types import Dose, Endpoint, Intervention, Observation, TwinState
from omics_twin.visits.living import LivingModel
from tests.twins import TRAINED, laboratory_visit, visit_twin

PATIENTS = ("ada", "ben", "cem")
DAYS = (0.0, 150.0, 400.0)
PLACEBO = Intervention("placebo", (Dose("placebo"),))


def shown(twin: VisitTwin, days: tuple[float, ...] = DAYS, draws: int = 6) -> TwinState:
    state = twin.start(PATIENTS, draws=draws, seed=1)
    for day in days:
        state = twin.observe(state, laboratory_visit(twin, PATIENTS, day))
    return state


def free(twin: VisitTwin, state: TwinState, days: list[float]) -> torch.Tensor:
    asked = torch.tensor(days, dtype=torch.float64)
    return twin.simulate(state, PLACEBO, asked).values[..., 0]


def test_visit_by_visit_is_the_whole_history_at_once() -> None:
    twin = visit_twin()
    network, memory = twin.network, twin.network.nothing(3)
    before = 0.0
    for day in DAYS:
        found = network.standard(laboratory_visit(twin, PATIENTS, day).values["laboratory"])
        first = torch.full((3,), day == 0.0)
        memory = network.seen(memory, found, torch.full((3,), day - before), first)
        before = day
    agents = torch.tensor([[0.0, 1.0]]).expand(3, -1)
    score = network.score(memory, agents, torch.full((3,), 400.0))
    ahead = torch.tensor([[0.0, 100.0, 900.0]]).expand(3, -1)
    expected = network.event_free(score, ahead).transpose(0, 1)
    torch.testing.assert_close(free(twin, shown(twin), [400.0, 500.0, 1300.0]), expected)


def test_survival_on_days_of_ones_own_is_that_of_the_head() -> None:
    network = visit_twin().network
    score = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    days = torch.tensor([0.0, 50.0, 200.0, 650.0, 2000.0, 5000.0])
    expected = network.head.trajectory(network.head.predictor(score), days)[..., 0]
    torch.testing.assert_close(network.event_free(score, days.expand(3, -1)), expected)


def test_days_lived_on_without_a_measurement_raise_what_is_ahead() -> None:
    twin = visit_twin()
    before = shown(twin)
    blank = torch.full((3, 3), torch.nan)
    day = torch.full((3,), 700.0, dtype=torch.float64)
    after = twin.observe(before, Observation(PATIENTS, day, {"laboratory": blank}))
    unchecked, alive = free(twin, before, [700.0, 1200.0]).unbind(dim=2)
    torch.testing.assert_close(free(twin, after, [1200.0])[..., 0], alive / unchecked)


def test_what_was_not_measured_at_first_is_drawn_given_what_was() -> None:
    twin = visit_twin(members=1)
    state = twin.start(("ada",), draws=20000, seed=1)
    values = torch.tensor([[4.0, torch.nan, 60.0]])
    day = torch.zeros(1, dtype=torch.float64)
    after = twin.observe(state, Observation(("ada",), day, {"laboratory": values}))
    drawn, spread = after.draws[0, :, 2], twin.network.spread[0]
    found = twin.network.standard(values)[0, 0, [0, 2]]
    across = spread[1, [0, 2]]
    inner = torch.linalg.inv(spread[[0, 2]][:, [0, 2]])
    assert float(drawn.mean()) == pytest.approx(float(across @ inner @ found), abs=0.02)
    left = spread[1, 1] - across @ inner @ across
    assert float(drawn.var()) == pytest.approx(float(left), rel=0.05)


def test_what_is_not_measured_later_keeps_its_last_value() -> None:
    twin = visit_twin()
    state, partly = shown(twin), laboratory_visit(twin, PATIENTS, 500.0)
    partly.values["laboratory"][:, 1] = torch.nan
    after = twin.observe(state, partly)
    torch.testing.assert_close(after.draws[..., 2], state.draws[..., 2])
    assert not torch.equal(after.draws[..., 1], state.draws[..., 1])


def test_what_never_changes_is_forecast_as_it_was() -> None:
    twin = visit_twin()
    ahead = twin.forecast(shown(twin), torch.full((3,), 600.0, dtype=torch.float64))
    torch.testing.assert_close(ahead[..., 2], torch.full((3, 6), 50.0), atol=0.1, rtol=0)
    assert float(ahead[..., 0].std(dim=1).min()) > 0.05


def with_a_sign(twin: VisitTwin) -> VisitTwin:
    """Return the twin with its second feature scored yes or no."""
    network = copy.deepcopy(twin.network)
    network.binary = torch.tensor([False, True, False])
    network.location[:, 1], network.scale[:, 1] = 0.3, 0.5
    network.range_[:, :, 1] = torch.tensor([0.0, 1.0])
    return replace(twin, network=network)


def scored(twin: VisitTwin, yes: float, day: float) -> Observation:
    visit = laboratory_visit(twin, PATIENTS, day)
    visit.values["laboratory"][:, 1] = yes
    return visit


def test_a_sign_is_foreseen_as_a_probability_and_learned_as_one() -> None:
    twin = with_a_sign(visit_twin())
    state = twin.start(PATIENTS, draws=12, seed=1)
    ahead = []
    for yes in (0.0, 1.0):
        shown_once = twin.observe(state, scored(twin, yes, 0.0))
        later = torch.full((3,), 300.0, dtype=torch.float64)
        ahead.append(twin.forecast(shown_once, later)[..., 1])
        now = twin.simulate(shown_once, PLACEBO, torch.zeros(1, dtype=torch.float64))
        assert bool((now.values[:, :, 0, 2] == yes).all())
    assert bool(((ahead[0] > 0) & (ahead[0] < ahead[1]) & (ahead[1] < 1)).all())
    network, memory = twin.network, twin.network.nothing(3)
    gap = torch.full((3,), 300.0)
    odds = network.ahead(memory, gap)[0][..., 1]
    for yes, told in ((1.0, torch.sigmoid(odds)), (0.0, torch.sigmoid(-odds))):
        off = network.surprise(memory, scored(twin, yes, 300.0).values["laboratory"], gap)
        torch.testing.assert_close(off[..., 1], -told.log())


def test_a_sign_that_was_never_scored_is_drawn_as_yes_or_no() -> None:
    twin = with_a_sign(visit_twin())
    state = twin.start(PATIENTS, draws=60, seed=1)
    after = twin.observe(state, scored(twin, torch.nan, 0.0))
    drawn = after.draws[..., 2] * 0.5 + 0.3
    assert set(drawn.flatten().round(decimals=5).tolist()) == {0.0, 1.0}


def test_members_are_moved_apart_and_their_mean_is_not() -> None:
    twin = with_a_sign(visit_twin())
    wide = replace(twin, membership=replace(twin.membership, spread=2.0, spread_new=2.0))
    state = shown(twin)
    days = torch.tensor([700.0], dtype=torch.float64)
    plain, moved = (each.simulate(state, PLACEBO, days).values[:, :, 0] for each in (twin, wide))
    for quantity in (0, 2):
        torch.testing.assert_close(
            moved[..., quantity].mean(dim=1), plain[..., quantity].mean(dim=1), atol=0.02, rtol=0
        )
    assert bool((moved[..., 2].std(dim=1) > 1.5 * plain[..., 2].std(dim=1)).all())
    assert bool((moved[..., 0].std(dim=1) > plain[..., 0].std(dim=1)).all())


def test_a_training_patient_is_answered_by_members_that_never_saw_them() -> None:
    twin = visit_twin()
    state = twin.start((TRAINED[1],), draws=12, seed=1)
    answering = state.draws[0, torch.isfinite(state.log_weights[0]), 0].unique()
    assert answering.tolist() == [1.0, 4.0]


def test_a_stored_twin_answers_with_the_same_bits(tmp_path: Path) -> None:
    twin = visit_twin()
    model = LivingModel(
        twin, Endpoint("free", "event_free", 700.0), "free", twin.agents, 0.05, {"patients": 40}
    )
    model.save(tmp_path / "model")
    loaded = LivingModel.load(tmp_path / "model")
    assert isinstance(loaded.twin, VisitTwin)
    assert torch.equal(
        free(twin, shown(twin), [500.0, 900.0]),
        free(loaded.twin, shown(loaded.twin), [500.0, 900.0]),
    )
    assert replace(loaded, twin=twin, digest="") == replace(model, digest="")
