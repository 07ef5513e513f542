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


@overload(exp)
def _exp(value: Any) -> Any:
    return lambda value: math.exp(value)


@overload(log)
def _log(value: Any) -> Any:
    return lambda value: math.log(value)


@overload(power)
def _power(base: Any, exponent: Any) -> Any:
    return lambda base, exponent: math.exp(exponent * math.log(base))


@overload(maximum)
def _maximum(value: Any, least: Any) -> Any:
    return lambda value, least: value if value > least else least
