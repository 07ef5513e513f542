"""Make ``horizons.json`` with scikit-survival, lifelines and statsmodels; run by hand.

What is judged at horizons and over curves, competing risks, late entries and Cox's likelihood.
Net benefit and D-calibration are written out patient by patient after the papers.
Run: ``python tests/reference/make_horizons.py``.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from lifelines import AalenJohansenFitter, CoxPHFitter, KaplanMeierFitter
from scipy.stats import chisquare
from sksurv.metrics import concordance_index_censored, cumulative_dynamic_auc
from sksurv.nonparametric import cumulative_incidence_competing_risks
from sksurv.util import Surv
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

GRID = np.array([20.0, 40.0, 60.0, 90.0])
HORIZON = 60.0
THRESHOLDS = np.array([0.1, 0.3, 0.5, 0.7])


def drawn(seed: int, patients: int, digits: int) -> dict[str, np.ndarray]:
    """Return one cohort, rounded to make ties; entries lie between the rounded times."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(patients, 3)).round(3)
    rates = np.column_stack([np.exp(features[:, 0]), np.full(patients, 0.5)]) / 100
    onset = rng.exponential(1 / rates.sum(axis=1))
    kind = 1 + (rng.random(patients) > rates[:, 0] / rates.sum(axis=1))
    leaving = rng.uniform(20, 250, patients)
    time = np.minimum(onset, leaving).round(digits) + 2.0
    cause = np.where(onset <= leaving, kind, 0)
    steps = np.floor(rng.random(patients) * (time - 2.0) * 10.0**digits)
    risk = (features[:, 0] + 0.5 * rng.normal(size=patients)).round(1)
    # Curves that cross: their order differs between days.
    shape = np.exp(0.5 * features[:, 1])[:, None]
    days = np.column_stack([np.tile(GRID, (patients, 1)), time])
    curves = np.exp(-np.exp(risk)[:, None] * (days / 80) ** shape).round(6)
    return {
        "features": features,
        "time": time,
        "cause": cause,
        "entry": np.maximum(2.0 + (steps - 0.5) * 10.0**-digits, 0.0).round(digits + 2),
        "risk": risk,
        "weights": rng.uniform(0.5, 2.0, patients).round(3),
        "curves": curves[:, :-1],
        "at_time": curves[:, -1],
    }


def judged(cohort: dict[str, np.ndarray]) -> dict:
    """Return what scikit-survival and the papers say of predictions."""
    time, event, risk = cohort["time"], cohort["cause"] > 0, cohort["risk"]
    kept = np.flatnonzero(time < time.max())
    observed = Surv.from_arrays(event, time)
    one = cumulative_dynamic_auc(observed, observed[kept], risk[kept], GRID)
    many = cumulative_dynamic_auc(observed, observed[kept], 1 - cohort["curves"][kept], GRID)
    other = cohort["cause"] > 1
    never = np.where(other, time.max() + 1.0, time)
    return {
        "kept": kept.tolist(),
        "auc": one[0].tolist(),
        "auc_mean": one[1],
        "auc_by_day": many[0].tolist(),
        "auc_by_day_mean": many[1],
        "wolbers": concordance_index_censored(cohort["cause"] == 1, never, risk)[0],
        "d_calibration": spread_evenly(cohort["at_time"], event),
        "net_benefit": [worth(cohort, float(each)) for each in THRESHOLDS],
    }


def spread_evenly(at_time: np.ndarray, event: np.ndarray) -> dict:
    """Return the bins of D-calibration, patient by patient (Haider et al. 2020, section 3.5)."""
    bins = np.zeros(10)
    for survival, happened in zip(at_time, event, strict=True):
        own = min(int(survival * 10), 9)
        if happened:
            bins[own] += 1.0
        elif own == 0:
            bins[0] += 1.0
        else:
            bins[own] += (survival - own / 10) / survival
            bins[:own] += 0.1 / survival
    found = chisquare(bins)
    return {"bins": bins.tolist(), "statistic": found.statistic, "p": found.pvalue}


def worth(cohort: dict[str, np.ndarray], threshold: float) -> float:
    """Return the net benefit of acting on a predicted risk (Vickers et al. 2008)."""
    time, event = cohort["time"], cohort["cause"] > 0
    above = 1 - cohort["curves"][:, list(GRID).index(HORIZON)] >= threshold
    alive = KaplanMeierFitter().fit(time[above], event[above]).predict(HORIZON)
    true, false = (1 - alive) * above.mean(), alive * above.mean()
    return float(true - false * threshold / (1 - threshold))


