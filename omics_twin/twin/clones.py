"""The twin of a sum of diameters made up by a sensitive and a resistant clone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from omics_twin.dynamics.growth import TwoClones
from omics_twin.errors import ModelError
from omics_twin.twin.cohort_prior import Seen, learn
from omics_twin.twin.gaussian_prior import GaussianPrior
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.size import MeasuredSize, size_density, size_readouts
from omics_twin.types import Modality

# Size [mm], resistant share, growth and kill rate [1/day].
_TYPICAL = (50.0, 0.3, 0.001, 0.005)
# Proportional and additive error [mm], and the degrees of freedom of Student's t.
_RESIDUAL = (0.1, 1.0, 5.0)
_LIMIT_MM = 5.0


def clones_twin(name: str, prior: GaussianPrior, observed: MeasuredSize) -> MechanisticTwin:
    """Return the twin of its parts."""
    return MechanisticTwin(
        name=name,
        dynamics=TwoClones(),
        prior=prior,
        observation=observed,
        readouts=size_readouts(0),
    )


def learn_clones(
    seen: Seen, modality: Modality, *, name: str, iterations: int = 200, seed: int = 0
) -> MechanisticTwin:
    """Return the twin under which the sizes of training patients are most likely."""

    def density(values: Tensor, states: Tensor, residual: Tensor) -> Tensor:
        proportional, additive, freedom = residual.exp().unbind()
        return size_density(values, states[..., 0], proportional, additive, freedom, _LIMIT_MM)

    found = learn(
        seen,
        TwoClones(),
        density,
        _TYPICAL,
        _RESIDUAL,
        iterations=iterations,
        seed=seed,
        source=f"{len(seen.plans)} training patients",
    )
    proportional, additive, freedom = found.residual.exp().tolist()
    observed = MeasuredSize(modality, 0, proportional, additive, freedom, _LIMIT_MM)
    return clones_twin(name, found.prior, observed)


def clones_to_json(twin: MechanisticTwin) -> dict[str, Any]:
    """Return plain values of a twin of two clones.

    Raises
    ------
    ModelError
        If it is a twin of something else.
    """
    prior, observed = twin.prior, twin.observation
    if not (isinstance(prior, GaussianPrior) and isinstance(observed, MeasuredSize)):
        raise ModelError(f"twin '{twin.name}' is not of two clones, so it is not stored")
    return {
        "name": twin.name,
        "modality": asdict(twin.modality),
        "prior": prior.to_json(),
        "observed": observed.to_json(),
    }


def clones_from_json(stored: Mapping[str, Any]) -> MechanisticTwin:
    """Return the twin from plain values."""
    kept = stored["modality"]
    modality = Modality(kept["name"], kept["unit"], tuple(kept["features"]))
    prior = GaussianPrior.from_json(stored["prior"])
    observed = MeasuredSize.from_json(stored["observed"], modality)
    return clones_twin(stored["name"], prior, observed)
