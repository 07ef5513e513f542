"""Tumours under drugs as equations: growth inhibition that wears off, clones, combinations.

Sizes are sums of longest diameters [mm], volumes in cm3, rates per day, exposures as the area under
the concentration per day [mg h/L].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, no_type_check

from numba.extending import register_jitable

from omics_twin.dynamics.functions import exp, log
from omics_twin.dynamics.pharmacology import COMPARTMENTS, approached, eliminated, neutrophils
from omics_twin.dynamics.settings import Kinetics
from omics_twin.dynamics.system import Numbers, System
from omics_twin.types import RADIOTHERAPY

_HOURS = 24.0


@cache
def growth_inhibition(drug: str) -> System:
    """Return Claret's model behind one compartment and an effect site; resistance from day 0.

    References
    ----------
    Claret et al. 2009, doi:10.1200/JCO.2008.21.0807; Schindler et al. 2016,
    doi:10.1002/psp4.12057.

    Examples
    --------
    >>> growth_inhibition("sunitinib").states
    ('amount_mg', 'exposure', 'sensitivity', 'size_mm')
    """

    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0], 0.0 * p[0], 0.0 * p[0] + 1.0, p[0] + 0.0)

    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        amount = rates[0] - eliminated(s[0], p[4], p[5])
        exposure = approached(s[1], _HOURS * s[0] / p[5], p[6])
        return (amount, exposure, -p[3] * s[2], (p[1] - p[2] * s[1] * s[2]) * s[3])

    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + amounts[0], s[1], s[2], s[3])

    return System(
        f"growth inhibition by {drug}",
        ("amount_mg", "exposure", "sensitivity", "size_mm"),
        ("mg", "mg h/L", "1", "mm"),
        (
            "size_mm",
            "growth_per_day",
            "kill_per_day",
            "resistance_per_day",
            "clearance_per_day",
            "volume_l",
            "effect_per_day",
        ),
        (drug,),
        initial,
        derivative,
        given,
    )


@dataclass(frozen=True)
class _Law:
    """How a volume changes under a concentration; the first state is the volume.

    ``change(states, parameters, concentration)`` per day, ``given(states, parameters, amounts)``
    just after doses, where what follows the drug's own is of ``more``.
    """

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    initial: Callable[[Numbers], Numbers]
    change: Callable[[Numbers, Numbers, Any], Numbers]
    given: Callable[[Numbers, Numbers, Numbers], Numbers]
    more: tuple[str, ...] = ()


def _under(name: str, drug: str, kinetics: Kinetics, law: _Law) -> System:
    """Return a law behind the compartments of a drug: states of these first, parameters last."""
    body = COMPARTMENTS[kinetics](drug)
    amounts, own = len(body.states), len(law.parameters)
    begin, flow, dose = body.initial, body.derivative, body.given
    grown, change, struck = law.initial, law.change, law.given

    def initial(p: Numbers) -> Numbers:
        return begin(p[own:]) + grown(p[:own])

    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        concentration = s[0] / p[own + 1]
        return flow(day, s[:amounts], p[own:], rates) + change(s[amounts:], p[:own], concentration)

    def given(s: Numbers, p: Numbers, doses: Numbers) -> Numbers:
        return dose(s[:amounts], p[own:], doses) + struck(s[amounts:], p[:own], doses)

    return System(
        name,
        body.states + law.states,
        body.units + ("cm3",) * len(law.states),
        law.parameters + body.parameters,
        (drug, *law.more),
        initial,
        derivative,
        given,
    )


@register_jitable
@no_type_check
def _untouched(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
    return s


@cache
def volume_inhibition(drug: str, kinetics: Kinetics = Kinetics.BOLUS) -> System:
    """Return a volume that grows exponentially, then linearly, under a drug.

    Koch's tumour growth inhibition. ``linear_cm3_per_day`` without bound is exponential growth.

    References
    ----------
    Koch et al. 2009, doi:10.1007/s10928-009-9117-9, equations 1 and 5.

    Examples
    --------
    >>> volume_inhibition("erlotinib").states
    ('amount_mg', 'volume_cm3')
    """

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (p[0] + 0.0,)

    @register_jitable
    @no_type_check
    def change(s: Numbers, p: Numbers, concentration: Any) -> Numbers:
        exponential = 2.0 * p[1] * s[0]
        growth = exponential * p[2] / (exponential + p[2])
        return (growth - p[3] * concentration * s[0],)

    parameters = (
        "volume_cm3",
        "exponential_per_day",
        "linear_cm3_per_day",
        "kill_l_per_mg_day",
    )
    law = _Law(("volume_cm3",), parameters, initial, change, _untouched)
    return _under(f"growth that becomes linear under {drug}", drug, kinetics, law)


@cache
def two_clones(drug: str, kinetics: Kinetics = Kinetics.BOLUS) -> System:
    """Return a volume of which a resistant clone is a part; a sensitive one makes up the rest.

    Examples
    --------
    >>> two_clones("erlotinib").states
    ('amount_mg', 'volume_cm3', 'resistant_cm3')
    """

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (p[0] + 0.0, p[0] * p[1])

    @register_jitable
    @no_type_check
    def change(s: Numbers, p: Numbers, concentration: Any) -> Numbers:
        sensitive = s[0] - s[1]
        mutated = p[5] * sensitive
        resistant = p[3] * s[1] + mutated
        return ((p[2] - p[4] * concentration) * sensitive - mutated + resistant, resistant)

    parameters = (
        "volume_cm3",
        "resistant_share",
        "growth_per_day",
        "resistant_growth_per_day",
        "kill_l_per_mg_day",
        "mutation_per_day",
    )
    law = _Law(("volume_cm3", "resistant_cm3"), parameters, initial, change, _untouched)
    return _under(f"a sensitive and a resistant clone under {drug}", drug, kinetics, law)


@cache
def chemoradiotherapy(drug: str, kinetics: Kinetics = Kinetics.BOLUS) -> System:
    """Return a volume under chemotherapy and fractions of radiotherapy, growing as Gompertz says.

    A dose d of ``"radiotherapy"`` [Gy] leaves ``exp(-alpha d (1 + d / alpha_beta_gy))`` of the
    volume at once, the linear-quadratic law.

    References
    ----------
    Geng, Paganetti & Grassberger 2017, doi:10.1038/s41598-017-13646-z.
    """

    @register_jitable
    @no_type_check
    def initial(p: Numbers) -> Numbers:
        return (p[0] + 0.0,)

    @register_jitable
    @no_type_check
    def change(s: Numbers, p: Numbers, concentration: Any) -> Numbers:
        return ((p[1] * log(p[2] / s[0]) - p[3] * concentration) * s[0],)

    @register_jitable
    @no_type_check
    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] * exp(-p[4] * amounts[1] * (1.0 + amounts[1] / p[5])),)

    parameters = (
        "volume_cm3",
        "growth_per_day",
        "capacity_cm3",
        "kill_l_per_mg_day",
        "alpha_per_gy",
        "alpha_beta_gy",
    )
    law = _Law(("volume_cm3",), parameters, initial, change, given, (RADIOTHERAPY,))
    return _under(f"growth under {drug} and radiotherapy", drug, kinetics, law)


@cache
def combination(first: str, second: str) -> System:
    """Return growth inhibition by two drugs whose kill rates add, with an interaction.

    Without interaction the surviving shares multiply, which is Bliss' independence; ``interaction``
    times the product of both kill rates comes on top. Both drugs are in one compartment each and
    resistance wears off either.

    References
    ----------
    Bliss 1939, doi:10.1111/j.1744-7348.1939.tb06990.x.
    """

    def initial(p: Numbers) -> Numbers:
        return (0.0 * p[0], 0.0 * p[0], 0.0 * p[0] + 1.0, p[0] + 0.0)

    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        one = p[2] * _HOURS * s[0] / p[6]
        two = p[3] * _HOURS * s[1] / p[8]
        kill = (one + two + p[9] * one * two) * s[2]
        return (
            rates[0] - eliminated(s[0], p[5], p[6]),
            rates[1] - eliminated(s[1], p[7], p[8]),
            -p[4] * s[2],
            (p[1] - kill) * s[3],
        )

    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + amounts[0], s[1] + amounts[1], s[2], s[3])

    return System(
        f"growth inhibition by {first} and {second}",
        ("first_mg", "second_mg", "sensitivity", "size_mm"),
        ("mg", "mg", "1", "mm"),
        (
            "size_mm",
            "growth_per_day",
            "first_kill_per_day",
            "second_kill_per_day",
            "resistance_per_day",
            "first_clearance_per_day",
            "first_volume_l",
            "second_clearance_per_day",
            "second_volume_l",
            "interaction",
        ),
        (first, second),
        initial,
        derivative,
        given,
    )


@cache
def growth_and_neutrophils(drug: str) -> System:
    """Return growth inhibition and myelosuppression by the same drug: benefit and its price."""

    def initial(p: Numbers) -> Numbers:
        blood = p[6] + 0.0
        return (0.0 * p[0], 0.0 * p[0] + 1.0, p[0] + 0.0, blood, blood, blood, blood, blood)

    def derivative(day: Any, s: Numbers, p: Numbers, rates: Numbers) -> Numbers:
        concentration = s[0] / p[5]
        kill = p[2] * _HOURS * concentration * s[1]
        blood = neutrophils(s[3], s[4], s[5], s[6], s[7], p[8] * concentration, p[6], p[7], p[9])
        return (
            rates[0] - eliminated(s[0], p[4], p[5]),
            -p[3] * s[1],
            (p[1] - kill) * s[2],
            blood[0],
            blood[1],
            blood[2],
            blood[3],
            blood[4],
        )

    def given(s: Numbers, p: Numbers, amounts: Numbers) -> Numbers:
        return (s[0] + amounts[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])

    return System(
        f"growth inhibition and neutrophils under {drug}",
        (
            "amount_mg",
            "sensitivity",
            "size_mm",
            "proliferating",
            "first",
            "second",
            "third",
            "neutrophils",
        ),
        ("mg", "1", "mm", *["1e9/L"] * 5),
        (
            "size_mm",
            "growth_per_day",
            "kill_per_day",
            "resistance_per_day",
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