def estimated(cohort: dict[str, np.ndarray]) -> dict:
    """Return survival with late entries and incidence of competing risks."""
    time, cause, entry = (cohort[name] for name in ("time", "cause", "entry"))
    late = SurvfuncRight(time, (cause > 0).astype(int), entry=entry)
    place = np.searchsorted(late.surv_times, GRID, side="right") - 1
    days, incidence = cumulative_incidence_competing_risks(cause, time)
    at = np.searchsorted(days, GRID, side="right") - 1
    found = {
        "late_survival": np.asarray(late.surv_prob)[place].tolist(),
        "late_error": np.asarray(late.surv_prob_se)[place].tolist(),
        "incidence": incidence[1:, at].tolist(),
    }
    if len(np.unique(time)) == len(time):
        fitter = AalenJohansenFitter().fit(time, cause, event_of_interest=1)
        found["incidence_lifelines"] = fitter.predict(GRID).tolist()
        place = np.searchsorted(fitter.variance_.index, GRID, side="right") - 1
        found["incidence_variance"] = fitter.variance_.to_numpy()[place].tolist()
        curve = KaplanMeierFitter().fit(time, cause > 0, entry=entry)
        found["late_survival_lifelines"] = curve.predict(GRID).tolist()
    return found


def calibrated(cohort: dict[str, np.ndarray]) -> list[float]:
    """Return observed survival by lifelines' Cox model of a spline of what was predicted."""
    survival = cohort["curves"][:, list(GRID).index(HORIZON)]
    inner = np.log(-np.log(np.clip(survival, 1e-10, 1 - 1e-10)))
    first, middle, last = np.quantile(inner, [0.1, 0.5, 0.9])
    cubes = [np.maximum(inner - knot, 0.0) ** 3 for knot in (first, middle, last)]
    curved = (
        cubes[0]
        - cubes[1] * (last - first) / (last - middle)
        + cubes[2] * (middle - first) / (last - middle)
    )
    table = pd.DataFrame({"a": inner, "b": curved / (last - first) ** 2})
    table["time"], table["event"] = cohort["time"], cohort["cause"] > 0
    model = CoxPHFitter().fit(table, "time", "event", fit_options={"precision": 1e-12})
    # Read as a step function: lifelines' own prediction interpolates between the events.
    hazard = model.baseline_cumulative_hazard_.loc[:HORIZON].iloc[-1, 0]
    return np.exp(-hazard * model.predict_partial_hazard(table).to_numpy()).tolist()


def likelihoods(cohort: dict[str, np.ndarray]) -> dict:
    """Return Efron's log partial likelihood at lifelines' and statsmodels' own coefficients."""
    table = pd.DataFrame(cohort["features"], columns=["a", "b", "c"])
    table["time"], table["event"] = cohort["time"], cohort["cause"] > 0
    table["entry"], table["w"] = cohort["entry"], cohort["weights"]
    found = {}
    for name, columns in {"plain": {}, "weights": {"w"}, "entry": {"entry"}}.items():
        used = table.drop(columns=[each for each in ("entry", "w") if each not in columns])
        options = {"weights_col": "w"} if "w" in columns else {}
        options |= {"entry_col": "entry"} if "entry" in columns else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = CoxPHFitter().fit(used, "time", "event", **options)
        found[name] = {"coefficients": fit.params_.tolist(), "value": fit.log_likelihood_}
        if name == "plain":
            baseline = fit.baseline_cumulative_hazard_.iloc[:, 0]
            found[name]["centre"] = fit._norm_mean.tolist()
            place = np.searchsorted(baseline.index, GRID, side="right") - 1
            found[name]["baseline"] = baseline.to_numpy()[place].tolist()
    model = PHReg(
        cohort["time"], cohort["features"], cohort["cause"] > 0, cohort["entry"], ties="efron"
    )
    fit = model.fit()
    found["entry_statsmodels"] = {
        "coefficients": np.asarray(fit.params).tolist(),
        "value": float(fit.llf),
    }
    return found


def case(seed: int, patients: int, digits: int) -> dict:
    """Return one cohort and all that is expected of it."""
    cohort = drawn(seed, patients, digits)
    expected = {**judged(cohort), **estimated(cohort), "likelihood": likelihoods(cohort)}
    if digits > 2:
        expected["smooth"] = calibrated(cohort)
    return {**{name: each.tolist() for name, each in cohort.items()}, "expected": expected}


def main() -> None:
    """Write the cases beside this program."""
    packages = ("scikit-survival", "lifelines", "statsmodels", "scipy", "numpy")
    made = {
        "made_by": {name: version(name) for name in packages},
        "grid_days": GRID.tolist(),
        "horizon_days": HORIZON,
        "thresholds": THRESHOLDS.tolist(),
        "cases": [case(0, 120, 6), case(1, 160, 0), case(2, 90, -1)],
    }
    Path(__file__).with_name("horizons.json").write_text(json.dumps(made) + "\n")


if __name__ == "__main__":
    main()
