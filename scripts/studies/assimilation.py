"""Does the tumour twin's belief hold? Coverage, ranks, forecasts and time to progression.

Usage: python scripts/studies/assimilation.py [patients]
Patients are drawn from the twin's own prior and scanned every eight weeks.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from omics_twin.dynamics.growth import GrowthInhibition, nadir
from omics_twin.dynamics.recist import progression_day, progression_free
from omics_twin.evaluate.concordance import concordance
from omics_twin.evaluate.forecast import coverage, crps, kolmogorov_smirnov, probability_integral
from omics_twin.evaluate.simulation_based import ranks_of, uniformity
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.twin.size import MeasuredSize
from omics_twin.types import Dose, Intervention, Modality, Observation

ARM = Intervention("standard", (Dose("sunitinib"),))
DAYS = [56.0 * visit for visit in range(7)]
LATER = torch.arange(0.0, 1121.0, 56.0, dtype=torch.float64)
SIZE = Modality("tumour", "mm", ("sum_of_diameters_mm",))


def the_twin() -> MechanisticTwin:
    """Return a twin with the constants of Schindler et al. 2016 (doi:10.1002/psp4.12057)."""
    week = torch.tensor([263.064, 0.0104796 / 7, 0.0165971 * 50 / 32.819 / 7, 0.0200529 / 7])
    spread = torch.tensor([0.2887, 0.3613, 0.3986, 0.2])
    dynamics = GrowthInhibition()
    prior = GaussianPrior(
        dynamics.parameters,
        (Scale.LOG,) * 4,
        week.double().log(),
        torch.diag(spread.double()),
        "doi:10.1002/psp4.12057; the variance of the resistance is assumed",
    )
    return MechanisticTwin(
        name="growth inhibition",
        dynamics=dynamics,
        prior=prior,
        observation=MeasuredSize(SIZE, proportional=0.0668, additive_mm=1e-3),
        readouts=(
            Readout("size_mm", "mm", lambda states, _, __: states[..., 0]),
            Readout("free", "1", lambda states, _, __: progression_free(states[..., 0]), 56.0),
        ),
    )


def main(patients: int) -> None:
    """Print every number."""
    twin, start = the_twin(), time.perf_counter()
    ids = [f"virtual {each}" for each in range(patients)]
    truth = twin.start(ids, draws=1, seed=101)
    known = twin.prior.natural(truth.draws)
    path = twin.simulate(truth, ARM, torch.tensor(DAYS, dtype=torch.float64)).values[:, 0, :, 0]
    error = torch.randn(path.shape, generator=torch.Generator().manual_seed(5)).double()
    measured = path * (1 + 0.0668 * error)
    state = twin.start(ids, draws=512, seed=1)
    for visit, day in enumerate(DAYS):
        days = torch.full((patients,), day, dtype=torch.float64)
        if visit:
            told(twin, state, days, measured, visit)
        seen = Observation(tuple(ids), days, {"tumour": measured[:, visit : visit + 1]})
        state = twin.observe(state, seen, under=ARM)
        if visit == 2:
            after_two_scans(twin, state, known)
    weights = state.log_weights.exp().numpy()
    natural = twin.prior.natural(state.draws)
    for place, name in enumerate(twin.dynamics.parameters):
        judged(name, known[:, 0, place], natural[..., place], weights)
    deepest = [nadir(each[..., 1], each[..., 2], each[..., 3]) for each in (known, natural)]
    judged("nadir", deepest[0][:, 0], deepest[1], weights)
    free = [
        twin.simulate(each, ARM, LATER).values[..., 1].sum(dim=-1) * 56.0 for each in (truth, state)
    ]
    judged("time to progression", free[0][:, 0], free[1], weights)
    print(f"{time.perf_counter() - start:.0f} s")


def told(
    twin: MechanisticTwin,
    state: object,
    days: torch.Tensor,
    measured: torch.Tensor,
    visit: int,
) -> None:
    """Print how well the next scan was forecast, beside persistence and the population."""
    ahead = twin.forecast(state, days, ARM)[..., 0]
    weights, found = state.log_weights.exp().numpy(), measured[:, visit].numpy()
    blank = twin.start(state.patient_ids, draws=512, seed=3)
    population = twin.forecast(blank, days, ARM)[..., 0].numpy()
    ratio = (measured[:, visit] / measured[:, visit - 1]).log().numpy()
    spread = np.quantile(ratio, (np.arange(200) + 0.5) / 200)
    persistence = measured[:, visit - 1 : visit].numpy() * np.exp(spread)
    score = crps(ahead.numpy(), found, weights).mean()
    others = [crps(each, found).mean() for each in (persistence, population)]
    distance, p_value = kolmogorov_smirnov(probability_integral(ahead.numpy(), found, weights))
    held = coverage(ahead.numpy(), found, weights)
    print(
        f"scan {visit}: CRPS {score:.2f} mm, skill over persistence {1 - score / others[0]:.2f}, "
        f"over the population {1 - score / others[1]:.2f}; 90 % intervals hold {held.share:.3f}; "
        f"PIT KS {distance:.3f} (p {p_value:.2f})"
    )


def after_two_scans(twin: MechanisticTwin, state: object, known: torch.Tensor) -> None:
    """Print how well the time to progression is told after two scans under treatment."""
    plans = twin._plans(state, ARM)
    every = LATER.expand(len(known), -1)
    true = progression_day(twin.dynamics.run(known, plans, every)[:, 0, :, 0], every)
    free = twin.simulate(state, ARM, LATER).values[..., 1]
    expected = (free.mean(dim=-1) * state.log_weights.exp()).sum(dim=1)
    event = torch.isfinite(true)
    time_ = torch.where(event, true, LATER[-1])
    index = concordance(-expected.numpy(), time_.numpy(), event.numpy())
    at_year = (free[..., LATER.tolist().index(336.0)] * state.log_weights.exp()).sum(dim=1)
    came = (true > 336.0).double()
    brier = float((at_year - came).square().mean())
    prior = float((came.mean() - came).square().mean())
    print(
        f"time to progression after two scans: c {index:.3f}, Brier skill {1 - brier / prior:.2f}"
    )


def judged(name: str, truth: torch.Tensor, draws: torch.Tensor, weights: np.ndarray) -> None:
    """Print coverage and the test of ranks of one quantity."""
    held = coverage(draws.numpy(), truth.numpy(), weights)
    found = uniformity(ranks_of(truth.numpy(), draws.numpy(), weights))
    print(f"{name}: 90 % intervals hold {held.share:.3f}; ranks chi-square p {found.p_value:.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
