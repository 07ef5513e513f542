"""Functions for equations: on tensors as they are, and on numbers in compiled code."""

from __future__ import annotations

import math
from typing import Any

import torch
from numba.extending import overload


def exp(value: Any) -> Any:
    """Return e to a power."""
    return torch.exp(value)


def log(value: Any) -> Any:
    """Return the natural logarithm."""
    return torch.log(value)


def power(base: Any, exponent: Any) -> Any:
    """Return a positive base to any power."""
    return torch.exp(exponent * torch.log(base))


def maximum(value: Any, least: float) -> Any:
    """Return the value, or ``least`` where it is smaller."""
    return torch.clamp(value, min=least)


# What the compiler takes instead: told the types of the arguments, each returns the function.
overload(exp)(lambda value: lambda value: math.exp(value))
overload(log)(lambda value: lambda value: math.log(value))
overload(power)(lambda base, exponent: lambda base, exponent: math.exp(exponent * math.log(base)))
overload(maximum)(lambda value, least: lambda value, least: value if value > least else least)
