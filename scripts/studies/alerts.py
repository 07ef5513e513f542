"""False alarms and delays of the alerts, and intervals under a twin that is wrong.

Usage: python scripts/studies/alerts.py [series]
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.stats import norm

from omics_twin.alerts.adaptive import AdaptiveLevel
from omics_twin.alerts.evidence import cusum, detector, ever, first_alarm

ALPHA, ARL = 0.05, 500.0


def threshold_for(statistic: np.ndarray, wanted: float) -> float:
    """Return the threshold at which series in which nothing changes run so long on average."""
    low, high = float(statistic.min()), float(np.quantile(statistic, 0.99999))
    for _ in range(40):
        middle = (low + high) / 2
        times = first_alarm(statistic, middle)
        # A geometric tail is taken where a series outlasts the simulation.
        seen = np.minimum(times, statistic.shape[1])
        mean = seen.sum() / max(np.isfinite(times).sum(), 1)
        low, high = (middle, high) if mean < wanted else (low, middle)
    return (low + high) / 2


def main(series: int) -> None:
    """Print every number."""
    rng = np.random.default_rng(0)
    null = rng.standard_normal((series, 200))
    alarms = float((ever(null)[:, -1] >= 1 / ALPHA).mean())
    error = np.sqrt(ALPHA * (1 - ALPHA) / series)
    print(f"ever a false alarm in 200 visits: {alarms:.4f}, at most {ALPHA + 2 * error:.4f}")
    for shift in (1.0, 2.0):
        for before in (0, 10):
            changed = rng.standard_normal((series, 200 + before))
            changed[:, before:] += shift
            times = first_alarm(ever(changed), 1 / ALPHA) - before
            late = times[times > 0]
            print(
                f"e-process, shift {shift:g} after {before} visits: delay {late.mean():.2f}, "
                f"median {np.median(late):.0f}, raised in {np.isfinite(times).mean():.3f}"
            )
    long = rng.standard_normal((min(series, 4000), 3000))
    mixture = detector(long)
    ours = threshold_for(mixture, ARL)
    for shift in (1.0, 2.0):
        known = cusum(long, shift)
        theirs = threshold_for(known, ARL)
        check = first_alarm(cusum(rng.standard_normal(long.shape), shift), theirs)
        arl = np.minimum(check, 3000).sum() / np.isfinite(check).sum()
        changed = rng.standard_normal((series, 300)) + shift
        delays = [
            first_alarm(statistic, limit).mean()
            for statistic, limit in ((detector(changed), ours), (cusum(changed, shift), theirs))
        ]
        print(
            f"at an average run of {ARL:g}: shift {shift:g}, mixture {delays[0]:.2f} visits, CUSUM "
            f"that knows the shift {delays[1]:.2f} (its run, on other series: {arl:.0f}): ratio "
            f"{delays[0] / delays[1]:.3f}"
        )
    misspecified(rng)


def misspecified(rng: np.random.Generator) -> None:
    """Print the coverage of a twin whose noise is half of the truth."""
    found = 2.0 * rng.standard_normal(5000)
    level, held = AdaptiveLevel(0.1, 0.02, 0.1), []
    for each in norm.cdf(found):
        low, high = level.tails
        missed = not low <= each <= high and level.level > 0
        held.append(not missed)
        level = level.after(missed=missed)
    naive = float((np.abs(found) < norm.ppf(0.95)).mean())
    print(f"90 % intervals with half the noise: naive {naive:.3f}, adaptive {np.mean(held):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
