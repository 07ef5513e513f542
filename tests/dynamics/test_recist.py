"""RECIST 1.1 by size, at its boundaries."""

from __future__ import annotations

import pytest
import torch

from omics_twin.dynamics.recist import (
    Response,
    best_response,
    lowest_so_far,
    progressed,
    progression_day,
    progression_free,
    responses,
)

NAN = float("nan")


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([100.0, 70.0], Response.PARTIAL),
        ([100.0, 70.1], Response.STABLE),
        ([100.0, 120.0], Response.PROGRESSION),
        ([100.0, 119.9], Response.STABLE),
        ([20.0, 25.0], Response.PROGRESSION),
        ([20.0, 24.9], Response.STABLE),
        ([20.0, 0.0], Response.COMPLETE),
        ([20.0, NAN], Response.NOT_EVALUABLE),
        ([100.0, 50.0, 60.0], Response.PROGRESSION),
        ([100.0, NAN, 60.0], Response.PARTIAL),
        ([100.0, 0.0, 4.9], Response.PARTIAL),
        ([100.0, 0.0, 5.0], Response.PROGRESSION),
    ],
)
def test_categories_at_their_boundaries(sizes: list[float], expected: Response) -> None:
    assert responses(torch.tensor(sizes))[-1] == expected


def test_the_smallest_so_far_looks_over_what_was_not_measured() -> None:
    found = lowest_so_far(torch.tensor([30.0, NAN, 20.0, 25.0]))
    assert found.tolist() == [30.0, 30.0, 30.0, 20.0]


def test_the_best_response_counts_up_to_the_first_progression() -> None:
    sizes = torch.tensor([[100.0, 80.0, 60.0, 90.0, 10.0], [100.0, 130.0, 50.0, 0.0, 0.0]])
    assert best_response(sizes).tolist() == [Response.PARTIAL, Response.PROGRESSION]


def test_progression_is_seen_at_a_visit_and_stays() -> None:
    sizes = torch.tensor([[100.0, 80.0, 100.0, 70.0], [100.0, 90.0, 80.0, 70.0]])
    days = torch.tensor([0.0, 56.0, 112.0, 168.0]).expand(2, -1)
    assert progressed(sizes)[0].tolist() == [False, False, True, False]
    assert progression_free(sizes)[0].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert progression_day(sizes, days).tolist() == [112.0, float("inf")]
