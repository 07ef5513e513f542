"""The mechanistic twin: equations with a belief over the patient's own parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omics_twin.dynamics.plan import Plan, plan_of
from omics_twin.errors import TwinError, about, nearest
from omics_twin.twin.checks import check_start, check_visit
from omics_twin.twin.draws import (
    normalised,
    patient_noise,
    select,
    some_of,
    weighted_mean,
    weighted_quantile,
)
from omics_twin.twin.parts import (
    Assimilation,
    Dynamics,
    GaussianObservation,
    ObservationModel,
    Prior,
    Readout,
)
from omics_twin.twin.size import MeasuredSize
from omics_twin.twin.smc import effective_draws, scatter_root, systematic, tempering_step
from omics_twin.types import (
    NO_INTERVENTION,
    Intervention,
    Modality,
    Observation,
    Trajectory,
    TwinState,
    Visit,
)

_ENOUGH = 0.5
_MOVES = 6
_STAGES = 60


@dataclass(frozen=True)
class MechanisticTwin:
    """Equations, a prior over their parameters, and how measurements come from the states.

    A draw holds the parameters of one way the patient could be; the states follow from them and
    from what was given. A visit reweights the draws; where few would be left, it is taken in by
    steps, and between steps the draws are resampled and moved by Metropolis-Hastings over all
    visits so far (Chopin 2002, doi:10.1093/biomet/89.3.539; Del Moral, Doucet & Jasra 2006,
    doi:10.1111/j.1467-9868.2006.00553.x). The draws are therefore never fewer in effect than half
    their number.

    What was given between two visits is the ``under`` of the second, see
    :func:`omics_twin.dynamics.plan.plan_of`.

    Attributes
    ----------
    assimilation
        Another way to take a visit in, such as
        :class:`omics_twin.twin.ensemble_kalman.EnsembleKalman`.
    """

    name: str
    dynamics: Dynamics
    prior: Prior
    observation: ObservationModel
    readouts: tuple[Readout, ...]
    assimilation: Assimilation | None = None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What the twin can be shown."""
        found = (*self.prior.modalities, self.observation.modality)
        # A prior may read the first of what is measured again and again.
        return tuple({modality.name: modality for modality in found}.values())

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the twin simulates."""
        return tuple(readout.name for readout in self.readouts)

    def start(self, patient_ids: Sequence[str], *, draws: int, seed: int) -> TwinState:
        """Return the belief about patients of whom nothing is known yet.

        Raises
        ------
        TwinError
            If there is no patient, a patient twice, or no draw.
        """
        check_start(patient_ids, draws)
        context = self.prior.context(patient_ids, ())
        return TwinState(
            patient_ids=tuple(patient_ids),
            days=torch.zeros(len(patient_ids), dtype=torch.float64),
            draws=self.prior.draw(patient_ids, draws, seed, context),
            log_weights=normalised(torch.zeros(len(patient_ids), draws, dtype=torch.float64)),
            names=self.prior.names,
            seed=seed,
        )

    def observe(
        self,
        state: TwinState,
        observation: Observation,
        *,
        under: Intervention = NO_INTERVENTION,
    ) -> TwinState:
        """Add what a visit says to the belief.

        Raises
        ------
        TwinError
            If patients, modalities, their sizes or the days do not fit, a drug is not known, or
            what was measured is beyond anything the twin holds possible.
        """
        check_visit(state, observation, self.modalities)
        self._check_drugs(under)
        visit = Visit(observation, under)
        if self.prior.reads(observation):
            return self._from_the_start(state, visit)
        return self._take_in(state, visit)

    @torch.no_grad()
    def simulate(
        self, state: TwinState, intervention: Intervention, days: Float[Tensor, " time"]
    ) -> Trajectory:
        """Return every draw's trajectory: up to the last visit as it was, then as it would be.

        Raises
        ------
        TwinError
            If a drug of the intervention is not known to this twin.
        """
        self._check_drugs(intervention)
        patients = len(state.patient_ids)
        asked = days.double()
        steps = [each.every_days for each in self.readouts if each.every_days is not None]
        last = float(asked.max().clamp(min=0.0))
        grids = [torch.arange(0.0, last + 1e-9, step, dtype=torch.float64) for step in set(steps)]
        union = torch.cat([asked, *grids]).unique()
        plans = self._plans(state, intervention)
        natural = self.prior.natural(state.draws)
        every = union.expand(patients, -1)
        states = self.dynamics.run(natural, plans, every)
        where = torch.searchsorted(union, asked)
        values = [each.read(states, natural, every)[:, :, where] for each in self.readouts]
        return Trajectory(
            patient_ids=state.patient_ids,
            days=asked,
            values=torch.stack(values, dim=-1),
            log_weights=state.log_weights,
            names=self.quantities,
            units=tuple(each.unit for each in self.readouts),
        )

    @torch.no_grad()
    def forecast(
        self,
        state: TwinState,
        days: Float[Tensor, " patient"],
        under: Intervention = NO_INTERVENTION,
    ) -> Float[Tensor, "patient draw feature"]:
        """Return what each draw expects to be measured on a day, with the noise of measuring it."""
        natural = self.prior.natural(state.draws)
        plans = self._plans(state, under)
        states = self.dynamics.run(natural, plans, days.double()[:, None])
        patients, draws = state.log_weights.shape
        size = len(self.observation.modality.features)
        noise = patient_noise(state.patient_ids, draws, size, state.seed + 1).to(natural)
        return self.observation.sample(states, natural, noise.unsqueeze(2))[:, :, 0]

    @property
    def modality(self) -> Modality:
        """What is measured again and again."""
        return self.observation.modality

    def sizes(self, values: Float[Tensor, "patient feature"]) -> Float[Tensor, " patient"]:
        """Return what was measured, in the unit of the first feature.

        What was too small to measure has the size of half the limit.
        """
        if isinstance(self.observation, MeasuredSize) and values.shape[-1] > 1:
            small = torch.isnan(values[..., 0]) & (values[..., 1] == 1.0)
            return torch.where(small, 0.5 * self.observation.limit_mm, values[..., 0])
        return values[..., 0]

    def summary(
        self, state: TwinState, interval: float
    ) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Return mean and interval of each of the patient's own parameters, (patient,)."""
        tail = (1.0 - interval) / 2.0
        return {
            name: (
                weighted_mean(values, state.log_weights),
                weighted_quantile(values, state.log_weights, tail),
                weighted_quantile(values, state.log_weights, 1.0 - tail),
            )
            for name, values in self.parameters(state).items()
        }

    def parameters(self, state: TwinState) -> dict[str, Float[Tensor, "patient draw"]]:
        """Return the patient's own parameters on their natural scales."""
        natural = self.prior.natural(state.draws)
        return {name: natural[..., k] for k, name in enumerate(self.dynamics.parameters)}

    def _check_drugs(self, intervention: Intervention) -> None:
        known = self.dynamics.drugs
        for drug in intervention.drugs:
            if known is not None and drug not in known:
                raise TwinError(
                    f"agent '{drug}' of '{intervention.name}' is not known to this twin"
                    f"{nearest(drug, known)}"
                )

    def _plans(self, state: TwinState, ahead: Intervention) -> list[Plan]:
        days = [visit.observation.days.tolist() for visit in state.history]
        given = [visit.under for visit in state.history]
        return [
            plan_of([each[row] for each in days], given, ahead)
            for row in range(len(state.patient_ids))
        ]

    def _from_the_start(self, state: TwinState, visit: Visit) -> TwinState:
        """Return the belief after the prior has read a patient: earlier visits are shown again."""
        history = (*state.history, visit)
        context = self.prior.context(state.patient_ids, history)
        draws = state.log_weights.shape[1]
        again = replace(
            self.start(state.patient_ids, draws=draws, seed=state.seed),
            draws=self.prior.draw(state.patient_ids, draws, state.seed, context),
            spread=state.spread,
        )
        for place, each in enumerate(history):
            again = self._take_in(again, each, known=history[place + 1 :])
        return again

    @torch.no_grad()
    def _take_in(self, state: TwinState, visit: Visit, known: Sequence[Visit] = ()) -> TwinState:
        """Return the belief after a visit; ``known`` are later visits that the prior has read."""
        days = torch.maximum(state.days, visit.observation.days.to(state.days))
        after = replace(state, history=(*state.history, visit), days=days)
        values = visit.observation.values.get(self.observation.modality.name)
        if values is None or not bool(_measured(values).any()):
            return after
        active = _measured(values)
        seen = Shown.of(self, after, known)
        if self.assimilation is not None:
            moved = self.assimilation.taken_in(seen, after.draws)
            return replace(after, draws=torch.where(active[:, None, None], moved, after.draws))
        latest = torch.where(active[:, None], seen.latest(after.draws), 0.0)
        draws, weights = after.draws, after.log_weights
        left = active.to(weights)
        for stage in range(_STAGES):
            step = tempering_step(weights, latest, left, _ENOUGH * draws.shape[1])
            weights = torch.where(
                (left > 0)[:, None], normalised(weights + step[:, None] * latest), weights
            )
            left = left - step
            few = (effective_draws(weights) < 0.9 * draws.shape[1]) & active & (step > 0)
            few &= (left > 0) | (effective_draws(weights) < _ENOUGH * draws.shape[1] * 1.01)
            rows = torch.nonzero(few)[:, 0]
            if len(rows):
                part = Shown.of(self, select(after, rows), [_some(each, rows) for each in known])
                fresh = part.refreshed(draws[rows], weights[rows], 1.0 - left[rows], stage)
                draws, latest = draws.index_copy(0, rows, fresh[0]), latest.clone()
                latest[rows] = fresh[1]
                weights = torch.where(few[:, None], -math.log(draws.shape[1]), weights)
            if not bool((left > 0).any()):
                return replace(after, draws=draws, log_weights=weights)
        who = state.patient_ids[int(torch.nonzero(left > 0)[0, 0])]
        told = (
            f"what was measured of patient '{who}' is beyond anything this twin holds possible: "
            "check the value, its unit and its day"
        )
        raise TwinError(about(told, who))


