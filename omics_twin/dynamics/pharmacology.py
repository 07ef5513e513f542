"""What a body does to a drug and a drug to the blood count: parts of equations, and whole ones.

Amounts in mg, concentrations in mg/L, volumes in L, clearances in L/day, rates per day. The parts
run on tensors and in compiled code alike; a system is put together from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, no_type_check

import torch
from jaxtyping import Float
from numba.extending import register_jitable
from torch import Tensor

from omics_twin.dynamics.functions import maximum, power
from omics_twin.dynamics.settings import Kinetics
from omics_twin.dynamics.system import Numbers, System

_KINETICS = ("elimination_per_day", "distribution_l", "absorbed")


@register_jitable
@no_type_check
def absorbed(amount: Any, exponent: Any) -> Any:
    """Return how much of a dose gets into the body, ``amount ** exponent``; of none nothing."""
    return amount * power(maximum(amount, 1e-12), exponent - 1.0)


@register_jitable
@no_type_check
def eliminated(amount: Any, clearance: Any, volume: Any) -> Any:
    """Return what is cleared from a compartment per day."""
    return clearance / volume * amount


@register_jitable
@no_type_check
def approached(effect: Any, driver: Any, rate: Any) -> Any:
    """Return the change of an effect site that follows a driver (Sheiner et al. 1979)."""
    return rate * (driver - effect)


@register_jitable
@no_type_check
def neutrophils(
    proliferating: Any,
    first: Any,
    second: Any,
    third: Any,
    circulating: Any,
    effect: Any,
    base: Any,
    transit_days: Any,
    feedback: Any,
) -> Any:
    """Return the change of Friberg's five compartments under a share of cells that is killed.

    References
    ----------
    Friberg et al. 2002, doi:10.1200/JCO.2002.02.140.
    """
    rate = 4.0 / transit_days
    demand = power(base / maximum(circulating, 1e-6), feedback)
    # No more than all of the production can be lost.
    return (
        rate * proliferating * (maximum(1.0 - effect, 0.0) * demand - 1.0),
        rate * (proliferating - first),
        rate * (first - second),
        rate * (second - third),
        rate * (third - circulating),
    )


def one_compartment(drug: str) -> System:
    """Return one compartment with linear elimination; of a dose ``amount ** absorbed`` gets there.

    With ``absorbed`` below 1 a smaller share of larger doses is absorbed.

    Examples
    --------
    >>> one_compartment("erlotinib").states
    ('amount_mg',)
    """

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0],)

    @register_jitable
    @no_type_check
    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        return (rates[0] - p[0] * s[0],)

    @register_jitable
    @no_type_check
    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + absorbed(amounts[0], p[2]),)

    return System(
        f"one compartment of {drug}",
        ("amount_mg",),
        ("mg",),
        _KINETICS,
        (drug,),
        initial,
        derivative,
        given,
    )


def oral(drug: str) -> System:
    """Return one compartment behind first-order absorption from the gut."""

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0], 0.0 * p[0])

    @register_jitable
    @no_type_check
    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        across = p[3] * s[1]
        return (across - p[0] * s[0], rates[0] - across)

    @register_jitable
    @no_type_check
    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0], s[1] + absorbed(amounts[0], p[2]))

    return System(
        f"oral {drug}",
        ("amount_mg", "gut_mg"),
        ("mg", "mg"),
        (*_KINETICS, "absorption_per_day"),
        (drug,),
        initial,
        derivative,
        given,
    )


def two_compartments(drug: str) -> System:
    """Return a central and a peripheral compartment with linear elimination from the first."""

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0], 0.0 * p[0])

    @register_jitable
    @no_type_check
    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        across = p[3] * s[0] - p[4] * s[1]
        return (rates[0] - p[0] * s[0] - across, across)

    @register_jitable
    @no_type_check
    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + absorbed(amounts[0], p[2]), s[1])

    return System(
        f"two compartments of {drug}",
        ("amount_mg", "peripheral_mg"),
        ("mg", "mg"),
        (*_KINETICS, "outward_per_day", "inward_per_day"),
        (drug,),
        initial,
        derivative,
        given,
    )


COMPARTMENTS: Mapping[Kinetics, Callable[[str], System]] = {
    Kinetics.BOLUS: one_compartment,
    Kinetics.ORAL: oral,
    Kinetics.TWO_COMPARTMENTS: two_compartments,
}
"""How a drug comes and goes: of each the first state is the amount in the blood, the first three
parameters are the rate of elimination [1/day], the volume of distribution [L] and the exponent of
the dose."""


def myelosuppression(drug: str) -> System:
    """Return Friberg's model of neutrophils under one drug in one compartment.

    Parameters are clearance and volume, the neutrophils before treatment [1e9/L], the mean transit
    time [day], the slope of the effect [L/mg] and the feedback.

    References
    ----------
    Friberg et al. 2002, doi:10.1200/JCO.2002.02.140.
    """

    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0], p[2] + 0.0, p[2] + 0.0, p[2] + 0.0, p[2] + 0.0, p[2] + 0.0)

    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        effect = p[4] * s[0] / p[1]
        blood = neutrophils(s[1], s[2], s[3], s[4], s[5], effect, p[2], p[3], p[5])
        change = rates[0] - eliminated(s[0], p[0], p[1])
        return (change, blood[0], blood[1], blood[2], blood[3], blood[4])

    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + amounts[0], s[1], s[2], s[3], s[4], s[5])

    return System(
        f"neutrophils under {drug}",
        ("amount_mg", "proliferating", "first", "second", "third", "neutrophils"),
        ("mg", *["1e9/L"] * 5),
        (
            "clearance_per_day",
            "volume_l",
            "neutrophils_before",
            "transit_days",
            "slope_l_per_mg",
            "feedback",
        ),
        (drug,),
        initial,
        derivative,
        given,
    )


def amount_after_boluses(
    clearance_per_day: Float[Tensor, "*batch"],
    volume_l: Float[Tensor, "*batch"],
    dose_mg: float,
    since_days: Float[Tensor, "*batch dose"],
) -> Float[Tensor, "*batch"]:
    """Return the amount left of equal boluses in one compartment, in closed form.

    Parameters
    ----------
    since_days
        Days since each bolus; one that is still to come has a negative number.

    Examples
    --------
    >>> one = torch.tensor(1.0)
    >>> float(amount_after_boluses(one, one, 10.0, torch.tensor([0.0])))
    10.0
    """
    rate = (clearance_per_day / volume_l)[..., None]
    left = torch.where(since_days >= 0, torch.exp(-rate * since_days.clamp(min=0.0)), 0.0)
    return dose_mg * left.sum(dim=-1)
