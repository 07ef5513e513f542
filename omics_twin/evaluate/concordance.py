"""Concordance of a risk with the order of events, exactly, in O(n log n)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import survival_times
from omics_twin.evaluate.survival import StepFunction, uncensored


class Pairs(NamedTuple):
    """Weighted pairs of patients; ``comparable = concordant + discordant + tied``."""

    concordant: float
    discordant: float
    tied: float

    @property
    def comparable(self) -> float:
        """Pairs of whom it is known who had the event first."""
        return self.concordant + self.discordant + self.tied


def concordance(risk: ArrayLike, time: ArrayLike, event: ArrayLike) -> float:
    """Return Harrell's c: how often the patient at higher risk has the event first.

    A pair is comparable if the earlier time is an event; a patient censored on the day of the
    other's event outlived it; two events on one day are not compared. Ties in risk count half.
    Not a measure of calibration, and it depends on the censoring (see :func:`concordance_uno`).

    Parameters
    ----------
    risk, time, event
        Shape (patient,); higher risk means earlier; time to event or censoring; 1 for an event.

    Raises
    ------
    CohortError
        If no pair is comparable, or lengths, NaN or ranges are wrong.

    Examples
    --------
    >>> concordance([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1, 1, 0])
    1.0

    References
    ----------
    Harrell et al. 1996, Statistics in Medicine,
    doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4.
    """
    risk, time, event = survival_times(risk=risk, time=time, event=event)
    return _share(count_pairs(risk, time, event))


def concordance_uno(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    censoring: StepFunction,
    until_days: float = np.inf,
) -> float:
    """Return Uno's c, which does not depend on the censoring: pairs weigh 1 / G(time)^2.

    Parameters
    ----------
    censoring
        Probability of not being censored yet, :func:`omics_twin.evaluate.survival.
        censoring_survival` of the training patients.
    until_days
        Only events before this day count [day].

    Raises
    ------
    CohortError
        If nobody is left uncensored at the time of a counted event, or no pair is comparable.

    Examples
    --------
    >>> from omics_twin.evaluate.survival import censoring_survival
    >>> time, event = [1.0, 2.0, 3.0], [1, 1, 0]
    >>> concordance_uno([3.0, 2.0, 1.0], time, event, censoring_survival(time, event))
    1.0

    References
    ----------
    Uno et al. 2011, Statistics in Medicine, doi:10.1002/sim.4154.
    """
    risk, time, event = survival_times(risk=risk, time=time, event=event)
    counted = (event == 1.0) & (time < until_days)
    weights = np.zeros(len(time))
    weights[counted] = 1.0 / uncensored(censoring, time[counted]) ** 2
    return _share(count_pairs(risk, time, event, weights))


def _share(pairs: Pairs) -> float:
    if pairs.comparable <= 0:
        raise CohortError(
            "no two patients can be compared: no event is followed by a longer time; "
            "judge more patients together"
        )
    return float((pairs.concordant + 0.5 * pairs.tied) / pairs.comparable)


def count_pairs(
    risk: Float[ndarray, " patient"],
    time: Float[ndarray, " patient"],
    event: Float[ndarray, " patient"],
    weights: Float[ndarray, " patient"] | None = None,
) -> Pairs:
    """Return the comparable pairs; a pair weighs what its earlier event weighs.

    Examples
    --------
    >>> count_pairs(np.array([2.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 1.0])).concordant
    1.0
    """
    order = _by_time(risk, time, event)
    risk, time, event = risk[order], time[order], event[order]
    weight = event if weights is None else event * weights[order]
    patients = len(risk)
    place = np.arange(patients)
    fresh = np.ones(patients, dtype=bool)
    fresh[1:] = (time[1:] != time[:-1]) | (event[1:] != event[:-1])
    comparable = float(weight @ (patients - _end_of_run(fresh)))
    # Among events of one day risk rises with the place, so none of them is later and lower.
    by_risk = _in_order(risk)
    value, when, kind, heavy = risk[by_risk], time[by_risk], event[by_risk], weight[by_risk]
    same_risk = np.ones(patients, dtype=bool)
    same_risk[1:] = value[1:] != value[:-1]
    same_day = same_risk.copy()
    same_day[1:] |= (when[1:] != when[:-1]) | (kind[1:] != kind[:-1])
    tied = float(heavy @ (_end_of_run(same_risk) - _end_of_run(same_day)))
    concordant = _later_and_lower(place[by_risk], heavy)
    return Pairs(concordant, comparable - concordant - tied, tied)


def _by_time(risk: ndarray, time: ndarray, event: ndarray) -> Int[ndarray, " patient"]:
    """Order by time, events before censorings, then by risk."""
    order = np.argsort(time)
    rising = time[order]
    if (rising[1:] != rising[:-1]).all():
        return order
    return np.lexsort((risk, -event, time))


def _in_order(values: ndarray) -> Int[ndarray, " patient"]:
    """Return the stable order; without ties the faster unstable sort gives the same."""
    order = np.argsort(values)
    rising = values[order]
    if (rising[1:] != rising[:-1]).all():
        return order
    return np.argsort(values, kind="stable")


def _end_of_run(starts: ndarray) -> Int[ndarray, " place"]:
    """Return, for each place, where its run ends (exclusive); ``starts`` marks first places."""
    firsts = np.flatnonzero(starts)
    ends = np.append(firsts[1:], len(starts))
    return np.repeat(ends, ends - firsts)


def _later_and_lower(place: Int[ndarray, " patient"], weight: Float[ndarray, " patient"]) -> float:
    """Return the weighted number of pairs with a later place earlier in the sequence.

    ``place`` is a permutation in order of rising risk. Radix recursion on the place: within
    each block the sequence is split, in order, into the block's earlier and later half; members
    of the later half that precede one of the earlier half are its concordant partners.
    """
    patients = len(place)
    levels = max(int(patients - 1).bit_length(), 1)
    size = 1 << levels
    keys = np.concatenate([place, np.arange(patients, size)]).astype(np.int32)
    weighty = np.zeros(size)
    weighty[place] = weight
    index = np.arange(size, dtype=np.int32)
    total = 0.0
    for level in range(levels - 1, -1, -1):
        half = 1 << level
        later = (keys & half) != 0
        before = np.cumsum(later, dtype=np.int32)
        # Every earlier block of 2 * half places holds exactly half later ones.
        before -= (index >> (level + 1)) << level
        early, late = np.flatnonzero(~later), np.flatnonzero(later)
        early_keys = keys[early]
        total += float(before[early] @ weighty[early_keys])
        split = np.empty((size // (2 * half), 2, half), dtype=np.int32)
        split[:, 0] = early_keys.reshape(-1, half)
        split[:, 1] = keys[late].reshape(-1, half)
        keys = split.reshape(-1)
    return total
