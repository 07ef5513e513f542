"""A paired difference is that of the metric, and its interval narrows around what is certain."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.errors import CohortError
from omics_twin.evaluate.design import Outcome
from omics_twin.evaluate.metrics import roc_auc
from omics_twin.evaluate.paired import LOSS, headline, paired_difference, paired_loss
from omics_twin.evaluate.score import score
from omics_twin.intake.declaration import OutcomeKind


def outcome(kind: OutcomeKind, patients: int = 80) -> tuple[Outcome, np.ndarray, np.ndarray]:
    """Return an outcome with good and poor predictions of two repeats."""
    generator = np.random.default_rng(0)
    risk = generator.normal(size=patients)
    noisy = risk + 2.0 * generator.normal(size=(2, patients))
    close = risk + 0.3 * generator.normal(size=(2, patients))
    if kind is OutcomeKind.BINARY:
        found = Outcome(kind, (risk > 0).astype(float))
        return found, 1 / (1 + np.exp(-close)), 1 / (1 + np.exp(-noisy))
    if kind is OutcomeKind.CONTINUOUS:
        return Outcome(kind, risk), close, noisy
    grid = np.array([1.0, 2.0, 3.0])
    found = Outcome(kind, np.exp(-risk), np.ones(patients, dtype=bool), grid)
    curves = [np.exp(-np.exp(each)[..., None] * grid) for each in (close, noisy)]
    return found, curves[0], curves[1]


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_the_better_learner_is_better_and_a_learner_equals_itself(kind: OutcomeKind) -> None:
    truth, close, noisy = outcome(kind)
    found = paired_difference(truth, close, noisy, resamples=60)
    pairs = zip(close, noisy, strict=True)
    expected = np.mean([headline(truth, a) - headline(truth, b) for a, b in pairs])
    assert found.mean == pytest.approx(expected)
    assert 0.0 < found.lower < found.mean < found.upper
    same = paired_difference(truth, close, close, resamples=10)
    assert (same.mean, same.lower, same.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("kind", list(OutcomeKind))
def test_a_difference_of_losses_is_that_of_the_scores(kind: OutcomeKind) -> None:
    truth, close, noisy = outcome(kind)
    found = paired_loss(truth, close, noisy, resamples=60)
    losses = [[score(truth, each)[LOSS[kind]] for each in learner] for learner in (close, noisy)]
    assert found.mean == pytest.approx(np.mean(losses[0]) - np.mean(losses[1]))
    assert found.lower < found.mean < found.upper < 0.0


def test_counting_pairs_is_the_auc_of_the_drawn_patients() -> None:
    truth, close, noisy = outcome(OutcomeKind.BINARY)
    found = paired_difference(truth, close[:1], noisy[:1], resamples=50, seed=4)
    generator = np.random.default_rng([4, 31])
    drawn = []
    for _ in range(50):
        rows = generator.choice(np.arange(80), size=80)
        values = truth.values[rows]
        drawn.append(roc_auc(close[0, rows], values) - roc_auc(noisy[0, rows], values))
    assert found.lower == pytest.approx(np.quantile(drawn, 0.025))


def test_too_few_patients_are_refused() -> None:
    truth, close, noisy = outcome(OutcomeKind.BINARY)
    close[:, 1:] = np.nan
    with pytest.raises(CohortError, match="1 patients have both predictions"):
        paired_difference(truth, close, noisy)
    one_case = Outcome(OutcomeKind.BINARY, np.zeros(3))
    with pytest.raises(CohortError, match="hardly differ"):
        paired_difference(one_case, np.full((1, 3), 0.5), np.full((1, 3), 0.5), resamples=5)
