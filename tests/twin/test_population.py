"""The population that made some patients is found again, arms and error included."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from omics_twin.dynamics.growth import GrowthInhibition
from omics_twin.dynamics.plan import plan_of
from omics_twin.errors import TrainingError
from omics_twin.twin.gaussian_prior import Scale, natural
from omics_twin.twin.population import Chains, Population, fit_population
from omics_twin.types import Dose, Intervention

HELD = plan_of([], [], Intervention("held", (Dose("drug"),)))
ARMS = 6


def truth() -> Population:
    mean = torch.tensor([60.0, 0.002, 0.008, 0.006], dtype=torch.float64).log()
    root = 0.3 * torch.eye(4, dtype=torch.float64)
    root[1, 0] = 0.1
    effects = torch.zeros(ARMS, 4, dtype=torch.float64)
    effects[:, 2] = torch.tensor([-0.6, -0.3, 0.0, 0.0, 0.3, 0.6])
    return Population(
        GrowthInhibition().parameters,
        (Scale.LOG,) * 4,
        mean,
        root @ root.T,
        tuple(f"arm {each}" for each in range(ARMS)),
        effects,
        effects.square().mean(dim=0),
        torch.tensor([0.07], dtype=torch.float64).log(),
    )


class Scans:
    """Patients scanned every eight weeks with a proportional error."""

    def __init__(self, patients: int) -> None:
        generator = torch.Generator().manual_seed(1)
        made = truth()
        self.arm_of = torch.arange(patients) % ARMS
        noise = torch.randn(patients, 4, generator=generator, dtype=torch.float64)
        values = made.mean + made.arm_effects[self.arm_of]
        values = values + noise @ torch.linalg.cholesky(made.covariance).T
        self.days = (56.0 * torch.arange(8, dtype=torch.float64)).expand(patients, -1)
        size = self.sizes(natural(made.scales, values)[:, None])[:, 0]
        error = torch.randn(size.shape, generator=generator, dtype=torch.float64)
        self.measured = size * (1 + 0.07 * error)
        # Some patients were scanned once only.
        self.measured[::7, 1:] = torch.nan

    def sizes(self, parameters: Tensor) -> Tensor:
        return GrowthInhibition().run(parameters, [HELD] * len(self.days), self.days)[..., 0]

    def __call__(self, parameters: Tensor, residual: Tensor) -> Tensor:
        size = self.sizes(parameters)
        spread = residual[0].exp() * size
        known = torch.isfinite(self.measured)[:, None]
        z = (torch.nan_to_num(self.measured)[:, None] - size) / spread
        return torch.where(known, -0.5 * z.square() - torch.log(spread), 0.0).sum(dim=-1)


def begin() -> Population:
    made = truth()
    return replace(
        made,
        mean=made.mean + torch.tensor([0.2, 0.4, -0.4, 0.3]),
        covariance=0.15 * torch.eye(4, dtype=torch.float64),
        arm_effects=torch.zeros(ARMS, 4, dtype=torch.float64),
        arm_variance=torch.tensor([0.0, 0.0, 0.1, 0.0], dtype=torch.float64),
        residual=torch.tensor([0.2], dtype=torch.float64).log(),
    )


MOVED = torch.tensor([False, False, True, False])


def test_the_population_is_found_again() -> None:
    scans, made = Scans(240), truth()
    found = fit_population(
        scans, begin(), scans.arm_of, moved_by_arm=MOVED, iterations=160, exploring=100
    )
    torch.testing.assert_close(found.mean, made.mean, rtol=0, atol=0.2)
    spread = found.covariance.diagonal().sqrt()
    torch.testing.assert_close(spread, made.covariance.diagonal().sqrt(), rtol=0.5, atol=0)
    assert abs(float(found.residual.exp()) - 0.07) < 0.01
    assert (found.arm_effects[:, 2].diff() > -0.15).all()
    assert 0.05 < float(found.arm_variance[2]) < 0.4
    assert (found.arm_effects[:, [0, 1, 3]] == 0).all()


def test_an_interrupted_fit_ends_where_it_would_have() -> None:
    scans = Scans(24)
    kept: list[Chains] = []
    whole = fit_population(
        scans, begin(), scans.arm_of, moved_by_arm=MOVED, iterations=6, keep=kept.append
    )
    rest = fit_population(
        scans, begin(), scans.arm_of, moved_by_arm=MOVED, iterations=6, start=kept[2]
    )
    assert torch.equal(whole.mean, rest.mean)
    assert torch.equal(whole.covariance, rest.covariance)


def test_an_impossible_beginning_is_refused() -> None:
    scans = Scans(12)

    def never(parameters: Tensor, residual: Tensor) -> Tensor:
        return torch.full(parameters.shape[:2], -torch.inf, dtype=parameters.dtype)

    with pytest.raises(TrainingError, match="make some patient's measurements impossible"):
        fit_population(never, begin(), scans.arm_of, moved_by_arm=MOVED, iterations=1)
