"""Cox paths of five folds against scikit-survival in one run; prints ratios, never asserts them.

Ridge: its coordinate descent (Coxnet) cannot leave the lasso out, so that it gets a share of 1e-4;
it fits one fold to its standard tolerance, whose time is multiplied by the number of folds; a
negative difference is what that lasso is worth. The optimum is compared with its Newton method
(CoxPHSurvivalAnalysis), which cannot take 20,000 features and gets the rotated ones: the same
problem. Elastic net: the same objective, folds and penalties on both sides.

Usage: python scripts/bench/linear_path.py [--patients 500] [--features 20000] [--penalties 50]
           [--repeats 1]
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.util import Surv

from omics_twin.evaluate.elastic_net import strongest_penalties, walk_path
from omics_twin.evaluate.losses import CoxLoss, Ties, cox_loss
from omics_twin.evaluate.penalised import LinearFit, Rotation, fit_path, rotate

FOLDS = 5
LASSO_SHARE = 1e-4
MIXING = 0.5


def asked() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    standards = {"patients": 500, "features": 20_000, "penalties": 50, "repeats": 1}
    for name, standard in standards.items():
        parser.add_argument(f"--{name}", type=int, default=standard)
    return parser.parse_args()


def cohort(patients: int, features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised correlated features, times and events."""
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(patients, 20))
    matrix = 0.5 * factors @ rng.normal(size=(20, features)) + rng.normal(size=(patients, features))
    onset = rng.exponential(100.0 * np.exp(0.7 * factors[:, 1] - factors[:, 0]))
    leaving = rng.uniform(20.0, 300.0, patients)
    matrix = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    return matrix, np.minimum(onset, leaving), onset <= leaving


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result."""
    start = perf_counter()
    result = call()
    return perf_counter() - start, result


def ridge(
    matrix: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    inside: np.ndarray,
    penalties: np.ndarray,
    ties: Ties,
) -> tuple[np.ndarray, CoxLoss, Rotation, LinearFit]:
    """Return the path with everything it needs, from the raw matrix on."""
    loss, order = cox_loss(time, event, ties)
    rotation = rotate(matrix[order])
    fit = fit_path(rotation, loss, inside[order], penalties, intercept=False, tolerance=1e-12)
    return order, loss, rotation, fit


def compare_ridge(given: argparse.Namespace) -> None:
    """Print the time of the ridge path beside coordinate descent's, and both objectives."""
    matrix, time, event = cohort(given.patients, given.features)
    inside = (np.arange(given.patients)[:, None] % FOLDS != np.arange(FOLDS)).astype(float)
    penalties = np.geomspace(5.0 * given.features, given.features / 1000.0, given.penalties)
    kept = inside[:, 0] > 0
    strength = penalties / kept.sum() / (1.0 - LASSO_SHARE)
    net = CoxnetSurvivalAnalysis(l1_ratio=LASSO_SHARE, alphas=strength, max_iter=10**6)
    observed = Surv.from_arrays(event[kept], time[kept])
    own, peer = [], []
    for _ in range(given.repeats):
        seconds, (order, loss, rotation, fit) = timed(
            lambda: ridge(matrix, time, event, inside, penalties, Ties.EFRON)
        )
        own.append(seconds)
        peer.append(FOLDS * timed(lambda: net.fit(matrix[kept], observed))[0])
    print(
        f"ridge, {FOLDS} folds x {len(penalties)} penalties: {median(own):.2f} s, Coxnet with "
        f"{LASSO_SHARE:g} lasso {median(peer):.1f} s ({FOLDS} x one fold), "
        f"ratio {median(peer) / median(own):.1f}"
    )
    weights = np.repeat(inside[order][:, :1], len(penalties), axis=1)
    coefficients = rotation.coefficients(fit.rotated[:, : len(penalties)])

    def objective(found: np.ndarray) -> np.ndarray:
        lasso = LASSO_SHARE * penalties * np.abs(found).sum(axis=0)
        ridge = 0.5 * penalties * (found**2).sum(axis=0)
        return loss.value(matrix[order] @ found, weights) + lasso + ridge

    above = objective(net.coef_) - objective(coefficients)
    print(
        f"  Coxnet's own objective, lasso included, lies {above.min():.1e} to {above.max():.1e} "
        "above ours"
    )


