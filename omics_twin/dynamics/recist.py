"""Response by size: RECIST 1.1 for target lesions, from a sum of diameters at visits.

Eisenhauer et al. 2009, doi:10.1016/j.ejca.2008.10.026. New lesions and non-target lesions are not
in a sum of diameters: what is called progression here is progression by size.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SCAN_DAYS = 56.0
"""As often as trials scan in the first year [day]."""
_SHRUNK, _GROWN, _GROWN_MM = 0.7, 1.2, 5.0
# Half a step of single precision must not decide.
_ROUNDING = 1e-6


class Response(IntEnum):
    """Categories in order of merit; ``NOT_EVALUABLE`` where nothing was measured."""

    NOT_EVALUABLE = -1
    PROGRESSION = 0
    STABLE = 1
    PARTIAL = 2
    COMPLETE = 3


def lowest_so_far(size_mm: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Return the smallest size before each visit, the first visit's own for the first two [mm]."""
    known = torch.where(torch.isnan(size_mm), torch.inf, size_mm)
    lowest = known.cummin(dim=-1).values
    return torch.cat([lowest[..., :1], lowest[..., :-1]], dim=-1)


def progressed(size_mm: Float[Tensor, "*batch time"]) -> Bool[Tensor, "*batch time"]:
    """Return at which visits there is progression: a fifth, and 5 mm, above the smallest before.

    The first visit is the baseline, at which there is none.

    Examples
    --------
    >>> progressed(torch.tensor([20.0, 10.0, 14.0, 15.0])).tolist()
    [False, False, False, True]
    """
    lowest = lowest_so_far(size_mm)
    more = size_mm - lowest
    enough = (size_mm >= _GROWN * lowest * (1 - _ROUNDING)) & (more >= _GROWN_MM * (1 - _ROUNDING))
    enough[..., 0] = False
    return enough & torch.isfinite(size_mm)


def responses(
    size_mm: Float[Tensor, "*batch time"], undetected_mm: float = 0.0
) -> Int[Tensor, "*batch time"]:
    """Return the category at each visit; the first visit is the baseline.

    Parameters
    ----------
    undetected_mm
        A sum no larger than this is complete response [mm].

    Examples
    --------
    >>> [Response(each).name for each in responses(torch.tensor([20.0, 14.0, 0.0, 6.0])).tolist()]
    ['STABLE', 'PARTIAL', 'COMPLETE', 'PROGRESSION']
    """
    baseline = size_mm[..., :1]
    found = torch.full(size_mm.shape, int(Response.STABLE))
    found[size_mm <= _SHRUNK * baseline * (1 + _ROUNDING)] = Response.PARTIAL
    found[progressed(size_mm)] = Response.PROGRESSION
    found[size_mm <= undetected_mm] = Response.COMPLETE
    found[torch.isnan(size_mm)] = Response.NOT_EVALUABLE
    return found


def response_lines(sizes_mm: Sequence[float]) -> tuple[tuple[str, float], ...]:
    """Return from which size on there is progression, and down from which response [mm].

    Parameters
    ----------
    sizes_mm
        At each visit so far; the first is the baseline.

    Examples
    --------
    >>> response_lines([20.0, 10.0])
    (('progression', 15.0), ('partial response', 14.0))
    """
    lowest = min(sizes_mm)
    worse = max(_GROWN * lowest, lowest + _GROWN_MM)
    return ("progression", worse), ("partial response", _SHRUNK * sizes_mm[0])


def best_response(size_mm: Float[Tensor, "*batch time"]) -> Int[Tensor, "*batch"]:
    """Return the best category after the baseline and before, or at, the first progression."""
    found = responses(size_mm)
    over = progressed(size_mm).int().cumsum(dim=-1)
    counted = (over - progressed(size_mm).int() == 0) & (torch.arange(found.shape[-1]) > 0)
    return torch.where(counted, found, int(Response.NOT_EVALUABLE)).amax(dim=-1)


def progression_free(size_mm: Float[Tensor, "*batch time"]) -> Float[Tensor, "*batch time"]:
    """Return 1 up to the visit before the first progression, 0 from that one on.

    Examples
    --------
    >>> progression_free(torch.tensor([20.0, 10.0, 15.0, 9.0])).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return (progressed(size_mm).int().cumsum(dim=-1) == 0).to(size_mm)


def progression_day(
    size_mm: Float[Tensor, "*batch time"], days: Float[Tensor, "*batch time"]
) -> Float[Tensor, "*batch"]:
    """Return the day of the visit at which progression is first seen, infinity where never."""
    return torch.where(progressed(size_mm), days, torch.inf).amin(dim=-1)
