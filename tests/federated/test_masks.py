"""A masked part tells nothing, and masks cancel in the sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_twin.errors import TrainingError
from omics_twin.federated.masks import Masks, numbers_of, words_of

SITES = ("a", "b", "c")


def met() -> list[Masks]:
    """Return the masks of three sites that have exchanged their keys."""
    masks = [Masks(site) for site in SITES]
    keys = {site: each.public for site, each in zip(SITES, masks, strict=True)}
    for each in masks:
        each.meet(keys)
    return masks


MASKS = met()


@given(st.lists(st.floats(-1e15, 1e15), min_size=3, max_size=3), st.integers(0, 2**40))
def test_masks_cancel_in_the_sum(values: list[float], number: int) -> None:
    parts = [
        each.masked(np.array([value]), number) for each, value in zip(MASKS, values, strict=True)
    ]
    found = numbers_of(parts[0] + parts[1] + parts[2])
    assert found[0] == pytest.approx(sum(values), rel=1e-12, abs=1e-12)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9))
def test_single_precision_is_exact_to_its_own_rounding(values: list[float]) -> None:
    given = np.array(values, dtype=np.float32)
    np.testing.assert_allclose(numbers_of(words_of(given)), given, rtol=1e-7, atol=2.0**-36)


def test_a_masked_part_is_spread_over_all_words_whatever_it_hides() -> None:
    nothing = MASKS[0].masked(np.zeros(20_000), 7)
    something = MASKS[0].masked(np.zeros(20_000), 8)
    for part in (nothing, something):
        shares = part.astype(np.float64) / 2.0**64
        # 40,000 uniform numbers: four standard errors.
        assert abs(shares.mean() - 0.5) < 4 * (1 / 12 / 40_000) ** 0.5
    assert abs(np.corrcoef(nothing.ravel() / 2.0**64, something.ravel() / 2.0**64)[0, 1]) < 0.02


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_what_is_no_sum_of_measurements_is_refused(value: float) -> None:
    with pytest.raises(TrainingError, match="training diverges"):
        MASKS[0].masked(np.array([value]), 0)
