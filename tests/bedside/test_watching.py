"""Whether a therapy helps, told of draws: ties are told by one rule, as in the ranking."""

from __future__ import annotations

import pytest

from omics_twin.bedside.watching import benefit
from omics_twin.types import Dose, Endpoint, Intervention
from omics_twin.visits.living import LivingModel
from tests.twins_mechanistic import tumour_twin


@pytest.mark.parametrize(("amount", "believed"), [(1e-7, 0.5), (1.0, 1.0)])
def test_a_therapy_that_changes_nothing_but_the_last_digit_is_no_benefit(
    amount: float, believed: float
) -> None:
    endpoint = Endpoint("free", "progression_free", 182.0)
    model = LivingModel(tumour_twin(), endpoint, "Free", ("paclitaxel",), 0.05, {})
    state = model.twin.start(["ada"], draws=50, seed=1)
    under = Intervention("little", (Dose("paclitaxel", amount),))
    assert benefit(model, state, under) == pytest.approx(believed)
