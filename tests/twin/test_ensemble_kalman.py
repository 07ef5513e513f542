"""The ensemble Kalman filter is exact where it should be, and near where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from omics_twin.dynamics.plan import Plan
from omics_twin.errors import ModelError, TwinError
from omics_twin.twin.draws import weighted_mean
from omics_twin.twin.ensemble_kalman import EnsembleKalman, moved
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.measured import MeasuredStates
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.parts import Readout
from omics_twin.types import Dose, Intervention, Modality, Observation, TwinState
from tests.twins_mechanistic import TUMOUR, tumour_twin

ARM = Intervention("arm", (Dose("paclitaxel"),))
LINE = Modality("line", "1", ("height",))


@dataclass(frozen=True)
class Line:
    """A straight line: what is measured is linear in the parameters."""

    parameters: tuple[str, ...] = ("level", "slope")
    states: tuple[str, ...] = ("height",)
    drugs: tuple[str, ...] | None = None

    def run(self, parameters: Tensor, plans: Sequence[Plan], days: Tensor) -> Tensor:
        level, slope = parameters.unsqueeze(2).unbind(-1)
        return (level + slope * days[:, None]).unsqueeze(-1)


def line_twin(steps: int) -> MechanisticTwin:
    mean = torch.tensor([50.0, 0.5], dtype=torch.float64)
    covariance = torch.tensor([[9.0, 0.3], [0.3, 0.04]], dtype=torch.float64)
    return MechanisticTwin(
        "line",
        Line(),
        GaussianPrior(("level", "slope"), (Scale.IDENTITY,) * 2, mean, covariance),
        MeasuredStates(LINE, (0,), (0.0,), (1.5,)),
        (Readout("height", "1", lambda states, _, __: states[..., 0]),),
        EnsembleKalman(steps),
    )


def shown(twin: MechanisticTwin, draws: int, visits: dict[float, float]) -> TwinState:
    state = twin.start(["ada"], draws=draws, seed=3)
    for day, value in visits.items():
        on = torch.tensor([day], dtype=torch.float64)
        seen = {twin.modality.name: torch.tensor([[value]], dtype=torch.float64)}
        state = twin.observe(state, Observation(("ada",), on, seen), under=ARM)
    return state


@pytest.mark.parametrize("steps", [1, 4])
def test_a_line_is_known_as_well_as_the_exact_filter_knows_it(steps: int) -> None:
    twin, visits = line_twin(steps), {0.0: 47.0, 4.0: 52.0, 9.0: 51.0}
    assert isinstance(twin.prior, GaussianPrior)
    design = torch.tensor([[1.0, day] for day in visits], dtype=torch.float64)
    found = torch.tensor(list(visits.values()), dtype=torch.float64)
    before = torch.linalg.inv(twin.prior.covariance)
    exact = torch.linalg.inv(before + design.T @ design / 1.5**2)
    mean = exact @ (before @ twin.prior.mean + design.T @ found / 1.5**2)
    draws = shown(twin, 20_000, visits).draws[0]
    sd = exact.diagonal().sqrt()
    assert ((draws.mean(dim=0) - mean).abs() < 0.05 * sd).all()
    scaled = torch.cov(draws.T) / (sd[:, None] * sd)
    torch.testing.assert_close(scaled, exact / (sd[:, None] * sd), rtol=0, atol=0.05)


def test_a_tumour_is_believed_to_be_what_the_sampler_believes() -> None:
    twin = tumour_twin()
    visits = {0.0: 62.0, 14.0: 60.0, 28.0: 55.0, 42.0: 51.0, 56.0: 49.0}
    other = replace(twin, assimilation=EnsembleKalman())
    exact, near = (shown(each, 2000, visits) for each in (twin, other))
    assert torch.equal(near.log_weights, near.log_weights[:, :1].expand(-1, 2000))
    for day in (56.0, 112.0):
        sizes = [
            twin.simulate(each, ARM, torch.tensor([day])).values[..., 0, 0].log()
            for each in (exact, near)
        ]
        means = [weighted_mean(v, s.log_weights) for v, s in zip(sizes, (exact, near), strict=True)]
        spread = [
            weighted_mean((v - m[:, None]).square(), s.log_weights).sqrt()
            for v, m, s in zip(sizes, means, (exact, near), strict=True)
        ]
        assert abs(float(means[0] - means[1])) < 0.3 * float(spread[0])
        assert 0.8 < float(spread[1] / spread[0]) < 1.25


def test_what_was_not_measured_tells_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    draws, mean, noise = torch.randn(3, 2, 50, 2, generator=generator, dtype=torch.float64)
    found = torch.tensor([[0.5, torch.nan], [torch.nan, torch.nan]], dtype=torch.float64)
    after = moved(draws, mean, torch.ones_like(mean), found, noise)
    torch.testing.assert_close(after[1], draws[1], rtol=0, atol=0)
    only = [each[:1, :, :1] for each in (mean, noise)]
    one = moved(draws[:1], only[0], torch.ones_like(only[0]), found[:1, :1], only[1])
    torch.testing.assert_close(after[0], one[0])


def test_errors_that_are_not_gaussian_and_too_few_draws_are_refused() -> None:
    with pytest.raises(ModelError, match="expected at least 1"):
        EnsembleKalman(0)
    with pytest.raises(TwinError, match="expected at least 2"):
        shown(line_twin(1), 1, {0.0: 50.0})
    twin = replace(tumour_twin(), assimilation=EnsembleKalman())
    small = Modality(TUMOUR.name, TUMOUR.unit, ("diameter_mm", "too_small"))
    twin = replace(twin, observation=replace(twin.observation, modality=small))
    state = twin.start(["ada"], draws=10, seed=1)
    values = {"tumour": torch.tensor([[60.0, 0.0]], dtype=torch.float64)}
    with pytest.raises(TwinError, match="are not Gaussian"):
        twin.observe(state, Observation(("ada",), torch.zeros(1, dtype=torch.float64), values))
