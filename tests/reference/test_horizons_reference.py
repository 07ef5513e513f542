"""Judging at horizons, competing risks and late entries equal other programs' stored numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omics_twin.evaluate.competing import aalen_johansen, concordance_competing
from omics_twin.evaluate.dynamic_auc import dynamic_auc
from omics_twin.evaluate.net_benefit import survival_decision_curve
from omics_twin.evaluate.survival import censoring_survival, kaplan_meier
from omics_twin.evaluate.survival_calibration import d_calibration, smooth_calibration
from omics_twin.models.partial_likelihood import breslow_hazard, cox_partial_likelihood

STORED = json.loads(Path(__file__).with_name("horizons.json").read_text())
GRID = np.array(STORED["grid_days"])
HORIZON = STORED["horizon_days"]


@pytest.fixture(params=range(len(STORED["cases"])))
def case(request):
    """One stored cohort with arrays made of its lists, and what is expected."""
    stored = STORED["cases"][request.param]
    arrays = {name: np.array(value) for name, value in stored.items() if name != "expected"}
    return {**arrays, "event": (arrays["cause"] > 0).astype(float)}, stored["expected"]


def test_the_auc_at_each_day_equals_scikit_survival(case):
    given, expected = case
    censoring = censoring_survival(given["time"], given["event"])
    kept = expected["kept"]
    observed = given["time"][kept], given["event"][kept], GRID, censoring
    for risk, name in ((given["risk"], "auc"), (1 - given["curves"], "auc_by_day")):
        found = dynamic_auc(risk[kept], *observed)
        np.testing.assert_allclose(found.auc, expected[name], atol=1e-12)
        assert found.mean == pytest.approx(expected[f"{name}_mean"], abs=1e-12)


def test_the_concordance_of_wolbers_equals_scikit_survival(case):
    given, expected = case
    found = concordance_competing(given["risk"], given["time"], given["cause"])
    assert found == pytest.approx(expected["wolbers"], abs=1e-12)


def test_incidence_equals_scikit_survival_and_lifelines(case):
    given, expected = case
    for of in (1, 2):
        found = aalen_johansen(given["time"], given["cause"], of)
        np.testing.assert_allclose(found.at(GRID), expected["incidence"][of - 1], atol=1e-12)
    if "incidence_lifelines" in expected:
        found = aalen_johansen(given["time"], given["cause"])
        np.testing.assert_allclose(found.at(GRID), expected["incidence_lifelines"], atol=1e-10)
        place = np.searchsorted(found.days, GRID, side="right") - 1
        variance = found.standard_error[place] ** 2
        np.testing.assert_allclose(variance, expected["incidence_variance"], atol=1e-10)


def test_kaplan_meier_with_late_entries_equals_statsmodels_and_lifelines(case):
    given, expected = case
    found = kaplan_meier(given["time"], given["event"], given["entry"])
    np.testing.assert_allclose(found.at(GRID), expected["late_survival"], atol=1e-12)
    np.testing.assert_allclose(found.error_at(GRID), expected["late_error"], atol=1e-12)
    if "late_survival_lifelines" in expected:
        np.testing.assert_allclose(found.at(GRID), expected["late_survival_lifelines"], atol=1e-10)


def test_d_calibration_equals_the_paper_patient_by_patient(case):
    given, expected = case
    found = d_calibration(given["at_time"], given["event"])
    np.testing.assert_allclose(found.patients, expected["d_calibration"]["bins"], atol=1e-10)
    assert found.statistic == pytest.approx(expected["d_calibration"]["statistic"], abs=1e-10)
    assert found.p_value == pytest.approx(expected["d_calibration"]["p"], abs=1e-12)


def test_net_benefit_equals_the_formula_with_kaplan_meier_of_lifelines(case):
    given, expected = case
    survival = given["curves"][:, list(GRID).index(HORIZON)]
    observed = given["time"], given["event"], HORIZON
    found = survival_decision_curve(survival, *observed, STORED["thresholds"])
    np.testing.assert_allclose(found.model, expected["net_benefit"], atol=1e-10)


def test_the_smooth_calibration_equals_a_cox_model_of_lifelines(case):
    given, expected = case
    if "smooth" not in expected:
        # Breslow's handling of ties here, Efron's there.
        assert len(np.unique(given["time"])) < len(given["time"])
        return
    survival = given["curves"][:, list(GRID).index(HORIZON)]
    found = smooth_calibration(survival, given["time"], given["event"], HORIZON)
    np.testing.assert_allclose(found.observed, expected["smooth"], atol=2e-5)


@pytest.mark.parametrize("name", ["plain", "weights", "entry", "entry_statsmodels"])
def test_efrons_likelihood_equals_lifelines_and_statsmodels(case, name):
    given, expected = case
    stored = expected["likelihood"][name]
    predictor = torch.tensor(given["features"] @ np.array(stored["coefficients"]))[None]
    time, event = torch.tensor(given["time"]), torch.tensor(given["event"])
    weights = torch.tensor(given["weights"])[None] if name == "weights" else None
    entry = torch.tensor(given["entry"]) if name.startswith("entry") else None
    loss = cox_partial_likelihood(predictor, time, event, weights, entry)
    total = float((loss if weights is None else loss * weights).sum())
    assert total == pytest.approx(-stored["value"], abs=1e-8)


def test_the_baseline_of_breslow_equals_lifelines(case):
    given, expected = case
    stored = expected["likelihood"]["plain"]
    centred = given["features"] - np.array(stored["centre"])
    predictor = torch.tensor(centred @ np.array(stored["coefficients"]))[None]
    time, event = torch.tensor(given["time"]), torch.tensor(given["event"])
    found = breslow_hazard(predictor, time, event, torch.tensor(GRID))[0]
    np.testing.assert_allclose(found, stored["baseline"], atol=1e-10)
