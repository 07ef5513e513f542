"""Measure how often `omics-twin monitor` raises an alarm for a twin of tumour sizes.

The patients of four trials are cut in two. A twin is trained on the first half; rounds of patients
are drawn from the second, whom it has never seen: as they are, and with planted changes.

Whether an unchanged half raises an alarm hangs on how the patients were cut, so that this is asked
of several cuts.

    python scripts/bench/drift_rates_living.py --patients 150 --rounds 200 --cuts 4
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from drift_rates import rates, told

from omics_twin.answers.beliefs import received_of
from omics_twin.asked import read_cohort
from omics_twin.bedside.belief import Beliefs, KeptBelief
from omics_twin.cohort.cohort import Cohort
from omics_twin.config import Config, load
from omics_twin.report.console import Console
from omics_twin.tensors.history import Histories, histories_of
from omics_twin.trust.consent import Purpose
from omics_twin.visits import progression
from omics_twin.visits.reference import later_of, remembering

_FOLDS = 5
Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def planted(generator: torch.Generator) -> dict[str, Change]:
    """Return what is done to sizes, (patient, visit, feature), and their days."""

    def noisy(values: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(values.shape[:2], generator=generator, dtype=values.dtype)
        return _sizes(values, torch.exp(0.2 * noise))

    def growing(values: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
        after = torch.nan_to_num(days).clamp(min=0.0)
        return _sizes(values, torch.exp(0.001 * after))

    return {
        "nothing": lambda values, days: values,
        "sizes read in half of the lesions": lambda values, days: _sizes(values, 0.5),
        "sizes in cm": lambda values, days: _sizes(values, 0.1),
        "tumours grow faster by 0.1 % a day": growing,
        "measured with 20 % more error": noisy,
    }


def _sizes(values: torch.Tensor, factor: torch.Tensor | float) -> torch.Tensor:
    changed = values.clone()
    changed[..., 0] = values[..., 0] * factor
    return changed


def forecasts_of(
    histories: Histories, arms: list[str | None], config: Config
) -> progression.Forecasts:
    """Return the next scans as twins of the other folds forecast them."""
    fold = np.arange(len(arms)) % _FOLDS
    parts = []
    for number in range(_FOLDS):
        others, rows = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        seen = histories.select(torch.from_numpy(others))
        twin = progression.learned(seen, [arms[row] for row in others], "twin", config)
        some = histories.select(torch.from_numpy(rows))
        found = progression.one_ahead(twin, some, [arms[row] for row in rows], 0)
        parts.append(replace(found, patient=rows[found.patient.astype(int)]))
    return progression.joined(parts)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("patients", 150),
        ("rounds", 200),
        ("cuts", 4),
        ("seed", 0),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    config, console = load("train", ["experiment=tumour_size", "tracking=off"]), Console(quiet=True)
    cohort = read_cohort(config, console, Purpose.TRAINING)
    for cut in range(asked.cuts):
        order = np.random.default_rng([asked.seed, cut]).permutation(len(cohort.patient_ids))
        ids = np.array(cohort.patient_ids)
        own, others = (
            cohort.select(np.sort(ids[part]).tolist()) for part in np.array_split(order, 2)
        )
        changes = planted(torch.Generator().manual_seed(asked.seed))
        one_cut(own, others, changes if cut == 0 else dict([next(iter(changes.items()))]), asked)


def one_cut(
    own: Cohort, others: Cohort, changes: dict[str, Change], asked: argparse.Namespace
) -> None:
    """Train on some patients, and print in how many rounds of the others there is an alarm."""
    config, console = load("train", ["experiment=tumour_size", "tracking=off"]), Console(quiet=True)
    histories, arms = histories_of(own, config.dynamics.modality), received_of(own)
    model = progression.model_of(own, histories, arms, config, {})
    model = remembering(model, histories, forecasts_of(histories, arms, config))
    later = histories_of(others, config.dynamics.modality)
    print(f"{len(arms)} trained, rounds of {asked.patients} of {len(later.patient_ids)} later")
    for name, change in changes.items():
        changed = replace(later, values=change(later.values, later.days))
        kept = []
        for row, under in enumerate(progression.given_in(others)):
            one = changed.select(torch.tensor([row]))
            visits = tuple(progression.visits_of(one, under, -np.inf, np.inf))
            kept.append(KeptBelief(one.patient_ids[0], "", 200, 0, visits))
        found = later_of(model, Beliefs(tuple(kept), name, ""), config.twin, console)
        print(f"{name:<40} {told(rates(model, found, asked), asked.rounds)}", flush=True)


if __name__ == "__main__":
    main()
