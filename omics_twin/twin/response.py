"""A tumour's volume from scan to scan and the response at surgery, from one state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.rates import ScheduledRates
from omics_twin.errors import ModelError, TwinError
from omics_twin.models.prior_network import RESPONSE_SD
from omics_twin.twin.draws import paired_noise
from omics_twin.twin.mechanistic import MechanisticTwin, Shown
from omics_twin.twin.neural_prior import NeuralPrior
from omics_twin.twin.parts import Readout
from omics_twin.types import Modality

VOLUME = "volume_cm3"
OFFSET_CM3 = 0.1
"""Added before the logarithm is taken [cm3]: a tumour of no volume has no logarithm, and below this
a change is of a few voxels."""
_NOISE = 15_485_863


@dataclass(frozen=True)
class MeasuredNumbers:
    """Numbers as they are measured, with Gaussian errors on the scale on which they change.

    Attributes
    ----------
    modality
        A feature for each number, the volume [cm3] first.
    log
        Which features are taken as logarithms, after ``offset`` was added.
    offset
        In each feature's unit.
    error
        Standard deviation of the error on that scale.
    """

    modality: Modality
    log: tuple[bool, ...]
    offset: tuple[float, ...]
    error: tuple[float, ...]

    def steady(self, values: Float[Tensor, "*rest feature"]) -> Float[Tensor, "*rest feature"]:
        """Return measurements on the scale on which they change steadily; NaN stays NaN."""
        log, offset = torch.tensor(self.log), torch.tensor(self.offset).to(values)
        return torch.where(log, torch.log(values.clamp(min=0.0) + offset), values)

    def natural(self, states: Float[Tensor, "*rest feature"]) -> Float[Tensor, "*rest feature"]:
        """Return states as measurements in their units; nothing that is logged is below 0."""
        log, offset = torch.tensor(self.log), torch.tensor(self.offset).to(states)
        return torch.where(log, (torch.exp(states) - offset).clamp(min=0.0), states)

    def log_likelihood(
        self,
        values: Float[Tensor, "patient visit feature"],
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
    ) -> Float[Tensor, "patient draw visit"]:
        """Return how likely each draw makes what was measured; 0 where nothing was."""
        error = torch.tensor(self.error).to(states)
        found = self.steady(values.to(states))[:, None]
        z = (found - states[..., : len(self.log)]) / error
        density = -0.5 * z.square() - torch.log(error)
        return torch.where(torch.isnan(found), 0.0, density).sum(dim=-1)

    def sample(
        self,
        states: Float[Tensor, "patient draw visit state"],
        parameters: Float[Tensor, "patient draw parameter"],
        noise: Float[Tensor, "patient draw visit feature"],
    ) -> Float[Tensor, "patient draw visit feature"]:
        """Return what would be measured, from standard normal noise."""
        error = torch.tensor(self.error).to(states)
        return self.natural(states[..., : len(self.log)] + error * noise)


@dataclass(frozen=True)
class ExactGaussian:
    """Visits taken in exactly, where what is measured is linear in a patient's parameters.

    Every draw is made anew from the prior and moved by what was measured at all visits so far, with
    an error of its own: conditioning by kriging. Draws keep equal weights, so that there are as
    many in effect as there are. Members of an ensemble are not weighed by how well they foresaw a
    visit: of a dozen numbers at once, chance would leave one member.

    References
    ----------
    Hoffman & Ribak 1991, doi:10.1086/186160.
    """

    def taken_in(
        self, shown: Shown, draws: Float[Tensor, "patient draw parameter"]
    ) -> Float[Tensor, "patient draw parameter"]:
        """Return the draws after all visits so far.

        Raises
        ------
        TwinError
            If the twin's measurements are not linear in parameters that are Gaussian.
        """
        twin, state = shown.twin, shown.state
        parts = (twin.prior, twin.dynamics, twin.observation)
        kinds = (NeuralPrior, ScheduledRates, MeasuredNumbers)
        if not all(isinstance(each, kind) for each, kind in zip(parts, kinds, strict=True)):
            raise TwinError(
                f"measurements of twin '{twin.name}' are not linear in Gaussian parameters: take "
                "visits in by its sampler"
            )
        prior, dynamics, observed = cast(tuple[Any, Any, Any], parts)
        fresh = prior.draw(state.patient_ids, draws.shape[1], state.seed, shown.context)
        natural = prior.natural(fresh)
        states = dynamics.run(natural, shown.plans, shown.days)
        expected = states[..., : len(observed.log)].flatten(2)
        found = observed.steady(shown.values).flatten(1)
        known = ~torch.isnan(found)
        error = torch.tensor(observed.error).to(fresh).repeat(shown.days.shape[1])
        count, seed = draws.shape[1], state.seed + _NOISE
        noise = paired_noise(state.patient_ids, count, len(error), seed).to(fresh)
        off = torch.where(known[:, None], torch.nan_to_num(found)[:, None] - expected, 0.0)
        off = torch.where(known[:, None], off - error * noise, 0.0)
        member = fresh[..., -1].long()
        gain = self._gain(prior, dynamics.linear(shown.days).flatten(1, 2), error, known)
        return torch.cat(
            [
                fresh[..., : prior.moved] + _moved(gain, off, member),
                fresh[..., prior.moved :],
            ],
            dim=-1,
        )

    @staticmethod
    def _gain(
        prior: NeuralPrior, linear: Tensor, error: Tensor, known: Tensor
    ) -> Float[Tensor, "patient member measurement parameter"]:
        """Return how far each member's parameters move for each unit that was not expected."""
        lower = prior.network.lower().double()
        # What a unit of each parameter on the network's scale does to what is measured.
        through = torch.einsum("pnk,mk->pmnk", linear, prior.unit.double())
        through = torch.where(known[:, None, :, None], through, 0.0) @ lower
        variance = torch.where(known, error.square(), 1.0)
        within = through @ through.mT + torch.diag_embed(variance)[:, None]
        return torch.linalg.solve(within, through @ lower.mT)