def _some(visit: Visit, rows: Tensor) -> Visit:
    return replace(visit, observation=some_of(visit.observation, rows))


def _measured(values: Float[Tensor, "patient feature"]) -> Bool[Tensor, " patient"]:
    return ~torch.isnan(values).all(dim=1)


@dataclass(frozen=True)
class Shown:
    """Everything shown of some patients so far; ``steps`` counts their visits."""

    twin: MechanisticTwin
    state: TwinState
    plans: list[Plan]
    days: Float[Tensor, "patient visit"]
    values: Float[Tensor, "patient visit feature"]
    context: Any
    steps: list[int]

    @staticmethod
    def of(twin: MechanisticTwin, state: TwinState, known: Sequence[Visit]) -> Shown:
        """Return what patients were shown; ``known`` are later visits that the prior has read."""
        name = twin.observation.modality.name
        visits = [v.observation for v in state.history if name in v.observation.values]
        values = torch.stack([each.values[name] for each in visits], dim=1).to(state.draws)
        counts = (~torch.isnan(values).all(dim=2)).sum(dim=1).tolist()
        return Shown(
            twin,
            state,
            twin._plans(state, NO_INTERVENTION),
            torch.stack([each.days.double() for each in visits], dim=1),
            values,
            twin.prior.context(state.patient_ids, (*state.history, *known)),
            counts,
        )

    def visits(
        self, draws: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw visit"]:
        """Return the log likelihood of every visit."""
        natural = self.twin.prior.natural(draws)
        states = self.twin.dynamics.run(natural, self.plans, self.days)
        return self.twin.observation.log_likelihood(self.values, states, natural)

    def latest(
        self, draws: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw"]:
        """Return the log likelihood of the last visit."""
        natural = self.twin.prior.natural(draws)
        states = self.twin.dynamics.run(natural, self.plans, self.days[:, -1:])
        found = self.twin.observation.log_likelihood(self.values[:, -1:], states, natural)
        return torch.nan_to_num(found[..., 0], nan=-torch.inf).clamp(min=-1e30)

    def expected(
        self, draws: Float[Tensor, "patient draw parameter"]
    ) -> tuple[Float[Tensor, "patient draw feature"], Float[Tensor, "patient draw feature"]]:
        """Return what each draw expects of the last visit, and the error's standard deviation."""
        natural = self.twin.prior.natural(draws)
        states = self.twin.dynamics.run(natural, self.plans, self.days[:, -1:])
        observation = cast(GaussianObservation, self.twin.observation)
        mean, spread = observation.moments(states, natural)
        return mean[:, :, 0], spread[:, :, 0]

    def refreshed(
        self,
        draws: Float[Tensor, "patient draw parameter"],
        weights: Float[Tensor, "patient draw"],
        taken: Float[Tensor, " patient"],
        stage: int,
    ) -> tuple[Float[Tensor, "patient draw parameter"], Float[Tensor, "patient draw"]]:
        """Return the draws resampled and moved, and the last visit's likelihood.

        Half of the moves are proposed from the Gaussian through the weighted draws, half are steps
        of a random walk. Their noise depends on seed, patient, visit and stage alone.
        """
        ids = self.state.patient_ids
        count, size = draws.shape[1], self.twin.prior.moved
        seeds = [self.state.seed + 7919 * (step * _STAGES + stage + 1) for step in self.steps]
        noise = patient_noise(ids, count, _MOVES * (size + 1) + 1, seeds).to(draws)
        uniform = torch.special.ndtr(noise[:, 0, -1].double())
        mean, root = scatter_root(draws[..., :size], weights)
        picked = systematic(weights, uniform).unsqueeze(-1).expand_as(draws)
        now = draws.gather(1, picked)
        log_now, last_now = self._target(now, taken)
        for move in range(_MOVES):
            at = move * (size + 1)
            step = torch.einsum("pij,pdj->pdi", root, noise[..., at : at + size])
            if move % 2 == 0:
                own = mean[:, None] + 1.1 * step
                ratio = _gaussian(now[..., :size], mean, root) - _gaussian(own, mean, root)
            else:
                wide = 2.38 / size**0.5 * (0.5 if move % 4 == 1 else 1.0)
                own = now[..., :size] + wide * step
                ratio = torch.zeros_like(log_now)
            proposed = torch.cat([own, now[..., size:]], dim=-1)
            log_next, last_next = self._target(proposed, taken)
            threshold = torch.log(torch.special.ndtr(noise[..., at + size].double()))
            better = threshold.to(draws) < log_next - log_now + ratio
            now = torch.where(better.unsqueeze(-1), proposed, now)
            log_now = torch.where(better, log_next, log_now)
            last_now = torch.where(better, last_next, last_now)
        return now, last_now

    def _target(
        self, draws: Float[Tensor, "patient draw parameter"], taken: Float[Tensor, " patient"]
    ) -> tuple[Float[Tensor, "patient draw"], Float[Tensor, "patient draw"]]:
        """Return the log density with a share of the last visit, and the last visit's whole."""
        visits = torch.nan_to_num(self.visits(draws), nan=-torch.inf).clamp(min=-1e30)
        before = visits[..., :-1].sum(dim=-1)
        total = self.twin.prior.log_density(draws, self.context) + before
        return total + taken[:, None] * visits[..., -1], visits[..., -1]


def _gaussian(
    values: Float[Tensor, "patient draw size"],
    mean: Float[Tensor, "patient size"],
    root: Float[Tensor, "patient size size"],
) -> Float[Tensor, "patient draw"]:
    """Return the log density of the proposals, which are a tenth wider, up to a constant."""
    whitened = torch.linalg.solve_triangular(
        1.1 * root, (values - mean[:, None]).transpose(1, 2), upper=False
    )
    return -0.5 * whitened.square().sum(dim=1)
