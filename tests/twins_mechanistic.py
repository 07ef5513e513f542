"""Small mechanistic twins for tests."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from omics_twin.dynamics.growth import GrowthInhibition, TwoClones
from omics_twin.dynamics.recist import progression_free
from omics_twin.twin.clones import clones_twin
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.growth_belief import GrowthPopulation
from omics_twin.twin.growth_process import GrowthProcessTwin
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.twin.size import MeasuredSize
from omics_twin.types import Modality, Observation, Twin

TUMOUR = Modality("tumour", "mm", ("diameter_mm",))
EXPOSURE = {"paclitaxel": 1.0, "pembrolizumab": 0.5, "carboplatin": 0.8}


def growth_prior(between: float = 0.3) -> GaussianPrior:
    """Return a prior around growth of 0.15 %, kill of 0.6 % and resistance of 0.4 % per day."""
    mean = torch.tensor([60.0, 0.0015, 0.006, 0.004], dtype=torch.float64).log()
    root = between * torch.tensor(
        [[1.0, 0, 0, 0], [0.2, 1.0, 0, 0], [0, 0.3, 1.0, 0], [0, 0, 0.3, 1.0]], dtype=torch.float64
    )
    dynamics = GrowthInhibition(EXPOSURE)
    return GaussianPrior(dynamics.parameters, (Scale.LOG,) * 4, mean, root @ root.T, "made up")


def tumour_twin(between: float = 0.3) -> MechanisticTwin:
    """Return a twin of tumour size with growth, inhibition and resistance."""
    return MechanisticTwin(
        name="tumour",
        dynamics=GrowthInhibition(EXPOSURE),
        prior=growth_prior(between),
        observation=MeasuredSize(TUMOUR, proportional=0.067, additive_mm=1.0),
        readouts=(
            Readout("size_mm", "mm", lambda states, _, __: states[..., 0]),
            Readout(
                "progression_free", "1", lambda states, _, __: progression_free(states[..., 0]), 56
            ),
        ),
    )


def two_clones_twin() -> MechanisticTwin:
    """Return a twin of a sensitive and a resistant clone; a size may be too small to measure."""
    mean = torch.tensor([60.0, 0.2, 0.001, 0.006], dtype=torch.float64)
    share = torch.tensor([False, True, False, False])
    return clones_twin(
        "clones",
        GaussianPrior(
            TwoClones().parameters,
            (Scale.LOG, Scale.LOGIT, Scale.LOG, Scale.LOG),
            torch.where(share, mean.logit(), mean.log()),
            0.1 * torch.eye(4, dtype=torch.float64),
        ),
        MeasuredSize(TUMOUR, 0, 0.05, 1.0, 6.0, 5.0),
    )


def growth_process_twin(freedom: float = 5.0) -> GrowthProcessTwin:
    """Return the exact twin of tumour size."""
    return GrowthProcessTwin(
        "size",
        TUMOUR,
        GrowthPopulation(
            level=4.1,
            growth=0.001,
            kill=0.004,
            level_sd=0.5,
            growth_sd=0.001,
            kill_sd=0.003,
            resistance=0.006,
            walk=1e-4,
            error=2e-3,
            freedom=freedom,
            early=0.01,
        ),
    )


def size_visit(twin: Twin, patient_ids: Sequence[str], day: float, seed: int = 0) -> Observation:
    """Return a visit at which the tumour is measured."""
    generator = torch.Generator().manual_seed(seed + 1000)
    size = 60.0 + 8.0 * torch.randn(len(patient_ids), 1, generator=generator)
    days = torch.full((len(patient_ids),), day, dtype=torch.float64)
    return Observation(tuple(patient_ids), days, {"tumour": size.double()})
