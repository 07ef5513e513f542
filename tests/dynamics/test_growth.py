"""Tumour size in closed form: published values, the equations it solves, other laws."""

from __future__ import annotations

import math

import pytest
import torch

from omics_twin.dynamics.growth import (
    GrowthInhibition,
    nadir,
    stein_fojo,
    stein_fojo_time_to_growth,
    time_to_growth,
    wang,
)
from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.solve import Engine, solve
from omics_twin.dynamics.tumour import combination, growth_inhibition, two_clones
from omics_twin.types import NO_INTERVENTION, Dose, Intervention

# Per week, sunitinib in gastrointestinal stromal tumours: Schindler et al. 2016,
# doi:10.1002/psp4.12057.
GROWTH, KILL, RESISTANCE = 0.0104796, 0.0165971, 0.0200529
HELD = Intervention("held", (Dose("drug"),))


def sizes(exposure: float, *weeks: float) -> torch.Tensor:
    """Return the size as a share of the first, by the closed form."""
    parameters = torch.tensor(
        [[[1.0, GROWTH / 7, KILL * exposure / 7, RESISTANCE / 7]]], dtype=torch.float64
    )
    days = 7.0 * torch.tensor([weeks], dtype=torch.float64)
    return GrowthInhibition().run(parameters, [plan_of([], [], HELD)], days)[0, 0, :, 0]


@pytest.mark.parametrize(
    ("exposure", "weeks", "lowest", "after_a_year"),
    [
        (50 / 32.819, 43.92, 0.7573, None),
        (50 / 32.819 * 2 / 3, 23.70, 0.9327, 1.001),
        (1.0, 22.93, 0.9373, None),
        (2 / 3, 2.71, 0.9992, 1.206),
    ],
)
def test_time_to_growth_nadir_and_size_after_a_year(
    exposure: float, weeks: float, lowest: float, after_a_year: float | None
) -> None:
    rates = [torch.tensor(x, dtype=torch.float64) for x in (GROWTH, KILL * exposure, RESISTANCE)]
    assert math.isclose(float(time_to_growth(*rates)), weeks, rel_tol=1e-3)
    assert math.isclose(float(nadir(*rates)), lowest, rel_tol=1e-3)
    assert math.isclose(float(sizes(exposure, weeks)), lowest, rel_tol=1e-3)
    if after_a_year is not None:
        assert math.isclose(float(sizes(exposure, 52.0)), after_a_year, rel_tol=1e-3)


def test_the_closed_form_solves_the_equations_under_a_constant_infusion() -> None:
    system = growth_inhibition("drug")
    # A tiny volume and a fast effect site: the exposure is at its plateau at once.
    parameters = torch.tensor(
        [[[60.0, GROWTH / 7, KILL / 7, RESISTANCE / 7, 24.0, 2.0, 12.0]]], dtype=torch.float64
    )
    infusion = Intervention("infusion", (Dose("drug", 600.0, "mg", 0.0, 400.0),))
    days = torch.tensor([[0.0, 100.0, 364.0]], dtype=torch.float64)
    found = solve(
        system,
        parameters,
        [plan_of([], [], infusion)],
        days,
        step_days=0.05,
        engine=Engine.COMPILED,
    )
    expected = 60.0 * sizes(1.5, 0.0, 100 / 7, 52.0)
    torch.testing.assert_close(found[0, 0, :, 3], expected, rtol=1e-3, atol=0)


def test_a_tumour_grows_freely_before_between_and_after_therapies() -> None:
    model = GrowthInhibition()
    parameters = torch.tensor([[[50.0, 0.002, 0.01, 0.004]]], dtype=torch.float64)
    days = torch.tensor([[0.0, 28.0, 56.0, 84.0]], dtype=torch.float64)
    plan = plan_of([0.0, 28.0, 56.0], [NO_INTERVENTION, HELD, NO_INTERVENTION], HELD)
    size = model.run(parameters, [plan], days)[0, 0, :, 0]
    kill = [(1 - math.exp(-0.004 * 28)) / 0.004, 0.0]
    kill.append((math.exp(-0.004 * 56) - math.exp(-0.004 * 84)) / 0.004)
    steps = torch.tensor([0.002 * 28 - 0.01 * each for each in kill], dtype=torch.float64)
    torch.testing.assert_close((size[1:] / size[:-1]).log(), steps)


def test_drugs_are_weighed_by_their_exposure() -> None:
    model = GrowthInhibition({"a": 1.0, "b": 0.5})
    parameters = torch.tensor([[[50.0, 0.002, 0.01, 0.004]]], dtype=torch.float64)
    day = torch.tensor([[50.0]], dtype=torch.float64)
    both = Intervention("both", (Dose("a"), Dose("b")))
    stronger = Intervention("stronger", (Dose("a", 1.5),))
    sizes_ = [model.run(parameters, [plan_of([], [], each)], day) for each in (both, stronger)]
    torch.testing.assert_close(*sizes_)


def test_stein_and_fojos_laws_turn_where_they_say() -> None:
    size, shrinkage, growth = (torch.tensor(x, dtype=torch.float64) for x in (60.0, 0.01, 0.002))
    for sensitive in (1.0, 0.7):
        share = torch.tensor(sensitive, dtype=torch.float64)
        turn = stein_fojo_time_to_growth(shrinkage, growth, share)
        around = torch.stack([turn - 5, turn, turn + 5])
        path = stein_fojo(size, shrinkage, growth, around, share)
        assert path.argmin() == 1
    never = stein_fojo_time_to_growth(torch.tensor(0.001), torch.tensor(0.1), 0.2)
    assert float(never) == 0.0


def test_wangs_law_ends_in_a_straight_line() -> None:
    one = torch.tensor([60.0, 0.1, 0.5])
    late = [wang(*one, torch.tensor(day)) for day in (200.0, 201.0)]
    assert math.isclose(float(late[1] - late[0]), 0.5, rel_tol=1e-4)


@pytest.mark.parametrize("interaction", [0.0, 2.0])
def test_kill_rates_add_without_interaction_as_bliss_says(interaction: float) -> None:
    system = combination("a", "b")
    parameters = torch.tensor(
        [[[60.0, 0.002, 0.001, 0.002, 0.003, 30, 60, 30, 60, interaction]]], dtype=torch.float64
    )
    day = torch.tensor([[60.0]], dtype=torch.float64)

    def log_size(*drugs: str) -> float:
        plan = plan_of(
            [], [], Intervention("x", tuple(Dose(d, 90.0, "mg", 0, 0, 7.0, 9) for d in drugs))
        )
        return float(solve(system, parameters, [plan], day)[..., 3].log())

    free = log_size()
    excess = (log_size("a", "b") - free) - (log_size("a") - free) - (log_size("b") - free)
    assert (excess < -1e-3) if interaction else abs(excess) < 1e-6


def test_the_resistant_clone_grows_through() -> None:
    parameters = torch.tensor(
        [[[8.0, 0.01, 0.006, 0.008, 0.05, 1e-5, 0.5, 60.0, 1.0]]], dtype=torch.float64
    )
    plan = plan_of([], [], Intervention("x", (Dose("drug", 100.0, "mg", 0, 0, 7.0, 120),)))
    days = torch.tensor([[0.0, 60.0, 800.0]], dtype=torch.float64)
    states = solve(two_clones("drug"), parameters, [plan], days)[0, 0]
    volume, resistant = states[:, 1], states[:, 2]
    assert volume[1] < volume[0] < volume[2]
    assert resistant[2] > 0.5 * volume[2]
