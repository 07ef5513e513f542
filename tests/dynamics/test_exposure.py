"""A drug that comes and goes is learned from concentrations, and its effect is the closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omics_twin.dynamics.exposure import Exposure, concentration, fit_exposure
from omics_twin.dynamics.pharmacology import COMPARTMENTS
from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.settings import Kinetics
from omics_twin.dynamics.solve import Engine, solve
from omics_twin.dynamics.tumour import volume_inhibition
from omics_twin.errors import TrainingError
from omics_twin.types import Dose, Intervention

TRUE = Exposure(1.5, 0.4, 0.7, 0.1, 0.01)


ORAL = replace(TRUE, absorption_per_day=12.0)
TWO = replace(TRUE, outward_per_day=2.0, inward_per_day=1.0)


def measured(mice: int = 60, made: Exposure = TRUE) -> tuple[np.ndarray, np.ndarray, list]:
    rng = np.random.default_rng(0)
    plans, days, found = [], [], []
    for mouse in range(mice):
        dose = (0.2, 0.6, 2.5)[mouse % 3]
        on = np.array([0.05, 0.3, 1.0, np.nan])
        true = concentration(made, np.array([dose]), on[:3, None])
        noise = rng.standard_normal(3) * np.sqrt((0.1 * true) ** 2 + 0.01**2)
        plans.append(plan_of([], [], Intervention("once", (Dose("drug", dose, "mg"),))))
        days.append(on)
        found.append(np.append(true + noise, np.nan))
    return np.array(days), np.array(found), plans


def test_the_compartment_that_made_concentrations_is_found_again() -> None:
    found = fit_exposure(*measured())
    assert found.elimination_per_day == pytest.approx(1.5, rel=0.05)
    assert found.distribution_l == pytest.approx(0.4, rel=0.05)
    assert found.absorbed == pytest.approx(0.7, abs=0.05)
    assert found.proportional == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize(
    ("made", "kinetics"), [(ORAL, Kinetics.ORAL), (TWO, Kinetics.TWO_COMPARTMENTS)]
)
def test_other_compartments_are_found_and_say_what_their_equations_say(
    made: Exposure, kinetics: Kinetics
) -> None:
    found = fit_exposure(*measured(90, made), kinetics)
    assert set(found.shared) == set(made.shared)
    days, dose = torch.tensor([[0.1, 0.4, 1.0, 3.0]], dtype=torch.float64), 0.6
    plan = plan_of([], [], Intervention("once", (Dose("drug", dose, "mg"),)))
    system = COMPARTMENTS[kinetics]("drug")
    parameters = torch.tensor([[[made.shared[name] for name in system.parameters]]])
    solved = solve(system, parameters.double(), [plan], days, step_days=0.01)[0, 0, :, 0]
    told, learned = (
        concentration(each, np.array([dose]), days[0, :, None].numpy()) for each in (made, found)
    )
    np.testing.assert_allclose(solved.numpy() / made.distribution_l, told, rtol=1e-4)
    np.testing.assert_allclose(learned[:3], told[:3], rtol=0.15)


def test_too_few_concentrations_and_infusions_are_refused() -> None:
    days, found, plans = measured(6)
    with pytest.raises(TrainingError, match="6 concentrations are known, expected at least 8"):
        fit_exposure(days[:2], found[:2], plans[:2])
    infusion = Intervention("infusion", (Dose("drug", 1.0, "mg", 0.0, 0.5),))
    with pytest.raises(TrainingError, match="a patient has an infusion"):
        fit_exposure(days, found, [plan_of([], [], infusion)] * 6)


@pytest.mark.parametrize("engine", [Engine.COMPILED, Engine.EAGER])
def test_exponential_growth_under_a_dose_is_the_closed_form(engine: Engine) -> None:
    growth, kill, elimination, volume, absorbed = 0.04, 0.3, 1.5, 0.4, 0.7
    parameters = torch.tensor(
        [[[0.1, growth, 1e9, kill, elimination, volume, absorbed]]], dtype=torch.float64
    )
    plan = plan_of([], [], Intervention("once", (Dose("drug", 0.6, "mg", 2.0),)))
    days = torch.tensor([[1.0, 2.0, 3.0, 9.0]], dtype=torch.float64)
    found = solve(
        volume_inhibition("drug"), parameters, [plan], days, step_days=0.1, engine=engine
    )[0, 0, :, 1]
    since = (days[0] - 2.0).clamp(min=0.0)
    cleared = 1.0 - torch.exp(-elimination * since)
    effect = kill * 0.6**absorbed / volume / elimination * cleared
    exact = 0.1 * torch.exp(2.0 * growth * days[0] - effect)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=0)


def test_growth_without_a_drug_becomes_linear() -> None:
    parameters = torch.tensor([[[0.1, 0.1, 0.2, 0.0, 1.0, 1.0, 1.0]]], dtype=torch.float64)
    days = torch.tensor([[0.0, 1.0, 200.0, 201.0]], dtype=torch.float64)
    found = solve(
        volume_inhibition("drug"), parameters, [plan_of([], [], Intervention("none"))], days
    )
    volume = found[0, 0, :, 1]
    # V + (l / 2e) log V = V0 + (l / 2e) log V0 + l t, the equation's implicit solution.
    left = volume + torch.log(volume)
    torch.testing.assert_close(left, left[0] + 0.2 * days[0], rtol=1e-5, atol=1e-6)
    assert float(volume[3] - volume[2]) == pytest.approx(0.2, rel=0.03)
