"""Equations as machine code: many trajectories side by side, by classical Runge and Kutta."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, no_type_check

import numba
import numpy as np
import torch
from numba.np.ufunc.parallel import get_thread_count

from omics_twin.dynamics.grid import Grid
from omics_twin.dynamics.system import System

Array = np.ndarray
_LANES = 64

# One step of every lane of a block. Straight arithmetic without branches, so that the compiler
# takes several lanes at a time; written out because tuples cannot be built in a loop there.
_STEP = """
def step(y, p, count, day, h, rates):
    half, sixth = h * half_, h * sixth_
    for i in range(count):
        s = ({s},)
        q = ({q},)
        a = derivative(day, s, q, rates)
        b = derivative(day + half, ({sa},), q, rates)
        c = derivative(day + half, ({sb},), q, rates)
        d = derivative(day + h, ({sc},), q, rates)
{out}

def give(y, p, count, amounts):
    for i in range(count):
        s = given(({s},), ({q},), amounts)
{put}

def begin(y, p, count):
    for i in range(count):
        s = initial(({q},))
{put}

def chosen(table, row, point):
    return ({drugs})
"""


@lru_cache(maxsize=32)
def kernel(system: System, precision: str) -> Callable[..., None]:
    """Return the integrator of a system, compiled at its first call for a precision."""
    states, parameters = range(len(system.states)), range(len(system.parameters))

    def joined(text: str) -> str:
        return ", ".join(text.format(k=k) for k in states)

    source = _STEP.format(
        s=joined("y[{k}, i]"),
        q=", ".join(f"p[{k}, i]" for k in parameters),
        sa=joined("s[{k}] + half * a[{k}]"),
        sb=joined("s[{k}] + half * b[{k}]"),
        sc=joined("s[{k}] + h * c[{k}]"),
        out="\n".join(
            f"        y[{k}, i] = s[{k}] + sixth * (a[{k}] + two * (b[{k}] + c[{k}]) + d[{k}])"
            for k in states
        ),
        put="\n".join(f"        y[{k}, i] = s[{k}]" for k in states),
        drugs="".join(f"table[row, point, {k}], " for k in range(len(system.drugs))),
    )
    number = np.dtype(precision).type
    inline = numba.njit(inline="never", fastmath=True, error_model="numpy")
    scope: dict[str, Any] = {
        # The compiler takes functions as they are written, not what checks their arguments.
        "derivative": inline(inspect.unwrap(system.derivative)),
        "given": inline(inspect.unwrap(system.given)),
        "initial": inline(inspect.unwrap(system.initial)),
        "half_": number(0.5),
        "sixth_": number(1.0 / 6.0),
        "two": number(2.0),
    }
    exec(compile(source, f"<{system.name}>", "exec"), scope)
    step, give, begin, chosen = (inline(scope[n]) for n in ("step", "give", "begin", "chosen"))

    @numba.njit(parallel=True, fastmath=True, error_model="numpy")
    @no_type_check
    def run(
        first: Array,
        counts: Array,
        rows: Array,
        parameters: Array,
        start: Array,
        days: Array,
        amounts: Array,
        rates: Array,
        dosed: Array,
        point_of: Array,
        out: Array,
    ) -> None:
        for block in numba.prange(len(first)):
            at, count, row = first[block], counts[block], rows[block]
            p = np.empty((parameters.shape[0], _LANES), parameters.dtype)
            y = np.empty((out.shape[1], _LANES), parameters.dtype)
            p[:, :count] = parameters[:, at : at + count]
            if start.shape[1] > 0:
                y[:, :count] = start[:, at : at + count]
            else:
                begin(y, p, count)
            for point in range(days.shape[1]):
                for asked in range(point_of.shape[1]):
                    if point_of[row, asked] == point:
                        out[asked, :, at : at + count] = y[:, :count]
                if dosed[row, point]:
                    give(y, p, count, chosen(amounts, row, point))
                if point + 1 < days.shape[1]:
                    h = days[row, point + 1] - days[row, point]
                    if h > 0:
                        step(y, p, count, days[row, point], h, chosen(rates, row, point))

    return run


def integrate(system: System, grid: Grid, parameters: Array, start: Array | None) -> Array:
    """Return the states on the days asked for.

    Parameters
    ----------
    parameters
        (parameter, patient, draw).
    start
        (state, patient, draw), or ``None``: as the equations begin.

    Returns
    -------
    Array
        (time, state, patient, draw).
    """
    size, patients, draws = parameters.shape
    # Patients who share a grid stand beside each other, so that blocks are full.
    order = np.argsort(grid.row, kind="stable")
    flat = np.ascontiguousarray(parameters[:, order]).reshape(size, -1)
    begin = np.empty((len(system.states), 0), flat.dtype)
    if start is not None:
        begin = np.ascontiguousarray(start[:, order]).reshape(len(system.states), -1)
    first, counts, rows = _blocks(grid.row[order], draws)
    out = np.empty((grid.where.shape[1], len(system.states), flat.shape[1]), flat.dtype)
    _share_threads()
    kernel(system, flat.dtype.name)(
        first,
        counts,
        rows,
        flat,
        begin,
        grid.days.astype(flat.dtype),
        grid.amounts.astype(flat.dtype),
        grid.rates.astype(flat.dtype),
        (grid.amounts != 0).any(axis=2),
        grid.where,
        out,
    )
    found = np.empty((*out.shape[:2], patients, draws), flat.dtype)
    found[:, :, order] = out.reshape(*out.shape[:2], patients, draws)
    return found


def _share_threads() -> None:
    """Use as many threads as torch: when Numba's begin, torch's would become as many as they."""
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, get_thread_count()))
    torch.set_num_threads(threads)


def _blocks(rows: Array, draws: int) -> tuple[Array, Array, Array]:
    """Return where blocks begin, how many lanes they have, and the grid of each."""
    edges = np.flatnonzero(np.diff(rows)) + 1
    begins = np.concatenate([[0], edges]) * draws
    ends = np.concatenate([edges, [len(rows)]]) * draws
    first, counts, which = [], [], []
    for begin, end in zip(begins, ends, strict=True):
        starts = np.arange(begin, end, _LANES)
        first.append(starts)
        counts.append(np.minimum(end - starts, _LANES))
        which.append(np.full(len(starts), rows[begin // draws]))
    return np.concatenate(first), np.concatenate(counts), np.concatenate(which)
