"""How a drug that is absorbed at once comes and goes, learned from measured concentrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize

from omics_twin.dynamics.plan import Plan, administrations
from omics_twin.errors import TrainingError

Array = np.ndarray
_LEAST = 8


@dataclass(frozen=True)
class Exposure:
    """One compartment that everybody shares, and how its concentration is measured.

    Attributes
    ----------
    elimination_per_day, distribution_l
        Rate of elimination [1/day] and apparent volume of distribution [L].
    absorbed
        Exponent of the dose: below 1, a smaller share of larger doses is absorbed.
    proportional, additive
        Standard deviation of a measurement, as a share of the concentration and added to it
        [mg/L].
    """

    elimination_per_day: float
    distribution_l: float
    absorbed: float
    proportional: float
    additive: float

    @property
    def shared(self) -> dict[str, float]:
        """What the equations of a tumour under the drug take from it."""
        found = asdict(self)
        return {n: found[n] for n in ("elimination_per_day", "distribution_l", "absorbed")}


def concentration(exposure: Exposure, doses: Array, since: Array) -> Array:
    """Return the concentration on some days after single doses [mg/L].

    Parameters
    ----------
    doses
        (dose,) [mg].
    since
        Days since each dose, (time, dose); what is read on the day of a dose is read before it.

    References
    ----------
    Gabrielsson & Weiner 2016, Pharmacokinetic and Pharmacodynamic Data Analysis, 5th edition,
    one-compartment bolus model.

    Examples
    --------
    >>> one = Exposure(1.0, 2.0, 1.0, 0.1, 0.1)
    >>> concentration(one, np.array([4.0]), np.array([[0.0], [np.log(2.0)]])).tolist()
    [0.0, 1.0]
    """
    after = since > 0
    left = np.where(after, np.exp(-exposure.elimination_per_day * np.where(after, since, 0.0)), 0.0)
    return left @ (doses**exposure.absorbed) / exposure.distribution_l


def fit_exposure(days: Array, measured: Array, plans: Sequence[Plan]) -> Exposure:
    """Return the compartment under which measured concentrations are most likely.

    Parameters
    ----------
    days, measured
        (patient, visit), NaN where nothing was measured [day], [mg/L].
    plans
        What each patient was given, as boluses.

    Raises
    ------
    TrainingError
        If fewer than eight concentrations are known, or one is after an infusion.
    """
    known = np.isfinite(measured) & np.isfinite(days)
    if known.sum() < _LEAST:
        raise TrainingError(
            f"{int(known.sum())} concentrations are known, expected at least {_LEAST} to learn "
            "how the drug comes and goes: measure more"
        )
    found = np.concatenate([measured[row][known[row]] for row in range(len(plans))])
    parts = []
    for row, plan in enumerate(plans):
        given = administrations(plan)
        if any(dose.duration_days > 0 for _, dose in given):
            raise TrainingError(
                "a patient has an infusion, expected doses that are absorbed at once: leave it out"
            )
        at = np.array([day for day, _ in given])
        doses = np.array([dose.amount for _, dose in given])
        parts.append((doses, days[row][known[row]][:, None] - at[None, :]))

    def loss(values: Array) -> float:
        exposure = _of(values)
        mean = np.concatenate([concentration(exposure, *part) for part in parts])
        spread = (exposure.proportional * mean) ** 2 + exposure.additive**2
        return float(np.sum((found - mean) ** 2 / spread + np.log(spread)))

    high = float(np.quantile(found, 0.9))
    largest = max((float(doses.max()) for doses, _ in parts if len(doses)), default=1.0)
    begin = [largest / high, 0.3, 0.1 * high]
    fits = [
        minimize(
            loss,
            [*np.log([rate, begin[0]]), share, *np.log(begin[1:])],
            method="Nelder-Mead",
            options={"maxiter": 6000, "maxfev": 6000, "xatol": 1e-5, "fatol": 1e-6},
        )
        for rate in (0.7, 3.0)
        for share in (1.0, 0.7)
    ]
    return _of(min(fits, key=lambda each: float(each.fun)).x)


def _of(values: Array) -> Exposure:
    elimination, volume, proportional, additive = np.exp(values[[0, 1, 3, 4]]).tolist()
    # A measurement is never without error, or one of them would decide alone.
    return Exposure(
        elimination,
        volume,
        float(np.clip(values[2], 0.2, 1.5)),
        max(proportional, 0.02),
        max(additive, 1e-9),
    )
