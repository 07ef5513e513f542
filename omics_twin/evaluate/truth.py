"""What following a ranking would be worth, where the truth under every therapy is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from omics_twin.errors import CohortError


@dataclass(frozen=True)
class PolicyValue:
    """Mean true outcome if everyone followed a rule.

    Attributes
    ----------
    followed
        If everyone gets the therapy chosen for them.
    best_single_arm
        If everyone gets the one arm that is best on average.
    own_best_arm
        If everyone gets the arm that is truly best for them.
    captured
        Share of the benefit between the last two that the rule captures; 1 is perfect, 0 is no
        better than one arm for all.
    """

    followed: float
    best_single_arm: float
    own_best_arm: float

    @property
    def captured(self) -> float:
        """Share of the possible benefit over the best single arm."""
        return (self.followed - self.best_single_arm) / (self.own_best_arm - self.best_single_arm)


def policy_value(
    chosen: Int[ndarray, " patient"], truth: Float[ndarray, "patient arm"]
) -> PolicyValue:
    """Return the value of choosing one arm per patient; higher outcomes are better.

    Raises
    ------
    CohortError
        If choices and truth do not fit, or all arms are equal for everyone.

    Examples
    --------
    >>> truth = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    >>> policy_value(np.array([0, 1, 1]), truth).captured
    0.0
    """
    if chosen.shape != truth.shape[:1] or not np.isfinite(truth).all():
        raise CohortError(
            f"{len(chosen)} choices for a truth of shape {truth.shape}, expected one per patient "
            "and a finite value for every arm"
        )
    value = PolicyValue(
        followed=float(truth[np.arange(len(truth)), chosen].mean()),
        best_single_arm=float(truth.mean(axis=0).max()),
        own_best_arm=float(truth.max(axis=1).mean()),
    )
    if value.own_best_arm <= value.best_single_arm:
        raise CohortError("one arm is the best for everyone: there is no benefit to capture")
    return value
