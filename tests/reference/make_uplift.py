"""Make ``uplift.json`` with econml's DRTester; run by hand, not by the tests.

econml brings lightgbm, shap and sparse with it, which nothing else here needs: it is compared
with through stored numbers. Install it for this program alone (``pip install econml==0.17.0``).
Run: ``python tests/reference/make_uplift.py``.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from econml.validate import DRTester
from sklearn.linear_model import LinearRegression, LogisticRegression

PATIENTS = 240


class Guess:
    """A predicted effect that is partly right."""

    def effect(self, X, T0=0, T1=1):  # noqa: N803
        """Return the predicted effect of arm T1 over the control."""
        rough = 0.3 * X[:, 0] + 0.1 * X[:, 1] if T1 == 1 else 0.2 - 0.4 * X[:, 2]
        return rough + 1e-3 * X[:, 3]


def trial(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, arms and outcomes of a confounded trial of three arms."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(PATIENTS, 4)).round(3)
    logits = np.column_stack([np.zeros(PATIENTS), 0.6 * features[:, 1], -0.5 * features[:, 0]])
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    arms = (chance.cumsum(axis=1) < rng.random((PATIENTS, 1))).sum(axis=1)
    effect = np.column_stack([np.zeros(PATIENTS), 0.4 * features[:, 0], 0.3 - 0.5 * features[:, 2]])
    outcome = features[:, 1] + effect[np.arange(PATIENTS), arms] + rng.normal(size=PATIENTS)
    return features, arms, outcome.round(4)


def case(seed: int) -> dict:
    """Return one trial, the models' predictions for it, and what DRTester says of it."""
    earlier, judged = trial(seed), trial(seed + 100)
    tester = DRTester(
        model_regression=LinearRegression(),
        model_propensity=LogisticRegression(C=1.0, max_iter=1000),
        cate=Guess(),
    )
    tester.fit_nuisance(*judged, *earlier)
    predicted, propensity = tester.fit_nuisance_train(*earlier, judged[0])
    # Thresholds at every patient judged: then the sums are over every share.
    tester.get_cate_preds(judged[0], judged[0])
    percentiles = np.arange(PATIENTS + 1) / PATIENTS * 100.0
    np.random.seed(0)  # noqa: NPY002  (its bands draw from the global generator)
    toc = tester.evaluate_uplift(percentiles=percentiles, metric="toc", n_bootstrap=2)
    qini = tester.evaluate_uplift(percentiles=percentiles, metric="qini", n_bootstrap=2)
    line = tester.evaluate_blp()
    bins = tester.evaluate_cal(n_groups=4)
    return {
        "arms": judged[1].tolist(),
        "outcome": judged[2].tolist(),
        "propensity": propensity.tolist(),
        "predicted": predicted.tolist(),
        "benefit": tester.cate_preds_val_.tolist(),
        "expected": {
            "gain": tester.dr_val_.tolist(),
            "autoc": [float(each) for each in toc.params],
            "autoc_error": [float(each) for each in toc.errs],
            "qini": [float(each) for each in qini.params],
            "qini_error": [float(each) for each in qini.errs],
            "toc": [toc.curves[arm]["value"].tolist() for arm in (1, 2)],
            "slope": [float(each) for each in line.params],
            "slope_error": [float(each) for each in line.errs],
            "bin_gain": [bins.plot_data_dict[arm]["gate"].tolist() for arm in (1, 2)],
            "bin_benefit": [bins.plot_data_dict[arm]["g_cate"].tolist() for arm in (1, 2)],
        },
    }


def main() -> None:
    """Write the cases beside this program."""
    made = {
        "made_by": {name: version(name) for name in ("econml", "scikit-learn", "numpy")},
        "cases": [case(0), case(1)],
    }
    Path(__file__).with_name("uplift.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
