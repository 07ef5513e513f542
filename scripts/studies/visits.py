"""How often intervals of an event's probability hold it, in cohorts whose truth is known.

Usage: python scripts/studies/visits.py [cohorts] [patients]

A marker wanders and moves the monthly risk of an event; a second one and a sign tell nothing. Twins
of visits are trained on each cohort and asked about new patients on day 360, all visits until then.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from omics_twin.config import Config, load
from omics_twin.report.console import Console
from omics_twin.tensors.history import Histories
from omics_twin.twin.draws import weighted_mean, weighted_quantile
from omics_twin.twin.visits import VisitTwin
from omics_twin.types import NO_INTERVENTION, Modality
from omics_twin.visits import landmarks, learning
from omics_twin.visits.learning import Followed

Array = np.ndarray
_MODALITY = Modality("laboratory", "mixed", ("marker", "other", "sign"))
_MONTH, _EVERY, _MONTHS, _LANDMARK, _HORIZON = 30.0, 6, 60, 360.0, 720.0


def risk(marker: Array) -> Array:
    """Return the risk of an event within a month."""
    return np.asarray(1.0 / (1.0 + np.exp(3.6 - 0.8 * marker)))


def moved(marker: Array, rng: np.random.Generator) -> Array:
    """Return the marker a month later."""
    return np.asarray(0.98 * marker + 0.2 * rng.standard_normal(marker.shape))


def cohort(patients: int, rng: np.random.Generator, name: str) -> Followed:
    """Return patients with a visit every half year, until an event or five years."""
    marker, alive = rng.standard_normal(patients), np.ones(patients, dtype=bool)
    end, event = np.full(patients, _MONTHS * _MONTH), np.zeros(patients)
    visits = _MONTHS // _EVERY
    days = np.full((patients, visits), np.nan)
    values = np.full((patients, visits, 3), np.nan)
    for month in range(_MONTHS):
        if month % _EVERY == 0:
            rows = np.flatnonzero(alive)
            days[rows, month // _EVERY] = month * _MONTH
            values[rows, month // _EVERY] = np.column_stack(
                [marker[rows], rng.standard_normal(len(rows)), rng.uniform(size=len(rows)) < 0.3]
            )
        struck = alive & (rng.uniform(size=patients) < risk(marker))
        end[struck] = _MONTH * (month + rng.uniform(0.01, 1.0, int(struck.sum())))
        event[struck], alive = 1.0, alive & ~struck
        marker = moved(marker, rng)
    histories = Histories(
        tuple(f"{name}{row}" for row in range(patients)),
        _MODALITY,
        torch.tensor(days),
        torch.tensor(values),
    )
    return Followed(
        histories,
        np.arange(patients),
        torch.zeros(3, dtype=torch.bool),
        torch.tensor([False, False, True]),
        (None,) * patients,
        "event_free",
        torch.tensor(np.column_stack([end, event]), dtype=torch.float32),
    )


def truth(marker: Array, rng: np.random.Generator, paths: int = 2000) -> Array:
    """Return the probability of no event within the horizon of who has a marker today."""
    now, free = np.repeat(marker[:, None], paths, axis=1), np.ones((len(marker), paths))
    # The third visit is on the day of the landmark.
    for _ in range(round(_HORIZON / _MONTH)):
        free *= 1.0 - risk(now)
        now = moved(now, rng)
    return np.asarray(free.mean(axis=1))


def held(twin: VisitTwin, followed: Followed, config: Config, rng: np.random.Generator) -> Array:
    """Return, for each patient, whether the 90 % interval holds the truth, and the two's error."""
    rows = np.flatnonzero(followed.target[:, 0].numpy() > _LANDMARK)
    state = landmarks.beliefs_at(twin, followed, rows, _LANDMARK, config)
    day = torch.tensor([_LANDMARK + _HORIZON], dtype=torch.float64)
    free = twin.simulate(state, NO_INTERVENTION, day).values[:, :, 0, 0].double()
    low, high = (weighted_quantile(free, state.log_weights, x).numpy() for x in (0.05, 0.95))
    true = truth(followed.histories.values[rows, 2, 0].numpy(), rng)
    off = weighted_mean(free, state.log_weights).numpy() - true
    return np.column_stack([(low <= true) & (true <= high), off, high - low])


def main(cohorts: int, patients: int) -> None:
    """Print how often intervals hold, with members as they are and moved apart."""
    asked = ["experiment=pbc2", "split.repeats=3", "dynamics.watched=marker", "twin.draws=300"]
    asked += [f"dynamics.landmarks_days=[{_LANDMARK}]", f"dynamics.horizon_days={_HORIZON}"]
    config = load("train", asked)
    found: dict[str, list[Array]] = {"as they are": [], "moved apart": []}
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        training, new = cohort(patients, rng, "t"), cohort(200, rng, "n")
        repeats = [rng.permutation(patients) % config.split.folds for _ in range(3)]
        with tempfile.TemporaryDirectory() as folder:
            twin, _ = learning.fit(
                training, np.stack(repeats), config, Path(folder), Console(quiet=True)
            )
        kept = replace(twin, membership=replace(twin.membership, spread=1.0, spread_new=1.0))
        for name, each in (("as they are", kept), ("moved apart", twin)):
            found[name].append(held(each, new, config, np.random.default_rng(99)))
        for name, parts in found.items():
            shares = [part[:, 0].mean() for part in parts]
            every = np.concatenate(parts)
            print(
                f"{len(parts)} cohorts, spread {twin.membership.spread_new:.2f}, members {name}: "
                f"90 % intervals hold {every[:, 0].mean():.3f} (by cohort {min(shares):.2f} to "
                f"{max(shares):.2f}), width {every[:, 2].mean():.3f}, root mean square error "
                f"{np.sqrt((every[:, 1] ** 2).mean()):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(8, 300)[len(given) :])
