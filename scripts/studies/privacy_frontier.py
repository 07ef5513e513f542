"""What hides training patients at which price, of logistic regression: less of it costs more.

    python scripts/studies/privacy_frontier.py experiment=ispy2_response split.repeats=3

The default twin is mostly linear, so what can be had there can be tried in seconds here. One line
for each of: stronger shrinkage; learning from out-of-fold predictions instead of outcomes (Tang et
al. 2022, arXiv:2110.08324); noise in the shape of the posterior, a share of its variance (Wang,
Fienberg & Smola 2015, arXiv:1502.07645); and secret weights of the patients, of some variance
(Newton & Raftery 1994). With noise, the mean over draws.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy import ndarray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from omics_twin import config
from omics_twin.asked import read_cohort
from omics_twin.evaluate.design import Design, fit_recipe
from omics_twin.evaluate.membership import Answered, attacked, fit_of_response
from omics_twin.evaluate.metrics import summarise
from omics_twin.evaluate.score import score
from omics_twin.judged.predictions import baseline_design
from omics_twin.report.console import Console
from omics_twin.training import tasks
from omics_twin.trust.consent import Purpose

Learner = Callable[[ndarray, ndarray, ndarray], list[ndarray]]
"""From features and outcomes of all, and who is learned from, to everyone's chance in each draw."""

_INTERACTIONS, _DRAWS = 0.3, 3
_RNG = np.random.default_rng(0)


def features(design: Design, train: ndarray, interactions: float) -> ndarray:
    """Return standardised measurements, arms and their products, (patient, column)."""
    recipe = fit_recipe(design, train, components=0)
    values, arms = recipe.standardised(design.values), recipe.arms(design.arms)
    products = recipe.therapies(design.arms)[:, :, None] * values[:, None, :]
    return np.hstack([values, arms, interactions * products.reshape(len(values), -1)])


def _fitted(
    x: ndarray, y: ndarray, penalty: float, weights: ndarray | None = None
) -> LogisticRegression:
    return LogisticRegression(C=1.0 / penalty, max_iter=500).fit(x, y, sample_weight=weights)


def shrunk(penalty: float) -> Learner:
    """Return ridge regression."""
    return lambda x, y, rows: [_fitted(x[rows], y[rows], penalty).predict_proba(x)[:, 1]]


def distilled(teacher: float, student: float) -> Learner:
    """Return ridge regression on the predictions of others that did not see the patient."""

    def learn(x: ndarray, y: ndarray, rows: ndarray) -> list[ndarray]:
        own, told = x[rows], np.zeros(len(rows))
        for seen, unseen in KFold(5, shuffle=True, random_state=0).split(rows):
            fitted = _fitted(own[seen], y[rows[seen]], teacher)
            told[unseen] = fitted.predict_proba(own[unseen])[:, 1]
        both = np.repeat([1.0, 0.0], len(rows))
        soft = np.concatenate([told, 1.0 - told])
        return [_fitted(np.vstack([own, own]), both, student, soft).predict_proba(x)[:, 1]]

    return learn


def noisy(penalty: float, share: float) -> Learner:
    """Return draws from the normal posterior with a share of its variance."""

    def learn(x: ndarray, y: ndarray, rows: ndarray) -> list[ndarray]:
        fitted = _fitted(x[rows], y[rows], penalty)
        chance = fitted.predict_proba(x[rows])[:, 1]
        curvature = (x[rows].T * (chance * (1.0 - chance))) @ x[rows]
        root = np.linalg.cholesky(np.linalg.inv(curvature + penalty * np.eye(x.shape[1])))
        draws = np.sqrt(share) * root @ _RNG.normal(size=(x.shape[1], _DRAWS))
        return [expit(x @ (fitted.coef_[0] + each) + fitted.intercept_[0]) for each in draws.T]

    return learn


def weighted(penalty: float, variance: float) -> Learner:
    """Return fits in which patients count with random weights of mean 1."""

    def learn(x: ndarray, y: ndarray, rows: ndarray) -> list[ndarray]:
        drawn = _RNG.gamma(1.0 / variance, variance, size=(_DRAWS, len(rows)))
        return [_fitted(x[rows], y[rows], penalty, each).predict_proba(x)[:, 1] for each in drawn]

    return learn


def learners() -> Iterator[tuple[str, float, Learner]]:
    """Yield name, scale of therapy x marker products, and learner."""
    for penalty in (30.0, 100.0, 300.0, 1000.0):
        yield f"main effects, penalty {penalty:g}", 0.0, shrunk(penalty)
    for penalty in (30.0, 100.0):
        yield f"interactions, penalty {penalty:g}", _INTERACTIONS, shrunk(penalty)
    for teacher, student in ((30.0, 3.0), (100.0, 3.0)):
        yield f"main effects, distilled {teacher:g} {student:g}", 0.0, distilled(teacher, student)
    for penalty, share in ((30.0, 0.15), (60.0, 0.15), (100.0, 0.15), (100.0, 1.0), (100.0, 3.0)):
        yield f"interactions, penalty {penalty:g}, noise {share:g}", 0.2, noisy(penalty, share)
    yield "interactions, penalty 60, weights 0.3", _INTERACTIONS, weighted(60.0, 0.3)


def main(arguments: list[str]) -> None:
    console = Console()
    asked = config.load("train", [*arguments, "tracking=off"])
    task = tasks.task_of(read_cohort(asked, console, Purpose.TRAINING), asked, console)
    design, outcome = baseline_design(task), task.outcome
    twins = [(r, k) for r, folds in enumerate(task.held_out) for k in range(folds.max() + 1)]
    inside = np.array([task.held_out[repeat] != fold for repeat, fold in twins])
    group = np.array([repeat for repeat, _ in twins])
    for name, interactions, learn in learners():
        told = []
        for mask in inside:
            rows = np.flatnonzero(mask)
            told.append(learn(features(design, rows, interactions), outcome.values, rows))
        scores, advantages = [], []
        for answers in np.array(told).swapaxes(0, 1):
            out = np.array([np.where(inside, np.nan, answers)[group == g] for g in set(group)])
            scores += [score(outcome, each) for each in np.nansum(out, axis=1)]
            signal = fit_of_response(answers, outcome.values)
            advantages.append(attacked(Answered(signal, inside, group), seed=0)["advantage"])
        found = summarise(scores)
        numbers = ", ".join(f"{key} {found[key]['mean']:.3f}" for key in ("auc", "log_loss", "ece"))
        print(f"{name}: {numbers}, advantage {np.mean(advantages):.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
