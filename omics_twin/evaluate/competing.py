"""One kind of event where another can come first: incidence, and how good predictions of it are.

``cause`` is 0 for censored and 1, 2, … for the kinds of event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError
from omics_twin.evaluate.checks import survival_times
from omics_twin.evaluate.concordance import Pairs, concordance, count_pairs, share_of
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.dynamic_auc import weighted_auc
from omics_twin.evaluate.survival import (
    StepFunction,
    censoring_survival,
    followed_at,
    kaplan_meier,
    uncensored,
)


class Incidence(NamedTuple):
    """A right-continuous cumulative incidence of one kind of event, 0 before the first time.

    Attributes
    ----------
    days
        Shape (time,), the distinct times at which somebody left [day].
    incidence, standard_error
        Shape (time,).
    """

    days: Float[ndarray, " time"]
    incidence: Float[ndarray, " time"]
    standard_error: Float[ndarray, " time"]

    def at(self, days: ArrayLike) -> Float[ndarray, "*shape"]:
        """Return the incidence at any days; after the last time it stays where it was."""
        place = np.searchsorted(self.days, np.asarray(days, dtype=np.float64), side="right")
        return np.asarray(np.append(0.0, self.incidence)[place])

    def error_at(self, days: ArrayLike) -> Float[ndarray, "*shape"]:
        """Return the standard error at any days."""
        place = np.searchsorted(self.days, np.asarray(days, dtype=np.float64), side="right")
        return np.asarray(np.append(0.0, self.standard_error)[place])


def aalen_johansen(
    time: ArrayLike, cause: ArrayLike, of: int = 1, entry: ArrayLike | None = None
) -> Incidence:
    """Return the share that have had one kind of event, the others counted as what they are.

    One less Kaplan-Meier with the other kinds censored would be too high.

    Parameters
    ----------
    time, cause
        Shape (patient,): time to the first event or censoring [day]; which it was.
    of
        The kind of event asked about.
    entry
        Shape (patient,), when follow-up began; None: from the start.

    Raises
    ------
    CohortError
        If a cause is not 0, 1, 2, …, or nobody has the event asked about.

    Examples
    --------
    >>> aalen_johansen([1.0, 2.0, 3.0, 4.0], [1, 2, 0, 1]).incidence.tolist()
    [0.25, 0.25, 0.25, 0.75]

    References
    ----------
    Aalen and Johansen 1978, Scandinavian Journal of Statistics, jstor:4615704. Variance: Aalen
    1978, Annals of Statistics, doi:10.1214/aos/1176344247.
    """
    time, cause = caused(time, cause, of)
    any_event = (cause > 0).astype(np.float64)
    alive = kaplan_meier(time, any_event, entry)
    days, place = np.unique(time, return_inverse=True)
    risk = np.maximum(followed_at(days, time, entry), 1).astype(np.float64)
    events = np.bincount(place, weights=any_event)
    own = np.bincount(place, weights=(cause == of).astype(np.float64))
    before = np.append(1.0, alive.survival[:-1])
    incidence = np.cumsum(before * own / risk)
    # (F(t) - F(s))^2 and its product with what happened at s, expanded into running sums.
    rest = np.where(risk > events, risk - events, 1.0)
    spread = np.where(risk > events, events / (risk * rest), 0.0)
    shared = before * own / risk**2
    alone = before**2 * own * (risk - own) / risk**3
    variance = (
        incidence**2 * np.cumsum(spread)
        - 2.0 * incidence * np.cumsum(incidence * spread + shared)
        + np.cumsum(incidence**2 * spread + 2.0 * incidence * shared + alone)
    )
    return Incidence(days, incidence, np.sqrt(np.maximum(variance, 0.0)))


def followed_on(
    time: ArrayLike, cause: ArrayLike, patient_ids: Sequence[str], of: int = 1
) -> Float[ndarray, " patient"]:
    """Return times as if whoever had another kind of event had been followed on after it.

    They never have the event asked about, so they leave when they would have been censored: a day
    drawn from the censoring of all these patients, given that it comes later; the last day of
    anybody where none is known. What is made for survival then speaks of the incidence: of these
    times Kaplan-Meier estimates one less Aalen and Johansen's incidence, Cox's model is Fine and
    Gray's. It is one draw, and adds its noise.

    Parameters
    ----------
    time, cause
        Shape (patient,): time to the first event or censoring [day], NaN where it is not known;
        which it was.
    patient_ids
        Whose each is: the draw is a function of the patient, not of the order.
    of
        The kind of event asked about.

    Examples
    --------
    >>> followed_on([1.0, 2.0, 3.0, 4.0], [2, 0, 1, 0], ["a", "b", "c", "d"]).tolist()
    [4.0, 2.0, 3.0, 4.0]

    References
    ----------
    Ruan and Gray 2008, Statistics in Medicine, doi:10.1002/sim.3402; Fine and Gray 1999,
    doi:10.1080/01621459.1999.10474144.
    """
    followed, kinds = np.array(time, dtype=np.float64), np.asarray(cause)
    known = np.isfinite(followed)
    other = known & (kinds > 0) & (kinds != of)
    if not other.any():
        return followed
    censoring = censoring_of(*caused(followed[known], kinds[known]))
    drawn = [hashlib.blake2b(str(each).encode(), digest_size=6).digest() for each in patient_ids]
    share = np.array([int.from_bytes(each, "little") / 2.0**48 for each in drawn])
    # The first day by which no more than this share is still followed.
    left = share[other] * censoring.at(followed[other])
    place = np.searchsorted(-censoring.survival, -left, side="left")
    last = np.append(censoring.days, censoring.days[-1])
    followed[other] = np.maximum(followed[other], last[place])
    return followed


def risk_concordance(outcome: Outcome, risk: Float[ndarray, " patient"]) -> float:
    """Return Harrell's c of a time to event, Wolbers' where another kind of event can come first.

    Parameters
    ----------
    risk
        Higher means earlier.

    Raises
    ------
    CohortError
        If no pair is comparable.
    """
    if outcome.first is not None:
        return concordance_competing(risk, *outcome.first)
    return concordance(risk, outcome.values, outcome.followed[0])


def concordance_competing(risk: ArrayLike, time: ArrayLike, cause: ArrayLike, of: int = 1) -> float:
    """Return Wolbers' c: how often who has the event first, or at all, is at higher risk.

    Whoever had another kind of event is known never to have had this one.

    Parameters
    ----------
    risk
        Shape (patient,); higher means the event asked about comes earlier, or comes at all.

    Raises
    ------
    CohortError
        If no pair is comparable.

    Examples
    --------
    >>> concordance_competing([3.0, 1.0, 2.0], [2.0, 1.0, 3.0], [1, 2, 0])
    1.0

    References
    ----------
    Wolbers et al. 2009, Epidemiology, doi:10.1097/EDE.0b013e3181a39056.
    """
    risk, time, event = survival_times(risk=risk, time=time, event=np.asarray(cause) == of)
    _, cause = caused(time, cause, of)
    never = (cause != of) & (cause > 0)
    return share_of(count_pairs(risk, np.where(never, np.inf, time), event))


def concordance_competing_weighted(
    risk: ArrayLike,
    time: ArrayLike,
    cause: ArrayLike,
    censoring: StepFunction,
    until_days: float = np.inf,
    of: int = 1,
) -> float:
    """Return Wolbers' c weighted so that it does not depend on the censoring.

    Parameters
    ----------
    censoring
        :func:`censoring_of` the training patients.
    until_days
        Only events before this day count [day].

    Raises
    ------
    CohortError
        If no pair is comparable, or the censoring is not known at the time of a counted event.

    Examples
    --------
    >>> time, cause = [2.0, 1.0, 3.0], [1, 2, 0]
    >>> concordance_competing_weighted([3.0, 1.0, 2.0], time, cause, censoring_of(time, cause))
    1.0

    References
    ----------
    Wolbers et al. 2014, Biostatistics, doi:10.1093/biostatistics/kxt059.
    """
    risk, time, event = survival_times(risk=risk, time=time, event=np.asarray(cause) == of)
    _, cause = caused(time, cause, of)
    counted = (event == 1.0) & (time < until_days)
    gone = (cause > 0) & (cause != of) & (time < until_days)
    weights = np.zeros(len(time))
    weights[counted | gone] = 1.0 / uncensored(censoring, time[counted | gone])
    own, others = np.where(counted, weights, 0.0), np.where(gone, weights, 0.0)
    # Another kind of event on the same day came no later: it is counted with those before.
    later = count_pairs(risk, np.where(gone, np.nextafter(time, -np.inf), time), event, own**2)
    # With time turned round, whoever had another kind of event by then is still at risk.
    rows = (event == 1.0) | gone
    turned = time[rows].max(initial=0.0) - time[rows]
    instead = count_pairs(risk[rows], turned, event[rows], own[rows], others=others[rows])
    return share_of(Pairs(*(a + b for a, b in zip(later, instead, strict=True))))


def censoring_of(time: ArrayLike, cause: ArrayLike) -> StepFunction:
    """Return the Kaplan-Meier estimate of not being censored yet; every event is seen as one.

    Examples
    --------
    >>> censoring_of([1.0, 2.0, 3.0], [2, 0, 1]).survival.tolist()
    [1.0, 0.5, 0.5]
    """
    return censoring_survival(time, (np.asarray(cause) > 0).astype(np.float64))


def horizon_weights(
    time: ArrayLike, cause: ArrayLike, at: float, censoring: StepFunction
) -> Float[ndarray, " patient"]:
    """Return what each patient weighs at a day: 0 if lost before it, else 1 / G(time or day).

    Parameters
    ----------
    at
        The day judged [day].
    censoring
        :func:`censoring_of` the training patients.

    Raises
    ------
    CohortError
        If the censoring is not known at a day that counts.

    Examples
    --------
    >>> time, cause = [1.0, 2.0, 3.0, 4.0], [2, 0, 1, 0]
    >>> horizon_weights(time, cause, 3.0, censoring_of(time, cause)).round(2).tolist()
    [1.0, 0.0, 1.5, 1.5]

    References
    ----------
    Blanche et al. 2013, Statistics in Medicine, doi:10.1002/sim.5958.
    """
    time, cause = caused(time, cause)
    known = (time > at) | (cause > 0)
    weights = np.zeros(len(time))
    weights[known] = 1.0 / uncensored(censoring, np.minimum(time[known], at))
    return weights


def brier_competing(
    incidence: ArrayLike,
    time: ArrayLike,
    cause: ArrayLike,
    at: float,
    censoring: StepFunction,
    of: int = 1,
) -> float:
    """Return the Brier score of the predicted incidence of one kind of event at a day.

    The mean of :func:`brier_competing_errors`.

    Examples
    --------
    >>> time, cause = [1.0, 2.0, 3.0, 4.0], [1, 2, 0, 0]
    >>> brier_competing([1.0, 0.0, 0.5, 0.5], time, cause, 2.5, censoring_of(time, cause))
    0.125
    """
    return float(brier_competing_errors(incidence, time, cause, at, censoring, of).mean())


def brier_competing_errors(
    incidence: ArrayLike,
    time: ArrayLike,
    cause: ArrayLike,
    at: float,
    censoring: StepFunction,
    of: int = 1,
) -> Float[ndarray, " patient"]:
    """Return each patient's squared error of the incidence at a day, weighted for censoring.

    Parameters
    ----------
    incidence
        Shape (patient,), predicted probability of the event asked about by day ``at``.

    Raises
    ------
    CohortError
        If an incidence is outside [0, 1], or the censoring is not known at ``at``.

    Examples
    --------
    >>> time, cause = [1.0, 2.0, 3.0, 4.0], [1, 2, 0, 0]
    >>> censoring = censoring_of(time, cause)
    >>> brier_competing_errors([1.0, 0.0, 0.5, 0.5], time, cause, 2.5, censoring).tolist()
    [0.0, 0.0, 0.25, 0.25]

    References
    ----------
    Schoop et al. 2011, Biometrical Journal, doi:10.1002/bimj.201000073.
    """
    incidence, _, _ = survival_times(incidence=incidence, time=time, event=np.asarray(cause) > 0)
    outside = incidence[(incidence < 0) | (incidence > 1)]
    if outside.size:
        raise CohortError(f"a predicted incidence is {outside[0]:g}, expected a number in [0, 1]")
    weights = horizon_weights(time, cause, at, censoring)
    return np.asarray(weights * (incidence - _cases(time, cause, at, of)) ** 2)


def auc_competing(
    risk: ArrayLike,
    time: ArrayLike,
    cause: ArrayLike,
    at: float,
    censoring: StepFunction,
    of: int = 1,
) -> float:
    """Return the AUC at a day: controls are event-free then, or had another kind of event.

    Raises
    ------
    CohortError
        If there is no case or no control, or the censoring is not known at ``at``.

    Examples
    --------
    >>> time, cause = [1.0, 2.0, 3.0, 4.0], [1, 2, 0, 0]
    >>> auc_competing([9.0, 1.0, 2.0, 3.0], time, cause, 2.5, censoring_of(time, cause))
    1.0

    References
    ----------
    Blanche et al. 2013, Statistics in Medicine, doi:10.1002/sim.5958, definition 2 of controls.
    """
    risk, _, _ = survival_times(risk=risk, time=time, event=np.asarray(cause) > 0)
    weights, case = horizon_weights(time, cause, at, censoring), _cases(time, cause, at, of)
    cases, controls = weights * case, weights * (1.0 - case)
    if not cases.any() or not controls.any():
        raise CohortError(
            f"{int((cases > 0).sum())} patients have the event by day {at:g} and "
            f"{int((controls > 0).sum())} are known not to; expected at least one of each"
        )
    return weighted_auc(risk, cases, controls)


def caused(
    time: ArrayLike, cause: ArrayLike, of: int | None = None
) -> tuple[Float[ndarray, " patient"], Int[ndarray, " patient"]]:
    """Return times and causes (patient,) after checking them, and that cause ``of`` occurs.

    Raises
    ------
    CohortError
        If a cause is not 0, 1, 2, …, or ``of`` does not occur.

    Examples
    --------
    >>> caused([1.0, 2.0], [0, 1], of=1)
    (array([1., 2.]), array([0, 1]))
    """
    kinds = np.asarray(cause, dtype=np.float64)
    time, _ = survival_times(time=time, event=kinds > 0)
    odd = kinds[(kinds < 0) | (kinds != np.floor(kinds))]
    if odd.size:
        raise CohortError(f"a cause is {odd[0]:g}, expected 0 (censored), 1, 2, …")
    if of is not None and not (kinds == of).any():
        raise CohortError(f"no event of cause {of} in {len(kinds)} patients; ask about another")
    return time, kinds.astype(np.int64)


def _cases(time: ArrayLike, cause: ArrayLike, at: float, of: int) -> Float[ndarray, " patient"]:
    time, cause = caused(time, cause)
    return ((time <= at) & (cause == of)).astype(np.float64)
