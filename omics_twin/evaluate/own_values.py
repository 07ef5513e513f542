"""How far a patient's own value of a graded outcome lies from what is expected of the patient.

What a learner expects carries doubt about the mean alone. The errors it made in patients who were
held out hold everything else, and that doubt with them.

References
----------
Vovk 2015, Cross-conformal predictors (doi:10.1007/s10472-013-9368-4); Barber et al. 2021, the
jackknife+ (doi:10.1214/20-AOS1965).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.evaluate.forecast import crps

LEVELS = np.arange(1, 40) / 40.0
"""Of the quantiles by which errors are told; further out they would be single patients'."""
FEWEST = 40
"""Patients whose errors are known, below which nothing is told."""


def error_quantiles(
    values: Float[ndarray, " patient"], expected: Float[ndarray, " patient"]
) -> Float[ndarray, " level"]:
    """Return the quantiles of held-out errors at ``LEVELS``; nothing where patients are too few.

    Examples
    --------
    >>> error_quantiles(np.arange(79.0), np.zeros(79))[[0, 19, 38]].round(6).tolist()
    [1.0, 39.0, 77.0]
    """
    errors = values - expected
    errors = errors[np.isfinite(errors)]
    if len(errors) < FEWEST:
        return np.zeros(0)
    # The quantiles of the next error, exchangeable with these.
    return np.quantile(errors, LEVELS, method="weibull")


@dataclass(frozen=True)
class OwnValues:
    """Where patients' own values lie about what is expected of them.

    Attributes
    ----------
    errors
        Quantiles of held-out errors at ``LEVELS``; empty where they are not known.
    minimum, maximum
        What no value is beyond.
    """

    errors: tuple[float, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def around(
        self, expected: Float[ndarray, " patient"], level: float
    ) -> tuple[Float[ndarray, " patient"], Float[ndarray, " patient"]] | None:
        """Return between what the own value lies in a share ``level`` of patients.

        None where that is not known: errors are not, or not so far out.

        Examples
        --------
        >>> own = OwnValues(tuple(range(-19, 20)), minimum=0.0)
        >>> [each.tolist() for each in own.around(np.array([4.0]), 0.9)]
        [[0.0], [22.0]]
        >>> own.around(np.array([4.0]), 0.99)
        """
        tail = round((1.0 - level) / 2.0, 9)
        if not self.errors or tail < LEVELS[0]:
            return None
        low, high = np.interp([tail, 1.0 - tail], LEVELS, self.errors)
        least = -np.inf if self.minimum is None else self.minimum
        most = np.inf if self.maximum is None else self.maximum
        return np.clip(expected + low, least, most), np.clip(expected + high, least, most)


def judged(
    values: Float[ndarray, " patient"],
    expected: Float[ndarray, " patient"],
    held_out: Int[ndarray, " patient"],
) -> dict[str, float]:
    """Return the score of forecasts of own values, and how often their 90 % intervals hold.

    Each patient's errors are those of the other folds.

    Returns
    -------
    dict
        ``crps`` in the unit of the outcome and ``interval_90_holds``; NaN where patients are too
        few.
    """
    known = np.isfinite(values) & np.isfinite(expected)
    nothing = {"crps": float("nan"), "interval_90_holds": float("nan")}
    if not known.any():
        return nothing
    scores, held = [], []
    for fold in np.unique(held_out[known]):
        asked, others = known & (held_out == fold), known & (held_out != fold)
        quantiles = error_quantiles(values[others], expected[others])
        if not len(quantiles):
            return nothing
        errors = values[asked] - expected[asked]
        scores.append(crps(np.tile(quantiles, (len(errors), 1)), errors))
        low, high = np.interp([0.05, 0.95], LEVELS, quantiles)
        held.append((low <= errors) & (errors <= high))
    return {
        "crps": float(np.concatenate(scores).mean()),
        "interval_90_holds": float(np.concatenate(held).mean()),
    }
