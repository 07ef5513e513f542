"""What calibration changes in a belief, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import replace

import torch

from omics_twin.twin.calibration import Calibration, sharpened
from omics_twin.twin.draws import select, weighted_mean
from omics_twin.types import Endpoint, Intervention
from tests.twins import neural_twin, visit_of

PATIENTS = ("ada", "ben")


def test_a_spread_moves_the_draws_of_its_patient_apart_and_leaves_the_mean() -> None:
    twin, endpoint = neural_twin(seed=3), Endpoint("pcr", "pcr", 180.0)
    state = twin.start(PATIENTS, draws=60, seed=1)
    state = twin.observe(state, visit_of(twin, PATIENTS, 0.0))
    wide = replace(state, spread=torch.tensor([1.0, 2.0]))
    own, moved = (
        endpoint.read(twin.simulate(each, Intervention("control"), endpoint.days()))
        for each in (state, wide)
    )
    torch.testing.assert_close(own[0], moved[0])
    assert float(moved[1].std()) > 1.3 * float(own[1].std())
    torch.testing.assert_close(
        weighted_mean(own, state.log_weights),
        weighted_mean(moved, state.log_weights),
        atol=2e-3,
        rtol=0,
    )
    assert select(wide, torch.tensor([1])).spread.tolist() == [2.0]


def test_a_calibration_survives_storage() -> None:
    known = Calibration(0.8, 1.5, {"hr 1": 2.0}, 0.7, 0.6, True, {"hr 1": 0.5})
    assert Calibration.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_powers_keep_the_order_and_the_sum() -> None:
    given = torch.tensor([[0.6, 0.3, 0.1, torch.nan], [0.0, 1.0, 0.0, 0.0]])
    for power in (0.4, 1.0, 2.5):
        found = sharpened(given, power)
        torch.testing.assert_close(found.nansum(dim=1), torch.ones(2))
        assert bool(found[0, 3].isnan())
        assert bool((found[0, :3].diff() < 0).all())
