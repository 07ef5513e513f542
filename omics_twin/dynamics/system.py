"""Equations of one patient, written once for tensors and for compiled code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Numbers = tuple[Any, ...]
"""One entry per state, parameter or drug: floats in compiled code, else tensors of one shape."""


@dataclass(frozen=True)
class System:
    """Ordinary differential equations with drugs as input.

    ``initial``, ``derivative`` and ``given`` use plain arithmetic and the functions of
    :mod:`omics_twin.dynamics.functions` only, branch on no value, and close over no array: so the
    same lines run on tensors of any shape, with gradients, and compiled for one trajectory.

    Attributes
    ----------
    name
        What the equations describe.
    states, units
        What changes, in the order of the state axis, and in which units.
    parameters
        What differs between patients, on its natural scale, in the order of the parameter axis.
    drugs
        What can be given, in the order of ``rates`` and ``amounts``; for example ``"erlotinib"``.
    initial
        ``initial(parameters) -> states`` on the day the integration begins.
    derivative
        ``derivative(day, states, parameters, rates) -> change of each state per day``, where
        ``rates`` are the infusions running on that day [amount/day].
    given
        ``given(states, parameters, amounts) -> states`` just after boluses of these amounts.
    """

    name: str
    states: tuple[str, ...]
    units: tuple[str, ...]
    parameters: tuple[str, ...]
    drugs: tuple[str, ...]
    initial: Callable[[Numbers], Numbers]
    derivative: Callable[[Any, Numbers, Numbers, Numbers], Numbers]
    given: Callable[[Numbers, Numbers, Numbers], Numbers]
