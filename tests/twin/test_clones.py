"""A sensitive and a resistant clone are told apart in sizes that they made, and kept in JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omics_twin.dynamics.plan import plan_of
from omics_twin.twin.clones import clones_from_json, clones_to_json, learn_clones
from omics_twin.twin.cohort_prior import Seen
from omics_twin.twin.gaussian_prior import GaussianPrior
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.size import MeasuredSize
from omics_twin.types import NO_INTERVENTION, Dose, Intervention, Modality, Observation
from tests.twins_mechanistic import two_clones_twin

SIZE = Modality("tumour", "mm", ("diameter", "too_small"))
TREATED = Intervention("arm", (Dose("arm"),))


def made() -> MechanisticTwin:
    twin = two_clones_twin()
    return replace(twin, observation=MeasuredSize(SIZE, 0, 0.05, 1.0, 6.0, 5.0))


def test_the_clones_that_made_sizes_are_found_again() -> None:
    twin, patients = made(), 50
    days = torch.arange(0.0, 400.0, 56.0, dtype=torch.float64).expand(patients, -1)
    plans = [plan_of([], [], TREATED)] * patients
    state = twin.start([f"p{row}" for row in range(patients)], draws=1, seed=1)
    natural = twin.prior.natural(state.draws)
    states = twin.dynamics.run(natural, plans, days)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(patients, 1, 8, 2, generator=generator, dtype=torch.float64)
    values = twin.observation.sample(states, natural, noise)[:, 0]
    small = values[..., 1:] == 1.0
    values = torch.cat([values[..., :1].where(~small, torch.nan), small.double()], dim=-1)
    found = learn_clones(Seen(days, values, plans), SIZE, name="found", iterations=60)
    assert isinstance(found.prior, GaussianPrior)
    assert isinstance(twin.prior, GaussianPrior)
    torch.testing.assert_close(found.prior.mean, twin.prior.mean, rtol=0, atol=0.4)
    assert isinstance(found.observation, MeasuredSize)
    assert 0.03 < found.observation.proportional < 0.08
    again = clones_from_json(clones_to_json(found))
    assert clones_to_json(again) == clones_to_json(found)


def test_a_therapy_selects_the_resistant_clone() -> None:
    twin = made()
    state = twin.start(["ada"], draws=200, seed=1)
    days = torch.tensor([0.0, 100.0, 1500.0], dtype=torch.float64)
    sizes = twin.simulate(state, TREATED, days).values[0, :, :, 0].median(dim=0).values
    assert sizes[1] < sizes[0] < sizes[2]
    without = twin.simulate(state, NO_INTERVENTION, days).values[0, :, 1, 0]
    assert (without > twin.simulate(state, TREATED, days).values[0, :, 1, 0]).all()


def test_what_is_too_small_to_measure_has_half_the_limit() -> None:
    values = torch.tensor([[torch.nan, 1.0], [torch.nan, 0.0], [7.0, 0.0]])
    assert made().sizes(values).tolist() == pytest.approx([2.5, torch.nan, 7.0], nan_ok=True)
    state = made().start(["ada"], draws=100, seed=1)
    seen = Observation(("ada",), torch.tensor([56.0]), {"tumour": values[:1].double()})
    after = made().observe(state, seen, under=TREATED)
    now = torch.tensor([56.0])
    assert float(made().simulate(after, TREATED, now).values.select(-1, 0).median()) < 10.0
