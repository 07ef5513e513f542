"""Tests of drift keep their level where nothing has changed, and see what has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from omics_twin.evaluate.drift import adjusted, shares_differ, shift
from omics_twin.twin.reference import binned


def test_the_test_of_a_shift_keeps_its_level_and_is_not_blind() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(400, 2000))
    values[:, ::2] = values[:, ::2] > 0.4
    reference = binned(torch.tensor(values))
    same = generator.normal(size=(150, 2000))
    same[:, ::2] = same[:, ::2] > 0.4
    p = shift(reference.counts.numpy(), reference.count(torch.tensor(same)).numpy()).p
    # 0.05 and two standard errors; in bins the test of numbers is conservative.
    assert 0.02 < (p[::2] < 0.05).mean() < 0.07
    assert 0.01 < (p[1::2] < 0.05).mean() < 0.06
    moved = generator.normal(0.5, size=(150, 2000))
    found = shift(reference.counts.numpy(), reference.count(torch.tensor(moved)).numpy())
    assert (found.p[1::2] < 0.05).mean() > 0.9


def test_in_bins_the_distance_is_at_most_that_of_kolmogorov_and_smirnov() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=(300, 1)), generator.normal(0.3, 1.2, size=(200, 1))
    reference = binned(torch.tensor(first))
    found = shift(reference.counts.numpy(), reference.count(torch.tensor(second)).numpy())
    exact = stats.ks_2samp(first[:, 0], second[:, 0])
    assert found.distance[0] <= exact.statistic
    assert found.distance[0] == pytest.approx(exact.statistic, abs=0.05)


def test_a_feature_of_two_values_beside_one_of_many_keeps_its_own_index() -> None:
    before = np.array([[10.0] * 20, [100.0, 100.0, *[0.0] * 18]])
    later = np.array([[10.0] * 20, [20.0, 180.0, *[0.0] * 18]])
    found = shift(before, later)
    alone = shift(before[1:, :2], later[1:, :2])
    assert found.stability[0] == pytest.approx(0.0)
    assert found.stability[1] == pytest.approx(alone.stability[0])
    # The index by its definition: the differences of shares times the logarithm of their ratio.
    assert alone.stability[0] == pytest.approx(0.8 * np.log(9) / 2, abs=0.02)


def test_what_nobody_has_is_not_compared() -> None:
    found = shift(np.zeros((2, 3)), np.array([[5.0, 5.0, 0.0], [0.0, 0.0, 0.0]]))
    assert found.p.tolist() == [1.0, 1.0]
    assert found.distance.tolist() == [0.0, 0.0]
    assert found.stability.tolist() == [0.0, 0.0]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_a_corrected_p_value_is_no_smaller_and_keeps_the_order(p: list[float]) -> None:
    found = adjusted(p)
    assert (found >= np.array(p) - 1e-12).all()
    assert (found <= 1.0).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()


def test_no_test_needs_no_correction() -> None:
    assert adjusted([]).tolist() == []
    assert shares_differ([], [], [], []).tolist() == []
