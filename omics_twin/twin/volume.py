"""The twin of a tumour's volume under a drug whose doses are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from omics_twin.dynamics.solve import Solved
from omics_twin.dynamics.tumour import volume_inhibition
from omics_twin.errors import ModelError
from omics_twin.twin.cohort_prior import Learned, Seen, learn
from omics_twin.twin.gaussian_prior import GaussianPrior
from omics_twin.twin.measured import MeasuredStates, log_density
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.types import Modality

# A twelfth of the half-life of erlotinib in mice, about 12 hours: the error is below 1e-5.
_STEP_DAYS = 0.1
# So far beyond any tumour that growth is exponential.
_NEVER_LINEAR = 1e9
_TYPICAL = {"volume_cm3": 0.1, "exponential_per_day": 0.1, "linear_cm3_per_day": 0.1}
# By 1 mg just absorbed [1/day].
_TYPICAL_KILL = 0.1
_RESIDUAL = (0.15, 0.02)


def volume_twin(
    name: str,
    modality: Modality,
    drug: str,
    shared: Mapping[str, float],
    prior: GaussianPrior,
    observed: MeasuredStates,
) -> MechanisticTwin:
    """Return the twin of its parts; ``shared`` are parameters that everybody has alike."""
    dynamics = Solved(volume_inhibition(drug), dict(shared), step_days=_STEP_DAYS)
    state = dynamics.states.index("volume_cm3")
    return MechanisticTwin(
        name=name,
        dynamics=dynamics,
        prior=prior,
        observation=observed,
        readouts=(Readout("volume_cm3", "cm3", lambda states, _, __: states[..., state]),),
    )


def learn_volume(
    seen: Seen,
    modality: Modality,
    drug: str,
    shared: Mapping[str, float],
    *,
    name: str,
    exponential: bool = False,
    iterations: int = 200,
    seed: int = 0,
) -> MechanisticTwin:
    """Return the twin under which the volumes of training patients are most likely.

    Parameters
    ----------
    shared
        How the drug comes and goes, see :class:`omics_twin.dynamics.exposure.Exposure`.
    exponential
        Growth never becomes linear: the simpler model to compare with, which has the same drug,
        random effects and errors.
    """
    held = {**shared, **({"linear_cm3_per_day": _NEVER_LINEAR} if exponential else {})}
    dynamics = Solved(volume_inhibition(drug), held, step_days=_STEP_DAYS)
    state = dynamics.states.index("volume_cm3")
    typical = _TYPICAL | {"kill_l_per_mg_day": _TYPICAL_KILL * held["distribution_l"]}

    def density(values: Tensor, states: Tensor, residual: Tensor) -> Tensor:
        proportional, additive = residual.exp().unbind()
        true = states[..., state : state + 1]
        return log_density(values[:, None], true, proportional[None], additive[None])[..., 0]

    found: Learned = learn(
        seen,
        dynamics,
        density,
        [typical[each] for each in dynamics.parameters],
        _RESIDUAL,
        iterations=iterations,
        seed=seed,
        source=f"{len(seen.plans)} training patients",
    )
    proportional, additive = found.residual.exp().tolist()
    observed = MeasuredStates(modality, (state,), (proportional,), (additive,))
    return volume_twin(name, modality, drug, held, found.prior, observed)


def volume_to_json(twin: MechanisticTwin) -> dict[str, Any]:
    """Return plain values of a twin of a volume.

    Raises
    ------
    ModelError
        If it is a twin of something else.
    """
    dynamics, prior, observed = twin.dynamics, twin.prior, twin.observation
    if not (
        isinstance(dynamics, Solved)
        and dynamics.system is volume_inhibition(dynamics.drugs[0])
        and isinstance(prior, GaussianPrior)
        and isinstance(observed, MeasuredStates)
    ):
        raise ModelError(f"twin '{twin.name}' is not of a volume under a drug, so it is not stored")
    return {
        "name": twin.name,
        "modality": asdict(twin.modality),
        "drug": dynamics.drugs[0],
        "shared": dict(dynamics.shared),
        "prior": prior.to_json(),
        "proportional": list(observed.proportional),
        "additive": list(observed.additive),
    }


def volume_from_json(stored: Mapping[str, Any]) -> MechanisticTwin:
    """Return the twin from plain values."""
    kept = stored["modality"]
    modality = Modality(kept["name"], kept["unit"], tuple(kept["features"]))
    state = volume_inhibition(stored["drug"]).states.index("volume_cm3")
    observed = MeasuredStates(
        modality, (state,), tuple(stored["proportional"]), tuple(stored["additive"])
    )
    prior = GaussianPrior.from_json(stored["prior"])
    return volume_twin(stored["name"], modality, stored["drug"], stored["shared"], prior, observed)
