"""Compare rankings of doses and schedules with those of the simulator, which knows the patient.

Usage: python scripts/studies/regimens.py [patients]
Patients are drawn from the published population, scanned every eight weeks under 37.5 mg daily, and
the twin then ranks a grid of doses and schedules for the next 26 weeks.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from scipy.stats import kendalltau

from omics_twin.bedside.plans import published_grid
from omics_twin.therapy.rank import rank_therapies
from omics_twin.therapy.regimens import DAILY, regimen
from omics_twin.therapy.utility import Utility
from omics_twin.twin.published import sunitinib
from omics_twin.types import Endpoint, Intervention, Observation

DAYS = (0.0, 56.0, 112.0, 168.0)
GIVEN = Intervention("given", regimen("sunitinib", 37.5, "mg", DAILY, 168.0))


def main(patients: int) -> None:
    """Print every number."""
    twin, start = sunitinib(), time.perf_counter()
    ids = [f"virtual {each}" for each in range(patients)]
    truth = twin.start(ids, draws=1, seed=21)
    noise = torch.randn(patients, len(DAYS), 2, generator=torch.Generator().manual_seed(3))
    path = twin.simulate(truth, GIVEN, torch.tensor(DAYS)).values[:, 0, :, [0, 2]]
    measured = path * (1 + torch.tensor([0.0668, 0.286]) * noise.double())
    state = twin.start(ids, draws=200, seed=4)
    for visit, day in enumerate(DAYS):
        seen = {"visit": measured[:, visit]}
        on = torch.full((patients,), day, dtype=torch.float64)
        observation = Observation(tuple(ids), on, seen)
        state = twin.observe(state, observation, under=GIVEN)
        truth = twin_with(truth, observation)
    plans = published_grid(["sunitinib"], DAYS[-1])
    utility = Utility.of(
        "smaller tumour, fewer neutrophils lost",
        (-0.01, Endpoint("size", "size_mm", 182.0)),
        (-0.5, Endpoint("neutropenia", "neutropenia_grade_4", 182.0)),
    ).later(DAYS[-1])
    everyone = torch.ones(patients, len(plans))
    ranking = rank_therapies(
        twin,
        state,
        plans,
        utility,
        eligible=everyone.bool(),
        support=everyone,
        reasons=[[""] * len(plans)] * patients,
    )
    true = torch.stack(
        [utility.read(twin.simulate(truth, each, utility.days()))[:, 0] for each in plans], dim=1
    ).numpy()
    expected, best = ranking.expected.numpy(), ranking.probability_best.numpy()
    chosen = true[np.arange(patients), expected.argmax(axis=1)]
    regret = (true.max(axis=1) - chosen).mean() / (
        true.max(axis=1) - np.median(true, axis=1)
    ).mean()
    tau = [kendalltau(a, b).statistic for a, b in zip(expected, true, strict=True)]
    wins = true >= true.max(axis=1, keepdims=True) - 1e-12
    share = wins / wins.sum(axis=1, keepdims=True)
    slope = np.polyfit(best.ravel(), share.ravel(), 1)[0]
    print(
        f"{patients} patients, {len(plans)} plans: regret {100 * regret:.1f} % of best less "
        f"median, Kendall tau {np.nanmean(tau):.2f}, slope of P(best) {slope:.2f}; "
        f"{time.perf_counter() - start:.0f} s"
    )


def twin_with(truth: object, observation: Observation) -> object:
    """Return the true patient after a visit: what was given is remembered, nothing is learned."""
    from dataclasses import replace

    from omics_twin.types import Visit

    return replace(
        truth, history=(*truth.history, Visit(observation, GIVEN)), days=observation.days
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
