"""Tumours under confounded treatment: what structure and assimilation are worth, one step ahead.

Usage: python scripts/studies/geng.py [test patients] [seeds] [ahead]
Root mean square error of the next volume under each of four treatments, in percent of the largest
volume; tiers on the same test patients. The twins know the equations, or know them wrongly, with
and without a network that corrects them; one tier is that network alone, with nothing but the
patient's own parameters. With "ahead": the same error one to six days ahead under the benchmark's
random and single treatments, how often 90 % intervals hold, and how often the best of the four
treatments of a day is ranked first.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from omics_twin.dynamics import geng
from omics_twin.twin.corrected import learn_correction
from omics_twin.twin.regression import LinearPopulation, filtered, learn, predicted

SEEDS = (10, 101, 1010, 10101, 101010)
GAMMAS = (0.0, 1.0, 2.0, 3.0, 4.0)
TRAINING = 5000
LARGEST = geng.DEATH
HYBRID, ALONE = "wrong structure and a network", "the network alone"
# Days before of whose doses a network is told.
PAST = 5
# Of its training; four times as many where there are no equations to start from.
STEPS = 400
AHEAD, DRAWS = 6, 200
# Of a volume that is looked ahead from, in cm3: a thousandth of a cell.
SMALLEST = 1e-12
PLANS = RANDOM, SINGLE = "random treatment", "one treatment in five days"
# What each treatment of a day costs, as a share of the present volume: as much as a typical patient
# gains by it, so that the best choice is the patient's own; and how many times that.
COST, TIMES = (0.14, 0.095), (0.5, 1.0, 1.5)


def concentrations(chemo: np.ndarray) -> np.ndarray:
    """Return the concentration of every day, (patient, day)."""
    found = np.zeros_like(chemo)
    found[:, 0] = geng.CHEMO * chemo[:, 0]
    for day in range(1, chemo.shape[1]):
        found[:, day] = found[:, day - 1] / 2.0 + geng.CHEMO * chemo[:, day]
    return found


def features(volumes: np.ndarray, chemo: np.ndarray, radio: np.ndarray, right: bool) -> np.ndarray:
    """Return what multiplies growth, chemo- and radiosensitivity in the relative change.

    Parameters
    ----------
    chemo
        Concentration where the structure is right, the day's dose alone where it is wrong.
    """
    positive = np.where(volumes > 0, volumes, np.nan)
    growth = np.log(geng.CAPACITY / positive) if right else np.ones_like(volumes)
    dose = geng.RADIO * radio
    killed = dose + dose**2 / 10.0
    return np.stack(np.broadcast_arrays(growth, -chemo, -killed), axis=-1)


def history_features(seen: geng.Histories, right: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return features and relative changes of what happened, NaN after the end or a recovery."""
    chemo = concentrations(seen.chemo) if right else geng.CHEMO * seen.chemo
    change = np.full(seen.volumes.shape, np.nan)
    change[:, :-1] = (
        seen.volumes[:, 1:] / np.where(seen.volumes[:, :-1] > 0, seen.volumes[:, :-1], np.nan) - 1
    )
    # A recovered tumour, or one cut off at death, does not tell of the parameters.
    ended = (seen.volumes == 0) | (seen.volumes >= geng.DEATH)
    change[:, :-1][ended[:, 1:]] = np.nan
    return features(seen.volumes, chemo, seen.radio, right), change


def asked_features(seen: geng.Histories, right: bool) -> np.ndarray:
    """Return features of each of the four treatments of every day, (patient, day, action, 3)."""
    before = np.zeros_like(seen.chemo)
    before[:, 1:] = concentrations(seen.chemo)[:, :-1] / 2.0 if right else 0.0
    parts = []
    for chemo, radio in geng.ACTIONS:
        given = before + geng.CHEMO * chemo
        parts.append(features(seen.volumes, given, np.full_like(before, radio), right))
    return np.stack(parts, axis=2)