def _moved(gain: Tensor, off: Tensor, member: Tensor) -> Float[Tensor, "patient draw parameter"]:
    found = torch.empty(*off.shape[:2], gain.shape[-1], dtype=off.dtype)
    for each in member.unique():
        patient, draw = torch.nonzero(member == each, as_tuple=True)
        found[patient, draw] = torch.einsum("rn,rnk->rk", off[patient, draw], gain[patient, each])
    return found


def response_twin(
    name: str, prior: NeuralPrior, dynamics: ScheduledRates, observed: MeasuredNumbers, outcome: str
) -> MechanisticTwin:
    """Return the twin of its parts, whose first number is a volume.

    The response is yes if propensity and chance together are above zero.
    """
    count = len(observed.log)

    def number(place: int, states: Tensor, _: Tensor, __: Tensor) -> Tensor:
        return observed.natural(states[..., :count])[..., place]

    def response(states: Tensor, _: Tensor, __: Tensor) -> Tensor:
        return torch.special.ndtr(states[..., -1] / RESPONSE_SD)

    others = observed.modality.features[1:]
    return MechanisticTwin(
        name=name,
        dynamics=dynamics,
        prior=prior,
        observation=observed,
        readouts=(
            Readout(VOLUME, "cm3", partial(number, 0)),
            Readout(outcome, "1", response),
            *(Readout(n, "1", partial(number, k)) for k, n in enumerate(others, start=1)),
        ),
        assimilation=ExactGaussian(),
    )


def prior_of(twin: MechanisticTwin) -> NeuralPrior:
    """Return the prior of a twin of a volume and a response.

    Raises
    ------
    ModelError
        If it is a twin of something else.
    """
    if not isinstance(twin.prior, NeuralPrior):
        raise ModelError(f"twin '{twin.name}' is not of a volume and a response")
    return twin.prior


def response_to_json(twin: MechanisticTwin) -> dict[str, Any]:
    """Return what, beside the tensors of its prior, restores a twin of a volume and a response.

    Raises
    ------
    ModelError
        If it is a twin of something else.
    """
    dynamics, prior, observed = twin.dynamics, twin.prior, twin.observation
    if not (
        isinstance(dynamics, ScheduledRates)
        and isinstance(prior, NeuralPrior)
        and isinstance(observed, MeasuredNumbers)
    ):
        raise ModelError(
            f"twin '{twin.name}' is not of a volume and a response, so it is not stored"
        )
    modality = observed.modality
    return {
        "name": twin.name,
        "outcome": twin.quantities[1],
        "prior": prior.to_json(),
        "numbers": list(dynamics.numbers),
        "schedule": list(dynamics.schedule),
        "agents": list(dynamics.agents),
        "modality": {"name": modality.name, "unit": modality.unit, "features": modality.features},
        "log": list(observed.log),
        "offset": list(observed.offset),
        "error": list(observed.error),
    }


def response_restored(stored: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MechanisticTwin:
    """Return the twin of what was stored."""
    kept = stored["modality"]
    return response_twin(
        stored["name"],
        NeuralPrior.restored(stored["prior"], tensors),
        ScheduledRates(
            tuple(stored["numbers"]), tuple(stored["schedule"]), tuple(stored["agents"])
        ),
        MeasuredNumbers(
            Modality(kept["name"], kept["unit"], tuple(kept["features"])),
            tuple(stored["log"]),
            tuple(stored["offset"]),
            tuple(stored["error"]),
        ),
        stored["outcome"],
    )
