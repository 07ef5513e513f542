"""The twin of a tumour's volume under a drug whose doses are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from omics_twin.dynamics.geng import CAPACITY
from omics_twin.dynamics.settings import Equations, Kinetics
from omics_twin.dynamics.solve import Solved
from omics_twin.dynamics.system import System
from omics_twin.dynamics.tumour import chemoradiotherapy, two_clones, volume_inhibition
from omics_twin.errors import ConfigError, ModelError, nearest, quoted
from omics_twin.twin.cohort_prior import Learned, Seen, learn
from omics_twin.twin.gaussian_prior import GaussianPrior
from omics_twin.twin.measured import MeasuredStates, log_density
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.types import RADIOTHERAPY, Modality

# A twelfth of the half-life of erlotinib in mice, about 12 hours: the error is below 1e-5.
_STEP_DAYS = 0.1
# So far beyond any tumour that growth is exponential.
_NEVER_LINEAR = 1e9
_VOLUME, _KILL = "volume_cm3", "kill_l_per_mg_day"
# By 1 mg just absorbed [1/day].
_TYPICAL_KILL = 0.1
_RESIDUAL = (0.15, 0.02)
_DIVIDES = ("distribution_l", "capacity_cm3", "alpha_beta_gy")
_FAST = ("absorption_per_day", "outward_per_day", "inward_per_day")


@dataclass(frozen=True)
class Law:
    """Equations of a volume, and what is taken of their parameters.

    Attributes
    ----------
    typical
        What learning begins with, beside the kill rate and, unless it is said, the median of the
        first volumes; on natural scales.
    held
        What everybody has alike unless it is said to be otherwise.
    """

    system: Callable[[str, Kinetics], System]
    typical: Mapping[str, float]
    held: Mapping[str, float]


LAWS: Mapping[Equations, Law] = {
    Equations.INHIBITION: Law(
        volume_inhibition,
        # Of xenografts.
        {_VOLUME: 0.1, "exponential_per_day": 0.1, "linear_cm3_per_day": 0.1},
        {},
    ),
    Equations.TWO_CLONES: Law(
        two_clones,
        {"resistant_share": 0.1, "growth_per_day": 0.1, "resistant_growth_per_day": 0.1},
        # Resistance is there from the beginning: what comes later cannot be told from it.
        {"mutation_per_day": 0.0},
    ),
    Equations.CHEMORADIOTHERAPY: Law(
        chemoradiotherapy,
        {"growth_per_day": 0.01, "alpha_per_gy": 0.1},
        # Geng et al. 2017, doi:10.1038/s41598-017-13646-z: a ball of 30 cm, and lung tumours.
        {"capacity_cm3": CAPACITY, "alpha_beta_gy": 10.0},
    ),
}


def volume_twin(
    name: str,
    dynamics: Solved,
    prior: GaussianPrior,
    observed: MeasuredStates,
) -> MechanisticTwin:
    """Return the twin of its parts."""
    state = dynamics.states.index(_VOLUME)
    return MechanisticTwin(
        name=name,
        dynamics=dynamics,
        prior=prior,
        observation=observed,
        readouts=(Readout(_VOLUME, "cm3", lambda states, _, __: states[..., state]),),
    )


def equations_of(
    asked: Equations, kinetics: Kinetics, drug: str, shared: Mapping[str, float]
) -> Solved:
    """Return a volume's equations under a drug; ``shared`` everybody has alike.

    Raises
    ------
    ConfigError
        If the equations have no such parameter, or it is not said how the drug comes and goes.
    """
    law = LAWS[asked]
    system = law.system(drug, kinetics)
    for name, value in shared.items():
        if name not in system.parameters:
            raise ConfigError(
                f"{asked.name} has no parameter '{name}' to be held"
                f"{nearest(name, system.parameters)}"
            )
        if not 0.0 <= value < math.inf or (value == 0.0 and name in _DIVIDES):
            least = "above 0" if name in _DIVIDES else "of 0 or more"
            raise ConfigError(
                f"dynamics.held.{name} is {value:g}, expected a number {least}: correct it"
            )
    held = {**law.held, **shared}
    # Absorption and exchange may be faster than the drug goes: steps must follow them.
    fastest = max((held[each] for each in _FAST if each in held), default=0.0)
    step_days = min(_STEP_DAYS, 1.0 / max(fastest, 1e-9))
    dynamics = Solved(system, held, step_days=step_days)
    known = {_VOLUME, *law.typical, _KILL}
    unknown = [each for each in dynamics.parameters if each not in known]
    if unknown:
        raise ConfigError(
            f"nothing tells {quoted(unknown)} of '{drug}': measure its concentration and set "
            "dynamics.concentration, or set them in dynamics.held"
        )
    return dynamics


def learn_volume(
    seen: Seen,
    modality: Modality,
    drug: str,
    shared: Mapping[str, float],
    *,
    name: str,
    equations: Equations = Equations.INHIBITION,
    kinetics: Kinetics = Kinetics.BOLUS,
    exponential: bool = False,
    iterations: int = 200,
    seed: int = 0,
) -> MechanisticTwin:
    """Return the twin under which the volumes of training patients are most likely.

    Parameters
    ----------
    shared
        How the drug comes and goes, see :class:`omics_twin.dynamics.exposure.Exposure`, and other
        parameters that everybody has alike.
    exponential
        Growth never becomes linear: the simpler model to compare with, which has the same drug,
        random effects and errors.

    Raises
    ------
    ConfigError
        If the equations have no such parameter, or it is not said how the drug comes and goes.
    """
    held = {**shared, **({"linear_cm3_per_day": _NEVER_LINEAR} if exponential else {})}
    dynamics = equations_of(equations, kinetics, drug, held)
    given = {d.drug for plan in seen.plans for each in plan for d in each.intervention.doses}
    if "alpha_per_gy" in dynamics.parameters and RADIOTHERAPY not in given:
        raise ConfigError(
            f"nobody of the training patients was given {RADIOTHERAPY}, so nothing tells of its "
            "effect: choose other equations, or set dynamics.held.alpha_per_gy"
        )
    state = dynamics.states.index(_VOLUME)
    first = torch.nan_to_num(seen.values[:, 0, 0], nan=0.0)
    typical = {
        _VOLUME: float(first[first > 0].median()),
        **LAWS[equations].typical,
        _KILL: _TYPICAL_KILL * dynamics.shared["distribution_l"],
    }

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
    return volume_twin(name, dynamics, found.prior, observed)


def volume_to_json(twin: MechanisticTwin) -> dict[str, Any]:
    """Return plain values of a twin of a volume.

    Raises
    ------
    ModelError
        If it is a twin of something else.
    """
    dynamics, prior, observed = twin.dynamics, twin.prior, twin.observation
    made = _made_by(dynamics) if isinstance(dynamics, Solved) else None
    if not (
        made
        and isinstance(dynamics, Solved)
        and isinstance(prior, GaussianPrior)
        and isinstance(observed, MeasuredStates)
    ):
        raise ModelError(f"twin '{twin.name}' is not of a volume under a drug, so it is not stored")
    equations, kinetics = made
    return {
        "name": twin.name,
        "modality": asdict(twin.modality),
        "drug": dynamics.drugs[0],
        "equations": equations.name,
        "kinetics": kinetics.name,
        "shared": dict(dynamics.shared),
        "prior": prior.to_json(),
        "proportional": list(observed.proportional),
        "additive": list(observed.additive),
    }


def _made_by(dynamics: Solved) -> tuple[Equations, Kinetics] | None:
    for (equations, law), kinetics in product(LAWS.items(), Kinetics):
        if dynamics.system is law.system(dynamics.drugs[0], kinetics):
            return equations, kinetics
    return None


def volume_from_json(stored: Mapping[str, Any]) -> MechanisticTwin:
    """Return the twin from plain values."""
    kept = stored["modality"]
    modality = Modality(kept["name"], kept["unit"], tuple(kept["features"]))
    # Models of before there was a choice have the first of each.
    equations = Equations[stored.get("equations", "INHIBITION")]
    kinetics = Kinetics[stored.get("kinetics", "BOLUS")]
    dynamics = equations_of(equations, kinetics, stored["drug"], stored["shared"])
    observed = MeasuredStates(
        modality,
        (dynamics.states.index(_VOLUME),),
        tuple(stored["proportional"]),
        tuple(stored["additive"]),
    )
    return volume_twin(stored["name"], dynamics, GaussianPrior.from_json(stored["prior"]), observed)