def moments(kind: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the true parameters of one kind of patients."""
    patients = geng.draw_patients(60_000, np.random.RandomState(7))
    rows = patients.kind == kind + 1
    table = np.stack([patients.rho, patients.beta_c, patients.alpha], axis=1)[rows]
    return table.mean(axis=0), np.cov(table.T)


def error(guess: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square error in percent of the largest volume."""
    asked = np.isfinite(truth) & np.isfinite(guess)
    return float(np.sqrt(np.mean((guess[asked] - truth[asked]) ** 2)) / LARGEST * 100)


def volumes_of(change: np.ndarray, seen: geng.Histories) -> np.ndarray:
    """Return the next volume of a relative change; the benchmark's own can fall below 0."""
    return seen.volumes[..., None] * (1 + change)


def known_before(seen: geng.Histories) -> np.ndarray:
    """Return what a network sees of a day but its treatment: size and doses of days before."""
    size = np.log(np.where(seen.volumes > 0, seen.volumes, 1.0))
    doses = []
    for back in range(1, PAST + 1):
        for given in (seen.chemo, seen.radio):
            before = np.zeros_like(given)
            before[:, back:] = given[:, :-back]
            doses.append(before)
    return np.stack([size, *doses], axis=-1)


def true_prior() -> LinearPopulation:
    """Return what is true of all patients, which no twin is told."""
    true = [moments(each) for each in range(3)]
    return LinearPopulation(
        np.stack([each[0] for each in true]), np.stack([each[1] for each in true]), geng.NOISE**2
    )


class Cohorts(NamedTuple):
    """Patients to learn from and their histories; test patients, and what would come of each day.

    Attributes
    ----------
    truth
        Next volume under each of the four treatments, (patient, day, action).
    """

    training: geng.Patients
    known: geng.Histories
    test: geng.Patients
    seen: geng.Histories
    truth: np.ndarray


def cohorts(gamma: float, seed: int, count: int, *, benchmark: bool = False) -> Cohorts:
    """Return the cohorts of a seed; with ``benchmark`` twice the patients, in its order of draws.

    The benchmark puts 1,000 more aside, on whom it chooses nothing here.
    """
    random = np.random.RandomState(seed)
    training = geng.draw_patients((1 + benchmark) * TRAINING, random)
    known = geng.factual(training, gamma, random)
    if benchmark:
        geng.factual(geng.draw_patients(1000, random), gamma, random)
    test = geng.draw_patients(count, random)
    return Cohorts(training, known, test, *geng.one_step(test, gamma, random))


def tiers(
    gamma: float, seed: int, count: int, *, benchmark: bool = False
) -> tuple[dict[str, float], float]:
    """Return the error of every tier on one test set, and the coverage of 90 % intervals."""
    training, known, test, seen, truth = cohorts(gamma, seed, count, benchmark=benchmark)
    found: dict[str, float] = {
        "persistence": error(np.repeat(seen.volumes[..., None], 4, 2), truth)
    }
    kinds, exact = test.kind - 1, true_prior()
    held = 0.0
    for right in (True, False):
        x, y = history_features(known, right)
        own, change = history_features(seen, right)
        asked = asked_features(seen, right)
        learned = learn(training.kind - 1, x, y, kinds=3)
        name = "right" if right else "wrong"
        for label, population in ((f"learned prior, {name} structure", learned),) + (
            (("true prior (Bayes)", exact),) if right else ()
        ):
            belief = filtered(population, kinds, own, change)
            belief = type(belief)(belief.mean[:, :-1], belief.covariance[:, :-1])
            mean, spread = predicted(belief, asked, population.variance)
            found[label] = error(volumes_of(mean, seen), truth)
            if label.startswith("learned") and right:
                inside = np.abs(truth / seen.volumes[..., None] - 1 - mean) <= 1.645 * spread
                held = float(inside[np.isfinite(truth) & np.isfinite(mean)].mean())
        found[f"population mean, {name} structure"] = error(
            volumes_of(np.einsum("pi,ptai->pta", learned.mean[kinds], asked), seen), truth
        )
        if right:
            pooled, *_ = np.linalg.lstsq(x[np.isfinite(y)], y[np.isfinite(y)], rcond=None)
            found["pooled regression"] = error(volumes_of(asked @ pooled, seen), truth)
            own_true = np.stack([test.rho, test.beta_c, test.alpha], axis=1)
            oracle = np.einsum("pi,ptai->pta", own_true, asked)
            found["oracle"] = error(volumes_of(oracle, seen), truth)
        if not right:
            learning = Case(training.kind - 1, x, y, known)
            testing = Case(kinds, own, change, seen)
            found[HYBRID] = corrected(learned, learning, testing, asked, truth, seed)
            # Without equations every parameter is a level, and the network tells them apart.
            levels = LinearPopulation(
                np.zeros((3, 3)), np.tile(0.1**2 * np.eye(3), (3, 1, 1)), float(np.nanvar(y))
            )
            found[ALONE] = corrected(
                levels,
                learning.levels(),
                testing.levels(),
                np.ones_like(asked),
                truth,
                seed,
                steps=4 * STEPS,
            )
    return found, held


@dataclass(frozen=True)
class Case:
    """Patients with what multiplies their parameters, and how their tumours changed."""

    kinds: np.ndarray
    features: np.ndarray
    change: np.ndarray
    histories: geng.Histories

    def levels(self) -> Case:
        """Return the same patients without equations."""
        return replace(self, features=np.ones_like(self.features))


def corrected(
    start: LinearPopulation,
    learning: Case,
    testing: Case,
    asked: np.ndarray,
    truth: np.ndarray,
    seed: int,
    *,
    steps: int = STEPS,
) -> float:
    """Return the error of equations corrected by a network that is told no equation."""

    def told(histories: geng.Histories) -> np.ndarray:
        given = np.stack([histories.chemo, histories.radio], axis=-1)
        return np.concatenate([known_before(histories), given], axis=-1)

    kinds, x, y = learning.kinds, learning.features, learning.change
    correction = learn_correction(
        start, kinds, x, y, told(learning.histories), steps=steps, seed=seed
    )
    learned = learn(kinds, x + correction(told(learning.histories)), y, kinds=3)
    own = testing.features + correction(told(testing.histories))
    belief = filtered(learned, testing.kinds, own, testing.change)
    belief = type(belief)(belief.mean[:, :-1], belief.covariance[:, :-1])
    before = np.repeat(known_before(testing.histories)[:, :, None], 4, axis=2)
    action = np.broadcast_to(np.array(geng.ACTIONS, dtype=float), (*before.shape[:3], 2))
    asked = asked + correction(np.concatenate([before, action], axis=-1))
    mean, _ = predicted(belief, asked, learned.variance)
    return error(volumes_of(mean, testing.histories), truth)


def several_ahead(gamma: float, seed: int, count: int) -> dict[str, np.ndarray]:
    """Return error and coverage one to six days ahead, and how well treatments are ranked."""
    training, known, test, seen, _ = cohorts(gamma, seed, count)
    learned = learn(training.kind - 1, *history_features(known, True), kinds=3)
    random = np.random.RandomState(seed + 1)
    found = {}
    for name in PLANS:
        found[f"{name}, error"], found[f"{name}, 90 % hold"] = foreseen(
            learned, test, seen, name, random
        )
    return found | {"ranked": ranked((learned, true_prior()), test, gamma, random)}


def foreseen(
    population: LinearPopulation,
    test: geng.Patients,
    seen: geng.Histories,
    plans: str,
    random: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Return error and coverage one to six days after every day of every history.

    What is given on the day is as it was; of the benchmark's ten plans for the five days after,
    one is drawn for every day.
    """
    belief = filtered(population, test.kind - 1, *history_features(seen, True))
    patient, day = np.nonzero(np.arange(seen.volumes.shape[1]) < seen.last[:, None])
    count = len(patient)
    root = np.linalg.cholesky(belief.covariance[patient, day])
    scatter = np.einsum("rij,drj->dri", root, random.randn(DRAWS, count, 3))
    own = belief.mean[patient, day] + scatter
    later = random.randint(0, 2, (AHEAD - 1, 2, count))
    if plans == SINGLE:
        later = np.zeros_like(later)
        which = random.randint(0, AHEAD - 1, count), random.randint(0, 2, count)
        later[(*which, np.arange(count))] = 1
    given = np.concatenate([[[seen.chemo[patient, day], seen.radio[patient, day]]], later])
    dosed = concentrations(seen.chemo)[patient, day] - geng.CHEMO * given[0, 0]
    true = seen.volumes[patient, day]
    drawn = np.tile(true, (DRAWS, 1))
    off, held = [], []
    for ahead, (chemo, radio) in enumerate(given):
        dosed = (dosed / 2.0 if ahead else dosed) + geng.CHEMO * chemo
        noise = geng.NOISE * random.randn(count)
        # As in the benchmark a volume can fall below 0, from where there is no next one.
        with np.errstate(invalid="ignore", divide="ignore"):
            true = geng.step(true, test, dosed, geng.RADIO * radio, noise, patient)
        if not ahead:
            true = seen.volumes[patient, day + 1]
        drawn = np.maximum(drawn, SMALLEST)
        change = np.einsum("dri,dri->dr", own, features(drawn, dosed, radio, True))
        wobble = np.sqrt(population.variance) * random.randn(DRAWS, count)
        drawn = drawn * (1 + change + wobble)
        lower, upper = np.quantile(drawn, [0.05, 0.95], axis=0)
        asked = np.isfinite(true)
        off.append(error(drawn.mean(axis=0), true))
        held.append(((true >= lower) & (true <= upper))[asked].mean())
    return np.array(off), np.array(held)


def ranked(
    populations: tuple[LinearPopulation, ...],
    test: geng.Patients,
    gamma: float,
    random: np.random.RandomState,
) -> np.ndarray:
    """Return how often the best treatment of a day is ranked first, and what is lost if not.

    Returns
    -------
    ranked
        (population, cost, 3): the share, what is lost, and what the choice is worth.
    """
    seen, truth = geng.one_step(test, gamma, random)
    own, asked = history_features(seen, True), asked_features(seen, True)
    true = np.einsum("pi,ptai->pta", np.stack([test.rho, test.beta_c, test.alpha], axis=1), asked)
    found = []
    for each in populations:
        belief = filtered(each, test.kind - 1, *own)
        mean = np.einsum("pti,ptai->pta", belief.mean[:, :-1], asked)
        rows = np.isfinite(truth).all(-1) & np.isfinite(mean).all(-1) & np.isfinite(true).all(-1)
        rows[:, :10] = False
        for times in TIMES:
            cost = times * np.array(geng.ACTIONS) @ COST
            guess, known = mean[rows] + cost, true[rows] + cost
            chosen, least = guess.argmin(axis=1), known.min(axis=1)
            lost = np.take_along_axis(known, chosen[:, None], 1)[:, 0] - least
            first = chosen == known.argmin(axis=1)
            found.append([first.mean(), lost.mean(), (known.mean(1) - least).mean()])
    return np.array(found).reshape(len(populations), len(TIMES), 3)


def main_ahead(count: int, seeds: int) -> None:
    """Print one to six days ahead, and rankings, of every gamma."""
    for gamma in GAMMAS:
        runs = [several_ahead(gamma, seed, count) for seed in SEEDS[:seeds]]
        for name in list(runs[0])[:-1]:
            values = np.array([each[name] for each in runs])
            told = ", ".join(f"{v:.3f}" for v in values.mean(axis=0))
            print(f"gamma {gamma:g}, {name}, 1 to {AHEAD} days ahead: {told}", flush=True)
        mean = np.mean([each["ranked"] for each in runs], axis=0)
        for times, (first, lost, whole), (bound, *_) in zip(TIMES, *mean, strict=True):
            print(
                f"gamma {gamma:g}, from day 10 on, costs x {times:g}: the best treatment ranked "
                f"first {first:.3f} (true prior {bound:.3f}); lost {100 * lost / whole:.2f} % of "
                "what the choice is worth",
                flush=True,
            )


def main(count: int, seeds: int) -> None:
    """Print the table of every gamma."""
    start = time.perf_counter()
    for gamma in GAMMAS:
        runs = [tiers(gamma, seed, count) for seed in SEEDS[:seeds]]
        print(f"gamma {gamma:g}, {count} patients, {seeds} seeds")
        for name in runs[0][0]:
            values = np.array([found[name] for found, _ in runs])
            print(f"  {name:<40} {values.mean():.3f} ± {values.std(ddof=min(1, seeds - 1)):.3f}")
        ratio = np.array(
            [f["learned prior, right structure"] / f["true prior (Bayes)"] for f, _ in runs]
        )
        closed = np.array(
            [
                (f["learned prior, wrong structure"] - f[HYBRID])
                / (f["learned prior, wrong structure"] - f["learned prior, right structure"])
                for f, _ in runs
            ]
        )
        told = ", ".join(f"{100 * each:.0f}" for each in closed)
        print(
            f"  learned / true prior {ratio.mean():.3f}; the network closes "
            f"{100 * closed.mean():.0f} % of the gap (by seed {told}); 90 % intervals hold "
            f"{np.mean([held for _, held in runs]):.3f}",
            flush=True,
        )
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:] if each.isdigit()]
    run = main_ahead if "ahead" in sys.argv else main
    run(*(numbers + [1000, 5][len(numbers) :]))
