"""Checks that every metric makes of what it is given."""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike

from omics_twin.errors import CohortError


def paired(**arrays: ArrayLike) -> tuple[ndarray, ...]:
    """Return the arrays as float64, refusing different lengths, NaN, infinity and no patient.

    Raises
    ------
    CohortError
        If the arrays cannot be compared patient by patient.

    Examples
    --------
    >>> paired(risk=[1, 2], time=[3, 4])
    (array([1., 2.]), array([3., 4.]))
    """
    made = {name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()}
    lengths = {name: values.shape for name, values in made.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        found = ", ".join(f"'{name}' has shape {shape}" for name, shape in lengths.items())
        raise CohortError(f"{found}; expected one value per patient in each")
    for name, values in made.items():
        if values.size == 0:
            raise CohortError(f"'{name}' is empty; a metric needs at least one patient")
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise CohortError(
                f"'{name}' holds {bad} of {len(values)} values that are not finite; "
                "leave out patients without a value, by name, before judging"
            )
    return tuple(made.values())


def predicted_binary(probability: ArrayLike, outcome: ArrayLike) -> tuple[ndarray, ndarray]:
    """Return probabilities and 0/1 outcomes after checking their range.

    Raises
    ------
    CohortError
        If a probability lies outside [0, 1] or an outcome is not 0 or 1.

    Examples
    --------
    >>> predicted_binary([0.2, 0.7], [0, 1])
    (array([0.2, 0.7]), array([0., 1.]))
    """
    probability, outcome = paired(probability=probability, outcome=outcome)
    outside = probability[(probability < 0.0) | (probability > 1.0)]
    if outside.size:
        raise CohortError(f"a probability is {outside[0]:g}, expected a number in [0, 1]")
    two_valued(outcome, "outcome")
    return probability, outcome


def two_valued(values: ndarray, name: str) -> None:
    """Refuse values other than 0 and 1.

    Raises
    ------
    CohortError
        If another value occurs.
    """
    odd = values[(values != 0.0) & (values != 1.0)]
    if odd.size:
        raise CohortError(f"'{name}' holds {odd[0]:g}, expected 0 or 1")


def both_classes(outcome: ndarray, metric: str) -> None:
    """Refuse outcomes of one class.

    Raises
    ------
    CohortError
        If only one class is present.
    """
    if outcome.min() == outcome.max():
        raise CohortError(
            f"all {len(outcome)} outcomes are {outcome[0]:g}; {metric} needs both classes, "
            "so judge more patients together"
        )


def survival_times(**arrays: ArrayLike) -> tuple[ndarray, ...]:
    """Return paired arrays, among them ``time`` (not negative) and ``event`` (0/1).

    Raises
    ------
    CohortError
        If a time is negative or an event is neither 0 nor 1.

    Examples
    --------
    >>> survival_times(time=[1, 2], event=[True, False])
    (array([1., 2.]), array([1., 0.]))
    """
    made = dict(zip(arrays, paired(**arrays), strict=True))
    two_valued(made["event"], "event")
    if made["time"].min() < 0:
        raise CohortError(f"a time is {made['time'].min():g}, expected 0 or more")
    return tuple(made.values())


def entered_before(entry: ArrayLike, time: ndarray) -> ndarray:
    """Return entry times (patient,) as float64, each before the patient's own time.

    Raises
    ------
    CohortError
        If somebody enters on the day they leave, or after it.

    Examples
    --------
    >>> entered_before([0, 1], np.array([1.0, 2.0]))
    array([0., 1.])
    """
    entry, time = paired(entry=entry, time=time)
    late = np.flatnonzero(entry >= time)
    if late.size:
        raise CohortError(
            f"{late.size} patients enter on or after the day they leave, first day "
            f"{entry[late[0]]:g} against {time[late[0]]:g}; expected entry before time"
        )
    return entry
