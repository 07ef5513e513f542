"""Concordance of a risk with the order of events, exactly, in O(n log n)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import entered_before, survival_times
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


def concordance(
    risk: ArrayLike, time: ArrayLike, event: ArrayLike, *, entry: ArrayLike | None = None
) -> float:
    """Return Harrell's c: how often the patient at higher risk has the event first.

    A pair is comparable if the earlier time is an event; a patient censored on the day of the
    other's event outlived it; two events on one day are not compared. Ties in risk count half.
    Not a measure of calibration, and it depends on the censoring (see :func:`concordance_uno`).

    Parameters
    ----------
    risk, time, event
        Shape (patient,); higher risk means earlier; time to event or censoring; 1 for an event.
    entry
        Shape (patient,), when each patient's follow-up began, on the clock of ``time``; a pair is
        comparable if the other patient had entered before the event. None: all at 0.

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
    started = None if entry is None else entered_before(entry, time)
    return share_of(count_pairs(risk, time, event, entry=started))


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
    return share_of(count_pairs(risk, time, event, weights))


def share_of(pairs: Pairs) -> float:
    """Return the share of the comparable pairs that are concordant; ties in risk count half.

    Raises
    ------
    CohortError
        If no pair is comparable.

    Examples
    --------
    >>> share_of(Pairs(2.0, 1.0, 1.0))
    0.625
    """
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
    *,
    others: Float[ndarray, " patient"] | None = None,
    entry: Float[ndarray, " patient"] | None = None,
) -> Pairs:
    """Return the comparable pairs; a pair weighs what its earlier event weighs.

    Parameters
    ----------
    weights
        Of a patient as the earlier event of a pair; None: 1.
    others
        Of a patient as the later one, multiplied with it; None: 1.
    entry
        When follow-up began, before ``time``; None: before every event.

    Examples
    --------
    >>> count_pairs(np.array([2.0, 1.0]), np.array([1.0, 2.0]), np.array([1.0, 1.0])).concordant
    1.0
    """
    # Only who counts pairs waits for the compiler to load.
    from omics_twin.evaluate.counting import weighted_pairs

    # Whole numbers are counted as such: less memory is touched, and nothing is rounded.
    share = np.ones(len(risk), dtype=np.int32) if others is None else _plain(others)
    risk, time = _plain(risk), _plain(time)
    started = np.zeros(0) if entry is None else _plain(entry)
    concordant, tied, comparable = weighted_pairs(
        risk,
        np.argsort(risk),
        time,
        np.argsort(time),
        event == 1.0,
        event * (1.0 if weights is None else weights),
        share,
        started,
        np.argsort(started),
    )
    return Pairs(concordant, comparable - concordant - tied, tied)


def _plain(values: ndarray) -> ndarray:
    """Return the values as one kind of array, for which the counting is compiled."""
    return np.require(values, np.float64, ("C", "W"))
