"""Equations integrated: against closed forms and SciPy, on either engine, with doses."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from omics_twin.dynamics.pharmacology import (
    amount_after_boluses,
    myelosuppression,
    one_compartment,
    oral,
    two_compartments,
)
from omics_twin.dynamics.plan import Plan, administrations, in_force, plan_of
from omics_twin.dynamics.settings import Kinetics
from omics_twin.dynamics.solve import Engine, solve
from omics_twin.dynamics.system import System
from omics_twin.dynamics.tumour import chemoradiotherapy, growth_inhibition, two_clones
from omics_twin.errors import TherapyError, TwinError
from omics_twin.types import NO_INTERVENTION, Dose, Intervention

ENGINES = (Engine.EAGER, Engine.COMPILED, Engine.ADAPTIVE)


def doses(*given_: Dose) -> Plan:
    return plan_of([], [], Intervention("plan", given_))


def row(*values: float) -> torch.Tensor:
    return torch.tensor([[values]], dtype=torch.float64)


def on(*days: float) -> torch.Tensor:
    return torch.tensor([days], dtype=torch.float64)


@pytest.mark.parametrize("engine", ENGINES)
def test_repeated_boluses_are_the_sum_of_single_ones(engine: Engine) -> None:
    plan = doses(Dose("drug", 10.0, "mg", 1.0, 0.0, 2.0, 3))
    days = on(0.0, 1.0, 2.0, 3.5, 9.0)
    found = solve(
        one_compartment("drug"), row(0.6, 5.0, 1.0), [plan], days, engine=engine, step_days=0.1
    )
    given_on = torch.tensor([1.0, 3.0, 5.0], dtype=torch.float64)
    since = days[0][:, None] - given_on
    # What is read on the day of a bolus is read before it.
    since = torch.where(since == 0, -1.0, since)
    expected = amount_after_boluses(torch.full((5,), 3.0), torch.full((5,), 5.0), 10.0, since)
    torch.testing.assert_close(found[0, 0, :, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_infusion_fills_and_empties_as_in_closed_form(engine: Engine) -> None:
    k, volume, length, rate = 0.6, 5.0, 2.0, 4.0
    plan = doses(Dose("drug", rate * length, "mg", 0.0, length))
    days = on(0.0, 1.0, 2.0, 5.0)
    found = solve(
        one_compartment("drug"), row(k, volume, 1.0), [plan], days, engine=engine, step_days=0.1
    )
    during = [rate / k * (1 - math.exp(-k * min(day, length))) for day in days[0].tolist()]
    after = [math.exp(-k * max(day - length, 0.0)) for day in days[0].tolist()]
    expected = torch.tensor(
        [a * b for a, b in zip(during, after, strict=True)], dtype=torch.float64
    )
    torch.testing.assert_close(found[0, 0, :, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("system", "parameters", "amounts"),
    [
        (oral("drug"), (0.5, 4.0, 0.9, 3.0), (50.0,)),
        (two_compartments("drug"), (0.5, 4.0, 0.9, 0.4, 0.2), (50.0,)),
        (myelosuppression("drug"), (20.0, 40.0, 7.21, 5.17, 2.0, 0.239), (50.0,)),
        (growth_inhibition("drug"), (60, 0.003, 0.0008, 0.004, 40, 80, 0.4), (100.0,)),
        (two_clones("drug"), (0.1, 0.02, 0.1, 0.08, 0.4, 0.01, 1.5, 0.4, 0.7), (5.0,)),
        (
            chemoradiotherapy("drug", Kinetics.ORAL),
            (30, 0.006, 14137, 0.028, 0.17, 10, 0.69, 1.0, 1.0, 4.0),
            (5.0, 2.0),
        ),
    ],
    ids=lambda each: each.name if isinstance(each, System) else "",
)
def test_systems_are_integrated_as_scipy_does(
    system: System, parameters: tuple[float, ...], amounts: tuple[float, ...]
) -> None:
    plan = doses(*(Dose(d, a) for d, a in zip(system.drugs, amounts, strict=True)))
    days = on(0.0, 3.0, 10.0, 30.0)
    # SciPy is given single numbers, on which the functions of equations work as tensors.
    p = tuple(torch.tensor(each, dtype=torch.float64) for each in parameters)
    begin = system.given(system.initial(p), p, tuple(torch.tensor(a) for a in amounts))
    nothing = (0.0,) * len(system.drugs)
    reference = solve_ivp(
        lambda day, s: np.array(
            [float(x) for x in system.derivative(day, tuple(torch.tensor(s)), p, nothing)]
        ),
        (0.0, 30.0),
        np.array([float(each) for each in begin]),
        t_eval=[3.0, 10.0, 30.0],
        rtol=1e-9,
        atol=1e-11,
    ).y.T
    for engine in ENGINES:
        found = solve(system, row(*parameters), [plan], days, engine=engine, step_days=0.05)
        np.testing.assert_allclose(found[0, 0, 1:].numpy(), reference, rtol=1e-4, atol=1e-5)


def test_a_stiff_solver_agrees() -> None:
    plan = doses(Dose("drug", 10.0))
    days = on(0.0, 0.5)
    found = [
        solve(
            one_compartment("drug"), row(1.8, 5.0, 1.0), [plan], days, engine=each, step_days=0.05
        )
        for each in (Engine.STIFF, Engine.EAGER)
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_patients_on_other_days_and_plans_do_not_disturb_each_other() -> None:
    system = growth_inhibition("drug")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4, 7, generator=generator, dtype=torch.float64)
    parameters = row(60, 0.003, 0.0008, 0.004, 40, 80, 0.4) * torch.exp(0.1 * noise)
    weekly = doses(Dose("drug", 100.0, "mg", 0.0, 0.0, 7.0, 9))
    plans = [weekly, doses(), doses(Dose("drug", 70.0, "mg", 2.5, 1.5, 14.0, 3))]
    days = torch.tensor([[0.0, 10, 60], [5, 6, 7], [0.5, 20, 100]], dtype=torch.float64)
    for engine in (Engine.EAGER, Engine.COMPILED):
        together = solve(system, parameters, plans, days, engine=engine, step_days=0.5)
        for patient in (2, 0, 1):
            rows = slice(patient, patient + 1)
            alone = solve(
                system, parameters[rows], plans[rows], days[rows], engine=engine, step_days=0.5
            )
            torch.testing.assert_close(together[rows], alone, rtol=1e-12, atol=0)


def test_compiled_code_says_what_tensors_say_in_either_precision() -> None:
    system = growth_inhibition("drug")
    plan = [doses(Dose("drug", 100.0, "mg", 0.0, 0.0, 7.0, 9))] * 70
    noise = torch.randn(70, 2, 7, generator=torch.Generator().manual_seed(1)).double()
    parameters = row(60, 0.003, 0.0008, 0.004, 40, 80, 0.4) * torch.exp(0.1 * noise)
    days = on(0.0, 30.0, 90.0).expand(70, -1)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        found = [
            solve(system, parameters.to(dtype), plan, days, engine=each, step_days=1.0)
            for each in (Engine.EAGER, Engine.COMPILED)
        ]
        assert found[1].dtype == dtype
        torch.testing.assert_close(*found, rtol=tolerance, atol=tolerance)


def test_compiled_code_takes_and_leaves_the_threads_of_tensors() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        system = growth_inhibition("drug")
        solve(system, row(*[0.1] * 7), [doses()], on(1.0), engine=Engine.COMPILED)
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
    finally:
        torch.set_num_threads(threads)


def test_gradients_flow_through_doses() -> None:
    system = growth_inhibition("drug")
    plan = [doses(Dose("drug", 100.0, "mg", 0.0, 0.0, 7.0, 3))]
    parameters = row(60, 0.003, 0.0008, 0.004, 40, 80, 0.4)

    def size(scale: torch.Tensor) -> torch.Tensor:
        return solve(system, parameters * scale, plan, on(30.0), step_days=1.0)[..., 3].sum()

    scale = torch.ones(7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(size, (scale,), eps=1e-6, atol=1e-4)


def test_integration_goes_on_from_a_given_state() -> None:
    system = one_compartment("drug")
    whole = solve(system, row(0.6, 5.0, 1.0), [doses(Dose("drug", 10.0))], on(2.0, 4.0))
    for engine in (Engine.EAGER, Engine.COMPILED):
        rest = solve(
            system,
            row(0.6, 5.0, 1.0),
            [doses()],
            on(4.0),
            start_days=2.0,
            initial=whole[:, :, 0],
            engine=engine,
        )
        torch.testing.assert_close(rest[:, :, 0], whole[:, :, 1], rtol=1e-6, atol=1e-9)


def test_neutrophils_rest_without_a_drug_and_come_back_after_one() -> None:
    parameters = row(20.0, 40.0, 7.21, 5.17, 2.0, 0.239)
    days = on(0.0, 8.0, 200.0)
    for plan, lowest in ((doses(), 7.21), (doses(Dose("drug", 50.0)), None)):
        blood = solve(myelosuppression("drug"), parameters, [plan], days)[0, 0, :, 5]
        if lowest is not None:
            torch.testing.assert_close(blood, torch.full_like(blood, lowest))
        else:
            assert float(blood[1]) < 6.0
            assert abs(float(blood[2]) - 7.21) < 0.05


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"plans": []}, "0 plans for 1 patients"),
        ({"plans": [doses(Dose("drog"))]}, "drug 'drog' is not in the equations: did you mean"),
        ({"days": on(-1.0)}, "day -1 is asked for, expected none before day 0"),
        ({"parameters": row(math.nan, 1.0, 1.0)}, "a parameter of 'one compartment of d"),
        ({"parameters": row(-4e4, 1.0, 1.0)}, "the solution of 'one compartment of d"),
    ],
    ids=["plans", "drug", "day", "parameter", "solution"],
)
def test_what_cannot_be_integrated_is_refused(change: dict[str, object], sentence: str) -> None:
    asked: dict[str, object] = {
        "parameters": row(1.0, 1.0, 1.0),
        "plans": [doses(Dose("drug"))],
        "days": on(20.0),
    } | change
    with pytest.raises((TherapyError, TwinError), match=sentence):
        solve(one_compartment("drug"), **asked)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=0, max_size=5),
    st.integers(1, 10),
    st.integers(1, 8),
    st.integers(0, 20),
)
def test_every_dose_falls_into_one_segment(
    visits: list[int], interval: int, repeat: int, start: int
) -> None:
    dose = Dose("drug", 1.0, "mg", float(start), 0.0, float(interval), repeat)
    days = [float(each) for each in sorted(visits)]
    plan = plan_of(days, [Intervention("same", (dose,))] * len(days), Intervention("same", (dose,)))
    assert [day for day, _ in administrations(plan)] == [
        float(start + number * interval) for number in range(repeat)
    ]


def test_a_change_of_therapy_stops_what_was_running() -> None:
    infusion = Intervention("infusion", (Dose("drug", 8.0, "mg", 0.0, 8.0),))
    plan = plan_of([0.0, 2.0], [NO_INTERVENTION, infusion], NO_INTERVENTION)
    ((day, single),) = administrations(plan)
    assert (day, single.duration_days, single.amount) == (0.0, 2.0, 2.0)
    assert in_force(plan, 1.0).name == "infusion"
    assert in_force(plan, 3.0) == NO_INTERVENTION
