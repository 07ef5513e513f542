"""Bootstrap particle filters of many patients: one batch beside NumPy, a patient at a time.

Usage: python scripts/bench/particles.py [patients] [particles]
Both run the same filter of the same equations (growth inhibition under weekly doses, order-4 steps
of a day) in float64: a scan every four weeks with a proportional error, the size wandering between
scans, systematic resampling after each. The peer is vectorised over particles; it filters fewer
patients and is scaled. Beliefs are compared after the last scan.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.solve import Engine, solve
from omics_twin.dynamics.tumour import growth_inhibition
from omics_twin.twin.smc import systematic
from omics_twin.types import Dose, Intervention

WEEKLY = Intervention("weekly", (Dose("drug", 100.0, "mg", 0.0, 0.0, 7.0, 26),))
TYPICAL = np.array((60.0, 0.003, 0.0008, 0.004, 40.0, 80.0, 0.4))
SCANS = np.arange(28.0, 169.0, 28.0)
STEP, ERROR, WANDER, BETWEEN = 1.0, 0.07, 0.05, 0.2
SIZE = 3


def batched(measured: np.ndarray, particles: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the size of every patient, all in one batch."""
    system, patients = growth_inhibition("drug"), len(measured)
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    typical = torch.from_numpy(TYPICAL)
    parameters = typical * torch.exp(BETWEEN * normal(patients, particles, len(TYPICAL)))
    states = torch.stack([torch.zeros_like(parameters[..., 0])] * len(system.states), dim=-1)
    states[..., 2], states[..., SIZE] = 1.0, parameters[..., 0]
    plans, day = [plan_of([], [], WEEKLY)] * patients, 0.0
    for visit, scan in enumerate(SCANS.tolist()):
        until = torch.full((patients, 1), scan, dtype=torch.float64)
        states = solve(
            system,
            parameters,
            plans,
            until,
            step_days=STEP,
            start_days=day,
            initial=states,
            engine=Engine.COMPILED,
        )[:, :, 0]
        states[..., SIZE] *= torch.exp(WANDER * normal(patients, particles))
        spread = ERROR * states[..., SIZE]
        z = (torch.from_numpy(measured[:, visit, None]) - states[..., SIZE]) / spread
        uniform = torch.rand(patients, generator=generator, dtype=torch.float64)
        kept = systematic(-0.5 * z.square() - torch.log(spread), uniform).unsqueeze(-1)
        states = states.gather(1, kept.expand_as(states))
        parameters = parameters.gather(1, kept.expand_as(parameters))
        day = scan
    sizes = states[..., SIZE].numpy()
    return sizes.mean(axis=1), sizes.std(axis=1)


def change(s: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the same equations' derivative, particles along the last axis."""
    return np.stack(
        [
            -p[4] / p[5] * s[0],
            p[6] * (24.0 * s[0] / p[5] - s[1]),
            -p[3] * s[2],
            (p[1] - p[2] * s[1] * s[2]) * s[3],
        ]
    )


def one_patient(
    measured: np.ndarray, particles: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return mean and standard deviation of the size of one patient."""
    p = (TYPICAL * np.exp(BETWEEN * rng.standard_normal((particles, len(TYPICAL))))).T
    s = np.stack([np.zeros(particles), np.zeros(particles), np.ones(particles), p[0]])
    day = 0.0
    for visit, scan in enumerate(SCANS):
        while day < scan:
            if day % 7.0 == 0.0:
                s[0] += 100.0
            a = change(s, p)
            b = change(s + STEP / 2 * a, p)
            c = change(s + STEP / 2 * b, p)
            d = change(s + STEP * c, p)
            s = s + STEP / 6 * (a + 2 * (b + c) + d)
            day += STEP
        s[SIZE] *= np.exp(WANDER * rng.standard_normal(particles))
        spread = ERROR * s[SIZE]
        log_weight = -0.5 * ((measured[visit] - s[SIZE]) / spread) ** 2 - np.log(spread)
        weight = np.exp(log_weight - log_weight.max())
        points = (np.arange(particles) + rng.random()) / particles
        kept = np.searchsorted(np.cumsum(weight) / weight.sum(), points)
        kept = np.minimum(kept, particles - 1)
        s, p = s[:, kept], p[:, kept]
    return float(s[SIZE].mean()), float(s[SIZE].std())


def made(patients: int) -> np.ndarray:
    """Return scans of patients made by the same model, (patient, scan) [mm]."""
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(patients, len(TYPICAL), generator=generator, dtype=torch.float64)
    own = (torch.from_numpy(TYPICAL) * torch.exp(BETWEEN * noise))[:, None]
    days = torch.from_numpy(SCANS).expand(patients, -1)
    plans = [plan_of([], [], WEEKLY)] * patients
    size = solve(growth_inhibition("drug"), own, plans, days, step_days=STEP)[:, 0, :, SIZE]
    error = torch.randn(size.shape, generator=generator, dtype=torch.float64)
    return (size * (1 + ERROR * error)).numpy()


def main(patients: int, particles: int) -> None:
    """Print how many patients are filtered in a second, and how far the beliefs differ."""
    measured = made(patients)
    batched(measured[:2], particles, 0)
    times = []
    for seed in range(3):
        start = time.perf_counter()
        mean, spread = batched(measured, particles, seed)
        times.append((time.perf_counter() - start) / patients)
    few = min(patients, 200)
    peers = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        start = time.perf_counter()
        found = np.array([one_patient(each, particles, rng) for each in measured[:few]])
        peers.append((time.perf_counter() - start) / few)
    ours, peer = float(np.median(times)), float(np.median(peers))
    again = batched(measured, particles, 99)[0][:few]
    apart = (mean[:few] - found[:, 0]) / spread[:few]
    alone = (mean[:few] - again) / spread[:few]
    print(f"{patients} patients, {particles} particles, {len(SCANS)} scans, float64")
    print(f"NumPy, a patient at a time  {1 / peer:>10,.0f} patients/s")
    print(f"one batch, compiled         {1 / ours:>10,.0f} patients/s  {peer / ours:.1f} x")
    print(
        f"means differ by {apart.mean():+.3f} ± {apart.std() / few**0.5:.3f} posterior SD "
        f"(rms {np.sqrt(np.mean(apart**2)):.3f}; two seeds of the batch: "
        f"{np.sqrt(np.mean(alone**2)):.3f}), spreads by a factor "
        f"{np.mean(spread[:few] / found[:, 1]):.3f}"
    )


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:3]]
    main(*(given + [1000, 256][len(given) :]))
