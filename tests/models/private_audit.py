"""How private training was, as runs with and without one patient bound it from below."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import beta


def empirical_epsilon(
    present: Float[ndarray, " run"],
    absent: Float[ndarray, " run"],
    delta: float,
    *,
    confidence: float = 0.95,
) -> float:
    """Return a lower bound on epsilon from runs with and without one patient.

    The threshold is chosen on half of the runs, its rates are bounded on the other half (Clopper
    and Pearson), so that the bound holds with this confidence.

    References
    ----------
    Jagielski, Ullman & Oprea 2020, Auditing differentially private machine learning
    (arXiv:2006.07709).
    """
    half_present, half_absent = present[: len(present) // 2], absent[: len(absent) // 2]
    left_present, left_absent = present[len(present) // 2 :], absent[len(absent) // 2 :]

    def bound(threshold: float, one: ndarray, other: ndarray) -> float:
        hit, miss = int((one >= threshold).sum()), int((other >= threshold).sum())
        level = (1.0 - confidence) / 2.0
        true = beta.ppf(level, hit, len(one) - hit + 1) if hit else 0.0
        false = beta.ppf(1.0 - level, miss + 1, len(other) - miss) if miss < len(other) else 1.0
        return float(np.log((true - delta) / false)) if true > delta else 0.0

    tried = np.concatenate([half_present, half_absent]).tolist()
    best = max(tried, key=lambda threshold: bound(threshold, half_present, half_absent))
    return max(0.0, bound(best, left_present, left_absent))
