"""How much noise a privacy budget asks for: everything read from patients, composed.

The accountant is Opacus's, which bounds the privacy loss of subsampled Gaussian mechanisms composed
in any number; nothing of Opacus wraps the network.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from omics_twin.errors import TrainingError

_TOLERANCE, _STEP = 1e-3, 0.05
# Logarithm of a multiplier beyond which nothing could be learned any more.
_MOST = 14.0


@dataclass(frozen=True)
class Mechanism:
    """A sum over patients, released with Gaussian noise some number of times.

    Attributes
    ----------
    noise_multiplier
        Standard deviation of the noise over what one patient can change the sum by (L2 norm).
    sample_rate
        Probability that a patient takes part in a release; 1: everyone always does.
    steps
        Releases.
    """

    noise_multiplier: float
    sample_rate: float = 1.0
    steps: int = 1


def epsilon_of(mechanisms: Sequence[Mechanism], delta: float) -> float:
    """Return the epsilon that all mechanisms together keep to, an upper bound.

    References
    ----------
    Gopi, Lee & Wutschitz 2021, Numerical composition of differential privacy (arXiv:2106.02848),
    as in Opacus (Yousefpour et al. 2021, arXiv:2109.12298).
    """
    try:
        from opacus.accountants import PRVAccountant
    except ImportError as error:
        raise TrainingError(
            "trainer.privacy needs Opacus's accountant: pip install 'omics-twin[privacy]'"
        ) from error
    accountant = PRVAccountant()
    accountant.history = [(e.noise_multiplier, e.sample_rate, e.steps) for e in mechanisms]
    with warnings.catch_warnings():
        # At a sample rate of 1 its formula takes the logarithm of 0, which is then not used; a
        # first guess by moments may be wide, which only costs time.
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta=delta))


def noise_for(
    epsilon: float,
    delta: float,
    asked: Mapping[str, Mechanism],
    shares: Mapping[str, float],
) -> dict[str, Mechanism]:
    """Return the mechanisms with the least noise that keeps to the budget together.

    Parameters
    ----------
    asked
        Sample rates and steps of the mechanisms; their multipliers are not read.
    shares
        What each may use of the budget; they sum to 1. The squared inverse multiplier of a
        mechanism's steps together is in proportion to its share.
    """

    def scaled(factor: float) -> dict[str, Mechanism]:
        return {
            name: Mechanism(
                factor * each.sample_rate * math.sqrt(each.steps / shares[name]),
                each.sample_rate,
                each.steps,
            )
            for name, each in asked.items()
        }

    def over(log_factor: float) -> float:
        spent = epsilon_of(list(scaled(math.exp(log_factor)).values()), delta)
        # A little below the budget, so that where the search ends is not above it.
        return math.log(spent / epsilon) + 2.0 * _TOLERANCE

    # Exact for full gradients, near it for sampled ones.
    lower = upper = -math.log(_separation(epsilon, delta))
    above = below = over(lower)
    while above < 0.0:
        lower -= _STEP
        above = over(lower)
    while below > 0.0:
        upper += _STEP
        below = over(upper)
        if upper > _MOST:
            raise TrainingError(
                f"no noise keeps to trainer.privacy.epsilon={epsilon:g} at delta={delta:g}: "
                "ask for a larger one"
            )
    if lower == upper:
        return scaled(math.exp(upper))
    return scaled(math.exp(float(brentq(over, lower, upper, xtol=_TOLERANCE))))


def _separation(epsilon: float, delta: float) -> float:
    """Return how far apart two unit normals lie that are (epsilon, delta)-alike.

    References
    ----------
    Balle & Wang 2018, Improving the Gaussian mechanism (arXiv:1805.06530), theorem 8.
    """

    def over(apart: float) -> float:
        below, above = apart / 2.0 - epsilon / apart, -apart / 2.0 - epsilon / apart
        return float(ndtr(below)) - math.exp(epsilon + float(log_ndtr(above))) - delta

    return float(brentq(over, 1e-6, 100.0))
