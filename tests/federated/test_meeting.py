"""Parts of a message meet, are added up, and a site that is missing or out of step ends the run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from omics_twin.errors import TrainingError
from omics_twin.federated.exchange import Exchange
from omics_twin.federated.meeting import Meeting, summed
from tests.federated.meetings import together

SITES = ("north", "south", "east")
VALUES = {"north": [1.0, -2.5], "south": [0.25, 4.0], "east": [-7.0, 1e6]}


@pytest.mark.parametrize("masked", [False, True], ids=["open", "masked"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_every_site_is_told_the_sum_over_all(masked: bool, kind: torch.dtype) -> None:
    def work(site: str, exchange: Exchange) -> list[float]:
        (found,) = exchange("values", torch.tensor(VALUES[site], dtype=kind))
        assert found.dtype == kind
        return found.tolist()

    assert together(SITES, work, masked=masked) == [[-5.75, 1e6 + 1.5]] * 3


def test_rows_are_gathered_one_site_after_the_other() -> None:
    def work(site: str, exchange: Exchange) -> list[float]:
        rows = torch.tensor({"north": [1.0], "south": [], "east": [2.0, 3.0]}[site])
        return exchange.gathered("rows", rows).tolist()

    assert together(SITES, work, masked=True) == [[1.0, 2.0, 3.0]] * 3


def test_a_site_that_stays_away_ends_the_run_with_one_sentence() -> None:
    def work(site: str, exchange: Exchange) -> None:
        if site != "south":
            exchange("gradient", torch.ones(1))

    with pytest.raises(TrainingError, match="'south' did not send 'gradient' within 0.2 s"):
        together(SITES, work, wait_seconds=0.2)


def test_a_site_that_cannot_go_on_ends_the_run_for_all_and_says_why() -> None:
    reasons = []

    def work(site: str, exchange: Exchange) -> None:
        if site == "south":
            raise TrainingError("too few patients")
        try:
            exchange("gradient", torch.ones(1))
        except TrainingError as error:
            reasons.append(str(error))
            raise

    with pytest.raises(TrainingError):
        together(SITES, work)
    assert reasons == ["south: too few patients"] * 2


def test_sites_that_ask_for_different_sums_are_told_to_use_one_version() -> None:
    def work(site: str, exchange: Exchange) -> None:
        exchange("spread" if site == "east" else "mean", torch.ones(1))

    with pytest.raises(TrainingError, match="use one version of omics_twin"):
        together(SITES, work)


def test_parts_of_different_sizes_are_refused() -> None:
    with pytest.raises(TrainingError, match="expected one size"):
        summed([save({"part": np.ones(2)}), save({"part": np.ones(3)})])


def test_a_stranger_is_refused() -> None:
    with pytest.raises(TrainingError, match="unknown site 'west'"):
        Meeting(SITES, 1.0).answer("west", 0, "sum", "mean", b"")
