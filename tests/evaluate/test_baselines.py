"""Baselines learn what is there, see nothing held out, and refuse what they cannot fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omics_twin.errors import CohortError, ConfigError, TrainingError
from omics_twin.evaluate.baselines import NAMES, baselines_for, fit_baseline, fit_predict_folds
from omics_twin.evaluate.concordance import concordance
from omics_twin.evaluate.design import Design, Outcome, fit_recipe
from omics_twin.evaluate.losses import LogisticLoss
from omics_twin.evaluate.metrics import r2, roc_auc
from omics_twin.evaluate.penalised import fit_members, rotate
from omics_twin.intake.declaration import OutcomeKind

PATIENTS = 400
GRID = np.array([10.0, 50.0, 100.0, 200.0])


def _design(seed: int = 0, wide: int = 0) -> Design:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(PATIENTS, 6 + wide))
    values[:, 5] = values[:, 5] > 0.5
    values[rng.random(PATIENTS) < 0.2, 3] = np.nan
    return Design(
        values=values,
        names=tuple(f"f{column}" for column in range(6 + wide)),
        modality=("clinical",) * 6 + ("expression",) * wide,
        binary=np.arange(6 + wide) == 5,
        arms=rng.integers(0, 3, PATIENTS),
        arm_names=("control", "control + x", "control + y"),
        agents=np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]),
        agent_names=("control", "x", "y"),
    )


def narrow(kind: OutcomeKind) -> tuple[str, ...]:
    """Return the baselines that need no wide modality."""
    return baselines_for(kind, _design())


def _score(design: Design) -> np.ndarray:
    """Feature 0 is prognostic; feature 1 tells who gains from x and who from y."""
    gain = np.array([[0.0], [2.0], [-2.0]])[design.arms, 0] * design.values[:, 1]
    return 1.5 * design.values[:, 0] + gain


def _outcome(kind: OutcomeKind, score: np.ndarray, seed: int = 1) -> Outcome:
    rng = np.random.default_rng(seed)
    if kind is OutcomeKind.BINARY:
        return Outcome(kind, (score + rng.logistic(size=len(score)) > 0).astype(float))
    if kind is OutcomeKind.CONTINUOUS:
        return Outcome(kind, score + rng.normal(size=len(score)))
    onset = rng.exponential(100.0 * np.exp(-score))
    leaving = rng.uniform(50.0, 400.0, len(score))
    return Outcome(kind, np.minimum(onset, leaving), onset <= leaving, GRID)


def _merit(outcome: Outcome, predicted: np.ndarray) -> float:
    if outcome.kind is OutcomeKind.BINARY:
        return roc_auc(predicted, outcome.values)
    if outcome.kind is OutcomeKind.CONTINUOUS:
        return r2(predicted, outcome.values)
    return concordance(-predicted.mean(axis=-1), outcome.values, outcome.event)


def _folds(repeats: int = 1, folds: int = 4) -> np.ndarray:
    rng = np.random.default_rng(9)
    return np.array([rng.permutation(PATIENTS) % folds for _ in range(repeats)])


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in OutcomeKind for name in narrow(k)])
def test_a_baseline_learns_and_predicts_every_held_out_patient(kind, name):
    design = _design()
    outcome = _outcome(kind, _score(design))
    found = fit_predict_folds(name, design, outcome, _folds(), seed=0, every_arm=True)
    assert np.isfinite(found.received).all()
    least = {OutcomeKind.CONTINUOUS: 0.25}.get(kind, 0.68)
    assert _merit(outcome, found.received[0]) > least
    received = found.every_arm[0, np.arange(PATIENTS), design.arms]
    np.testing.assert_allclose(received, found.received[0], atol=1e-9)
    if kind is OutcomeKind.TIME_TO_EVENT:
        assert found.received.shape == (1, PATIENTS, len(GRID))
        assert (np.diff(found.received, axis=-1) <= 1e-12).all()
    if kind is not OutcomeKind.CONTINUOUS:
        assert 0.0 <= found.received.min() <= found.received.max() <= 1.0


@pytest.mark.parametrize("name", ["ridge_cox", "survival_trees"])
def test_survival_at_a_day_does_not_depend_on_the_other_days_asked(name):
    design = _design()
    outcome = _outcome(OutcomeKind.TIME_TO_EVENT, _score(design))
    longer = replace(outcome, grid_days=np.append(GRID, [350.0, 2000.0]))
    few, many = (
        fit_predict_folds(name, design, each, _folds(folds=2), seed=0).received
        for each in (outcome, longer)
    )
    np.testing.assert_allclose(many[..., : len(GRID)], few, atol=1e-12)


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_interactions_find_who_gains_from_what(kind):
    design = _design()
    outcome = _outcome(kind, _score(design))
    plain, crossed = NAMES[kind][:2]
    merits = []
    for name in (plain, crossed):
        found = fit_predict_folds(name, design, outcome, _folds(), seed=0, every_arm=True)
        merits.append(_merit(outcome, found.received[0]))
    assert merits[1] > merits[0] + 0.03
    better = found.every_arm[0, :, 1] > found.every_arm[0, :, 2]
    better = better[:, 1] if kind is OutcomeKind.TIME_TO_EVENT else better
    right = (design.values[:, 1] > 0) != (kind is OutcomeKind.TIME_TO_EVENT)
    assert (better == right).mean() > 0.85


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in OutcomeKind for name in NAMES[k]])
def test_a_wide_modality_is_taken(kind, name):
    design = _design(wide=210)
    outcome = _outcome(kind, 2.0 * design.values[:, 0])
    found = fit_predict_folds(name, design, outcome, _folds(folds=2), seed=0)
    assert _merit(outcome, found.received[0]) > (0.2 if kind is OutcomeKind.CONTINUOUS else 0.65)


@pytest.mark.parametrize("name", narrow(OutcomeKind.BINARY))
def test_a_feature_that_knows_the_outcome_of_the_held_out_only_does_not_help(name):
    design = _design()
    noise = _outcome(OutcomeKind.BINARY, np.zeros(PATIENTS))
    folds = np.zeros((1, PATIENTS), dtype=int) - 1
    folds[0, :150] = 0
    planted = noise.values.copy()
    for label in (0.0, 1.0):  # in training as common in one class as in the other
        among = 150 + np.flatnonzero(noise.values[150:] == label)
        planted[among] = np.arange(len(among)) % 2
    values = np.column_stack([design.values[:, 1:], planted])
    leaky = replace(design, values=values)
    found = fit_predict_folds(name, leaky, noise, folds, seed=0).received[0]
    area = roc_auc(found[:150], noise.values[:150])
    assert np.isnan(found[150:]).all()
    assert area < 0.65


@pytest.mark.parametrize("name", NAMES[OutcomeKind.BINARY])
def test_predictions_do_not_depend_on_held_out_outcomes_or_on_other_held_out_patients(name):
    design = _design(wide=110)
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    folds = np.full((1, PATIENTS), -1)
    folds[0, :100] = 0
    before = fit_predict_folds(name, design, outcome, folds, seed=0).received
    turned, moved = outcome.values.copy(), design.values.copy()
    turned[:100] = 1.0 - turned[:100]
    moved[50:100] = 1e3
    after = fit_predict_folds(
        name, replace(design, values=moved), replace(outcome, values=turned), folds, seed=0
    ).received
    np.testing.assert_array_equal(before[0, :50], after[0, :50])


@pytest.mark.parametrize("name", narrow(OutcomeKind.BINARY))
def test_shuffled_labels_give_an_area_of_one_half(name):
    design = _design()
    areas = []
    for seed in range(6):
        noise = _outcome(OutcomeKind.BINARY, np.zeros(PATIENTS), seed=100 + seed)
        folds = np.full((1, PATIENTS), -1)
        folds[0, :200] = 0
        found = fit_predict_folds(name, design, noise, folds, seed=seed).received[0, :200]
        areas.append(roc_auc(found, noise.values[:200]))
    standard_error = np.sqrt(401 / (12 * 100 * 100) / 6)
    assert abs(np.mean(areas) - 0.5) < 2 * standard_error


def test_a_patient_without_an_outcome_is_predicted_and_not_trained_on():
    design = _design()
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    unknown = outcome.values.copy()
    unknown[:40] = np.nan
    found = fit_predict_folds(
        "logistic", design, replace(outcome, values=unknown), _folds(), seed=0
    )
    assert np.isfinite(found.received).all()


def test_a_patient_whose_arm_is_not_known_is_predicted():
    design = _design()
    arms = design.arms.copy()
    arms[:30] = -1
    unknown = replace(design, arms=arms)
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    found = fit_predict_folds("logistic_interactions", unknown, outcome, _folds(), seed=0)
    assert np.isfinite(found.received).all()


def test_the_same_seed_gives_the_same_answer_and_progress_is_told():
    design = _design()
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    told = []
    folds = _folds(repeats=2)
    first, second = (
        fit_predict_folds(
            "trees", design, outcome, folds, seed=3, progress=lambda *each: told.append(each)
        ).received
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert told[:8] == [(done, 8) for done in range(1, 9)]


def test_imputation_scaling_and_components_come_from_training_patients():
    design = _design(wide=110)
    train = np.arange(100)
    moved = design.values.copy()
    moved[100:] += 50.0
    before = fit_recipe(design, train, components=20)
    after = fit_recipe(replace(design, values=moved), train, components=20)
    np.testing.assert_array_equal(before.median, after.median)
    np.testing.assert_array_equal(before.scale, after.scale)
    np.testing.assert_array_equal(before.loadings["expression"][1], after.loadings["expression"][1])


def test_a_feature_never_measured_in_training_is_harmless():
    design = _design()
    values = design.values.copy()
    values[:, 2] = np.nan
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    for name in narrow(OutcomeKind.BINARY):
        empty = replace(design, values=values)
        found = fit_predict_folds(name, empty, outcome, _folds(folds=2), seed=0)
        assert np.isfinite(found.received).all()


def test_an_elastic_net_chooses_few_and_components_replace_a_wide_modality():
    design = _design(wide=210)
    outcome = _outcome(OutcomeKind.BINARY, 2.0 * design.values[:, 0])
    train = np.arange(300)
    sparse = fit_baseline("elastic_net_logistic", design, outcome, train, seed=0)
    assert sparse.mixing in (0.1, 0.5, 1.0)
    assert 0 < (sparse.coefficients != 0.0).sum() < 100
    few = fit_baseline("pca_logistic", design, outcome, train, seed=0)
    arms, clinical, missing = 3, 6, 1
    assert len(few.coefficients) == arms + clinical + few.blocks.components + missing
    assert few.blocks.components in (5, 10, 20, 40)


@pytest.mark.usefixtures("unchecked")
def test_errors_say_what_was_found_and_what_to_do():
    design = _design()
    outcome = _outcome(OutcomeKind.BINARY, _score(design))
    with pytest.raises(ConfigError, match="unknown baseline 'logistc'.*did you mean 'logistic'"):
        fit_predict_folds("logistc", design, outcome, _folds(), seed=0)
    with pytest.raises(ConfigError, match="more than 100 features.*has none; use 'logistic'"):
        fit_predict_folds("pca_logistic", design, outcome, _folds(), seed=0)
    with pytest.raises(CohortError, match="folds cover 3 patients"):
        fit_predict_folds("logistic", design, outcome, np.zeros((1, 3), dtype=int), seed=0)
    one_class = replace(outcome, values=np.zeros(PATIENTS))
    with pytest.raises(CohortError, match="0 patients of the rarer class"):
        fit_predict_folds("logistic", design, one_class, _folds(), seed=0)
    with pytest.raises(CohortError, match="binary outcome holds 2"):
        replace(outcome, values=np.full(PATIENTS, 2.0))
    with pytest.raises(CohortError, match="needs 'event'"):
        Outcome(OutcomeKind.TIME_TO_EVENT, outcome.values)
    with pytest.raises(CohortError, match="a binary outcome has no events"):
        _ = outcome.followed
    with pytest.raises(CohortError, match="outcome.event has 1 patients"):
        Outcome(OutcomeKind.TIME_TO_EVENT, outcome.values, np.array([True]), GRID)
    with pytest.raises(CohortError, match="-3 days"):
        Outcome(OutcomeKind.TIME_TO_EVENT, np.array([-3.0]), np.array([True]), GRID)


def test_a_design_whose_parts_do_not_fit_is_refused():
    design = _design()
    with pytest.raises(CohortError, match="design.names has length 1, expected 6"):
        replace(design, names=("a",))
    with pytest.raises(CohortError, match="indices from 7 to 7"):
        replace(design, arms=np.full(PATIENTS, 7))
    infinite = design.values.copy()
    infinite[0, 0] = np.inf
    with pytest.raises(CohortError, match="'f0' hold infinite"):
        replace(design, values=infinite)


def test_a_fit_that_does_not_converge_says_so():
    rng = np.random.default_rng(0)
    loss = LogisticLoss((rng.random(30) > 0.5).astype(float))
    rotation = rotate(rng.normal(size=(30, 3)))
    with pytest.raises(TrainingError, match="1 of 1 penalised fits did not converge in 1 steps"):
        fit_members(rotation, loss, np.ones((30, 1)), np.array([0.1]), most_steps=1)
