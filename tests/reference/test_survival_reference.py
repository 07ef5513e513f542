"""Survival metrics and Cox equal scikit-survival's and lifelines' stored numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omics_twin.evaluate.concordance import concordance, concordance_uno
from omics_twin.evaluate.elastic_net import walk_path
from omics_twin.evaluate.linear_baselines import breslow_hazard
from omics_twin.evaluate.losses import Ties, cox_loss
from omics_twin.evaluate.penalised import fit_path, rotate
from omics_twin.evaluate.survival import (
    brier_at,
    censoring_survival,
    integrated_brier,
    kaplan_meier,
)

CASES = json.loads(Path(__file__).with_name("survival.json").read_text())["cases"]


@pytest.fixture(params=range(len(CASES)))
def case(request):
    """One stored cohort with arrays made of its lists."""
    stored = CASES[request.param]
    arrays = {name: np.array(value) for name, value in stored.items() if name != "expected"}
    return arrays, stored["expected"]


def test_concordance_equals_scikit_survival_and_lifelines(case):
    given, expected = case
    found = concordance(given["risk"], given["time"], given["event"])
    assert found == pytest.approx(expected["concordance_sksurv"], abs=1e-12)
    assert found == pytest.approx(expected["concordance_lifelines"], abs=1e-12)


def test_concordance_of_uno_equals_scikit_survival(case):
    given, expected = case
    train, test = given["train"], given["test"]
    censoring = censoring_survival(given["time"][train], given["event"][train])
    found = concordance_uno(
        given["risk"][test], given["time"][test], given["event"][test], censoring, 100.0
    )
    assert found == pytest.approx(expected["uno"], abs=1e-10)


def test_brier_scores_equal_scikit_survival(case):
    given, expected = case
    train, test = given["train"], given["test"]
    censoring = censoring_survival(given["time"][train], given["event"][train])
    observed = given["time"][test], given["event"][test]
    curves = given["curves"][test]
    for column, day in enumerate(given["grid_days"]):
        found = brier_at(curves[:, column], *observed, day, censoring)
        assert found == pytest.approx(expected["brier"][column], abs=1e-10)
    found = integrated_brier(curves, given["grid_days"], *observed, censoring)
    assert found == pytest.approx(expected["integrated_brier"], abs=1e-10)


def test_kaplan_meier_equals_lifelines(case):
    given, expected = case
    found = kaplan_meier(given["time"], given["event"]).at(given["grid_days"])
    np.testing.assert_allclose(found, expected["kaplan_meier"], atol=1e-10)


@pytest.mark.parametrize("ties", list(Ties))
def test_ridge_cox_equals_scikit_survival(case, ties):
    given, expected = case
    features, time, event = given["features"], given["time"], given["event"]
    loss, order = cox_loss(time, event == 1, ties)
    rotation = rotate(features[order])
    penalty = np.array([float(given["penalty"])])
    everyone = np.ones((len(time), 1))
    fit = fit_path(rotation, loss, everyone, penalty, intercept=False, tolerance=1e-18)
    coefficients = rotation.coefficients(fit.rotated)[:, 0]
    np.testing.assert_allclose(coefficients, expected[f"cox_{ties.value}"], atol=1e-7)
    if ties is Ties.BRESLOW:
        # scikit-survival does not centre the features; Breslow's baseline belongs to zero.
        hazard = breslow_hazard(features @ coefficients, time, event, given["grid_days"])
        np.testing.assert_allclose(hazard, expected["cox_cumulative_hazard"], rtol=1e-6)


def test_elastic_net_cox_equals_scikit_survival(case):
    given, expected = case
    loss, order = cox_loss(given["time"], given["event"] == 1, Ties.BRESLOW)
    everyone, penalties = np.ones((len(order), 1)), np.array([[40.0], [10.0]])
    *_, fit = walk_path(
        given["features"][order],
        loss,
        everyone,
        np.array([0.5]),
        penalties,
        intercept=False,
        tolerance=1e-18,
    )
    np.testing.assert_allclose(fit.coefficients[:, 0], expected["cox_elastic_net"], atol=1e-7)
