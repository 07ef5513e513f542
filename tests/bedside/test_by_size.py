"""What RECIST would say of a plan, against sizes whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch

from omics_twin.bedside.by_size import by_size
from omics_twin.types import NO_INTERVENTION, Observation
from tests.twins_mechanistic import TUMOUR, tumour_twin

NONE: tuple[list[float], list[float]] = ([], [])


def test_a_tumour_that_nobody_treats_progresses_by_size() -> None:
    twin = tumour_twin()
    state = twin.start(["ada"], draws=1000, seed=1)
    found = by_size(twin, state, NO_INTERVENTION, NONE, 182.0, 0.9)
    assert sum(found.best.values()) == pytest.approx(1.0)
    assert found.best["stable"] > 0.9 > found.best["progression"]
    # Growth of 0.15 % a day is 20 % in 122 days: the scan after that is on day 168.
    lower, median, upper = found.progression_days
    assert lower <= median == 168.0 <= upper
    later = by_size(twin, state, NO_INTERVENTION, NONE, 60.0, 0.9)
    assert all(math.isinf(each) for each in later.progression_days[1:])
    assert str(later).endswith("day of progression after 56 (after 56 to after 56)")
    assert later.as_record()["progression_days"]["median"] is None


def test_scans_so_far_count_as_they_were_measured() -> None:
    twin = tumour_twin()
    state = twin.start(["ada"], draws=50, seed=1)
    for day, size in ((0.0, 60.0), (56.0, 30.0), (112.0, 45.0)):
        values = {TUMOUR.name: torch.tensor([[size]], dtype=torch.float64)}
        state = twin.observe(state, Observation(("ada",), torch.tensor([day]), values))
    scans = ([0.0, 56.0, 112.0], [60.0, 30.0, 45.0])
    found = by_size(twin, state, NO_INTERVENTION, scans, 182.0, 0.9)
    assert found.best["partial"] == pytest.approx(1.0)
    assert found.progression_days == (112.0, 112.0, 112.0)
    assert str(found) == "best response partial 1.00; day of progression 112 (112 to 112)"