def compare_optimum(given: argparse.Namespace) -> None:
    """Print how far the path lies from Newton's optimum, times with and without ties."""
    matrix, time, event = cohort(given.patients, given.features)
    inside = (np.arange(given.patients)[:, None] % FOLDS != np.arange(FOLDS)).astype(float)
    penalties = np.geomspace(given.features, given.features / 100.0, 3)
    for name, times in (("no ties", time), ("ties", np.ceil(time / 15.0))):
        for ties in Ties:
            order, loss, rotation, fit = ridge(matrix, times, event, inside, penalties, ties)
            kept = inside[order][:, 0] > 0
            observed = Surv.from_arrays(event[order][kept], times[order][kept])
            peer = CoxPHSurvivalAnalysis(alpha=penalties[-1], ties=ties.value, tol=1e-13)
            peer.fit(rotation.scores[kept], observed)
            both = np.column_stack([fit.rotated[:, len(penalties) - 1], peer.coef_])
            value = loss.value(rotation.scores @ both, np.repeat(inside[order][:, :1], 2, axis=1))
            value += 0.5 * penalties[-1] * (both**2).sum(axis=0)
            features = rotation.coefficients(both)
            largest = np.abs(features).max()
            print(
                f"  {name}, {ties.value}: objective less Newton's {value[0] - value[1]:.1e}, "
                f"coefficients differ by {np.abs(features[:, 0] - features[:, 1]).max():.1e} "
                f"(largest {largest:.1e})"
            )


def compare_elastic_net(given: argparse.Namespace) -> None:
    """Print the time of the elastic-net path beside coordinate descent's, and both objectives."""
    matrix, time, event = cohort(given.patients, given.features)
    loss, order = cox_loss(time, event, Ties.BRESLOW)
    sorted_, inside = matrix[order], np.arange(given.patients)[:, None] % FOLDS != np.arange(FOLDS)
    weights, mixing = inside.astype(float), np.full(FOLDS, MIXING)
    top = strongest_penalties(sorted_, loss, mixing[:1], intercept=False)
    penalties = np.geomspace(0.8, 0.1, given.penalties) * top
    steps = np.repeat(penalties[:, None], FOLDS, axis=1)

    def all_folds() -> list[np.ndarray]:
        walk = walk_path(sorted_, loss, weights, mixing, steps, intercept=False, tolerance=1e-7)
        return [fit.coefficients for fit in walk]

    def peers() -> list[np.ndarray]:
        found = []
        for fold in inside.T:
            net = CoxnetSurvivalAnalysis(
                l1_ratio=MIXING, alphas=penalties / fold.sum(), max_iter=10**6
            )
            observed = Surv.from_arrays(event[order][fold], time[order][fold])
            found.append(net.fit(sorted_[fold], observed).coef_)
        return found

    own, peer = [], []
    for _ in range(given.repeats):
        seconds, ours = timed(all_folds)
        own.append(seconds)
        seconds, theirs = timed(peers)
        peer.append(seconds)
    # Coxnet gives a path up where its first penalties leave nothing; such a fold has no answer.
    short = [each.shape[1] for each in theirs if each.shape[1] < len(penalties)]
    if short:
        print(f"  Coxnet gave up after {short} of {len(penalties)} penalties: not comparable")
        return
    last = np.column_stack([ours[-1], *(each[:, -1] for each in theirs)])
    value = loss.value(sorted_ @ last, np.tile(weights, 2))
    value += penalties[-1] * MIXING * np.abs(last).sum(axis=0)
    value += penalties[-1] * (1.0 - MIXING) / 2.0 * (last**2).sum(axis=0)
    above = value[FOLDS:] - value[:FOLDS]
    print(
        f"elastic net, {FOLDS} folds x {len(penalties)} penalties: {median(own):.2f} s, Coxnet "
        f"{median(peer):.2f} s, ratio {median(peer) / median(own):.2f}; Coxnet's objective lies "
        f"{above.min():.1e} to {above.max():.1e} above"
    )


def main() -> None:
    """Print the comparisons."""
    given = asked()
    warnings.filterwarnings("ignore", message="Optimization did not converge")
    compare_ridge(given)
    compare_optimum(given)
    compare_elastic_net(given)


if __name__ == "__main__":
    main()
