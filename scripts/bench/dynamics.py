"""Trajectories per second of a tumour under weekly doses: ours beside SciPy and torchdiffeq.

Usage: python scripts/bench/dynamics.py [patients]
Four states over 180 days, one patient a trajectory; peers solve fewer of them and are scaled.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torchdiffeq import odeint

from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.solve import Engine, solve
from omics_twin.dynamics.tumour import growth_inhibition
from omics_twin.types import Dose, Intervention

WEEKLY = Intervention("weekly", (Dose("drug", 100.0, "mg", 0.0, 0.0, 7.0, 26),))
TYPICAL = (60.0, 0.003, 0.0008, 0.004, 40.0, 80.0, 0.4)
DAYS = np.linspace(0.0, 180.0, 19)


def timed(what: Callable[[], np.ndarray], repeats: int = 5) -> tuple[float, np.ndarray]:
    """Return the median time and the answer."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = what()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), answer


def scipy_one(system: object, parameters: np.ndarray) -> np.ndarray:
    """Return the states on the days asked for, integrated from dose to dose."""
    p = tuple(torch.tensor(each) for each in parameters)
    p = tuple(float(each) for each in parameters)
    states = np.array(system.initial(p))
    found = [states]
    marks = sorted({*DAYS.tolist(), *(7.0 * week for week in range(26))})
    for before, after in zip(marks[:-1], marks[1:], strict=True):
        if before % 7.0 == 0.0:
            states = np.array(system.given(tuple(states), p, (100.0,)))
        states = solve_ivp(
            lambda day, s: system.derivative(day, tuple(s), p, (0.0,)),
            (before, after),
            states,
            rtol=1e-5,
            atol=1e-7,
        ).y[:, -1]
        if after in DAYS:
            found.append(states)
    return np.array(found)


def torchdiffeq_all(system: object, parameters: torch.Tensor) -> np.ndarray:
    """Return the same for all patients in one batch."""
    p = parameters.unbind(-1)
    states = torch.stack(system.initial(p), dim=-1)
    found = [states]
    marks = sorted({*DAYS.tolist(), *(7.0 * week for week in range(26))})
    zero = torch.zeros_like(p[0])
    for before, after in zip(marks[:-1], marks[1:], strict=True):
        if before % 7.0 == 0.0:
            states = torch.stack(system.given(states.unbind(-1), p, (zero + 100.0,)), dim=-1)
        states = odeint(
            lambda day, s: torch.stack(system.derivative(day, s.unbind(-1), p, (zero,)), dim=-1),
            states,
            torch.tensor([before, after], dtype=states.dtype),
            rtol=1e-5,
            atol=1e-7,
            method="dopri5",
        )[-1]
        if after in DAYS:
            found.append(states)
    return torch.stack(found, dim=1).numpy()


def main(patients: int) -> None:
    """Print every ratio."""
    system = growth_inhibition("drug")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(patients, len(TYPICAL), generator=generator, dtype=torch.float64)
    parameters = torch.tensor(TYPICAL, dtype=torch.float64) * torch.exp(0.2 * noise)
    plans = [plan_of([], [], WEEKLY)] * patients
    days = torch.tensor(DAYS).expand(patients, -1)

    def ours(engine: Engine, dtype: torch.dtype, step: float) -> Callable[[], np.ndarray]:
        cast = parameters.to(dtype)[:, None]
        return lambda: solve(system, cast, plans, days, engine=engine, step_days=step)[:, 0].numpy()

    start = time.perf_counter()
    ours(Engine.COMPILED, torch.float32, 1.0)()
    print(f"compiling: {time.perf_counter() - start:.1f} s; {torch.get_num_threads()} threads")
    few = min(patients, 30)
    peer, reference = timed(
        lambda: np.stack([scipy_one(system, p.numpy()) for p in parameters[:few]]), 1
    )
    base = peer / few
    rows = [("scipy solve_ivp, a patient at a time", base, reference)]
    some = min(patients, 2000)
    took, answer = timed(lambda: torchdiffeq_all(system, parameters[:some]), 2)
    rows.append(("torchdiffeq dopri5, one batch", took / some, answer))
    for name, engine, dtype, step in (
        ("tensors, step by step, float64, 1 day", Engine.EAGER, torch.float64, 1.0),
        ("compiled, float64, 1 day", Engine.COMPILED, torch.float64, 1.0),
        ("compiled, float32, 1 day", Engine.COMPILED, torch.float32, 1.0),
        ("compiled, float32, 0.5 day", Engine.COMPILED, torch.float32, 0.5),
    ):
        run = ours(engine, dtype, step)
        run()
        took, answer = timed(run)
        rows.append((name, took / patients, answer))
    dopri = rows[1][1]
    for name, each, answer in rows:
        size = answer[:few, :, 3]
        worst = float(np.abs(size / reference[:, :, 3] - 1.0).max())
        print(
            f"{name:<40} {1 / each:>12,.0f} /s  {base / each:>8,.0f} x scipy  "
            f"{dopri / each:>7,.1f} x dopri5  size differs by {worst:.1e}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
