"""A patient's own value lies where it is told to, however errors are distributed."""

from __future__ import annotations

import numpy as np
import pytest

from omics_twin.evaluate.own_values import OwnValues, error_quantiles, judged


@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_of_held_out_errors_hold_in_new_patients(skewed: bool) -> None:
    generator = np.random.default_rng(1)

    def drawn(patients: int) -> tuple[np.ndarray, np.ndarray]:
        expected = generator.normal(size=patients)
        noise = generator.exponential(size=patients) if skewed else generator.normal(size=patients)
        return expected + noise, expected

    values, expected = drawn(2_000)
    own = OwnValues(tuple(error_quantiles(values, expected)))
    later, foreseen = drawn(20_000)
    ends = own.around(foreseen, 0.9)
    assert ends is not None
    assert np.mean((ends[0] <= later) & (later <= ends[1])) == pytest.approx(0.9, abs=0.02)
    found = judged(values, expected, np.arange(2_000) % 5)
    assert found["interval_90_holds"] == pytest.approx(0.9, abs=0.02)
    # The score of the distribution that made them: half the mean difference of two draws.
    ideal = 0.5 if skewed else np.pi**-0.5
    assert found["crps"] == pytest.approx(ideal, abs=0.04)


def test_of_too_few_patients_nothing_is_told() -> None:
    values = np.full(60, np.nan)
    values[:39] = np.arange(39.0)
    assert OwnValues(tuple(error_quantiles(values, np.zeros(60)))).around(np.zeros(1), 0.9) is None
    assert np.isnan(judged(values, np.zeros(60), np.arange(60) % 2)["crps"])
    assert np.isnan(judged(np.full(60, np.nan), np.zeros(60), np.arange(60) % 2)["crps"])
