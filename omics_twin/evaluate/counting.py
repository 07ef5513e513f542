"""Pairs of patients counted in one pass through time; compiled once, then kept on disk.

Whoever counts pairs imports this module when they do: it waits for the compiler to load.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

# Shapes are checked by the callers: the compiler takes functions as they are written.


@njit(cache=True, nogil=True)
@no_type_check
def weighted_pairs(risk, by_risk, time, by_time, event, weight, share, entry, by_entry):
    """Return the concordant, tied and comparable pairs of patients, weighted.

    Time is gone through from its end; a tree over the levels of risk holds who is at risk.

    Parameters
    ----------
    risk, time, event, weight, share
        Shape (patient,); a pair weighs ``weight`` of its event times ``share`` of the other. Whole
        shares are summed as whole numbers.
    entry
        Shape (patient,), when follow-up began, or (0,) for before every event.
    by_risk, by_time, by_entry
        The orders in which each rises; ties may be in any order.

    References
    ----------
    Fenwick 1994, Software: Practice and Experience, doi:10.1002/spe.4380240306.
    """
    level, levels = _levels(risk, by_risk)
    tree = np.zeros(levels + 1, dtype=share.dtype)
    # Who is at risk by level; the first holds all of them.
    same = np.zeros(levels + 1, dtype=share.dtype)
    concordant = tied = comparable = 0.0
    last, waiting = len(time), len(entry)
    while last > 0:
        day, first = time[by_time[last - 1]], last - 1
        while first > 0 and time[by_time[first - 1]] == day:
            first -= 1
        # The censored of a day outlived its events; its events are not compared.
        for who in by_time[first:last]:
            if not event[who]:
                _move(tree, same, level[who], share[who])
        while waiting > 0 and entry[by_entry[waiting - 1]] >= day:
            waiting -= 1
            _move(tree, same, level[by_entry[waiting]], -share[by_entry[waiting]])
        for who in by_time[first:last]:
            if event[who] and weight[who] > 0:
                concordant += weight[who] * _below(tree, level[who])
                tied += weight[who] * same[level[who]]
                comparable += weight[who] * same[0]
        for who in by_time[first:last]:
            if event[who]:
                _move(tree, same, level[who], share[who])
        last = first
    return concordant, tied, comparable


@njit(cache=True, nogil=True)
@no_type_check
def _levels(values, order):
    level, levels = np.empty(len(values), dtype=np.int32), 0
    for place in range(len(values)):
        if place == 0 or values[order[place]] != values[order[place - 1]]:
            levels += 1
        level[order[place]] = levels
    return level, levels


@njit(cache=True, nogil=True)
@no_type_check
def _move(tree, same, level, share):
    same[0] += share
    same[level] += share
    while level < len(tree):
        tree[level] += share
        level += level & -level


@njit(cache=True, nogil=True)
@no_type_check
def _below(tree, level):
    total, level = 0 * tree[0], level - 1
    while level > 0:
        total += tree[level]
        level -= level & -level
    return total
