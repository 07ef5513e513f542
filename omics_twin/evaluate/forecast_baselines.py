"""Simple forecasts of a patient's next measurement, each with an honest spread.

All are on the scale ``log(size + offset)``; their spread is that of their own errors on training
patients, so that none is handicapped by a shape that errors do not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_QUANTILES = (np.arange(199) + 0.5) / 199


@dataclass(frozen=True)
class Scans:
    """Sizes of some patients on the scale of the forecasts, padded with NaN.

    ``days`` and ``sizes`` are (patient, visit), a patient's visits in order.
    """

    days: Array
    sizes: Array

    def at(self, rows: Array) -> Scans:
        """Return some of the patients."""
        return Scans(self.days[rows], self.sizes[rows])

    @property
    def asked(self) -> Array:
        """Whether a visit is forecast: it was measured, and one before it was, (patient, visit)."""
        known = np.isfinite(self.sizes)
        return known & ((np.cumsum(known, axis=1) - known) > 0)


def last_size(scans: Scans) -> Array:
    """Return the last size before each visit, (patient, visit)."""
    found = np.full(scans.sizes.shape, np.nan)
    for visit in range(1, scans.sizes.shape[1]):
        before = scans.sizes[:, visit - 1]
        found[:, visit] = np.where(np.isfinite(before), before, found[:, visit - 1])
    return found


def exponential(scans: Scans) -> Array:
    """Return what a straight line through a patient's own sizes says of each visit.

    With one size before, the line is flat.
    """
    found = np.full(scans.sizes.shape, np.nan)
    for patient, (days, sizes) in enumerate(zip(scans.days, scans.sizes, strict=True)):
        for visit in range(1, len(days)):
            known = np.isfinite(sizes[:visit])
            if known.sum() == 0 or not np.isfinite(days[visit]):
                continue
            t, y = days[:visit][known], sizes[:visit][known]
            flat = known.sum() == 1 or np.ptp(t) == 0
            slope = 0.0 if flat else np.polyfit(t, y, 1)[0]
            found[patient, visit] = y.mean() + slope * (days[visit] - t.mean())
    return found


def spread_out(centre: Callable[[Scans], Array], training: Scans, held_out: Scans) -> Array:
    """Return forecasts around a centre with the errors it has on training patients.

    Errors are of forecasts from as many sizes (one, two, more), where at least 30 are known.

    Returns
    -------
    Array
        (patient, visit, draw), NaN where nothing is forecast.
    """
    errors = np.where(training.asked, training.sizes - centre(training), np.nan)
    middle = centre(held_out)
    before, known = _before(training), _before(held_out)
    found = np.full([*middle.shape, len(_QUANTILES)], np.nan)
    for number in (1, 2, 3):
        same = errors[(before == number) & np.isfinite(errors)]
        if len(same) < 30:
            same = errors[np.isfinite(errors)]
        rows = (known == number) & held_out.asked
        found[rows] = middle[rows][:, None] + np.quantile(same, _QUANTILES)
    return found


def population(training: Scans, held_out: Scans) -> Array:
    """Return, for each visit, the sizes of training patients at about that time.

    Returns
    -------
    Array
        (patient, visit, draw), NaN where nothing is forecast.
    """
    edges = np.array([-np.inf, 60.0, 120.0, 200.0, 300.0, np.inf])
    bins, wanted = np.digitize(training.days, edges), np.digitize(held_out.days, edges)
    found = np.full((*held_out.sizes.shape, len(_QUANTILES)), np.nan)
    for each in np.unique(wanted[held_out.asked]):
        same = training.sizes[(bins == each) & training.asked]
        same = same if len(same) >= 10 else training.sizes[training.asked]
        found[(wanted == each) & held_out.asked] = np.quantile(same, _QUANTILES)
    return found


def _before(scans: Scans) -> Array:
    """Return how many sizes are known before each visit, 3 for more."""
    known = np.isfinite(scans.sizes)
    return np.minimum(np.cumsum(known, axis=1) - known, 3)


BASELINES: Mapping[str, Callable[[Scans, Scans], Array]] = {
    "persistence": lambda training, held_out: spread_out(last_size, training, held_out),
    "population": population,
    "exponential fit": lambda training, held_out: spread_out(exponential, training, held_out),
}
