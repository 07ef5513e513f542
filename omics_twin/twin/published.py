"""Twins whose population is published, every number with where it is from.

They show what doses and schedules do in the model; nobody's data were used to check them here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from omics_twin.dynamics.solve import Solved
from omics_twin.dynamics.tumour import growth_and_neutrophils
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.measured import MeasuredStates
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.twin.size import size_readouts
from omics_twin.types import Modality

_GRADE_4 = 0.5
_WEEK = 7.0


@dataclass(frozen=True)
class Constant:
    """A published number.

    Attributes
    ----------
    value, variance
        Typical value, and variance between patients on the log scale; 0: the same in all.
    source
        Where it is from.
    status
        ``read`` at the source named, ``computed`` from such numbers, or ``assumed``.
    """

    value: float
    variance: float
    source: str
    status: str


_SCHINDLER = "doi:10.1002/psp4.12057"
_FRIBERG = "doi:10.1200/JCO.2002.02.140"
_CLEARANCE = 24.0 * 32.819

SUNITINIB: dict[str, Constant] = {
    "size_mm": Constant(263.064, 0.2887, _SCHINDLER, "read"),
    "growth_per_day": Constant(0.0104796 / _WEEK, 0.3613, _SCHINDLER, "read"),
    "kill_per_day": Constant(0.0165971 / _WEEK, 0.3986, _SCHINDLER, "read"),
    "resistance_per_day": Constant(0.0200529 / _WEEK, 0.1, _SCHINDLER, "read; variance assumed"),
    "clearance_per_day": Constant(_CLEARANCE, 0.0, _SCHINDLER, "read"),
    # So that the exposure follows doses with the published half-life of the effect, 50 hours.
    "volume_l": Constant(_CLEARANCE / 24.0 * 50.0 / math.log(2.0), 0.0, _SCHINDLER, "computed"),
    "neutrophils_before": Constant(7.21, 0.107, _FRIBERG, "read, for paclitaxel"),
    "transit_days": Constant(124.0 / 24.0, 0.0296, _FRIBERG, "read, for paclitaxel"),
    "slope_l_per_mg": Constant(6.0, 0.176, _FRIBERG, "assumed; variance read"),
    "feedback": Constant(0.239, 0.0, _FRIBERG, "read, for paclitaxel"),
}


def sunitinib() -> MechanisticTwin:
    """Return a twin of gastrointestinal stromal tumours under sunitinib, with its neutrophils.

    References
    ----------
    Schindler et al. 2016, doi:10.1002/psp4.12057 (size); Friberg et al. 2002,
    doi:10.1200/JCO.2002.02.140 (neutrophils).
    """
    shared = {name: each.value for name, each in SUNITINIB.items() if each.variance == 0}
    dynamics = Solved(growth_and_neutrophils("sunitinib"), shared)
    own = [SUNITINIB[name] for name in dynamics.parameters]
    prior = GaussianPrior(
        dynamics.parameters,
        (Scale.LOG,) * len(own),
        torch.tensor([each.value for each in own], dtype=torch.float64).log(),
        torch.diag(torch.tensor([each.variance for each in own], dtype=torch.float64)),
        "; ".join(
            f"{n}: {SUNITINIB[n].source} ({SUNITINIB[n].status})" for n in dynamics.parameters
        ),
    )
    size, blood = (dynamics.states.index(name) for name in ("size_mm", "neutrophils"))

    def worst(states: Tensor, _: Tensor, __: Tensor) -> Float[Tensor, "patient draw time"]:
        return (states[..., blood].cummin(dim=-1).values < _GRADE_4).to(states)

    return MechanisticTwin(
        name="sunitinib in gastrointestinal stromal tumours",
        dynamics=dynamics,
        prior=prior,
        observation=MeasuredStates(
            Modality("visit", "mixed", ("sum_of_diameters_mm", "neutrophils_1e9_per_l")),
            (size, blood),
            (0.0668, 0.286),
        ),
        readouts=(
            *size_readouts(size),
            Readout("neutrophils", "1e9/L", lambda states, _, __: states[..., blood]),
            Readout("neutropenia_grade_4", "1", worst, 7.0),
        ),
    )


PUBLISHED = {"sunitinib": sunitinib}
# Doses that are compared where none are named [mg].
AMOUNTS = {"sunitinib": (25.0, 37.5, 50.0, 62.5)}
