"""Make ``survival.json`` with scikit-survival and lifelines; run by hand, not by the tests.

scikit-survival is GPL-3: it is compared with here and never imported by the package.
Run: ``python tests/reference/make_survival.py``.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.utils import concordance_index
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.metrics import (
    brier_score,
    concordance_index_censored,
    concordance_index_ipcw,
    integrated_brier_score,
)
from sksurv.util import Surv


def case(seed: int, patients: int, digits: int) -> dict:
    """Return one cohort, rounded to make ties, and what the other programs say of it."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(patients, 4)).round(3)
    onset = rng.exponential(np.exp(-features[:, 0])) * 100
    leaving = rng.uniform(20, 250, patients)
    time = np.minimum(onset, leaving).round(digits) + 1.0
    event = onset <= leaving
    risk = (features[:, 0] + 0.5 * rng.normal(size=patients)).round(1)
    grid = np.array([5.0, 20.0, 50.0, 90.0, 120.0])
    curves = np.exp(-np.exp(risk)[:, None] * grid / 100).round(6)
    half = patients // 2
    train, test = slice(0, half), slice(half, None)
    observed = Surv.from_arrays(event, time)
    kept = (time[test] < time[train].max()) & (time[test] > 0)
    chosen = np.flatnonzero(kept) + half
    curve = KaplanMeierFitter().fit(time, event)
    penalty = 3.0
    cox = CoxPHSurvivalAnalysis(alpha=penalty, ties="breslow", tol=1e-14, n_iter=200)
    cox.fit(features, observed)
    efron = CoxPHSurvivalAnalysis(alpha=penalty, ties="efron", tol=1e-14, n_iter=200)
    efron.fit(features, observed)
    # Its loss is a mean over patients; its penalty is multiplied by their number.
    net = CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[10.0 / patients], tol=1e-14, max_iter=10**6)
    net.fit(features, observed)
    baseline = [float(cox.cum_baseline_hazard_(day)) for day in grid]
    return {
        "features": features.tolist(),
        "time": time.tolist(),
        "event": event.astype(int).tolist(),
        "risk": risk.tolist(),
        "grid_days": grid.tolist(),
        "curves": curves.tolist(),
        "train": list(range(half)),
        "test": chosen.tolist(),
        "penalty": penalty,
        "expected": {
            "concordance_sksurv": concordance_index_censored(event, time, risk)[0],
            "concordance_lifelines": concordance_index(time, -risk, event),
            "uno": concordance_index_ipcw(
                observed[train], observed[chosen], risk[chosen], tau=100.0
            )[0],
            "brier": brier_score(observed[train], observed[chosen], curves[chosen], grid)[
                1
            ].tolist(),
            "integrated_brier": integrated_brier_score(
                observed[train], observed[chosen], curves[chosen], grid
            ),
            "kaplan_meier": curve.survival_function_at_times(grid).tolist(),
            "cox_breslow": cox.coef_.tolist(),
            "cox_elastic_net": net.coef_[:, 0].tolist(),
            "cox_efron": efron.coef_.tolist(),
            "cox_cumulative_hazard": baseline,
        },
    }


def main() -> None:
    """Write the cases beside this program."""
    made = {
        "made_by": {name: version(name) for name in ("scikit-survival", "lifelines", "numpy")},
        "cases": [case(0, 120, 6), case(1, 200, 0), case(2, 90, -1)],
    }
    Path(__file__).with_name("survival.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
