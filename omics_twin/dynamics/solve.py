"""Equations integrated for every patient and draw at once, with doses on days of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.compiled import integrate
from omics_twin.dynamics.grid import Grid, grid_of
from omics_twin.dynamics.plan import Plan
from omics_twin.dynamics.system import System
from omics_twin.errors import TherapyError, TwinError

# Compiling takes seconds; below this many steps of trajectories it does not pay.
_WORTH_COMPILING = 20_000_000


class Engine(Enum):
    """What integrates: compiled code, tensors step by step, or a library's adaptive steps."""

    AUTO = "auto"
    COMPILED = "compiled"
    EAGER = "eager"
    ADAPTIVE = "adaptive"
    STIFF = "stiff"


def solve(
    system: System,
    parameters: Float[Tensor, "patient draw parameter"],
    plans: Sequence[Plan],
    days: Float[Tensor, "patient time"],
    *,
    step_days: float = 0.25,
    start_days: float = 0.0,
    initial: Float[Tensor, "patient draw state"] | None = None,
    engine: Engine = Engine.AUTO,
    finite: bool = True,
) -> Float[Tensor, "patient draw time state"]:
    """Return the states of every patient and draw on some days.

    Parameters
    ----------
    parameters
        On their natural scale. Their precision and device are the answer's.
    plans
        What each patient is given. What is read on the day of a bolus is read before it.
    step_days
        Longest step of fixed steps [day]; their error falls with its fourth power.
    start_days, initial
        Day and states to begin with; left out, the system's own on day 0.
    engine
        ``AUTO``: compiled where no gradient is asked for, on a CPU, and where it pays; else step
        by step on tensors, with gradients. ``ADAPTIVE`` (Dormand and Prince's order 5) and
        ``STIFF`` (implicit Adams) choose their own steps to a relative error of 1e-6, for which
        float64 is needed in practice.
    finite
        Whether a solution that is not is refused; a sampler gives such parameters no weight.

    Raises
    ------
    TherapyError
        If a drug is not one of the equations', or the number of plans is not that of patients.
    TwinError
        If parameters or the solution are not finite.

    References
    ----------
    Chen, torchdiffeq, doi:10.48550/arXiv.1806.07366, for the adaptive solvers.
    """
    if len(plans) != len(parameters):
        raise TherapyError(f"{len(plans)} plans for {len(parameters)} patients, expected as many")
    if not bool(torch.isfinite(parameters).all()):
        raise TwinError(f"a parameter of '{system.name}' is not finite: check the belief")
    grid = grid_of(plans, days.double().cpu().numpy(), system.drugs, step_days, start_days)
    if engine is Engine.AUTO:
        work = parameters.shape[0] * parameters.shape[1] * grid.days.shape[1] * len(system.states)
        pays = work >= _WORTH_COMPILING and _compilable(parameters, initial)
        engine = Engine.COMPILED if pays else Engine.EAGER
    if engine is Engine.COMPILED:
        start = None if initial is None else initial.movedim(-1, 0).numpy()
        found = integrate(system, grid, parameters.movedim(-1, 0).numpy(), start)
        states = torch.from_numpy(found).permute(2, 3, 0, 1)
    else:
        states = _Tensors(system, parameters, grid, engine).run(initial)
    if finite and not bool(torch.isfinite(states).all()):
        raise TwinError(
            f"the solution of '{system.name}' is not finite: take smaller steps than "
            f"{step_days:g} days, or a stiff solver"
        )
    return states


def _compilable(parameters: Tensor, initial: Tensor | None = None) -> bool:
    gradient = torch.is_grad_enabled() and (
        parameters.requires_grad or (initial is not None and initial.requires_grad)
    )
    return not gradient and parameters.device.type == "cpu"


