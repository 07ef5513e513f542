"""How a drug comes and goes, learned from measured concentrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize

from omics_twin.dynamics.pharmacology import COMPARTMENTS
from omics_twin.dynamics.plan import Plan, administrations
from omics_twin.dynamics.settings import Kinetics
from omics_twin.errors import TrainingError

Array = np.ndarray
_LEAST = 8
# A half-life of 20 minutes [1/day]: what is faster is not told from at once.
_FASTEST = 48.0
# Rates of absorption, or out of and back into the blood, to begin with [1/day].
_MORE: Mapping[Kinetics, tuple[float, ...]] = {
    Kinetics.BOLUS: (),
    Kinetics.ORAL: (10.0,),
    Kinetics.TWO_COMPARTMENTS: (1.0, 1.0),
}


@dataclass(frozen=True)
class Exposure:
    """Compartments that everybody shares, and how the concentration is measured.

    Attributes
    ----------
    elimination_per_day, distribution_l
        Rate of elimination [1/day] and apparent volume of distribution [L].
    absorbed
        Exponent of the dose: below 1, a smaller share of larger doses is absorbed.
    proportional, additive
        Standard deviation of a measurement, as a share of the concentration and added to it
        [mg/L].
    absorption_per_day
        Rate at which what was taken by mouth is absorbed; ``None``: at once [1/day].
    outward_per_day, inward_per_day
        Rates of exchange with a second compartment; ``None``: there is none [1/day].
    """

    elimination_per_day: float
    distribution_l: float
    absorbed: float
    proportional: float
    additive: float
    absorption_per_day: float | None = None
    outward_per_day: float | None = None
    inward_per_day: float | None = None

    @property
    def shared(self) -> dict[str, float]:
        """What the equations of a tumour under the drug take from it."""
        found = asdict(self)
        return {
            name: value
            for name, value in found.items()
            if value is not None and name not in ("proportional", "additive")
        }

    @property
    def exponentials(self) -> tuple[tuple[float, float], ...]:
        """What is left of 1 mg as a sum of exponentials: weight and rate [1/day] of each."""
        out = self.elimination_per_day
        if self.absorption_per_day is not None:
            # Where both rates are the same, the sum has a limit; next to it is as good.
            rate = self.absorption_per_day * (1.0 + 1e-6)
            weight = rate / (rate - out)
            return (weight, out), (-weight, rate)
        if self.outward_per_day is None or self.inward_per_day is None:
            return ((1.0, out),)
        total, back = out + self.outward_per_day + self.inward_per_day, self.inward_per_day
        root = np.sqrt(max(total**2 - 4.0 * out * back, 1e-12 * total**2))
        fast, slow = (total + root) / 2.0, (total - root) / 2.0
        return ((fast - back) / root, fast), ((back - slow) / root, slow)


def concentration(exposure: Exposure, doses: Array, since: Array) -> Array:
    """Return the concentration on some days after single doses [mg/L].

    Parameters
    ----------
    doses
        (dose,), or those of each time, (time, dose) [mg].
    since
        Days since each dose, (time, dose); what is read on the day of a dose is read before it.

    References
    ----------
    Gabrielsson & Weiner 2016, Pharmacokinetic and Pharmacodynamic Data Analysis, 5th edition:
    one compartment after a bolus and by mouth, two compartments after a bolus.

    Examples
    --------
    >>> one = Exposure(1.0, 2.0, 1.0, 0.1, 0.1)
    >>> concentration(one, np.array([4.0]), np.array([[0.0], [np.log(2.0)]])).tolist()
    [0.0, 1.0]
    """
    after = since > 0
    days = np.where(after, since, 0.0)
    left = sum(weight * np.exp(-rate * days) for weight, rate in exposure.exponentials)
    left = np.where(after, left, 0.0)
    return (left * doses**exposure.absorbed).sum(axis=-1) / exposure.distribution_l


def fit_exposure(
    days: Array, measured: Array, plans: Sequence[Plan], kinetics: Kinetics = Kinetics.BOLUS
) -> Exposure:
    """Return the compartments under which measured concentrations are most likely.

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
    widest = max(len(administrations(plan)) for plan in plans)
    doses, since = np.zeros((len(found), widest)), np.full((len(found), widest), -1.0)
    of = np.repeat(np.arange(len(plans)), known.sum(axis=1))
    for row, plan in enumerate(plans):
        given = administrations(plan)
        if any(dose.duration_days > 0 for _, dose in given):
            raise TrainingError("a patient has an infusion, expected single doses: leave it out")
        own = np.flatnonzero(of == row)[:, None]
        at = np.arange(len(given))
        doses[own, at] = [dose.amount for _, dose in given]
        since[own, at] = days[row][known[row]][:, None] - [day for day, _ in given]

    def loss(values: Array) -> float:
        exposure = _of(values, kinetics)
        mean = concentration(exposure, doses, since)
        spread = (exposure.proportional * mean) ** 2 + exposure.additive**2
        return float(np.sum((found - mean) ** 2 / spread + np.log(spread)))

    high = float(np.quantile(found, 0.9))
    largest = float(doses.max(initial=0.0)) or 1.0
    begin = [largest / high, 0.3, 0.1 * high]
    fits = [
        minimize(
            loss,
            [*np.log([rate, begin[0]]), share, *np.log(begin[1:]), *np.log(_MORE[kinetics])],
            method="Nelder-Mead",
            options={"maxiter": 6000, "maxfev": 6000, "xatol": 1e-5, "fatol": 1e-6},
        )
        for rate in (0.7, 3.0)
        for share in (1.0, 0.7)
    ]
    return _of(min(fits, key=lambda each: float(each.fun)).x, kinetics)


def _of(values: Array, kinetics: Kinetics) -> Exposure:
    elimination, volume, proportional, additive, *more = np.exp(np.delete(values, 2)).tolist()
    names = COMPARTMENTS[kinetics]("drug").parameters[3:]
    more = [min(each, _FASTEST) for each in more]
    # A measurement is never without error, or one of them would decide alone.
    return Exposure(
        elimination,
        volume,
        float(np.clip(values[2], 0.2, 1.5)),
        max(proportional, 0.02),
        max(additive, 1e-9),
        **dict(zip(names, more, strict=True)),
    )
