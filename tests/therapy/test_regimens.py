"""Grids of doses and schedules, what closes a plan, and what plans are ranked by."""

from __future__ import annotations

import pytest
import torch

from omics_twin.dynamics.plan import administrations, plan_of
from omics_twin.errors import TherapyError, TwinError
from omics_twin.therapy.regimens import DAILY, FOUR_TWO, WEEKLY, Limits, grid, regimen
from omics_twin.therapy.utility import Utility
from omics_twin.types import Endpoint, Intervention, Trajectory


def test_a_cycle_is_given_and_left_out() -> None:
    plan = plan_of([], [], Intervention("x", regimen("a", 50.0, "mg", FOUR_TWO, 84.0)))
    days = [day for day, _ in administrations(plan)]
    assert len(days) == 56
    assert 27.0 in days
    assert 28.0 not in days
    assert 42.0 in days


def test_every_amount_meets_every_schedule_alone_and_together() -> None:
    found = grid({"a": [1.0, 2.0], "b": [3.0]}, [DAILY, WEEKLY], days=14.0, together=True)
    assert len(found.plans) == (3 + 2) * 2
    assert "a 2 mg + b 3 mg weekly" in [plan.name for plan in found.plans]
    assert found.plans[-1].drugs == ("a", "b")


def test_a_plan_that_is_not_open_keeps_its_reason() -> None:
    limits = {"a": Limits(amount=60.0, weekly=300.0, reason="the label's highest dose")}
    found = grid({"a": [50.0, 80.0]}, [DAILY, FOUR_TWO], days=42.0, limits=limits)
    assert [plan.name for plan in found.plans] == ["a 50 mg 4 weeks on, 2 off"]
    assert found.excluded["a 80 mg daily"] == "a 80 at once, at most 60: the label's highest dose"
    assert "a 350 in a week, at most 300" in found.excluded["a 50 mg daily"]


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(TherapyError, match="needs drugs, amounts and schedules"):
        grid({"a": []}, [DAILY], days=7.0)


def trajectory() -> Trajectory:
    values = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    return Trajectory(
        ("ada",),
        torch.tensor([10.0, 20.0]).double(),
        values,
        torch.zeros(1, 1),
        ("f", "t"),
        ("", ""),
    )


def test_a_utility_adds_up_its_terms_each_at_its_own_day() -> None:
    utility = Utility.of("net", (1.0, Endpoint("f", "f", 10.0)), (-0.5, Endpoint("t", "t", 20.0)))
    assert utility.days().tolist() == [10.0, 20.0]
    assert utility.read(trajectory()).tolist() == [[0.5]]
    assert [term.horizon_days for _, term in utility.later(5.0).terms] == [15.0, 25.0]
    with pytest.raises(TwinError, match="reads quantity 'x', but this twin simulates: f, t"):
        Utility.of("net", (1.0, Endpoint("x", "x", 10.0))).read(trajectory())