@dataclass(frozen=True)
class Solved:
    """Equations as the dynamics of a twin: some parameters the patient's own, others shared.

    Attributes
    ----------
    shared
        Parameter -> value on its natural scale, the same for everybody.
    step_days
        Longest step [day].
    engine
        ``AUTO``: compiled wherever it can be, since a belief takes many solutions to update and
        is replayed to the same digits.
    """

    system: System
    shared: Mapping[str, float]
    step_days: float = 0.5
    engine: Engine = Engine.AUTO

    @property
    def parameters(self) -> tuple[str, ...]:
        """What differs between patients, on natural scales."""
        return tuple(name for name in self.system.parameters if name not in self.shared)

    @property
    def states(self) -> tuple[str, ...]:
        """What changes."""
        return self.system.states

    @property
    def drugs(self) -> tuple[str, ...]:
        """What can be given."""
        return self.system.drugs

    def run(
        self,
        parameters: Float[Tensor, "patient draw parameter"],
        plans: Sequence[Plan],
        days: Float[Tensor, "patient time"],
    ) -> Float[Tensor, "patient draw time state"]:
        """Return the states on some days since the index date."""
        own = dict(zip(self.parameters, parameters.unbind(-1), strict=True))
        columns = [
            own[name] if name in own else torch.full_like(parameters[..., 0], self.shared[name])
            for name in self.system.parameters
        ]
        engine = self.engine
        if engine is Engine.AUTO and _compilable(parameters):
            engine = Engine.COMPILED
        # Before the index date nothing was given: the state is as it begins.
        return solve(
            self.system,
            torch.stack(columns, dim=-1),
            plans,
            days.clamp(min=0.0),
            step_days=self.step_days,
            engine=engine,
            finite=False,
        )


@dataclass(frozen=True)
class _Tensors:
    """Integration on tensors, one step of everybody at a time."""

    system: System
    parameters: Tensor
    grid: Grid
    engine: Engine

    def run(self, initial: Tensor | None) -> Tensor:
        """Return (patient, draw, time, state)."""
        values = self.parameters.unbind(-1)
        row = torch.from_numpy(self.grid.row)
        days, amounts, rates, where = (
            torch.from_numpy(each)[row].to(self.parameters.device)
            for each in (self.grid.days, self.grid.amounts, self.grid.rates, self.grid.where)
        )
        days, amounts, rates = (each.to(self.parameters) for each in (days, amounts, rates))
        states = self.system.initial(values) if initial is None else initial.unbind(-1)
        states = tuple(torch.as_tensor(each).expand_as(values[0]) for each in states)
        kept = []
        for point in range(days.shape[1]):
            kept.append(torch.stack(states, dim=-1))
            if bool((amounts[:, point] != 0).any()):
                states = self.system.given(states, values, self._columns(amounts, point))
            if point + 1 < days.shape[1]:
                day, length = days[:, point, None], days[:, point + 1, None] - days[:, point, None]
                if bool((length > 0).any()):
                    states = self._advanced(states, day, length, self._columns(rates, point))
        path = torch.stack(kept, dim=2)
        index = where[:, None, :, None].expand(-1, path.shape[1], -1, path.shape[3])
        return path.gather(2, index)

    @staticmethod
    def _columns(table: Tensor, point: int) -> tuple[Tensor, ...]:
        return tuple(each[:, None] for each in table[:, point].unbind(-1))

    def _advanced(
        self, states: tuple[Tensor, ...], day: Tensor, length: Tensor, rates: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        values = self.parameters.unbind(-1)

        def change(at: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return self.system.derivative(at, now, values, rates)

        if self.engine is Engine.EAGER:
            return _runge_kutta(change, states, day, length)
        from torchdiffeq import odeint

        def along(share: Tensor, stacked: Tensor) -> Tensor:
            found = change(day + share * length, stacked.unbind(-1))
            return torch.stack([each * length for each in found], dim=-1)

        method = "dopri5" if self.engine is Engine.ADAPTIVE else "implicit_adams"
        options = None if self.engine is Engine.ADAPTIVE else {"step_size": 0.1}
        ends = torch.tensor([0.0, 1.0]).to(self.parameters)
        stacked = torch.stack(states, dim=-1)
        return odeint(along, stacked, ends, rtol=1e-6, atol=1e-8, method=method, options=options)[
            -1
        ].unbind(-1)


def _runge_kutta(
    change: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]],
    states: tuple[Tensor, ...],
    day: Tensor,
    length: Tensor,
) -> tuple[Tensor, ...]:
    """Return the states a step later, by the classical method of order 4."""

    def moved(slope: tuple[Tensor, ...], share: float) -> tuple[Tensor, ...]:
        return tuple(s + share * length * k for s, k in zip(states, slope, strict=True))

    first = change(day, states)
    second = change(day + length / 2, moved(first, 0.5))
    third = change(day + length / 2, moved(second, 0.5))
    fourth = change(day + length, moved(third, 1.0))
    return tuple(
        s + length / 6 * (a + 2 * (b + c) + d)
        for s, a, b, c, d in zip(states, first, second, third, fourth, strict=True)
    )
