"""A twin of volumes is learned from mice, honest about how few they are, and kept in JSON."""

from __future__ import annotations

import pytest
import torch

from omics_twin.dynamics.plan import plan_of
from omics_twin.dynamics.settings import Equations, Kinetics
from omics_twin.errors import ConfigError, ModelError
from omics_twin.twin.cohort_prior import Seen
from omics_twin.twin.gaussian_prior import GaussianPrior, Scale
from omics_twin.twin.measured import MeasuredStates
from omics_twin.twin.mechanistic import MechanisticTwin
from omics_twin.twin.volume import (
    equations_of,
    learn_volume,
    volume_from_json,
    volume_to_json,
    volume_twin,
)
from omics_twin.types import Dose, Intervention, Modality
from tests.twins_mechanistic import tumour_twin

VOLUME = Modality("tumour", "cm3", ("volume",))
SHARED = {"elimination_per_day": 1.5, "distribution_l": 0.4, "absorbed": 0.7}
NAMES = ("volume_cm3", "exponential_per_day", "linear_cm3_per_day", "kill_l_per_mg_day")
TYPICAL = (0.12, 0.1, 0.09, 0.04)


def made() -> MechanisticTwin:
    prior = GaussianPrior(
        NAMES,
        (Scale.LOG,) * 4,
        torch.tensor(TYPICAL, dtype=torch.float64).log(),
        0.09 * torch.eye(4, dtype=torch.float64),
    )
    observed = MeasuredStates(VOLUME, (1,), (0.08,), (0.01,))
    dynamics = equations_of(Equations.INHIBITION, Kinetics.BOLUS, "erlotinib", SHARED)
    return volume_twin("mice", dynamics, prior, observed)


def mice(count: int) -> Seen:
    twin = made()
    days = torch.arange(0.0, 29.0, 4.0, dtype=torch.float64).expand(count, -1)
    doses = tuple(Dose("erlotinib", 0.6, "mg", float(day)) for day in range(3, 17))
    plans = [plan_of([], [], Intervention("arm", doses * (row % 2))) for row in range(count)]
    state = twin.start([f"m{row}" for row in range(count)], draws=1, seed=5)
    natural = twin.prior.natural(state.draws)
    states = twin.dynamics.run(natural, plans, days)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(count, 1, 8, 1, generator=generator, dtype=torch.float64)
    values = twin.observation.sample(states, natural, noise)[:, 0]
    values[0, 3:] = torch.nan
    return Seen(torch.where(torch.isnan(values[..., 0]), torch.nan, days), values, plans)


def test_the_mice_that_made_volumes_are_found_again() -> None:
    twin = learn_volume(mice(24), VOLUME, "erlotinib", SHARED, name="found", iterations=60)
    assert isinstance(twin.prior, GaussianPrior)
    assert isinstance(twin.observation, MeasuredStates)
    true = torch.tensor(TYPICAL, dtype=torch.float64).log()
    torch.testing.assert_close(twin.prior.mean, true, rtol=0, atol=0.35)
    spread = twin.prior.covariance.diagonal().sqrt()
    assert ((spread > 0.2) & (spread < 0.8)).all()
    assert 0.05 < twin.observation.proportional[0] < 0.11
    assert volume_to_json(volume_from_json(volume_to_json(twin))) == volume_to_json(twin)


def test_exponential_growth_is_the_same_twin_with_a_parameter_less() -> None:
    twin = learn_volume(
        mice(12),
        VOLUME,
        "erlotinib",
        SHARED,
        name="simple",
        exponential=True,
        iterations=20,
    )
    assert twin.dynamics.parameters == (*NAMES[:2], NAMES[3])


def test_what_the_equations_do_not_have_is_not_held() -> None:
    asked = (Equations.TWO_CLONES, Kinetics.ORAL, "erlotinib")
    with pytest.raises(ConfigError, match="no parameter 'mutation' to be held: did you mean"):
        equations_of(*asked, {**SHARED, "mutation": 0.1})
    with pytest.raises(ConfigError, match="nothing tells 'absorption_per_day' of 'erlotinib'"):
        equations_of(*asked, SHARED)


def test_a_larger_dose_leaves_a_smaller_volume() -> None:
    twin = made()
    state = twin.start(["ada"], draws=50, seed=1)
    plans = [
        Intervention("dose", (Dose("erlotinib", a, "mg", 1.0, 0.0, 1.0, 14),)) for a in (0, 1, 4)
    ]
    day = torch.tensor([20.0])
    volumes = torch.stack([twin.simulate(state, each, day).values[0, :, 0, 0] for each in plans])
    assert (volumes[:-1] > volumes[1:]).all()


def test_a_twin_of_something_else_is_not_stored_as_one_of_a_volume() -> None:
    with pytest.raises(ModelError, match="is not of a volume under a drug"):
        volume_to_json(tumour_twin())


@pytest.mark.parametrize("volume", [-1.0, 0.0, float("nan"), float("inf")])
def test_what_is_held_must_be_possible(volume: float) -> None:
    held = {"elimination_per_day": 1.0, "absorbed": 1.0, "distribution_l": volume}
    with pytest.raises(ConfigError, match="held.distribution_l is .*, expected"):
        equations_of(Equations.INHIBITION, Kinetics.BOLUS, "erlotinib", held)


def test_radiotherapy_that_nobody_had_is_not_learned() -> None:
    days = torch.zeros(1, 1, dtype=torch.float64)
    seen = Seen(days, days[..., None] + 0.1, [plan_of([], [], Intervention("a", (Dose("a"),)))])
    held = {"elimination_per_day": 1.0, "absorbed": 1.0, "distribution_l": 1.0}
    modality = Modality("tumour", "cm3", ("volume",))
    with pytest.raises(ConfigError, match="nobody of the training patients was given radiotherapy"):
        learn_volume(seen, modality, "a", held, name="v", equations=Equations.CHEMORADIOTHERAPY)
